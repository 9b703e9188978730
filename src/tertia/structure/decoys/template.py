"""Template threading: the sequence on the backbone of another chain, by an alignment with deletions and insertions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tertia.residues import LETTERS, N_INDICES, letter_indices
from tertia.structure.decoys.trace import Shape, Trace, runs
from tertia.structure.geometry import superpose

_CLASSES = ("AVILMFWYC", "GP", "STNQH", "DE", "KR")
_SAME, _ALIKE, _OTHER, _GAP = 5.0, 1.0, -1.5, 6.0
"""Gain of two residues that are the same, of one class, of two; cost of a residue without a partner."""
_REGULAR = 3.0
"""Gain where both residues, or neither, are in a helix or strand: threading looks at structure."""
_RAMP = 3
"""Residues over which the chain goes over from its own place to that of the template."""


@dataclass(frozen=True, eq=False)
class Threading:
    """An alignment with a template, of which a part is followed."""

    native: Trace
    template: Trace
    partner: np.ndarray  # (M,) int, residue of the template, -1 without
    centre: int  # residue around which the part that follows the template grows

    def at(self, strength: float) -> Shape:
        """Thread a part of the chain, of the given share of its length."""
        native, length = self.native, len(self.native)
        n_threaded = round(strength * length)
        start = int(np.clip(self.centre - n_threaded // 2, 0, length - n_threaded))
        inside = (np.arange(length) >= start) & (np.arange(length) < start + n_threaded)
        aligned = np.flatnonzero((self.partner >= 0) & inside)
        details = {"threaded": [start, start + n_threaded], "aligned": len(aligned), "template": self.template.name}
        if len(aligned) < 5:
            return Shape(native, native.alpha, native.alpha, np.zeros(length, bool), {**details, "aligned": 0})
        rotation, shift, _ = superpose(self.template.alpha[self.partner[aligned]], native.alpha[aligned])
        placed = self.template.moved(rotation, shift).taking(self.partner[aligned])
        trace = _replaced(native, aligned, placed)
        follows = np.zeros(length, dtype=bool)
        follows[aligned] = True
        trace, made = _bridged(trace, follows, inside)
        loose = made | _jumps(trace.alpha, native.bonded)
        return Shape(trace, trace.alpha, trace.alpha, loose, details)


def draw(native: Trace, others: list[Trace], generator: np.random.Generator) -> Threading | None:
    """Draw a template and an alignment with it that is good, not best: noise is added to the scores."""
    fitting = [other for other in others if len(other) >= max(len(native) // 2, 10)] or list(others)
    if not fitting:
        return None
    template = fitting[int(generator.integers(len(fitting)))]
    if len(template) > 2 * len(native) + 50:
        begin = int(generator.integers(len(template) - 2 * len(native)))
        template = template.taking(np.arange(begin, begin + 2 * len(native)))
    if (template.n is None) != (native.n is None):
        template = replace(template, n=None, c=None)
    score = _scores()[letter_indices(native.letters)[:, None], letter_indices(template.letters)[None, :]]
    score += _REGULAR * (native.regular[:, None] == template.regular[None, :])
    score += 1.5 * generator.standard_normal(score.shape)
    partner = _align(score)
    return Threading(native, template, partner, int(generator.integers(len(native))))


def _scores() -> np.ndarray:
    """Return (22, 22) gains by letter index."""
    kind = np.zeros(N_INDICES)
    kind[[0, -1]] = -1.0, -2.0  # what is unknown is like nothing
    for number, letters in enumerate(_CLASSES):
        kind[[LETTERS.index(letter) + 1 for letter in letters]] = number
    return np.where(np.eye(N_INDICES, dtype=bool), _SAME, np.where(kind[:, None] == kind, _ALIKE, _OTHER))


def _align(score: np.ndarray) -> np.ndarray:
    """Return the partner of each row, -1 for none: global alignment with free ends (Needleman & Wunsch 1970)."""
    n_rows, n_columns = score.shape
    best = np.zeros((n_rows + 1, n_columns + 1))
    ladder = _GAP * np.arange(n_columns + 1)
    for i in range(n_rows):
        cell = np.maximum(best[i, :-1] + score[i], best[i, 1:] - _GAP)
        row = np.concatenate([[0.0], cell])
        best[i + 1] = np.maximum.accumulate(row + ladder) - ladder
    partner = np.full(n_rows, -1)
    last_row, last_column = best[:, -1].argmax(), best[-1].argmax()
    i, j = (n_rows, int(last_column)) if best[-1, last_column] >= best[last_row, -1] else (int(last_row), n_columns)
    while i > 0 and j > 0:
        if np.isclose(best[i, j], best[i - 1, j - 1] + score[i - 1, j - 1]):
            i, j = i - 1, j - 1
            partner[i] = j
        elif np.isclose(best[i, j], best[i - 1, j] - _GAP):
            i -= 1
        else:
            j -= 1
    return partner


def _replaced(native: Trace, rows: np.ndarray, placed: Trace) -> Trace:
    def put(coord: np.ndarray | None, new: np.ndarray | None) -> np.ndarray | None:
        if coord is None or new is None:
            return coord
        coord = coord.copy()
        coord[rows] = new
        return coord

    return replace(native, alpha=put(native.alpha, placed.alpha), n=put(native.n, placed.n), c=put(native.c, placed.c))


def _bridged(trace: Trace, follows: np.ndarray, inside: np.ndarray) -> tuple[Trace, np.ndarray]:
    """Lead insertions from one side to the other in an arc outwards; return which residues were made."""
    length, made = len(trace), np.zeros(len(trace), dtype=bool)
    alpha, n, c = (None if part is None else part.copy() for part in (trace.alpha, trace.n, trace.c))
    centre = trace.alpha.mean(axis=0)
    for start, stop in runs(inside & ~follows):
        if start == 0 or stop == length:
            continue  # ends keep the place that they have
        first, last = alpha[start - 1], alpha[stop]
        part = (np.arange(1, stop - start + 1) / (stop - start + 1.0))[:, None]
        outward = (first + last) / 2.0 - centre
        outward /= max(float(np.linalg.norm(outward)), 1e-6)
        slack = max(3.0 * (stop - start + 1) - float(np.linalg.norm(last - first)), 0.0)
        new = first + part * (last - first) + 0.5 * slack * np.sin(np.pi * part) * outward
        if n is not None:
            n[start:stop] += new - alpha[start:stop]
            c[start:stop] += new - alpha[start:stop]
        alpha[start:stop] = new
        made[start:stop] = True
    return replace(trace, alpha=alpha, n=n, c=c), made


def _jumps(alpha: np.ndarray, bonded: np.ndarray) -> np.ndarray:
    """Return the residues near a bond that is far too long or too short."""
    length = np.linalg.norm(np.diff(alpha, axis=0), axis=1)
    loose = np.zeros(len(alpha), dtype=bool)
    for k in np.flatnonzero(bonded & ((length > 4.5) | (length < 3.0))):
        loose[max(k - _RAMP, 0) : k + 2 + _RAMP] = True
    return loose
