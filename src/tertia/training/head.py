"""A head: a folder with the trained network of a task, and what it needs to be used on any structure.

head.json          task and its options, models to embed with, calibration, SHA-256 of the weights, metrics
head.safetensors   the weights
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes

from tertia import __version__
from tertia.data.columns import write_json
from tertia.errors import CheckpointError
from tertia.tasks import TASKS
from tertia.tasks.task import Widths
from tertia.training.checkpoint import fill, write_bytes
from tertia.training.learning import Learnt

CARD, WEIGHTS = "head.json", "head.safetensors"
ENCODER = "encoder"
"""Folder inside a head with the model that learnt together with it; the head names it so."""
MODEL_HASHES = "models_sha256"
"""Field of head.json: the weights of `models` that the head was trained with; of others its scores mean nothing."""
FORMAT = {"format": "tertia-head", "version": 1}


@dataclass(frozen=True)
class Head:
    """A learnt task with the models whose embeddings it takes."""

    learnt: Learnt
    models: str  # "" = none; otherwise as `encoders.parse_models` takes it
    meta: Mapping[str, Any]  # head.json
    folder: Path


def save_head(folder: Path, learnt: Learnt, *, models: str, meta: Mapping[str, Any]) -> None:
    """Write a head; the same network gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = tensor_bytes({name: tensor.detach().contiguous() for name, tensor in learnt.network.state_dict().items()})
    write_bytes(folder / WEIGHTS, raw)
    card = FORMAT | {
        "tertia": __version__,
        "task": learnt.task.name,
        "options": asdict(learnt.task),
        "widths": asdict(learnt.widths),
        "models": models,
        "calibration": dict(learnt.calibration),
        "sha256": hashlib.sha256(raw).hexdigest(),
        **meta,
    }
    write_json(folder / CARD, card)


def head_folder(name: str | Path) -> Path:
    """Return the folder of a shipped head by the name of its task, or the folder itself."""
    shipped = Path(str(files("tertia"))) / "weights" / "heads" / str(name)
    if Path(name).is_dir() or not (shipped / CARD).is_file():
        return Path(name)
    return shipped


def load_head(name: str | Path) -> Head:
    """Load a shipped head by the name of its task, or a folder that `finetune` wrote.

    Raises
    ------
    CheckpointError: the folder is absent, incomplete, damaged, or not one of ours.
    """
    folder = head_folder(name)
    try:
        card, raw = json.loads((folder / CARD).read_text()), (folder / WEIGHTS).read_bytes()
    except OSError as error:
        found = f"{Path(error.filename).name} cannot be read ({error.strerror})"
        raise CheckpointError(str(folder), found=found, allowed="a folder that `tertia finetune` wrote") from None
    except ValueError as error:
        raise CheckpointError(str(folder), CARD, found=f"is no JSON ({error})") from None
    if not isinstance(card, dict) or any(card.get(key) != value for key, value in FORMAT.items()):
        raise CheckpointError(str(folder), CARD, found="is not of a head of this version", allowed=str(FORMAT))
    if hashlib.sha256(raw).hexdigest() != card.get("sha256"):
        raise CheckpointError(
            str(folder), WEIGHTS, found="does not have the SHA-256 in head.json", hint="it is damaged"
        )
    kind = TASKS.get(card.get("task"))
    if kind is None:
        found = f"is of the task {card.get('task')!r}"
        raise CheckpointError(str(folder), CARD, found=found, allowed=", ".join(TASKS))
    try:
        task, widths, tensors = kind(**card["options"]), Widths(**card["widths"]), read_tensors(raw)
        models, calibration = card["models"], card["calibration"]
        if wrong := [f"{key} {found}" for key, found, _ in task.problems()]:
            raise ValueError("; ".join(wrong))
    except (TypeError, KeyError, ValueError, SafetensorError) as error:
        found = f"does not fit this version ({type(error).__name__}: {error})"
        raise CheckpointError(str(folder), CARD, found=found, hint=f"written by tertia {card.get('tertia')}") from None
    network = task.network(widths).eval()
    fill(network, tensors, where=str(folder))
    models = str(folder / ENCODER) if models == ENCODER else models
    return Head(Learnt(task, network, widths, calibration), models, card, folder)
