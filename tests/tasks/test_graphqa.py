"""The graph of a model and the network over it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tertia.nn.message_passing import mean_by
from tertia.nn.residue_graph import CUTOFF, MOST_NEIGHBOURS, REACH, SEPARATIONS, extend, join, residue_graph
from tertia.tasks.quality.graphqa import GraphQa, squared_error
from tests.structures import make_chain


def graph_of(length: int = 30, seed: int = 0, missing: tuple[int, ...] = ()):
    chain = make_chain(length, seed=seed, missing=missing)
    return residue_graph(chain.sequence, chain.alpha)


def network(**changes) -> GraphQa:
    torch.manual_seed(0)
    small = {"node": 8, "edge": 8, "widths": ((8, 8, 8), (8, 8, 8)), "n_radial": 4, "dropout": 0.0}
    return GraphQa(**(small | changes)).eval()


def test_edges_are_near_in_space_or_in_sequence() -> None:
    chain = make_chain(40, seed=3, missing=(7, 8))
    graph = residue_graph(chain.sequence, chain.alpha)
    found = set(zip(graph.source.tolist(), graph.sink.tolist(), strict=True))
    assert len(found) == len(graph.source)
    for i in range(40):
        for j in range(40):
            near = np.linalg.norm(chain.alpha[i].astype(float) - chain.alpha[j]) < CUTOFF  # False where missing
            assert ((i, j) in found) == (i != j and bool(near or abs(i - j) <= REACH))


def test_a_far_flung_chain_has_the_sequential_edges_alone() -> None:
    """H (2 N - H - 1) edges for H = 5."""
    alpha = np.arange(50)[:, None] * np.array([[100.0, 0, 0]])
    graph = residue_graph("A" * 50, alpha)
    assert len(graph.source) == REACH * (2 * 50 - REACH - 1)


def test_in_a_crowd_the_nearest_are_kept() -> None:
    """Against a plain loop: 170 points in a ball so small that many have more neighbours than are kept."""
    points = np.random.default_rng(0).standard_normal((170, 3)) * 4.0
    points[[3, 90]] = np.nan
    graph = residue_graph("A" * 170, points)
    for i in range(170):
        order = np.argsort(distance := np.linalg.norm(points - points[i], axis=1))  # NaN comes last
        near = [j for j in order if distance[j] < CUTOFF and j != i]
        expected = {*near[:MOST_NEIGHBOURS], *(j for j in range(170) if 0 < abs(i - j) <= REACH)}
        assert set(graph.source[graph.sink == i].tolist()) == expected
    assert torch.bincount(graph.sink).max() > MOST_NEIGHBOURS  # with those that are near in sequence


def test_separation_classes() -> None:
    graph = graph_of(60)
    gap = (graph.source - graph.sink).abs()
    for value, kind in ((1, 0), (5, 4), (6, 5), (10, 5), (11, 6), (15, 6), (16, 7)):
        assert (graph.separation[gap == value] == kind).all()
    assert len(SEPARATIONS) + 1 == 8


def test_scores_do_not_move_with_the_model_but_know_its_hand() -> None:
    chain = make_chain(40, seed=1)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    moved = chain.alpha @ rotation.T + 30.0
    net = network()
    one, two, mirror = (
        net(residue_graph(chain.sequence, alpha)) for alpha in (chain.alpha, moved, chain.alpha * [1, 1, -1])
    )
    assert all(torch.allclose(a, b, atol=2e-6) for a, b in zip(one, two, strict=True))
    assert (one[0] - mirror[0]).abs().max() > 1e-5  # random weights hardly look


def test_models_side_by_side_do_not_talk() -> None:
    graphs = [graph_of(20, 1), graph_of(33, 2, missing=(4, 5)), graph_of(27, 3)]
    net = network()
    local, whole = net(join(graphs))
    single = [net(graph) for graph in graphs]
    assert torch.allclose(local, torch.cat([one for one, _ in single]), atol=1e-6)
    assert torch.allclose(whole, torch.cat([one for _, one in single]), atol=1e-6)


def test_embeddings_reach_residues_and_edges() -> None:
    length = 25
    rng = np.random.default_rng(0)
    plain = graph_of(length)
    residue, edge = rng.standard_normal((length, 3)), rng.standard_normal((len(plain.source), 2))
    residue[4] = np.nan
    rich = extend(plain, residue=residue, edge=edge)
    assert torch.equal(rich.values[:, -3:], torch.tensor(np.nan_to_num(residue), dtype=torch.float32))
    assert torch.equal(rich.geometry[:, -2:], torch.tensor(edge, dtype=torch.float32))
    local, whole = network(n_residue=3, n_pair=2)(rich)
    assert local.shape == (length, 2)
    assert whole.shape == (1, 5)


def test_the_published_widths() -> None:
    """Edge widths 224, 128, 32, 16; node widths 192, 128, 128, 64; model widths 0, 256, 64, 32."""
    net = GraphQa()
    assert [layer.from_node.in_features for layer in net.layers] == [192, 128, 128]
    assert [layer.from_edge.in_features for layer in net.layers] == [224, 128, 32]
    assert [layer.from_model.in_features for layer in net.layers[1:]] == [256, 64]
    assert net.layers[0].from_model is None
    assert [layer.from_edge.out_features for layer in net.layers] == [128, 32, 16]
    assert [layer.node[0].out_features for layer in net.layers] == [128, 128, 64]


def test_unknown_scores_do_not_count() -> None:
    predicted = torch.tensor([[0.5, 0.5], [0.1, 0.9]])
    true = torch.tensor([[0.0, float("nan")], [0.1, float("nan")]])
    assert squared_error(predicted, true).item() == pytest.approx(0.125)
    assert mean_by(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2]), 3).tolist() == [[2.0], [0.0], [5.0]]


def test_it_learns_what_the_coordinates_show() -> None:
    """Bent traces against straight ones, told after a few steps."""
    net = network().train()
    graphs = [graph_of(24, seed) for seed in range(6)]
    straight = np.arange(24)[:, None] * np.array([[3.8, 0, 0]]) + np.random.default_rng(0).normal(0, 0.1, (6, 24, 3))
    graphs += [residue_graph("A" * 24, alpha) for alpha in straight]
    true = torch.tensor([[0.9]] * 6 + [[0.1]] * 6)
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    batch = join(graphs)
    for _ in range(40):
        loss = squared_error(net(batch)[1][:, :1], true)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.02
