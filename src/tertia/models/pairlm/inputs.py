"""What the language model sees of a chain: its letters, and which residues are its ends. Coordinates play no part."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from tertia.residues import LETTERS, N_INDICES, letter_indices
from tertia.structure.chain import Chain

N_LETTERS = len(LETTERS)
MASK = N_INDICES
"""Index of the letter that hides another one; 0 is padding, 1-20 are the amino acids, 21 is any other residue."""

N_TOKENS = N_INDICES + 1
FIRST, LAST = 1, 2


@dataclass(frozen=True)
class Inputs:
    """Residues of padded chains, or of pieces of them; padding is 0 throughout. Bytes, so that a corpus fits in memory.

    There are no special tokens: what they would say stands in `edge`, and every row is a residue.
    """

    letter: torch.Tensor  # (B, L) uint8, index of the letter
    edge: torch.Tensor  # (B, L) uint8, 1 at the first residue of a chain, 2 at the last one, 3 where it is both
    chain: torch.Tensor  # (B, L) uint8, chain map: 0 padding, k = k-th chain
    seen: torch.Tensor  # (B, L) bool, all real residues: a sequence has no gaps


def inputs_of_chain(chain: Chain) -> Inputs:
    """Return the Inputs of one whole chain, without the batch axis."""
    letter = torch.from_numpy(letter_indices(chain.sequence))
    edge = torch.zeros_like(letter)
    edge[0] += FIRST
    edge[-1] += LAST
    return Inputs(letter, edge, chain=torch.ones_like(letter), seen=torch.ones_like(letter, dtype=torch.bool))


def cut(inputs: Inputs, start: int, length: int) -> Inputs:
    """Return a piece of a chain; its ends are marked only where they are ends of the chain."""
    return Inputs(**{column.name: getattr(inputs, column.name)[start : start + length] for column in fields(inputs)})
