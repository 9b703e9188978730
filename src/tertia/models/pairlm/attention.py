"""The attention weights of one line, between tokens and between residues, for analysis.

Training and encoding never hold these weights: their attention is fused. Here the same network reads the line in the
same way, and what goes into each layer's attention is caught on its way; the softmax is then done over whole matrices,
with the layer's own projections. Time and memory grow with the square of the line.
"""

from __future__ import annotations

import torch

from tertia.errors import InputError
from tertia.models.pairlm.inputs import Inputs, Line
from tertia.models.pairlm.network import LanguageModel
from tertia.models.pairlm.packing import Order
from tertia.models.pairlm.rotary import Block

MOST_TOKENS = 4096
"""Tokens of a line that networks without a limit of their own may read here: a map of it takes 64 MiB a head."""


def attention_maps(network: LanguageModel, inputs: Inputs) -> torch.Tensor:
    """Return the attention weights between the residues of a line, (n_layers, H, L, L) float32; queries are rows.

    A residue looks as its token does. What a token gets is divided evenly among its residues, so that each row adds up
    to what the token gives to residues; the rest, up to 1, goes to the special tokens, to no residue. Weights between
    chains that do not attend to each other, and beyond the window of an encoder, are 0.

    Parameters
    ----------
    inputs: one chain, or two joined, without the batch axis; L counts the residues of both.

    Raises InputError as `token_maps` does.
    """
    weight = token_maps(network, inputs)
    place = inputs.token_of_residue.long().to(weight.device)
    return weight[:, :, place[:, None], place] / inputs.span.to(weight.device)


@torch.no_grad()
def token_maps(network: LanguageModel, inputs: Inputs) -> torch.Tensor:
    """Return the attention weights between the tokens of a line, special ones too, (n_layers, H, T, T) float32.

    Rows are queries and add up to 1. Dropout is off, and there are no global tokens, as in encoding.

    Raises InputError for a line that the network does not read in one piece.
    """
    limit, n_tokens = network.limit or MOST_TOKENS, len(inputs.token)
    if n_tokens > limit:
        raise InputError(
            "attention", found=f"the line has {n_tokens} tokens",
            allowed=f"at most {limit}, of which 2 are special ones with one chain and 4 with two",
            hint="weights of a line that is read in windows would be those of pieces: take shorter chains",
        )  # fmt: skip
    training, device = network.training, next(network.parameters()).device
    maps: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, given: maps.append(weights(layer, *given)))
        for layer in attentions(network)
    ]
    try:
        network.eval().rows(Line(inputs.token[None].to(device), inputs.part[None].to(device)))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return torch.stack(maps)


def attentions(network: LanguageModel) -> list[torch.nn.Module]:
    """Return the modules that attend, first layer to last: of the rotary encoder the blocks themselves."""
    return [block if isinstance(block, Block) else block.attention["self"] for block in network.blocks]


def weights(layer: torch.nn.Module, x: torch.Tensor, order: Order, *more) -> torch.Tensor:
    """Return the attention weights (H, N, N) float32 of packed rows, as packed, for what a layer is called with.

    Parameters
    ----------
    layer: one of `attentions`.
    x: (N, D), rows in the given order.
    more: of the rotary encoder, the turns of the rows.
    """
    query, key = (y.float() for y in _queries_and_keys(layer, x, *more))  # (N, H, d)
    product = torch.einsum("ihd,jhd->hij", query, key) / query.shape[-1] ** 0.5
    weight = product.masked_fill(~_near(order, getattr(layer, "reach", None), device=x.device), -torch.inf).softmax(-1)
    if order.place is None:
        return weight
    out = torch.empty_like(weight)
    out[:, order.place[:, None], order.place] = weight
    return out


def _queries_and_keys(layer: torch.nn.Module, x: torch.Tensor, *more) -> tuple[torch.Tensor, torch.Tensor]:
    """Return queries and keys, (N, H, d) each."""
    if isinstance(layer, Block):
        query, key, _ = layer.qkv(layer.norms[0](x)).unflatten(-1, (3, layer.n_heads, -1)).unbind(1)
        return more[0](query), more[0](key)
    if more:
        raise ValueError("global tokens have projections of their own, which are not looked at here")
    return tuple(projection(x).unflatten(-1, (layer.n_heads, -1)) for projection in (layer.query, layer.key))


def _near(order: Order, reach: int | None, *, device: torch.device) -> torch.Tensor:
    """Return which rows see each other, (N, N) bool: those of one sequence at most `reach` apart, None for any."""
    lengths = [length for n, length in order.runs for _ in range(n)]
    owner = torch.repeat_interleave(torch.tensor(lengths)).to(device)
    place = torch.arange(len(owner), device=device)
    near = owner[:, None] == owner
    return near if reach is None else near & ((place[:, None] - place).abs() <= reach)
