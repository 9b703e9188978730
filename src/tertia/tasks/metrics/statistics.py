"""Figures that can be had for many resamples of whole groups in one go: what `intervals.bootstrap` takes.

A resample is written as counts, how often it has each group; nothing is sorted or compared again for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from tertia.tasks.metrics import classes
from tertia.tasks.metrics.values import complete

_CELLS = 100_000  # rows times resamples at a time: what the processor keeps near itself
Columns = Sequence[np.ndarray]  # each (n,)


@runtime_checkable
class Statistic(Protocol):
    """A figure that can be had for many resamples of groups in one go."""

    def __call__(self, *columns: np.ndarray) -> float:
        """Return the figure of the rows given."""

    def resampled(self, columns: Columns, group_of_row: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the figure, (S,), of each resample; `group_of_row` (n,) int, `counts` (S, G) int."""


@dataclass(frozen=True)
class OfSums:
    """A statistic that is a function of sums over rows: error, Pearson, MCC of calls, a mean."""

    terms: Callable[..., np.ndarray]  # columns -> (n, K) what each row adds
    finish: Callable[[np.ndarray], np.ndarray]  # sums (..., K) -> (...)

    def __call__(self, *columns: np.ndarray) -> float:
        return float(self.finish(self.terms(*columns).sum(axis=0)))

    def resampled(self, columns: Columns, group_of_row: np.ndarray, counts: np.ndarray) -> np.ndarray:
        terms = self.terms(*columns)
        of_group = np.stack([np.bincount(group_of_row, column, counts.shape[1]) for column in terms.T], axis=-1)
        return self.finish(counts @ of_group)  # (S, K) -> (S,)


@dataclass(frozen=True)
class OfCurve:
    """An area under a curve of labels sorted by score."""

    area: Callable[[np.ndarray, np.ndarray], np.ndarray]  # hits, misses (..., K) -> (...)

    def __call__(self, truth: np.ndarray, score: np.ndarray) -> float:
        return float(self.area(*classes.curve(*classes.two_classes(truth, score))))

    def resampled(self, columns: Columns, group_of_row: np.ndarray, counts: np.ndarray) -> np.ndarray:
        labels, score = classes.two_classes(*columns)
        order, last = classes.descending(score)
        labels, group = labels[order], group_of_row[order]
        values = []
        for block in _blocks(counts, len(labels)):
            times = block[:, group]  # (S, n)
            hits = np.cumsum(times * labels, axis=1)[:, last]
            values.append(self.area(hits, np.cumsum(times, axis=1)[:, last] - hits))
        return np.concatenate(values)


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's correlation over all rows."""

    def __call__(self, truth: np.ndarray, predicted: np.ndarray) -> float:
        return float(self.resampled((truth, predicted), np.zeros(len(truth), int), np.ones((1, 1), int))[0])

    def resampled(self, columns: Columns, group_of_row: np.ndarray, counts: np.ndarray) -> np.ndarray:
        x, y = (np.unique(column, return_inverse=True)[1] for column in complete(*columns))
        if not len(x):
            return np.full(len(counts), np.nan)
        order = np.argsort(y, kind="stable")  # memory is then read in its order, which is what takes the time
        x, y, group = x[order], y[order], group_of_row[order]
        products = np.empty((len(counts), 3))  # xy, xx, yy
        for row, times_of_group in zip(products, counts.astype(np.float64), strict=True):
            times = times_of_group[group]
            (rank, n_rows), (other, n_others) = _centred_ranks(x, times), _centred_ranks(y, times)
            row[:] = (times * rank[x]) @ other[y], n_rows @ rank**2, n_others @ other**2
        return classes.ratio(products[:, 0], np.sqrt(products[:, 1]) * np.sqrt(products[:, 2]))


@dataclass(frozen=True)
class OverRuns:
    """The mean of a statistic over runs (seeds): columns are the truth and one prediction for each run."""

    statistic: Statistic

    def __call__(self, truth: np.ndarray, *runs: np.ndarray) -> float:
        return float(np.mean([self.statistic(truth, run) for run in runs]))

    def resampled(self, columns: Columns, group_of_row: np.ndarray, counts: np.ndarray) -> np.ndarray:
        truth, *runs = columns
        return np.mean([self.statistic.resampled((truth, run), group_of_row, counts) for run in runs], axis=0)


def _blocks(counts: np.ndarray, n_rows: int) -> Iterator[np.ndarray]:
    """Cut (S, G) counts so that an array of their rows by `n_rows` fits in memory."""
    height = max(1, _CELLS // max(1, n_rows))
    return (counts[start : start + height] for start in range(0, len(counts), height))


def _centred_ranks(place: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean ranks minus their mean, (K,), of the different values of a sample, and how often each is in it.

    Rows (n,) have value `place`, counted from the smallest, and stand `times` in the sample each.
    """
    count = np.bincount(place, weights=times)
    upto = np.cumsum(count)
    # Rows upto-count+1 ... upto share the rank upto - (count - 1) / 2; the mean of all ranks is (n + 1) / 2.
    return upto - (count + upto[-1]) / 2.0, count


def _present(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(np.asarray(values, dtype=np.float64))
    return np.stack([known, np.where(known, values, 0.0)], axis=1).astype(np.float64)


def _squared_error(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    truth, predicted = complete(truth, predicted)
    return np.stack([np.ones(len(truth)), np.square(predicted - truth)], axis=1)


def _moments(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return (n, 6): 1, x, y, xx, xy, yy of standardised columns, so that sums of squares stay near 1."""
    truth, predicted = complete(truth, predicted)
    if len(truth) == 0:
        return np.zeros((0, 6))
    x, y = ((values - values.mean()) / (np.ptp(values) or 1.0) for values in (truth, predicted))
    return np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y], axis=1)


def _mean_of(sums: np.ndarray) -> np.ndarray:
    return classes.ratio(sums[..., 1], sums[..., 0])


def _root_mean_of(sums: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean_of(sums))


def _pearson_of(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, xy, yy = np.moveaxis(sums, -1, 0)
    spread = np.array([xx - classes.ratio(x * x, n), yy - classes.ratio(y * y, n)])
    # What rounding leaves of a constant column is no spread.
    spread = np.where(spread > 1e-12 * np.array([xx, yy]), spread, 0.0)
    return classes.ratio(xy - classes.ratio(x * y, n), np.sqrt(spread[0]) * np.sqrt(spread[1]))


def _calls(truth: np.ndarray, called: np.ndarray) -> np.ndarray:
    labels, called = classes.two_classes(truth, called)
    return classes.outcomes(labels, called)


MEAN = OfSums(_present, _mean_of)  # of one column, NaN skipped: figures of single targets, proteins or decoys
RMSE = OfSums(_squared_error, _root_mean_of)
PEARSON = OfSums(_moments, _pearson_of)
SPEARMAN = RankCorrelation()
AUROC = OfCurve(classes.roc_area)
AUPRC = OfCurve(classes.precision_recall_area)
AVERAGE_PRECISION = OfCurve(classes.step_area)
# Of labels and calls, both 0 or 1: two methods may so be compared each at its own threshold.
ACCURACY = OfSums(_calls, classes.accuracy_of)
PRECISION = OfSums(_calls, classes.precision_of)
RECALL = OfSums(_calls, classes.recall_of)
F = OfSums(_calls, classes.f_of)
MCC = OfSums(_calls, classes.mcc_of)
