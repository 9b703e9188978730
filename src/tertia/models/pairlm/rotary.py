"""A pre-norm encoder with rotary positions (Su et al., 2021), on packed sequences of any length."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.models.pairlm.packing import PAD, Order, Packed
from tertia.models.pairlm.roberta import Head

SLOWEST = 10_000.0
"""Positions of the slowest rotation are told apart up to about here."""
QUERIES = 64
"""Tokens whose attention is computed together in long sequences: more would see much that the mask takes away again."""


class Turns:
    """The rotation of each row by its place in its sequence; made once a batch, used by all layers."""

    def __init__(self, order: Order, head_width: int, *, device: torch.device) -> None:
        divisor = SLOWEST ** (torch.arange(0, head_width, 2, device=device) / head_width)
        longest = max((length for _, length in order.runs), default=0)
        angle = torch.arange(longest, device=device)[:, None] / divisor  # (T, d / 2)
        place = [torch.arange(length, device=device).repeat(n) for n, length in order.runs]
        angle = angle[torch.cat(place) if place else slice(0)][:, None]  # (N, 1, d / 2)
        self.cosine, self.sine = angle.cos(), angle.sin()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (N, H, d) turned, so that products depend on the distance in sequence."""
        one, two = x.chunk(2, dim=-1)
        cosine, sine = self.cosine.to(x.dtype), self.sine.to(x.dtype)
        return torch.cat([one * cosine - two * sine, two * cosine + one * sine], dim=-1)


class Block(nn.Module):
    """Attention and a layer that works on each token alone, both on normalised copies of the stream.

    Hyper-parameters: width D; n_heads H; inner; reach, how far a token sees in longer sequences; dropout.
    """

    def __init__(self, width: int, n_heads: int, *, inner: int, reach: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.reach, self.rate = n_heads, reach, dropout
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, order: Order, turns: Turns) -> torch.Tensor:
        """Return (N, D) for rows x (N, D) in the given order."""
        q, k, v = self.qkv(self.norms[0](x)).unflatten(-1, (3, self.n_heads, -1)).unbind(1)  # (N, H, d)
        parts = zip(*(order.split(y) for y in (turns(q), turns(k), v)), strict=True)  # (n, T, H, d) each
        mixed = torch.cat([self._attend(*part).flatten(0, 1).flatten(1) for part in parts])
        x = x + self.dropout(self.mix(mixed))
        return x + self.dropout(self.narrow(F.gelu(self.widen(self.norms[1](x)))))

    def _attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return (n, T, H, d) for queries, keys and values of the same shape."""
        q, k, v = (y.transpose(1, 2) for y in (q, k, v))
        dropout = self.rate if self.training else 0.0
        if q.shape[2] <= self.reach + 1:
            return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout).transpose(1, 2)
        return banded(q, k, v, reach=self.reach, dropout=dropout).transpose(1, 2)


def banded(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, reach: int, dropout: float = 0.0
) -> torch.Tensor:  # fmt: skip
    """Return attention (n, H, T, d) of each token to those at most `reach` away, for q, k, v (n, H, T, d)."""
    length = q.shape[2]
    row, key = torch.arange(QUERIES, device=q.device)[:, None], torch.arange(QUERIES + 2 * reach, device=q.device)
    far = (row + reach - key).abs() > reach  # key 0 stands `reach` before row 0
    mask = torch.zeros(far.shape, dtype=q.dtype, device=q.device).masked_fill_(far, -torch.inf)
    parts = []
    for start in range(0, length, QUERIES):
        stop = min(start + QUERIES, length)
        first, last = max(start - reach, 0), min(stop + reach, length)
        seen = mask[: stop - start, first - start + reach : last - start + reach]
        near = (y[:, :, first:last] for y in (k, v))
        parts.append(F.scaled_dot_product_attention(q[:, :, start:stop], *near, attn_mask=seen, dropout_p=dropout))
    return torch.cat(parts, dim=2)


class Rotary(nn.Module):
    """Tokens in, logits of tokens out; `rows` gives the last stream.

    Only distances count, so sequences longer than those of the training are read whole: a token sees those at most
    `longest` - 1 away, in time and memory linear in the length.

    Hyper-parameters: n_tokens V; width D; n_layers; n_heads; inner, width of the layer on each token; longest, tokens
    of the longest sequence in training; dropout of stream and attention while training.
    """

    def __init__(
        self, n_tokens: int, width: int, *, n_layers: int, n_heads: int, inner: int, longest: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width, self.n_heads, self.inner = width, n_heads, inner
        self.words = nn.Embedding(n_tokens, width, padding_idx=PAD)
        self.blocks = nn.ModuleList(
            Block(width, n_heads, inner=inner, reach=longest - 1, dropout=dropout) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.lm_head = Head(n_tokens, width)
        self._initialise()

    def rows(self, packed: Packed) -> torch.Tensor:
        """Return the last stream (N, D), one row a token, as packed."""
        order = Order(packed.segment)
        turns = Turns(order, self.width // self.n_heads, device=packed.token.device)
        # The table also gives the logits, where its rows have to be short; the stream begins with unit channels.
        x = self.words(order.sort(packed.token)) * self.width**0.5
        for block in self.blocks:
            x = block(x, order, turns)
        return order.restore(self.norm(x))

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Return logits (n, V) for any rows (n, D) of the last stream."""
        return self.lm_head(rows, self.words.weight)

    def forward(self, packed: Packed, chosen: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits (n, V) of the tokens that are chosen, (N,) bool, or of all."""
        rows = self.rows(packed)
        return self.logits(rows if chosen is None else rows[chosen])

    @torch.no_grad()
    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.words.weight, std=self.width**-0.5)
        self.words.weight[PAD].zero_()
        for block in self.blocks:  # the stream keeps its size through all blocks
            for last in (block.mix, block.narrow):
                last.weight.mul_((2 * len(self.blocks)) ** -0.5)
