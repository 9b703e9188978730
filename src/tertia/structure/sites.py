"""Which residues of a chain touch its partners in a complex: by the area they lose, or by distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tertia.structure.chain import Chain
from tertia.structure.solvent import accessible_area

LEAST_LOSS = 1.0
"""Angstrom^2 of accessible area that a residue of an interface loses (Jones & Thornton 1996)."""
CONTACT = 5.0
"""Angstrom between heavy atoms of residues in contact."""


def area_lost(chain: Chain, partners: Sequence[Chain]) -> np.ndarray:
    """Return the accessible area that each residue loses in the complex, (L,) Angstrom^2; NaN without atoms.

    Raises ValueError for partners of another frame.
    """
    return accessible_area(chain) - accessible_area(chain, beside=partners)


def interface_by_area(chain: Chain, partners: Sequence[Chain], *, least_loss: float = LEAST_LOSS) -> np.ndarray:
    """Return (L,) float64, 1 for residues that lose more than `least_loss` Angstrom^2, else 0; NaN without atoms."""
    lost = area_lost(chain, partners)
    return np.where(np.isfinite(lost), lost > least_loss, np.nan)


def interface_by_distance(chain: Chain, partners: Sequence[Chain], *, cutoff: float = CONTACT) -> np.ndarray:
    """Return (L,) float64, 1 for residues with a heavy atom nearer than `cutoff` Angstrom to a partner's, else 0.

    NaN without atoms. Raises ValueError for partners of another frame.
    """
    if any(partner.frame != chain.frame for partner in partners):
        raise ValueError(f"{chain.key}: chains of other frames share no coordinates with it")
    if chain.atoms is None or not len(chain.atoms):
        return np.full(len(chain), np.nan)
    owner = chain.atoms.residue_of_atom
    near = np.zeros(len(chain.atoms), dtype=bool)
    for partner in partners:
        if partner.atoms is not None and len(partner.atoms):
            near |= _near(chain.atoms.coord, partner.atoms.coord, cutoff)
    touched = np.bincount(owner[near], minlength=len(chain)) > 0
    has_atoms = np.bincount(owner, minlength=len(chain)) > 0
    return np.where(has_atoms, touched, np.nan)


def _near(coord: np.ndarray, other: np.ndarray, cutoff: float) -> np.ndarray:
    """Return (A,) bool, the points with a point of the other set nearer than the cutoff."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(other).query(coord, distance_upper_bound=cutoff)
    return np.isfinite(distance)
