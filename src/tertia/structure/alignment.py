"""Which residue of a model is which residue of its native structure: by their numbers, else by their letters."""

from __future__ import annotations

import numpy as np

from tertia.residues import UNKNOWN
from tertia.structure.chain import Chain
from tertia.structure.register import BROKEN, steps

_SAME, _OTHER = 4, -6  # what a column of equal and of different letters adds
_GAP_AT_BREAK, _GAP_IN_CHAIN = 5, 9
"""Cost of a gap of any length: less where the structure has one too, so that it comes to lie there."""


def residue_pairs(native: Chain, model: Chain) -> np.ndarray:
    """Return the residues that both structures show, (P, 2) int64: 0-based positions in native and model, ascending.

    Only equal letters are paired, and never X. Equal residue numbers decide where they pair as many residues as the
    letters do: a global alignment with free ends (Gotoh 1982, gaps of any length at one price).
    """
    at, other_at = np.flatnonzero(native.seen), np.flatnonzero(model.seen)
    by_number = _pairs_by_number(native, model)
    if len(by_number) == min(len(at), len(other_at)):
        return by_number
    letter, other = _letters(native)[at], _letters(model)[other_at]
    row, column = _aligned(letter, other, _gap_costs(native, at), _gap_costs(model, other_at)).T
    same = (letter[row] == other[column]) & (letter[row] != ord(UNKNOWN))
    by_letter = np.stack([at[row[same]], other_at[column[same]]], axis=1)
    return by_letter if len(by_letter) > len(by_number) else by_number


def _letters(chain: Chain) -> np.ndarray:
    return np.frombuffer(chain.sequence.encode(), np.uint8)


def _pairs_by_number(native: Chain, model: Chain) -> np.ndarray:
    """Return the pairs of equal numbers, (P, 2); none at all where any two of them have different letters."""
    none = np.empty((0, 2), np.int64)
    place = {name: k for k, name in enumerate(model.residue_id) if name and model.seen[k]}
    pairs = [(k, place[name]) for k, name in enumerate(native.residue_id) if native.seen[k] and name in place]
    if any(native.sequence[a] != model.sequence[b] or native.sequence[a] == UNKNOWN for a, b in pairs):
        return none
    pairs = np.array(pairs, np.int64).reshape(-1, 2)
    return pairs if (np.diff(pairs, axis=0) > 0).all() else none


def _gap_costs(chain: Chain, at: np.ndarray) -> np.ndarray:
    """Return the cost of skipping residues of the other chain before each residue of `at` and at the end, (n + 1,)."""
    cost = np.full(len(at) + 1, 0)  # free before the first and behind the last
    cost[1:-1] = np.where(steps(chain.alpha[at]) <= BROKEN, _GAP_IN_CHAIN, _GAP_AT_BREAK)
    return cost


def _aligned(native: np.ndarray, model: np.ndarray, native_gap: np.ndarray, model_gap: np.ndarray) -> np.ndarray:
    """Return the columns of the best global alignment, (P, 2) rows of both, ascending.

    Parameters
    ----------
    native, model: (n,), (m,) letters.
    native_gap, model_gap: (n + 1,), (m + 1,) cost of a gap before each letter.
    """
    n, m = len(native), len(model)
    lowest = -(10**6)
    paired = np.full((n + 1, m + 1), lowest)  # best that ends with a pair, or with nothing at all
    above = np.full((n + 1, m + 1), lowest)  # best that ends with native letters alone
    best = np.empty((n + 1, m + 1), np.int64)  # best of all, also those that end with letters of the model alone
    paired[0, 0] = 0
    for i in range(n + 1):
        if i:
            paired[i, 1:] = best[i - 1, :-1] + np.where(native[i - 1] == model, _SAME, _OTHER)
            above[i] = np.maximum(above[i - 1], best[i - 1] - model_gap)
        best[i] = np.maximum(paired[i], above[i])
        left = np.maximum.accumulate(best[i])[:-1] - native_gap[i]
        best[i, 1:] = np.maximum(best[i, 1:], left)
    return _traced(paired, above, best, native_gap)


def _traced(paired: np.ndarray, above: np.ndarray, best: np.ndarray, native_gap: np.ndarray) -> np.ndarray:
    columns: list[tuple[int, int]] = []
    i, j = best.shape[0] - 1, best.shape[1] - 1
    while i and j:
        if best[i, j] == paired[i, j]:
            i, j = i - 1, j - 1
            columns.append((i, j))
        elif best[i, j] == above[i, j]:
            while above[i, j] == above[i - 1, j]:
                i -= 1
            i -= 1
        else:
            before = np.maximum(paired[i, :j], above[i, :j])
            j = int(np.flatnonzero(before - native_gap[i] == best[i, j])[-1])
    return np.array(columns[::-1], np.int64).reshape(-1, 2)
