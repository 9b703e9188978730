"""Compute the pooled embedding maps of a chain row by row, depth first, in memory that grows with L and not with L^2.

A strip of rows runs through all blocks before the next one is begun. Each block keeps the last 2 d rows of its narrow
inner map and the last d rows of the residual stream, d its dilation, and hands on what has all its neighbours: nothing
is computed twice, and the numbers are those of the dense map, because in evaluation everything but the 3x3
convolutions acts on one pair at a time. The zero padding stands at the true border of the map only. Short chains are
taken whole, several at a time.

`residue_features` is the seam for a native kernel: chain arrays and folded weights in, pooled features out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from tertia.models.distmap.fold import EPSILON, Folded, FoldedBlock
from tertia.models.distmap.inputs import Inputs
from tertia.models.distmap.stems import PaperStem, TertiaStem

STRIP_PAIRS = 32768  # of one strip: few steps of Python, and what waits between strips stays a small part (measured)
CHUNK_PAIRS = 4096  # of one step of pointwise operations, a thread: small enough for the cache (measured)

OnRows = Callable[[int, torch.Tensor], None]


@torch.inference_mode()
def residue_features(
    inputs: Inputs, folded: Folded, *, n_rows: int | None = None, on_rows: OnRows | None = None
) -> torch.Tensor:
    """Return (B, L, C) float32: the masked mean over partners of the symmetrised maps, 0 where not seen.

    Parameters
    ----------
    inputs: a padded batch of whole chains (both sides the same); several chains are taken whole, one in strips.
    folded: the weights; their level is the one that counts.
    n_rows: rows of a strip; by default as many as fill STRIP_PAIRS.
    on_rows: called with the first row and (B, rows, L, C), the maps E_ij of these rows before symmetrising, 0 where
        a residue is missing; the rows come from top to bottom, are only to be read, and are overwritten afterwards.
    """
    length = inputs.letter.shape[-1]
    n_rows = n_rows or rows_of_strip(length, folded)
    seen = inputs.seen[:, 0].float()  # (B, L)
    complete = bool(inputs.seen[:, 0].all())
    row_sum = torch.zeros(*seen.shape, len(folded.gain), device=seen.device)
    column_sum = torch.zeros_like(row_sum, dtype=torch.float64)
    strips = _whole(inputs, folded) if len(seen) > 1 or n_rows >= length else _strips(inputs, folded, n_rows)
    for start, maps in strips:
        stop = start + maps.shape[1]
        if on_rows is not None:
            both = seen[:, start:stop, None, None] * seen[:, None, :, None]
            on_rows(start, maps if complete else maps * both)
        row_sum[:, start:stop] = torch.matmul(seen[:, None, None, :], maps)[:, :, 0]
        columns = torch.matmul(seen[:, None, start:stop], maps.reshape(len(seen), stop - start, -1))
        column_sum += columns.view(column_sum.shape)
    n_seen = seen.sum(1).clamp_min(1.0)[:, None, None]
    return ((row_sum + column_sum) / (2.0 * n_seen) * seen[..., None]).float()


def rows_of_strip(length: int, folded: Folded) -> int:
    """Return the rows of a strip: a whole number of dilation cycles, so that few shapes of convolution occur."""
    budget = STRIP_PAIRS if folded.gain.device.type == "cpu" else 64 * STRIP_PAIRS
    rows = max(budget // length, 4)
    if 2 * rows >= length:
        return length
    cycle = sum({block.dilation for block in folded.blocks})
    return rows // cycle * cycle or rows


def _stem(inputs: Inputs, folded: Folded) -> PaperStem | TertiaStem:
    return (PaperStem if folded.paper else TertiaStem)(inputs, folded)


def _whole(inputs: Inputs, folded: Folded) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield 0 and the maps (B, L, L, C) of whole chains."""
    length = inputs.letter.shape[-1]
    x = _stem(inputs, folded).rows(0, length).contiguous()
    seen = inputs.seen[:, 0]
    mask = None if bool(seen.all()) else (seen[:, :, None] & seen[:, None, :])[..., None]
    pointwise = Pointwise(folded, x.device)
    inner = x.new_empty((*x.shape[:-1], folded.blocks[0].kernel.shape[1]), dtype=folded.blocks[0].kernel.dtype)
    for block in folded.blocks:
        pointwise.reduce(_flat(x), block, _flat(inner))
        if mask is not None:
            inner.mul_(mask)
        pointwise.update(_flat(x), _convolved(inner, block, block.dilation), block)
    pointwise.last(_flat(x))
    yield 0, x


