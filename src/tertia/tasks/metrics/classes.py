"""Score classifications: two classes with a score (interface or not), or any number of classes.

Truth comes first and is 0 or 1 (bool) for two classes. What is undefined is NaN, never 0 or 1, so that a mean over
proteins can skip it: everything but accuracy for a protein without positives, AUROC and MCC also for one without
negatives. A precision of nothing called is 0, and so is the MCC of calling all residues the same (as in scikit-learn).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tertia.tasks.metrics.values import complete

THRESHOLDS = np.arange(1, 100) / 100.0
"""Scanned for the best F (DeepPPISP, Zeng et al. 2020, as coded)."""
_EXACT = 1e-9
"""By how much figures computed from the same counts may miss each other."""


@dataclass(frozen=True)
class Classification:
    """Figures of one score against labels of two classes."""

    n: int
    n_positive: int
    auroc: float  # area under the curve of true against false positive rate
    auprc: float  # area under the precision-recall curve by trapezoids, as DeepPPISP has it; slightly optimistic
    average_precision: float  # the same area by steps
    threshold: float  # called positive above it
    accuracy: float
    precision: float
    recall: float
    f: float
    mcc: float


def classification(truth: np.ndarray, score: np.ndarray, *, threshold: float) -> Classification:
    """Return all figures of a score, (n,), against labels, (n,) 0 or 1; pooled over everything given.

    The threshold is honest when it comes from `best_threshold` of a validation set, an oracle's when from the test set.
    """
    labels, score = two_classes(truth, score)
    hits, misses = curve(labels, score)
    counts = confusion(labels, score > threshold)
    return Classification(
        n=len(labels), n_positive=int(labels.sum()), auroc=float(roc_area(hits, misses)),
        auprc=float(precision_recall_area(hits, misses)), average_precision=float(step_area(hits, misses)),
        threshold=float(threshold), accuracy=float(accuracy_of(counts)), precision=float(precision_of(counts)),
        recall=float(recall_of(counts)), f=float(f_of(counts)), mcc=float(mcc_of(counts)),
    )  # fmt: skip


def best_threshold(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the threshold of 0.01, 0.02 ... 0.99 with the largest F, the first of equals.

    The rule of DeepPPISP (Zeng et al. 2020, as coded); there it is applied to the test labels. Positive is what lies
    above the threshold. NaN when no threshold calls a single positive correctly.
    """
    labels, score = two_classes(truth, score)
    called = score[:, None] > THRESHOLDS  # (n, 99)
    hit, n_called = called[labels].sum(axis=0), called.sum(axis=0)
    if not hit.any():
        return np.nan
    # F = 2 hit / (called + positive); integers, so that equal F compare equal.
    return float(THRESHOLDS[np.argmax(2.0 * hit / (n_called + labels.sum()))])


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the chance that a positive scores above a negative, ties counting half."""
    return float(roc_area(*curve(*two_classes(truth, score))))


def auprc(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the precision-recall curve by trapezoids, from precision 1 at recall 0."""
    return float(precision_recall_area(*curve(*two_classes(truth, score))))


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the precision-recall curve by steps: the mean precision at the positives."""
    return float(step_area(*curve(*two_classes(truth, score))))


def accuracy(truth: np.ndarray, called: np.ndarray) -> float:
    """Return the share of rows whose class is right; any classes."""
    truth, called = _same_length(truth, called)
    return float((truth == called).mean()) if len(truth) else np.nan


def balanced_accuracy(truth: np.ndarray, called: np.ndarray) -> float:
    """Return the mean, over the classes that occur in the truth, of the share of their rows that is right."""
    truth, called = _same_length(truth, called)
    shares = [(called[truth == kind] == kind).mean() for kind in np.unique(truth)]
    return float(np.mean(shares)) if shares else np.nan


def macro_f(truth: np.ndarray, called: np.ndarray) -> float:
    """Return the mean F over the classes that occur in the truth or among the calls."""
    truth, called = _same_length(truth, called)
    kinds = np.unique(np.concatenate([truth, called]))
    both = [2 * np.count_nonzero((truth == kind) & (called == kind)) for kind in kinds]
    either = [np.count_nonzero(truth == kind) + np.count_nonzero(called == kind) for kind in kinds]
    return float(np.mean(np.divide(both, either))) if len(kinds) else np.nan


def matthews(truth: np.ndarray, called: np.ndarray) -> float:
    """Return Matthews' correlation of two classes."""
    return float(mcc_of(confusion(*two_classes(truth, called))))


