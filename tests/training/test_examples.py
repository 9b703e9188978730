"""Which example comes at which step: a function of seed and step alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tertia.data.batch import collate
from tertia.training.examples import Examples, FeaturisedChains, n_bytes
from tertia.training.run import usable
from tests.training.stores import small_family, small_settings


def make(store, *, rank: int = 0, size: int = 1, megabytes: int = 16, **changes) -> Examples:
    chains = FeaturisedChains(small_family(), store, megabytes=megabytes)
    return Examples(chains, usable(store, "train"), small_settings(**changes), rank=rank, size=size)


def tensors(batch) -> list[torch.Tensor]:
    return [getattr(part, column.name) for part in batch for column in dataclasses.fields(part)]


def same(one, two) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(two), strict=True))


def test_an_epoch_visits_every_chain_once(store) -> None:
    examples = make(store, epoch_of="chains", batch=2)
    visited = [examples.row(place // 2, place % 2).item() for place in range(2 * examples.n_epoch)]
    first, second = visited[: examples.n_epoch], visited[examples.n_epoch :]
    assert sorted(first) == sorted(second) == sorted(usable(store, "train").tolist())
    assert first != second


def test_an_epoch_of_clusters_visits_one_chain_of_each(store) -> None:
    examples = make(store, epoch_of="clusters")
    clusters = store.cluster[usable(store, "train")]
    orders = [examples.order(epoch)[:, 0] for epoch in range(20)]
    for order in orders:
        assert sorted(store.cluster[order]) == sorted(set(clusters.tolist()))
    assert set(np.concatenate(orders).tolist()) == set(usable(store, "train").tolist())  # every member has its turn


def test_chains_without_coordinates_are_never_drawn(store) -> None:
    assert (store.n_seen[store.split("train")] == 0).sum() == 1
    assert (store.n_seen[usable(store, "train")] > 0).all()


@pytest.mark.parametrize(("epochs", "batch", "draws"), [(2, 4, 1), (1.5, 4, 4)])
def test_epochs_are_turned_into_steps(store, epochs: float, batch: int, draws: int) -> None:
    examples = make(store, steps=0, epochs=epochs, batch=batch, draws=draws)
    assert examples.steps == -(-epochs * len(usable(store, "train")) * draws // batch)


def test_draws_come_from_one_chain(store) -> None:
    examples = make(store, batch=4, draws=4)
    for step in range(3):
        assert len({examples.row(step, place).item() for place in range(4)}) == 1


def test_a_batch_does_not_depend_on_what_was_drawn_before_or_kept(store) -> None:
    warm, cold = make(store), make(store, megabytes=0)
    for step in (0, 1, 2):
        _ = warm[step]
    assert same(warm[5], cold[5])
    assert not same(warm[5], warm[6])
    assert not same(warm[5], make(store, seed=1)[5])


def test_processes_share_one_batch(store) -> None:
    whole, shares = make(store)[3], [make(store, rank=rank, size=2)[3] for rank in (0, 1)]
    for rank, share in enumerate(shares):
        for one, part in zip(tensors(whole), tensors(share), strict=True):
            own = one[rank::2]
            cut = tuple(slice(size) for size in part.shape)  # the share may need less padding
            assert torch.equal(own[cut], part)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
def test_workers_make_the_same_batches(store) -> None:
    cpu = torch.device("cpu")
    alone, helped = (list(make(store, steps=4, workers=n).from_step(1, cpu)) for n in (0, 2))
    assert len(alone) == len(helped) == 3
    assert all(same(one, two) for one, two in zip(alone, helped, strict=True))


def test_single_chains_come_as_they_did_before_there_were_pairs(store) -> None:
    """A second implementation of the order, one generator a purpose; a run of an older version goes on unchanged."""
    examples, positions = make(store, batch=2, seed=3), usable(store, "train")
    for step in range(2 * len(positions)):
        expected = []
        for place in (0, 1):
            epoch, visit = divmod(2 * step + place, len(positions))
            position = positions[np.random.default_rng((3, 0, epoch)).permutation(len(positions))[visit]]
            inputs = examples.chains.family.featurise(store[int(position)])
            generator = np.random.default_rng((3, 1, step, place))
            expected.append(examples.chains.family.corrupt(inputs, generator, progress=step / examples.steps))
        noisy, target = zip(*expected, strict=True)
        assert same(examples[step], (collate(noisy), collate(target)))


def test_the_cache_keeps_to_its_limit(store) -> None:
    chains = FeaturisedChains(small_family(), store, megabytes=1)
    size = n_bytes(chains[5])
    chains._kept.clear()
    chains._room = 2 * size
    for position in usable(store, "train").tolist():
        chains[position]
    assert sum(map(n_bytes, chains._kept.values())) <= 2 * size
    assert chains._kept