def _strips(inputs: Inputs, folded: Folded, n_rows: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first row, maps (1, rows, L, C)) from top to bottom for one chain."""
    length, width = inputs.letter.shape[-1], len(folded.gain)
    stem, pointwise = _stem(inputs, folded), Pointwise(folded, inputs.coord.device)
    seen = inputs.seen[0, 0]
    layers = [Layer(block, pointwise, seen, n_rows) for block in folded.blocks]
    # A strip moves up by d rows in each layer, as the rows that waited there join it above: room for that.
    room = sum(block.dilation for block in folded.blocks)
    stream = torch.empty((room + n_rows, length, width), device=seen.device)
    done = 0
    for start in range(0, length, n_rows):
        stop = min(start + n_rows, length)
        stream[room : room + stop - start] = stem.rows(start, stop)[0]
        for rows in _through(layers, stream, slice(room, room + stop - start), stop == length):
            pointwise.last(_flat(stream[rows]))
            yield done, stream[None, rows]
            done += rows.stop - rows.start


def _through(layers: list[Layer], stream: torch.Tensor, rows: slice, last: bool) -> Iterator[slice]:
    """Push rows of the stream through the layers; the last strip grows on its way and is halved when too large."""
    for k, layer in enumerate(layers):
        if rows.stop - rows.start >= 2 * layer.n_rows:
            half = (rows.start + rows.stop) // 2
            yield from _through(layers[k:], stream, slice(rows.start, half), False)
            rows = slice(half, rows.stop)
        rows = layer.push(stream, rows, last)
        if rows.start == rows.stop:
            return
    yield rows


class Layer:
    """One block, and the rows that wait in it for their lower neighbours: d of the stream, 2 d of the inner map."""

    def __init__(self, block: FoldedBlock, pointwise: Pointwise, seen: torch.Tensor, n_rows: int) -> None:
        self.block, self.pointwise, self.n_rows = block, pointwise, n_rows
        self.missing = (~seen).nonzero()[:, 0]
        self.start = 0  # row of the map that comes next
        shape, device = (2 * block.dilation, len(seen), block.kernel.shape[1]), seen.device
        self.above = torch.zeros(shape, dtype=block.kernel.dtype, device=device)[: block.dilation]
        self.waiting = torch.empty((0, len(seen), block.reduce.shape[0]), device=device)

    def push(self, stream: torch.Tensor, rows: slice, last: bool) -> slice:
        """Take the next rows of the stream (rows, L, C), update those that are ready in place, and return which."""
        d, n_waiting = self.block.dilation, len(self.waiting)
        n_new = rows.stop - rows.start
        inner = self._inner(stream[rows], d if last else 0)
        rows = slice(rows.start - n_waiting, rows.stop)
        stream[rows.start : rows.start + n_waiting] = self.waiting
        n_ready = n_waiting + n_new - (0 if last else d)
        self.start += n_new
        if not last:
            self.above = inner[max(n_ready, 0) :].clone()
            self.waiting = stream[rows.start + max(n_ready, 0) : rows.stop].clone()
        ready = slice(rows.start, rows.start + max(n_ready, 0))
        if n_ready > 0:
            self.pointwise.update(_flat(stream[ready]), _convolved(inner[None], self.block, 0), self.block)
        return ready

    def _inner(self, x: torch.Tensor, n_below: int) -> torch.Tensor:
        """Return the inner map of the rows that waited, of x and of `n_below` rows of zeros beyond the border."""
        n_above, n_new = len(self.above), len(x)
        inner = self.pointwise.inner(n_above + n_new + n_below, x.shape[1])
        inner[:n_above] = self.above
        new = inner[n_above : n_above + n_new]
        self.pointwise.reduce(_flat(x), self.block, _flat(new))
        if len(self.missing):
            new.index_fill_(1, self.missing, 0.0)
            here = (self.missing >= self.start) & (self.missing < self.start + n_new)
            new.index_fill_(0, self.missing[here] - self.start, 0.0)
        inner[n_above + n_new :] = 0.0
        return inner


def _convolved(inner: torch.Tensor, block: FoldedBlock, rows_of_padding: int) -> torch.Tensor:
    """Return the 3x3 convolution of (B, R, L, M) as (pairs, M)."""
    d = block.dilation
    maps = inner.permute(0, 3, 1, 2)  # channels last in memory
    maps = F.conv2d(maps, block.kernel, block.kernel_bias, padding=(rows_of_padding, d), dilation=d)
    return _flat(maps.permute(0, 2, 3, 1))


def _flat(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, x.shape[-1])


class Pointwise:
    """Everything that acts on one pair at a time, in chunks that stay in the cache, into buffers used over and over.

    Fresh memory costs more than the arithmetic here: every page of it is first filled with zeros by the system.
    """

    def __init__(self, folded: Folded, device: torch.device) -> None:
        self.folded = folded
        self.n_pairs = CHUNK_PAIRS * torch.get_num_threads() if device.type == "cpu" else 256 * STRIP_PAIRS
        n = self.n_pairs if device.type == "cpu" else 0
        self.wide = torch.empty((2, n, len(folded.gain)), device=device)
        self._inner = torch.empty(0, dtype=folded.blocks[0].kernel.dtype, device=device)

    def inner(self, n_rows: int, length: int) -> torch.Tensor:
        """Return a buffer (rows, L, N) for the inner map; the next call overwrites it."""
        width = self.folded.blocks[0].kernel.shape[1]
        if self._inner.numel() < n_rows * length * width:
            self._inner = self._inner.new_empty(n_rows * length * width)
        return self._inner[: n_rows * length * width].view(n_rows, length, width)

    def _chunks(self, *arrays: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        return zip(*(array.split(self.n_pairs) for array in arrays), strict=True)

    def reduce(self, x: torch.Tensor, block: FoldedBlock, out: torch.Tensor) -> None:
        """Write norm - activation - 1x1 - activation of x (pairs, C) to out (pairs, N)."""
        width = block.reduce.shape[1]
        for wide, kept in self._chunks(x, out):
            narrow = kept if kept.dtype == wide.dtype else wide.new_empty(len(wide), width)
            if self.folded.paper:
                torch.addmm(block.reduce_bias, self._shifted_elu(wide, block), block.reduce, out=narrow)
                elu_(narrow, self._spare(narrow))
            else:
                torch.mm(wide, block.reduce, out=narrow)
                torch.addcmul(block.reduce_bias, narrow, inverse_size(wide), out=narrow)
                F.silu(narrow, inplace=True)
            if narrow is not kept:
                kept[:, :width] = narrow
                if kept.shape[1] > width:  # in two parts: rounded, and what that lacks
                    kept[:, width:] = narrow - kept[:, :width]

    def update(self, x: torch.Tensor, inner: torch.Tensor, block: FoldedBlock) -> None:
        """Add activation - 1x1 of inner (pairs, M) to x (pairs, C), in place."""
        for wide, narrow in self._chunks(x, inner):
            narrow = narrow.to(wide.dtype)
            narrow = elu_(narrow, self._spare(narrow)) if self.folded.paper else F.silu(narrow, inplace=True)
            wide.addmm_(narrow, block.expand)
            if block.expand_bias is not None:
                wide += block.expand_bias

    def last(self, x: torch.Tensor) -> None:
        """Turn the stream x (pairs, C) into the embedding maps, in place."""
        for (wide,) in self._chunks(x):
            if self.folded.paper:
                torch.addcmul(self.folded.offset, wide, self.folded.gain, out=wide)
                elu_(wide, self._spare(wide))
            else:
                wide *= inverse_size(wide)
                torch.addcmul(self.folded.offset, wide, self.folded.gain, out=wide)
                F.silu(wide, inplace=True)

    def _shifted_elu(self, x: torch.Tensor, block: FoldedBlock) -> torch.Tensor:
        """Return ELU + 1 of the affine of x, as max(y + 1, min(2^(y log2 e), 1)); the next call overwrites it."""
        linear, power = (self._room(k, x) for k in (0, 1))
        torch.addcmul(block.offset[0], x, block.gain[0], out=linear)
        torch.addcmul(block.offset[1], x, block.gain[1], out=power)
        return torch.maximum(linear, power.exp2_().clamp_max_(1.0), out=linear)

    def _room(self, k: int, x: torch.Tensor) -> torch.Tensor:
        return self.wide[k, : len(x)] if self.wide.numel() else torch.empty_like(x)

    def _spare(self, x: torch.Tensor) -> torch.Tensor:
        return self.wide[1].view(-1)[: x.numel()].view(x.shape) if self.wide.numel() else torch.empty_like(x)


def inverse_size(x: torch.Tensor) -> torch.Tensor:
    """Return (pairs, 1): one over the root mean square of the channels of x (pairs, C)."""
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return size.square_().div_(x.shape[-1]).add_(EPSILON).rsqrt_()


def elu_(x: torch.Tensor, spare: torch.Tensor) -> torch.Tensor:
    """Overwrite x with its ELU = max(x, exp(min(x, 0)) - 1) and return it; two to three times as fast as torch's."""
    torch.clamp_max(x, 0.0, out=spare)
    return torch.maximum(x, spare.exp_().sub_(1.0), out=x)
