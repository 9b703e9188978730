"""Use the score itself: pull a perturbed C-alpha trace towards what the network takes for a protein.

The network sees the full map, so memory grows with L^2 here (about 2 GB at 1,000 residues).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from tertia.errors import InputError
from tertia.models.distmap.family import Distmap
from tertia.models.distmap.inputs import Inputs
from tertia.residues import letter_indices
from tertia.structure.geometry import dihedrals, superpose


def denoise(family: Distmap, network: torch.nn.Module, coord: np.ndarray, sequence: str, *, sigma: float) -> np.ndarray:
    """Return the posterior mean of the coordinates at one noise level: x + sigma (sigma G), Tweedie's formula.

    Parameters
    ----------
    coord: (L, 3) Angstrom, perturbed by Gaussian noise of standard deviation sigma; NaN where missing.
    sequence: (L,) letters.
    sigma: Angstrom; the nearest noise level of the family is taken for the network.

    Returns
    -------
    (L, 3) float32 Angstrom, NaN where missing.
    """
    level = nearest_level(family, sigma)
    inputs = _inputs(coord, sequence, level)
    x = inputs.coord[0, 0] + sigma * _force(family, network, inputs)
    return _with_gaps(x, inputs)


def refine(
    family: Distmap, network: torch.nn.Module, coord: np.ndarray, sequence: str, *, from_sigma: float,
    to_sigma: float = 0.1, steps_per_level: int = 4, step: float = 0.2, generator: np.random.Generator | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the trace after annealed Langevin steps from one noise level down to another (Song and Ermon 2019).

    At each level of the family between the two, `steps_per_level` times: x += step sigma (sigma G) + noise.

    Parameters
    ----------
    coord: (L, 3) Angstrom, NaN where missing.
    from_sigma, to_sigma: Angstrom; the first should be about the error of the trace.
    step: share of the way to the posterior mean.
    generator: of the noise, sigma sqrt(2 step) a step; None leaves it out and goes to the nearest mode, which has
        the smaller RMSD.

    Returns
    -------
    (L, 3) float32 Angstrom, NaN where missing, of the same hand as the input, superposed on it.
    """
    first, last = nearest_level(family, from_sigma), nearest_level(family, to_sigma)
    if first > last:
        raise InputError("refine", found=f"from_sigma {from_sigma:g} is below to_sigma {to_sigma:g}")
    inputs = _inputs(coord, sequence, first)
    for x in _steps(family, network, inputs, range(first, last + 1), steps_per_level, step, generator):
        inputs.coord.copy_(x)
    return _same_hand(_with_gaps(inputs.coord[0, 0], inputs), np.asarray(coord, np.float32))


def nearest_level(family: Distmap, sigma: float) -> int:
    """Return the index of the nearest noise level, by ratio; raises InputError unless sigma is positive."""
    if not sigma > 0:
        raise InputError("sigma", found=f"{sigma!r}", allowed="a positive number of Angstrom")
    return int((family.sigmas / sigma).log().abs().argmin())


def handedness(coord: np.ndarray) -> float:
    """Return the share of C-alpha dihedrals as in right-handed helices minus that in left-handed ones, -1 to 1."""
    angle = np.degrees(dihedrals(np.asarray(coord)))
    angle = angle[np.isfinite(angle)]
    if not len(angle):
        return 0.0
    return float(((angle > 20) & (angle < 90)).mean() - ((angle < -20) & (angle > -90)).mean())


def _inputs(coord: np.ndarray, sequence: str, level: int) -> Inputs:
    """Return a batch of one chain."""
    coord = torch.from_numpy(np.array(coord, dtype=np.float32))
    if coord.shape != (len(sequence), 3):
        raise InputError("coord", found=f"has the shape {tuple(coord.shape)}", allowed=f"({len(sequence)}, 3)")
    seen = torch.isfinite(coord).all(-1)
    coord = torch.where(seen[:, None], coord, 0.0)
    letter = torch.from_numpy(letter_indices(sequence).astype("int64"))
    columns = (letter, torch.arange(len(sequence)), coord, torch.ones_like(letter), seen)
    sides = [torch.stack([column, column])[None] for column in columns]
    return Inputs(*sides, level=torch.tensor([level]))


def _force(family: Distmap, network: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
    """Return sigma G, (L, 3), 0 where missing: the mean of what it is on the row and on the column residues."""
    with torch.inference_mode():
        force = family.force(network, inputs)[0].mean(0)
    return force.clone() * inputs.seen[0, 0, :, None]


def _steps(family, network, inputs, levels, steps_per_level, step, generator) -> Iterator[torch.Tensor]:
    """Yield the coordinates (1, 2, L, 3) after each step; the caller puts them into the inputs."""
    for level in levels:
        sigma = float(family.sigmas[level])
        inputs.level.fill_(level)
        for _ in range(steps_per_level):
            x = inputs.coord[0, 0] + step * sigma * _force(family, network, inputs)
            if generator is not None:
                noise = torch.from_numpy(generator.standard_normal(x.shape, dtype=np.float32))
                x = x + sigma * (2.0 * step) ** 0.5 * noise * inputs.seen[0, 0, :, None]
            yield torch.stack([x, x])[None]


def _with_gaps(coord: torch.Tensor, inputs: Inputs) -> np.ndarray:
    return torch.where(inputs.seen[0, 0, :, None], coord, torch.nan).numpy().astype(np.float32)


def _same_hand(coord: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return coord or its mirror image, whichever comes nearer to `like`, superposed on it.

    Not by the hand of the helices: under much noise the trace that came in shows none.
    """
    if np.isfinite(like).all(1).sum() < 3:
        return coord
    found = [(one, *superpose(one, like)) for one in (coord, coord * np.array([-1, 1, 1], np.float32))]
    chosen, rotation, translation, _ = min(found, key=lambda one: one[3])
    return (chosen @ rotation.T + translation).astype(np.float32)
