"""From the last stream to embeddings of residues and proteins, standardised per channel.

A residue has the row of the token that covers it. Where tokens cover several residues, channels behind it tell these
apart, so that nothing that is said of residues is limited by the tokens: which of the 20 letters it is (20 channels),
where it stands in its token, (offset + 1/2) / span, and 1 / span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.data.batch import collate
from tertia.models.pairlm.inputs import Inputs, inputs_of_chain
from tertia.nn.encoded import Encoded
from tertia.residues import LETTERS, N_INDICES
from tertia.structure.chain import Chain

KINDS = ("residue", "protein")
LONGEST_CALIBRATION = 1000
BATCH_RESIDUES = 4096
"""Residues of short chains that are encoded together; more hardly go faster."""

FIXED = 1 << 26
"""Bytes that the library itself takes for products of matrices."""

AT_ONCE = 16_384
"""Tokens whose windows are computed together, so that memory does not grow with a very long chain."""

N_PLACE = len(LETTERS) + 2
"""Channels that tell the residues of a token apart."""


class Standard(nn.Module):
    """Mean and standard deviation of every channel, for residues and proteins.

    Buffers: mean and std, (2, D) float32; 0 and 1 until `calibrate` has fitted them.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(KINDS), width))
        self.register_buffer("std", torch.ones(len(KINDS), width))

    def forward(self, kind: str, x: torch.Tensor) -> torch.Tensor:
        """Return x (..., D) z-scored by the statistics of one kind."""
        return (x - self.mean[KINDS.index(kind)]) / self.std[KINDS.index(kind)]


def encode(network: nn.Module, inputs: Inputs) -> Encoded:
    """Encode a padded batch of whole chains; rows of padding are zero.

    Of two chains in a line, `protein` is the mean over both; `tertia.nn.encoded.per_chain` tells them apart.
    """
    real = (inputs.chain > 0)[..., None]
    stream = spread(network, inputs)
    levels = {"residue": stream, "protein": _mean(stream, real)}
    levels = {kind: network.standard(kind, values) for kind, values in levels.items()}
    if network.channels > network.width:
        place = places(inputs)
        levels["residue"] = torch.cat([levels["residue"], place.to(stream.dtype)], dim=-1)
        levels["protein"] = torch.cat([levels["protein"], _mean(place, real).to(stream.dtype)], dim=-1)
    return Encoded(levels["residue"] * real, inputs.chain.long(), levels["protein"])


def _mean(rows: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Return (B, D) for rows (B, L, D), of which those that are real, (B, L, 1), count."""
    return (rows * real).sum(1) / real.sum(1).clamp_min(1)


def spread(network: nn.Module, inputs: Inputs) -> torch.Tensor:
    """Return (B, L, D), for each residue the last stream at its token; rows of padding are those of other tokens."""
    rows = network.rows(inputs)
    n_tokens = (inputs.token > 0).sum(1)
    first = n_tokens.cumsum(0) - n_tokens  # (B,) row of the first token of each line
    return rows[first[:, None] + inputs.token_of_residue]


def places(inputs: Inputs) -> torch.Tensor:
    """Return (B, L, 22) float32, what tells the residues of one token apart."""
    letter = F.one_hot(inputs.letter.long(), N_INDICES)[..., 1 : 1 + len(LETTERS)].float()
    span = inputs.span.clamp_min(1).float()
    return torch.cat([letter, ((inputs.offset + 0.5) / span)[..., None], (1.0 / span)[..., None]], dim=-1)


@torch.no_grad()
def calibrate(network: nn.Module, chains: Sequence[Chain]) -> None:
    """Fit `network.standard` on chains, of those that are not very long; every residue and every chain counts once."""
    training, device = network.training, network.standard.mean.device
    network.eval()
    moments = torch.zeros(len(KINDS), 3, network.width, dtype=torch.float64, device=device)
    for chain in [chain for chain in chains if len(chain) <= LONGEST_CALIBRATION] or chains:
        inputs = collate([inputs_of_chain(chain, network.tokenizer)])
        inputs = Inputs(**{column.name: getattr(inputs, column.name).to(device) for column in fields(inputs)})
        rows = spread(network, inputs)[0].double()
        for kind, values in enumerate((rows, rows.mean(0, keepdim=True))):
            moments[kind] += torch.stack([torch.full_like(rows[0], len(values)), values.sum(0), values.square().sum(0)])
    mean = moments[:, 1] / moments[:, 0].clamp_min(1.0)
    std = (moments[:, 2] / moments[:, 0].clamp_min(1.0) - mean.square()).clamp_min(0.0).sqrt()
    network.standard.mean.copy_(mean)
    network.standard.std.copy_(torch.where(std > 1e-6 * std.amax(-1, keepdim=True), std, 1.0))
    network.train(training)


def memory(network: nn.Module, n_residues: int) -> int:
    """Return how many bytes it takes at most to encode a chain, or the batch that a short one goes with.

    Counted in float32 as if every residue were a token: the stream with the widest layer of a block, keys and masks of
    the windows of attention, and the rows of residues.
    """
    n_tokens, width, inner = max(n_residues, BATCH_RESIDUES) + 2 * len(KINDS), network.width, network.body.inner
    reach = getattr(network.body, "window", 0) // 2
    layer = 4 * max(12 * width, 4 * width + 2 * inner)
    if 0 < reach < n_residues + 2:
        layer += round((1.0 + reach / n_residues) * (4 * 18 * width + 20 * reach))  # the last block may be padding
    at_once = min(2 * n_tokens, AT_ONCE + network.limit) if network.limit else n_tokens
    return FIXED + at_once * layer + 4 * n_tokens * (10 * width + 150)
