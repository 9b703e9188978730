"""What the geometry along a chain looks like in proteins: drawn once for a decoy, it leads the repair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tertia.structure.decoys.trace import Trace, along
from tertia.structure.geometry import dihedrals

BOND = 3.82
"""CA-CA in Angstrom across a trans peptide bond: the median of predicted models; crystals have 3.80."""
CIS = 3.3
"""Below this many Angstrom a native CA-CA bond is cis and stays as long as it is."""
_N_TURNS = 120
_PULL = 1.5
"""Weight of the density in the choice of a turn; 1 takes what is likeliest if geometry scatters by the widths."""
_WIDTHS = np.array([0.5, 0.5, 0.5])  # of Angstrom, Angstrom, and chord of the dihedral, in the search for the nearest


@dataclass(frozen=True, eq=False)
class Texture:
    """Bond lengths, turns of the chain as they occur, and how much the fold may swell."""

    bond: np.ndarray  # (M - 1,) float64, Angstrom
    turns: np.ndarray  # (K, 4) float64, d(i, i+2), d(i+1, i+3), dihedral in radians, d(i, i+3); Angstrom
    rarity: np.ndarray  # (K,) float64, in the square of a distance: what is rare must be nearer to be taken
    swell: float  # largest ratio to the native's radius of gyration

    @classmethod
    def draw(cls, native: Trace, others: list[Trace], generator: np.random.Generator, *, aim: float) -> Texture:
        """Draw from the native and three others; the worse the decoy, the more its size may differ."""
        first = along(native.alpha, 1)
        noise = generator.standard_normal(len(first))
        noise[1:] = 0.3 * noise[:-1] + 0.95 * noise[1:]
        spread = float(np.exp(generator.uniform(np.log(0.015), np.log(0.06))))
        usual = BOND + 0.02 * np.clip(generator.standard_normal(), -2.0, 2.0)
        bond = np.where(first < CIS, first, usual + np.clip(spread * noise, -0.13, 0.13))
        chosen = [others[k] for k in generator.permutation(len(others))[:3]]
        turns = np.concatenate([turns_of(trace) for trace in (native, *chosen)])
        turns = turns[generator.permutation(len(turns))[:_N_TURNS]]
        return cls(bond, turns, _rarity(turns), 1.0 + (1.0 - aim) * float(generator.uniform(0.0, 0.25)))

    def nearest(self, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances two and three places on, (M - 2,) and (M - 3,), of the most similar turns there are."""
        second, angle = along(alpha, 2), dihedrals(alpha)
        if not len(angle) or not len(self.turns):
            return second, along(alpha, 3)
        here = _features(second[:-1], second[1:], angle)  # (M - 3, 4)
        there = _features(*self.turns[:, :3].T)
        best = self.turns[(np.square(there).sum(axis=1) + self.rarity - 2.0 * here @ there.T).argmin(axis=1)]
        wanted, count = np.zeros(len(second)), np.zeros(len(second))
        for column, rows in ((0, slice(None, -1)), (1, slice(1, None))):
            wanted[rows] += best[:, column]
            count[rows] += 1.0
        return wanted / count, best[:, 3]


def turns_of(trace: Trace) -> np.ndarray:
    """Return the turns of a trace, (K, 4) as in `Texture.turns`; those that no protein should have are left out."""
    second, third, angle = along(trace.alpha, 2), along(trace.alpha, 3), dihedrals(trace.alpha)
    bonded = trace.bonded
    whole = bonded[:-2] & bonded[1:-1] & bonded[2:]
    turns = np.stack([second[:-1], second[1:], angle, third], axis=1)[whole]
    sane = (turns[:, :2] > 4.9).all(axis=1) & (turns[:, :2] < 7.4).all(axis=1) & (turns[:, 3] > 4.5)
    return turns[sane]


def _rarity(turns: np.ndarray) -> np.ndarray:
    """Return minus the log density of turns around each, (K,); without it the odd ones attract too many."""
    at = _features(*turns[:, :3].T)
    squares = np.square(at).sum(axis=1)
    near = np.exp(-0.5 * np.maximum(squares[:, None] + squares - 2.0 * at @ at.T, 0.0)).sum(axis=1)
    return -_PULL * np.log(near)


def _features(first: np.ndarray, second: np.ndarray, angle: np.ndarray) -> np.ndarray:
    parts = (first / _WIDTHS[0], second / _WIDTHS[1], np.cos(angle) / _WIDTHS[2], np.sin(angle) / _WIDTHS[2])
    return np.stack(parts, axis=1)
