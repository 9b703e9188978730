"""DeepPPISP (Zeng et al. 2020): a window around the residue and convolutions over the whole protein, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn as nn
import torch.nn.functional as F

LONGEST = 500
"""Residues that the published network sees of a protein; the rest of a longer one is cut off there, and only there."""
REACH = 3
"""Residues on each side of the window."""
N_LETTERS = 20
HEIGHTS = (13, 15, 17)
N_FILTERS = 228
"""Channels of each convolution: two thirds of the 343 values of a window (their ratio of global to local, 2 : 1)."""


@dataclass(frozen=True)
class Residues:
    """A padded batch of whole proteins."""

    letters: torch.Tensor  # (B, L, 20) float32 one-hot amino acid, 0 where padded
    profile: torch.Tensor  # (B, L, F) float32, the other features (secondary structure, PSSM, ...)
    embedding: torch.Tensor  # (B, L, D) float32, D = 0 for none
    protein: torch.Tensor  # (B, D) float32, embedding of the whole protein
    chain: torch.Tensor  # (B, L) int64 chain map, 0 = padding


class DeepPppisp(nn.Module):
    """The published network, or its per-residue variant.

    Hyper-parameters
    ----------------
    n_profile: F. n_embedding: D.
    faithful: send the sequence through one Linear of 10,000 to 10,000 values as the authors do (10^8 weights);
        otherwise a Linear of 20 to 20 at every residue, for proteins of any length.
    """

    def __init__(self, n_profile: int, *, n_embedding: int = 0, faithful: bool = False) -> None:
        super().__init__()
        n_values = N_LETTERS + n_profile
        self.faithful = faithful
        size = N_LETTERS * LONGEST if faithful else N_LETTERS
        self.sequence = nn.Linear(size, size)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(1, N_FILTERS, (height, n_values), padding=(height // 2, 0)) for height in HEIGHTS
        )
        self.slope = nn.PReLU()
        window = (2 * REACH + 1) * (n_values + n_embedding)
        sizes = (len(HEIGHTS) * N_FILTERS + n_embedding + window, 1024, 256, 1)
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module is not self.sequence:
                nn.init.xavier_normal_(module.weight)

    def forward(self, residues: Residues) -> torch.Tensor:
        """Return the logit of each residue, (B, L)."""
        local = windows(torch.cat([residues.letters, residues.profile, residues.embedding], dim=-1))
        whole = torch.cat([self.pooled(residues), residues.protein], dim=-1)
        first, *others = self.dense
        of_whole, of_local = first.weight.split([whole.shape[-1], local.shape[-1]], dim=1)
        # The protein's part of the first layer is computed once, not once a residue.
        x = F.relu(F.linear(whole, of_whole, first.bias)[:, None] + F.linear(local, of_local))
        for layer in others[:-1]:
            x = F.relu(layer(x))
        return self.dense[-1](x)[..., 0]

    def pooled(self, residues: Residues) -> torch.Tensor:
        """Return what the convolutions find anywhere in the protein, (B, 684)."""
        image, real = self.image(residues), (residues.chain > 0)[:, None, :]
        found = []
        for k, convolution in enumerate(self.convolutions):
            # A kernel as wide as the image slides along one axis only: the same as in one dimension, which is faster.
            kernel = convolution.weight[:, 0].transpose(1, 2)  # (filters, 20 + F, height)
            mapped = F.conv1d(image.transpose(1, 2), kernel, convolution.bias, padding=kernel.shape[-1] // 2)
            mapped = self.slope(mapped) if k == 0 else F.relu(mapped)
            # Padding is part of the published image; without it a protein does not depend on its batch.
            found.append((mapped if self.faithful else mapped.masked_fill(~real, -torch.inf)).amax(-1))
        return torch.cat(found, dim=-1)

    def image(self, residues: Residues) -> torch.Tensor:
        """Return what the convolutions see, (B, L, 20 + F); of the published network always 500 residues."""
        if not self.faithful:
            letters = F.relu(self.sequence(residues.letters)) * (residues.chain > 0)[..., None]
            return torch.cat([letters, residues.profile], dim=-1)
        batch, length, _ = residues.letters.shape
        # A negative width cuts off: of a longer protein the published image holds the beginning only.
        letters, profile = (F.pad(x, (0, 0, 0, LONGEST - length)) for x in (residues.letters, residues.profile))
        letters = F.relu(self.sequence(letters.flatten(1))).view(batch, LONGEST, N_LETTERS)
        return torch.cat([letters, profile], dim=-1)


def windows(values: torch.Tensor, reach: int = REACH) -> torch.Tensor:
    """Return (B, L, (2 reach + 1) F): each residue beside its neighbours in sequence, zero outside of the protein."""
    padded = F.pad(values, (0, 0, reach, reach))
    return torch.cat([padded[:, k : k + values.shape[1]] for k in range(2 * reach + 1)], dim=-1)


def side_by_side(proteins: Sequence[Residues]) -> Residues:
    """Pad single proteins, without batch axis, to one length and stack them."""
    length = max(len(protein.chain) for protein in proteins)

    def padded(name: str) -> torch.Tensor:
        rows = [getattr(protein, name) for protein in proteins]
        return torch.stack([F.pad(row, (0, 0) * (row.ndim - 1) + (0, length - len(row))) for row in rows])

    columns = {name: padded(name) for name in ("letters", "profile", "embedding", "chain")}
    return Residues(protein=torch.stack([protein.protein for protein in proteins]), **columns)
