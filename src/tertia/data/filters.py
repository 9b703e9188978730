"""Which chains are fit for a corpus, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from tertia.errors import InputError
from tertia.residues import LETTERS
from tertia.structure.chain import Chain


@dataclass(frozen=True)
class Filters:
    """Limits that a chain must keep; generous by default, because the models read short, long and gapped chains."""

    min_length: int = 20  # residues with a C-alpha; for a sequence without structure, residues
    max_length: int = 5000  # residues, missing ones included
    max_resolution: float = 9.0  # Angstrom; chains of unknown resolution pass
    methods: tuple[str, ...] = ()  # parts of method names to take, any case ("x-ray", "nmr"); () takes all
    ca_distance: tuple[float, float] = (
        2.8,
        4.8,
    )  # Angstrom, C-alphas of neighbours in sequence (Guo et al. 2022, code)
    max_odd_bonds: float = 0.05  # fraction of neighbours outside ca_distance
    max_missing_fraction: float = 0.3  # of residues without a C-alpha (Guo et al. 2022, code)
    max_unknown_fraction: float = 0.5  # of residues that are none of the 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "ca_distance", tuple(self.ca_distance))
        methods = (self.methods,) if isinstance(self.methods, str) else self.methods
        object.__setattr__(self, "methods", tuple(methods))
        low, high = self.ca_distance
        for wrong, found in (
            (self.min_length < 1 or self.min_length > self.max_length, "min_length and max_length"),
            (not 0 <= low < high, "ca_distance"),
            (not self.max_resolution > 0, "max_resolution"),
        ):
            if wrong:
                raise InputError("filters", found, found=f"cannot be: {self}", allowed="lower limit below upper limit")

    def refusal(self, chain: Chain) -> tuple[str, str] | None:
        """Return (rule, what was found) for the first rule a chain breaks, None for a chain that is fit.

        A chain without atoms is a mere sequence: of the rules only those on length and letters hold for it.
        """
        n_seen, length = int(chain.seen.sum()), len(chain)
        unknown = sum(letter not in LETTERS for letter in chain.sequence)
        method, resolution = str(chain.meta.get("method") or ""), chain.meta.get("resolution")
        known = length if chain.atoms is None else n_seen
        if known < self.min_length:
            return "min_length", f"{known} residues" + ("" if chain.atoms is None else " with a C-alpha")
        if length > self.max_length:
            return "max_length", f"{length} residues"
        if unknown > self.max_unknown_fraction * length:
            return "max_unknown_fraction", f"{unknown} of {length} residues are none of the 20"
        if chain.atoms is None:
            return None
        if length - n_seen > self.max_missing_fraction * length:
            return "max_missing_fraction", f"{length - n_seen} of {length} residues have no C-alpha"
        if resolution is not None and float(resolution) > self.max_resolution:
            return "max_resolution", f"{float(resolution):.2f} Angstrom"
        if self.methods and not any(name.lower() in method.lower() for name in self.methods):
            return "methods", method or "unknown method"
        return self._odd_bonds(chain)

    def _odd_bonds(self, chain: Chain) -> tuple[str, str] | None:
        distance = bond_lengths(chain)
        odd = (distance < self.ca_distance[0]) | (distance > self.ca_distance[1])
        if odd.sum() > self.max_odd_bonds * max(len(distance), 1):
            return "ca_distance", f"{int(odd.sum())} of {len(distance)} C-alpha neighbours"
        return None

    def as_dict(self) -> dict:
        """Return the limits as JSON values."""
        values = {limit.name: getattr(self, limit.name) for limit in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def bond_lengths(chain: Chain) -> np.ndarray:
    """Return (n,) float64 distances in Angstrom between C-alphas of residues that follow each other in the sequence."""
    pair = chain.seen[1:] & chain.seen[:-1] & (np.diff(chain.label_number) == 1)
    return np.linalg.norm(np.diff(chain.alpha.astype(np.float64), axis=0)[pair], axis=1)
