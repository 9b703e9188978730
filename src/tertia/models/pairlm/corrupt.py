"""Draw one training example: a piece of a line, some of whose tokens are hidden (Devlin et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from tertia.models.pairlm.inputs import SPECIAL, Line, ids_of, line_of
from tertia.residues import LETTERS
from tertia.sequence.tokens import FEWEST, MASK, Tokenizer, shares

HIDDEN, RANDOM = 0.8, 0.1
"""Of the chosen tokens so many are replaced by the mask and by a random one; the rest stay as they are."""


@dataclass(frozen=True)
class Target:
    """What is to be told."""

    token: torch.Tensor  # (B, T) int32, id + 1 of the true token where one was chosen, 0 elsewhere
    n_residues: torch.Tensor  # (B, T) int16, residues of that token


def used_ids(tokenizer: Tokenizer) -> np.ndarray:
    """Return the ids (n,) of the tokens that proteins are made of: the 20 letters and all merges."""
    letters = [tokenizer.vocabulary.index(letter) for letter in LETTERS]
    return np.array([*letters, *range(FEWEST, len(tokenizer))], dtype=np.int32)


def draw_piece(line: Line, longest: int, generator: np.random.Generator) -> Line:
    """Return a piece of at most `longest` tokens.

    Of one chain this is a window of the line, so that a special token stands only where the chain ends. Two chains
    are cut to their shares, the longer one first, a random window of each; the special tokens between them stay.
    """
    if len(line.token) <= longest:
        return line
    chains = ids_of(line)
    if len(chains) == 1:
        rows = slice(*_window(len(line.token), longest, generator))
        return Line(line.token[rows], line.part[rows])
    kept = shares([len(ids) for ids in chains], longest - (len(line.token) - sum(map(len, chains))))
    windows = [slice(*_window(len(ids), room, generator)) for ids, room in zip(chains, kept, strict=True)]
    return line_of(*(ids[rows] for ids, rows in zip(chains, windows, strict=True)))


def _window(length: int, room: int, generator: np.random.Generator) -> tuple[int, int]:
    """Return where a random piece of at most `room` of `length` begins and ends.

    A start is drawn as if the chain went on beyond its ends, and moved back inside: with even starts the ends would
    hardly ever be seen; so they are half as often as the middle.
    """
    if length <= room:
        return 0, length
    start = int(generator.integers(-room // 2, length - room // 2))
    start = min(max(start, 0), length - room)
    return start, start + room


def split_anew(line: Line, tokenizer: Tokenizer, *, dropout: float, generator: np.random.Generator) -> Line:
    """Return the same chains in other tokens: each bond between residues is closed to merges with this probability."""
    sequences = ["".join(tokenizer.vocabulary[one] for one in ids.tolist()) for ids in ids_of(line)]
    return line_of(*(tokens.id for tokens in tokenizer.encode(sequences, dropout=dropout, generator=generator)))


def hide(
    line: Line, share: float, generator: np.random.Generator, *, substitutes: np.ndarray, length_of_id: np.ndarray
) -> tuple[Line, Target]:
    """Choose tokens of the chains, each with probability `share` and at least one, and hide them.

    Parameters
    ----------
    substitutes: (n,) ids that a random token is drawn from.
    length_of_id: (V,) residues of the tokens.
    """
    token, part = line.token.numpy(), line.part.numpy()
    known = part < SPECIAL
    draw, kind = generator.random(token.shape), generator.random(token.shape)
    chosen = known & (draw < share)
    if known.any() and not chosen.any():
        chosen[np.where(known, draw, 2.0).argmin()] = True
    other = substitutes[generator.integers(len(substitutes), size=token.shape)] + 1
    replaced = np.where(kind < HIDDEN, MASK + 1, np.where(kind < HIDDEN + RANDOM, other, token))
    noisy = np.where(chosen, replaced, token).astype(np.int32)
    target = np.where(chosen, token, 0).astype(np.int32)
    n_residues = np.where(chosen, length_of_id[token - 1], 0).astype(np.int16)
    noisy_line = replace(line, token=torch.from_numpy(noisy))
    return noisy_line, Target(torch.from_numpy(target), torch.from_numpy(n_residues))
