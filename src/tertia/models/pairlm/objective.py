"""The score of a masked language model: cross entropy of the letters that were chosen."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tertia.models.family import Loss

COMPOSITION_ENTROPY = 2.876
"""Nats a residue: entropy of the composition of 12.6 million residues of 61 proteomes of microbes (archaea, bacteria,
small eukaryotes), and so the loss of a model that knows the composition only."""


def score(logits: torch.Tensor, letter: torch.Tensor) -> Loss:
    """Return the loss in units of the entropy of the composition; perplexity is exp(2.876 loss).

    Parameters
    ----------
    logits: (N, 20), a row for each chosen letter, in the order of the batch.
    letter: (B, L) the true letters, 0 where none was chosen.
    """
    chosen = letter > 0
    nats = F.cross_entropy(logits.float(), letter[chosen].long() - 1, reduction="none") / COMPOSITION_ENTROPY
    row = torch.nonzero(chosen)[:, 0]
    n_chosen = chosen.sum(1)
    total = nats.new_zeros(len(letter)).index_add_(0, row, nats)
    return Loss(
        value=total.sum() / n_chosen.sum().clamp_min(1),
        per_example=(total / n_chosen.clamp_min(1)).detach(),
        group=torch.zeros_like(n_chosen),
    )
