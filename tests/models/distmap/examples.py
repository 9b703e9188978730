"""Small networks and noisy examples for the tests of the family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tertia.data.batch import collate
from tertia.models.distmap import Distmap
from tertia.models.distmap.corrupt import add_noise
from tertia.models.distmap.inputs import Inputs
from tests.structures import make_chain

SMALL = {
    "tertia": Distmap(width=16, bottleneck=8, n_blocks=3, dilations=(1, 2), crop=16, late_crop=24),
    "paper": Distmap(
        mode="paper", width=16, bottleneck=8, n_blocks=3, dilations=(1, 3), crop=16, redundancy_weight=0.0
    ),
}


def network_of(mode: str, seed: int = 0) -> torch.nn.Module:
    """Return a small network whose weights are all random, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    network = SMALL[mode].network()
    with torch.no_grad():
        for parameter in network.parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.3
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def whole(n: int, seed: int = 0, *, level: int = 12, missing: tuple[int, ...] = ()) -> Inputs:
    """Return a batch of one whole chain, unperturbed."""
    inputs = SMALL["tertia"].featurise(make_chain(n, seed, missing=missing))
    return collate([replace(inputs, level=torch.tensor(level))])


def noisy(n: int, seed: int = 0, *, level: int = 12, missing: tuple[int, ...] = ()):
    """Return (inputs, target), a batch of one whole chain with noise."""
    inputs = SMALL["tertia"].featurise(make_chain(n, seed, missing=missing))
    sigma = float(SMALL["tertia"].sigmas[level])
    one = add_noise(replace(inputs, level=torch.tensor(level)), sigma, np.random.default_rng(seed))
    return collate([one[0]]), collate([one[1]])


def double(inputs: Inputs) -> Inputs:
    """Return the inputs with coordinates in double precision."""
    return replace(inputs, coord=inputs.coord.double())


def rotation(seed: int, *, mirror: bool = False) -> torch.Tensor:
    """Return a random rotation (3, 3), or one followed by a reflection."""
    matrix, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    sign = -1.0 if mirror else 1.0
    return matrix * (torch.linalg.det(matrix).sign() * sign)


def moved(inputs: Inputs, matrix: torch.Tensor, shift: float = 5.0) -> Inputs:
    """Return the inputs rotated (or reflected) and shifted."""
    coord = inputs.coord @ matrix.T.to(inputs.coord.dtype) + shift
    return replace(inputs, coord=coord * inputs.seen[..., None])
