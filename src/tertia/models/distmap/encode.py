"""From the embedding maps of whole chains to embeddings of pairs, residues and proteins: the dense reference.

The maps are symmetrised, averaged over the residues that were seen, and standardised per channel at their noise
level. Rows of residues without coordinates are zero at every level. `stream` gives the same numbers in linear memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn as nn

from tertia.data.batch import collate
from tertia.models.distmap.inputs import Inputs, inputs_of_chain, pair_mask
from tertia.nn.encoded import Encoded
from tertia.structure.chain import Chain

KINDS = ("pair", "residue", "protein")
N_CALIBRATION = 32
LONGEST_CALIBRATION = 200
CONSTANT = 0.01
"""A channel whose standard deviation is less than this share of its mean is taken for constant (a dead unit of SiLU
rests at -0.278 with a deviation of 1e-6)."""


class Standard(nn.Module):
    """Mean and standard deviation of every channel at each noise level, for pairs, residues and proteins.

    Buffers: mean and std, (K, 3, C) float32; 0 and 1 until `calibrate` has fitted them.
    """

    def __init__(self, n_levels: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_levels, len(KINDS), width))
        self.register_buffer("std", torch.ones(n_levels, len(KINDS), width))

    def forward(self, kind: str, x: torch.Tensor, level: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Return x (B, ..., C) z-scored by the statistics of one kind, 0 where not seen (B, ...).

        Channels that do not vary are centred only, so that their rounding errors do not become the largest signal.
        """
        mean, std = (table[level, KINDS.index(kind)] for table in (self.mean, self.std))  # (B, C)
        std = torch.where(std > CONSTANT * mean.abs(), std, 1.0)
        shape = (len(level), *(1,) * (x.ndim - 2), x.shape[-1])
        return (x - mean.view(shape)) / std.view(shape) * seen[..., None]


def pool(inputs: Inputs, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return pair (B, L, L, C), residue (B, L, C) and protein (B, C) from maps (B, L, L, C), not yet standardised.

    The pair level is (E_ij + E_ji) / 2, the others are its masked means.
    """
    pair = (maps + maps.transpose(1, 2)) / 2
    seen = inputs.seen[:, 0].to(maps.dtype)[..., None]  # (B, L, 1)
    n_seen = seen.sum(1).clamp_min(1.0)  # (B, 1)
    residue = (pair * seen[:, None]).sum(2) / n_seen[:, None] * seen
    return pair, residue, residue.sum(1) / n_seen


def encode(network: nn.Module, inputs: Inputs, *, pair: bool = False) -> Encoded:
    """Encode a padded batch of whole chains (both sides of the Inputs are the same) at the levels in `inputs.level`.

    Parameters
    ----------
    pair: keep the pair level, L x L x C values a chain.
    """
    raw = dict(zip(KINDS, pool(inputs, network.maps(inputs).float()), strict=True))
    seen = inputs.seen[:, 0]
    masks = {"pair": pair_mask(inputs), "residue": seen, "protein": seen.any(-1)}
    kinds = KINDS if pair else KINDS[1:]
    return Encoded(
        chain=inputs.chain[:, 0],
        **{kind: network.standard(kind, raw[kind], inputs.level, masks[kind]) for kind in kinds},
    )


@torch.no_grad()
def calibrate(network: nn.Module, chains: Sequence[Chain], levels: Sequence[int] | None = None) -> None:
    """Fit `network.standard` at the given noise levels (all of them by default), in place.

    Every seen pair, residue and chain counts once. The chains are thinned out evenly to at most `N_CALIBRATION` of
    those that are not much longer than most. A channel that does not vary keeps a standard deviation of 1.
    """
    training = network.training
    network.eval()
    chosen = list(range(len(network.sigmas)) if levels is None else levels)
    short = [chain for chain in chains if len(chain) <= LONGEST_CALIBRATION and chain.seen.any()] or chains
    thinned = short[:: -(-len(short) // N_CALIBRATION)]
    width, device = network.standard.mean.shape[-1], network.sigmas.device
    sums = torch.zeros(len(chosen), len(KINDS), 3, width, dtype=torch.float64)  # count, sum, sum of squares
    for chain in thinned:
        inputs = collate([inputs_of_chain(chain, 0)])
        inputs = replace(inputs, **{name: value.to(device) for name, value in vars(inputs).items()})
        for row, level in enumerate(chosen):
            sums[row] += _moments(network, replace(inputs, level=torch.full_like(inputs.level, level)))
    count = sums[:, :, 0].clamp_min(1.0)
    mean = sums[:, :, 1] / count
    std = (sums[:, :, 2] / count - mean.square()).clamp_min(0.0).sqrt()
    std = torch.where(std > 1e-6 * std.amax(-1, keepdim=True), std, 1.0)
    network.standard.mean[chosen] = mean.float().to(device)
    network.standard.std[chosen] = std.float().to(device)
    network.train(training)


def _moments(network: nn.Module, inputs: Inputs) -> torch.Tensor:
    """Return (3 kinds, 3, C): how many seen rows, their sum and the sum of their squares."""
    seen = inputs.seen[0, 0]
    masks = (pair_mask(inputs)[0], seen, seen.any())
    rows = [x[0][mask].double() for x, mask in zip(pool(inputs, network.maps(inputs).float()), masks, strict=True)]
    return torch.stack([
        torch.stack([torch.full_like(x.sum(0), len(x)), x.sum(0), x.square().sum(0)]) for x in rows
    ]).cpu()  # fmt: skip
