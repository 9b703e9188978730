"""`Example`: what a task predicts for - one or two chains, the true answer, and features that came with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tertia.structure.chain import Chain


@dataclass(frozen=True, eq=False)
class Example:
    """One protein or pair of proteins of a task; L counts the residues of all its chains."""

    id: str
    chains: tuple[Chain, ...]
    target: np.ndarray | None = None  # (L, …): (L,) or (L, K) of a residue task, (K,) of a protein one; NaN unknown
    features: Mapping[str, np.ndarray] = field(default_factory=dict)  # (L, F) each, as the source gives them
    meta: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in self.features.items():
            if len(values) != len(self):
                raise ValueError(f"{self.id}: {name} has {len(values)} rows for {len(self)} residues")

    def __len__(self) -> int:
        return sum(len(chain) for chain in self.chains)

    @property
    def sequence(self) -> str:
        """(L,) the letters of all chains, one after the other."""
        return "".join(chain.sequence for chain in self.chains)
