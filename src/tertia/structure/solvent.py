"""Solvent-accessible area of residues, alone and beside other chains (Shrake & Rupley 1973, through biotite)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tertia.structure.chain import Chain

PROBE = 1.4
N_POINTS = 200
"""Points on each atom's sphere: 200 give the area of a residue to about 1 Angstrom^2."""

LARGEST_AREA = {
    "A": 129.0, "R": 274.0, "N": 195.0, "D": 193.0, "C": 167.0, "Q": 225.0, "E": 223.0, "G": 104.0, "H": 224.0,
    "I": 197.0, "L": 201.0, "K": 236.0, "M": 224.0, "F": 240.0, "P": 159.0, "S": 155.0, "T": 172.0, "W": 285.0,
    "Y": 263.0, "V": 174.0,
}  # fmt: skip
"""Largest area of a residue in a tripeptide, Angstrom^2 (Tien et al. 2013, theoretical)."""

_RADII = {"C": 1.8, "N": 1.65, "O": 1.5, "S": 1.85, "P": 1.9}
_OTHER_RADIUS = 1.8


def accessible_area(chain: Chain, *, beside: Sequence[Chain] = ()) -> np.ndarray:
    """Return the accessible area of each residue, (L,) float64 Angstrom^2; NaN for residues without atoms.

    Heavy atoms alone, with radii that stand for their hydrogens as well (Chothia 1976); probe of 1.4 Angstrom.

    Parameters
    ----------
    beside: other chains in the same frame, whose atoms cover some of the surface.

    Raises
    ------
    ValueError: a chain of `beside` comes from another file, model or assembly.
    """
    from biotite.structure import AtomArray, sasa

    if any(other.frame != chain.frame for other in beside):
        raise ValueError(f"{chain.key}: chains of other frames share no coordinates with it")
    atoms = [one.atoms for one in (chain, *beside) if one.atoms is not None and len(one.atoms)]
    if chain.atoms is None or not len(chain.atoms):
        return np.full(len(chain), np.nan)
    element = np.concatenate([one.element for one in atoms])
    array = AtomArray(len(element))
    array.coord = np.concatenate([one.coord for one in atoms])
    array.element = element
    radii = np.array([_RADII.get(symbol, _OTHER_RADIUS) for symbol in element.tolist()])
    own = np.arange(len(element)) < len(chain.atoms)
    area = sasa(array, probe_radius=PROBE, atom_filter=own, ignore_ions=False, point_number=N_POINTS, vdw_radii=radii)
    total = np.bincount(chain.atoms.residue_of_atom, weights=area[own], minlength=len(chain))
    has_atoms = np.bincount(chain.atoms.residue_of_atom, minlength=len(chain)) > 0
    return np.where(has_atoms, total, np.nan)


def relative_area(area: np.ndarray, sequence: str) -> np.ndarray:
    """Return areas as shares of the largest, (L,), at most 1; NaN for letters that are no standard amino acid."""
    largest = np.array([LARGEST_AREA.get(letter, np.nan) for letter in sequence])
    return np.minimum(area / largest, 1.0)
