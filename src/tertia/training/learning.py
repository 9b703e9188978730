"""Learn a task: a network over residue graphs, with or without embeddings, from labelled examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from tertia.data.example import Example
from tertia.errors import InputError
from tertia.nn.residue_graph import Graph
from tertia.tasks.task import Item, Prediction, Task, Vectors, Widths, batch_of, together
from tertia.training.supervised import History, Supervision, fit_supervised

PREDICTED_AT_A_TIME = 8
"""Examples of a batch when nothing is learnt; what a network says does not depend on it."""
VECTORS_AT_A_TIME = 4096
"""The same, where an example is no more than a vector."""


class LearningEncoder(Protocol):
    """A model that learns together with the network of a task, such as `embedding.live.LiveEncoder`."""

    network: torch.nn.Module

    def embedded(self, items: Sequence[Item], examples: Sequence[Example]) -> list[Item]:
        """Return the items of a training step with embeddings, with gradients."""

    def fixed(self, items: Sequence[Item], examples: Sequence[Example], at_a_time: int) -> Iterator[list[Item]]:
        """Yield all items, so many at a time, with embeddings by the weights as they are."""


@dataclass(frozen=True)
class Learnt:
    """A trained network of a task, and what belongs to it."""

    task: Task
    network: torch.nn.Module
    widths: Widths
    calibration: Mapping[str, float]
    history: History | None = None
    encoder: LearningEncoder | None = None  # that learnt too
    on_valid: tuple[Prediction, ...] = ()  # calibrated, of the validation examples that chose the epoch

    def predict(self, items: Sequence[Item], examples: Sequence[Example] = ()) -> list[Prediction]:
        """Return calibrated predictions, one for each item; where an encoder learnt too it reads the examples."""
        raw = raw_predictions(self.task, self.network, items, examples=examples, encoder=self.encoder)
        return [self.task.finish(one, self.calibration) for one in raw]


def make_items(
    task: Task, examples: Sequence[Example], embed: Callable[..., Vectors] | None = None,
    done: Callable[[], None] = lambda: None, *, graphs: Sequence[Graph] | None = None,
) -> list[Item]:  # fmt: skip
    """Build the residue graphs and embed the chains.

    Parameters
    ----------
    embed: of a chain and the edges (source, sink), for tasks on sequences a `SideBySide`; None goes without embeddings.
    done: called after each example; for tasks on sequences after each different chain, see `n_steps`.
    graphs: of the examples, where they were built before.
    """
    if task.reads == "sequence":
        return _sequence_items(task, examples, embed, done)
    items = []
    for position, example in enumerate(examples):
        graph = task.graph(example) if graphs is None else graphs[position]
        vectors = None if embed is None else embed(example.chains[0], graph.source.numpy(), graph.sink.numpy())
        items.append(task.item(example, graph, vectors))
        done()
    return items


def n_steps(task: Task, examples: Sequence[Example]) -> int:
    """Return how often `make_items` calls `done`."""
    return len(examples) if task.reads != "sequence" else len(_chains(examples))


def _chains(examples: Sequence[Example]) -> dict[Any, None]:
    """Return the different chains of examples, in order."""
    return dict.fromkeys(chain for example in examples for chain in example.chains)


def _sequence_items(task: Task, examples: Sequence[Example], embed: Any, done: Callable[[], None]) -> list[Item]:
    """Put examples together; each chain is embedded once, and what is made of it is shared."""
    of_chain = {} if embed is None else embed.of_sequences(list(_chains(examples)), task.needs, done)
    items = []
    for example in examples:
        vectors = None if embed is None else together([of_chain[chain] for chain in example.chains])
        items.append(task.item(example, task.graph(example), vectors))
    if embed is None:
        for _ in range(n_steps(task, examples)):
            done()
    return items


def learn(
    task: Task, examples: Mapping[str, Sequence[Example]], items: Mapping[str, Sequence[Item]], *,
    settings: Supervision, seed: int = 0, encoder: LearningEncoder | None = None,
    start: Mapping[str, torch.Tensor] | None = None,
) -> Learnt:  # fmt: skip
    """Train on "train", keep the epoch and fit the calibration on "valid".

    Parameters
    ----------
    encoder: learns with the network, in place of embeddings that were made before; the items then have none.
    start: weights that the network of the task begins with, of the same task and embeddings.

    Raises
    ------
    InputError: nothing to learn from; TrainingError: a loss is not finite.
    """
    for split in ("train", "valid"):
        if not items.get(split):
            raise InputError(task.name, split, found="no example to learn from")
    embedded = (lambda chosen, _: chosen) if encoder is None else encoder.embedded
    with torch.no_grad():
        first = embedded(items["train"][:1], examples["train"][:1])[0]
    torch.manual_seed(seed)
    head = task.network(first.widths)
    if start is not None:
        head.load_state_dict(start)
    network = head if encoder is None else torch.nn.ModuleDict({"head": head, "encoder": encoder.network})

    def loss(_: torch.nn.Module, positions: list[int]) -> torch.Tensor:
        chosen = [items["train"][k] for k in positions]
        return task.loss(head, batch_of(embedded(chosen, [examples["train"][k] for k in positions])))

    best: list[Any] = []  # score and predictions of the weights that are kept: a model reads validation once an epoch

    def score(_: torch.nn.Module) -> float:
        raw = raw_predictions(task, head, items["valid"], examples=examples["valid"], encoder=encoder)
        value = task.validation_score(examples["valid"], raw)
        if not best or value > best[0]:
            best[:] = [value if math.isfinite(value) else -math.inf, raw]
        return value

    history = fit_supervised(
        network, lambda generator: task.epoch(examples["train"], generator), loss, score, settings=settings, seed=seed,
        by_step=encoder is not None or settings.epochs == 1,
    )  # fmt: skip
    calibration = task.calibrate(examples["valid"], best[1])
    on_valid = tuple(task.finish(raw, calibration) for raw in best[1])
    return Learnt(task, head, first.widths, calibration, history, encoder, on_valid)


@torch.no_grad()
def raw_predictions(
    task: Task, network: torch.nn.Module, items: Sequence[Item], *, examples: Sequence[Example] = (),
    encoder: LearningEncoder | None = None,
) -> list[Prediction]:  # fmt: skip
    """Return what a network says of each item, before calibration; an encoder reads the examples of the items."""
    out = []
    at_a_time = PREDICTED_AT_A_TIME if items and len(items[0].graph.letter) else VECTORS_AT_A_TIME
    if encoder is None:
        parts = (items[start : start + at_a_time] for start in range(0, len(items), at_a_time))
    else:
        parts = encoder.fixed(items, examples, at_a_time)
    for part in parts:
        batch = batch_of(part)
        residue, protein = (scores.numpy() for scores in task.scores(network, batch))
        last = np.cumsum(batch.lengths)
        first = last - batch.lengths
        out += [Prediction(residue[a:b], row) for a, b, row in zip(first, last, protein, strict=True)]
    return out


def constant_predictions(items: Mapping[str, Sequence[Item]], split: str) -> list[Prediction]:
    """Return the mean of the training targets for everything: what knowing nothing else gives."""
    residue = _mean_of_known(np.concatenate([item.residue_target for item in items["train"]]))
    protein = _mean_of_known(np.stack([item.protein_target for item in items["train"]]))
    return [Prediction(np.tile(residue, (len(item.residue_target), 1)), protein) for item in items[split]]


def _mean_of_known(rows: np.ndarray) -> np.ndarray:
    """Return the mean of each column without NaN; 0 for a column in which nothing is known."""
    known = np.isfinite(rows)
    return np.where(known, rows, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
