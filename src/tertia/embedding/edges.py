"""Embeddings of chosen pairs of residues, taken from the rows of the pair level as they stream by."""

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
    if not hasattr(encoder, "encode_pairs"):
        encoded = encoder.encode(inputs)
        return encoded.protein[0].cpu().numpy(), encoded.residue[0].cpu().numpy(), None
    encoded, pairs = encoder.encode_pairs(inputs)
    edge = np.zeros((len(source), pairs.shape[-1]), np.float32)
    order = np.argsort(source, kind="stable")
    start = first = 0
    for rows in pairs.rows():  # top to bottom, some rows of the map at a time
        last = int(np.searchsorted(source[order], start + len(rows)))
        chosen = order[first:last]
        edge[chosen] = rows[source[chosen] - start, sink[chosen]]
        start, first = start + len(rows), last
    pairs.close()
    return encoded.protein[0].numpy(), encoded.residue[0].numpy(), edge
