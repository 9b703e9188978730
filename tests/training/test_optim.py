"""Learning rate, optimiser groups and the running average, each against an obvious second way."""

from __future__ import annotations

import math

import pytest
import torch

from tertia.training.optim import copy_of, learning_rate, make_optimisers, set_learning_rate, update_average
from tests.training.stores import small_family, small_settings


def test_the_learning_rate_warms_up_and_ends_where_it_should() -> None:
    settings = small_settings(warmup_steps=10, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate(step, 110, settings) for step in range(110)]
    assert rates[:10] == pytest.approx([0.1 * (k + 1) for k in range(10)])
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)  # half way down a cosine
    assert rates[109] == pytest.approx(0.1 + 0.9 * (0.5 + 0.5 * math.cos(math.pi * 0.99)))
    assert sorted(rates[10:], reverse=True) == rates[10:]


def test_a_constant_rate_stays() -> None:
    settings = small_settings(schedule="constant", learning_rate=0.3)
    assert {learning_rate(step, 5, settings) for step in range(5)} == {0.3}


def test_a_line_ends_where_it_should() -> None:
    settings = small_settings(schedule="linear", learning_rate=0.3, warmup_steps=2, final_learning_rate=0.1)
    rates = [learning_rate(step, 6, settings) for step in range(7)]
    assert rates == pytest.approx([0.15, 0.3, 0.3, 0.25, 0.2, 0.15, 0.1])


def test_without_weight_decay_it_is_adam() -> None:
    """Two steps by hand after Kingma and Ba (2015), algorithm 1."""
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    (optimiser,) = make_optimisers(network, small_settings(learning_rate=0.01, betas=(0.9, 0.99)))
    gradients = [torch.randn(2, 3), torch.randn(2, 3)]
    for gradient in gradients:
        network.weight.grad, network.bias.grad = gradient.clone(), torch.zeros(2)
        optimiser.step()
    expected, m, v = before["weight"], torch.zeros(2, 3), torch.zeros(2, 3)
    for t, gradient in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        expected = expected - 0.01 * (m / (1 - 0.9**t)) / ((v / (1 - 0.99**t)).sqrt() + 1e-8)
    assert torch.allclose(network.weight, expected, atol=1e-6)
    assert torch.equal(network.bias, before["bias"])


def test_only_matrices_decay() -> None:
    network = small_family().network()
    (optimiser,) = make_optimisers(network, small_settings(weight_decay=0.5))
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert {decay[id(p)] for p in network.parameters() if p.ndim >= 2} == {0.5}
    assert {decay[id(p)] for p in network.parameters() if p.ndim < 2} == {0.0}
    assert len(decay) == len(list(network.parameters()))


def test_muon_takes_what_is_inside_and_adamw_the_rest() -> None:
    network = small_family().network()
    adamw, muon = make_optimisers(network, small_settings(optimiser="muon", learning_rate=0.01))
    taken = [{id(p) for group in optimiser.param_groups for p in group["params"]} for optimiser in (adamw, muon)]
    inside = {id(p) for p in network.blocks.parameters() if p.ndim >= 2}
    assert taken[1] == inside
    assert taken[0] == {id(p) for p in network.parameters()} - inside


def test_both_learning_rates_go_down_together() -> None:
    settings = small_settings(optimiser="muon", learning_rate=0.01, matrix_learning_rate=0.04)
    optimisers = make_optimisers(small_family().network(), settings)
    set_learning_rate(optimisers, 0.0025, settings)
    rates = [{group["lr"] for group in optimiser.param_groups} for optimiser in optimisers]
    assert rates == [{0.0025}, {0.01}]


def test_the_average_follows_the_weights() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = copy_of(network)
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        average[0].weight.fill_(0.0)
        network[1].running_mean.fill_(7.0)
    expected = 0.0
    for step in range(1, 40):
        update_average(average, network, step=step, decay=0.8)
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * 1.0
    assert torch.allclose(average[0].weight, torch.full((2, 2), expected), atol=1e-5)
    assert torch.equal(average[1].running_mean, network[1].running_mean)
    assert not any(parameter.requires_grad for parameter in average.parameters())
