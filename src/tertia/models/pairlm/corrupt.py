"""Draw one training example: a piece of a chain, some of whose letters are hidden (Devlin et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from tertia.models.pairlm.inputs import MASK, N_LETTERS, Inputs, cut

HIDDEN, RANDOM = 0.8, 0.1
"""Of the chosen letters so many are replaced by the mask and by any of the 20; the rest stay as they are."""


@dataclass(frozen=True)
class Target:
    """What is to be told."""

    letter: torch.Tensor  # (B, L) uint8, the true letter where one was chosen, 0 elsewhere


def draw_piece(inputs: Inputs, longest: int, generator: np.random.Generator) -> Inputs:
    """Return a piece of at most `longest` residues.

    A start is drawn as if the chain went on beyond its ends, and moved back inside: with even starts the ends would
    hardly ever be seen; so they are half as often as the middle.
    """
    length = inputs.letter.shape[-1]
    if length <= longest:
        return inputs
    start = int(generator.integers(-longest // 2, length - longest // 2))
    return cut(inputs, min(max(start, 0), length - longest), longest)


def hide(inputs: Inputs, share: float, generator: np.random.Generator) -> tuple[Inputs, Target]:
    """Choose letters of the 20, each with probability `share` and at least one, and hide them."""
    letter = inputs.letter.numpy()
    known = (letter >= 1) & (letter <= N_LETTERS)
    draw, kind = generator.random(letter.shape), generator.random(letter.shape)
    chosen = known & (draw < share)
    if known.any() and not chosen.any():
        chosen[np.where(known, draw, 2.0).argmin()] = True
    other = generator.integers(1, N_LETTERS + 1, letter.shape)
    replaced = np.where(kind < HIDDEN, MASK, np.where(kind < HIDDEN + RANDOM, other, letter))
    noisy = np.where(chosen, replaced, letter).astype(np.uint8)
    target = np.where(chosen, letter, 0).astype(np.uint8)
    return replace(inputs, letter=torch.from_numpy(noisy)), Target(torch.from_numpy(target))
