"""Perturb a chain and let a model move its atoms back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

import tertia
from tertia import Chain
from tertia.data.batch import collate


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
    native, seen = np.nan_to_num(chain.alpha), chain.seen
    noisy = native + sigma * np.random.default_rng(0).standard_normal(native.shape).astype(np.float32) * seen[:, None]
    back = denoised(chain, noisy, model=model, sigma=sigma)
    native, noisy, back = native[seen], noisy[seen], back[seen]
    maps = [distance_map(coord) for coord in (native, noisy, back)]
    return Denoised(*maps, rmsd_noisy=rmsd(noisy, native), rmsd_denoised=rmsd(back, native))


@torch.no_grad()
def denoised(chain: Chain, coord: np.ndarray, *, model: str, sigma: float) -> np.ndarray:
    """Follow the predicted score downhill through the noise levels below sigma; coord and result are (L, 3), Å."""
    checkpoint = tertia.load(model)
    family, network = checkpoint.family, checkpoint.network
    inputs = collate([family.featurise(chain)])
    x = torch.from_numpy(coord.astype(np.float32))
    levels = [level for level, value in enumerate(family.sigmas.tolist()) if 0.1 <= value <= sigma * 1.05]
    for level in levels:
        noisy = replace(inputs, coord=torch.stack([x, x])[None], level=torch.tensor([level]))
        # sigma^2 times the score leads to the posterior mean; half of it, the next level corrects the rest.
        x = x + 0.5 * family.sigmas[level] * family.force(network, noisy)[0, 0]
    return x.numpy()


def distance_map(coord: np.ndarray) -> np.ndarray:
    return np.linalg.norm(coord[:, None] - coord[None], axis=-1)


def rmsd(one: np.ndarray, two: np.ndarray) -> float:
    """Return the root mean square distance after the best superposition (Kabsch 1976), Å."""
    one, two = one - one.mean(0), two - two.mean(0)
    left, _, right = np.linalg.svd(one.T @ two)
    rotation = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    return float(np.sqrt(((one @ rotation - two) ** 2).sum(1).mean()))
