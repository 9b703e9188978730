"""The distance-map network: a stem on pair channels, dilated residual blocks, one head; two modes on one frame.

`paper` is the network of Guo et al. (channels as in their released code); `tertia` keeps the idea and changes what the
specification found wanting: position-wise layer norm instead of batch norm (no running statistics, no dependence on
size or batch), noise level through a smooth embedding, scaled blocks, narrow activations, unit-vector outputs.
Maps are kept in channels-last memory, (B, C, R, S) by shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.models.distmap import inputs as channels
from tertia.models.distmap.baselines import Baselines
from tertia.models.distmap.encode import Standard, calibrate, encode
from tertia.models.distmap.encoder import Encoder
from tertia.models.distmap.fold import Folded, fold_paper, fold_tertia
from tertia.models.distmap.inputs import Inputs
from tertia.nn.conv2d import ConditionalBatchNorm, outer_sum_conv
from tertia.nn.dilated_conv import dilated_conv
from tertia.nn.encoded import Encoded
from tertia.structure.chain import Chain


class PaperStem(nn.Module):
    """3x3 convolution over 149 channels: column residue (44), row residue (44), distance (61).

    `materialise=False` convolves the residue channels in one dimension and adds rows and columns: the same numbers
    (the kernel is summed over the other axis), without 88 of the 149 maps.
    """

    def __init__(self, width: int, *, materialise: bool = False) -> None:
        super().__init__()
        n_residue = channels.N_PAPER_RESIDUE
        self.conv = nn.Conv2d(2 * n_residue + len(channels.PAPER_ANCHORS), width, 3, padding=1)
        self.materialise = materialise

    def forward(self, inputs: Inputs, sigma: torch.Tensor) -> torch.Tensor:
        """Return (B, width, R, S)."""
        with torch.no_grad():
            mask = channels.pair_mask(inputs)[..., None]
            encoded = channels.distance_encoding(channels.distances(inputs)) * mask  # (B, R, S, 61)
            rows, columns = channels.paper_residue_channels(inputs).unbind(1)  # (B, L, 44)
        if not self.materialise:
            return outer_sum_conv(self.conv, columns, rows, encoded, (inputs.chain > 0).sum(-1))
        shape = (*encoded.shape[:3], rows.shape[-1])
        real = ((inputs.chain[:, 0, :, None] > 0) & (inputs.chain[:, 1, None, :] > 0))[..., None]
        tiled = [columns[:, None].expand(shape) * real, rows[:, :, None].expand(shape) * real, encoded]
        return self.conv(torch.cat(tiled, dim=-1).permute(0, 3, 1, 2))


class PaperBlock(nn.Module):
    """Full pre-activation bottleneck: (norm, ELU, conv) three times, plus identity."""

    def __init__(self, width: int, bottleneck: int, dilation: int, n_levels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ConditionalBatchNorm(c, n_levels) for c in (width, bottleneck, bottleneck))
        self.convs = nn.ModuleList([
            nn.Conv2d(width, bottleneck, 1),
            nn.Conv2d(bottleneck, bottleneck, 3, padding=dilation, dilation=dilation),
            nn.Conv2d(bottleneck, width, 1),
        ])  # fmt: skip

    def forward(self, x: torch.Tensor, level: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return (B, C, R, S) for the same; mask (B, 1, R, S), or None when every pair is real."""
        reduce, conv, expand = self.convs
        inner = reduce(self.norms[0].elu(x, level, mask))
        inner = dilated_conv(conv, self.norms[1].elu(inner, level, mask))
        return x + expand(self.norms[2].elu(inner, level, mask))


