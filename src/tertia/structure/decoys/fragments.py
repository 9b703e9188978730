"""Fragment swaps: stretches of 5 to 20 residues are replaced by stretches of other chains that fit at the ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tertia.structure.decoys.trace import CONTACT, Shape, Trace
from tertia.structure.geometry import distance_map, superpose

_SHORTEST, _LONGEST = 5, 20
_N_CANDIDATES = 48
_N_OPEN = 5
"""Swaps at the end of the list after which the rest of the chain follows the new end."""


@dataclass(frozen=True, eq=False)
class FragmentSwaps:
    """Swaps in the order in which they are made."""

    native: Trace
    sources: tuple[Trace, ...]
    swaps: tuple[tuple[int, int, int, int, bool], ...]  # (start, length, source, start in the source, opened)

    def at(self, strength: float) -> Shape:
        """Make the first of the swaps."""
        trace = self.native
        loose = np.zeros(len(trace), dtype=bool)
        done = self.swaps[: round(strength * len(self.swaps))]
        for start, length, source, begin, opened in done:
            fragment = _cut(self.sources[source], begin, length)
            trace = _open(trace, start, fragment) if opened else _closed(trace, start, fragment)
            for edge in (start, start + length - 1):
                loose[max(edge - 1, 0) : edge + 2] = True
            loose[start + 2 : start + length - 2] = False
        places = [[int(self.native.residue[start]), length, self.sources[source].name, begin, opened]
                  for start, length, source, begin, opened in done]  # fmt: skip
        return Shape(trace, trace.alpha, trace.alpha, loose, {"swaps": places})


def draw(native: Trace, others: list[Trace], generator: np.random.Generator) -> FragmentSwaps | None:
    """Draw swaps all over the chain, loops first; of several fragments for each, one that fits well at the ends."""
    sources = tuple(others) or (native,)
    n_swaps = max(len(native) // 8, 2)
    swaps, trace = [], native
    chance = native.looseness**2
    for k in range(n_swaps + _N_OPEN):
        length = int(generator.integers(_SHORTEST, _LONGEST + 1))
        if len(native) < length + 4:
            continue
        weight = chance[length // 2 : len(native) - length + length // 2 + 1]
        start = int(generator.choice(len(weight), p=weight / weight.sum()))
        if not native.bonded[start : start + length - 1].all():
            continue
        found = _candidates(native, sources, start, length, generator)
        if not found:
            continue
        opened = k >= n_swaps
        if opened:
            source, begin = min(found[:8], key=lambda one: _badness(
                _open(trace, start, _cut(sources[one[0]], one[1], length)).alpha))  # fmt: skip
            trace = _open(trace, start, _cut(sources[source], begin, length))
        else:
            source, begin = found[int(generator.integers(min(4, len(found))))]
        swaps.append((start, length, source, begin, opened))
    return FragmentSwaps(native, sources, tuple(swaps)) if swaps else None


def _candidates(
    native: Trace, sources: tuple[Trace, ...], start: int, length: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Return (source, start) of whole fragments, those that fit best at the ends first."""
    ends = np.array([0, 1, length - 2, length - 1])
    wanted = native.alpha[start + ends]
    found = []
    for _ in range(_N_CANDIDATES):
        source = int(generator.integers(len(sources)))
        room = len(sources[source]) - length
        if room < 0:
            continue
        begin = int(generator.integers(room + 1))
        itself = sources[source] is native and abs(begin - start) < 3
        if not itself and sources[source].bonded[begin : begin + length - 1].all():
            fit = superpose(sources[source].alpha[begin + ends], wanted)[2]
            found.append((fit, source, begin))
    return [(source, begin) for _, source, begin in sorted(found)]


def _cut(source: Trace, begin: int, length: int) -> Trace:
    return source.taking(np.arange(begin, begin + length))


def _put(trace: Trace, start: int, fragment: Trace) -> Trace:
    """Return the trace with the coordinates of the fragment from `start` on."""
    stop = start + len(fragment.alpha)

    def put(coord: np.ndarray | None, new: np.ndarray | None) -> np.ndarray | None:
        if coord is None or new is None:
            return coord
        return np.concatenate([coord[:start], new, coord[stop:]])

    return replace(
        trace, alpha=put(trace.alpha, fragment.alpha), n=put(trace.n, fragment.n), c=put(trace.c, fragment.c)
    )


def _closed(trace: Trace, start: int, fragment: Trace) -> Trace:
    """Put the fragment where it fits both ends best."""
    length = len(fragment.alpha)
    ends = np.array([0, 1, length - 2, length - 1])
    rotation, shift, _ = superpose(fragment.alpha[ends], trace.alpha[start + ends])
    return _put(trace, start, fragment.moved(rotation, shift))


def _open(trace: Trace, start: int, fragment: Trace) -> Trace:
    """Put the fragment where its first residues fit; what comes behind goes along with its last residues."""
    length = len(fragment.alpha)
    rotation, shift, _ = superpose(fragment.alpha[:4], trace.alpha[start : start + 4])
    fragment = fragment.moved(rotation, shift)
    stop = start + length
    rotation, shift, _ = superpose(trace.alpha[stop - 4 : stop], fragment.alpha[-4:])
    behind = trace.moved(rotation, shift).taking(np.arange(stop, len(trace)))
    return _put(_put(trace, stop, behind), start, fragment)


def _badness(alpha: np.ndarray) -> float:
    """Count residues inside each other, and prefer many neighbours."""
    distance = distance_map(alpha)
    n_clashes = np.count_nonzero(np.triu(distance < 3.4, 3))
    return n_clashes - 0.25 * np.count_nonzero(np.triu(distance < CONTACT, 3))
