"""Conditional batch norm and ELU as one operation, with a backward pass of its own.

Left to autograd, the two cost more than all convolutions of a network on a CPU: five maps are written, and torch's
variance and ELU do not use vectors. Here a few examples at a time go through all elementwise steps while they stay in
the cache, and the backward pass needs the input and the output only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

CHUNK_VALUES = 1 << 18
"""Values of one step of elementwise operations, a thread: 1 MB of float32, so that the calls cost little (measured)."""


def norm_elu(
    x: torch.Tensor, gain: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor | None, *, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ELU(gain (x - mean) / deviation + offset), 0 where masked, and the statistics of the real pairs.

    Parameters
    ----------
    x: (B, C, R, S), fastest in channels-last memory.
    gain, offset: (B, C).
    mask: (B, 1, R, S), 1 where a pair is real; None: everywhere.

    Returns
    -------
    (B, C, R, S) channels last; outside of the graph mean and biased variance (C,) and the number of real pairs.
    """
    weight = x.new_ones(x.shape[0] * x.shape[2] * x.shape[3]) if mask is None else mask.to(x.dtype).reshape(-1)
    return _NormElu.apply(x, gain, offset, weight, epsilon)


class _NormElu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gain, offset, weight, epsilon):
        pairs = _pairs(x)  # (B, P, C)
        chunks = _Chunks(pairs, weight)
        count = weight.sum().clamp_min(1.0)
        flat = pairs.view(-1, pairs.shape[-1])
        mean = (weight @ flat if chunks.masked else flat.sum(0)) / count
        squares = torch.zeros_like(mean)
        for some, hidden in chunks:
            spare = torch.sub(pairs[some], mean, out=chunks.room(some)).square_()
            squares += _cleared(spare, hidden).sum((0, 1))
        variance = squares / count
        scale = gain * (variance + epsilon).rsqrt()  # (B, C)
        shift = offset - mean * scale
        out = torch.empty_like(pairs)
        for some, hidden in chunks:
            _elu_of_affine(pairs[some], scale[some, None], shift[some, None], out[some], chunks.room(some))
            _cleared(out[some], hidden)
        ctx.save_for_backward(pairs, out, scale, gain, mean, variance, weight, count)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance, count)
        return _maps(out, x.shape), mean, variance, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad, _mean, _variance, _count):
        pairs, out, scale, gain, mean, variance, weight, count = ctx.saved_tensors
        grad_pairs = _pairs(grad)
        chunks = _Chunks(pairs, weight)
        inner = torch.empty_like(pairs)  # gradient before the ELU, then of x
        grad_offset, along = torch.empty_like(scale), torch.empty_like(scale)  # (B, C)
        for some, hidden in chunks:
            # The slope of the ELU comes from what it returned.
            before = torch.ops.aten.elu_backward.grad_input
            slope = before(grad_pairs[some], 1.0, 1.0, 1.0, True, out[some], grad_input=inner[some])
            _cleared(slope, hidden)
            grad_offset[some] = slope.sum(1)
            along[some] = torch.mul(pairs[some], slope, out=chunks.room(some)).sum(1)
        along -= mean * grad_offset
        inverse = (variance + ctx.epsilon).rsqrt()
        # Through mean and variance: the same for all pairs, and proportional to x.
        slope_of_x = -(gain * along).sum(0) * inverse.pow(3) / count  # (C,)
        constant = -(gain * grad_offset).sum(0) * inverse / count - mean * slope_of_x
        for some, hidden in chunks:
            spare = torch.addcmul(constant, pairs[some], slope_of_x, out=chunks.room(some))
            _cleared(torch.addcmul(spare, inner[some], scale[some, None], out=inner[some]), hidden)
        return _maps(inner, grad.shape), along * inverse, grad_offset, None, None


def _elu_of_affine(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, out: torch.Tensor, spare: torch.Tensor
) -> None:
    """Write ELU(y) of y = scale x + shift, as max(y + 1, min(2^(y log2 e), 1)) - 1: torch's own takes twice as long."""
    log2_e = math.log2(math.e)
    torch.addcmul(shift + 1.0, x, scale, out=out)
    torch.addcmul(shift * log2_e, x, scale * log2_e, out=spare)
    torch.maximum(out, spare.exp2_().clamp_max_(1.0), out=out).sub_(1.0)


class _Chunks:
    """Slices of examples whose values fit into the cache together, each with the indices of its masked pairs."""

    def __init__(self, pairs: torch.Tensor, weight: torch.Tensor) -> None:
        values = max(pairs[0].numel(), 1)
        size = min(max(CHUNK_VALUES * torch.get_num_threads() // values, 1), len(pairs))
        self.slices = [slice(k, min(k + size, len(pairs))) for k in range(0, len(pairs), size)]
        masked = (weight == 0).split(size * pairs.shape[1])
        self.hidden = [part.nonzero()[:, 0] for part in masked]
        self.masked = any(len(hidden) for hidden in self.hidden)
        self.spare = pairs.new_empty((size, *pairs.shape[1:]))

    def __iter__(self) -> Iterator[tuple[slice, torch.Tensor]]:
        return zip(self.slices, self.hidden, strict=True)

    def room(self, some: slice) -> torch.Tensor:
        """Return a buffer (examples, P, C); the next call overwrites it."""
        return self.spare[: some.stop - some.start]


def _cleared(values: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Overwrite the masked pairs of values (examples, P, C) with 0, and return it."""
    if len(hidden):
        values.view(-1, values.shape[-1]).index_fill_(0, hidden, 0.0)
    return values


def _pairs(x: torch.Tensor) -> torch.Tensor:
    """Return (B, R S, C); no copy when x is in channels-last memory."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1]).contiguous()


def _maps(pairs: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    return pairs.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
