"""The straightforward way to train the paper's network, for comparison: one torch module a layer, channels first.

All 149 input channels are materialised, conditional batch norm is `nn.BatchNorm2d` followed by gain and offset, every
activation is a tensor of its own, and all residues are there, so nothing is masked. Written from the paper (Guo et
al., AAAI 2022) and the description of the authors' code, not from the package, so that it is also a second
implementation for the tests.
"""

from __future__ import annotations

import torch
from torch import nn

ANCHORS = [*range(0, 31), *range(32, 71, 2), *range(73, 101, 3)]


class LevelNorm(nn.Module):
    """Batch norm without affine, then gain and offset of the noise level."""

    def __init__(self, width: int, n_levels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.gain, self.offset = nn.Embedding(n_levels, width), nn.Embedding(n_levels, width)
        nn.init.normal_(self.gain.weight, 1.0, 0.01)
        nn.init.zeros_(self.offset.weight)

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return self.gain(level)[:, :, None, None] * self.norm(x) + self.offset(level)[:, :, None, None]


class Block(nn.Module):
    def __init__(self, width: int, bottleneck: int, dilation: int, n_levels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([LevelNorm(width, n_levels)] + [LevelNorm(bottleneck, n_levels) for _ in range(2)])
        self.convs = nn.ModuleList([
            nn.Conv2d(width, bottleneck, 1),
            nn.Conv2d(bottleneck, bottleneck, 3, padding=dilation, dilation=dilation),
            nn.Conv2d(bottleneck, width, 1),
        ])  # fmt: skip
        self.elu = nn.ELU()

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        inner = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            inner = conv(self.elu(norm(inner, level)))
        return x + inner


class NaiveNetwork(nn.Module):
    """Coordinates in, H out."""

    def __init__(self, width: int, bottleneck: int, dilations: tuple[int, ...], n_levels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(149, width, 3, padding=1)
        self.blocks = nn.ModuleList([Block(width, bottleneck, d, n_levels) for d in dilations])
        self.norm = LevelNorm(width, n_levels)
        self.elu = nn.ELU()
        self.head = nn.Conv2d(width, 1, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=1e-3)
                nn.init.zeros_(module.bias)

    def forward(self, letter: torch.Tensor, position: torch.Tensor, coord: torch.Tensor, level: torch.Tensor):
        """Return H (B, R, S) for letter and position (B, 2, L) and coord (B, 2, L, 3): rows, then columns."""
        x = self.stem(pair_channels(letter, position, coord))
        for block in self.blocks:
            x = block(x, level)
        return self.head(self.elu(self.norm(x, level)))[:, 0]

    def take(self, network: nn.Module) -> None:
        """Take over the weights of a network of the package; the layers have the same names but for the stem."""
        names = set(self.state_dict())
        state = {name.replace("stem.conv", "stem"): value for name, value in network.state_dict().items()}
        missing = self.load_state_dict({k: v for k, v in state.items() if k in names}, strict=False).missing_keys
        assert all(".norm." in name or name.startswith("norm.norm") for name in missing), missing


def pair_channels(letter: torch.Tensor, position: torch.Tensor, coord: torch.Tensor) -> torch.Tensor:
    """Return (B, 149, R, S): column residue (20 + 24), row residue (20 + 24), distance (61)."""
    one_hot = nn.functional.one_hot(letter - 1, 20).float()
    angle = position[..., None].float() / 1000.0 ** (torch.arange(12) / 11.0)
    residue = torch.cat([one_hot, torch.sin(angle), torch.cos(angle)], dim=-1)  # (B, 2, L, 44)
    rows, columns = residue[:, 0].transpose(1, 2), residue[:, 1].transpose(1, 2)
    n_rows, n_columns = rows.shape[-1], columns.shape[-1]
    rows = rows[:, :, :, None].expand(-1, -1, -1, n_columns)
    columns = columns[:, :, None, :].expand(-1, -1, n_rows, -1)
    distance = torch.cdist(coord[:, 0], coord[:, 1], compute_mode="donot_use_mm_for_euclid_dist").clamp(0.0, 100.0)
    anchors = torch.tensor(ANCHORS, dtype=distance.dtype)[None, :, None, None]
    weight = torch.exp(-((distance[:, None] - anchors) ** 2) / (2 * 3.0**2))
    return torch.cat([columns, rows, weight / (weight.sum(1, keepdim=True) + 1e-6)], dim=1)


def loss(h: torch.Tensor, position: torch.Tensor, coord: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Return eq. 5 averaged over the crops; where a residue is row and column, its halves add (eq. 4)."""
    on_rows = 2 * (h.sum(2)[..., None] * coord[:, 0] - torch.bmm(h, coord[:, 1]))
    on_columns = 2 * (h.sum(1)[..., None] * coord[:, 1] - torch.bmm(h.transpose(1, 2), coord[:, 0]))
    same = (position[:, 0, :, None] == position[:, 1, None, :]).float()
    force_rows = on_rows + torch.bmm(same, on_columns)
    force_columns = on_columns + torch.bmm(same.transpose(1, 2), on_rows)
    error_rows = ((force_rows + noise[:, 0]) ** 2).sum(-1).sum(-1)
    new = 1 - same.max(1).values  # a column that is no row as well
    error_columns = (((force_columns + noise[:, 1]) ** 2).sum(-1) * new).sum(-1)
    return 0.5 * (error_rows + error_columns).mean()
