"""Compare predicted with true values: error and correlation.

All take two arrays of equal length, truth first, without NaN, and return NaN where the figure is undefined (no rows, or
a correlation of something constant). They are symmetric in their arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def complete(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as (n,) float64, or raise ValueError: different lengths, or a NaN or infinite entry."""
    truth, predicted = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise ValueError(f"truth has shape {truth.shape} and prediction {predicted.shape}, not (n,) both")
    for name, values in (("truth", truth), ("prediction", predicted)):
        n_broken = np.count_nonzero(~np.isfinite(values))
        if n_broken:
            raise ValueError(f"{n_broken} of {len(values)} entries of the {name} are not finite: drop those rows first")
    return truth, predicted


def mean_absolute_error(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return mean |predicted - truth|."""
    truth, predicted = complete(truth, predicted)
    return float(np.abs(predicted - truth).mean()) if len(truth) else np.nan


def root_mean_square_error(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return sqrt(mean (predicted - truth)^2)."""
    truth, predicted = complete(truth, predicted)
    return float(np.sqrt(np.square(predicted - truth).mean())) if len(truth) else np.nan


def pearson(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the linear correlation; NaN for fewer than 2 rows or when one side is constant."""
    truth, predicted = complete(truth, predicted)
    # The spread of equal numbers is exactly 0, the deviation from their mean is not: 0.1 + 0.1 + 0.1 != 0.3.
    if len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return np.nan
    x, y = _unit(truth), _unit(predicted)
    return float(np.clip(x @ y, -1.0, 1.0))


def spearman(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the rank correlation: Pearson of the ranks, ties sharing their mean rank."""
    truth, predicted = complete(truth, predicted)
    return pearson(ranks(truth), ranks(predicted))


def kendall(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return Kendall's tau-b (corrected for ties)."""
    from scipy.stats import kendalltau

    truth, predicted = complete(truth, predicted)
    if len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return np.nan
    return float(kendalltau(truth, predicted).statistic)


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value from 1 for the smallest, (n,) float64; equal values get their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2.0)[place]


def per_group(
    function: Callable[..., float], groups: np.ndarray, *, columns: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a function to the rows of each group.

    Parameters
    ----------
    function: of as many arrays as there are columns.
    groups: (n,) labels, for instance the protein of every residue; rows of a group need not be adjacent.
    columns: arrays of n rows.

    Returns
    -------
    labels: (G,), sorted.
    values: (G,) float64.
    """
    labels, parts = rows_of_groups(groups)
    arrays = [np.asarray(column) for column in columns]
    if any(len(array) != len(groups) for array in arrays):
        raise ValueError(f"columns have {[len(array) for array in arrays]} rows, groups {len(groups)}")
    return labels, np.array([function(*(array[rows] for array in arrays)) for rows in parts], dtype=np.float64)


def rows_of_groups(groups: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the sorted labels (G,) and the row numbers of each, in their order."""
    labels, group_of_row, count = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(group_of_row, kind="stable")
    return labels, np.split(order, np.cumsum(count)[:-1]) if len(labels) else []


def _unit(values: np.ndarray) -> np.ndarray:
    """Return the deviations from the mean, scaled to length 1."""
    # Scaled first: the squares of tiny deviations would vanish.
    centred = values - values.mean()
    centred = centred / np.abs(centred).max()
    return centred / np.linalg.norm(centred)
