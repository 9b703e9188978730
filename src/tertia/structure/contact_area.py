"""CAD-score (Olechnovic, Kulberkyte & Venclovas 2013): how much of the contact areas of a native a model keeps.

Atoms share out the space among them, and the face between two atoms is the area of their contact. The faces come from
the library voronotalt (Voronota-LT: radical tessellation, the van der Waals radii of Voronota, probe of 1.4 Angstrom).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from tertia.errors import InputError
from tertia.residues import LETTERS, NAME_OF_LETTER
from tertia.structure.alignment import residue_pairs
from tertia.structure.chain import Chain

PROBE = 1.4
FEWEST_ATOMS = 0.5
"""Share of the heavy atoms of its residues that a structure must have: of a backbone alone there is no CAD-score."""
KINDS = ("AS", "AA")
MAIN_CHAIN = ("N", "CA", "C", "O", "OXT")

_REACH = 10.0  # Angstrom: atoms farther apart share no face (two radii and two probes are below 7)
_LARGEST = 1500.0  # Angstrom: the library sets up a grid over all of space, and a few atoms at 9999 end the process
_PEPTIDE_BOND = 1.6  # Angstrom: C and N of neighbours that are nearer are bonded, which is no contact
_N_ATOMS = dict(zip(LETTERS, (5, 6, 8, 9, 11, 4, 10, 8, 9, 8, 8, 8, 7, 9, 11, 6, 7, 7, 14, 12), strict=True))


@dataclass(frozen=True)
class ContactAreas:
    """Contact areas between the residues of one structure; every pair once, ascending."""

    n_residues: int
    first: np.ndarray  # (C,) int64, position of a residue
    second: np.ndarray  # (C,) int64, position of another, behind it
    area: np.ndarray  # (C,) float64, Angstrom^2


@dataclass(frozen=True)
class CadScore:
    """Contact area difference score."""

    residue: np.ndarray  # (L,) float64 in 0-1, of the native's residues; NaN without a contact in the native
    whole: float  # 0-1, over all contacts


def cad_score(native: Chain, model: Chain, pairs: np.ndarray | None = None, *, kind: str = "AS") -> CadScore:
    """Return the CAD-score of a model, of each residue of the native and of the whole.

    1 - sum min(|T - M|, T) / sum T, over the contacts T of the native (those of one residue, or all), where M is the
    area of the same contact in the model, 0 if the model lacks it or one of its residues. The model is not cut down to
    the residues of the native.

    Kinds are those of Voronota: "AS" (what GraphQA learns) counts the faces of which at least one atom belongs to a
    side chain, C-beta included, "AA" (Voronota's default) all faces but those of peptide bonds. Neighbours in sequence
    count in both.

    NaN everywhere, not an error, where native or model has fewer than half of the heavy atoms of its residues (of a
    C-alpha trace there is no CAD-score), or is scattered over more than 1,500 Angstrom.

    Checked against the program voronota-cadscore 1.22 on real models (tests hold the values). That program shares out
    space by distance to the surface of the atoms, this library by power distance, so scores differ slightly. The
    values printed in the paper of 2013 (an older tessellation) are not checked.

    Parameters
    ----------
    pairs: (P, 2) int, positions of the same residue in native and model; by default those of `residue_pairs`.

    Raises
    ------
    InputError: the package voronotalt is not installed.
    ValueError: no such kind.
    """
    pairs = residue_pairs(native, model) if pairs is None else pairs
    return compare_areas(contact_areas(native, kind=kind), contact_areas(model, kind=kind), pairs, len(native))


def contact_areas(chain: Chain, *, kind: str = "AS") -> ContactAreas | None:
    """Return the contact areas between the residues of a chain; None where they say nothing (see `cad_score`).

    Parameters and errors as in `cad_score`.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of contacts is called {kind}; there are {', '.join(KINDS)}")
    library = _library()
    if atom_share(chain) < FEWEST_ATOMS:
        return None
    coord, n_residues = without_empty_space(chain.atoms.coord), len(chain)
    if np.ptp(coord, axis=0).max() > _LARGEST:
        return None
    residue, name, area = _faces(library, chain, coord)
    in_main_chain = np.isin(name, MAIN_CHAIN).all(axis=1)
    counted = ~(in_main_chain if kind == "AS" else _bonded(chain, residue, name))
    counted &= residue[:, 0] != residue[:, 1]
    one, other = residue[counted].T
    key = np.minimum(one, other) * n_residues + np.maximum(one, other)
    key, place = np.unique(key, return_inverse=True)
    total = np.bincount(place, weights=area[counted], minlength=len(key))
    return ContactAreas(n_residues, key // n_residues, key % n_residues, total)


def compare_areas(
    native: ContactAreas | None, model: ContactAreas | None, pairs: np.ndarray, n_residues: int
) -> CadScore:
    """Return the CAD-score from areas that are known already (a native is compared with many models).

    Parameters
    ----------
    native, model: from `contact_areas`.
    pairs: (P, 2) int, positions of the same residue in native and model.
    n_residues: of the native.
    """
    if native is None or model is None:
        return CadScore(np.full(n_residues, np.nan), float("nan"))
    partner = np.full(n_residues, -1)
    partner[pairs[:, 0]] = pairs[:, 1]
    kept = _areas_of(model, partner[native.first], partner[native.second])
    lost = np.minimum(np.abs(native.area - kept), native.area)
    ends = np.concatenate([native.first, native.second])
    total = np.bincount(ends, weights=np.tile(native.area, 2), minlength=n_residues)
    missing = np.bincount(ends, weights=np.tile(lost, 2), minlength=n_residues)
    share = np.divide(missing, total, out=np.full(n_residues, np.nan), where=total > 0)
    whole = 1.0 - lost.sum() / native.area.sum() if native.area.sum() > 0 else float("nan")
    return CadScore(np.clip(1.0 - share, 0.0, 1.0), float(whole))


def atom_share(chain: Chain) -> float:
    """Return the share of the heavy atoms of its residues that a chain has, over the residues that have any atom."""
    if chain.atoms is None or not len(chain.atoms):
        return 0.0
    there = np.unique(chain.atoms.residue_of_atom)
    wanted = sum(_N_ATOMS.get(chain.sequence[k], _N_ATOMS["A"]) for k in there.tolist())
    return len(chain.atoms) / wanted


def without_empty_space(coord: np.ndarray) -> np.ndarray:
    """Return (A, 3) float64 coordinates with empty slabs across an axis narrowed to 10 Angstrom: no contact changes."""
    coord = coord.astype(np.float64)
    order = coord.argsort(axis=0)
    ascending = np.take_along_axis(coord, order, axis=0)
    excess = np.maximum(np.diff(ascending, axis=0) - _REACH, 0.0).cumsum(axis=0)
    ascending[1:] -= excess
    np.put_along_axis(coord, order, ascending, axis=0)
    return coord


def _areas_of(areas: ContactAreas, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the area between residues `one` and `other`, (P,); 0 where they do not touch, or one is -1."""
    known = areas.first * areas.n_residues + areas.second  # ascending
    wanted = np.minimum(one, other) * areas.n_residues + np.maximum(one, other)
    place = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    if not len(known):
        return np.zeros(len(wanted))
    return np.where((known[place] == wanted) & (one >= 0) & (other >= 0), areas.area[place], 0.0)


def _faces(library, chain: Chain, coord: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the faces between atoms of different residues: (F, 2) positions, (F, 2) atom names, (F,) areas."""
    atoms = chain.atoms
    names = [NAME_OF_LETTER.get(letter, "UNK") for letter in chain.sequence]
    rows = zip(atoms.residue_of_atom.tolist(), atoms.name.tolist(), coord.tolist(), strict=True)
    # The library hands back names and numbers, so the number is the position.
    balls = [library.MolecularAtomBall("A", k, "", names[k], name, *xyz) for k, name, xyz in rows]
    tessellation = library.MolecularRadicalTessellation.from_atoms(
        balls, probe=PROBE, compute_only_inter_residue_contacts=True, record_everything_possible=False,
        record_inter_atom_contact_summaries=True,
    )  # fmt: skip
    found = tessellation.inter_atom_contact_summaries  # a view: it must not outlive the tessellation
    residue = [(face.ID1_residue_seq_number, face.ID2_residue_seq_number) for face in found]
    name = [(face.ID1_atom_name, face.ID2_atom_name) for face in found]
    area = np.array([face.area for face in found], np.float64)
    return np.array(residue, np.int64).reshape(-1, 2), np.array(name, "U4").reshape(-1, 2), area


def _bonded(chain: Chain, residue: np.ndarray, name: np.ndarray) -> np.ndarray:
    """Return which faces, (F,) bool, lie between C and N of a peptide bond."""
    bond = chain.coord_of("N", element="N")[1:] - chain.coord_of("C", element="C")[:-1]
    joined = np.append(np.linalg.norm(bond, axis=1) <= _PEPTIDE_BOND, False)  # (L,) of each residue to the next
    forward, backward = ((name == ends).all(axis=1) for ends in (("C", "N"), ("N", "C")))
    step = residue[:, 1] - residue[:, 0]
    return joined[residue.min(axis=1)] & ((forward & (step == 1)) | (backward & (step == -1)))


def _library():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its SWIG types, on newer Pythons
            import voronotalt
    except ImportError as error:
        found = "needs the package voronotalt, which is not installed"
        raise InputError("CAD-score", found=found, hint="pip install 'tertia[quality]'") from error
    return voronotalt
