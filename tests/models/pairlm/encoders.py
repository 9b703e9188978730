"""Tiny encoders with weights large enough that every part of them is felt, and a dense second implementation."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F

from tertia.models.pairlm.longformer import Longformer
from tertia.models.pairlm.packing import Packed, pack
from tertia.models.pairlm.roberta import Roberta
from tertia.sequence.tokens import Tokenizer, train
from tests.structures import random_sequence

SIZES = {"n_layers": 2, "n_heads": 2, "inner": 24}
N_TOKENS, WIDTH = 40, 16


@cache
def some_merges(merges: int = 60, seed: int = 0) -> Tokenizer:
    """Return a tokenizer with merges of random sequences; others with other seeds."""
    return train([random_sequence(300, seed=50 * seed + k) for k in range(40)], merges=merges)


def loud(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Redraw all parameters, also norms and biases, with a deviation of 0.3; in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            offset = 1.0 if "norm.weight" in name.lower() else 0.0
            parameter.copy_(offset + 0.3 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def tiny_roberta(seed: int = 0, **more) -> Roberta:
    return loud(Roberta(N_TOKENS, WIDTH, **(SIZES | {"n_positions": 66} | more)), seed)


def tiny_longformer(seed: int = 0, **more) -> Longformer:
    return loud(Longformer(N_TOKENS, WIDTH, **(SIZES | {"n_positions": 66, "window": 8} | more)), seed)


def sequences(*lengths: int, seed: int = 0) -> list[torch.Tensor]:
    """Return token ids, none of them special."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(5, N_TOKENS, (length,), generator=generator) for length in lengths]


def one(length: int, seed: int = 0) -> Packed:
    return pack(sequences(length, seed=seed))


def dense_longformer(network: Longformer, token: torch.Tensor, everywhere: torch.Tensor | None = None) -> torch.Tensor:
    """Return the last stream (T, D) of one sequence by full T x T matrices: slow, and quadratic in T."""
    body, length = network.longformer, len(token)
    everywhere = torch.zeros(length, dtype=torch.bool) if everywhere is None else everywhere
    x = body["embeddings"](token, torch.arange(length) + 2)
    place = torch.arange(length)
    seen = ((place[:, None] - place).abs() <= network.window // 2) | everywhere
    for layer in body["encoder"]["layer"]:
        attention = layer.attention["self"]
        local = dense(attention.query(x), attention.key(x), attention.value(x), network.n_heads, seen)
        far = dense(attention.query_global(x), attention.key_global(x), attention.value_global(x), network.n_heads,
                    torch.ones_like(seen))  # fmt: skip
        x = layer.attention["output"](torch.where(everywhere[:, None], far, local), x)
        x = layer.output(F.gelu(layer.intermediate["dense"](x)), x)
    return x


def dense(q, k, v, n_heads: int, seen: torch.Tensor) -> torch.Tensor:
    """Return softmax attention (T, D) where a query sees the keys that `seen` (T, T) allows."""
    q, k, v = (y.unflatten(-1, (n_heads, -1)).transpose(0, 1) for y in (q, k, v))  # (H, T, d)
    weight = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~seen, -math.inf).softmax(-1)
    return (weight @ v).transpose(0, 1).flatten(1)
