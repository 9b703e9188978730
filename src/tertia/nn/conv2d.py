"""Two-dimensional layers that know which pairs are real."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.nn.norm_elu import norm_elu
from tertia.nn.whole_batch import distributed


class ConditionalBatchNorm(nn.Module):
    """Batch norm over the real pairs only, with a gain and an offset of each noise level (NCSN; Guo et al.).

    In training the statistics are summed over all processes, so that two processes see the batch that one would.
    """

    def __init__(self, width: int, n_levels: int, *, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.gain = nn.Embedding(n_levels, width)
        self.offset = nn.Embedding(n_levels, width)
        nn.init.normal_(self.gain.weight, 1.0, 0.01)
        nn.init.zeros_(self.offset.weight)
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: torch.Tensor, level: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return (B, C, R, S) normalised; mask (B, 1, R, S), or None when every pair is real."""
        mean, variance = self._batch_statistics(x, mask) if self.training else (self.running_mean, self.running_var)
        scale = self.gain(level) * (variance + self.epsilon).rsqrt()  # (B, C)
        shift = self.offset(level) - mean * scale
        return torch.addcmul(shift.to(x.dtype)[:, :, None, None], x, scale.to(x.dtype)[:, :, None, None])

    def elu(self, x: torch.Tensor, level: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the ELU of what `forward` returns, 0 where the mask is 0: padding must not leak into convolutions."""
        alone = not distributed() and not torch.compiler.is_compiling()  # a compiler fuses the formulas by itself
        if self.training and alone and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
            out, mean, variance, count = norm_elu(x, self.gain(level), self.offset(level), mask, epsilon=self.epsilon)
            self._update(mean, variance, count)
            return out
        out = F.elu(self(x, level, mask))
        return out if mask is None else out * mask

    def _batch_statistics(self, x: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        if mask is None and not distributed():
            variance, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
            count = torch.tensor(x.numel() / x.shape[1], device=x.device)
        else:
            mean, variance, count = _masked_statistics(x.float(), mask)
        self._update(mean, variance, count)
        return mean, variance

    @torch.no_grad()
    def _update(self, mean: torch.Tensor, variance: torch.Tensor, count: torch.Tensor) -> None:
        unbiased = variance * (count / (count - 1).clamp_min(1))
        self.running_mean.lerp_(mean.detach(), self.momentum)
        self.running_var.lerp_(unbiased.detach(), self.momentum)


def _masked_statistics(x: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    mask = torch.ones_like(x[:, :1]) if mask is None else mask
    count = mask.sum()
    sums = torch.cat([(x * mask).sum((0, 2, 3)), (x.square() * mask).sum((0, 2, 3)), count[None]])
    if distributed():
        from torch.distributed.nn.functional import all_reduce

        sums = all_reduce(sums)
    total, squares, count = sums[: x.shape[1]], sums[x.shape[1] : -1], sums[-1].clamp_min(1.0)
    mean = total / count
    return mean, (squares / count - mean.square()).clamp_min(0.0), count.detach()


def outer_sum_conv(
    conv: nn.Conv2d, columns: torch.Tensor, rows: torch.Tensor, pair: torch.Tensor, sizes: torch.Tensor
) -> torch.Tensor:
    """Convolve [tiled columns, tiled rows, pair] with one 3x3 kernel without tiling; equal up to rounding.

    A channel that depends on one index only needs a one-dimensional convolution with the kernel summed over the other
    axis. At the border the zero padding takes part of that sum away, hence three kernels: first, inner, last.

    Parameters
    ----------
    columns: (B, S, Cc); rows: (B, R, Cr); pair: (B, R, S, Cp).
    sizes: (B, 2) int64, real rows and columns of each map; what lies beyond is padding, and stays undefined here.

    Returns
    -------
    (B, C, R, S)
    """
    n_columns, n_rows = columns.shape[-1], rows.shape[-1]
    kernel = conv.weight
    out = F.conv2d(pair.permute(0, 3, 1, 2), kernel[:, n_columns + n_rows :], conv.bias, padding=1).permute(0, 2, 3, 1)
    of_column = kernel[:, :n_columns]  # (C, Cc, 3 over rows, 3 over columns)
    of_row = kernel[:, n_columns : n_columns + n_rows].transpose(2, 3)  # (C, Cr, 3 over columns, 3 over rows)
    # As products with a narrow matrix, which torch adds to a map in one pass.
    row, column = (_border(n, m, out.dtype) for n, m in zip(sizes.t(), out.shape[1:3], strict=True))  # (B, L, 3)
    across, down = _border_conv(columns, of_column), _border_conv(rows, of_row)  # (B, S, 3, C), (B, R, 3, C)
    out = torch.baddbmm(out.flatten(2), row, across.transpose(1, 2).flatten(2)).view(out.shape)
    return (out + column[:, None] @ down).permute(0, 3, 1, 2)


def _border_conv(vector: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Return (B, L, 3, C): what tiled vectors (B, L, c) add on every line, and what more on the first and the last."""
    kernels = torch.cat([kernel.sum(2), -kernel[:, :, 0], -kernel[:, :, 2]])  # (3 C, c, 3)
    return F.conv1d(vector.transpose(1, 2), kernels, padding=1).transpose(1, 2).unflatten(2, (3, -1))


def _border(n_real: torch.Tensor, n: int, dtype: torch.dtype) -> torch.Tensor:
    """Return (B, n, 3): 1, whether a line is the first, whether it is the last real one."""
    line = torch.arange(n, device=n_real.device).expand(len(n_real), n)
    return torch.stack([torch.ones_like(line), line == 0, line == n_real[:, None] - 1], dim=-1).to(dtype)
