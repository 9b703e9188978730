"""A family that takes one chain or two and shows their lengths: for the tests of training on pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from tertia.models.family import Loss
from tertia.nn.encoded import Encoded
from tertia.structure.chain import Chain


@dataclass(frozen=True)
class Letters:
    """Inputs and target in one."""

    length: torch.Tensor  # (B, L) int64, length of the chain a residue is in, 0 padding
    chain: torch.Tensor  # (B, L) uint8


class Constant(torch.nn.Module):
    """One number, to be learnt: the mean length of chains."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(1))

    def forward(self, noisy: Letters) -> torch.Tensor:
        """Return (B, L) the same number everywhere."""
        return self.mean.expand(noisy.length.shape)

    def encode(self, inputs: Letters, *, pair: bool = False) -> Encoded:
        """Return the lengths as they are."""
        row = inputs.length.float()[..., None]
        return Encoded(residue=row, chain=inputs.chain.long(), protein=row.mean(1))

    def calibrate(self, chains: object) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Duo:
    """The family."""

    name: ClassVar[str] = "pairlm"
    needs_coordinates: ClassVar[bool] = False

    def featurise(self, chain: Chain) -> Letters:
        """Return the length of the chain for every residue."""
        length = torch.full((len(chain),), len(chain))
        return Letters(length, torch.ones_like(length, dtype=torch.uint8))

    def cost(self, n_residues: int) -> float:
        """Return the number of residues."""
        return float(n_residues)

    def network(self) -> torch.nn.Module:
        """Return a fresh network."""
        return Constant()

    def corrupt(
        self, inputs: Letters, generator: np.random.Generator, *, progress: float = 0.0
    ) -> tuple[Letters, Letters]:
        """Add noise of the generator to the lengths."""
        noise = torch.from_numpy(generator.integers(1000, size=len(inputs.length)))
        return Letters(inputs.length * 1000 + noise, inputs.chain), inputs

    def loss(self, network: torch.nn.Module, noisy: Letters, target: Letters) -> Loss:
        """Return how far the lengths are from the number."""
        off = ((network(noisy) - target.length / 20) ** 2).mean(1)
        return Loss(off.mean(), off, torch.zeros(len(off), dtype=torch.int64))

    def join(self, first: Letters, second: Letters) -> Letters:
        """Return both chains, one behind the other."""
        return Letters(torch.cat([first.length, second.length]), torch.cat([first.chain, 2 * second.chain]))
