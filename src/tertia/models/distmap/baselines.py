"""Three analytic score models that need no network: what a trained one has to beat, level by level.

`constant` pulls every residue to the centroid, `position_only` is the exact posterior of a Gaussian chain whose mean
squared distances depend on the sequence separation alone, `bond_springs` knows nothing but the length of the bonds.
All are fitted on the training chains and kept with the network, so that they can be shown beside it for any input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn as nn

from tertia.models.distmap.inputs import BOND, Inputs

NAMES = ("constant", "position_only", "bond_springs")
N_SEPARATIONS = 512
N_SPRING_WINDOWS = 400
SPRING_WINDOW = 32


class Baselines(nn.Module):
    """The fitted numbers.

    Buffers: mean_square (512,) mean squared distance by sequence separation, Angstrom^2; bond (2,) mean and spread of
    consecutive C-alpha distances, Angstrom; spring (K,) best factor of the bond force at each noise level.
    """

    def __init__(self, n_levels: int) -> None:
        super().__init__()
        self.register_buffer("mean_square", torch.zeros(N_SEPARATIONS))
        self.register_buffer("bond", torch.tensor([BOND, 0.022]))
        self.register_buffer("spring", torch.zeros(n_levels))

    def fit(self, chains: Sequence[np.ndarray], sigmas: torch.Tensor) -> None:
        """Fit on C-alpha coordinates, each (L, 3) Angstrom with NaN where missing."""
        mean_square, bonds = _statistics(chains)
        self.mean_square.copy_(torch.from_numpy(mean_square))
        centre = np.median(bonds)
        spread = 1.4826 * np.median(np.abs(bonds - centre))  # robust: cis peptides and breaks are no bonds' spread
        self.bond.copy_(torch.tensor([centre, spread]))
        self.spring.copy_(self._fit_springs(chains, sigmas))

    def forces(self, inputs: Inputs, sigma: float) -> dict[str, torch.Tensor]:
        """Return sigma times the score, (2, L, 3), of each baseline for one example without batch axis."""
        level = int(inputs.level)
        position, index = torch.unique(inputs.position[inputs.seen], return_inverse=True)  # the nodes of both sides
        coord = torch.zeros(len(position), 3, dtype=torch.float64)
        coord[index] = inputs.coord[inputs.seen].double()
        centred = coord - coord.mean(0)
        covariance = self._covariance(position)
        variance = float(covariance.trace()) / max(len(position) - 1, 1)
        solved = torch.linalg.solve(covariance + sigma**2 * torch.eye(len(position), dtype=torch.float64), centred)
        on_nodes = {
            "constant": -sigma / (sigma**2 + variance) * centred,
            "position_only": -sigma * solved,  # (S (S + sigma^2)^-1 - 1) x = -sigma^2 (S + sigma^2)^-1 x
            "bond_springs": float(self.spring[level]) * self._bond_force(coord, position, sigma),
        }
        return {name: _to_sides(values, index, inputs) for name, values in on_nodes.items()}

    def _covariance(self, position: torch.Tensor) -> torch.Tensor:
        """Return (N, N) covariance a coordinate of centred nodes, from the mean squared distances, Angstrom^2."""
        separation = (position[:, None] - position[None, :]).abs().clamp_max(N_SEPARATIONS - 1)
        squared = self.mean_square[separation].double() / 3.0
        centring = torch.eye(len(position), dtype=torch.float64) - 1.0 / len(position)
        values, vectors = torch.linalg.eigh(-0.5 * centring @ squared @ centring)
        return (vectors * values.clamp_min(0.0)) @ vectors.T

    def _bond_force(self, coord: torch.Tensor, position: torch.Tensor, sigma: float) -> torch.Tensor:
        step = coord[1:] - coord[:-1]
        length = step.square().sum(-1).sqrt()
        mean, spread = self.bond.double()
        limit = 4.0 * (2.0 * sigma**2 + spread**2).sqrt()
        stretch = (length - mean).clamp(-limit, limit) * (position[1:] - position[:-1] == 1)
        pull = (stretch / length.clamp_min(1e-6))[:, None] * step / sigma
        force = torch.zeros_like(coord)
        force[:-1] += pull
        force[1:] -= pull
        return force

    def _fit_springs(self, chains: Sequence[np.ndarray], sigmas: torch.Tensor) -> torch.Tensor:
        generator = np.random.default_rng(0)
        windows = list(_windows(chains, generator))
        position = torch.arange(SPRING_WINDOW)
        springs = []
        for sigma in sigmas.tolist():
            along, squared = 0.0, 0.0
            for window in windows:
                noise = torch.from_numpy(generator.standard_normal(window.shape))
                force = self._bond_force(torch.from_numpy(window).double() + sigma * noise, position, sigma)
                along -= float((force * noise).sum())
                squared += float(force.square().sum())
            springs.append(along / max(squared, 1e-12))
        return torch.tensor(springs)


def _statistics(chains: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean squared distance by separation (512,), the last known carried on, and all bond lengths."""
    total, count, bonds = np.zeros(N_SEPARATIONS), np.zeros(N_SEPARATIONS), [np.array([BOND])]
    for coord in chains:
        for separation in range(1, min(len(coord), N_SEPARATIONS)):
            squared = np.square(coord[separation:] - coord[:-separation]).sum(-1)
            squared = squared[np.isfinite(squared)]
            total[separation] += squared.sum()
            count[separation] += len(squared)
            if separation == 1:
                bonds.append(np.sqrt(squared))
    known = np.flatnonzero(count)
    mean = np.interp(np.arange(N_SEPARATIONS), [0, *known], [0.0, *(total[known] / count[known])])
    return mean, np.concatenate(bonds)


def _windows(chains: Sequence[np.ndarray], generator: np.random.Generator) -> Iterable[np.ndarray]:
    long = [coord for coord in chains if len(coord) >= SPRING_WINDOW]
    for _ in range(N_SPRING_WINDOWS if long else 0):
        coord = long[generator.integers(len(long))]
        start = generator.integers(len(coord) - SPRING_WINDOW + 1)
        window = coord[start : start + SPRING_WINDOW]
        if np.isfinite(window).all():
            yield window


def _to_sides(values: torch.Tensor, index: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    sides = torch.zeros(inputs.coord.shape)
    sides[inputs.seen] = values[index].float()
    return sides
