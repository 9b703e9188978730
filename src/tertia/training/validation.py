"""The loss on fixed noise and crops of the validation chains, and how many dimensions the embeddings use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tertia.data.batch import collate
from tertia.training.examples import VALIDATION, FeaturisedChains, to_device
from tertia.training.processes import Crew
from tertia.training.settings import TrainingRecipe
from tertia.training.tally import Tally

N_ENCODED_RESIDUES = 1500
"""Residues whose embeddings are looked at; with more the effective dimension hardly changes."""


@dataclass(frozen=True)
class Score:
    """What one validation found."""

    loss: float  # mean over the groups, so that every noise level counts the same
    groups: dict[str, float]
    effective_dimension: float | None  # None where the network cannot encode


class Validation:
    """The same examples at every call, from the same seeds; each process scores its share."""

    def __init__(self, chains: FeaturisedChains, rows: np.ndarray, settings: TrainingRecipe, crew: Crew) -> None:
        """`rows` are positions in the store: (n,) of chains, or (n, 2) of pairs that are shown together."""
        chosen = np.linspace(0, len(rows) - 1, min(settings.n_valid, len(rows))).round().astype(np.int64)
        self.rows = (rows if rows.ndim == 2 else rows[:, None])[chosen]
        self.chains, self.settings, self.crew = chains, settings, crew
        self._batches: list[tuple[Any, Any]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self) -> list[tuple[Any, Any]]:
        """Return this process' share as (noisy inputs, target) batches; made once."""
        if not self._batches:
            seed, n_draws = self.settings.seed, self.settings.valid_draws
            own = range(self.crew.rank, len(self.rows) * n_draws, self.crew.size)
            examples = []
            for number in own:
                inputs = self.chains.together(self.rows[number // n_draws])
                generator = np.random.default_rng((seed, VALIDATION, number))
                examples.append(self.chains.family.corrupt(inputs, generator, progress=0.0))
            for start in range(0, len(examples), self.settings.batch):
                noisy, target = zip(*examples[start : start + self.settings.batch], strict=True)
                self._batches.append((collate(noisy), collate(target)))
        return self._batches

    @torch.no_grad()
    def score(self, network: torch.nn.Module, names: Sequence[str]) -> Score:
        """Return the loss of a network on the validation examples."""
        tally = Tally(names, self.crew.device)
        was_training = network.training
        network.eval()
        with autocast(self.settings, self.crew.device):
            for batch in self.batches():
                tally.add(self.chains.family.loss(network, *to_device(batch, self.crew.device)))
        groups = tally.summary(self.crew)["groups"]
        dimension = self.effective_dimension(network)
        network.train(was_training)
        return Score(sum(groups.values()) / max(len(groups), 1), groups, dimension)

    def effective_dimension(self, network: torch.nn.Module) -> float | None:
        """Return the effective dimension of the residue embeddings of some validation chains, unperturbed."""
        if not hasattr(network, "encode") or not self.crew.first:
            return None
        positions = self.rows[:, 0]
        lengths = self.chains.store.lengths[positions]
        rows: list[torch.Tensor] = []
        for position in positions[np.argsort(lengths, kind="stable")][len(lengths) // 4 :]:
            inputs = to_device(collate([self.chains[int(position)]]), self.crew.device)
            rows.append(network.encode(inputs).residue[0])
            if sum(map(len, rows)) >= N_ENCODED_RESIDUES:
                break
        return effective_dimension(torch.cat(rows))


def effective_dimension(rows: torch.Tensor) -> float:
    """Return the participation ratio (tr C)^2 / tr(C^2) of the covariance C of rows (n, D): from 1 to D."""
    centred = rows.double() - rows.double().mean(0)
    covariance = centred.T @ centred
    return float(covariance.trace().square() / covariance.square().sum().clamp_min(torch.finfo(torch.float64).tiny))


def autocast(settings: TrainingRecipe, device: torch.device) -> torch.autocast:
    """Return the precision of the recipe as a context."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16")
