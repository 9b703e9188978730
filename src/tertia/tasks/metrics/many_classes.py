"""Figures of calls among K classes, for many resamples in one go: accuracy, MCC, F of one class and of all.

Columns are truth and calls, (n,) class numbers each.
"""

from __future__ import annotations

import numpy as np

from tertia.tasks.metrics.classes import ratio
from tertia.tasks.metrics.statistics import OfSums


def accuracy_of_classes() -> OfSums:
    """Return the share of rows whose class is right (Q3, for three states)."""
    return OfSums(_right, lambda sums: ratio(sums[..., 1], sums[..., 0]))


def mcc_of_classes(n_classes: int) -> OfSums:
    """Return Matthews' correlation of K classes (Gorodkin 2004): NaN if the truth has one, 0 if the calls have."""

    def finish(sums: np.ndarray) -> np.ndarray:
        n_rows = sums[..., 0]
        hits, true, called = np.split(sums[..., 1:], 3, axis=-1)  # (..., K) each
        spread_true = np.square(n_rows) - np.square(true).sum(axis=-1)
        spread_called = np.square(n_rows) - np.square(called).sum(axis=-1)
        above = hits.sum(axis=-1) * n_rows - (true * called).sum(axis=-1)
        value = ratio(above, np.sqrt(spread_true) * np.sqrt(spread_called), otherwise=0.0)
        return np.where(spread_true > 0, value, np.nan)

    return OfSums(lambda truth, called: _counts(truth, called, n_classes), finish)


def macro_f_of_classes(n_classes: int) -> OfSums:
    """Return the mean F over the classes that occur in the truth or among the calls."""

    def finish(sums: np.ndarray) -> np.ndarray:
        hits, true, called = np.split(sums[..., 1:], 3, axis=-1)  # (..., K) each
        f = ratio(2 * hits, true + called, otherwise=0.0)
        return ratio(f.sum(axis=-1), (true + called > 0).sum(axis=-1))

    return OfSums(lambda truth, called: _counts(truth, called, n_classes), finish)


def f_of_class(number: int) -> OfSums:
    """Return the F of one class against all others."""

    def terms(truth: np.ndarray, called: np.ndarray) -> np.ndarray:
        true, found = truth == number, called == number
        return np.stack([2.0 * (true & found), true.astype(float) + found], axis=1)

    return OfSums(terms, lambda sums: ratio(sums[..., 0], sums[..., 1]))


def _right(truth: np.ndarray, called: np.ndarray) -> np.ndarray:
    return np.stack([np.ones(len(truth)), truth == called], axis=1)


def _counts(truth: np.ndarray, called: np.ndarray, n_classes: int) -> np.ndarray:
    """Return (n, 1 + 3 K): 1, then for each class whether a row is rightly, truly, or said to be of it."""
    rows = np.arange(len(truth))
    out = np.zeros((len(truth), 1 + 3 * n_classes))
    out[:, 0] = 1.0
    out[rows, 1 + truth.astype(int)] = truth == called
    out[rows, 1 + n_classes + truth.astype(int)] = 1.0
    out[rows, 1 + 2 * n_classes + called.astype(int)] = 1.0
    return out
