"""`Embedding`: everything that is known about one embedded chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

LEVELS = ("protein", "residue", "pair")


@dataclass(frozen=True, eq=False)
class Embedding:
    """One chain, embedded; levels that were not asked for are None. Rows of residues that were not seen are zero."""

    key: str  # "<entry>_<chain>"
    sequence: str  # (L,) one letter a residue, missing residues included
    residue_id: tuple[str, ...]  # (L,) author number + insertion code
    seen: np.ndarray  # (L,) bool, residues with coordinates
    protein: np.ndarray | None = None  # (D,) float32
    residue: np.ndarray | None = None  # (L, D) float32
    pair: np.ndarray | None = None  # (L, L, D) float16
    provenance: Mapping[str, object] = field(default_factory=dict)  # model, sha256, sigmas, precision, tertia, file

    def __len__(self) -> int:
        return len(self.sequence)

    def __repr__(self) -> str:
        shapes = [f"{name} {getattr(self, name).shape}" for name in LEVELS if getattr(self, name) is not None]
        return f"Embedding({self.key!r}, {', '.join(shapes)})"

    @property
    def levels(self) -> dict[str, np.ndarray]:
        """The levels that are there, by name."""
        return {name: getattr(self, name) for name in LEVELS if getattr(self, name) is not None}
