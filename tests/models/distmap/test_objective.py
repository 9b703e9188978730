"""The part of the loss that keeps the channels of the embedding apart."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from tertia.data.batch import collate
from tertia.models.distmap import objective
from tertia.training.validation import effective_dimension
from tests.models.distmap.examples import SMALL
from tests.structures import make_chain

N = 40


def batch_of(rows: torch.Tensor, levels: list[int]) -> tuple[torch.Tensor, object]:
    """Return maps (B, N, N, C) whose mean over columns is `rows` (B, N, C), and the inputs to them."""
    chain = SMALL["tertia"].featurise(make_chain(N, 0))
    inputs = collate([replace(chain, level=torch.tensor(level)) for level in levels])
    return rows[:, :, None].expand(-1, -1, N, -1), inputs


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_it_is_the_inverse_of_the_effective_dimension() -> None:
    rows = draw(1, N, 6) * torch.tensor([1.0, 1.0, 1.0, 3.0, 0.1, 0.0])
    found = objective.redundancy(*batch_of(rows, [5]))
    assert math.isclose(1.0 / float(found), effective_dimension(rows[0]), rel_tol=1e-4)


def test_equal_channels_are_redundant_and_independent_ones_are_not() -> None:
    same = draw(8, N, 1).expand(-1, -1, 6)
    assert float(objective.redundancy(*batch_of(same, list(range(8))))) > 0.999
    assert float(objective.redundancy(*batch_of(draw(8, N, 6), list(range(8))))) < 1.05 / 6


def test_what_the_level_explains_does_not_count() -> None:
    levels = list(range(0, 32, 4))
    rows = draw(len(levels), N, 4)
    shifted = rows + 50.0 * (torch.tensor(levels)[:, None, None] / 16.0 - 1.0) ** 3
    one, two = (float(objective.redundancy(*batch_of(x, levels))) for x in (rows, shifted))
    assert math.isclose(one, two, rel_tol=0.02)


def test_missing_residues_do_not_count() -> None:
    chain = SMALL["tertia"].featurise(make_chain(N, 0, missing=(3, 4, 5)))
    inputs = collate([chain])
    maps = draw(1, N, N, 5) * inputs.seen[:, 0, :, None, None] * inputs.seen[:, 1, None, :, None]
    expected = effective_dimension((maps.sum(2) / (N - 3))[0, inputs.seen[0, 0]])
    assert math.isclose(1.0 / float(objective.redundancy(maps, inputs)), expected, rel_tol=1e-4)
