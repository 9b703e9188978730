"""The straightforward way to embed a chain, for comparison: every layer a module of its own, every map in memory.

Eager float32, channels first. Paper network: 149 channels materialised, batch norm as separate modules. Our network:
its channels materialised, layer norm on the permuted map. Written from the description of the networks, not from
their code, so that it is also a second implementation for the tests.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from tertia.models.distmap.inputs import Inputs, pair_channels, residue_channels


class LevelBatchNorm(torch.nn.Module):
    """Batch norm without affine, then gain and offset of one noise level."""

    def __init__(self, state: dict, name: str, level: int) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(len(state[f"{name}.running_mean"]), affine=False)
        self.norm.running_mean = state[f"{name}.running_mean"].clone()
        self.norm.running_var = state[f"{name}.running_var"].clone()
        self.gain, self.offset = state[f"{name}.gain.weight"][level], state[f"{name}.offset.weight"][level]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x) * self.gain[:, None, None] + self.offset[:, None, None]


def convolution(state: dict, name: str, dilation: int = 1) -> torch.nn.Conv2d:
    weight = state[f"{name}.weight"]
    conv = torch.nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        weight.shape[-1],
        padding=dilation * (weight.shape[-1] // 2),
        dilation=dilation,
    )
    conv.load_state_dict({"weight": weight, "bias": state[f"{name}.bias"]})
    return conv


class NaivePaper:
    """Guo et al. layer by layer."""

    def __init__(self, network: torch.nn.Module, dilations: tuple[int, ...], level: int) -> None:
        state = network.state_dict()
        self.stem = convolution(state, "stem.conv")
        self.blocks = []
        for k, dilation in enumerate(dilations):
            layers = []
            for n in range(3):
                layers.append(LevelBatchNorm(state, f"blocks.{k}.norms.{n}", level).eval())
                layers += [torch.nn.ELU(), convolution(state, f"blocks.{k}.convs.{n}", dilation if n == 1 else 1)]
            self.blocks.append(layers)
        self.norm = LevelBatchNorm(state, "norm", level).eval()

    def maps(self, coord: torch.Tensor, letter: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Return (C, L, L) for coord (L, 3) with 0 where not seen, letter (L,) indices, seen (L,)."""
        mask = (seen[:, None] & seen[None]).float()
        x = self.stem(paper_channels(coord, letter, mask)[None]) * mask
        for layers in self.blocks:
            inner = x
            for layer in layers:
                inner = layer(inner * mask if isinstance(layer, torch.nn.Conv2d) else inner)
            x = x + inner
        return (F.elu(self.norm(x)) * mask)[0]


def paper_channels(coord: torch.Tensor, letter: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return (149, L, L): of the column residue, of the row residue, of the distance."""
    length = len(letter)
    one_hot = torch.zeros(20, length)
    for place, index in enumerate(letter.tolist()):
        if 1 <= index <= 20:
            one_hot[index - 1, place] = 1.0
    index = torch.arange(length).float()
    angles = torch.stack([index / 1000.0 ** (m / 11.0) for m in range(12)])
    residue = torch.cat([one_hot, angles.sin(), angles.cos()])  # (44, L)
    distance = (coord[:, None] - coord[None]).norm(dim=-1).clamp(0.0, 100.0)
    anchors = [*range(0, 31), *range(32, 71, 2), *range(73, 101, 3)]
    bins = torch.stack([torch.exp(-((distance - a) ** 2) / (2 * 3.0**2)) for a in anchors])
    bins = bins / (bins.sum(0) + 1e-6) * mask
    columns = residue[:, None, :].expand(-1, length, -1)
    return torch.cat([columns, residue[:, :, None].expand(-1, -1, length), bins])


class NaiveTertia:
    """The improved network layer by layer; its channels are taken from the package, the layers are not."""

    def __init__(self, network: torch.nn.Module, dilations: tuple[int, ...], level: int) -> None:
        self.state, self.dilations = network.state_dict(), dilations
        self.sigma = float(network.sigmas[level])

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Apply a linear layer as a 1x1 convolution to x (1, C, L, L)."""
        return F.conv2d(x, self.state[f"{name}.weight"][:, :, None, None], self.state[f"{name}.bias"])

    def affines(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return gain and offset of every block, then of the head, at the noise level."""
        angle = math.log(self.sigma) * 0.4 * torch.arange(1, 9)
        x = torch.cat([angle.sin(), angle.cos()])
        x = F.silu(self.state["level_in.0.weight"] @ x + self.state["level_in.0.bias"])
        x = self.state["level_out.weight"] @ x + self.state["level_out.bias"]
        n_inner = self.state["blocks.0.reduce.weight"].shape[0]
        n_outer = self.state["head.weight"].shape[1]
        sizes = [n_inner] * 2 * len(self.dilations) + [n_outer] * 2
        parts = x.split(sizes)
        return [
            (1 + gain[:, None, None], offset[:, None, None])
            for gain, offset in zip(parts[::2], parts[1::2], strict=True)
        ]

    def maps(self, inputs: Inputs) -> torch.Tensor:
        """Return (C, L, L) for a batch of one chain."""
        sigma = torch.tensor([self.sigma])
        seen = inputs.seen[0, 0].float()
        mask = seen[:, None] * seen[None]
        residue = residue_channels(inputs, sigma)[0, 0]  # (L, F)
        weight = [self.state[f"residue_in.{k}.{name}"] for k in (0, 2) for name in ("weight", "bias")]
        residue = F.linear(F.silu(F.linear(residue, weight[0], weight[1])), weight[2], weight[3])
        row, column = residue.t().chunk(2)
        x = self.linear("pair_in", pair_channels(inputs, sigma).permute(0, 3, 1, 2).contiguous())
        x = x + row[:, :, None] + column[:, None, :]
        *affines, (last_gain, last_offset) = self.affines()
        for k, (dilation, (gain, offset)) in enumerate(zip(self.dilations, affines, strict=True)):
            inner = F.silu(self.linear(f"blocks.{k}.reduce", channel_norm(x)) * gain + offset) * mask
            kernel, bias = (self.state[f"blocks.{k}.conv.{name}"] for name in ("weight", "bias"))
            inner = F.silu(F.conv2d(inner, kernel.contiguous(), bias, padding=dilation, dilation=dilation))
            x = x + self.linear(f"blocks.{k}.expand", inner) / math.sqrt(2 * len(self.dilations))
        return (F.silu(channel_norm(x) * last_gain + last_offset) * mask)[0]


def channel_norm(x: torch.Tensor) -> torch.Tensor:
    """Return layer norm over the channels of (1, C, L, L)."""
    return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)


def naive_residue(network: torch.nn.Module, dilations: tuple[int, ...], inputs: Inputs, *, paper: bool) -> torch.Tensor:
    """Return (L, C): the masked mean of the symmetrised maps of a batch of one chain, by the full map."""
    level, seen = int(inputs.level[0]), inputs.seen[0, 0]
    if paper:
        maps = NaivePaper(network, dilations, level).maps(inputs.coord[0, 0], inputs.letter[0, 0], seen)
    else:
        maps = NaiveTertia(network, dilations, level).maps(inputs)
    pair = (maps + maps.transpose(1, 2)) / 2
    return ((pair * seen).sum(2) / seen.sum() * seen).t()
