"""`TrainingRecipe`: everything about a training run that is not the model and not the data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainingRecipe:
    """The `[training]` section of a recipe. Exactly one of `steps` and `epochs` is positive."""

    seed: int = 0
    steps: int = 0
    epochs: float = 0.0  # alternative to steps: passes over the training chains (or clusters)
    batch: int = 32  # examples a step, over all processes together
    draws: int = 1  # consecutive examples from the same chain
    epoch_of: Literal["chains", "clusters"] = "chains"  # what an epoch visits once
    optimiser: Literal["adamw", "muon"] = "adamw"  # muon: for matrices and kernels of the blocks, AdamW for the rest
    learning_rate: float = 1e-3
    matrix_learning_rate: float = 0.02  # of Muon; it goes up and down with the other
    schedule: Literal["constant", "linear", "cosine"] = "cosine"  # after the warm-up
    warmup_steps: int = 0
    final_learning_rate: float = 0.0  # where line and cosine end
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8  # of AdamW
    weight_decay: float = 0.0  # on matrices and kernels, not on offsets and gains
    clip_norm: float = 1.0  # longest gradient; 0 = no clipping
    ema_decay: float = 0.999  # of the averaged weights, which are validated and saved; 0 = no average
    # machine
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0  # 0 = as torch chooses
    workers: int = 0  # processes that make examples; 0 = the training process itself
    cache_megabytes: int = 1024  # most memory for featurised chains, a process
    # what is written, and when
    log_every: int = 20
    validate_every: int = 500
    checkpoint_every: int = 500
    n_valid: int = 128  # chains of the validation split
    valid_draws: int = 4  # fixed examples from each of them
    max_minutes: float = 0.0  # stop after so long, ready to be continued; 0 = no limit
    start: str = ""  # checkpoint folder or shipped model whose weights to start from

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        for key in ("batch", "draws", "log_every", "validate_every", "checkpoint_every", "valid_draws"):
            if getattr(self, key) < 1:
                yield key, f"is {getattr(self, key)}", "1 or more"
        for key in ("seed", "steps", "epochs", "warmup_steps", "final_learning_rate", "weight_decay", "clip_norm",
                    "threads", "workers", "cache_megabytes", "n_valid", "max_minutes"):  # fmt: skip
            if not 0 <= getattr(self, key) < math.inf:
                yield key, f"is {getattr(self, key)}", "0 or more"
        for key in ("learning_rate", "matrix_learning_rate", "epsilon"):
            if not 0 < getattr(self, key) < math.inf:
                yield key, f"is {getattr(self, key)}", "a number above 0"
        if not 0 <= self.ema_decay < 1:
            yield "ema_decay", f"is {self.ema_decay}", "0 (no average) up to, not including, 1"
        if not all(0 <= beta < 1 for beta in self.betas):
            yield "betas", f"are {list(self.betas)}", "two numbers from 0 up to, not including, 1"
        if (self.steps > 0) == (self.epochs > 0):
            yield "steps", f"is {self.steps} and epochs is {self.epochs}", "one of them above 0, the other 0"
