"""A pre-norm transformer encoder with rotary positions; rows of padding are never computed, nor attended to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.models.pairlm import encode
from tertia.models.pairlm.inputs import N_LETTERS, N_TOKENS, Inputs
from tertia.nn.encoded import Encoded
from tertia.structure.chain import Chain

N_EDGES = 4
SLOWEST = 10_000.0
"""Positions of the slowest rotation of the rotary embedding are told apart up to about here (Su et al., 2021)."""


class Layout:
    """Where the real residues of a padded batch stand, and how they turn; made once a batch, used by all blocks.

    Parameters
    ----------
    chain: (B, L) chain map.
    reach: a residue attends to those less than so many positions away, the distances that were seen in training.
    """

    def __init__(self, chain: torch.Tensor, head_width: int, *, reach: int) -> None:
        self.shape, self.reach = chain.shape, reach
        real = chain > 0
        self.whole = bool(real.all())
        self.real = real
        self.row = torch.nonzero(real.flatten())[:, 0]  # (N,) place of each real residue among B * L
        divisor = SLOWEST ** (torch.arange(0, head_width, 2, device=chain.device) / head_width)
        angle = torch.arange(chain.shape[1], device=chain.device)[:, None] / divisor  # (L, d / 2)
        self.cosine, self.sine = angle.cos(), angle.sin()

    def pad(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (B, L, ...) for rows (N, ...) of real residues."""
        if self.whole:
            return rows.view(*self.shape, *rows.shape[1:])
        padded = rows.new_zeros(self.shape[0] * self.shape[1], *rows.shape[1:])
        return padded.index_copy(0, self.row, rows).view(*self.shape, *rows.shape[1:])

    def unpad(self, padded: torch.Tensor) -> torch.Tensor:
        """Return rows (N, ...) of real residues for (B, L, ...)."""
        rows = padded.flatten(0, 1)
        return rows if self.whole else rows[self.row]

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (B, H, L, d) turned by its positions, so that products depend on the distance in sequence."""
        one, two = x.chunk(2, dim=-1)
        cosine, sine = self.cosine.to(x.dtype), self.sine.to(x.dtype)
        return torch.cat([one * cosine - two * sine, two * cosine + one * sine], dim=-1)

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return attention (B, H, L, d); in chains longer than the reach by windows, in time linear in L."""
        length, reach = self.shape[1], self.reach
        if length <= reach:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=None if self.whole else self.real[:, None, None])
        windows = []
        place = torch.arange(length, device=q.device)
        for start in range(0, length, reach):
            stop = min(start + reach, length)
            low, high = max(start - reach + 1, 0), min(stop + reach - 1, length)
            distance = (place[start:stop, None] - place[None, low:high]).abs()
            near = distance < reach
            mask = near & self.real[:, None, None, low:high] | (distance == 0)  # padding at least attends to itself
            windows.append(
                F.scaled_dot_product_attention(
                    q[:, :, start:stop], k[:, :, low:high], v[:, :, low:high], attn_mask=mask
                )
            )
        return torch.cat(windows, dim=2)


class Block(nn.Module):
    """Attention and a layer that works on each residue alone, both on normalised copies of the stream."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Return (N, D) for the same, rows of real residues."""
        padded = layout.pad(self.qkv(self.norms[0](x)))  # (B, L, 3D)
        q, k, v = padded.unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, H, L, d)
        mixed = layout.attend(layout.turned(q), layout.turned(k), v)
        x = x + self.mix(layout.unpad(mixed.transpose(1, 2).flatten(2)))
        return x + self.narrow(F.gelu(self.widen(self.norms[1](x))))


class LanguageModel(nn.Module):
    """Letters in, a guess at every letter out; the last stream is the embedding."""

    def __init__(self, width: int, n_layers: int, n_heads: int, *, reach: int) -> None:
        super().__init__()
        self.width, self.n_heads, self.reach = width, n_heads, reach
        self.letters = nn.Embedding(N_TOKENS, width)
        self.edges = nn.Embedding(N_EDGES, width, padding_idx=0)
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)
        self.guess = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, N_LETTERS))
        self.standard = encode.Standard(width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)
        for block in self.blocks:  # the stream keeps its size through all blocks
            for last in (block.mix, block.narrow):
                last.weight.data.mul_((2 * n_layers) ** -0.5)

    def rows(self, inputs: Inputs) -> tuple[torch.Tensor, Layout]:
        """Return the last stream (N, D), a row for each real residue, and where the rows belong."""
        layout = Layout(inputs.chain, self.width // self.n_heads, reach=self.reach)
        letter, edge = (layout.unpad(column).long() for column in (inputs.letter, inputs.edge))
        x = self.letters(letter) + self.edges(edge)
        for block in self.blocks:
            x = block(x, layout)
        return self.norm(x), layout

    def forward(self, inputs: Inputs, chosen: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 20) of the residues that are chosen, (B, L) bool, in the order of the batch."""
        rows, layout = self.rows(inputs)
        return self.guess(rows[layout.unpad(chosen)])

    def encode(self, inputs: Inputs, *, pair: bool = False) -> Encoded:
        """Encode a padded batch of whole chains; there is no pair level."""
        return encode.encode(self, inputs)

    def calibrate(self, chains: Sequence[Chain]) -> None:
        """Fit the standardisation of the embeddings, in place."""
        encode.calibrate(self, chains)

    def memory(self, n_residues: int, *, pair: bool = False) -> int:
        """Return about how many bytes it takes to encode one chain beside the weights."""
        return 4 * n_residues * (16 * self.width + 2 * min(n_residues, 3 * self.reach))
