"""Streaming gives the numbers of the dense map, whatever the strips, gaps, batches and precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.naive_embedding import naive_residue
from tertia.models.distmap import encoder as encoder_module
from tertia.models.distmap import stream
from tertia.models.distmap.encode import pool
from tertia.models.distmap.stream import residue_features, rows_of_strip
from tests.distmap_networks import FAMILIES, batch, dilations, network_of
from tests.structures import make_chain

TOLERANCE = 1e-5  # relative, float32


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def family(mode):
    return FAMILIES[mode]


@pytest.fixture(scope="module")
def network(family):
    return network_of(family)


def difference(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).norm() / two.norm())


def dense(network, inputs):
    with torch.no_grad():
        return pool(inputs, network.maps(inputs))


def test_activations_are_of_unit_size(network, family) -> None:
    """Otherwise the comparisons below would prove little."""
    with torch.no_grad():
        maps = network.maps(batch(family, make_chain(60, seed=1)))
    assert 0.2 < float(maps.std()) < 20


@pytest.mark.parametrize("missing", [(), (0, 3, 4, 29), tuple(range(5, 25))])
@pytest.mark.parametrize("n_rows", [1, 4, 7, 30, 64, None])
def test_strips_equal_the_dense_map(network, family, missing, n_rows: int | None) -> None:
    inputs = batch(family, make_chain(59, seed=2, missing=missing))
    expected = dense(network, inputs)[1]
    found = residue_features(inputs, network.fold(family.embed_level), n_rows=n_rows)
    assert difference(found, expected) < TOLERANCE
    assert not found[0, list(missing)].any()


@settings(max_examples=12, deadline=None)
@given(length=st.integers(1, 90), n_rows=st.integers(1, 90), gap=st.integers(0, 90), level=st.integers(0, 31))
@pytest.mark.parametrize("mode", sorted(FAMILIES))
def test_any_length_strip_gap_and_level(mode: str, length: int, n_rows: int, gap: int, level: int) -> None:
    family = FAMILIES[mode]
    network = network_of(family, seed=1)
    missing = {gap, gap + 1} - {0} if gap < length else ()
    inputs = batch(family, make_chain(length, seed=length, missing=missing), level=level)
    expected = dense(network, inputs)[1]
    assert difference(residue_features(inputs, network.fold(level), n_rows=n_rows), expected) < TOLERANCE


def test_the_whole_depth_of_both_networks() -> None:
    for options in ({}, {"mode": "paper", "bottleneck": 16, "n_blocks": 32, "dilations": (1, 3, 5, 9)}):
        family = type(FAMILIES["paper"])(**options)
        network = network_of(family)
        inputs = batch(family, make_chain(100, seed=3, missing=(50,)))
        found = residue_features(inputs, network.fold(family.embed_level), n_rows=15)
        assert difference(found, dense(network, inputs)[1]) < TOLERANCE


def test_a_second_implementation_agrees(network, family, mode: str) -> None:
    inputs = batch(family, make_chain(70, seed=4, missing=(0, 1, 40)))
    with torch.no_grad():
        naive = naive_residue(network, dilations(family), inputs, paper=mode == "paper")
    found = residue_features(inputs, network.fold(family.embed_level), n_rows=12)[0]
    assert difference(found, naive) < TOLERANCE


def test_rows_come_in_order_and_are_those_of_the_map(network, family) -> None:
    inputs = batch(family, make_chain(41, seed=5, missing=(7,)))
    rows: list[torch.Tensor] = []

    def keep(start: int, maps: torch.Tensor) -> None:
        assert start == sum(block.shape[1] for block in rows)
        rows.append(maps.clone())

    residue_features(inputs, network.fold(family.embed_level), n_rows=6, on_rows=keep)
    with torch.no_grad():
        assert difference(torch.cat(rows, 1), network.maps(inputs)) < TOLERANCE


def test_companions_change_nothing(network, family) -> None:
    chains = [make_chain(12, seed=6), make_chain(30, seed=7, missing=(2,)), make_chain(23, seed=8)]
    folded = network.fold(family.embed_level)
    together = residue_features(batch(family, *chains), folded)
    for row, chain in enumerate(chains):
        alone = residue_features(batch(family, chain), folded)[0]
        assert difference(together[row, : len(chain)], alone) < TOLERANCE
        assert not together[row, len(chain) :].any()


def test_several_levels_stand_side_by_side(network, family) -> None:
    chain = make_chain(33, seed=9, missing=(3,))
    found = network.encoder([4, 20]).encode(batch(family, chain))
    with torch.no_grad():
        expected = [network.encode(batch(family, chain, level=level)) for level in (4, 20)]
    assert difference(found.residue, torch.cat([one.residue for one in expected], -1)) < TOLERANCE
    assert difference(found.protein, torch.cat([one.protein for one in expected], -1)) < TOLERANCE


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_pair_level_is_that_of_the_dense_map(network, family, in_memory, monkeypatch, tmp_path) -> None:
    if not in_memory:
        monkeypatch.setattr(encoder_module, "IN_MEMORY", 100_000)  # blocks of a few rows, from a file
    inputs = batch(family, make_chain(37, seed=10, missing=(0, 20)))
    _, pairs = network.encoder([family.embed_level]).encode_pairs(inputs, folder=tmp_path)
    blocks = list(pairs.rows())
    pairs.close()
    assert (len(blocks) == 1) is in_memory
    with torch.no_grad():
        expected = network.encode(inputs, pair=True).pair[0].numpy()
    found = np.concatenate(blocks)
    assert np.linalg.norm(found - expected) < TOLERANCE * np.linalg.norm(expected)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_rows", [5, 37])
@pytest.mark.parametrize("missing", [(), (0, 20)])
def test_edges_are_entries_of_the_pair_level(network, family, n_rows: int, missing, monkeypatch) -> None:
    monkeypatch.setattr(stream, "rows_of_strip", lambda length, folded: n_rows)
    inputs = batch(family, make_chain(37, seed=10, missing=missing))
    source, sink = np.random.default_rng(0).integers(0, 37, (2, 500))  # some of them twice, some (i, i)
    encoder = network.encoder([4, 20])
    whole, pairs = encoder.encode_pairs(inputs)
    encoded, edge = encoder.encode_edges(inputs, source, sink)
    assert np.array_equal(edge, np.concatenate(list(pairs.rows()))[source, sink])
    assert edge.any()
    assert torch.equal(encoded.residue, whole.residue)
    assert torch.equal(encoded.protein, whole.protein)
    assert encoder.encode_edges(inputs, source[:0], sink[:0])[1].shape == (0, encoder.width)


@pytest.mark.parametrize(("precision", "cosine"), [("bf16", 0.9999), ("fp16", 0.99999)])
def test_narrow_convolutions_are_near(network, family, precision: str, cosine: float) -> None:
    chain = make_chain(60, seed=11)
    found, exact = (
        network.encoder([family.embed_level], precision=name).encode(batch(family, chain)).residue[0]
        for name in (precision, "fp32")
    )
    assert not torch.equal(found, exact)
    assert float(torch.nn.functional.cosine_similarity(found, exact, dim=-1).min()) > cosine


def test_the_same_bytes_twice(network, family) -> None:
    inputs = batch(family, make_chain(64, seed=12))
    folded = network.fold(family.embed_level)
    assert torch.equal(*(residue_features(inputs, folded, n_rows=9) for _ in range(2)))


def test_memory_is_linear_in_length(network, family) -> None:
    """Buffers held between strips grow by the delay of all blocks times L; a map would grow by L^2."""
    encoder = network.encoder([family.embed_level])
    assert encoder.memory(4000) < 4.5 * encoder.memory(1000)


def test_strips_are_whole_cycles_of_dilations(network, family, monkeypatch) -> None:
    folded = network.fold(family.embed_level)
    cycle = sum(set(dilations(family)))
    monkeypatch.setattr(stream, "STRIP_PAIRS", 8192)
    assert rows_of_strip(60, folded) == 60
    assert rows_of_strip(200, folded) % cycle == 0
    assert rows_of_strip(5000, folded) == 4
