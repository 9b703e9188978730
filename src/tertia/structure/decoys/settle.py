"""Repair: bring a shape back to the geometry of a protein chain, C-alphas first, then N and C between them.

Distances are restored one kind after the other (position-based dynamics, Müller et al. 2007, section 3.3): bonds, what
lies two and three residues on, clashes, and the size of the whole. Nothing here is drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tertia.structure.decoys.texture import BOND, Texture
from tertia.structure.decoys.trace import Shape, Trace, along
from tertia.structure.geometry import dihedrals

CLASH = 4.0
"""CA-CA in Angstrom that residues three or more apart keep; in crystals 1 in 1,000 such pairs is nearer."""
_SECOND = (5.2, 7.2)  # what CA-CA two residues on may be, Angstrom
_N_ROUNDS, _N_BOND_ROUNDS, _N_BACKBONE_ROUNDS = 160, 20, 120
_CLASH_EVERY = 10
_TURNS_LOOKED_UP = (30, 60, 90, 120)
_TURNED_AWAY = np.radians(30.0)
_BONDS = ((0, 1, 1.458), (1, 2, 1.525), (2, 3, 1.329))
_BACKBONE = ((0, 2, 2.460), (1, 3, 2.425), (2, 4, 2.435), *_BONDS)
"""Distances of N, CA, C (0, 1, 2) and of the next residue's N, CA (3, 4), Angstrom (Engh & Huber 1991)."""


def settle_alpha(shapes: Sequence[Shape], native: Trace, texture: Texture) -> np.ndarray:
    """Return repaired C-alphas of several shapes of one native, (S, M, 3) Angstrom; none depends on the others.

    Parameters
    ----------
    native: gives the bonds and how compact the chain is.
    texture: bond lengths, the size of the whole, and how the chain may turn where a shape is loose.
    """
    # All shapes lie one behind the other in one array: numpy costs little more for ten chains than for one.
    length = len(native)
    alpha = np.concatenate([_joined(shape.alpha, native.bonded) for shape in shapes])
    copies = alpha.reshape(len(shapes), length, 3)
    springs = _all_springs(shapes, native, texture)
    largest, pairs = texture.swell * _size(native.alpha), np.zeros((2, 0), dtype=np.int64)
    for turn in range(_N_ROUNDS):
        if turn % _CLASH_EVERY == 0:
            for copy in copies:
                _shrink(copy, largest)
            pairs = np.concatenate([_near_pairs(copy) + k * length for k, copy in enumerate(copies)], axis=1)
        if turn in _TURNS_LOOKED_UP:
            springs = _all_springs(shapes, native, texture, copies)
        _push_apart(alpha, pairs)
        for spring in springs:
            spring.pull(alpha)
    for _ in range(_N_BOND_ROUNDS):
        for spring in springs[-2:]:
            spring.pull(alpha)
    return copies


def _joined(alpha: np.ndarray, bonded: np.ndarray) -> np.ndarray:
    """Share out the breaks of a chain over the residues to both sides, so that no bond is far too long."""
    alpha = alpha.copy()
    stretch = stretch_of(bonded)
    for k in np.flatnonzero(bonded & (along(alpha, 1) > 1.5 * BOND)):
        gap = alpha[k + 1] - alpha[k]
        length = float(np.linalg.norm(gap))
        shift = 0.5 * (1.0 - BOND / length) * gap
        reach = int(np.ceil(length / 2.0)) + 1
        before, behind = np.arange(k, max(k - reach, -1), -1), np.arange(k + 1, min(k + 1 + reach, len(alpha)))
        for side, rows in ((1.0, before), (-1.0, behind)):
            rows = rows[stretch[rows] == stretch[k]]
            alpha[rows] += side * (1.0 - np.arange(len(rows)) / reach)[:, None] * shift
    return alpha


@dataclass(frozen=True, eq=False)
class _Springs:
    """Distances of pairs of residues; no two pairs have a residue in common, so all can be restored at once."""

    left: np.ndarray  # (P,) int
    right: np.ndarray  # (P,) int
    wanted: np.ndarray  # (P,) float64, Angstrom
    stiffness: np.ndarray  # (P,) float64, 0-1

    def pull(self, alpha: np.ndarray) -> None:
        """Bring the pairs nearer to their distances, in place."""
        apart = alpha[self.right] - alpha[self.left]
        length = np.maximum(np.sqrt(np.einsum("ld,ld->l", apart, apart)), 1e-6)
        shift = (0.5 * self.stiffness * (length - self.wanted) / length)[:, None] * apart
        alpha[self.left] += shift
        alpha[self.right] -= shift


