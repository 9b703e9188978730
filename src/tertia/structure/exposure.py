"""What a C-alpha trace tells about each residue: direction of the side chain, burial, secondary structure, torsion.

Everything here needs C-alphas alone, so that models without side chains get the same features as all others.
"""

from __future__ import annotations

import numpy as np

from tertia.structure.geometry import dihedrals, distance_map

SIDE_CHAIN_ANGLE = np.radians(37.6)
"""Between the plane of three C-alphas and the direction of C-beta, the mean over native residues (Levitt 1976)."""
HELIX, STRAND, COIL = 0, 1, 2
_NEAR = 13.0


def side_directions(alpha: np.ndarray) -> np.ndarray:
    """Return the unit vectors towards the C-betas, (L, 3), from three consecutive C-alphas; NaN at ends and gaps.

    For L amino acids: the outward bisector of the two bonds, turned out of their plane (Levitt 1976).
    """
    out = np.full_like(alpha, np.nan, dtype=np.float64)
    before, after = alpha[1:-1] - alpha[:-2], alpha[2:] - alpha[1:-1]
    outwards, normal = _unit(before - after), _unit(np.cross(before, after))
    out[1:-1] = np.cos(SIDE_CHAIN_ANGLE) * outwards - np.sin(SIDE_CHAIN_ANGLE) * normal
    return out


def half_sphere_exposure(alpha: np.ndarray, *, radius: float = _NEAR, distance: np.ndarray | None = None) -> np.ndarray:
    """Return how many C-alphas lie within the radius, (L, 2): on the side of the side chain, and on the other.

    After Hamelryck (2005). NaN for residues without C-alpha; where the direction is unknown, half of all on both sides.

    Parameters
    ----------
    distance: (L, L) Angstrom, for whoever has it already.
    """
    direction = side_directions(alpha)
    distance = distance_map(alpha.astype(np.float64)) if distance is None else distance
    near = distance < radius
    np.fill_diagonal(near, False)
    centre, other = np.nonzero(near)  # (E,), far fewer than all pairs
    above = np.einsum("ij,ij->i", alpha[other] - alpha[centre], direction[centre]) > 0
    total, up = (np.bincount(ones, minlength=len(alpha)).astype(float) for ones in (centre, centre[above]))
    up = np.where(np.isfinite(direction[:, 0]), up, total / 2.0)
    counts = np.stack([up, total - up], axis=1)
    counts[~np.isfinite(alpha[:, 0])] = np.nan
    return counts


def alpha_torsion(alpha: np.ndarray) -> np.ndarray:
    """Return cosine and sine of the dihedral of residues i - 1 .. i + 2, (L, 2), 0 where it is not defined."""
    angle = np.full(len(alpha), np.nan)
    angle[1 : len(alpha) - 2] = dihedrals(alpha.astype(np.float64))
    return np.nan_to_num(np.stack([np.cos(angle), np.sin(angle)], axis=1))


def alpha_angle(alpha: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle at each C-alpha, (L,), 0 where it is not defined."""
    cosine = np.full(len(alpha), np.nan)
    before, after = _unit(alpha[:-2] - alpha[1:-1]), _unit(alpha[2:] - alpha[1:-1])
    cosine[1:-1] = np.einsum("ij,ij->i", before, after)
    return np.nan_to_num(cosine)


def secondary_structure(alpha: np.ndarray) -> np.ndarray:
    """Return HELIX, STRAND or COIL of each residue, (L,) int64, after P-SEA (Labesse et al. 1997); COIL where missing.

    biotite's implementation; chain breaks longer than a bond are its affair.
    """
    from biotite.structure import AtomArray, annotate_sse

    state = np.full(len(alpha), COIL)
    seen = np.isfinite(alpha).all(axis=1)
    if seen.sum() < 4:
        return state
    array = AtomArray(int(seen.sum()))
    array.coord = alpha[seen].astype(np.float32)
    array.atom_name, array.element = np.full(len(array), "CA"), np.full(len(array), "C")
    array.res_name, array.chain_id = np.full(len(array), "ALA"), np.full(len(array), "A")
    array.res_id = np.flatnonzero(seen) + 1
    state[seen] = np.select([(found := annotate_sse(array)) == "a", found == "b"], [HELIX, STRAND], COIL)
    return state


def _unit(vector: np.ndarray) -> np.ndarray:
    vector = vector.astype(np.float64)
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.divide(vector, length, out=np.full_like(vector, np.nan), where=length > 0)
