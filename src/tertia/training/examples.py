"""Which chain is seen at which step, and how it is corrupted: a function of the seed and the step alone.

Nothing is drawn in sequence, so the examples do not depend on the number of processes or workers, and a run that
continues at step s needs no memory of the steps before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from tertia.data.batch import collate
from tertia.data.store import Store
from tertia.models.family import Family
from tertia.training.settings import TrainingRecipe

ORDER, EXAMPLE, VALIDATION = 0, 1, 2
"""First number after the seed of every generator: what it is for."""


class FeaturisedChains:
    """The Inputs of chains by position in the store, kept in memory up to a limit."""

    def __init__(self, family: Family, store: Store, *, megabytes: int) -> None:
        self.family, self.store = family, store
        self._room = megabytes * 2**20
        self._kept: dict[int, Any] = {}

    def __getitem__(self, position: int) -> Any:
        kept = self._kept.get(position)
        if kept is None:
            kept = self.family.featurise(self.store[position])
            size = n_bytes(kept)
            if size <= self._room:
                self._room -= size
                self._kept[position] = kept
        return kept


class Examples(Dataset):
    """Batches of training examples by step, this process' share of each."""

    def __init__(
        self, chains: FeaturisedChains, positions: np.ndarray, settings: TrainingRecipe, *, rank: int = 0, size: int = 1
    ) -> None:
        self.chains, self.positions, self.settings = chains, positions, settings
        self.rank, self.size = rank, size
        cluster = chains.store.cluster[positions].astype(np.int64)
        alone = -1 - np.arange(len(cluster))  # a chain that was not clustered is its own cluster
        self.cluster = np.where(cluster < 0, alone, cluster)
        clusters = settings.epoch_of == "clusters"
        self.n_epoch = len(np.unique(self.cluster)) if clusters else len(positions)
        self.steps = settings.steps or math.ceil(settings.epochs * self.n_epoch * settings.draws / settings.batch)
        self._order: tuple[int, np.ndarray] = (-1, positions)

    def order(self, epoch: int) -> np.ndarray:
        """Return (n_epoch,) positions in the store in the order of one epoch."""
        if self._order[0] != epoch:
            shuffled = np.random.default_rng((self.settings.seed, ORDER, epoch)).permutation(len(self.positions))
            if self.settings.epoch_of == "clusters":  # the first chain of each cluster that comes up
                _, first = np.unique(self.cluster[shuffled], return_index=True)
                shuffled = shuffled[np.sort(first)]
            self._order = epoch, self.positions[shuffled]
        return self._order[1]

    def position(self, step: int, place: int) -> int:
        """Return which chain of the store is at one place (0 .. batch-1) of one step."""
        visit = (step * self.settings.batch + place) // self.settings.draws
        return int(self.order(visit // self.n_epoch)[visit % self.n_epoch])

    def example(self, step: int, place: int) -> tuple[Any, Any]:
        """Return (noisy inputs, target) without a batch axis."""
        generator = np.random.default_rng((self.settings.seed, EXAMPLE, step, place))
        inputs = self.chains[self.position(step, place)]
        return self.chains.family.corrupt(inputs, generator, progress=step / self.steps)

    def __getitem__(self, step: int) -> tuple[Any, Any]:
        """Return this process' share of the batch of one step: places rank, rank + size, ..."""
        examples = [self.example(step, place) for place in range(self.rank, self.settings.batch, self.size)]
        noisy, target = zip(*examples, strict=True)
        return collate(noisy), collate(target)

    def from_step(self, first: int, device: torch.device) -> Iterator[tuple[Any, Any]]:
        """Yield the batches of steps `first` .. `steps` - 1, on the device."""
        n_workers = self.settings.workers
        if n_workers:
            for position in self.positions:  # before the workers are forked, so that they share one copy
                self.chains[int(position)]
        loader = DataLoader(
            self, batch_size=None, sampler=range(first, self.steps), num_workers=n_workers, collate_fn=_as_it_is
        )
        return (to_device(batch, device) for batch in loader)


def _as_it_is(batch: Any) -> Any:
    return batch


def to_device(value: Any, device: torch.device) -> Any:
    """Move every tensor of (nested) dataclasses and tuples."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple | list):
        return tuple(to_device(item, device) for item in value)
    if is_dataclass(value):
        return type(value)(**{column.name: to_device(getattr(value, column.name), device) for column in fields(value)})
    return value


def n_bytes(value: Any) -> int:
    """Return the bytes of all tensors in a (nested) dataclass."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(n_bytes(getattr(value, column.name)) for column in fields(value)) if is_dataclass(value) else 0
