"""Perturb a chain and let a model move its atoms back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import tertia
from tertia import Chain
from tertia.models.distmap.langevin import refine


@dataclass(frozen=True)
class Denoised:
    """Distance maps of the seen residues of one chain, Å, and how far the coordinates are from the native ones."""

    native: np.ndarray  # (L, L)
    noisy: np.ndarray  # (L, L)
    denoised: np.ndarray  # (L, L)
    rmsd_noisy: float
    rmsd_denoised: float


def perturbed_and_denoised(chain: Chain, *, model: str, sigma: float) -> Denoised:
    """Put noise of standard deviation sigma (Å) on every coordinate of a chain, and take it off again with a model."""
    trained = tertia.load(model)
    noise = np.random.default_rng(0).standard_normal(chain.alpha.shape, dtype=np.float32)
    noisy = chain.alpha + sigma * noise
    # One long step at each of the falling noise levels is enough for a picture.
    back = refine(
        trained.family, trained.network, noisy, chain.sequence, from_sigma=sigma, steps_per_level=1, step=0.5
    )  # fmt: skip
    native, noisy, back = (coord[chain.seen] for coord in (chain.alpha, noisy, back))
    maps = [distance_map(coord) for coord in (native, noisy, back)]
    return Denoised(*maps, rmsd_noisy=rmsd(noisy, native), rmsd_denoised=rmsd(back, native))


def distance_map(coord: np.ndarray) -> np.ndarray:
    return np.linalg.norm(coord[:, None] - coord[None], axis=-1)


def rmsd(one: np.ndarray, two: np.ndarray) -> float:
    """Return the root mean square distance after the best superposition (Kabsch 1976), Å."""
    one, two = one - one.mean(0), two - two.mean(0)
    left, _, right = np.linalg.svd(one.T @ two)
    rotation = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    return float(np.sqrt(((one @ rotation - two) ** 2).sum(1).mean()))
