"""Our network for interaction sites."""

from __future__ import annotations

import math

import numpy as np
import torch

from tertia.nn.residue_graph import extend, join, residue_graph
from tertia.tasks.interface.network import InterfaceNetwork, site_loss
from tests.structures import make_chain


def graph_of(length: int, seed: int, extra: int = 3):
    chain = make_chain(length, seed=seed, missing=(2,))
    values = np.random.default_rng(seed).standard_normal((length, extra))
    return extend(residue_graph(chain.sequence, chain.alpha), residue=values)


def network(**changes) -> InterfaceNetwork:
    torch.manual_seed(0)
    return InterfaceNetwork(**({"n_residue": 3, "width": 16, "n_rounds": 2, "dropout": 0.0} | changes))


def test_proteins_side_by_side_do_not_talk() -> None:
    graphs = [graph_of(20, 1), graph_of(31, 2)]
    net = network().eval()
    alone = torch.cat([net(graph) for graph in graphs])
    assert torch.allclose(net(join(graphs)), alone, atol=1e-5)


def test_a_residue_hears_its_neighbours_and_nobody_far_away() -> None:
    alpha = np.arange(60)[:, None] * np.array([[30.0, 0, 0]])  # only residues up to 5 apart are joined
    values = np.zeros((60, 3))
    changed = values.copy()
    changed[30] = 500.0
    net = network().eval()
    one, two = (net(extend(residue_graph("A" * 60, alpha), residue=v)) for v in (values, changed))
    moved = one != two
    assert moved[20:41].all()  # two rounds of five
    assert not moved[:20].any()
    assert not moved[41:].any()


def test_unknown_labels_do_not_count() -> None:
    logit, true = torch.tensor([0.0, 9.0]), torch.tensor([1.0, float("nan")])
    assert math.isclose(site_loss(logit, true).item(), math.log(2.0), rel_tol=1e-6)


def test_it_learns_which_residues_have_a_certain_neighbour() -> None:
    net = network()
    batch = join([graph_of(30, seed) for seed in range(4)])
    near = torch.zeros(len(batch.letter)).index_add(0, batch.sink, (batch.values[batch.source, -1] > 1.5).float()) > 0
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(80):
        loss = site_loss(net(batch), near.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.15
