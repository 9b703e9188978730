"""Embeddings of one chain and of chosen pairs of its residues, by any family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tertia.data.batch import collate

if TYPE_CHECKING:
    from tertia.structure.chain import Chain


def embed_edges(
    family: Any, encoder: Any, chain: Chain, source: np.ndarray, sink: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Embed one chain and the pairs of residues (source, sink).

    Returns
    -------
    protein: (D,) float32.
    residue: (L, D) float32.
    edge: (E, C) float32; None for families without a pair level.
    """
    inputs = collate([family.featurise(chain)])
    if not hasattr(encoder, "encode_edges"):
        encoded = encoder.encode(inputs)
        return encoded.protein[0].cpu().numpy(), encoded.residue[0].cpu().numpy(), None
    encoded, edge = encoder.encode_edges(inputs, source, sink)
    return encoded.protein[0].numpy(), encoded.residue[0].numpy(), edge
