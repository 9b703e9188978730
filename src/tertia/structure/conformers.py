"""One conformer a residue: alternative locations and microheterogeneity resolved by occupancy."""

from __future__ import annotations

import numpy as np


def choose_conformers(
    altloc: np.ndarray, name: np.ndarray, occupancy: np.ndarray, first_atom: np.ndarray
) -> tuple[np.ndarray, dict[int, tuple[str, str]]]:
    """Keep one conformer of each residue: that of the highest mean occupancy, the first listed where they tie.

    An atom that exists only in another conformer is kept from there, so that no residue and no atom name is lost.

    Parameters
    ----------
    altloc: (A,) uint8 characters, 0 where there is none.
    name: (A,) S8.
    occupancy: (A,) float32.
    first_atom: (R + 1,) int64, atoms of residue r are first_atom[r] : first_atom[r + 1].

    Returns
    -------
    kept: (A,) bool.
    chosen: residue -> (codes found, code kept), for residues with alternatives.
    """
    kept = np.ones(len(name), dtype=bool)
    chosen: dict[int, tuple[str, str]] = {}
    residues = np.unique(np.searchsorted(first_atom, np.flatnonzero(altloc), side="right") - 1)
    for residue in residues.tolist():
        rows = slice(first_atom[residue], first_atom[residue + 1])
        codes, weights = altloc[rows].tolist(), occupancy[rows].tolist()
        best = _best_code(codes, weights)
        kept[rows] = _one_a_name(name[rows].tolist(), codes, weights, best)
        chosen[residue] = (",".join(sorted({chr(code) for code in codes if code})), chr(best & 0xFF))
    return kept, chosen


def _best_code(codes: list[int], weights: list[float]) -> int:
    sums: dict[int, list[float]] = {}
    for code, weight in zip(codes, weights, strict=True):
        if code:
            sums.setdefault(code, []).append(weight)
    # max keeps the first of equals, and dicts keep the order of the file; rounding hides float noise of the mean.
    return max(sums, key=lambda code: round(sum(sums[code]) / len(sums[code]), 4))


def _one_a_name(names: list[bytes], codes: list[int], weights: list[float], best: int) -> list[bool]:
    winner: dict[bytes, tuple[tuple[bool, bool, float], int]] = {}
    for row, (name, code, weight) in enumerate(zip(names, codes, weights, strict=True)):
        rank = (code == best, code == 0, weight)
        if name not in winner or rank > winner[name][0]:
            winner[name] = (rank, row)
    rows = {row for _, row in winner.values()}
    return [row in rows for row in range(len(names))]


def repeated_names(name: np.ndarray, residue_of_atom: np.ndarray) -> np.ndarray:
    """Return the rows, ascending, of atoms whose name occurred earlier in the same residue."""
    # Names of up to four letters fit 32 bits beside the residue; longer ones only occur in ligands.
    key = residue_of_atom.astype(np.int64)
    key <<= 32
    key |= name.view(np.uint32)[::2]
    in_order = key.copy()
    in_order.sort()
    if (in_order[1:] != in_order[:-1]).all():
        return np.zeros(0, dtype=np.intp)
    order = np.argsort(key, kind="stable")
    again = key[order][1:] == key[order][:-1]
    return np.sort(order[1:][again])
