"""Search for the superpositions under which most of a model lies on its native structure.

The search of the TM-score program (Zhang & Skolnick 2004): fragments of several lengths are superposed, then, again and
again, the residues that have come close. All fragments of one length go through together, as rows of a few matrix
products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

N_ROUNDS = 20
FEWEST = 3
"""Points that a superposition needs."""


@dataclass(frozen=True)
class Best:
    """The best values over all superpositions tried; each may come from another one."""

    tm_sum: float  # sum over residues of 1 / (1 + (d / scale)^2)
    n_within: tuple[int, ...]  # residues not further than each cutoff


def search(mobile: np.ndarray, fixed: np.ndarray, *, scale: float, cutoffs: Sequence[float]) -> Best:
    """Try superpositions of `mobile` on `fixed`.

    Parameters
    ----------
    mobile, fixed: (N, 3) Angstrom, in register, all finite; at least 3 points.
    scale: d0 of the TM-score, Angstrom.
    cutoffs: distances in Angstrom that residues are counted within.
    """
    if len(mobile) < FEWEST:
        raise ValueError(f"superposition needs at least {FEWEST} points that both sides have, not {len(mobile)}")
    points = _Points.of(mobile, fixed)
    near = min(max(scale, 4.5), 8.0)  # d0_search of the TM-score program
    tally = _Tally(scale, cutoffs)
    for chosen in _fragments(len(mobile)):
        # The first look is one Angstrom narrower, the later ones one wider, as in the TM-score program.
        chosen = _near(tally.add(points.squared_distances(chosen)), near - 1.0)
        for _ in range(N_ROUNDS):
            following = _near(tally.add(points.squared_distances(chosen)), near + 1.0)
            chosen = _distinct(following[(following != chosen).any(axis=1)])
            if not len(chosen):
                break
    return Best(tally.tm_sum, tuple(tally.n_within.tolist()))


def _fragments(n_points: int) -> list[np.ndarray]:
    """Return the fragments of each length, (S, N) bool: all, half, a quarter ... of the points, down to 4."""
    shortest = min(4, n_points)
    lengths = sorted({max(n_points >> k, shortest) for k in range(5)} | {shortest}, reverse=True)
    groups = []
    for length in lengths:
        start = np.arange(n_points - length + 1)[:, None]
        place = np.arange(n_points)[None, :]
        groups.append((place >= start) & (place < start + length))
    return groups


def _near(squared: np.ndarray, cutoff: float) -> np.ndarray:
    """Return (S, N) bool, the points nearer than the cutoff; where they are too few, the nearest three."""
    near = squared < cutoff**2
    few = near.sum(axis=1) < FEWEST
    if few.any():
        third = np.partition(squared[few], FEWEST - 1, axis=1)[:, FEWEST - 1 : FEWEST]
        # The program widens the cutoff by half an Angstrom until there are enough.
        widened = cutoff + 0.5 * np.ceil(np.maximum(np.sqrt(third) - cutoff, 0.0) / 0.5 + 1e-9)
        near[few] = squared[few] < widened**2
    return near


def _distinct(chosen: np.ndarray) -> np.ndarray:
    """Return each row once: most fragments end in the same few sets."""
    _, first = np.unique(np.packbits(chosen, axis=1), axis=0, return_index=True)
    return chosen[first]


class _Tally:
    """The best values so far."""

    def __init__(self, scale: float, cutoffs: Sequence[float]) -> None:
        self.scale, self.squared_cutoffs = scale, np.square(cutoffs)
        self.tm_sum, self.n_within = 0.0, np.zeros(len(cutoffs), dtype=np.int64)

    def add(self, squared: np.ndarray) -> np.ndarray:
        """Take in squared distances, (S, N), and return them."""
        self.tm_sum = max(self.tm_sum, float((1.0 / (1.0 + squared / self.scale**2)).sum(axis=1).max()))
        within = [(squared <= cutoff).sum(axis=1).max() for cutoff in self.squared_cutoffs]
        self.n_within = np.maximum(self.n_within, within)
        return squared


@dataclass(frozen=True)
class _Points:
    """Two sets of points, with what sums and distances are linear in."""

    fixed_mobile: np.ndarray  # (N, 9) y_a x_b of each point
    mobile: np.ndarray  # (N, 3) x, centred
    fixed: np.ndarray  # (N, 3) y, centred
    squares: np.ndarray  # (N,) |x|^2 + |y|^2

    @classmethod
    def of(cls, mobile: np.ndarray, fixed: np.ndarray) -> _Points:
        x, y = (points.astype(np.float64) - points.mean(axis=0, dtype=np.float64) for points in (mobile, fixed))
        products = (y[:, :, None] * x[:, None, :]).reshape(len(x), 9)
        return cls(products, x, y, np.square(x).sum(axis=1) + np.square(y).sum(axis=1))

    def squared_distances(self, chosen: np.ndarray) -> np.ndarray:
        """Superpose the chosen points, (S, N) bool, and return all squared distances, (S, N) Angstrom^2.

        |R x + t - y|^2 = |x|^2 + |y|^2 + |t|^2 + 2 (R^T t) x - 2 t y - 2 y R x, one matrix product for all S and N.
        """
        weight = chosen / chosen.sum(axis=1, keepdims=True)
        x_centre, y_centre = weight @ self.mobile, weight @ self.fixed
        covariance = (weight @ self.fixed_mobile).reshape(-1, 3, 3) - y_centre[:, :, None] * x_centre[:, None, :]
        rotation = _rotations(covariance)  # (S, 3, 3)
        shift = y_centre - (rotation @ x_centre[:, :, None])[:, :, 0]
        turned_shift = (shift[:, None, :] @ rotation)[:, 0]
        left = np.concatenate([rotation.reshape(-1, 9), -turned_shift, shift], axis=1)
        right = np.concatenate([self.fixed_mobile, self.mobile, self.fixed], axis=1)
        constant = np.square(shift).sum(axis=1, keepdims=True) + self.squares
        return np.maximum(constant - 2.0 * left @ right.T, 0.0)


def _rotations(covariance: np.ndarray) -> np.ndarray:
    """Return the proper rotations, (S, 3, 3), that maximise the trace of R^T C (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(covariance)
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= np.where(sign == 0, 1.0, sign)[:, None]
    return u @ vt
