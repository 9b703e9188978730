"""The loop for tasks keeps what validates best, is seeded, and stops when it should."""

from __future__ import annotations

import math

import pytest
import torch

from tertia.errors import TrainingError
from tertia.training.supervised import Supervision, fit_supervised, rate_of


def line(seed: int = 0, **changes):
    """Fit y = 2 x + 1 and return network and history."""
    torch.manual_seed(seed)
    network = torch.nn.Linear(1, 1)

    def epoch(generator):
        for _ in range(10):
            x = torch.tensor(generator.standard_normal((16, 1)), dtype=torch.float32)
            yield x, 2 * x + 1

    def loss(net, batch):
        return (net(batch[0]) - batch[1]).square().mean()

    def score(net):
        return -(net.weight - 2).abs().item()

    settings = Supervision(**({"epochs": 30, "learning_rate": 0.05} | changes))
    return network, fit_supervised(network, epoch, loss, score, settings=settings, seed=seed)


def test_it_learns_and_repeats() -> None:
    network, history = line()
    assert network.weight.item() == pytest.approx(2.0, abs=0.02)
    assert history.loss[-1] < 1e-3 < history.loss[0]
    again, _ = line()
    assert torch.equal(network.weight, again.weight)
    assert not network.training


def test_the_best_epoch_is_kept_and_patience_ends_the_run() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(1, 1)
    wanted = iter([0.1, math.nan, 0.7, 0.3, 0.2, 0.6, 0.9])
    weights = []

    def score(net):
        weights.append(net.weight.clone())
        return next(wanted)

    history = fit_supervised(
        network, lambda _: [torch.ones(4, 1)], lambda net, x: net(x).square().mean(), score,
        settings=Supervision(epochs=7, patience=3),
    )  # fmt: skip
    assert (history.best_epoch, history.best_score) == (2, 0.7)
    assert len(history.loss) == 6
    assert torch.equal(network.weight, weights[2])


def test_the_rate_rises_and_falls() -> None:
    settings = Supervision(epochs=100, warmup_share=0.1, learning_rate=1.0)
    rates = [rate_of(end, settings) for end in range(1, 101)]
    assert rates[:9] == pytest.approx([(k + 1) / 10 for k in range(9)])
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01)


def test_by_step_the_rate_falls_within_an_epoch(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr("tertia.training.supervised.rate_of", lambda end, _: asked.append(end) or 0.1)
    for by_step, expected in ((True, [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]), (False, [1] * 4 + [2] * 4)):
        asked.clear()
        fit_supervised(
            torch.nn.Linear(1, 1), lambda _: [torch.ones(2, 1)] * 4, lambda net, x: net(x).square().mean(),
            lambda _: 0.0, settings=Supervision(epochs=2), by_step=by_step,
        )  # fmt: skip
        assert asked == expected


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    network = torch.nn.Linear(1, 1)
    with pytest.raises(TrainingError, match=r"epoch 1.*nan"):
        fit_supervised(network, lambda _: [1], lambda net, _: net.weight.sum() * math.nan, lambda _: 0.0,
                       settings=Supervision())  # fmt: skip
