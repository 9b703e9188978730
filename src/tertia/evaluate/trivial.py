"""Rows without a network: what `tasks.baselines` make of training examples, as predictions for every other split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tertia.tasks.task import Prediction

CONSTANT = "constant"
"""The mean of the training targets; of classes, their shares."""
BASELINES = (CONSTANT, "letters", "composition", "neighbours", "degree")
"""In place of a network and its options."""


def trivial_predictions(
    baseline: str, task: Any, examples: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, list[Prediction]], dict[str, float]]:
    """Return what a baseline says of every split but "train", and the threshold that validation examples choose.

    Parameters
    ----------
    baseline: one of `BASELINES`: "letters" for residues, "composition" and "neighbours" for proteins and pairs,
        "degree" for pairs.
    task: with labels.
    """
    from tertia.tasks.task import Prediction

    n_columns = len(task.residue_scores or task.protein_scores)
    train, made = examples["train"], {}
    for split, part in examples.items():
        if split == "train":
            continue
        shares = _of_residues if task.residue_scores else _of_proteins
        rows = shares(baseline, train, part, n_classes=max(n_columns, 2))
        rows = [row[..., 1:] for row in rows] if n_columns == 1 else rows  # of two classes only the positive one
        made[split] = [
            Prediction(row, np.zeros(0)) if task.residue_scores else Prediction(np.zeros((0, 0)), row) for row in rows
        ]
    return made, task.decide(examples["valid"], made["valid"])


def _of_residues(
    baseline: str, train: Sequence[Any], part: Sequence[Any], *, n_classes: int
) -> Sequence[np.ndarray]:  # fmt: skip
    """Return (L, K) for each example."""
    from tertia.tasks import baselines

    if baseline == "letters":
        return baselines.letter_classes(train, part, n_classes=n_classes)
    if baseline == CONSTANT:
        shares = baselines.class_shares(train, n_classes=n_classes)
        return [np.tile(shares, (len(example), 1)) for example in part]
    raise ValueError(f"{baseline} is no baseline of residues")


def _of_proteins(baseline: str, train: Sequence[Any], part: Sequence[Any], *, n_classes: int) -> np.ndarray:
    """Return (n, K)."""
    from tertia.tasks import baselines

    pairs = len(train[0].chains) == 2
    if baseline == CONSTANT:
        return baselines.majority(train, part, n_classes=n_classes)
    if baseline == "composition":
        return baselines.composition_classes(train, part, n_classes=n_classes)
    if baseline == "neighbours" and not pairs:
        return baselines.neighbour_classes(train, part, n_classes=n_classes)
    if pairs and baseline in ("neighbours", "degree"):
        score = (baselines.degree_scores if baseline == "degree" else baselines.neighbour_pairs)(train, part)
        return np.stack([1.0 - score, score], axis=1)
    raise ValueError(f"{baseline} is no baseline of {'pairs' if pairs else 'proteins'}")