def prevalences(accuracy: float, f: float, *, rounding: float = 0.0) -> tuple[float, float]:
    """Return the least and the largest share of positives with which an accuracy and an F can come from the same calls.

    With e = 1 - accuracy, the share of true positives is t = e F / (2 (1 - F)), all shares of rows; the false negatives
    are some part of e, so the positives lie between t and t + e. (NaN, NaN) where no table of two by two has both.

    Parameters
    ----------
    rounding: by how much either figure may be off, half a unit of its last digit: 0.0005 for three.
    """
    errors = np.clip([1.0 - accuracy - rounding, 1.0 - accuracy + rounding], 0.0, 1.0)
    least_f, largest_f = np.clip([f - rounding, f + rounding], 0.0, 1.0)
    least, largest = _true_positives(errors[0], least_f), _true_positives(errors[1], largest_f)
    none_wrong = errors[1] == 0.0 and largest_f < 1.0  # without errors F is 1
    # True positives are right calls: there are no more of them than of those.
    if none_wrong or least + errors[0] > 1.0 + _EXACT:
        return np.nan, np.nan
    return float(least), float(min(1.0, largest + errors[1])) if largest_f < 1.0 else 1.0


def consistent(accuracy: float, f: float, prevalence: float, *, rounding: float = 0.0) -> bool:
    """Return whether accuracy, F and the share of positives can come from the same calls.

    Where they cannot, one of the figures is of another set or class than the others, or wrong.

    Parameters
    ----------
    rounding: as `prevalences`, for all three.
    """
    least, largest = prevalences(accuracy, f, rounding=rounding)
    slack = rounding + _EXACT
    return bool(least - slack <= prevalence <= largest + slack)


