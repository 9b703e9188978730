"""Which atoms and residues count: no hydrogens, no atoms without a place, one conformer, one residue a place."""

from __future__ import annotations

import numpy as np

from tertia.structure.columns import Columns
from tertia.structure.conformers import choose_conformers
from tertia.structure.report import Change, change

SAME_PLACE = 2.0
"""CA-CA distance in Angstrom below which two residues of one number are alternatives, not neighbours."""

_ELEMENT = {symbol: np.array([symbol], dtype="S2").view(np.uint16)[0] for symbol in ("H", "D", "C")}
_CA = np.array([b"CA"], dtype="S8").view(np.uint64)[0]
_NO_INSERTION = ord(" ")
_FARTHEST = 1e5
"""Angstrom; the columns of a PDB file cannot hold more, and a ribosome has 300."""


class Tidy:
    """The atoms that stay after hydrogens, atoms without a place, alternatives and repetitions are out."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        element = columns.element
        # Compared as numbers: numpy compares strings ten times more slowly.
        code = element.view(np.uint16)
        self.is_hydrogen = (code == _ELEMENT["H"]) | (code == _ELEMENT["D"])
        self.is_placed = _placed(columns.coord)
        self.kept = self.is_placed > self.is_hydrogen
        self.all_kept = bool(self.kept.all())  # but for alternatives
        sizes = columns.first_atom[1:] - columns.first_atom[:-1]
        self.residue_of_atom = np.repeat(np.arange(len(sizes)), sizes)
        self.chosen: dict[int, tuple[str, str]] = {}
        if columns.altloc.any():
            self._choose()
        self.alpha = np.full((len(sizes), 3), np.nan)
        central = np.flatnonzero(columns.name.view(np.uint64) == _CA)
        central = central[(code.take(central) == _ELEMENT["C"]) & self.kept.take(central)]
        self.alpha[self.residue_of_atom.take(central)] = columns.coord.take(central, axis=0)

    def _choose(self) -> None:
        columns, rows = self.columns, np.flatnonzero(self.kept)
        bounds = np.searchsorted(rows, columns.first_atom)
        kept, self.chosen = choose_conformers(columns.altloc[rows], columns.name[rows], columns.occupancy[rows], bounds)
        self.kept[rows[~kept]] = False

    def one_residue_a_place(self, residues: np.ndarray, changes: list[Change]) -> np.ndarray:
        """Resolve microheterogeneity: of several residues at one place keep that of the highest occupancy."""
        c = self.columns
        number, insertion = c.number.take(residues), c.insertion.take(residues)
        same = number[1:] == number[:-1]
        if not same.any():
            return residues
        same &= insertion[1:] == insertion[:-1]
        if not same.any():
            return residues
        groups: list[list[int]] = [[int(residues[0])]]
        for k, joined in enumerate(same.tolist(), start=1):
            here = int(residues[k])
            if joined and self._alternative(groups[-1][0], here):
                groups[-1].append(here)
            else:
                groups.append([here])
        best = [max(group, key=lambda r: round(self._occupancy(r), 4)) for group in groups]
        for group, winner in zip(groups, best, strict=True):
            if len(group) > 1:
                names = [c.residue_name[r].decode("latin1") for r in group]
                changes.append(
                    change("microheterogeneity", self.id_of(winner), ",".join(names), names[group.index(winner)])
                )
        return np.array(best)

    def _alternative(self, first: int, second: int) -> bool:
        c = self.columns
        coded = c.altloc[c.first_atom[second] : c.first_atom[second + 1]].any()
        return bool(coded) or bool(np.linalg.norm(self.alpha[first] - self.alpha[second]) < SAME_PLACE)

    def _occupancy(self, residue: int) -> float:
        rows = slice(self.columns.first_atom[residue], self.columns.first_atom[residue + 1])
        kept = self.kept[rows]
        return float(self.columns.occupancy[rows][kept].mean()) if kept.any() else -1.0

    def ids_of(self, residues: np.ndarray) -> list[str]:
        """Return author numbers with insertion codes."""
        ids = list(map(_TEXT_OF_NUMBER.__getitem__, self.columns.number.take(residues).tolist()))
        insertions = self.columns.insertion.take(residues)
        if (insertions != _NO_INSERTION).any():
            return [number + chr(code).strip() for number, code in zip(ids, insertions.tolist(), strict=True)]
        return ids

    def rows_of(self, residues: np.ndarray) -> np.ndarray | slice:
        """Return the atoms of the residues, in the order of the residues; a slice where they lie in one piece."""
        bounds = self.columns.first_atom
        if (residues[1:] - residues[:-1] == 1).all():
            return slice(int(bounds[residues[0]]), int(bounds[residues[-1] + 1]))
        first, size = bounds[residues], bounds[residues + 1] - bounds[residues]
        before = np.cumsum(size) - size
        return np.arange(int(size.sum())) + np.repeat(first - before, size)

    def id_of(self, residue: int) -> str:
        """Author number and insertion code."""
        return f"{self.columns.number[residue]}{chr(self.columns.insertion[residue]).strip()}"


class _Texts(dict):
    """Numbers as text; nearly all files use the same few thousand."""

    def __missing__(self, number: int) -> str:
        text = str(number)
        if len(self) < 20_000:
            self[number] = text
        return text


_TEXT_OF_NUMBER = _Texts()


def _placed(coord: np.ndarray) -> np.ndarray:
    near = np.abs(coord) < _FARTHEST  # not true for NaN
    return np.ones(len(coord), dtype=bool) if near.all() else near.all(axis=1)
