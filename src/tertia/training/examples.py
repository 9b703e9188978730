"""Which chain or pair of chains is seen at which step, and how it is corrupted: by the seed and the step alone.

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
from tertia.data.partners import Draw, Pairing
from tertia.data.store import Store
from tertia.models.family import Family
from tertia.training.settings import TrainingRecipe

ORDER, EXAMPLE, VALIDATION, PARTNERS = 0, 1, 2, 3
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

    def together(self, row: np.ndarray) -> Any:
        """Return the Inputs of one chain, or of two as the family joins them; only single chains are kept."""
        first, *second = (self[position] for position in row.tolist())
        return self.family.join(first, *second) if second else first


class Examples(Dataset):
    """Batches of training examples by step, this process' share of each."""

    def __init__(
        self, chains: FeaturisedChains, positions: np.ndarray, settings: TrainingRecipe, *,
        pairing: Pairing | None = None, rank: int = 0, size: int = 1,
    ) -> None:  # fmt: skip
        self.chains, self.settings, self.pairing = chains, settings, pairing
        self.rank, self.size = rank, size
        self._order: tuple[int, np.ndarray] = (-1, positions)
        if pairing is None:
            self.positions = positions
            self._number_clusters()
        else:
            self.pair_rows = pairing.pairs.among(positions)
            ends = [pairing.pairs.first[self.pair_rows], pairing.pairs.second[self.pair_rows]]
            self.positions = np.unique(np.concatenate(ends)).astype(np.int64)
            # Later epochs may be a few pairs longer or shorter; they are cut or go round, so that steps tell the epoch.
            self.n_epoch = len(self.draw(0).rows)
        self.steps = settings.steps or math.ceil(settings.epochs * self.n_epoch * settings.draws / settings.batch)

    def _number_clusters(self) -> None:
        cluster = self.chains.store.cluster[self.positions].astype(np.int64)
        alone = -1 - np.arange(len(cluster))  # a chain that was not clustered is its own cluster
        self.cluster = np.where(cluster < 0, alone, cluster)
        clusters = self.settings.epoch_of == "clusters"
        self.n_epoch = len(np.unique(self.cluster)) if clusters else len(self.positions)

    def order(self, epoch: int) -> np.ndarray:
        """Return (n_epoch, 1 or 2) positions in the store, chains or pairs, in the order of one epoch."""
        if self._order[0] != epoch:
            if self.pairing is None:
                rows = self._single(epoch)[:, None]
            else:  # a network of a few proteins may leave no random pair in some epoch
                rows = next(rows for rows in (self.draw(epoch).rows, self.draw(0).rows) if len(rows))
            self._order = epoch, rows[np.arange(self.n_epoch) % len(rows)]
        return self._order[1]

    def _single(self, epoch: int) -> np.ndarray:
        shuffled = np.random.default_rng((self.settings.seed, ORDER, epoch)).permutation(len(self.positions))
        if self.settings.epoch_of == "clusters":  # the first chain of each cluster that comes up
            _, first = np.unique(self.cluster[shuffled], return_index=True)
            shuffled = shuffled[np.sort(first)]
        return self.positions[shuffled]

    def draw(self, epoch: int) -> Draw:
        """Return the pairs of one epoch, in its order."""
        return self.pairing.draw(self.pair_rows, np.random.default_rng((self.settings.seed, PARTNERS, epoch)))

    def row(self, step: int, place: int) -> np.ndarray:
        """Return (1 or 2,) positions in the store: what is at one place (0 .. batch-1) of one step."""
        visit = (step * self.settings.batch + place) // self.settings.draws
        return self.order(visit // self.n_epoch)[visit % self.n_epoch]

    def example(self, step: int, place: int) -> tuple[Any, Any]:
        """Return (noisy inputs, target) without a batch axis."""
        generator = np.random.default_rng((self.settings.seed, EXAMPLE, step, place))
        inputs = self.chains.together(self.row(step, place))
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
