"""RoBERTa (Liu et al., 2019): a post-norm encoder with learned positions, on packed sequences.

Parameters have the names that they have in `transformers.RobertaForMaskedLM`; the modules follow from the names.
"""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.models.pairlm.packing import PAD, Order, Packed

N_TOKENS = 10_261
"""5 special tokens, 256 bytes and 10,000 merges (Filipavicius et al., 2020)."""

EPSILON = 1e-5  # of every norm, as in RoBERTa
DEVIATION = 0.02  # of fresh weights, likewise


class Embeddings(nn.Module):
    """What token it is and where it stands. The table of token types has one row, which is added everywhere.

    Hyper-parameters: n_tokens, rows of the vocabulary; width D; n_positions, rows of the table of positions, of which
    the first two stand for no place; dropout.
    """

    def __init__(self, n_tokens: int, width: int, *, n_positions: int, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(n_tokens, width, padding_idx=PAD)
        self.position_embeddings = nn.Embedding(n_positions, width, padding_idx=PAD)
        self.token_type_embeddings = nn.Embedding(1, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, token: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Return (N, D) for ids of tokens (N,) and rows of the table of positions (N,)."""
        x = self.word_embeddings(token) + self.position_embeddings(position) + self.token_type_embeddings.weight[0]
        return self.dropout(self.LayerNorm(x))


class SelfAttention(nn.Module):
    """Attention within each sequence.

    Hyper-parameters: width D, n_heads H, dropout of the attention weights.
    """

    def __init__(self, width: int, n_heads: int, *, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, order: Order) -> torch.Tensor:
        """Return (N, D) for rows x (N, D) in the given order."""
        # one (n, T, D) for every length T
        parts = zip(*(order.split(layer(x)) for layer in (self.query, self.key, self.value)), strict=True)
        dropout = self.dropout if self.training else 0.0
        return torch.cat([self._attend(*part, dropout=dropout).flatten(0, 1) for part in parts])

    def _attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, dropout: float) -> torch.Tensor:
        """Return (n, T, D) for queries, keys and values of the same shape."""
        q, k, v = (split_heads(y, self.n_heads) for y in (q, k, v))
        return merge_heads(F.scaled_dot_product_attention(q, k, v, dropout_p=dropout))


class Residual(nn.Module):
    """A linear layer, whose output is added to the stream before the norm. Names: `dense` and `LayerNorm`."""

    def __init__(self, inner: int, width: int, *, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, update: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the stream (N, D) after an update (N, inner)."""
        return self.LayerNorm(x + self.dropout(self.dense(update)))


class Layer(nn.Module):
    """Attention, then a layer that works on each token alone; both are added before their norms (post-norm).

    Hyper-parameters: attention, a module (N, D) -> (N, D); width D; inner, width between the two dense layers; dropout.
    """

    def __init__(self, attention: nn.Module, *, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        mix = Residual(width, width, dropout=dropout)
        self.attention = nn.ModuleDict({"self": attention, "output": mix})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = Residual(inner, width, dropout=dropout)

    def forward(self, x: torch.Tensor, order: Order, *more: torch.Tensor) -> torch.Tensor:
        """Return (N, D) for rows x (N, D) in the given order; the attention alone knows what to do with more."""
        x = self.attention["output"](self.attention["self"](x, order, *more), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Head(nn.Module):
    """From the last stream to logits of tokens; the last matrix is the table of word embeddings itself.

    Hyper-parameters: n_tokens V, width D.
    """

    def __init__(self, n_tokens: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.layer_norm = nn.LayerNorm(width, eps=EPSILON)
        self.bias = nn.Parameter(torch.zeros(n_tokens))

    def forward(self, x: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Return logits (n, V) for rows x (n, D) and the table of word embeddings (V, D)."""
        return F.linear(self.layer_norm(F.gelu(self.dense(x))), words, self.bias)


class Roberta(nn.Module):
    """Tokens in, logits of tokens out; `rows` gives the last stream.

    Hyper-parameters: n_tokens V; width D; n_layers; n_heads; inner, width of the layer on each token; n_positions, two
    more than the longest sequence has tokens; dropout of stream and attention while training (the paper's is 0.1).
    """

    def __init__(
        self,
        n_tokens: int = N_TOKENS,
        width: int = 768,
        *,
        n_layers: int = 12,
        n_heads: int = 12,
        inner: int = 3072,
        n_positions: int = 514,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.n_heads, self.inner, self.dropout = width, n_heads, inner, dropout
        layers = [
            Layer(SelfAttention(width, n_heads, dropout=dropout), width=width, inner=inner, dropout=dropout)
            for _ in range(n_layers)
        ]
        embeddings = Embeddings(n_tokens, width, n_positions=n_positions, dropout=dropout)
        self.roberta = assemble(embeddings, layers)
        self.lm_head = Head(n_tokens, width)
        self.apply(initialise)

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers, first to last."""
        return self.roberta["encoder"]["layer"]

    def rows(self, packed: Packed) -> torch.Tensor:
        """Return the last stream (N, D), one row a token, as packed."""
        return encode(self.roberta, packed)

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Return logits (n, V) for any rows (n, D) of the last stream."""
        return self.lm_head(rows, self.roberta["embeddings"].word_embeddings.weight)

    def forward(self, packed: Packed, chosen: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits (n, V) of the tokens that are chosen, (N,) bool, or of all."""
        rows = self.rows(packed)
        return self.logits(rows if chosen is None else rows[chosen])


def assemble(embeddings: nn.Module, layers: list[nn.Module]) -> nn.ModuleDict:
    """Return embeddings and layers under the names of a body: `embeddings` and `encoder.layer`."""
    return nn.ModuleDict({"embeddings": embeddings, "encoder": nn.ModuleDict({"layer": nn.ModuleList(layers)})})


def encode(body: nn.ModuleDict, packed: Packed, *more: torch.Tensor) -> torch.Tensor:
    """Return the last stream (N, D) of packed tokens, as packed; more (N,) columns are for the attention."""
    order = Order(packed.segment)
    x = body["embeddings"](order.sort(packed.token), order.sort(packed.position))
    more = tuple(order.sort(column) for column in more)
    for layer in body["encoder"]["layer"]:
        x = layer(x, order, *more)
    return order.restore(x)


def split_heads(x: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Return (n, H, T, d) for (n, T, H d)."""
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    """Return (n, T, H d) for (n, H, T, d)."""
    return x.transpose(1, 2).flatten(2)


def initialise(module: nn.Module) -> None:
    """Draw fresh weights of one module as RoBERTa does; the rows of pads are zero."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=DEVIATION)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
