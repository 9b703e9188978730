"""train_tokenizer: FASTA files in any order and packing give one tokenizer, and nothing is dropped silently."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile

import pytest

import tertia
from tertia.errors import InputError
from tertia.sequence.tokens import MOST_RESIDUES, Tokenizer
from tertia.tokens import train_tokenizer
from tests.structures import random_sequence
from tests.test_cli import run

TEXTS = [
    "".join(f">p{k} tax=1\n{random_sequence(80 + k, seed=k)}\n" for k in range(first, first + 20)) for first in (0, 20)
]


def learnt(inputs, tmp_path, **options) -> str:
    output = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
    report = train_tokenizer(inputs, output, merges=60, progress=False, **options)
    assert report.refused == () and report.n_tokens == 5 + 256 + 60
    return Tokenizer.load(output).text


def test_files_of_any_order_and_packing_give_the_same_tokenizer(tmp_path):
    plain = tmp_path / "all.fa"
    plain.write_text("".join(TEXTS))
    parts = [tmp_path / "b.fa.gz", tmp_path / "a.fa.xz", tmp_path / "both.tar"]
    parts[0].write_bytes(gzip.compress(TEXTS[0].encode()))
    parts[1].write_bytes(lzma.compress(TEXTS[1].lower().encode()))
    with tarfile.open(parts[2], "w") as archive:
        for name, text in zip(("x.fa", "../../y.fa.gz"), TEXTS, strict=True):
            content = gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    reference = learnt(plain, tmp_path)
    assert learnt(parts[:2], tmp_path) == learnt(parts[1::-1], tmp_path) == learnt([parts[2]], tmp_path) == reference
    few = [learnt(inputs, tmp_path, most_residues=1500) for inputs in (parts[:2], plain)]
    assert few[0] == few[1] != reference


def test_every_refused_record_and_file_is_named(tmp_path):
    bad = tmp_path / "bad.fa"
    bad.write_text(f">odd\nMKJ\n>empty\n>stop\nMK*V\n>good\n{'MKVLA' * 30}\n")
    cut = tmp_path / "cut.fa.gz"
    cut.write_bytes(gzip.compress(TEXTS[0].encode())[:-20])
    report = train_tokenizer([bad, cut, "absent.fa"], tmp_path / "out" / "tokenizer.json", merges=3, progress=False)
    assert [(error.where.rsplit("/", 1)[-1], error.entry) for error in report.refused] == [
        ("bad.fa", "odd"), ("bad.fa", "empty"), ("bad.fa", "stop"), ("cut.fa.gz", ""), ("absent.fa", ""),
    ]  # fmt: skip
    assert (report.n_sequences, report.n_residues) == (report.n_used, report.n_used_residues)
    assert 1 <= report.n_sequences <= 21 and "5 records refused" in report.table()


def test_what_cannot_be_done_is_refused_before_the_work(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(InputError, match=r"no sequence to learn from\n.*no such file"):
        train_tokenizer(["absent.fa"], path, progress=False)
    with pytest.raises(InputError, match="entry 'merges': is -1"):
        train_tokenizer(["absent.fa"], path, merges=-1, progress=False)
    with pytest.raises(InputError, match="entry 'most_residues': is 0"):
        train_tokenizer(["absent.fa"], path, most_residues=0, progress=False)
    path.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        train_tokenizer(["absent.fa"], path, progress=False)
    assert path.read_text() == "mine"


def test_the_verb_writes_what_the_function_does(tmp_path):
    fasta, made = tmp_path / "all.fa", tmp_path / "made.json"
    fasta.write_text("".join(TEXTS))
    done = run("tokens", fasta, "-o", made, "--merges", "60", "--most-residues", "1500")
    assert done.returncode == 0, done.stderr
    report = tertia.train_tokenizer(fasta, tmp_path / "other.json", merges=60, most_residues=1500, progress=False)
    assert made.read_text() == report.path.read_text()
    assert done.stdout.replace(str(made), str(report.path)) == report.table() + "\n"


def test_the_verb_names_what_it_refuses_and_leaves_with_1(tmp_path):
    bad, made = tmp_path / "bad.fa", tmp_path / "made.json"
    bad.write_text(f">odd\nMKJ\n>good\n{'MKVLA' * 30}\n>empty\n")
    done = run("tokens", bad, "-o", made, "--merges", "3")
    assert done.returncode == 1 and Tokenizer.load(made).n_merges == 3
    assert "2 records refused" in done.stdout
    for line in ("entry 'odd': 'J' at position 3", "entry 'empty': has no sequence"):
        assert f"error: {bad}, {line}" in done.stderr
    again = run("tokens", bad, "-o", made, "--merges", "3")
    assert (again.returncode, again.stdout) == (1, "") and "is there already" in again.stderr


def test_the_verb_names_the_true_default():
    text = run("tokens", "--help").stdout
    assert f"(default {MOST_RESIDUES})" in " ".join(text.split())
