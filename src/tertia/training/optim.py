"""The optimisers, the learning rate at each step, and the running average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch

from tertia.training.muon import Muon
from tertia.training.settings import TrainingRecipe


def make_optimisers(network: torch.nn.Module, settings: TrainingRecipe) -> list[torch.optim.Optimizer]:
    """Return AdamW for all parameters, or Muon for the matrices and kernels of `network.blocks` and AdamW for the rest.

    The first and the last layer stay with AdamW: their rows and columns stand for different things (Jordan et al.).
    Vectors (offsets, gains) do not decay.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    inner = {id(p) for p in network.blocks.parameters() if p.ndim >= 2} if settings.optimiser == "muon" else set()
    matrices = [p for p in parameters if p.ndim >= 2]
    groups = [
        {"params": [p for p in matrices if id(p) not in inner], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rates = {"lr": settings.learning_rate, "betas": settings.betas, "eps": settings.epsilon}
    optimisers = [torch.optim.AdamW(groups, **rates, fused=True)]
    if inner:
        taken = [p for p in matrices if id(p) in inner]
        optimisers.append(Muon(taken, lr=settings.matrix_learning_rate, weight_decay=settings.weight_decay))
    for group in (group for optimiser in optimisers for group in optimiser.param_groups):
        group["initial_lr"] = group["lr"]
    return optimisers


def learning_rate(step: int, steps: int, settings: TrainingRecipe) -> float:
    """Return the learning rate of AdamW at one step (0 .. steps-1): a line up; then none, a line or a cosine down."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    after = (step - settings.warmup_steps) / max(steps - settings.warmup_steps, 1)
    after = min(after, 1.0)
    weight = 1.0 - after if settings.schedule == "linear" else 0.5 + 0.5 * math.cos(math.pi * after)
    return settings.final_learning_rate + weight * (settings.learning_rate - settings.final_learning_rate)


def set_learning_rate(optimisers: Sequence[torch.optim.Optimizer], rate: float, settings: TrainingRecipe) -> None:
    """Give AdamW this learning rate, and Muon the same fraction of its own."""
    for group in (group for optimiser in optimisers for group in optimiser.param_groups):
        group["lr"] = group["initial_lr"] * (rate / settings.learning_rate)


def copy_of(network: torch.nn.Module) -> torch.nn.Module:
    """Return a copy that is never trained itself: the running average."""
    return copy.deepcopy(network).requires_grad_(False).eval()


@torch.no_grad()
def update_average(average: torch.nn.Module, network: torch.nn.Module, *, step: int, decay: float) -> None:
    """Move the average towards the weights after `step` steps; it follows faster in the beginning.

    Buffers (running statistics) are averages already and are copied.
    """
    pace = 1.0 - min(decay, (1.0 + step) / (10.0 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), pace)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)
