"""Three networks that turn with the chain, for comparison with the distance-map network: small, plain, eager float32.

Each takes residue channels (B, L, F) and coordinates (B, L, 3), finds the nearest neighbours of every residue, and
returns the predicted noise on each residue, (B, L, 3). EGNN is plain torch, the tensor field network is made of e3nn
parts, the SE(3)-Transformer is the one of se3-transformer-pytorch.
"""

from __future__ import annotations

import os

import torch
from torch import nn
from torch.nn import functional as F

N_FEATURES = 44  # amino acid and position, as the paper's network sees them


def nearest(coord: torch.Tensor, n_neighbours: int) -> torch.Tensor:
    """Return (B L, K) int64: the nearest residues of the same chain, counted through the whole batch."""
    n_chains, length, _ = coord.shape
    with torch.no_grad():
        distance = torch.cdist(coord, coord)
        distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        index = distance.topk(min(n_neighbours, length - 1), largest=False, sorted=False).indices
        return (index + length * torch.arange(n_chains)[:, None, None]).flatten(0, 1)


class Egnn(nn.Module):
    """E(n)-equivariant graph network (Satorras et al., 2021): messages from invariants move the coordinates."""

    def __init__(self, width: int = 64, n_layers: int = 7, n_neighbours: int = 16) -> None:
        super().__init__()
        self.n_neighbours = n_neighbours
        self.embed, self.layers = nn.Linear(N_FEATURES, width), nn.ModuleList()
        for _ in range(n_layers):
            edge = nn.Sequential(nn.Linear(2 * width + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
            move = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1, bias=False))
            node = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
            self.layers.append(nn.ModuleList([edge, move, node]))

    def forward(self, features: torch.Tensor, coord: torch.Tensor) -> torch.Tensor:
        neighbours = nearest(coord, self.n_neighbours)
        h, start = self.embed(features).flatten(0, 1), coord.flatten(0, 1)
        moved = torch.zeros_like(start)
        for edge, move, node in self.layers:
            x = start + moved
            difference = x[:, None] - x[neighbours]  # (B L, K, 3)
            squared = difference.square().sum(-1, keepdim=True)
            of_neighbour = h[neighbours]
            message = edge(torch.cat([h[:, None].expand_as(of_neighbour), of_neighbour, squared / 100.0], dim=-1))
            moved = moved + (difference / (squared + 1e-6).sqrt() * move(message)).mean(1)
            h = h + node(torch.cat([h, message.mean(1)], dim=-1))
        return moved.view(coord.shape)


class TensorField(nn.Module):
    """Tensor field network (Thomas et al., 2018) of e3nn parts: radial weights, tensor product, sum, gate.

    Hidden channels are `width` tensors of every degree up to `rank`. The tensor product is the cheap one, channel by
    channel with linear maps before and after it, as in NequIP and its successors.
    """

    def __init__(
        self, width: int = 64, n_layers: int = 4, rank: int = 1, n_neighbours: int = 16, n_radial: int = 16
    ) -> None:
        super().__init__()
        from e3nn import nn as gates
        from e3nn import o3

        self.n_neighbours, self.harmonics = n_neighbours, o3.Irreps.spherical_harmonics(rank)
        self.register_buffer("centres", torch.linspace(0.0, 40.0, n_radial), persistent=False)
        hidden = o3.Irreps([(width, (degree, (-1) ** degree)) for degree in range(rank + 1)])
        scalars = o3.Irreps(f"{width}x0e")
        self.embed, self.layers = nn.Linear(N_FEATURES, width), nn.ModuleList()
        given = scalars
        for layer in range(n_layers):
            last = layer == n_layers - 1
            gate = None
            if not last:
                gate = gates.Gate(scalars, [F.silu], f"{rank * width}x0e", [torch.sigmoid], hidden[1:])
            wanted = o3.Irreps("1x1o") if last else gate.irreps_in
            product = depthwise(given, self.harmonics, wanted)
            radial = nn.Sequential(nn.Linear(n_radial, 32), nn.SiLU(), nn.Linear(32, product.weight_numel))
            mix = [o3.Linear(given, given), o3.Linear(product.irreps_out, wanted), o3.Linear(given, wanted)]
            self.layers.append(nn.ModuleList([product, radial, *mix, gate or nn.Identity()]))
            given = hidden

    def forward(self, features: torch.Tensor, coord: torch.Tensor) -> torch.Tensor:
        from e3nn import o3

        neighbours = nearest(coord, self.n_neighbours)
        h, x = self.embed(features).flatten(0, 1), coord.flatten(0, 1)
        difference = x[neighbours] - x[:, None]  # (B L, K, 3)
        distance = difference.square().sum(-1, keepdim=True).add(1e-6).sqrt()
        harmonics = o3.spherical_harmonics(self.harmonics, difference, True, normalization="component")
        radial_basis = torch.exp(-((distance - self.centres) / 2.5).square() / 2.0)
        for product, radial, before, after, own, gate in self.layers:
            message = product(before(h)[neighbours], harmonics, radial(radial_basis))
            h = gate(after(message.sum(1) / neighbours.shape[1] ** 0.5) + own(h))
        return h.view(coord.shape)


def depthwise(given, harmonics, wanted) -> nn.Module:
    """Return the tensor product of every channel with the harmonics, along all paths that lead to a wanted degree."""
    from e3nn import o3

    degrees = {irrep for _, irrep in wanted}
    out, paths = [], []
    for i, (width, left) in enumerate(given):
        for j, (_, right) in enumerate(harmonics):
            for irrep in left * right:
                if irrep in degrees:
                    paths.append((i, j, len(out), "uvu", True))
                    out.append((width, irrep))
    return o3.TensorProduct(given, harmonics, o3.Irreps(out), paths, shared_weights=False, internal_weights=False)


class Se3Transformer(nn.Module):
    """SE(3)-Transformer (Fuchs et al., 2020): attention whose keys and values are full tensor products of every edge.

    heads, head_width: keys and values have heads x head_width channels a degree, half of the width by default as in
    the paper's settings; radial_width: of the networks that weigh the kernels by distance (32 in the authors' code;
    the package takes 128 and heads of 24 unless told otherwise).
    """

    def __init__(
        self, width: int = 32, n_layers: int = 2, heads: int = 8, head_width: int = 2, radial_width: int = 32,
        n_neighbours: int = 16,
    ) -> None:  # fmt: skip
        super().__init__()
        os.environ.setdefault("CLEAR_CACHE", "1")  # or the package keeps a folder of its own in the home of the user
        from se3_transformer_pytorch import SE3Transformer
        from se3_transformer_pytorch.se3_transformer_pytorch import PairwiseConv, RadialFunc

        self.embed = nn.Linear(N_FEATURES, width)
        self.transformer = SE3Transformer(
            dim=width, depth=n_layers, heads=heads, dim_head=head_width, num_degrees=2, output_degrees=2,
            num_neighbors=n_neighbours, reduce_dim_out=True,
        )  # fmt: skip
        for conv in self.transformer.modules():
            if isinstance(conv, PairwiseConv):
                conv.rp = RadialFunc(conv.num_freq, conv.nc_in, conv.nc_out, mid_dim=radial_width)

    def forward(self, features: torch.Tensor, coord: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(coord.shape[:2], dtype=torch.bool)
        return self.transformer(self.embed(features), coord, mask, return_type=1).reshape(coord.shape)
