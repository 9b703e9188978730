"""Longformer (Beltagy et al., 2020): RoBERTa whose tokens see a window, and some tokens everything.

A token attends to those at most window / 2 away and to all global tokens; a global token attends to all, by queries,
keys and values of its own. Time and memory are linear in the length of a sequence. Parameters have the names that they
have in `transformers.LongformerForMaskedLM`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.models.pairlm.packing import FIRST_POSITION, Order, Packed
from tertia.models.pairlm.roberta import (
    N_TOKENS,
    Embeddings,
    Head,
    Layer,
    Roberta,
    assemble,
    encode,
    initialise,
    merge_heads,
    split_heads,
)

LOCAL = ("query", "key", "value")


class WindowedAttention(nn.Module):
    """Attention within the windows of each sequence, and to and from its global tokens.

    Hyper-parameters: width D; n_heads H; window, even; dropout of the attention weights.
    """

    def __init__(self, width: int, n_heads: int, *, window: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.reach, self.dropout = n_heads, window // 2, dropout
        for name in (*LOCAL, *(f"{name}_global" for name in LOCAL)):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, x: torch.Tensor, order: Order, everywhere: torch.Tensor | None = None) -> torch.Tensor:
        """Return (N, D) for rows x (N, D) in the given order, of which `everywhere` (N,) bool are global."""
        # one (n, T, D) for every length T
        local = zip(*(order.split(getattr(self, name)(x)) for name in LOCAL), strict=True)
        dropout = self.dropout if self.training else 0.0
        if everywhere is None:
            return torch.cat([self._local(*part, None, dropout=dropout).flatten(0, 1) for part in local])
        streams, globals_ = order.split(x), order.split(everywhere)
        out = [
            self._overwrite(self._local(*part, chosen, dropout=dropout), stream, chosen, dropout=dropout).flatten(0, 1)
            for part, stream, chosen in zip(local, streams, globals_, strict=True)
        ]
        return torch.cat(out)

    def _local(self, q, k, v, chosen: torch.Tensor | None, *, dropout: float) -> torch.Tensor:
        """Return (n, T, D) of local queries, keys and values (n, T, D); the rows of global tokens, chosen (n, T), are
        filled later."""
        q, k, v = (split_heads(y, self.n_heads) for y in (q, k, v))
        if q.shape[2] <= self.reach + 1:  # all see all
            return merge_heads(F.scaled_dot_product_attention(q, k, v, dropout_p=dropout))
        return merge_heads(windowed(q, k, v, reach=self.reach, chosen=chosen, dropout=dropout))

    def _overwrite(self, out, stream, chosen: torch.Tensor, *, dropout: float) -> torch.Tensor:
        """Return out (n, T, D) with the rows of global tokens, chosen (n, T), from the stream (n, T, D) of all."""
        if not bool(chosen.any()):
            return out
        index, valid = listed(chosen)  # (n, g)
        wide = index[..., None].expand(-1, -1, stream.shape[-1])
        q = split_heads(self.query_global(stream.gather(1, wide)), self.n_heads)
        k, v = (split_heads(layer(stream), self.n_heads) for layer in (self.key_global, self.value_global))
        rows = merge_heads(F.scaled_dot_product_attention(q, k, v, dropout_p=dropout))  # (n, g, D)
        return out.masked_scatter(chosen[..., None], rows[valid].to(out.dtype))


def listed(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the places of the chosen (n, T) in each row: places (n, g) in order and whether they are places."""
    count = chosen.sum(1)
    index = (~chosen).to(torch.uint8).sort(dim=1, stable=True).indices[:, : int(count.max())]
    return index, torch.arange(index.shape[1], device=chosen.device) < count[:, None]


