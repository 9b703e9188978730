"""The optimiser, the learning rate at each step, and the running average of the weights."""

from __future__ import annotations

import copy
import math

import torch

from tertia.training.settings import TrainingRecipe


def make_optimiser(network: torch.nn.Module, settings: TrainingRecipe) -> torch.optim.Optimizer:
    """Return AdamW; matrices and kernels decay, vectors (offsets, gains) do not."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def learning_rate(step: int, steps: int, settings: TrainingRecipe) -> float:
    """Return the learning rate of one step (0 .. steps-1): linear warm-up, then constant or a cosine."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    after = (step - settings.warmup_steps) / max(steps - settings.warmup_steps, 1)
    weight = 0.5 + 0.5 * math.cos(math.pi * min(after, 1.0))
    return settings.final_learning_rate + weight * (settings.learning_rate - settings.final_learning_rate)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters one learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate


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
