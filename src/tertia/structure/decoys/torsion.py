"""Torsion noise: phi and psi are disturbed, and the disturbed chain is held near its place by windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tertia.structure.decoys.settle import stretch_of, window_fits
from tertia.structure.decoys.trace import Shape, Trace, unit

_MOST = np.radians(80.0)
"""Standard deviation of phi and psi in loops at full strength."""


@dataclass(frozen=True, eq=False)
class TorsionNoise:
    """Noise of both angles of each residue, and how far along the chain it may add up."""

    native: Trace
    noise: np.ndarray  # (M, 2) float64, of phi and psi, in units of the standard deviation
    half: int  # residues to both sides in the window that holds a residue in its place, at full strength

    def at(self, strength: float) -> Shape:
        """Turn about every bond, then put each residue where the window around it fits best on the native."""
        native, half = self.native, int(6 + strength * self.half)
        turned = turn_bonds(native, strength * _MOST * self.noise)
        rotation, alpha = window_fits(turned.alpha, native.alpha, half=half, stretch=stretch_of(native.bonded))
        offset = alpha - np.einsum("lij,lj->li", rotation, turned.alpha)
        details = {"degrees": round(float(np.degrees(strength * _MOST)), 3), "window": 2 * half + 1}
        loose = strength * _MOST * np.abs(self.noise).max(axis=1) > np.radians(8.0)
        return Shape(turned.moved(rotation, offset), alpha, turned.alpha, loose, details)


def draw(native: Trace, others: list[Trace], generator: np.random.Generator) -> TorsionNoise:
    """Draw noise that is correlated along the chain, psi against the next phi, and is strong in loops."""
    length = len(native)
    white = generator.standard_normal((length, 2))
    noise = white.copy()
    # A turn of psi and an opposite one of the next phi leave the direction of the chain nearly as it is.
    noise[1:, 0] = -0.7 * white[:-1, 1] + 0.71 * white[1:, 0]
    calm = generator.uniform(0.8, 2.2)
    noise *= native.looseness[:, None] ** calm
    return TorsionNoise(native, noise, int(generator.integers(8, max(length // 2, 9))))


def turn_bonds(trace: Trace, angle: np.ndarray) -> Trace:
    """Add to phi and psi, (M, 2) radians, with all bond lengths and angles kept; C-alphas alone turn about CA-CA."""
    alpha, n, c = (None if part is None else np.empty_like(part) for part in (trace.alpha, trace.n, trace.c))
    following = np.concatenate([trace.alpha[1:], 2.0 * trace.alpha[-1:] - trace.alpha[-2:-1]])
    if n is None:
        first, second = None, about(following - trace.alpha, angle.sum(axis=1))
    else:
        first, second = about(trace.alpha - trace.n, angle[:, 0]), about(trace.c - trace.alpha, angle[:, 1])
    step = np.diff(trace.alpha, axis=0, prepend=trace.alpha[:1])
    rotation, place = np.eye(3), trace.alpha[0]
    for k in range(len(trace)):
        place = place + rotation @ step[k]
        alpha[k] = place
        if n is not None:
            n[k] = place + rotation @ (trace.n[k] - trace.alpha[k])
            rotation = rotation @ first[k]
            c[k] = place + rotation @ (trace.c[k] - trace.alpha[k])
        rotation = rotation @ second[k]
    return replace(trace, alpha=alpha, n=n, c=c)


def about(axis: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
    """Return the rotations (..., 3, 3) by angles (...) in radians about axes (..., 3) (Rodrigues)."""
    x, y, z = np.moveaxis(unit(axis), -1, 0)
    angle = np.asarray(angle)[..., None, None]
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*axis.shape, 3)
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
