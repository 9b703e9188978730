"""Intervals by resampling whole groups: rows of one protein (decoys of one target) are not independent of each other.

A resample draws as many groups as there are, with replacement (Field & Welsh 2007, the cluster bootstrap). It is
written as counts, (S, G): how often each of S resamples has each of G groups. A `Statistic` takes them all at once; any
other function of the columns works too, one resample after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tertia.tasks.metrics.statistics import Columns, Statistic
from tertia.tasks.metrics.values import rows_of_groups


@dataclass(frozen=True)
class Interval:
    """A figure with its percentile interval over resampled groups."""

    value: float  # of the data themselves
    low: float
    high: float
    level: float
    n_groups: int
    n_resamples: int
    n_undefined: int  # resamples without a value (one class only ...), left out


@dataclass(frozen=True)
class Difference:
    """How far a first method lies above a second one on the same groups."""

    interval: Interval  # of first minus second
    p: float  # two-sided, of no difference; below 1 - level about when the interval leaves out 0


def bootstrap(
    statistic: Callable[..., float], groups: np.ndarray, *, columns: Columns, n_resamples: int = 2000,
    level: float = 0.95, seed: int = 0,
) -> Interval:  # fmt: skip
    """Return a figure with its interval.

    `bootstrap(AUROC, protein_of_residue, columns=(label, score))`, for example. For a mean over targets resample their
    values: `bootstrap(MEAN, agreement.groups, columns=(agreement.by_group["R_target"],))`; for a mean over decoys
    resample the values of the decoys with their targets as groups.

    Parameters
    ----------
    statistic: one of `statistics`, or any function of the columns, which takes as long as n_resamples calls of it.
    groups: (n,) labels; rows of one group stay together.
    columns: arrays of n rows, in the order that the statistic takes them.
    """
    drawn = resample(statistic, groups, columns=columns, n_resamples=n_resamples, seed=seed)
    return _interval(float(statistic(*columns)), drawn, level=level, n_groups=len(np.unique(groups)))


def compare(
    statistic: Callable[..., float], groups: np.ndarray, *, first: Columns, second: Columns, n_resamples: int = 2000,
    level: float = 0.95, seed: int = 0,
) -> Difference:  # fmt: skip
    """Return by how much a first method exceeds a second one, both on the same resampled groups.

    Each method comes as its own columns over the same rows, for instance `first=(label, score_a)`, and
    `second=(label, score_b)`. p is twice the share of resamples on the rarer side of 0, with one counted on each side.
    """
    drawn = [
        resample(statistic, groups, columns=columns, n_resamples=n_resamples, seed=seed) for columns in (first, second)
    ]
    change = drawn[0] - drawn[1]
    value = float(statistic(*first)) - float(statistic(*second))
    interval = _interval(value, change, level=level, n_groups=len(np.unique(groups)))
    change = change[~np.isnan(change)]
    sides = [np.count_nonzero(change <= 0) + 1, np.count_nonzero(change >= 0) + 1]
    return Difference(interval=interval, p=min(1.0, 2.0 * min(sides) / (len(change) + 1)) if len(change) else np.nan)


def resample(
    statistic: Callable[..., float], groups: np.ndarray, *, columns: Columns, n_resamples: int, seed: int
) -> np.ndarray:
    """Return the figure of every resample, (S,) float64.

    The draws depend on the seed and the number of groups only: values of two methods belong to the same resamples.
    """
    columns = [np.asarray(column) for column in columns]
    labels, group_of_row = np.unique(np.asarray(groups), return_inverse=True)
    if any(column.shape[:1] != group_of_row.shape for column in columns):
        raise ValueError(f"columns have shapes {[c.shape for c in columns]} for {len(group_of_row)} rows of groups")
    if len(labels) == 0:
        raise ValueError("nothing to resample: there are no groups")
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(labels), np.full(len(labels), 1.0 / len(labels)), size=n_resamples)
    if isinstance(statistic, Statistic):
        return statistic.resampled(columns, group_of_row, counts)
    parts = rows_of_groups(group_of_row)[1]
    return np.array([
        statistic(*(column[np.concatenate([np.tile(rows, n) for rows, n in zip(parts, row, strict=True)])]
                    for column in columns))
        for row in counts
    ], dtype=np.float64)  # fmt: skip


def _interval(value: float, drawn: np.ndarray, *, level: float, n_groups: int) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail]) if len(defined) else (np.nan, np.nan)
    return Interval(value=value, low=float(low), high=float(high), level=level, n_groups=n_groups,
                    n_resamples=len(drawn), n_undefined=len(drawn) - len(defined))  # fmt: skip
