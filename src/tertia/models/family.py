"""The two seams of a model family: what the loop, the harness and the embedder may ask of it, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from tertia.nn.encoded import Encoded
from tertia.structure.chain import Chain


@dataclass(frozen=True)
class Loss:
    """One training loss, with what is needed to log it by group (for distmap the noise level)."""

    value: torch.Tensor  # () mean that is differentiated
    per_example: torch.Tensor  # (B,) normalised so that 1 = predicting nothing
    group: torch.Tensor  # (B,) int64


class Network(Protocol):
    """An `nn.Module` that also encodes whole chains."""

    def encode(self, inputs: Any, *, pair: bool = False) -> Encoded:
        """Return one row a residue for a padded batch of whole chains."""

    def calibrate(self, chains: Sequence[Chain]) -> None:
        """Fit what is kept beside the weights (standardisation, baselines) on training chains, in place."""

    # A network may also have begin_from(weights) -> dict: the weights of another network of the family as this one
    # takes them.


class Family(Protocol):
    """A frozen dataclass of hyper-parameters; `Inputs` is one dataclass of tensors a family, padding is 0.

    A family may have further methods, which are asked for by name:

    files() -> dict[str, bytes]: what a checkpoint holds beside the weights, by file name.
    at(folder) -> Family: the same family, reading these files from that folder.
    join(first, second) -> Inputs: two featurised chains as one example; in the chain map they are 1 and 2.
    export(network, folder): write the network for another library.
    """

    name: str
    needs_coordinates: bool  # False: chains without atoms can be learned from and encoded, and every residue is seen

    def featurise(self, chain: Chain) -> Any:
        """Turn one chain into Inputs without a batch axis."""

    def cost(self, n_residues: int) -> float:
        """Return the relative cost of encoding one chain; the samplers and the plan add these up."""

    def network(self) -> torch.nn.Module:
        """Build the network with fresh weights."""

    def corrupt(self, inputs: Any, generator: np.random.Generator, *, progress: float = 0.0) -> tuple[Any, Any]:
        """Draw one noisy training example and its target; `progress` runs from 0 to 1 over the training."""

    def loss(self, network: torch.nn.Module, noisy: Any, target: Any) -> Loss:
        """Score a padded batch of noisy examples."""
