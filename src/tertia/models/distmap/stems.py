"""The first layer of both networks for a strip of rows, without the channels that depend on one residue only."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from tertia.models.distmap import inputs as channels
from tertia.models.distmap.fold import Folded
from tertia.models.distmap.inputs import Inputs


class PaperStem:
    """Rows of the paper's 3x3 stem: distance channels as a convolution, residue channels as sums of vectors."""

    def __init__(self, inputs: Inputs, folded: Folded) -> None:
        self.inputs, self.weights = inputs, folded.stem
        self.n_residues = (inputs.chain[:, 0] > 0).sum(-1).tolist()
        rows, columns = channels.paper_residue_channels(inputs).unbind(1)  # (B, L, F)
        self.column, self.column_first, self.column_last = _one_dimensional(columns, self.weights.of_column)
        self.row, self.row_first, self.row_last = _one_dimensional(rows, self.weights.of_row)
        self.column = self.column + self.weights.bias
        self.anchors = self.column.new_tensor(channels.PAPER_ANCHORS)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the stream (B, stop - start, L, C) at its beginning."""
        x = F.conv2d(self._encoded(start, stop).permute(0, 3, 1, 2), self.weights.kernel, padding=(0, 1))
        x = x.permute(0, 2, 3, 1).contiguous()
        x += self.column[:, None]
        x += self.row[:, start:stop, None]
        x[:, :, 0] -= self.row_first[:, start:stop]
        if start == 0:
            x[:, 0] -= self.column_first
        for k, n in enumerate(self.n_residues):
            x[k, :, n - 1] -= self.row_last[k, start:stop]
            if start < n <= stop:
                x[k, n - 1 - start] -= self.column_last[k]
        return x

    def _encoded(self, start: int, stop: int) -> torch.Tensor:
        """Return the distance channels of the rows and of one row above and below, zero beyond the border."""
        length = self.inputs.letter.shape[-1]
        chosen = slice(max(start - 1, 0), min(stop + 1, length))
        coord, seen = self.inputs.coord[:, 0], self.inputs.seen[:, 0]
        distance = (coord[:, chosen, None] - coord[:, None]).square().sum(-1).sqrt()
        padded = coord.new_zeros((len(coord), stop - start + 2, length, len(self.anchors)))
        encoded = padded[:, chosen.start - start + 1 : chosen.stop - start + 1]
        for row, of_row in enumerate(distance.unbind(1)):  # a row at a time stays in the cache
            real = (seen[:, chosen.start + row, None] & seen)[..., None]
            encoded[:, row] = self._encoding(of_row[..., None], real)
        return padded

    def _encoding(self, distance: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Return `inputs.distance_encoding` by powers of two, 0 where not real."""
        weight = distance.clamp(0.0, 100.0) - self.anchors
        weight.square_().mul_(-math.log2(math.e) / 18.0).exp2_()
        return weight.mul_(real / (weight.sum(-1, keepdim=True) + 1e-6))


def _one_dimensional(vector: torch.Tensor, kernel: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return (B, L, C) three times: what a tiled vector (B, L, F) adds inside, and what is missing at both borders."""
    sequence = vector.transpose(1, 2)
    kernels = (kernel.sum(2), kernel[:, :, 0], kernel[:, :, 2])
    return tuple(F.conv1d(sequence, one, padding=1).transpose(1, 2).contiguous() for one in kernels)


class TertiaStem:
    """Rows of the pointwise stem: pair channels through one matrix, plus a row and a column vector."""

    def __init__(self, inputs: Inputs, folded: Folded) -> None:
        self.inputs, self.weights = inputs, folded.stem
        self.sigma = torch.full(inputs.level.shape, folded.sigma, device=inputs.coord.device)
        residue = channels.residue_channels(inputs, self.sigma)  # (B, 2, L, F)
        hidden = F.silu(residue @ self.weights.hidden + self.weights.hidden_bias)
        row, column = (hidden @ self.weights.out + self.weights.out_bias).chunk(2, dim=-1)
        self.row, self.column = row[:, 0], column[:, 1] + self.weights.bias

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the stream (B, stop - start, L, C) at its beginning."""
        length = self.inputs.letter.shape[-1]
        if stop - start == length:
            x = channels.pair_channels(self.inputs, self.sigma) @ self.weights.pair
        else:
            # `pair_channels` takes maps with as many rows as columns: the strip is cut into such squares.
            squares = _squares(self.inputs, start, stop)
            x = channels.pair_channels(squares, self.sigma.expand(len(squares.level))) @ self.weights.pair
            x = x.transpose(0, 1).reshape(1, stop - start, -1, x.shape[-1])[:, :, :length]
        return x.add_(self.column[:, None]).add_(self.row[:, start:stop, None])


def _squares(inputs: Inputs, start: int, stop: int) -> Inputs:
    """Return a strip of the map of one chain as a batch of squares from left to right, padded with zeros at the end."""
    n_rows = stop - start
    n_squares = -(-inputs.letter.shape[-1] // n_rows)

    def cut(sides: torch.Tensor) -> torch.Tensor:
        rows, columns = sides[0, 0, start:stop], sides[0, 1]
        padding = [0, 0] * (columns.ndim - 1) + [0, n_squares * n_rows - len(columns)]
        columns = F.pad(columns, padding).reshape(n_squares, n_rows, *columns.shape[1:])
        return torch.stack([rows.expand_as(columns), columns], dim=1)

    names = ("letter", "position", "coord", "chain", "seen")
    return Inputs(**{name: cut(getattr(inputs, name)) for name in names}, level=inputs.level.expand(n_squares))
