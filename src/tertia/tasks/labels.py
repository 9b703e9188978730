"""What tasks with labels of sequences share: inputs, epochs, losses, calibration, figures.

One column of scores means two classes, positive above a threshold; K columns mean K classes. Arrays of truth hold class
numbers, of rows that have one; a row is a protein, a pair or a residue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from tertia.data.batch import batches_by_cost
from tertia.data.example import Example
from tertia.nn.residue_graph import Graph, sequence_graph
from tertia.sequence.composition import composition_of
from tertia.tasks.metrics import auroc, best_threshold, statistics
from tertia.tasks.metrics.calibration import log_softmax, logistic, most_correlated_threshold, platt, temperature
from tertia.tasks.metrics.many_classes import accuracy_of_classes, f_of_class, macro_f_of_classes, mcc_of_classes
from tertia.tasks.task import Batch, Figure, Prediction

NOTHING = np.zeros((0, 0))
"""The targets of no residues."""

# --- inputs and epochs ---------------------------------------------------------------------------------------------


@cache
def no_graph() -> Graph:
    """Return the graph of no residues, for what is known by the vectors of its proteins; all examples share it."""
    return sequence_graph("")


def protein_values(example: Example) -> tuple[np.ndarray, ...]:
    """Return the composition of each chain, (22,), kept and shared between examples."""
    return tuple(composition_of(chain.sequence) for chain in example.chains)


def class_target(example: Example) -> np.ndarray:
    """Return (1,), the number of the class of a protein or pair, NaN where unknown."""
    return np.full(1, np.nan) if example.target is None else np.asarray(example.target, np.float64)[:1]


def two_sides(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (B, C) of the first and of the second chains of pairs: features, then embeddings."""
    own, whole = batch.protein.split([batch.widths.protein, batch.widths.whole], dim=1)
    half, rest = batch.widths.protein // 2, batch.widths.whole // 2
    first = torch.cat([own[:, :half], whole[:, :rest]], dim=1)
    return first, torch.cat([own[:, half:], whole[:, rest:]], dim=1)


def thinned(examples: list[Example], most: int, *, seed: int = 0) -> list[Example]:
    """Return at most so many examples, drawn with a seed, in their order; 0 takes all."""
    if not 0 < most < len(examples):
        return examples
    chosen = np.random.default_rng(seed).choice(len(examples), size=most, replace=False)
    return [examples[k] for k in np.sort(chosen)]


