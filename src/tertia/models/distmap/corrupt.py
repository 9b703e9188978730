"""Draw one training example: a noise level, a rectangle of the map, Gaussian noise on the coordinates."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from tertia.models.distmap.inputs import Inputs


@dataclass(frozen=True)
class Target:
    """The noise that was added, in units of sigma; the score to be learned is -noise / sigma (Guo et al., eq. 2)."""

    noise: torch.Tensor  # (B, 2, L, 3) float32, standard normal, 0 where not seen


def draw_starts(
    length: int, width: int, generator: np.random.Generator, *, diagonal: float, near: float
) -> tuple[int, int]:
    """Draw the first row and the first column of a crop.

    With probability `diagonal` the two are equal, with `near` at most 16 apart, else independent (released code).
    """
    last = max(length - width, 0)
    row, kind = int(generator.integers(last + 1)), generator.random()
    if kind < diagonal:
        return row, row
    if kind < diagonal + near:
        return row, int(np.clip(row + generator.integers(-16, 17), 0, last))
    return row, int(generator.integers(last + 1))


def crop(inputs: Inputs, starts: tuple[int, int], width: int) -> Inputs:
    """Return the rectangle of `width` rows and columns from `starts`; shorter chains are taken whole."""
    length = inputs.letter.shape[-1]
    windows = [slice(start, min(start + width, length)) for start in starts]
    cut = {
        column.name: torch.stack([getattr(inputs, column.name)[side, windows[side]] for side in (0, 1)])
        for column in fields(inputs)
        if column.name != "level"
    }
    return Inputs(**cut, level=inputs.level)


def add_noise(inputs: Inputs, sigma: float, generator: np.random.Generator) -> tuple[Inputs, Target]:
    """Return the perturbed Inputs X + sigma Z and Z; a residue on both sides is moved once.

    The noise is drawn for every position between the first and the last of the crop, so that it depends on the
    generator and the crop alone, not on which residues are missing.
    """
    position = inputs.position - inputs.position.min()
    noise = torch.from_numpy(generator.standard_normal((int(position.max()) + 1, 3), dtype=np.float32))
    noise = noise[position] * inputs.seen[..., None]  # (2, L, 3)
    return replace(inputs, coord=inputs.coord + sigma * noise), Target(noise)
