"""Sequences longer than a network reads at once, in overlapping windows of which none is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from tertia.models.pairlm.packing import Packed


@dataclass(frozen=True)
class Windows:
    """Windows over packed rows, and which window speaks for each row: the one where it lies most central."""

    place: torch.Tensor  # (M,) int64, the packed row of each row of the windows
    segment: torch.Tensor  # (W + 1,) int64, where each window starts, and M
    chosen: torch.Tensor  # (N,) int64, the row of the windows for each packed row


def overlapping(segment: torch.Tensor, longest: int) -> Windows:
    """Cover sequences by windows of at most `longest` rows, half of which overlap; a short one is its own window.

    Parameters
    ----------
    segment: (S + 1,) where each sequence starts, and N.
    """
    place, lengths, chosen, n_rows = [], [0], [], 0
    for first, stop in pairwise(segment.tolist()):
        length = stop - first
        width = min(length, longest)
        n_windows = 1 + -(-(length - width) // max(longest // 2, 1))
        starts = np.linspace(0, length - width, n_windows).round().astype(np.int64)
        middle = (starts[:-1] + starts[1:] + width) / 2.0  # between the centres of neighbours
        row = np.arange(length)
        window = np.searchsorted(middle, row + 0.5, side="right")
        chosen.append(n_rows + window * width + row - starts[window])
        place.append((first + starts[:, None] + np.arange(width)).ravel())
        lengths += [width] * n_windows
        n_rows += n_windows * width
    columns = np.concatenate(place), np.cumsum(lengths), np.concatenate(chosen)
    return Windows(*(torch.from_numpy(column).to(segment.device) for column in columns))


def groups(packed: Packed, most: int) -> Iterator[Packed]:
    """Yield the sequences of a pack in packs of at most `most` rows; one that is longer comes alone."""
    starts = packed.segment.tolist()
    first = 0
    for last in range(1, len(starts)):
        if last == len(starts) - 1 or starts[last + 1] - starts[first] > most:
            rows = slice(starts[first], starts[last])
            yield Packed(packed.token[rows], packed.position[rows], packed.segment[first : last + 1] - rows.start)
            first = last
