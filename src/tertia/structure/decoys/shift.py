"""Register shift: stretches of the sequence slide along the backbone by one to four residues."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tertia.structure.decoys.trace import Shape, Trace, unit

_MOST_SHIFT = 4


@dataclass(frozen=True, eq=False)
class RegisterShift:
    """Stretches in the order in which they slide; they do not overlap."""

    native: Trace
    stretches: tuple[tuple[int, int, int], ...]  # (start, stop, residues to slide by)

    def at(self, strength: float) -> Shape:
        """Slide the first stretches whole and the last one by a part of its length."""
        native, length = self.native, len(self.native)
        place, done = np.arange(length, dtype=np.float64), []
        budget = strength * sum(stop - start for start, stop, _ in self.stretches)
        for start, stop, by in self.stretches:
            stop = start + min(round(budget), stop - start)
            budget -= stop - start
            if stop - start >= 5:
                _slide(place, start, stop, by)
                done.append([int(native.residue[start]), int(native.residue[stop - 1]) + 1, by])
        trace = _at(native, place)
        moving = np.abs(np.diff(place) - 1.0) > 1e-6
        loose = np.concatenate([moving, [False]]) | np.concatenate([[False], moving])
        return Shape(trace, trace.alpha, trace.alpha, loose, {"shifts": done})


def draw(native: Trace, others: list[Trace], generator: np.random.Generator) -> RegisterShift | None:
    """Cut the chain at loops and draw a shift for each piece."""
    length = len(native)
    edges = _edges(native, generator)
    if len(edges) < 2:
        return None
    stretches = []
    for start, stop in pairwise(edges):
        room = min(_MOST_SHIFT, (stop - start) // 3)
        by = int(generator.integers(1, max(room, 1) + 1) * generator.choice([-1, 1]))
        if (stop + by > length) or (start + by < 0):
            by = -by
        stretches.append((start, stop, by))
    order = generator.permutation(len(stretches))
    return RegisterShift(native, tuple(stretches[k] for k in order))


def _edges(native: Trace, generator: np.random.Generator) -> list[int]:
    """Return cuts that divide the chain into stretches of 8 to some 40 residues, at loops where there are loops."""
    length = len(native)
    edges, at = [0], 0
    while True:
        first, last = at + 8, min(at + int(generator.integers(15, 45)), length)
        if length - first < 8:
            break
        window = np.arange(first, min(last, length - 8) + 1)
        chance = native.looseness[np.minimum(window, length - 1)] ** 4
        at = int(generator.choice(window, p=chance / chance.sum()))
        edges.append(at)
    return [*edges, length]


def _slide(place: np.ndarray, start: int, stop: int, by: int) -> None:
    """Move the places of a stretch, in place, with ramps at both ends over which the chain is stretched or bunched."""
    ramp = min(3 * abs(by) + 1, (stop - start) // 2)
    inside = np.arange(start, stop)
    rise = np.minimum(inside - start + 1, stop - inside) / (ramp + 1.0)
    place[start:stop] += by * np.clip(rise, 0.0, 1.0)
    np.clip(place, 0.0, len(place) - 1.0, out=place)


def _at(native: Trace, place: np.ndarray) -> Trace:
    """Return the trace with residues at places between residues; a ramp zigzags a little where it is bunched."""
    low = np.minimum(place.astype(int), len(place) - 2)
    part = (place - low)[:, None]

    def between(coord: np.ndarray | None) -> np.ndarray | None:
        return None if coord is None else coord[low] * (1.0 - part) + coord[low + 1] * part

    alpha = between(native.alpha)
    onward = np.diff(alpha, axis=0, append=2.0 * alpha[-1:] - alpha[-2:-1])
    side = unit(np.cross(alpha - alpha.mean(axis=0), onward))
    bunched = np.concatenate([[False], np.diff(place) < 0.9])
    push = np.where(bunched, 1.5 * (-1.0) ** np.arange(len(place)), 0.0)[:, None] * side
    n, c = (None if part is None else between(part) + push for part in (native.n, native.c))
    return replace(native, alpha=alpha + push, n=n, c=c)