def windowed(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    reach: int,
    chosen: torch.Tensor | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Return attention (n, H, T, d) of each token to those at most `reach` away and to the chosen ones, each once.

    Blocks of `reach` queries see three blocks of keys, of which a mask leaves the window.

    Parameters
    ----------
    q, k, v: (n, H, T, d).
    chosen: (n, T) bool, global tokens, or None.
    """
    n, n_heads, length, width = q.shape
    n_blocks = -(-length // reach)
    beyond = n_blocks * reach - length
    queries = F.pad(q, (0, 0, 0, beyond)).unflatten(2, (n_blocks, reach))  # (n, H, b, r, d)
    keys, values = (_three(F.pad(y, (0, 0, reach, beyond + reach)), reach) for y in (k, v))  # (n, H, b, 3 r, d)
    seen = _band(n_blocks, reach, length, device=q.device)  # (b, r, 3 r)
    if chosen is None or not bool(chosen.any()):
        seen = seen.expand(n, -1, -1, -1)
    else:
        index, valid = listed(chosen)  # (n, g)
        at_window = _three(F.pad(chosen, (reach, beyond + reach))[:, None, :, None], reach)[:, 0, :, None, :, 0]
        seen = torch.cat([valid[:, None, None].expand(-1, n_blocks, reach, -1), seen & ~at_window], dim=-1)
        wide = index[:, None, :, None].expand(-1, n_heads, -1, width)
        front = [y.gather(2, wide)[:, :, None].expand(-1, -1, n_blocks, -1, -1) for y in (k, v)]
        keys, values = torch.cat([front[0], keys], dim=3), torch.cat([front[1], values], dim=3)
    # A key of the padding is seen by nobody, but a query of the padding must see something: its own key.
    blocks = [y.transpose(1, 2).flatten(0, 1) for y in (queries, keys, values)]  # (n b, H, ., d)
    out = F.scaled_dot_product_attention(*blocks, attn_mask=seen.flatten(0, 1)[:, None], dropout_p=dropout)
    out = out.unflatten(0, (n, n_blocks)).transpose(1, 2).flatten(2, 3)  # (n, H, b r, d)
    return out[:, :, :length]


def _three(padded: torch.Tensor, reach: int) -> torch.Tensor:
    """Return (n, H, b, 3 r, d), each block between its neighbours, for (n, H, (b + 2) r, d)."""
    blocks = padded.unflatten(2, (-1, reach))
    return torch.cat([blocks[:, :, :-2], blocks[:, :, 1:-1], blocks[:, :, 2:]], dim=3)


def _band(n_blocks: int, reach: int, length: int, *, device: torch.device) -> torch.Tensor:
    """Return which keys (b, r, 3 r) a query is near to: real ones within reach, and always itself."""
    query = torch.arange(reach, device=device)[:, None]
    key = torch.arange(-reach, 2 * reach, device=device)
    place = torch.arange(n_blocks, device=device)[:, None, None] * reach + key  # (b, 1, 3 r)
    near = (query - key).abs() <= reach
    return near & (place >= 0) & (place < length) | (query == key)


class Longformer(nn.Module):
    """Tokens in, logits of tokens out, for long sequences; `rows` gives the last stream.

    Hyper-parameters: as of `Roberta`, and window, even: a token sees window / 2 tokens on each side.
    """

    def __init__(
        self,
        n_tokens: int = N_TOKENS,
        width: int = 768,
        *,
        n_layers: int = 12,
        n_heads: int = 12,
        inner: int = 3072,
        n_positions: int = 2050,
        window: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if window < 2 or window % 2:
            raise ValueError(f"the window is {window}, not an even number")
        self.width, self.n_heads, self.inner, self.window, self.dropout = width, n_heads, inner, window, dropout
        layers = [
            Layer(
                WindowedAttention(width, n_heads, window=window, dropout=dropout),
                width=width,
                inner=inner,
                dropout=dropout,
            )
            for _ in range(n_layers)
        ]
        embeddings = Embeddings(n_tokens, width, n_positions=n_positions, dropout=dropout)
        self.longformer = assemble(embeddings, layers)
        self.lm_head = Head(n_tokens, width)
        self.apply(initialise)

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers, first to last."""
        return self.longformer["encoder"]["layer"]

    def rows(self, packed: Packed, everywhere: torch.Tensor | None = None) -> torch.Tensor:
        """Return the last stream (N, D), one row a token, as packed; tokens `everywhere` (N,) bool are global."""
        return encode(self.longformer, packed, *(() if everywhere is None else (everywhere,)))

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Return logits (n, V) for any rows (n, D) of the last stream."""
        return self.lm_head(rows, self.longformer["embeddings"].word_embeddings.weight)

    def forward(
        self, packed: Packed, chosen: torch.Tensor | None = None, *, everywhere: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return logits (n, V) of the tokens that are chosen, (N,) bool, or of all; `everywhere` as of `rows`."""
        rows = self.rows(packed, everywhere)
        return self.logits(rows if chosen is None else rows[chosen])

    @torch.no_grad()
    def renew_globals(self) -> None:
        """Copy the local projections to the global ones, which pre-training without globals never moves."""
        for layer in self.blocks:
            attention = layer.attention["self"]
            for name in LOCAL:
                getattr(attention, f"{name}_global").load_state_dict(getattr(attention, name).state_dict())


def lengthened(weights: Mapping[str, torch.Tensor], *, n_positions: int) -> dict[str, torch.Tensor]:
    """Return the weights of a Longformer that begins where a RoBERTa ended, or a Longformer of another length.

    Rows 0 and 1 of the table of positions are copied, the others repeated; global projections are copies of the local
    ones where there are none (Beltagy et al., 2020, section 5; the reference leaves the first rows empty and ties the
    projections). Names may stand behind a prefix.
    """
    out = {name.replace("roberta.", "longformer.", 1): tensor for name, tensor in weights.items()}
    for name, tensor in list(out.items()):
        layer, _, kind = name.rpartition(".")
        if layer.endswith("position_embeddings"):
            special, learned = tensor[:FIRST_POSITION], tensor[FIRST_POSITION:]
            times = -(-(n_positions - FIRST_POSITION) // len(learned))
            out[name] = torch.cat([special, learned.repeat(times, 1)])[:n_positions]
        elif layer.endswith(tuple(f"attention.self.{name}" for name in LOCAL)):
            out.setdefault(f"{layer}_global.{kind}", tensor.clone())
    return out


@torch.no_grad()
def lengthen(source: Roberta, *, n_positions: int = 2050, window: int = 512) -> Longformer:
    """Return a Longformer that begins where a RoBERTa ended; no tensor is shared with it."""
    words = source.roberta["embeddings"].word_embeddings.weight
    target = Longformer(
        len(words),
        source.width,
        n_layers=len(source.roberta["encoder"]["layer"]),
        n_heads=source.n_heads,
        inner=source.inner,
        n_positions=n_positions,
        window=window,
        dropout=source.dropout,
    ).to(words.device, words.dtype)
    target.load_state_dict(lengthened(source.state_dict(), n_positions=n_positions))
    return target.train(source.training)