def ends(length: int, longest: int) -> np.ndarray:
    """Return the places of the residues that are looked at, (l,): of long chains as many at either end.

    Signals of localisation stand at the ends; what is left out of a long chain is its middle.
    """
    if length <= longest:
        return np.arange(length)
    first = longest - longest // 2
    return np.concatenate([np.arange(first), np.arange(length - longest // 2, length)])


def shuffled(
    examples: Sequence[Example], size: int, generator: np.random.Generator, *, balanced: bool = False
) -> Iterator[list[int]]:
    """Yield batches of positions in random order; a single one that is left over waits for the next epoch.

    Parameters
    ----------
    balanced: draw as many examples as there are, with replacement, each class as often as any other.
    """
    if balanced:
        _, number, count = np.unique([one.target[0] for one in examples], return_inverse=True, return_counts=True)
        chance = 1.0 / (len(count) * count[number])
        order = generator.choice(len(examples), size=len(examples), p=chance)
    else:
        order = generator.permutation(len(examples))
    for start in range(0, len(order), size):
        if len(part := order[start : start + size]) > 1:  # batch norm needs two
            yield part.tolist()


def by_length(lengths: Sequence[int], residues: int, generator: np.random.Generator) -> Iterator[list[int]]:
    """Yield batches of positions of chains of like length, about so many residues each, in random order."""
    yield from (part.tolist() for part in batches_by_cost(lengths, residues, generator=generator))


# --- learning ------------------------------------------------------------------------------------------------------


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, *, balanced: bool = False) -> torch.Tensor:
    """Return the mean cross entropy of the rows with a class.

    Parameters
    ----------
    logits: (n, 1) of two classes, or (n, K).
    target: (n, 1) class numbers, NaN unknown.
    balanced: weigh rows so that each class of the batch counts alike.
    """
    known = torch.isfinite(target[:, 0])
    if not known.any():
        return logits.sum() * 0.0
    logits, classes = logits[known], target[known, 0]
    if logits.shape[1] == 1:
        loss = F.binary_cross_entropy_with_logits(logits[:, 0], classes, reduction="none")
    else:
        loss = F.cross_entropy(logits, classes.long(), reduction="none")
    if not balanced:
        return loss.mean()
    weight = 1.0 / torch.bincount(classes.long())[classes.long()].to(loss.dtype)
    return (weight * loss).sum() / weight.sum()


def of_proteins(examples: Sequence[Example], predictions: Sequence[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Return classes (n,) and scores (n, K) of all examples."""
    truth = np.array([one.target[0] for one in examples], dtype=np.float64)
    return truth, np.array([one.protein for one in predictions], dtype=np.float64).reshape(len(truth), -1)


def of_residues(
    examples: Sequence[Example], predictions: Sequence[Prediction]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return classes (n,), scores (n, K) and number of the example (n,) of all residues with a class."""
    truth = np.concatenate([one.target for one in examples])
    score = np.concatenate([one.residue for one in predictions]).astype(np.float64)
    number = np.repeat(np.arange(len(examples)), [len(one) for one in examples])
    known = np.isfinite(truth)
    return truth[known], score[known], number[known]


def fitted(truth: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return the calibration of logits (n, K): scale, offset and threshold of two classes, temperature of many."""
    if logits.shape[1] > 1:
        return temperature(truth, logits)
    line = platt(truth, logits[:, 0])
    return line | decided(truth, probabilities(logits, line))


def decided(truth: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return the threshold of two classes with the largest MCC; nothing of many, where the largest is called."""
    return {} if probability.shape[1] > 1 else {"threshold": most_correlated_threshold(truth, probability[:, 0])}


def probabilities(logits: np.ndarray, calibration: Mapping[str, float]) -> np.ndarray:
    """Return (n, K) probabilities."""
    logits = np.asarray(logits, np.float64)
    if logits.shape[1] > 1:
        return np.exp(log_softmax(logits / calibration["temperature"]))
    return logistic(calibration["scale"] * logits + calibration["offset"])


def validation_score(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return AUROC of two classes, MCC of many."""
    if scores.shape[1] == 1:
        return auroc(truth, scores[:, 0])
    return mcc_of_classes(scores.shape[1])(truth, scores.argmax(axis=1))


# --- figures -------------------------------------------------------------------------------------------------------

CALLS = {"ACC": statistics.ACCURACY, "F": statistics.F, "MCC": statistics.MCC}


def figures_of_two(
    truth: np.ndarray, probability: np.ndarray, groups: np.ndarray, calibration: Mapping[str, float]
) -> list[Figure]:
    """Return areas, figures at the validation threshold, F at the test set's own (an oracle), and the prevalence."""
    score = probability[:, 0]
    areas = {"AUROC": statistics.AUROC, "AUPRC": statistics.AUPRC, "AP": statistics.AVERAGE_PRECISION}
    out = [Figure(name, statistic, groups, (truth, score)) for name, statistic in areas.items()]
    called = (score > calibration["threshold"]).astype(np.float64)
    out += [Figure(name, statistic, groups, (truth, called)) for name, statistic in CALLS.items()]
    best = (score > best_threshold(truth, score)).astype(np.float64)
    out.append(Figure("oracle F", statistics.F, groups, (truth, best)))
    return [*out, Figure("prevalence", statistics.MEAN, groups, (truth,))]


def figures_of_many(
    truth: np.ndarray, probability: np.ndarray, groups: np.ndarray, *, accuracy: str = "ACC",
    names: Sequence[str] = (),
) -> list[Figure]:  # fmt: skip
    """Return accuracy, MCC and macro F of the most probable classes.

    Parameters
    ----------
    accuracy: its name.
    names: of the classes, whose F is then given one by one.
    """
    n_classes, called = probability.shape[1], probability.argmax(axis=1).astype(np.float64)
    found = {
        accuracy: accuracy_of_classes(), "MCC": mcc_of_classes(n_classes), "macro F": macro_f_of_classes(n_classes)
    }  # fmt: skip
    found |= {f"F {name}": f_of_class(number) for number, name in enumerate(names)}
    return [Figure(name, statistic, groups, (truth, called)) for name, statistic in found.items()]