def _turned_away(local: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return (M,) bool, residues about which the chain turns another way than it should: distances cannot mend that."""
    difference = dihedrals(alpha) - dihedrals(local)
    away = np.cos(difference) < np.cos(_TURNED_AWAY)
    out = np.zeros(len(alpha), dtype=bool)
    out[1 : len(away) + 1] = away
    return out


def _all_springs(
    shapes: Sequence[Shape], native: Trace, texture: Texture, copies: np.ndarray | None = None
) -> list[_Springs]:
    """Return springs of all shapes: between residues three, two and, last, one place apart, in two sets each."""
    every = [_springs(shape, native, texture, None if copies is None else copies[k]) for k, shape in enumerate(shapes)]
    joined = []
    for same in zip(*every, strict=True):
        shift = np.repeat(np.arange(len(shapes)) * len(native), [len(one.left) for one in same])
        left, right = (np.concatenate([getattr(one, side) for one in same]) + shift for side in ("left", "right"))
        wanted, stiffness = (np.concatenate([getattr(one, name) for one in same]) for name in ("wanted", "stiffness"))
        joined.append(_Springs(left, right, wanted, stiffness))
    return joined


def _springs(shape: Shape, native: Trace, texture: Texture, alpha: np.ndarray | None = None) -> list[_Springs]:
    """Return springs between residues three, two and, last, one place apart, in two sets each.

    Where the shape is loose they lead to its own distances or, given C-alphas, to turns that are like those.
    """
    wanted = {1: texture.bond, 2: along(shape.local, 2), 3: along(shape.local, 3)}
    stiffness = {1: np.ones(len(texture.bond))}
    lost = shape.loose if alpha is None else shape.loose | _turned_away(shape.local, alpha)
    turns = dict(zip((2, 3), (wanted[2], wanted[3]) if alpha is None else texture.nearest(alpha), strict=True))
    for step in (2, 3):
        loose = np.logical_or.reduce([lost[k : len(wanted[step]) + k] for k in range(step + 1)])
        wanted[step] = np.where(loose, turns[step], wanted[step])
        stiffness[step] = np.where(loose, 0.15 if alpha is None else 0.5, 0.5)
    wanted[2] = np.clip(wanted[2], *_SECOND)
    springs = []
    for step in (3, 2, 1):
        start = np.arange(len(wanted[step]))
        whole = np.logical_and.reduce([native.bonded[k : len(start) + k] for k in range(step)])
        for colour in range(2):
            # Pairs that start in every other block of `step` residues share none.
            chosen = start[whole & ((start // step) % 2 == colour)]
            springs.append(_Springs(chosen, chosen + step, wanted[step][chosen], stiffness[step][chosen]))
    return springs


def _near_pairs(alpha: np.ndarray) -> np.ndarray:
    """Return (2, P) pairs of residues three or more apart that are, or may soon be, nearer than a clash."""
    return np.stack(np.triu(squared_distances(alpha) < (CLASH + 1.5) ** 2, 3).nonzero())


def squared_distances(alpha: np.ndarray) -> np.ndarray:
    """Return (M, M) Angstrom^2; quick, and good to some 1e-10."""
    centred = alpha - alpha.mean(axis=0)
    squares = np.einsum("ld,ld->l", centred, centred)
    return squares[:, None] + squares[None, :] - 2.0 * centred @ centred.T


def _push_apart(alpha: np.ndarray, pairs: np.ndarray) -> None:
    left, right = pairs
    apart = alpha[right] - alpha[left]
    length = np.maximum(np.sqrt(np.einsum("ld,ld->l", apart, apart)), 1e-6)
    close = np.flatnonzero(length < CLASH)
    if len(close):
        left, right, length = left[close], right[close], length[close]
        shift = (0.25 * (CLASH - length) / length)[:, None] * apart[close]
        np.add.at(alpha, left, -shift)
        np.add.at(alpha, right, shift)


def _size(alpha: np.ndarray) -> float:
    """Return the radius of gyration, Angstrom."""
    return float(np.sqrt(np.square(alpha - alpha.mean(axis=0)).sum(axis=1).mean()))


def _shrink(alpha: np.ndarray, largest: float) -> None:
    """Bring a chain that has swollen a little nearer to its largest size, in place."""
    centre = alpha.mean(axis=0)
    ratio = max(largest / max(_size(alpha), 1e-6), 0.97)
    if ratio < 0.99:
        alpha[:] = centre + (alpha - centre) * ratio


def settle(shape: Shape, native: Trace, texture: Texture) -> Trace:
    """Return a trace with the letters and residues of the native, and all its atoms repaired."""
    alpha = settle_alpha([shape], native, texture)[0]
    if native.n is None:
        return replace(native, alpha=alpha)
    rotation, _ = window_fits(shape.trace.alpha, alpha, half=2, stretch=stretch_of(native.bonded))
    n = alpha + np.einsum("lij,lj->li", rotation, shape.trace.n - shape.trace.alpha)
    c = alpha + np.einsum("lij,lj->li", rotation, shape.trace.c - shape.trace.alpha)
    backbone = np.stack([n, alpha, c], axis=1)
    for start, stop in _stretches(native.bonded):
        _settle_backbone(backbone[start:stop])
    return replace(native, alpha=alpha, n=backbone[:, 0], c=backbone[:, 2])


def _stretches(bonded: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, stop) of the stretches of residues that are bonded, single residues included."""
    cut = np.flatnonzero(~bonded) + 1
    return list(zip([0, *cut.tolist()], [*cut.tolist(), len(bonded) + 1], strict=True))


def _settle_backbone(backbone: np.ndarray) -> None:
    """Restore the distances of N and C, in place, (M, 3 atoms, 3) Angstrom; the C-alphas stay where they are."""
    flat = backbone.reshape(-1, 3)
    for turn in range(_N_BACKBONE_ROUNDS):
        # Bonds have the last word: where C-alphas leave no choice, the angles give way.
        for first, second, wanted in _BACKBONE if turn < _N_BACKBONE_ROUNDS - _N_BOND_ROUNDS else _BONDS:
            a, b = flat[first::3], flat[second::3]
            a, b = a[: len(b)], b[: len(a)]
            apart = b - a
            length = np.maximum(np.sqrt(np.einsum("ld,ld->l", apart, apart)), 1e-6)
            shift = ((length - wanted) / length)[:, None] * apart
            left, right = (0.0 if atom % 3 == 1 else 1.0 for atom in (first, second))
            a += shift * (left / (left + right))
            b -= shift * (right / (left + right))


def stretch_of(bonded: np.ndarray) -> np.ndarray:
    """Return (M,) int, which stretch of bonded residues each residue is in."""
    return np.concatenate([[0], np.cumsum(~bonded)])


def window_fits(
    before: np.ndarray, after: np.ndarray, *, half: int, stretch: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Superpose windows around each residue: rotations (M, 3, 3), and where `before` goes by them, (M, 3) Angstrom.

    Parameters
    ----------
    half: residues to both sides.
    stretch: (M,) int; a window holds only residues of one value.
    """
    length = len(before)
    place = np.arange(length)[:, None] + np.arange(-half, half + 1)[None, :]
    inside = (place >= 0) & (place < length)
    place = np.clip(place, 0, length - 1)
    weight = (inside & (stretch[place] == stretch[:, None])).astype(np.float64)[..., None]  # (M, W, 1)
    count = weight.sum(axis=1)
    x, y = before[place] * weight, after[place] * weight
    x_centre, y_centre = x.sum(axis=1) / count, y.sum(axis=1) / count
    x, y = (x - x_centre[:, None]) * weight, (y - y_centre[:, None]) * weight
    u, _, vt = np.linalg.svd(np.einsum("lwi,lwj->lij", x, y))
    sign = np.sign(np.linalg.det(u @ vt))
    vt[:, 2] *= np.where(sign == 0, 1.0, sign)[:, None]
    rotation = (u @ vt).transpose(0, 2, 1)
    moved = np.einsum("lij,lj->li", rotation, before - x_centre) + y_centre
    return rotation, moved
