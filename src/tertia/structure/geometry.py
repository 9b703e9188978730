"""Distances, dihedrals, neighbours, local frames and superposition of coordinates in Angstrom; NaN in, NaN out."""

from __future__ import annotations

import numpy as np


def distance_map(coord: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """Return all distances, (L, M) in the dtype of `coord`; NaN where either point is missing.

    Parameters
    ----------
    coord: (L, 3) Angstrom.
    other: (M, 3) Angstrom; `coord` itself by default, the diagonal is then exactly 0 (or NaN).
    """
    other = coord if other is None else other
    out = np.zeros((len(coord), len(other)), dtype=coord.dtype)
    for axis in range(3):  # three (L, M) arrays, not one (L, M, 3); differences, not products, keep small ones exact
        difference = coord[:, None, axis] - other[None, :, axis]
        out += np.multiply(difference, difference, out=difference)
    return np.sqrt(out, out=out)


def dihedrals(coord: np.ndarray) -> np.ndarray:
    """Return the signed dihedral of each four consecutive points, (L - 3,) radians in (-pi, pi]; NaN for missing.

    The sign is that of IUPAC (positive: clockwise, seen along the middle bond), so a mirror image has the opposite one.
    """
    if len(coord) < 4:
        return np.zeros(0, dtype=coord.dtype)
    bond = np.diff(coord, axis=0)  # (L - 1, 3)
    normal = np.cross(bond[:-1], bond[1:])  # (L - 2, 3)
    middle = bond[1:-1]
    length = np.linalg.norm(middle, axis=1)
    sine = length * np.einsum("ld,ld->l", bond[:-2], normal[1:])
    cosine = np.einsum("ld,ld->l", normal[:-1], normal[1:])
    return np.arctan2(sine, cosine)


def neighbours(coord: np.ndarray, n_neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest other points of each point, nearest first.

    Parameters
    ----------
    coord: (L, 3) Angstrom, NaN for missing points.
    n_neighbours: N, at most L - 1 are found.

    Returns
    -------
    neighbour: (L, N) int64, -1 where there are fewer, and for missing points.
    distance: (L, N) Angstrom, NaN where neighbour is -1.
    """
    length = len(coord)
    distance = distance_map(coord)
    np.fill_diagonal(distance, np.nan)
    n_found = min(n_neighbours, length)
    order = np.argsort(distance, axis=1, kind="stable")[:, :n_found]  # NaN sorts last
    found = np.take_along_axis(distance, order, axis=1)
    neighbour = np.full((length, n_neighbours), -1, dtype=np.int64)
    near = np.full((length, n_neighbours), np.nan, dtype=distance.dtype)
    neighbour[:, :n_found] = np.where(np.isfinite(found), order, -1)
    near[:, :n_found] = found
    return neighbour, near


def local_frames(n: np.ndarray, alpha: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the backbone frame of each residue, (L, 3, 3): rows are the axes, right-handed; NaN for missing.

    Gram-Schmidt as in AlphaFold (Jumper et al. 2021, supplement, algorithm 21): the first axis points from CA to C, the
    second lies in the plane of N, CA, C on the side of N.
    """
    first = _unit(c - alpha)
    towards_n = n - alpha
    second = _unit(towards_n - first * np.einsum("ld,ld->l", first, towards_n)[:, None])
    return np.stack([first, second, np.cross(first, second)], axis=1)


def superpose(mobile: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Find the proper rotation and the translation that bring `mobile` onto `fixed` with the least RMSD (Kabsch 1976).

    Parameters
    ----------
    mobile, fixed: (L, 3) Angstrom; rows in which either is NaN do not count; at least 3 must be left.

    Returns
    -------
    rotation: (3, 3) float64 with determinant +1, never a reflection.
    translation: (3,) float64, Angstrom; `mobile @ rotation.T + translation` lies on `fixed`.
    rmsd: Angstrom, over the rows that count.
    """
    both = np.isfinite(mobile).all(axis=1) & np.isfinite(fixed).all(axis=1)
    if np.count_nonzero(both) < 3:
        raise ValueError(f"superposition needs at least 3 points that both sides have, not {np.count_nonzero(both)}")
    x, y = mobile[both].astype(np.float64), fixed[both].astype(np.float64)
    x_centre, y_centre = x.mean(axis=0), y.mean(axis=0)
    u, _, vt = np.linalg.svd((x - x_centre).T @ (y - y_centre))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = vt.T @ flip @ u.T
    translation = y_centre - rotation @ x_centre
    rmsd = float(np.sqrt(((x @ rotation.T + translation - y) ** 2).sum(axis=1).mean()))
    return rotation, translation, rmsd


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.divide(vector, length, out=np.full_like(vector, np.nan), where=length > 0)
