"""The state of a run between two steps, written and restored bit for bit: one file, so it is whole or not there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as tensor_bytes

from tertia.errors import CheckpointError
from tertia.models.family import Family
from tertia.training import checkpoint
from tertia.training.optim import copy_of, make_optimisers
from tertia.training.settings import TrainingRecipe
from tertia.training.tally import Tally

STATE = Path("last") / "state.safetensors"


class TrainingState:
    """All that changes during training."""

    def __init__(self, family: Family, settings: TrainingRecipe, device: torch.device, names: tuple[str, ...]) -> None:
        torch.manual_seed(settings.seed)
        self.family = family
        self.network = family.network().to(device)
        self.average = copy_of(self.network) if settings.ema_decay else None
        self.optimisers = make_optimisers(self.network, settings)
        self.tally = Tally(names, device)
        self.step = 0
        self.best: float | None = None

    @property
    def shown(self) -> torch.nn.Module:
        """The weights that are validated and saved for use: the average where there is one."""
        return self.network if self.average is None else self.average

    def begin_from(self, model: str) -> None:
        """Take over the weights of a checkpoint; raises CheckpointError when they do not fit."""
        begun = checkpoint.load(model)
        weights = begun.network.state_dict()
        if checkpoint.files_of(begun.family) != checkpoint.files_of(self.family):
            named = ", ".join({**checkpoint.files_of(begun.family), **checkpoint.files_of(self.family)})
            raise CheckpointError(model, found=f"has another {named}", hint="its weights mean something else then")
        if hasattr(self.network, "begin_from"):
            weights = self.network.begin_from(weights)
        for network in (self.network, self.average):
            if network is not None:
                checkpoint.fill(network, weights, where=model)

    def write(self, folder: Path, meta: Mapping[str, Any]) -> None:
        """Write the state atomically; `meta` is kept beside it."""
        path = folder / STATE
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {"step": self.step, "best": self.best, **meta}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self._tensors()}
        # A single entry: the library writes several in random order.
        checkpoint.write_bytes(path, tensor_bytes(tensors, metadata={"state": json.dumps(values, sort_keys=True)}))

    @torch.no_grad()
    def restore(self, folder: Path) -> None:
        """Put a written state back, in place; raises CheckpointError when it does not fit."""
        path = folder / STATE
        meta = read_meta(folder)
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        with _opened(path) as file:
            self._make_moments()
            own = dict(self._tensors())
            if set(own) != set(file.keys()):
                raise CheckpointError(str(path), found="belongs to another network or optimiser", hint=_HINT)
            for name, tensor in own.items():
                kept = file.get_tensor(name)
                if kept.shape != tensor.shape or kept.dtype != tensor.dtype:
                    raise CheckpointError(str(path), name, found="has another shape or type", hint=_HINT)
                tensor.copy_(kept)
        self.step, self.best = meta["step"], meta["best"]

    def _make_moments(self) -> None:
        """Let the optimisers make their moments, by a step of length zero."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = 0.0  # the loop sets it before every step
            optimiser.step()
        self.network.zero_grad()

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from ((f"network.{name}", tensor) for name, tensor in self.network.state_dict().items())
        if self.average is not None:
            yield from ((f"average.{name}", tensor) for name, tensor in self.average.state_dict().items())
        for name, parameter in self.network.named_parameters():
            for optimiser in self.optimisers:
                for key, tensor in optimiser.state.get(parameter, {}).items():
                    yield f"optimiser.{name}.{key}", tensor
        yield from ((f"tally.{name}", tensor) for name, tensor in self.tally.tensors().items())


_HINT = "train into another folder, or delete this one"


def read_meta(folder: Path) -> dict[str, Any] | None:
    """Return what was kept beside the state of a run, None where there is no state."""
    path = folder / STATE
    if not path.is_file():
        return None
    with _opened(path) as file:
        try:
            return json.loads((file.metadata() or {})["state"])
        except (KeyError, ValueError):
            raise CheckpointError(str(path), found="is not the state of a training run", hint=_HINT) from None


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(str(path), found=f"is damaged ({error})", hint=_HINT) from None
