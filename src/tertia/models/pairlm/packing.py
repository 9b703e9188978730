"""Sequences laid one behind the other in one row of tokens, so that padding is never computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch

PAD = 1
FIRST_POSITION = 2
"""Ids of the vocabulary and of the table of positions, as in RoBERTa (Liu et al., 2019): position 1 is that of pads."""


@dataclass(frozen=True)
class Packed:
    """Tokens of S sequences, N in all; attention stays within a sequence."""

    token: torch.Tensor  # (N,) int64, ids of the vocabulary
    position: torch.Tensor  # (N,) int64, rows of the table of positions
    segment: torch.Tensor  # (S + 1,) int64, where each sequence starts, and N


def pack(sequences: Sequence[torch.Tensor]) -> Packed:
    """Lay sequences of token ids, each (T,) with its own T and without pads, one behind the other."""
    lengths = torch.tensor([0, *(len(sequence) for sequence in sequences)])
    token = torch.cat(list(sequences)).long()
    segment = lengths.cumsum(0).to(token.device)
    return Packed(token, positions(token, segment), segment)


def pack_padded(padded: torch.Tensor, *, attend_padding: bool = False) -> Packed:
    """Pack a padded batch of token ids.

    Parameters
    ----------
    padded: (B, T) token ids, pads at the end of the rows.
    attend_padding: keep the pads as tokens that are computed and attended to, as the reference does in pre-training
        (it passes no attention mask). For the ablation only: what a sequence gives then depends on T.

    Returns
    -------
    Packed with N = B T, or the number of tokens that are no pads.
    """
    return pack_where(padded, torch.ones_like(padded, dtype=torch.bool) if attend_padding else padded != PAD)


def pack_where(padded: torch.Tensor, real: torch.Tensor) -> Packed:
    """Pack those tokens of a batch of ids (B, T) that are `real` (B, T); a row is a sequence."""
    segment = torch.nn.functional.pad(real.sum(1).cumsum(0), (1, 0))
    token = padded[real].long()
    return Packed(token, positions(token, segment), segment)


def apart(segment: torch.Tensor, chain: torch.Tensor) -> torch.Tensor:
    """Return segments (S' + 1,) that begin also where another chain does, so that chains do not attend to each other.

    Parameters
    ----------
    segment: (S + 1,) where each sequence starts, and N.
    chain: (N,) number of the chain; 0, as at padding, goes with what stands before.
    """
    begins = torch.nonzero((chain[1:] != chain[:-1]) & (chain[1:] > 0))[:, 0] + 1
    return torch.cat([segment, begins]).unique()


def positions(token: torch.Tensor, segment: torch.Tensor) -> torch.Tensor:
    """Return rows (N,) of the table of positions: from 2 on in each sequence, pads not counted; 1 for pads.

    Parameters
    ----------
    token: (N,) token ids.
    segment: (S + 1,) where each sequence starts, and N.
    """
    real = (token != PAD).long()
    count = torch.nn.functional.pad(real.cumsum(0), (1, 0))  # (N + 1,) real tokens before each place
    before = torch.repeat_interleave(count[segment[:-1]], segment.diff(), output_size=len(token))
    return torch.where(real.bool(), count[:-1] - before + FIRST_POSITION, PAD)


class Order:
    """Packed rows re-ordered so that sequences of one length stand side by side; made once a batch, used by all layers.

    Then the rows of one length are a view (n, T, ...) of the whole, and there is one attention for every length that
    occurs, without mask and without padding. Sequences without tokens have no rows.

    Attributes: runs, list of (number of sequences n, their length T); place (N,), the packed row of each row here.
    """

    def __init__(self, segment: torch.Tensor) -> None:
        starts = segment.tolist()
        lengths = [stop - start for start, stop in pairwise(starts)]
        by_length = sorted(range(len(lengths)), key=lengths.__getitem__)  # stable: order is kept among equals
        grouped = [(len(list(run)), length) for length, run in groupby(lengths[k] for k in by_length)]
        self.runs = [(n, length) for n, length in grouped if length > 0]
        self.place: torch.Tensor | None = None  # None where the order is that of the packed rows
        if by_length != list(range(len(lengths))):
            place = [torch.arange(starts[k], starts[k + 1]) for k in by_length]
            self.place = torch.cat(place).to(segment.device)

    def sort(self, packed: torch.Tensor) -> torch.Tensor:
        """Return packed rows (N, ...) in this order."""
        return packed if self.place is None else packed[self.place]

    def restore(self, rows: torch.Tensor) -> torch.Tensor:
        """Return rows (N, ...) of this order as they were packed."""
        return rows if self.place is None else torch.empty_like(rows).index_copy(0, self.place, rows)

    def split(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Return a view (n, T, ...) of rows (N, ...) for each length T that occurs."""
        parts = rows.split([n * length for n, length in self.runs])
        return [part.unflatten(0, run) for part, run in zip(parts, self.runs, strict=True)]
