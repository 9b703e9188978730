"""The reader by columns never differs from the general reader: it gives the same columns, or leaves the file to it."""

from __future__ import annotations

import random
from dataclasses import fields

import gemmi
import numpy as np
import pytest

from tertia.errors import InputError
from tertia.structure import read_columns
from tertia.structure.columns import Columns
from tertia.structure.polymers import Provenance, protein_chains
from tertia.structure.read_regular_pdb import LIGANDS, regular_columns
from tests.structures import (
    calcium,
    ligand,
    pdb_text,
    polymer,
    renamed,
    renumbered,
    water,
    with_altloc,
    with_hydrogens,
    without,
)

HETERO = {"A": [ligand(), calcium(), water()], "B": [water(601)]}
ORIGIN = Provenance("made.pdb", "made", "made.pdb#1")


def files() -> dict[str, bytes]:
    one, two = polymer(12, seed=1), polymer(9, seed=2, chain="B", first=-3)
    ends = pdb_text([one, two], hetero=HETERO)
    made = {
        "two chains": ends,
        "no TER": "".join(line for line in pdb_text([one]).splitlines(keepends=True) if not line.startswith("TER")),
        "altloc": pdb_text([with_altloc(one, 4, {"A": 0.4, "B": 0.6}), two], hetero=HETERO),
        "insertions": pdb_text([renumbered(without(one, [6, 7]), range(1, 11), ["", "A", "B"] + [""] * 7)]),
        "hydrogens": pdb_text([with_hydrogens(one), renamed(two, 3, "MSE")]),
        "waters of their own": pdb_text([one], hetero={"A": [ligand()], "W": [water(), water(502)]}),
        "no end of line": ends.rstrip("\n"),
    }
    return {name: text.encode() for name, text in made.items()}


FILES = files()


def by_general_reader(content: bytes, monkeypatch) -> tuple[Columns, object]:
    with monkeypatch.context() as patch:
        patch.setattr(read_columns, "regular_columns", lambda _: None)
        return read_columns.parse(content, "made.pdb", model=1, assembly=None)


def assert_same(content: bytes, monkeypatch) -> bool:
    """Compare both readers; tell whether the file was regular."""
    ours = regular_columns(content)
    if ours is None:
        return False
    theirs, header = by_general_reader(content, monkeypatch)
    for column in fields(Columns):
        if column.name not in ("polymer", "label"):
            a, b = getattr(ours, column.name), getattr(theirs, column.name)
            assert a.dtype == b.dtype, column.name
            assert np.array_equal(a, b), column.name
    (ours_built, ours_notes), (their_built, their_notes) = (protein_chains(c, header, ORIGIN) for c in (ours, theirs))
    assert ours_notes == their_notes
    assert [report for _, report in ours_built] == [report for _, report in their_built]
    return True


@pytest.mark.parametrize("name", FILES)
def test_ordinary_files_are_regular_and_read_alike(name, monkeypatch):
    assert assert_same(FILES[name], monkeypatch)


def line_of_atom(text: bytes, k: int) -> int:
    lines = [n for n, line in enumerate(text.split(b"\n")) if line.startswith((b"ATOM", b"HETATM"))]
    return lines[k]


@pytest.mark.parametrize(
    ("column", "text"),
    [(30, b"     nan"), (30, b"  1x.500"), (30, b"  - 1.00"), (30, b" 12.34  "), (31, b"1 2.345"), (54, b"      "),
     (60, b"100.2 "), (76, b"  "), (76, b"Xx"), (78, b"9z"), (22, b"A000"), (22, b"0008"), (22, b"  -0"),
     (17, b"AL "), (20, b"A "),
     (22, b"    "), (38, b"-999-.99"),
     (30, b"12345678"), (54, b"******"), (30, b"1.23E+01"), (30, b"--12.345"), (0, b"atom  ")],
)  # fmt: skip
def test_what_is_out_of_the_ordinary_is_left_to_the_general_reader(column, text):
    lines = FILES["two chains"].split(b"\n")
    at = line_of_atom(FILES["two chains"], 7)
    lines[at] = lines[at][:column] + text + lines[at][column + len(text) :]
    assert regular_columns(b"\n".join(lines)) is None


