"""The batch of all processes together, for statistics that a share of it would distort."""

from __future__ import annotations

import torch
import torch.distributed as dist


def distributed() -> bool:
    """Whether a batch is shared by several processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def whole_batch(x: torch.Tensor) -> torch.Tensor:
    """Return the rows (B, ...) of all processes one after the other; x itself where there is only one.

    Every process must call it, with the same B. The second axis may differ and is padded with zeros. The gradient
    flows back to the process that a row came from.
    """
    if not distributed():
        return x
    size = torch.tensor(x.shape[1] if x.ndim > 1 else 0, device=x.device)
    dist.all_reduce(size, op=dist.ReduceOp.MAX)
    shape = list(x.shape)
    if x.ndim > 1:
        shape[1] = int(size)
    kind = x.dtype if x.is_floating_point() else torch.int64  # there is no sum of booleans
    blocks = [x.new_zeros(shape, dtype=kind) for _ in range(dist.get_world_size())]
    own = blocks[dist.get_rank()]
    own[(slice(None), slice(0, x.shape[1])) if x.ndim > 1 else slice(None)] = x.to(kind)
    return _Sum.apply(torch.cat(blocks)).to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over processes; its gradient is that of all of them together."""

    @staticmethod
    def forward(context, x: torch.Tensor) -> torch.Tensor:
        return _summed(x)

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> torch.Tensor:
        return _summed(gradient)


def _summed(x: torch.Tensor) -> torch.Tensor:
    x = x.contiguous().clone()
    dist.all_reduce(x)
    return x
