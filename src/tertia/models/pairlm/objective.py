"""The score of a masked language model: cross entropy of the tokens that were chosen."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tertia.models.family import Loss
from tertia.models.pairlm.corrupt import Target

COMPOSITION_ENTROPY = 2.876
"""Nats a residue: entropy of the composition of 12.6 million residues of 61 proteomes of microbes (archaea, bacteria,
small eukaryotes), and so the loss of a model that knows the composition only."""


def score(logits: torch.Tensor, target: Target) -> Loss:
    """Return the mean cross entropy of a token, and of each example the nats a residue over COMPOSITION_ENTROPY.

    The latter can be compared between vocabularies; without merges, perplexity is exp(2.876 loss).

    Parameters
    ----------
    logits: (n, V), a row for each chosen token, in the order of the batch.
    target: (B, T) of what was chosen.
    """
    chosen = target.token > 0
    nats = F.cross_entropy(logits.float(), target.token[chosen].long() - 1, reduction="none")
    row = torch.nonzero(chosen)[:, 0]
    total = nats.new_zeros(len(chosen)).index_add_(0, row, nats)
    n_residues = target.n_residues.sum(1).clamp_min(1)
    return Loss(
        value=total.sum() / max(len(nats), 1),
        per_example=(total / n_residues / COMPOSITION_ENTROPY).detach(),
        group=torch.zeros_like(n_residues),
    )