class PaperNetwork(nn.Module):
    """Guo et al.: 32 bottleneck blocks, dilations 1, 3, 5, 9, conditional batch norm; 429,505 parameters, 32 levels."""

    def __init__(self, width: int, bottleneck: int, dilations: tuple[int, ...], sigmas: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("sigmas", sigmas, persistent=False)
        self.standard = Standard(len(sigmas), width)
        self.baselines = Baselines(len(sigmas))
        self.stem = PaperStem(width)
        self.blocks = nn.ModuleList(PaperBlock(width, bottleneck, d, len(sigmas)) for d in dilations)
        self.norm = ConditionalBatchNorm(width, len(sigmas))
        self.head = nn.Conv2d(width, 1, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=1e-3)
                nn.init.zeros_(module.bias)

    def maps(self, inputs: Inputs) -> torch.Tensor:
        """Return the embedding maps G_S, (B, R, S, C), zero where a residue is missing."""
        mask = channels.pair_mask(inputs)
        mask = None if bool(mask.all()) else mask[:, None].float()
        x = self.stem(inputs, self.sigmas[inputs.level])
        x = x if mask is None else x * mask
        for block in self.blocks:
            x = block(x, inputs.level, mask)
        return self.norm.elu(x, inputs.level, mask).permute(0, 2, 3, 1)

    def forward(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Return h, (B, R, S, 1), and the embedding maps, (B, R, S, C).

        h is sigma times the derivative of log p by the squared distance of each pair.
        """
        maps = self.maps(inputs)
        return self.head(maps.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).to(inputs.coord.dtype), maps

    def encode(self, inputs: Inputs, *, pair: bool = False) -> Encoded:
        """Return the embeddings of a padded batch of whole chains."""
        return encode(self, inputs, pair=pair)

    def calibrate(self, chains: Sequence[Chain], levels: Sequence[int] | None = None) -> None:
        """Fit the standardisation of the embeddings and the analytic baselines; with `levels` the former there only."""
        calibrate(self, chains, levels)
        if levels is None:
            self.baselines.fit([chain.alpha for chain in chains], self.sigmas.cpu())

    def fold(self, level: int) -> Folded:
        """Return the weights at one noise level as `stream.residue_features` takes them."""
        return fold_paper(self, level)

    def encoder(self, levels: Sequence[int], *, precision: str = "fp32", device: str = "cpu") -> Encoder:
        """Return what encodes whole chains in memory that is linear in their length, at the given noise levels."""
        return Encoder(self, levels, precision=precision, device=device)


class TertiaBlock(nn.Module):
    """Layer norm - 1x1 - level affine - SiLU - dilated 3x3 - SiLU - 1x1, added at a scale of 1/sqrt(2 blocks)."""

    def __init__(self, width: int, bottleneck: int, dilation: int, *, scale: float) -> None:
        super().__init__()
        self.reduce = nn.Linear(width, bottleneck)
        self.conv = nn.Conv2d(bottleneck, bottleneck, 3, padding=dilation, dilation=dilation)
        self.expand = nn.Linear(bottleneck, width)
        self.scale = scale

    def forward(self, x: torch.Tensor, affine: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return (B, R, S, C) for the same.

        affine: (B, 2 bottleneck) gain and offset of the level; mask: (B, R, S, 1), or None when every pair is real.
        """
        inner = self.reduce(F.layer_norm(x, x.shape[-1:]))
        gain, offset = affine.to(inner.dtype)[:, None, None, :].chunk(2, dim=-1)
        inner = F.silu(torch.addcmul(offset, inner, gain + 1.0))
        inner = inner if mask is None else inner * mask
        inner = F.silu(dilated_conv(self.conv, inner.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        return x + self.scale * self.expand(inner)


class TertiaNetwork(nn.Module):
    """The improved network; every step but the 3x3 convolutions acts on one pair at a time."""

    def __init__(self, width: int, bottleneck: int, dilations: tuple[int, ...], sigmas: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("sigmas", sigmas, persistent=False)
        self.standard = Standard(len(sigmas), width)
        self.baselines = Baselines(len(sigmas))
        self.residue_in = nn.Sequential(nn.Linear(channels.N_RESIDUE, width), nn.SiLU(), nn.Linear(width, 2 * width))
        self.pair_in = nn.Linear(channels.N_PAIR, width)
        scale = 1.0 / math.sqrt(2.0 * len(dilations))
        self.blocks = nn.ModuleList(TertiaBlock(width, bottleneck, d, scale=scale) for d in dilations)
        self.level_in = nn.Sequential(nn.Linear(16, width), nn.SiLU())
        self.affine_sizes = [2 * bottleneck] * len(dilations) + [2 * width]
        self.level_out = nn.Linear(width, sum(self.affine_sizes))
        self.head = nn.Linear(width, 2)
        nn.init.zeros_(self.level_out.weight)
        nn.init.zeros_(self.level_out.bias)
        nn.init.zeros_(self.head.weight)  # so that the force is zero, and the loss 1, at the first step
        nn.init.zeros_(self.head.bias)

    def affines(self, level: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return gain and offset of each block, (B, 2 bottleneck), and of the head, (B, 2 C), at the given levels."""
        log_sigma = self.sigmas[level].log()[:, None]  # (B, 1)
        angle = log_sigma * torch.arange(1, 9, device=level.device) * 0.4
        smooth = self.level_in(torch.cat([angle.sin(), angle.cos()], dim=-1))
        return self.level_out(smooth).split(self.affine_sizes, dim=-1)

    def stem(self, inputs: Inputs) -> torch.Tensor:
        """Return (B, R, S, C): pair channels plus what the row and the column residue contribute."""
        sigma = self.sigmas[inputs.level]
        with torch.no_grad(), torch.autocast(inputs.coord.device.type, enabled=False):
            pair = channels.pair_channels(inputs, sigma)
            residue = channels.residue_channels(inputs, sigma)
        of_row, of_column = self.residue_in(residue).chunk(2, dim=-1)  # (B, 2, L, C) each
        return self.pair_in(pair) + of_row[:, 0, :, None] + of_column[:, 1, None, :]

    def maps(self, inputs: Inputs) -> torch.Tensor:
        """Return the embedding maps, (B, R, S, C), zero where a residue is missing."""
        mask = channels.pair_mask(inputs)
        mask = None if bool(mask.all()) else mask[..., None]
        *affines, last = self.affines(inputs.level)
        x = self.stem(inputs)
        for block, affine in zip(self.blocks, affines, strict=True):
            x = block(x, affine, mask)
        gain, offset = last.to(x.dtype)[:, None, None, :].chunk(2, dim=-1)
        x = F.silu(torch.addcmul(offset, F.layer_norm(x, x.shape[-1:]), gain + 1.0))
        return x if mask is None else x * mask

    def forward(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Return u, (B, R, S, 2), and the embedding maps, (B, R, S, C).

        u holds the coefficients of the unit vectors: averaged over the map, and near in sequence.
        """
        maps = self.maps(inputs)
        return self.head(maps).to(inputs.coord.dtype), maps

    def encode(self, inputs: Inputs, *, pair: bool = False) -> Encoded:
        """Return the embeddings of a padded batch of whole chains."""
        return encode(self, inputs, pair=pair)

    def calibrate(self, chains: Sequence[Chain], levels: Sequence[int] | None = None) -> None:
        """Fit the standardisation of the embeddings and the analytic baselines; with `levels` the former there only."""
        calibrate(self, chains, levels)
        if levels is None:
            self.baselines.fit([chain.alpha for chain in chains], self.sigmas.cpu())

    def fold(self, level: int) -> Folded:
        """Return the weights at one noise level as `stream.residue_features` takes them."""
        return fold_tertia(self, level)

    def encoder(self, levels: Sequence[int], *, precision: str = "fp32", device: str = "cpu") -> Encoder:
        """Return what encodes whole chains in memory that is linear in their length, at the given noise levels."""
        return Encoder(self, levels, precision=precision, device=device)
