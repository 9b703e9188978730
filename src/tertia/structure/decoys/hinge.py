"""Hinge moves: a part of the chain turns as a rigid body about one loop, or about two."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tertia.structure.decoys.torsion import about
from tertia.structure.decoys.trace import CONTACT, Shape, Trace, unit
from tertia.structure.geometry import distance_map

_MOST = np.radians(120.0)
_LARGEST_CLASH = 3.4  # Angstrom, CA-CA, below which residues are inside each other
_N_TRIES = 12
_N_HINGES = 9


@dataclass(frozen=True, eq=False)
class Turn:
    """One rigid part and how it turns."""

    start: int
    stop: int
    axis: np.ndarray  # (3,) unit vector
    angle: float  # at full strength, radians

    def apply(self, trace: Trace, strength: float) -> Trace:
        """Turn the residues from start to stop about the axis through the C-alpha at the first hinge."""
        pivot = trace.alpha[self.start if self.start else self.stop - 1]
        rotation = about(self.axis, strength * self.angle)
        inside = ((np.arange(len(trace)) >= self.start) & (np.arange(len(trace)) < self.stop))[:, None]

        def place(coord: np.ndarray | None) -> np.ndarray | None:
            return None if coord is None else np.where(inside, (coord - pivot) @ rotation.T + pivot, coord)

        return replace(trace, alpha=place(trace.alpha), n=place(trace.n), c=place(trace.c))


@dataclass(frozen=True, eq=False)
class HingeMoves:
    """Turns, the first of which come first as the strength grows."""

    native: Trace
    turns: tuple[Turn, ...]

    def at(self, strength: float) -> Shape:
        """Apply the turns; each has its share of the strength."""
        trace, done = self.native, []
        loose = np.zeros(len(trace), dtype=bool)
        for k, turn in enumerate(self.turns):
            part = min(max(strength * len(self.turns) - k, 0.0), 1.0)
            if part > 0.0:
                trace = turn.apply(trace, part)
                loose[[max(turn.start - 1, 0), turn.start, turn.stop - 1, min(turn.stop, len(trace) - 1)]] = True
                degrees = round(float(np.degrees(part * turn.angle)), 2)
                done.append([int(trace.residue[turn.start]), int(trace.residue[turn.stop - 1]) + 1, degrees])
        return Shape(trace, trace.alpha, self.native.alpha, loose, {"turns": done})


def draw(native: Trace, others: list[Trace], generator: np.random.Generator) -> HingeMoves:
    """Draw turns one after the other; of several tries each, that with the fewest clashes and most contacts stays."""
    trace, turns = native, []
    n_contacts = _n_contacts(native.alpha)
    for _ in range(_N_HINGES):
        tries = [_turn(trace, generator) for _ in range(_N_TRIES)]
        turns.append(min(tries, key=lambda turn: _badness(turn.apply(trace, 0.6).alpha, n_contacts)))
        trace = turns[-1].apply(trace, 1.0)
    return HingeMoves(native, tuple(turns))


def _turn(trace: Trace, generator: np.random.Generator) -> Turn:
    length = len(trace)
    chance = trace.looseness**3
    chance[: min(4, length // 4)] = 0.0
    chance[length - min(4, length // 4) :] = 0.0
    chance /= chance.sum()
    first, second = sorted(generator.choice(length, size=2, p=chance).tolist())
    angle = float(_MOST * generator.uniform(0.25, 1.0) * generator.choice([-1.0, 1.0]))
    if second - first >= 8 and generator.random() < 0.5:
        # Between two hinges, about the line through both: the chain stays closed.
        return Turn(first, second, unit(trace.alpha[second] - trace.alpha[first]), angle)
    axis = unit(generator.standard_normal(3))
    return Turn(first, length, axis, angle) if first > length // 2 else Turn(0, first, axis, angle)


def _badness(alpha: np.ndarray, n_contacts: int) -> float:
    distance = distance_map(alpha)
    n_clashes = np.count_nonzero(np.triu(distance < _LARGEST_CLASH, 3))
    n_kept = np.count_nonzero(np.triu(distance < CONTACT, 3))
    return n_clashes + 0.1 * max(n_contacts - n_kept, 0)


def _n_contacts(alpha: np.ndarray) -> int:
    return int(np.count_nonzero(np.triu(distance_map(alpha) < CONTACT, 3)))
