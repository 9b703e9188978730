"""From the last stream to embeddings of residues and proteins, standardised per channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
import torch.nn as nn

from tertia.data.batch import collate
from tertia.models.pairlm.inputs import Inputs, inputs_of_chain
from tertia.nn.encoded import Encoded
from tertia.structure.chain import Chain

KINDS = ("residue", "protein")
LONGEST_CALIBRATION = 1000


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
    """Encode a padded batch of whole chains; rows of padding are zero."""
    rows, layout = network.rows(inputs)
    protein = layout.pad(rows).sum(1) / layout.real.sum(1).clamp_min(1)[:, None]
    return Encoded(
        residue=layout.pad(network.standard("residue", rows)),
        chain=inputs.chain.long(),
        protein=network.standard("protein", protein),
    )


@torch.no_grad()
def calibrate(network: nn.Module, chains: Sequence[Chain]) -> None:
    """Fit `network.standard` on chains, of those that are not very long; every residue and every chain counts once."""
    training, device = network.training, network.standard.mean.device
    network.eval()
    moments = torch.zeros(len(KINDS), 3, network.width, dtype=torch.float64, device=device)
    for chain in [chain for chain in chains if len(chain) <= LONGEST_CALIBRATION] or chains:
        inputs = collate([inputs_of_chain(chain)])
        inputs = Inputs(**{column.name: getattr(inputs, column.name).to(device) for column in fields(inputs)})
        rows = network.rows(inputs)[0].double()
        for kind, values in enumerate((rows, rows.mean(0, keepdim=True))):
            moments[kind] += torch.stack([torch.full_like(rows[0], len(values)), values.sum(0), values.square().sum(0)])
    mean = moments[:, 1] / moments[:, 0].clamp_min(1.0)
    std = (moments[:, 2] / moments[:, 0].clamp_min(1.0) - mean.square()).clamp_min(0.0).sqrt()
    network.standard.mean.copy_(mean)
    network.standard.std.copy_(torch.where(std > 1e-6 * std.amax(-1, keepdim=True), std, 1.0))
    network.train(training)
