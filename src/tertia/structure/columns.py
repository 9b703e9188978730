"""What lies between a file and its chains: one row an atom and a residue, and the facts of the header."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Columns:
    """One model of one file: A atoms, R residues as they are listed (microheterogeneity still apart)."""

    # atoms
    name: np.ndarray  # (A,) S8
    element: np.ndarray  # (A,) S2, capitals
    altloc: np.ndarray  # (A,) uint8 character, 0 where there is none
    coord: np.ndarray  # (A, 3) float32, Angstrom, NaN where the file gives no number
    occupancy: np.ndarray  # (A,) float32
    b_factor: np.ndarray  # (A,) float32
    # residues
    first_atom: np.ndarray  # (R + 1,) int64, atoms of residue r are first_atom[r] : first_atom[r + 1]
    residue_name: np.ndarray  # (R,) S8
    number: np.ndarray  # (R,) int32, author number
    insertion: np.ndarray  # (R,) uint8 character, 32 (blank) where there is none
    chain: np.ndarray  # (R,) S8, author chain name
    polymer: np.ndarray  # (R,) bool
    hetero: np.ndarray  # (R,) bool, HETATM
    label: np.ndarray | None  # (R,) int32, number in the full sequence, -1 where unknown; None: nowhere known


@dataclass(frozen=True)
class Header:
    """What the file says about itself."""

    format: str  # "pdb", "mmcif" or "bcif"
    method: str = ""
    resolution: float | None = None
    plddt: bool = False  # the B-factor column holds a confidence of 0-100
    n_models: int = 1
    sequences: dict[str, tuple[str, ...]] = field(default_factory=dict)  # author chain -> full sequence, residue names
    author_ids: dict[str, tuple[str, ...]] = field(default_factory=dict)  # author chain -> id of each residue of it
    parents: dict[str, str] = field(default_factory=dict)  # modified residue -> parent, as this file itself says
    notes: tuple[str, ...] = ()
