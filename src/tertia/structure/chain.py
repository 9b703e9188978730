"""The two containers that everything else is built on: `Atoms` (columns) and `Chain` (residues in register)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Atoms:
    """Heavy atoms of one chain as columns of equal length A, ordered by residue; the columns are read-only."""

    name: np.ndarray  # (A,) str, PDB atom name without blanks, "CA"
    element: np.ndarray  # (A,) str, element symbol in capitals, "C"
    coord: np.ndarray  # (A, 3) float32, Angstrom, always finite
    residue_of_atom: np.ndarray  # (A,) int32, position in the chain's sequence, never decreasing
    occupancy: np.ndarray  # (A,) float32
    b_factor: np.ndarray  # (A,) float32, Angstrom^2, or pLDDT 0-100 where the chain's meta says so

    def __post_init__(self) -> None:
        n_atoms = len(self.name)
        for column in _COLUMNS_OF_ATOMS:
            values = getattr(self, column)
            if len(values) != n_atoms:
                raise ValueError(f"Atoms.{column} has {len(values)} rows where name has {n_atoms}")
            values.setflags(write=False)
        if self.coord.shape != (n_atoms, 3):
            raise ValueError(f"Atoms.coord has shape {self.coord.shape}, not ({n_atoms}, 3)")

    def __len__(self) -> int:
        return len(self.name)


_COLUMNS_OF_ATOMS = tuple(column.name for column in fields(Atoms))


@dataclass(frozen=True, eq=False)
class Chain:
    """One protein chain: L residues in the register of its full sequence, missing ones included.

    `frame` names the file, model and assembly that the coordinates come from: two chains share distances only when
    their frames are equal.
    """

    entry: str  # file stem or PDB id, "1abc"; name of a FASTA record
    id: str  # author chain name, "A"; "" for a FASTA record
    sequence: str  # (L,) one letter a residue: SEQRES where known, gaps in register
    residue_id: tuple[str, ...]  # (L,) author number + insertion code, "52A"; "" where the file gives none
    label_number: np.ndarray  # (L,) int32, 1-based number in the full sequence
    atoms: Atoms | None
    frame: str
    meta: Mapping[str, object] = field(default_factory=dict)  # method, resolution, plddt, ... as far as known

    def __post_init__(self) -> None:
        if not len(self.sequence) == len(self.residue_id) == len(self.label_number):
            raise ValueError(f"chain {self.key}: sequence, residue_id and label_number differ in length")

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def key(self) -> str:
        """Name of the chain in stores and embedding files, "1abc_A"."""
        return key_of(self.entry, self.id)

    @cached_property
    def alpha(self) -> np.ndarray:
        """(L, 3) float32 C-alpha coordinates in Angstrom, NaN where a residue has none."""
        return self.coord_of("CA", element="C")

    @cached_property
    def seen(self) -> np.ndarray:
        """(L,) bool, True for residues with a C-alpha."""
        return np.isfinite(self.alpha[:, 0])

    def coord_of(self, name: str, *, element: str) -> np.ndarray:
        """Return (L, 3) float32 coordinates of one atom name a residue, NaN where absent.

        The element is tested too: a calcium ion is named CA as well.
        """
        coord = np.full((len(self), 3), np.nan, dtype=np.float32)
        if self.atoms is not None:
            chosen = (self.atoms.name == name) & (self.atoms.element == element)
            coord[self.atoms.residue_of_atom[chosen]] = self.atoms.coord[chosen]
        return coord


def key_of(entry: str, id: str) -> str:
    """Return "<entry>_<id>", or the entry alone where the chain has no name of its own."""
    return f"{entry}_{id}" if id else entry
