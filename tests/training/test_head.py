"""Heads on disk: what is loaded says the same, and what is damaged is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tertia.errors import CheckpointError
from tertia.tasks import TASKS
from tertia.tasks.interface.task import Interface
from tertia.tasks.quality.task import Quality
from tertia.training.head import CARD, ENCODER, WEIGHTS, load_head, save_head
from tertia.training.learning import Learnt, learn, make_items
from tertia.training.supervised import Supervision

TASKS_TO_KEEP = {
    "linear": Quality(network_kind="linear", batch=4),
    "graphqa": Quality(size="compact", local_weight=2.0, batch=4),
    "graph": Interface(width=8, n_rounds=1),
    "deepppisp": Interface(network_kind="deepppisp"),
    "sites": Interface(network_kind="linear", features="computed"),
}


def learnt_of(task, folder: Path) -> tuple[Learnt, list]:
    examples = task.read(folder)
    items = {split: make_items(task, examples[split]) for split in ("train", "valid")}
    return learn(task, examples, items, settings=Supervision(epochs=1)), items["valid"]


@pytest.mark.parametrize("name", TASKS_TO_KEEP)
def test_a_loaded_head_says_the_same(name: str, quality_data: Path, sites_data: Path, tmp_path: Path) -> None:
    task = TASKS_TO_KEEP[name]
    learnt, items = learnt_of(task, quality_data if task.name == "quality" else sites_data)
    for folder in (tmp_path / "one", tmp_path / "two"):
        save_head(folder, learnt, models="distmap", meta={"seed": 3})
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == (tmp_path / "two" / WEIGHTS).read_bytes()
    head = load_head(tmp_path / "one")
    assert (head.learnt.task, head.learnt.widths, head.models) == (task, learnt.widths, "distmap")
    assert head.learnt.calibration == learnt.calibration
    assert head.meta["seed"] == 3
    for one, two in zip(learnt.predict(items), head.learnt.predict(items), strict=True):
        assert np.array_equal(one.residue, two.residue)
        assert np.array_equal(one.protein, two.protein)


@pytest.fixture
def head(quality_data: Path, tmp_path: Path) -> Path:
    save_head(tmp_path / "head", learnt_of(TASKS_TO_KEEP["linear"], quality_data)[0], models="", meta={})
    return tmp_path / "head"


def test_a_model_inside_a_head_is_found_wherever_the_head_lies(head: Path, tmp_path: Path) -> None:
    change_card(head, lambda card: card.update(models=ENCODER))
    assert load_head(head.rename(tmp_path / "elsewhere")).models == str(tmp_path / "elsewhere" / ENCODER)


def change_card(folder: Path, change: Callable[[dict], object]) -> None:
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))


def change_weights(folder: Path, change: Callable[[dict], object]) -> None:
    """Change the weights and let head.json know."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    change_card(folder, lambda card: card.update(sha256=digest))


def flip(folder: Path) -> None:
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(raw))


DAMAGE = {
    "no card": (lambda folder: (folder / CARD).unlink(), "head.json cannot be read"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "head.safetensors cannot be read"),
    "a flipped bit": (flip, "SHA-256"),
    "cut weights": (lambda folder: (folder / WEIGHTS).write_bytes(b"12345"), "SHA-256"),
    "no JSON": (lambda folder: (folder / CARD).write_text("{"), "is no JSON"),
    "binary": (lambda folder: (folder / CARD).write_bytes(bytes(range(256))), "is no JSON"),
    "a list": (lambda folder: (folder / CARD).write_text("[]"), "not of a head"),
    "another version": (lambda folder: change_card(folder, lambda card: card.update(version=99)), "not of a head"),
    "an unknown task": (
        lambda folder: change_card(folder, lambda card: card.update(task="weather")), f"weather.*{', '.join(TASKS)}",
    ),
    "no task": (lambda folder: change_card(folder, lambda card: card.pop("task")), "of the task None"),
    "an unknown option": (
        lambda folder: change_card(folder, lambda card: card["options"].update(colour="red")), "colour",
    ),
    "a value of no sense": (
        lambda folder: change_card(folder, lambda card: card["options"].update(network_kind="huge")), "huge",
    ),
    "no options": (lambda folder: change_card(folder, lambda card: card.pop("options")), "options"),
    "no models": (lambda folder: change_card(folder, lambda card: card.pop("models")), "models"),
    "no calibration": (lambda folder: change_card(folder, lambda card: card.pop("calibration")), "calibration"),
    "other widths": (lambda folder: change_card(folder, lambda card: card["widths"].update(residue=9)), "misshapen"),
    "an unknown width": (lambda folder: change_card(folder, lambda card: card["widths"].update(length=9)), "length"),
    "a tensor less": (lambda folder: change_weights(folder, lambda one: one.popitem()), "lacks 1"),
    "not a number": (
        lambda folder: change_weights(folder, lambda one: one["residue.bias"].fill(np.nan)), "not finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_head_is_one_clear_error(kind: str, head: Path) -> None:
    damage, message = DAMAGE[kind]
    damage(head)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_head(head)
    assert str(head) in str(caught.value)


def test_a_name_that_is_no_head_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="tertia finetune"):
        load_head(tmp_path / "nowhere")
