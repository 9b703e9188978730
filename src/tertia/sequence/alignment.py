"""Local alignment of one sequence with many: score, identity and coverage, in numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tertia.residues import LETTERS, N_INDICES, letter_indices

GAP_OPEN, GAP_EXTEND = 11, 1
"""Cost of the first and of each further gap column (BLAST's and MMseqs2's default for BLOSUM62)."""

LAMBDA, KAPPA = 0.267, 0.041
"""Karlin-Altschul constants of BLOSUM62 with these gap costs (Altschul & Gish 1996)."""

# Henikoff & Henikoff 1992; rows and columns in the order ARNDCQEGHILKMFPSTWYV, lower triangle.
_BLOSUM62 = """
A  4
R -1  5
N -2  0  6
D -2 -2  1  6
C  0 -3 -3 -3  9
Q -1  1  0  0 -3  5
E -1  0  0  2 -4  2  5
G  0 -2  0 -1 -3 -2 -2  6
H -2  0  1 -1 -3  0  0 -2  8
I -1 -3 -3 -3 -1 -3 -3 -4 -3  4
L -1 -2 -3 -4 -1 -2 -3 -4 -3  2  4
K -1  2  0 -1 -3  1  1 -2 -1 -3 -2  5
M -1 -1 -2 -3 -1  0 -2 -3 -2  1  2 -1  5
F -2 -3 -3 -3 -2 -3 -3 -3 -1  0  0 -3  0  6
P -1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4  7
S  1 -1  1  0 -1  0  0  0 -1 -2 -2  0 -1 -2 -1  4
T  0 -1  0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1  1  5
W -3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1  1 -4 -3 -2 11
Y -2 -2 -2 -3 -2 -1 -2 -3  2 -1 -1 -2 -1  3 -3 -2 -2  2  7
V  0 -3 -3 -3 -1 -2 -2 -3 -3  3  1 -2  1 -1 -2 -2  0 -3 -1  4
"""

# One int64 holds a cell: score, matches, and where the alignment began, so that one maximum carries them all.
_BITS = 13  # positions up to 8,191
_MATCH, _SCORE = 1 << (2 * _BITS), 1 << (3 * _BITS)
_LOW = (1 << _BITS) - 1
MAX_LENGTH = _LOW - 1


def _substitution_scores() -> np.ndarray:
    """Return (22, 22) int64 scores by letter index; nothing (0) never aligns, unknown (21) scores -1."""
    scores = np.full((N_INDICES, N_INDICES), -1, np.int64)
    rows = [line.split() for line in _BLOSUM62.strip().splitlines()]
    order = [LETTERS.index(row[0]) + 1 for row in rows]
    for a, row in zip(order, rows, strict=True):
        for b, value in zip(order, row[1:], strict=False):
            scores[a, b] = scores[b, a] = int(value)
    scores[0] = scores[:, 0] = -1000
    return scores


SCORES = _substitution_scores()


@dataclass(frozen=True)
class Alignments:
    """Best local alignment of one query with each of n targets; columns of equal length."""

    score: np.ndarray  # (n,) int64
    identity: np.ndarray  # (n,) float64, identical pairs / residues of the longer of the two aligned stretches
    columns: np.ndarray  # (n,) int64, residues of the longer of the two aligned stretches
    query_coverage: np.ndarray  # (n,) float64, aligned stretch / query length
    target_coverage: np.ndarray  # (n,) float64, aligned stretch / target length

    def e_value(self, n_query: int, n_database: int) -> np.ndarray:
        """Return (n,) how many alignments as good are expected by chance among n_database residues."""
        return KAPPA * n_query * n_database * np.exp(-LAMBDA * self.score)


def align(query: str, targets: Sequence[str]) -> Alignments:
    """Align a query with all targets at once (Smith & Waterman 1981, affine gaps of Gotoh 1982, BLOSUM62).

    Identity is over the longer of the two aligned stretches, gaps included: alignments with gaps on both sides come
    out slightly more identical than by counting columns, which errs towards finding a neighbour.
    Sequences longer than `MAX_LENGTH` are cut there, the only ones that are.
    """
    query_letter = letter_indices(query[:MAX_LENGTH])
    lengths = np.array([min(len(target), MAX_LENGTH) for target in targets], np.int64)
    letter = np.zeros((len(targets), int(lengths.max(initial=1))), np.uint8)  # (n, L)
    for row, target in zip(letter, targets, strict=True):
        row[: min(len(target), MAX_LENGTH)] = letter_indices(target[:MAX_LENGTH])
    packed = SCORES * _SCORE + np.diag([0, *[1] * 20, 0]) * _MATCH
    best, query_stop, target_stop = _fill(query_letter, letter, packed)
    score, matches = best // _SCORE, best // _MATCH & _LOW
    query_span = query_stop - (best >> _BITS & _LOW)
    target_span = target_stop - (best & _LOW)
    columns = np.maximum(query_span, target_span)
    return Alignments(
        score, matches / np.maximum(columns, 1), columns, query_span / max(len(query), 1),
        target_span / np.array([max(len(target), 1) for target in targets]),
    )  # fmt: skip


def _fill(query: np.ndarray, letter: np.ndarray, packed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the best packed cell of each target (n,), and where it ends in query and target, exclusive."""
    n_targets, length = letter.shape
    column = np.arange(length, dtype=np.int64)
    extend, start = column * (GAP_EXTEND * _SCORE), column + 1
    first = np.int64(GAP_OPEN * _SCORE)
    profile: dict[int, np.ndarray] = {}
    above = np.broadcast_to(np.concatenate([[0], start]), (n_targets, length + 1)).copy()  # (n, L + 1), row before
    up = np.full((n_targets, length), -(10**4) * _SCORE, np.int64)  # best cell that ends in a gap of the target
    best = np.zeros(n_targets, np.int64)
    query_stop, target_stop = np.zeros(n_targets, np.int64), np.zeros(n_targets, np.int64)
    rows = np.arange(n_targets)
    for i, index in enumerate(query.tolist()):
        if index not in profile:
            profile[index] = packed[index][letter]
        cell = above[:, :-1] + profile[index]
        np.maximum(up - GAP_EXTEND * _SCORE, above[:, 1:] - first, out=up)
        np.maximum(cell, up, out=cell)
        np.maximum(cell, ((i + 1) << _BITS) + start, out=cell)
        # A gap in the query: the best cell to the left minus its gap, all columns at once by a running maximum.
        left = np.maximum.accumulate(cell + extend, axis=1)
        np.maximum(cell[:, 1:], left[:, :-1] - extend[:-1] - first, out=cell[:, 1:])
        above[:, 0] = (i + 1) << _BITS
        above[:, 1:] = cell
        stop = cell.argmax(axis=1)
        highest = cell[rows, stop]
        better = highest // _SCORE > best // _SCORE
        best[better], query_stop[better], target_stop[better] = highest[better], i + 1, stop[better] + 1
    return best, query_stop, target_stop
