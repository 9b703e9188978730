"""The loop for tasks: learn from labelled examples, keep the weights that are best on validation examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tertia.errors import TrainingError


@dataclass(frozen=True)
class Supervision:
    """How to learn a task."""

    epochs: int = 30
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    clip_norm: float = 1.0  # longest gradient; 0 = no clipping
    warmup_share: float = 0.05  # of all epochs, before the rate falls along a cosine to a hundredth
    patience: int = 0  # epochs without a better validation score before it ends early; 0 = never

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        if self.epochs < 1:
            yield "epochs", f"is {self.epochs}", "1 or more"
        if not 0 < self.learning_rate < math.inf:
            yield "learning_rate", f"is {self.learning_rate}", "a number above 0"
        for key in ("weight_decay", "clip_norm", "patience"):
            if not 0 <= getattr(self, key) < math.inf:
                yield key, f"is {getattr(self, key)}", "0 or more"
        if not 0 <= self.warmup_share < 1:
            yield "warmup_share", f"is {self.warmup_share}", "0 up to, not including, 1"


@dataclass
class History:
    """What happened, epoch by epoch."""

    loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    best_epoch: int = -1

    @property
    def best_score(self) -> float:
        """The validation score of the weights that were kept."""
        return self.score[self.best_epoch]


def fit_supervised(
    network: torch.nn.Module, epoch: Callable[[np.random.Generator], Iterable[Any]],
    loss: Callable[[torch.nn.Module, Any], torch.Tensor], score: Callable[[torch.nn.Module], float], *,
    settings: Supervision, seed: int = 0, by_step: bool = False,
) -> History:  # fmt: skip
    """Train in place and leave the network, in evaluation mode, with the weights of the best epoch.

    Parameters
    ----------
    epoch: gives the batches of one epoch, drawn and shuffled with the generator.
    loss: of the network on one batch.
    score: on validation examples, without gradients; larger is better; NaN counts as the worst.
    by_step: let the learning rate change from step to step, for trainings of few epochs, not from epoch to epoch.

    Raises
    ------
    TrainingError: a loss is not finite, or an epoch has no batch.
    """
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    history, best, kept = History(), -math.inf, None
    for number in range(settings.epochs):
        batches = list(epoch(generator))
        ends = [number + (step + 1) / len(batches) if by_step else number + 1 for step in range(len(batches))]
        steps = [(batch, rate_of(end, settings)) for batch, end in zip(batches, ends, strict=True)]
        history.loss.append(_one_epoch(network.train(), optimiser, steps, loss, settings, number))
        with torch.no_grad():
            history.score.append(float(score(network.eval())))
        if kept is None or history.score[-1] > best:
            best = history.score[-1] if math.isfinite(history.score[-1]) else -math.inf
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            history.best_epoch = number
        if settings.patience and number - history.best_epoch >= settings.patience:
            break
    if kept is not None:
        network.load_state_dict(kept)
    network.eval()
    return history


def rate_of(end: float, settings: Supervision) -> float:
    """Return the learning rate that leads up to so many epochs: it rises linearly, then falls along a cosine to 1 %."""
    warmup = settings.warmup_share * settings.epochs
    if end < warmup:
        return settings.learning_rate * end / warmup
    progress = (end - warmup) / (settings.epochs - warmup)
    return settings.learning_rate * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0))))


def _one_epoch(
    network: torch.nn.Module, optimiser: torch.optim.Optimizer, steps: Iterable[tuple[Any, float]],
    loss: Callable[[torch.nn.Module, Any], torch.Tensor], settings: Supervision, number: int,
) -> float:  # fmt: skip
    """Return the mean loss over steps of a batch and a learning rate each."""
    total, n_batches = 0.0, 0
    for batch, rate in steps:
        for group in optimiser.param_groups:
            group["lr"] = rate
        value = loss(network, batch)
        if not torch.isfinite(value):
            raise TrainingError("task training", f"epoch {number + 1}", found=f"the loss is {value.item()}",
                                hint="lower the learning rate")  # fmt: skip
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm or math.inf)
        optimiser.step()
        total, n_batches = total + value.item(), n_batches + 1
    if not n_batches:
        raise TrainingError("task training", f"epoch {number + 1}", found="has no batch",
                            hint="there are too few examples to learn from")  # fmt: skip
    return total / n_batches