@pytest.mark.parametrize("record", [b"MODEL        1", b"ENDMDL", b"END", b"", b"data_x", b"ANISOU"])
def test_records_that_change_what_the_atoms_mean_are_left_to_the_general_reader(record):
    lines = FILES["two chains"].split(b"\n")
    lines.insert(line_of_atom(FILES["two chains"], 0) if record == b"ANISOU" else 20, record)
    assert regular_columns(b"\n".join(lines)) is None


def test_signs_and_widths_of_numbers(monkeypatch):
    lines = FILES["no TER"].split(b"\n")
    for k, field in enumerate((b"-999.999", b"9999.999", b"  -0.001", b"   0.000", b"  -0.000", b" -12.345")):
        at = line_of_atom(FILES["no TER"], k)
        lines[at] = lines[at][:30] + field + lines[at][38:54] + b"  0.50-10.25" + lines[at][66:]
    content = b"\n".join(lines)
    assert assert_same(content, monkeypatch)
    assert regular_columns(content).coord[:4, 0].tolist() == np.float32([-999.999, 9999.999, -0.001, 0]).tolist()


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Change a few characters, or delete, double or exchange lines."""
    lines = content.split(b"\n")
    for _ in range(chance.randint(1, 2)):
        k, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        kind = chance.random()
        if kind < 0.7 and lines[k]:
            line = bytearray(lines[k])
            line[chance.randrange(len(line))] = chance.choice(b"  --..019AHBCOWNDT+~")
            lines[k] = bytes(line)
        elif kind < 0.8:
            del lines[k]
        elif kind < 0.9:
            lines.insert(other, lines[k])
        else:
            lines[k], lines[other] = lines[other], lines[k]
    return b"\n".join(lines)


def test_damaged_files_are_read_alike_or_left_to_the_general_reader(monkeypatch):
    chance = random.Random(7)
    contents = list(FILES.values())
    n_regular = 0
    for _ in range(400):
        content = damaged(chance.choice(contents), chance)
        try:
            n_regular += assert_same(content, monkeypatch)
        except InputError as error:
            pytest.fail(f"read by columns, refused by the general reader: {error}")
    assert 80 < n_regular < 320


def test_ligands_are_what_the_parser_never_takes_for_a_link():
    for name in LIGANDS.split():
        known = gemmi.find_tabulated_residue(name)
        assert known.found() and not known.is_amino_acid() and not known.is_nucleic_acid(), name


@pytest.mark.parametrize("followers", [[], [water()], [ligand(), water(504)]], ids=len)
def test_ligands_behind_a_chain_without_ter_are_set_apart(followers, monkeypatch):
    text = pdb_text([polymer(12, seed=1)], hetero={"A": followers})
    content = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("TER")).encode()
    assert assert_same(content, monkeypatch)
    n_others = len(regular_columns(content).polymer) - 12
    assert regular_columns(content).polymer.tolist() == [True] * 12 + [False] * n_others


def test_waters_before_the_end_of_their_chain_are_no_residues_of_it(monkeypatch):
    """Some programs write the TER record behind the waters."""
    text = pdb_text([polymer(12, seed=1)], hetero={"A": [water(), water(504)]})
    lines = text.splitlines(keepends=True)
    end = next(k for k, line in enumerate(lines) if line.startswith("TER"))
    last_water = max(k for k, line in enumerate(lines) if line.startswith("HETATM"))
    lines.insert(last_water, lines.pop(end))
    content = "".join(lines).encode()
    assert b"HOH" in content.partition(b"TER")[0]
    assert assert_same(content, monkeypatch)
    assert regular_columns(content).polymer.tolist() == [True] * 12 + [False] * 2
