"""Collation pads with zeros; batches by cost lose nothing and stay within the budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tertia.data.batch import batches_by_cost, collate


@dataclass(frozen=True)
class Inner:
    pair: torch.Tensor
    length: int


@dataclass(frozen=True)
class Outer:
    letter: torch.Tensor
    inner: Inner
    absent: torch.Tensor | None = None


def outer(n: int) -> Outer:
    return Outer(torch.arange(1, n + 1), Inner(torch.ones(n, n, 2), n))


def test_collate_pads_nested_dataclasses_with_zeros():
    batch = collate([outer(2), outer(5), outer(3)])
    assert type(batch) is Outer and type(batch.inner) is Inner and batch.absent is None
    assert batch.letter.tolist() == [[1, 2, 0, 0, 0], [1, 2, 3, 4, 5], [1, 2, 3, 0, 0]]
    assert batch.inner.pair.shape == (3, 5, 5, 2)
    assert batch.inner.pair.sum(dim=(1, 2, 3)).tolist() == [8.0, 50.0, 18.0]
    assert batch.inner.length.tolist() == [2, 5, 3]


def test_collate_keeps_dtypes_and_refuses_mixtures():
    assert collate([torch.ones(2, dtype=torch.bool), torch.ones(3, dtype=torch.bool)]).dtype == torch.bool
    for bad in ([torch.ones(2), torch.ones(2, 2)], [torch.ones(2), torch.ones(2).long()], ["a", "b"], []):
        with pytest.raises(ValueError):
            collate(bad)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_batches_cover_all_within_the_budget(seed):
    costs = np.random.default_rng(3).exponential(10.0, size=500)
    generator = None if seed is None else np.random.default_rng(seed)
    batches = list(batches_by_cost(costs, 60.0, generator=generator))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    for batch in batches:
        assert len(batch) == 1 or costs[batch].max() * len(batch) <= 60.0 + 1e-9
    assert len(batches) < 1.6 * costs.sum() / 60.0 + 5


def test_batches_are_reproducible_and_differ_between_seeds():
    costs = np.random.default_rng(3).exponential(10.0, size=100)
    runs = [[b.tolist() for b in batches_by_cost(costs, 60, generator=np.random.default_rng(s))] for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_largest_first_begins_with_the_dearest():
    assert next(iter(batches_by_cost([1, 9, 3], 3, largest_first=True))).tolist() == [1]


def test_impossible_costs_are_refused():
    for costs, budget in (([1.0, float("nan")], 1.0), ([1.0], 0.0)):
        with pytest.raises(ValueError):
            list(batches_by_cost(costs, budget))