def two_classes(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (n,) bool and score (n,) float64, or raise ValueError (a label that is not 0 or 1, NaN)."""
    truth, score = complete(truth, score)
    if not np.isin(truth, (0.0, 1.0)).all():
        found = ", ".join(f"{label:g}" for label in np.unique(truth)[:5])
        raise ValueError(f"labels of two classes must be 0 or 1, found {found}")
    return truth == 1.0, score


def curve(labels: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many positives (hits) and negatives (misses) score at least each value, (K,) each, best first."""
    order, last = descending(score)
    found = np.cumsum(labels[order])[last]
    return found, last + 1 - found


def descending(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of falling score, (n,), and the place in it of the last of each run of equal scores, (K,)."""
    order = np.argsort(-score, kind="stable")
    return order, ends_of_runs(score[order])


# What follows takes counts with any leading axes, so that a bootstrap asks for all its resamples at once. In a resample
# a value of the score may belong to nobody: its place on the curve repeats the one before.


def roc_area(hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve, (...), from counts (..., K) that end with all positives and negatives."""
    hits, misses = _from_zero(hits), _from_zero(misses)
    area = (np.diff(misses) * (hits[..., 1:] + hits[..., :-1])).sum(axis=-1) / 2.0
    return ratio(area, hits[..., -1] * misses[..., -1])


def precision_recall_area(hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """Return the area under the precision-recall curve by trapezoids, (...), from counts (..., K)."""
    hits, misses = _from_zero(hits), _from_zero(misses)
    precision = ratio(hits, hits + misses, otherwise=1.0)
    area = (np.diff(hits) * (precision[..., 1:] + precision[..., :-1])).sum(axis=-1) / 2.0
    return ratio(area, hits[..., -1])


def step_area(hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """Return the average precision, (...), from counts (..., K)."""
    hits, misses = _from_zero(hits), _from_zero(misses)
    precision = ratio(hits, hits + misses, otherwise=1.0)
    return ratio((np.diff(hits) * precision[..., 1:]).sum(axis=-1), hits[..., -1])


def confusion(labels: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Return (4,) float64: true positives, false positives, false negatives, true negatives."""
    return outcomes(labels, called).sum(axis=0)


def outcomes(labels: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Return (n, 4) float64: which of the four `confusion` counts each row belongs to."""
    labels, called = np.asarray(labels, dtype=bool), np.asarray(called, dtype=bool)
    return np.stack([labels & called, ~labels & called, labels & ~called, ~labels & ~called], axis=1).astype(np.float64)


def accuracy_of(counts: np.ndarray) -> np.ndarray:
    """Return the share of right calls, (...), from `confusion` counts (..., 4)."""
    return ratio(counts[..., 0] + counts[..., 3], counts.sum(axis=-1))


def precision_of(counts: np.ndarray) -> np.ndarray:
    """Return the share of the calls that is positive; 0 when nothing is called, NaN without positives."""
    hit, false_alarm, missed, _ = np.moveaxis(counts, -1, 0)
    return np.where(hit + missed > 0, ratio(hit, hit + false_alarm, otherwise=0.0), np.nan)


def recall_of(counts: np.ndarray) -> np.ndarray:
    """Return the share of the positives that is called; NaN without positives."""
    return ratio(counts[..., 0], counts[..., 0] + counts[..., 2])


def f_of(counts: np.ndarray) -> np.ndarray:
    """Return the harmonic mean of precision and recall; NaN without positives."""
    hit, false_alarm, missed, _ = np.moveaxis(counts, -1, 0)
    return np.where(hit + missed > 0, ratio(2 * hit, 2 * hit + false_alarm + missed), np.nan)


def mcc_of(counts: np.ndarray) -> np.ndarray:
    """Return Matthews' correlation; NaN when the truth has one class, 0 when the calls have."""
    hit, false_alarm, missed, quiet = np.moveaxis(counts, -1, 0)
    true, calls = (hit + missed) * (false_alarm + quiet), (hit + false_alarm) * (missed + quiet)
    value = ratio(hit * quiet - false_alarm * missed, np.sqrt(true) * np.sqrt(calls), otherwise=0.0)
    return np.where(true > 0, value, np.nan)


def ends_of_runs(values: np.ndarray) -> np.ndarray:
    """Return the place of the last of each run of equal values, (K,)."""
    return np.flatnonzero(np.append(values[1:] != values[:-1], [True] * min(len(values), 1)))


def _true_positives(errors: float, f: float) -> float:
    """Return the share of true positives from those of errors and F; with F = 1 the least, or infinity with errors."""
    if f == 1.0:
        return 0.0 if errors == 0.0 else np.inf
    return errors * f / (2.0 * (1.0 - f))


def _same_length(truth: np.ndarray, called: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, called = np.asarray(truth), np.asarray(called)
    if truth.ndim != 1 or truth.shape != called.shape:
        raise ValueError(f"truth has shape {truth.shape} and calls {called.shape}, not (n,) both")
    return truth, called


def _from_zero(counts: np.ndarray) -> np.ndarray:
    """Put the start of the curve, where nothing is called, before (..., K) counts."""
    return np.concatenate([np.zeros((*counts.shape[:-1], 1)), counts], axis=-1)


def ratio(above: np.ndarray, below: np.ndarray, *, otherwise: float = np.nan) -> np.ndarray:
    """Divide; `otherwise` where the divisor is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
    return np.divide(above, below, out=np.full(above.shape, otherwise), where=below != 0)
