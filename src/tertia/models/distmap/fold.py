"""Fold a network at one fixed noise level into the fewest numbers that streaming needs.

In evaluation every norm of the paper's network is an affine map of the channels: the second and third of a block fold
into the convolutions before them, the first stands behind the residual sum and stays an affine. In our network the
gain and offset of the layer norm fold into `reduce`, the block scale into `expand`; and since every consumer of the
residual stream subtracts its channel mean, the mean is taken out of all that is added to the stream instead, so that
the norm is a division by the root mean square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn as nn

EPSILON = 1e-5  # of layer norm, torch's default
LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class FoldedBlock:
    """One residual block: what happens to a pair, the 3x3 convolution, what is added to the stream."""

    gain: torch.Tensor | None  # (2, C) affines before the first activation y: to y + 1, to y log2(e); ours has none
    offset: torch.Tensor | None  # (2, C)
    reduce: torch.Tensor  # (C, M)
    reduce_bias: torch.Tensor  # (M,)
    kernel: torch.Tensor  # (M, N, 3, 3), channels last; N = M, or 2 M where the inner map is kept in two parts
    kernel_bias: torch.Tensor  # (M,)
    expand: torch.Tensor  # (M, C)
    expand_bias: torch.Tensor | None  # (C,); None: carried into the affines of all later blocks
    dilation: int


@dataclass(frozen=True)
class PaperStemWeights:
    """The 3x3 stem: kernels of the residue channels as one-dimensional convolutions, see `nn.conv2d.outer_sum_conv`."""

    kernel: torch.Tensor  # (C, E, 3, 3), on the distance encoding
    of_column: torch.Tensor  # (C, F, 3, 3), over rows and columns
    of_row: torch.Tensor  # (C, F, 3, 3), over columns and rows
    bias: torch.Tensor  # (C,)


@dataclass(frozen=True)
class TertiaStemWeights:
    """The pointwise stem; everything it puts out has zero mean over the channels."""

    pair: torch.Tensor  # (P, C)
    bias: torch.Tensor  # (C,)
    hidden: torch.Tensor  # (F, H), residue channels to the hidden layer
    hidden_bias: torch.Tensor  # (H,)
    out: torch.Tensor  # (H, 2 * C), to the row and the column part
    out_bias: torch.Tensor  # (2 * C,)


@dataclass(frozen=True)
class Folded:
    """All weights of one network at one noise level; `paper` tells ELU and affines from SiLU and root mean squares."""

    paper: bool
    level: int
    sigma: float  # Angstrom
    stem: PaperStemWeights | TertiaStemWeights
    blocks: tuple[FoldedBlock, ...]
    gain: torch.Tensor  # (C,) before the last activation
    offset: torch.Tensor  # (C,)

    def to(self, device: torch.device | str) -> Folded:
        """Return the same weights on another device."""
        return moved(self, device=device)

    def narrow(self, dtype: torch.dtype) -> Folded:
        """Return the weights with the 3x3 convolutions, most of the arithmetic, and their maps in another precision.

        The stream and what reads and writes it stay float32: with all products in bf16 the embeddings of trained
        weights turned by up to 2 degrees. The eight bits of bf16 do not hold the inner map either (up to 5 degrees in
        short chains: some channels are large and vary little), so it is kept as a rounded value and what that lacks.
        """
        parts = 2 if dtype == torch.bfloat16 else 1
        blocks = [
            replace(
                block,
                kernel=block.kernel.to(dtype).repeat(1, parts, 1, 1).contiguous(memory_format=torch.channels_last),
                kernel_bias=block.kernel_bias.to(dtype),
            )
            for block in self.blocks
        ]
        return replace(self, blocks=tuple(blocks))


def moved(weights: Any, **options: Any) -> Any:
    """Return a dataclass of tensors (and of tuples and dataclasses of them) after `tensor.to(**options)`."""

    def move(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(**options)
        if isinstance(value, tuple):
            return tuple(move(item) for item in value)
        return moved(value, **options) if hasattr(value, "__dataclass_fields__") else value

    return replace(weights, **{column.name: move(getattr(weights, column.name)) for column in fields(weights)})


@torch.no_grad()
def fold_paper(network: nn.Module, level: int) -> Folded:
    """Fold a PaperNetwork in evaluation mode."""
    n_residue = (network.stem.conv.in_channels - _n_encoding(network)) // 2
    kernel = network.stem.conv.weight.double()
    stem = PaperStemWeights(
        kernel=kernel[:, 2 * n_residue :],
        of_column=kernel[:, :n_residue],
        of_row=kernel[:, n_residue : 2 * n_residue].transpose(2, 3),
        bias=network.stem.conv.bias.double(),
    )
    carried = torch.zeros_like(network.stem.conv.bias, dtype=torch.float64)  # what the stream lacks so far
    blocks = []
    for block in network.blocks:
        first, second, third = (_affine(norm, level) for norm in block.norms)
        reduce, conv, expand = block.convs
        reduce_weight, reduce_bias = _scaled(reduce, second)
        offset = first[1] + first[0] * carried
        # The stream computes ELU + 1 = max(y + 1, min(2^(y log2 e), 1)); the 1 comes off the bias here.
        reduce_bias = reduce_bias - reduce_weight[:, :, 0, 0].sum(1)
        kernel, kernel_bias = _scaled(conv, third)
        blocks.append(
            FoldedBlock(
                gain=torch.stack([first[0], first[0] * LOG2_E]),
                offset=torch.stack([offset + 1.0, offset * LOG2_E]),
                reduce=reduce_weight[:, :, 0, 0].t(),
                reduce_bias=reduce_bias,
                kernel=kernel,
                kernel_bias=kernel_bias,
                expand=expand.weight.double()[:, :, 0, 0].t(),
                expand_bias=None,
                dilation=conv.dilation[0],
            )
        )
        carried = carried + expand.bias.double()
    gain, offset = _affine(network.norm, level)
    return _finished(network, level, True, stem, blocks, gain, offset + gain * carried)


@torch.no_grad()
def fold_tertia(network: nn.Module, level: int) -> Folded:
    """Fold a TertiaNetwork."""
    first, _, second = network.residue_in
    width = network.pair_in.out_features
    out, out_bias = second.weight.double().view(2, width, -1), second.bias.double().view(2, width)
    stem = TertiaStemWeights(
        pair=_centred(network.pair_in.weight.double()).t(),
        bias=_centred(network.pair_in.bias.double()),
        hidden=first.weight.double().t(),
        hidden_bias=first.bias.double(),
        out=torch.cat([_centred(half) for half in out]).t(),
        out_bias=torch.cat([_centred(half) for half in out_bias]),
    )
    *affines, last = network.affines(torch.tensor([level], device=network.sigmas.device))
    blocks = []
    for block, affine in zip(network.blocks, affines, strict=True):
        gain, offset = affine[0].double().chunk(2)
        blocks.append(
            FoldedBlock(
                gain=None,
                offset=None,
                reduce=block.reduce.weight.double().t() * (gain + 1.0),
                reduce_bias=block.reduce.bias.double() * (gain + 1.0) + offset,
                kernel=block.conv.weight.double(),
                kernel_bias=block.conv.bias.double(),
                expand=block.scale * _centred(block.expand.weight.double()).t(),
                expand_bias=block.scale * _centred(block.expand.bias.double()),
                dilation=block.conv.dilation[0],
            )
        )
    gain, offset = last[0].double().chunk(2)
    return _finished(network, level, False, stem, blocks, gain + 1.0, offset)


def _finished(network, level, paper, stem, blocks, gain, offset) -> Folded:
    sigma = float(network.sigmas[level])
    folded = Folded(paper, level, sigma, stem, tuple(blocks), gain, offset)
    folded = moved(folded, dtype=torch.float32)
    laid = [
        replace(
            block,
            reduce=block.reduce.contiguous(),
            expand=block.expand.contiguous(),
            kernel=block.kernel.contiguous(memory_format=torch.channels_last),
        )
        for block in folded.blocks
    ]
    if paper:
        kernel = folded.stem.kernel.contiguous(memory_format=torch.channels_last)
        folded = replace(folded, stem=replace(folded.stem, kernel=kernel))
    return replace(folded, blocks=tuple(laid))


def _n_encoding(network: nn.Module) -> int:
    from tertia.models.distmap.inputs import PAPER_ANCHORS

    return len(PAPER_ANCHORS)


def _affine(norm: nn.Module, level: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return gain and offset (C,) of a conditional batch norm in evaluation mode."""
    gain = norm.gain.weight[level].double() * (norm.running_var.double() + norm.epsilon).rsqrt()
    return gain, norm.offset.weight[level].double() - norm.running_mean.double() * gain


def _scaled(conv: nn.Conv2d, affine: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return kernel and bias of a convolution that is followed by an affine map of its channels."""
    gain, offset = affine
    return conv.weight.double() * gain[:, None, None, None], conv.bias.double() * gain + offset


def _centred(weight: torch.Tensor) -> torch.Tensor:
    """Take the mean over the output channels, the first axis, out of a weight or bias."""
    return weight - weight.mean(0, keepdim=True)
