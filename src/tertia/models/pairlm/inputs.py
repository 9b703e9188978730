"""What the language model reads of one chain or two: a line of tokens, and the residues that the tokens cover.

A line is `<s> A </s>`, or `<s> A </s> </s> B </s>`. Coordinates play no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from tertia.residues import letter_indices
from tertia.sequence.tokens import END, START, Tokenizer, train
from tertia.structure.chain import Chain

SPECIAL = 128
"""Added to the number of the chain in `part` at the special tokens around it."""


@dataclass(frozen=True)
class Line:
    """Tokens of padded lines, or of pieces of them; padding is 0."""

    token: torch.Tensor  # (B, T) int32, id of the vocabulary + 1
    part: torch.Tensor  # (B, T) uint8, k at the tokens of the k-th chain, SPECIAL + k at special tokens around it


@dataclass(frozen=True)
class Inputs:
    """Whole chains, one or two a line; padding is 0 throughout. 17 bytes a residue, so that a corpus fits in memory."""

    # tokens
    token: torch.Tensor  # (B, T) int32, id of the vocabulary + 1
    part: torch.Tensor  # (B, T) uint8, k at the tokens of the k-th chain, SPECIAL + k at special tokens around it
    # residues
    letter: torch.Tensor  # (B, L) uint8, index of the letter; 21 is any residue but the 20
    chain: torch.Tensor  # (B, L) uint8, chain map: 0 padding, k = k-th chain
    seen: torch.Tensor  # (B, L) bool, all real residues: a sequence has no gaps
    token_of_residue: torch.Tensor  # (B, L) int32, place in the line of the token that covers each residue
    offset: torch.Tensor  # (B, L) int16, place of each residue within its token, from 0
    span: torch.Tensor  # (B, L) int16, residues of that token

    @property
    def line(self) -> Line:
        """The tokens alone."""
        return Line(self.token, self.part)


@cache
def single_residues() -> Tokenizer:
    """Return the tokenizer without merges: every residue is a token."""
    return train([], merges=0)


def line_of(*chains: np.ndarray) -> Line:
    """Return the line, without the batch axis, of the ids (T,) of one chain or two."""
    token, part = [[START]], [SPECIAL + 1]
    for number, ids in enumerate(chains, start=1):
        between = [[END]] if number > 1 else []
        token += [*between, ids, [END]]
        part += [SPECIAL + number] * len(between) + [number] * len(ids) + [SPECIAL + number]
    ids = np.concatenate(token).astype(np.int32) + 1
    return Line(torch.from_numpy(ids), torch.tensor(part, dtype=torch.uint8))


def ids_of(line: Line | Inputs) -> list[np.ndarray]:
    """Return the ids (T,) of the tokens of each chain of a line without the batch axis, special ones left out."""
    token, part = line.token.numpy() - 1, line.part.numpy()
    n_chains = int(part.max() % SPECIAL)
    return [token[part == number] for number in range(1, n_chains + 1)]


def inputs_of_chain(chain: Chain, tokenizer: Tokenizer) -> Inputs:
    """Return the Inputs of one whole chain, without the batch axis.

    Raises InputError for anything that is no amino-acid letter.
    """
    tokens = tokenizer.encode([chain.sequence], names=[chain.key], where=chain.frame or chain.entry)[0]
    line = line_of(tokens.id)
    letter = torch.from_numpy(letter_indices(chain.sequence))
    return Inputs(
        line.token,
        line.part,
        letter,
        chain=torch.ones_like(letter),
        seen=torch.ones_like(letter, dtype=torch.bool),
        token_of_residue=torch.from_numpy(tokens.token_of_residue + 1),
        offset=torch.from_numpy(tokens.offset_of_residue.astype(np.int16)),
        span=torch.from_numpy(tokens.span_of_residue.astype(np.int16)),
    )


def join(first: Inputs, second: Inputs) -> Inputs:
    """Return two chains as one line, without the batch axis; positions run on from the first into the second.

    The order counts: what a network gives for A and B is not what it gives for B and A.
    """
    ids = [*ids_of(first), *ids_of(second)]
    if len(ids) != 2:
        raise ValueError(f"a line holds two chains, not {len(ids)}")
    line = line_of(*ids)
    rows = {name: torch.cat([getattr(first, name), getattr(second, name)]) for name in ("letter", "seen", "offset")}
    return Inputs(
        line.token,
        line.part,
        chain=torch.cat([first.chain, second.chain + 1]),
        token_of_residue=torch.cat([first.token_of_residue, second.token_of_residue + len(ids[0]) + 2]),
        span=torch.cat([first.span, second.span]),
        **rows,
    )
