"""Sources: every kind of input, nothing lost, nothing unbounded."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
import time
import tracemalloc
import zlib

import pytest

from tertia.errors import InputError
from tertia.structure import sources
from tertia.structure.sources import Source, decompress, open_sources

TEXT = b"ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00  0.00           C  \n" * 50


def tar_of(path, members: list[tuple[str, bytes]], mode: str = "w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def contents(inputs, **options):
    return [(source.name, source.read()) for source in open_sources(inputs, **options)]


def test_plain_gz_xz_and_joined_gz_members_read_the_same(tmp_path):
    (tmp_path / "a.pdb").write_bytes(TEXT)
    (tmp_path / "b.pdb.gz").write_bytes(gzip.compress(TEXT))
    (tmp_path / "c.pdb.xz").write_bytes(lzma.compress(TEXT))
    (tmp_path / "d.pdb.gz").write_bytes(gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]))
    found = contents([str(tmp_path)])
    assert [name.rsplit("/", 1)[-1] for name, _ in found] == ["a.pdb", "b.pdb.gz", "c.pdb.xz", "d.pdb.gz"]
    assert all(content == TEXT for _, content in found)


def test_the_suffix_does_not_decide_compression(tmp_path):
    (tmp_path / "lie.pdb").write_bytes(gzip.compress(TEXT))
    assert Source(str(tmp_path / "lie.pdb")).read() == TEXT


def test_folders_are_searched_below_and_other_files_left(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "x.cif.gz").write_bytes(gzip.compress(TEXT))
    (tmp_path / "notes.txt").write_text("no structure")
    assert [name for name, _ in contents([str(tmp_path)])] == [str(tmp_path / "deep" / "er" / "x.cif.gz")]


def test_globs_and_lists_on_stdin(tmp_path):
    for name in ("b.pdb", "a.pdb", "c.txt"):
        (tmp_path / name).write_bytes(TEXT)
    globbed = contents([str(tmp_path / "*.pdb")])
    listed = contents(["-"], stdin=io.StringIO(f"{tmp_path}/b.pdb\n\n  {tmp_path}/a.pdb \n"))
    assert [name[-5:] for name, _ in globbed] == ["a.pdb", "b.pdb"]
    assert [name[-5:] for name, _ in listed] == ["b.pdb", "a.pdb"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tar_members_come_in_order_unpacked(tmp_path, mode):
    path = tar_of(tmp_path / "some.bin", [("z/2.pdb", TEXT), ("1.cif.gz", gzip.compress(TEXT))], mode)
    path = path.rename(tmp_path / ("some.tar" + mode[1:].replace(":", ".")))
    assert contents([str(path)]) == [(f"{path}!z/2.pdb", TEXT), (f"{path}!1.cif.gz", TEXT)]


def test_tar_members_never_touch_the_disk(tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    path = tar_of(folder / "evil.tar", [("../escaped.pdb", TEXT), ("/tmp/absolute.pdb", TEXT)])
    assert [content for _, content in contents([str(path)])] == [TEXT, TEXT]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["evil.tar", "inside"]


def test_a_repeated_member_and_a_link_are_reported(tmp_path):
    path = tar_of(tmp_path / "a.tar", [("x.pdb", TEXT), ("x.pdb", TEXT)])
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("l.pdb")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    first, second, third = open_sources([str(path)])
    assert first.error is None
    assert "second member of this name" in str(second.error)
    assert "link" in str(third.error)


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_cut_archive_gives_the_sound_members_and_an_error(tmp_path, cut):
    path = tar_of(tmp_path / "a.tar", [(f"{k}.pdb", TEXT) for k in range(10)])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(TEXT) * 10 * cut)])
    found = list(open_sources([str(path)]))
    assert 1 <= sum(source.error is None for source in found) < 10
    assert "truncated tar archive" in str(found[-1].error)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-20], lambda b: b[:-8] + bytes(4) + b[-4:], lambda b: b[:60] + b"\xff" * 9 + b[69:]]
)
def test_damaged_gz_is_an_input_error(damage):
    noisy = bytes(range(256)) * 20
    with pytest.raises(InputError, match="compress"):
        decompress(damage(gzip.compress(noisy)), "x.gz")


@pytest.mark.parametrize("package", ["isal", "zlib"])
def test_both_unpackers_of_gzip_do_alike(package, monkeypatch):
    unpacker = pytest.importorskip("isal.isal_zlib") if package == "isal" else zlib
    monkeypatch.setattr(sources, "inflate", unpacker)
    noisy = os.urandom(5000) + TEXT
    packed = gzip.compress(noisy)
    assert decompress(packed + gzip.compress(TEXT) + b"\0" * 7, "x.gz") == noisy + TEXT
    with pytest.raises(InputError, match="too early"):
        decompress(packed[:-3], "x.gz")
    with pytest.raises(InputError, match="damaged compression"):
        decompress(packed[:-6] + b"abc" + packed[-3:], "x.gz")
    with pytest.raises(InputError, match="larger than"):
        decompress(packed, "x.gz", max_bytes=5000)


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: lzma.compress(content, preset=0)], ids=["gz", "xz"])
def test_a_bomb_stops_at_the_limit(pack):
    bomb = pack(b"\0" * 8_000_000)
    tracemalloc.start()
    with pytest.raises(InputError, match="larger than 100,000 bytes"):
        decompress(bomb, "bomb", max_bytes=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_what_unpacks_to_200_times_its_size_is_a_bomb(monkeypatch):
    monkeypatch.setattr(sources, "_BOMB_FLOOR", 1_000_000)
    assert len(decompress(gzip.compress(b"\0" * 900_000), "x")) == 900_000
    with pytest.raises(InputError, match="unpack to more than 1,000,000"):
        decompress(gzip.compress(b"\0" * 2_000_000), "x")


def test_thousands_of_joined_members_are_not_copied_thousands_of_times():
    members = [gzip.compress(b"%d" % k) for k in range(200)] * 100 + [b"\0" * 100]
    started = time.process_time()
    assert decompress(b"".join(members), "x") == b"".join(b"%d" % k for k in range(200)) * 100
    assert time.process_time() - started < 2


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [1 << 33, -512])
def test_a_header_of_an_archive_cannot_ask_for_gigabytes(tmp_path, kind, size):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16))
    (source,) = open_sources([str(tmp_path / "a.tar")])
    assert "a header that asks for" in str(source.error)


def test_pipes_and_dangling_links_are_named_and_nothing_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe.pdb")
    (tmp_path / "dangling.pdb").symlink_to(tmp_path / "nothing")
    dangling, pipe = open_sources([str(tmp_path)])
    assert "No such file" in str(dangling.error)
    assert "pipe" in str(pipe.error)
    with pytest.raises(InputError, match="pipe"):
        Source(str(tmp_path / "pipe.pdb")).read()


def test_links_to_folders_are_followed_and_no_folder_is_read_twice(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x.pdb").write_bytes(TEXT)
    (tmp_path / "here" / "down").mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there")
    (tmp_path / "here" / "down" / "again").symlink_to(tmp_path / "here")
    assert [name for name, _ in contents([str(tmp_path / "here")])] == [str(tmp_path / "here" / "link" / "x.pdb")]


def test_a_name_that_is_no_text_makes_an_entry_that_is():
    assert Source(os.fsdecode(b"caf\xe9.pdb")).entry == r"caf\xe9"


def test_the_limit_holds_for_plain_files_and_members(tmp_path):
    (tmp_path / "big.pdb").write_bytes(TEXT)
    path = tar_of(tmp_path / "a.tar", [("big.pdb", TEXT), ("small.pdb", TEXT[:100])])
    with pytest.raises(InputError, match="larger than"):
        Source(str(tmp_path / "big.pdb"), max_bytes=1000).read()
    big, small = open_sources([str(path)], max_bytes=1000)
    assert "larger than" in str(big.error)
    assert small.read() == TEXT[:100]


def test_what_is_not_there_is_an_error_and_the_rest_goes_on(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.pdb").write_bytes(TEXT)
    tar_of(tmp_path / "none.tar", [])
    given = [str(tmp_path / name) for name in ("absent.pdb", "*.nothing", "empty", "none.tar", "good.pdb")]
    errors = [str(source.error) if source.error else "" for source in open_sources(given)]
    assert ["no such file" in errors[0], "no file matches" in errors[1], "no structure file" in errors[2]] == [True] * 3
    assert "empty" in errors[3]
    assert errors[4] == ""
    with pytest.raises(InputError):
        next(iter(open_sources(given))).read()


@pytest.mark.parametrize(
    ("name", "entry"),
    [("/x/1abc.pdb", "1abc"), ("a.tar!b/1ABC.cif.gz", "1ABC"), ("AF-P1-F1.v4.cif", "AF-P1-F1.v4"), (".pdb", ".pdb")],
)
def test_the_entry_is_the_bare_file_name(name, entry):
    assert Source(name).entry == entry
