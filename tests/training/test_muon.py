"""Muon against a singular value decomposition, and what it is for: directions of small gradient learn as well."""

from __future__ import annotations

import pytest
import torch

from tertia.training.muon import Muon, orthogonalise


def random_matrices(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("rows", "columns"), [(4, 9), (9, 4), (6, 6)])
def test_singular_values_become_about_one_and_directions_stay(rows: int, columns: int) -> None:
    left, _, right = torch.linalg.svd(random_matrices(3, rows, columns), full_matrices=False)
    values = torch.linspace(0.05, 1.0, min(rows, columns))
    found = orthogonalise(left @ torch.diag_embed(values.expand(3, -1)) @ right)
    turned = left.mT @ found @ right.mT  # diagonal when U and V are those of the matrix
    assert (turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))).abs().max() < 1e-4
    lengths = turned.diagonal(dim1=1, dim2=2)
    assert lengths.min() > 0.6
    assert lengths.max() < 1.3


def test_the_scale_of_the_gradient_does_not_matter() -> None:
    matrices = random_matrices(2, 5, 7)
    assert torch.allclose(orthogonalise(matrices), orthogonalise(matrices * 1e-3), atol=1e-4)


def test_a_kernel_moves_as_the_matrix_of_its_output_channels() -> None:
    start, gradient = random_matrices(4, 3, 3, 3), random_matrices(4, 3, 3, 3) + 0.5
    kernel, matrix = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.flatten(1).clone())
    optimiser = Muon([kernel, matrix], lr=0.1, weight_decay=0.2)
    for _ in range(2):
        kernel.grad, matrix.grad = gradient, gradient.flatten(1)
        optimiser.step()
    assert torch.allclose(kernel.flatten(1), matrix, atol=1e-6)
    # By hand: the same gradient twice keeps the direction of the momentum; both steps shrink by 2 % first.
    step = orthogonalise(gradient.flatten(1)[None])[0]
    assert torch.allclose(matrix, (start.flatten(1) * 0.98 - 0.1 * step) * 0.98 - 0.1 * step, atol=1e-5)


def test_a_valley_is_followed_where_plain_momentum_would_crawl() -> None:
    """Quadratic of condition number 1,000 in the singular directions of a matrix."""
    torch.manual_seed(0)
    scale = torch.logspace(0, -3, 6)
    weight = torch.nn.Parameter(torch.eye(6))
    optimiser = Muon([weight], lr=0.05)
    for step in range(60):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1 - step / 60)
        loss = 0.5 * (scale[:, None] * weight.square()).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert weight.abs().max() < 0.6  # plain gradient descent at the largest stable rate, 1, leaves 0.94


def test_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="two axes"):
        Muon([torch.nn.Parameter(torch.zeros(3))], lr=0.1)
