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
