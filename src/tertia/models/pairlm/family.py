"""`Pairlm`: the hyper-parameters of the family and the five methods that the rest of tertia calls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from tertia.models.family import Loss
from tertia.models.pairlm import objective
from tertia.models.pairlm.corrupt import Target, draw_piece, hide
from tertia.models.pairlm.inputs import Inputs, inputs_of_chain
from tertia.models.pairlm.network import LanguageModel
from tertia.structure.chain import Chain


@dataclass(frozen=True)
class Pairlm:
    """Hyper-parameters of a masked language model on sequences, one residue a token."""

    name: ClassVar[str] = "pairlm"
    needs_coordinates: ClassVar[bool] = False

    width: int = 256
    n_layers: int = 4
    n_heads: int = 4
    masked_share: float = 0.15
    crop: int = 256  # longest piece of a chain in a training example, and so the reach of attention

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        for key in ("width", "n_layers", "n_heads", "crop"):
            if getattr(self, key) < 1:
                yield key, f"is {getattr(self, key)}", "1 or more"
        if self.n_heads > 0 and self.width % (2 * self.n_heads):
            yield "width", f"is {self.width}", f"a multiple of twice n_heads, {2 * self.n_heads}"
        if not 0 < self.masked_share < 1 or math.isnan(self.masked_share):
            yield "masked_share", f"is {self.masked_share}", "between 0 and 1"

    @property
    def batch_cost(self) -> float:
        """The cost of a batch that computes fast: about 4,000 residues."""
        return 16.0 * self.cost(256)

    def featurise(self, chain: Chain) -> Inputs:
        """Return the whole chain, without the batch axis."""
        return inputs_of_chain(chain)

    def cost(self, n_residues: int) -> float:
        """Return the multiplications of a block, divided by the width: layers on each residue, and attention."""
        return float(n_residues) * (12 * self.width + 2 * min(n_residues, 3 * self.crop))

    def network(self) -> torch.nn.Module:
        """Build the network with fresh weights."""
        return LanguageModel(self.width, self.n_layers, self.n_heads, reach=self.crop)

    def corrupt(
        self, inputs: Inputs, generator: np.random.Generator, *, progress: float = 0.0
    ) -> tuple[Inputs, Target]:
        """Draw a piece of the chain and hide some of its letters."""
        return hide(draw_piece(inputs, self.crop, generator), self.masked_share, generator)

    def loss(self, network: torch.nn.Module, noisy: Inputs, target: Target) -> Loss:
        """Score a padded batch by the cross entropy of the letters that were chosen."""
        return objective.score(network(noisy, target.letter > 0), target.letter)
