"""Sum losses by group (for distmap the noise level) without waiting for the device; notice what is not finite."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tertia.errors import TrainingError
from tertia.models.family import Loss
from tertia.training.processes import Crew


class Tally:
    """Sums since the last `clear`: loss by group, number of examples by group, length of the gradient."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = tuple(names)
        self.sums = torch.zeros(len(names), dtype=torch.float64, device=device)
        self.counts = torch.zeros(len(names), dtype=torch.float64, device=device)
        self.norms = torch.zeros(2, dtype=torch.float64, device=device)  # sum, number of steps

    def add(self, loss: Loss, norm: torch.Tensor | None = None) -> None:
        """Add the examples of one batch and, in training, the length of its gradient."""
        values = loss.per_example.detach().double()
        self.sums.index_add_(0, loss.group, values)
        self.counts.index_add_(0, loss.group, torch.ones_like(values))
        if norm is not None:
            self.norms += torch.stack([norm.detach().double(), torch.ones_like(norm, dtype=torch.float64)])

    def clear(self) -> None:
        """Start again from zero."""
        for values in (self.sums, self.counts, self.norms):
            values.zero_()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the sums by name; they are views, so that they can be restored in place."""
        return {"sums": self.sums, "counts": self.counts, "norms": self.norms}

    def summary(self, crew: Crew) -> dict[str, object]:
        """Return mean loss, mean loss of every group that occurred, and mean gradient length, over all processes."""
        sums, counts = crew.sum(self.sums).tolist(), crew.sum(self.counts).tolist()
        norm, n_steps = self.norms.tolist()
        groups = {name: s / n for name, s, n in zip(self.names, sums, counts, strict=True) if n}
        found: dict[str, object] = {"loss": sum(sums) / max(sum(counts), 1.0), "groups": groups}
        return found | ({"gradient": norm / n_steps} if n_steps else {})

    def bad_groups(self, crew: Crew) -> list[str]:
        """Return the names of the groups whose summed loss is not finite."""
        finite = torch.isfinite(crew.sum(self.sums)).tolist()
        return [name for name, good in zip(self.names, finite, strict=True) if not good]


def check_finite(tally: Tally, crew: Crew, *, where: str, step: int, rate: float) -> None:
    """Raise TrainingError when a loss or a gradient since the last `clear` was not finite.

    The gradient is the same in all processes, so all of them stop at the same step.
    """
    if bool(torch.isfinite(tally.norms).all()) and bool(torch.isfinite(crew.sum(tally.sums)).all()):
        return
    groups = ", ".join(tally.bad_groups(crew)) or "none (only the gradient)"
    raise TrainingError(
        where, f"step {step}",
        found=f"the loss or its gradient is not finite (learning rate {rate:.3g}; groups with a bad loss: {groups})",
        allowed="finite numbers",
        hint="the last checkpoint is whole; try a lower training.learning_rate, more training.warmup_steps, "
             "training.clip_norm=1.0 or training.precision=fp32",
    )  # fmt: skip
