"""FASTA: what is sequence, what is labels, what is neither."""

from __future__ import annotations

import gzip

import pytest

from tertia.errors import InputError
from tertia.sequence import fasta
from tertia.sequence.fasta import Record, is_fasta, parse_fasta, read_fasta, stream_fasta, write_fasta


def read(tmp_path, text: str):
    path = tmp_path / "chains.fa"
    path.write_text(text)
    return [(record.name, record.sequence) for record in read_fasta(path)]


def test_label_lines_are_not_sequence(tmp_path):
    text = ">1abcA dset train\nMKVLA\n01100\n>2xyzB\nac-de.\nFGH*\n\n0.1,0.2\n"
    assert read(tmp_path, text) == [("1abcA", "MKVLA"), ("2xyzB", "ACDEFGH")]


def test_plain_and_gz_are_the_same(tmp_path):
    records = [Record("a", "MKV"), Record("b", "ACDUX")]
    write_fasta(tmp_path / "plain.fa", records)
    (tmp_path / "packed.fa.gz").write_bytes(gzip.compress((tmp_path / "plain.fa").read_bytes()))
    for name in ("plain.fa", "packed.fa.gz"):
        assert [(r.name, r.sequence) for r in read_fasta(tmp_path / name)] == [("a", "MKV"), ("b", "ACDUX")]
        assert is_fasta(tmp_path / name)
    assert not is_fasta(tmp_path / "absent.fa")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nMK1V\n", "'1' at position 3"),
        (">a\n>b\nMK\n", "entry 'a': has no sequence"),
        ("MKV\n>a\nMK\n", "line 1 stands before"),
        (">a\nM\N{GREEK SMALL LETTER ALPHA}\n", "not plain text"),
    ],
)
def test_what_is_not_fasta_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_cut_gz_is_refused(tmp_path):
    path = tmp_path / "cut.fa.gz"
    path.write_bytes(gzip.compress(b">a\n" + b"MKV" * 999)[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        read_fasta(path)


def test_the_label_files_of_the_interface_sets(shared_data):
    folder = shared_data / "ppi_sites" / "graphppis"
    for name, n_chains, n_residues in (("Test_60", 60, 13_144), ("Test_315", 315, 65_331), ("UBtest_31", 31, 6_654)):
        records = read_fasta(folder / f"{name}.fa")
        assert (len(records), sum(len(record.sequence) for record in records)) == (n_chains, n_residues)


def test_a_stream_gives_the_records_of_the_whole_text(tmp_path, monkeypatch):
    text = ">a one tax=2\nmkv\x0cLA-\r\n01100\n\n>\u00e9 two\nM\u00e9K\n>\nAC*\n>b\n" + "ACDEFGHIKLMN" * 50 + "\n>c\nMJ"
    path = tmp_path / "chains.fa"
    path.write_bytes(text.encode())
    whole = list(parse_fasta(text.encode().decode("ascii", "backslashreplace"), where=str(path)))
    for piece in (1 << 20, 64):
        monkeypatch.setattr(fasta, "_PIECE", piece)
        streamed = list(stream_fasta(path))
        assert [str(record) for record in streamed] == [str(record) for record in whole]
    packed = tmp_path / "chains.fa.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert len(list(stream_fasta(packed))) == len(whole) == 5


def test_a_stream_that_breaks_off_or_never_ends_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "cut.fa.gz"
    content = gzip.compress(b">a\n" + b"MKV" * 999)
    for damaged in (content[:-9], content[:20] + b"\xff" * 20):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read"):
            list(stream_fasta(path))
    monkeypatch.setattr(fasta, "_LONGEST", 1000)
    path.write_bytes(content)
    with pytest.raises(InputError, match="entry 'a': more than 1,000 characters in one record"):
        list(stream_fasta(path))
