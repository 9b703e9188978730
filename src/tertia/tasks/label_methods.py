"""Methods of the tasks that have one label a protein, or one a pair of proteins.

A task takes over by name what it does not do in a way of its own: `loss = label_methods.loss`. The first parameter of
every function is the task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tertia.data.example import Example
from tertia.nn.residue_graph import N_RESIDUE_VALUES, Graph, sequence_graph
from tertia.nn.sequence_cnn import SequenceCnn
from tertia.nn.vector_probe import PairProbe, VectorProbe
from tertia.tasks import labels
from tertia.tasks.task import Batch, Item, Prediction, Vectors, Widths

# --- proteins: linear and mlp take vectors, cnn takes residues -------------------------------------------------------


def protein_needs(task: Any) -> tuple[str, ...]:
    """Return the levels of embeddings that the network takes."""
    return ("residue",) if task.network_kind == "cnn" else ("protein",)


def protein_graph(task: Any, example: Example) -> Graph:
    """Return the residues that cnn looks at; none for the others."""
    if task.network_kind != "cnn":
        return labels.no_graph()
    return sequence_graph("".join(np.array(list(example.sequence))[labels.ends(len(example), task.longest)]))


def protein_item(task: Any, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
    """Put a protein together."""
    if vectors is not None and task.network_kind == "cnn":
        vectors = Vectors((), vectors.residue[labels.ends(len(example), task.longest)], vectors.edge)
    nothing = np.zeros((len(graph.letter), 0))
    return Item(graph, vectors, nothing, labels.class_target(example), labels.protein_values(example))


def protein_network(task: Any, widths: Widths) -> torch.nn.Module:
    """Build linear, mlp or cnn."""
    n_classes = len(task.protein_scores)
    if task.network_kind == "cnn":
        return SequenceCnn(N_RESIDUE_VALUES + widths.residue, n_residue=0, n_protein=n_classes,
                           width=max(task.width // 2, 1), dropout=task.dropout)  # fmt: skip
    width = task.width if task.network_kind == "mlp" else 0
    return VectorProbe(widths.protein + widths.whole, n_classes=n_classes, width=width, dropout=task.dropout)


def protein_scores(task: Any, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits of the proteins."""
    if task.network_kind == "cnn":
        return network(batch.graph)
    return batch.protein.new_zeros(sum(batch.lengths), 0), network(batch.protein)


# --- pairs: known by the vectors of their chains ---------------------------------------------------------------------


def pair_graph(task: Any, example: Example) -> Graph:
    """Return no residues."""
    return labels.no_graph()


def pair_item(task: Any, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
    """Put a pair together."""
    return Item(graph, vectors, labels.NOTHING, labels.class_target(example), labels.protein_values(example))


def pair_network(task: Any, widths: Widths) -> torch.nn.Module:
    """Build linear or mlp, the same in either order of the chains where the task is symmetric."""
    width = task.width if task.network_kind == "mlp" else 0
    n_values = (widths.protein + widths.whole) // 2
    return PairProbe(n_values, symmetric=task.symmetric, width=width, dropout=task.dropout)


def pair_scores(task: Any, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits of the pairs."""
    return batch.protein.new_zeros(0, 0), network(*labels.two_sides(batch))


# --- both ------------------------------------------------------------------------------------------------------------


def epoch(task: Any, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[list[int]]:
    """Yield all examples in random order; with class weights every class as often as any other."""
    return labels.shuffled(examples, task.batch, generator, balanced=task.class_weights)


def loss(task: Any, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the cross entropy."""
    return labels.cross_entropy(task.scores(network, batch)[1], batch.protein_target)


def calibrate(task: Any, examples: Sequence[Example], raw: Sequence[Prediction]) -> dict[str, float]:
    """Return the temperature of many classes; scale, offset, and the threshold with the largest MCC of two."""
    return labels.fitted(*labels.of_proteins(examples, raw))


def decide(task: Any, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
    """Return the threshold of two classes with the largest MCC; nothing of many, where the most probable is called."""
    return labels.decided(*labels.of_proteins(examples, predictions))


def finish(task: Any, raw: Prediction, calibration: Mapping[str, float]) -> Prediction:
    """Turn logits into probabilities."""
    return Prediction(raw.residue, labels.probabilities(raw.protein[None], calibration)[0])


def validation_score(task: Any, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
    """Return MCC of many classes, AUROC of two."""
    return labels.validation_score(*labels.of_proteins(examples, predictions))


def problems_of_network(task: Any, networks: Sequence[str], **least: int) -> Iterator[tuple[str, str, str]]:
    """Yield (key, what was found, what is allowed) of the options of a network and their least values."""
    if task.network_kind not in networks:
        yield "network_kind", f"is {task.network_kind!r}", ", ".join(networks)
    for key, value in least.items():
        if getattr(task, key) < value:
            yield key, f"is {getattr(task, key)}", f"{value} or more"
    if not 0 <= task.dropout < 1:
        yield "dropout", f"is {task.dropout}", "0 up to, not including, 1"
