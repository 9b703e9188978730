"""`Encoded`: what every encoder returns, whatever its family."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Encoded:
    """A padded batch of encoded chains; one row a residue, in input order."""

    residue: torch.Tensor  # (B, L, D)
    chain: torch.Tensor  # (B, L) int64 chain map: 0 padding, k = k-th chain
    protein: torch.Tensor  # (B, D) masked mean over the residues that were seen
    pair: torch.Tensor | None = None  # (B, L, L, C)


def per_chain(encoded: Encoded, n_chains: int = 2) -> torch.Tensor:
    """Return (B, n_chains, D), the mean of the residue rows of each chain of a line; 0 for a chain that is not there.

    `protein` is scaled by the spread of proteins, these rows by that of residues.
    """
    number = torch.arange(1, n_chains + 1, device=encoded.chain.device)
    member = (encoded.chain[..., None] == number).to(encoded.residue.dtype)  # (B, L, C)
    return member.mT @ encoded.residue / member.sum(1).clamp_min(1.0)[..., None]
