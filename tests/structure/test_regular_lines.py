"""The compiled reader of atom lines and the one by numpy are the same function; either of them may be absent."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest

from tertia.structure import read_regular_pdb, regular_lines
from tertia.structure.read import read_structure
from tertia.structure.sources import open_sources
from tests.structure.test_read_regular_pdb import FILES, damaged, line_of_atom

needs_kernel = pytest.mark.skipif(read_regular_pdb._kernel is None, reason="the compiled reader was not built here")


def assert_alike(content: bytes) -> bool:
    """Compare both readers; tell whether the lines were regular."""
    by_numpy, compiled = regular_lines.read_lines(content), read_regular_pdb._read_lines(content)
    assert (by_numpy is None) == (compiled is None), content
    if by_numpy is None:
        return False
    assert by_numpy.columns.keys() == compiled.columns.keys()
    pairs = [(by_numpy.columns[name], compiled.columns[name]) for name in by_numpy.columns]
    for a, b in [*pairs, (by_numpy.place, compiled.place)]:
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()  # the sign of zero too
    assert by_numpy.n_residues_before_ter == compiled.n_residues_before_ter
    return True


def with_newline(content: bytes) -> bytes:
    return content if content.endswith(b"\n") else content + b"\n"


@needs_kernel
@pytest.mark.parametrize("name", FILES)
def test_ordinary_files(name):
    assert assert_alike(with_newline(FILES[name]))


@needs_kernel
def test_damaged_lines():
    chance = random.Random(11)
    contents = list(FILES.values())
    n_regular = sum(assert_alike(with_newline(damaged(chance.choice(contents), chance))) for _ in range(600))
    assert 100 < n_regular < 500


@needs_kernel
def test_flipped_bits_and_cut_ends():
    chance = random.Random(12)
    contents = [with_newline(content) for content in FILES.values()]
    for _ in range(600):
        content = bytearray(chance.choice(contents))
        for _ in range(chance.randint(0, 2)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.5:
            del content[chance.randrange(len(content)) :]
        assert_alike(with_newline(bytes(content)))


NUMBERS = [b"%8.3f" % x for x in (0, -0.0, -0.001, 1.5, -999.999, 9999.999, 12.345, -0.049)]
WORDS = [
    b"       .",
    b"   -.123",
    b"  - .123",
    b"   --1.0",
    b"  1 .123",
    b"   1. 23",
    b"   1.1 3",
    b"   1,123",
    b"+  1.123",
]


@needs_kernel
@pytest.mark.parametrize("column", [30, 38, 46, 52, 58])
def test_every_form_of_a_number(column):
    """Pieces of the words above, at all shifts, land in coordinates, occupancy and B-factor."""
    lines = FILES["two chains"].split(b"\n")
    at = line_of_atom(FILES["two chains"], 5)
    line = lines[at]
    for word in NUMBERS + WORDS:
        for shift in range(-2, 3):
            start = column + shift
            lines[at] = line[:start] + word + line[start + 8 :]
            assert_alike(b"\n".join(lines))


@needs_kernel
@pytest.mark.parametrize("column", [17, 20, 22, 26, 72, 76, 78])
def test_every_form_of_short_fields(column):
    """The same in a first atom and in one inside a residue, with a letter more or less in the line."""
    for k in (0, 5):
        lines = FILES["two chains"].split(b"\n")
        at = line_of_atom(FILES["two chains"], k)
        line = lines[at]
        for text in (b"0", b" 0", b"-0", b"00", b"- ", b"1+", b"+1", b"2 ", b" -", b"--", b"A", b" A", b"A ",
                     b"\xc3\xa9", b" 007", b"  -0", b"-012", b"-12 ", b"   ", b"", b"X\n"):  # fmt: skip
            lines[at] = line[:column] + text + line[column + len(text) :]
            assert_alike(b"\n".join(lines))
            lines[at] = line[:column] + text + line[column:]
            assert_alike(b"\n".join(lines))


@needs_kernel
@pytest.mark.parametrize(
    "record",
    [b"", b"T", b"TER", b"TERX", b"END", b"ENDMDL", b"ANISOU", b"ATOM", b"HETATM", b"REMARK", b"HETNAM     UNL",
     b"SIGATM", b"HETNAM".ljust(70) + b"UNL123", b"HETNAM".ljust(70) + b" \t\f", b"HETNAM".ljust(69), b"X" * 500],
)  # fmt: skip
def test_records_everywhere(record):
    lines = FILES["two chains"].split(b"\n")
    for at in (
        0,
        line_of_atom(FILES["two chains"], 0),
        line_of_atom(FILES["two chains"], 9),
        len(lines) - 2,
        len(lines) - 1,
    ):
        assert_alike(with_newline(b"\n".join([*lines[:at], record, *lines[at:]])))


@needs_kernel
@pytest.mark.parametrize(
    "content", [b"\n", b"END\n", b"ATOM\n", b"ATOM" + b" " * 76 + b"\n", b"\n" * 90, b"A" * 200 + b"\n"]
)
def test_almost_nothing(content):
    assert not assert_alike(content)


@needs_kernel
def test_columns_that_are_too_short_are_refused():
    content = FILES["two chains"]
    kinds = dict(read_regular_pdb._KINDS)
    n_rows = len(content) // 81 + 1
    arguments = content, regular_lines.ELEMENT_OF, regular_lines.NUMBERS, read_regular_pdb._RECORDS
    for short in kinds:
        columns = tuple(np.empty(n_rows - (name == short), dtype=kind) for name, kind in kinds.items())
        with pytest.raises(ValueError, match="too short"):
            read_regular_pdb._kernel.read(*arguments, columns)
    whole = tuple(np.empty(n_rows, dtype=kind) for kind in kinds.values())
    for k in (1, 2):  # a table
        with pytest.raises(ValueError, match="too short"):
            read_regular_pdb._kernel.read(*[b"" if j == k else one for j, one in enumerate(arguments)], whole)
    for bad in (whole[:-1], (*whole, whole[0]), list(whole), (*whole[:-1], b"read-only" * n_rows), (*whole[:-1], None)):
        with pytest.raises((ValueError, TypeError, BufferError)):
            read_regular_pdb._kernel.read(*arguments, bad)
    assert read_regular_pdb._kernel.read(*arguments, whole)[0] > 100


@needs_kernel
def test_real_files(shared_data):
    archives = sorted(str(path) for path in (shared_data / "structures").glob("*.tar.xz"))
    n_regular = 0
    sources = (source for source in open_sources(archives) if source.name.endswith(".pdb"))
    for source in islice(sources, 0, 800, 10):
        n_regular += assert_alike(with_newline(source.read()))
    assert n_regular > 40


@pytest.mark.parametrize("name", FILES)
def test_the_reader_works_without_the_compiled_one(name, tmp_path, monkeypatch):
    path = tmp_path / "made.pdb"
    path.write_bytes(FILES[name])
    usual = read_structure(path)
    monkeypatch.setattr(read_regular_pdb, "_kernel", None)
    other = read_structure(path)
    assert other.report == usual.report
    for a, b in zip(usual.chains, other.chains, strict=True):
        assert np.array_equal(a.atoms.coord, b.atoms.coord)
        assert a.atoms.name.tolist() == b.atoms.name.tolist()
