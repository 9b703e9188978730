"""Embeddings of chosen pairs are the rows of the whole pair level."""

from __future__ import annotations

import numpy as np

from tertia.embed import embed
from tertia.embedding.edges import embed_edges
from tertia.training import checkpoint
from tests.structures import make_chain


def test_edges_are_entries_of_the_pair_level() -> None:
    chain = make_chain(150, seed=4, missing=(10, 11))
    trained = checkpoint.load("distmap")
    (whole,) = embed(chain, levels=("protein", "residue", "pair"))
    source, sink = np.random.default_rng(0).integers(0, 150, (2, 700))
    encoder = trained.network.encoder([trained.family.embed_level])
    protein, residue, edge = embed_edges(trained.family, encoder, chain, source, sink)
    assert np.allclose(protein, whole.protein, atol=1e-5)
    assert np.allclose(residue, whole.residue, atol=1e-5)
    assert np.allclose(edge, whole.pair[source, sink], atol=5e-3, rtol=2e-3)  # the pair level is kept in half precision
    assert not edge[source == 10].any()


def test_without_edges_the_rest_is_there() -> None:
    trained = checkpoint.load("distmap")
    none = np.zeros(0, dtype=np.int64)
    encoder = trained.network.encoder([trained.family.embed_level])
    protein, residue, edge = embed_edges(trained.family, encoder, make_chain(20, seed=1), none, none)
    assert (protein.shape, residue.shape, edge.shape) == ((64,), (20, 64), (0, 64))
