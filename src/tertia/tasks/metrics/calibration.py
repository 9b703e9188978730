"""Turn logits into probabilities, and probabilities into calls, by what validation rows say."""

from __future__ import annotations

import numpy as np

from tertia.tasks.metrics.classes import THRESHOLDS, mcc_of, two_classes

LOG_SCALES, OFFSETS = (-5.0, 5.0), (-20.0, 20.0)
LOG_TEMPERATURES = (-3.0, 3.0)
"""Bounds of the calibrations."""


def platt(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """Return scale and offset of the logits of two classes (Platt 1999).

    The scale is above 0, so that the order of the rows stays what the network says.
    """
    from scipy.optimize import minimize

    # Targets short of 0 and 1, Platt's own, keep the scale finite where all validation rows are told apart.
    n_positives, n_others = label.sum(), (1.0 - label).sum()
    wanted = np.where(label > 0, (n_positives + 1.0) / (n_positives + 2.0), 1.0 / (n_others + 2.0))

    def cross_entropy(line: np.ndarray) -> float:
        z = np.exp(line[0]) * logit + line[1]
        return float((np.logaddexp(0.0, z) - wanted * z).mean())

    line = minimize(cross_entropy, np.zeros(2), method="L-BFGS-B", bounds=(LOG_SCALES, OFFSETS)).x
    return {"scale": float(np.exp(line[0])), "offset": float(line[1])}


def temperature(classes: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return what logits (n, K) of many classes are divided by (Guo et al. 2017), by the classes (n,)."""
    from scipy.optimize import minimize_scalar

    picked = np.arange(len(classes)), classes.astype(int)

    def cross_entropy(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature))[picked].mean())

    return {"temperature": float(np.exp(minimize_scalar(cross_entropy, bounds=LOG_TEMPERATURES, method="bounded").x))}


def most_correlated_threshold(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the threshold of 0.01, 0.02 ... 0.99 with the largest MCC, the middle one of equals; 0.5 for no rows.

    Where positives are as many as negatives the best F would call nearly everything positive.
    """
    labels, score = two_classes(truth, score)
    called = score[:, None] > THRESHOLDS  # (n, 99)
    hit, n_called = called[labels].sum(axis=0), called.sum(axis=0)
    counts = np.stack(
        [hit, n_called - hit, labels.sum() - hit, (~labels).sum() - (n_called - hit)], axis=-1
    )  # (99, 4), as `confusion`
    found = np.nan_to_num(mcc_of(counts.astype(np.float64)))
    best = np.flatnonzero(found == found.max())
    return float(THRESHOLDS[best[len(best) // 2]])


def logistic(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z)) without overflow."""
    return np.exp(-np.logaddexp(0.0, -z))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithms of the probabilities of classes, (n, K), from logits (n, K)."""
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
