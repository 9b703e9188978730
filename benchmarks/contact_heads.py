"""From attention between two chains to scores of contacts: correction, the best head, and a sparse sum of heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.complexes import Complex
from tertia.residues import N_INDICES, letter_indices
from tertia.tasks.metrics import auroc, average_precision
from tertia.tasks.metrics.calibration import logistic

WAYS = ("best head", "sparse regression")
FIGURES = ("AP", "P@L/5", "AUROC")
OTHERS = 20
"""Cells without contact that the regression learns from, for each contact."""
PENALTY = 1 / 0.15
"""On the sum of absolute weights, beside the sum of cross entropies (C = 0.15 in the terms of scikit-learn, as Rao et al. 2021)."""
STEPS = {"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-7}
PRIOR_CELLS = 100.0
"""Cells at the base rate that every pair of letters is taken to have been seen in."""


def corrected(block: np.ndarray) -> np.ndarray:
    """Return scores (..., L_A, L_B) less the product of their row and column means over the mean of all.

    The average product correction (Dunn et al. 2008): a residue that gets much from everybody is no contact of all.
    """
    rows, columns = block.mean(axis=-1, keepdims=True), block.mean(axis=-2, keepdims=True)
    whole = rows.mean(axis=-2, keepdims=True)
    return block - np.divide(rows * columns, whole, out=np.zeros_like(block), where=whole > 0)


def features_of(maps: np.ndarray, n_first: int) -> np.ndarray:
    """Return what each head says of each pair of residues of two chains, (heads, L_A, L_B) float32.

    The mean of both directions, corrected, with mean 0 and deviation 1 in each complex; 0 of a head that says nothing.

    Parameters
    ----------
    maps: (heads, L_A + L_B, L_A + L_B), attention weights.
    n_first: L_A.
    """
    between = (maps[:, :n_first, n_first:] + maps[:, n_first:, :n_first].swapaxes(1, 2)) / 2.0
    level = between.mean(axis=(1, 2), keepdims=True)
    out = corrected(between)
    spread = out.std(axis=(1, 2), keepdims=True)
    said = spread > 1e-6 * level  # less is rounding
    out = (out - out.mean(axis=(1, 2), keepdims=True)) / np.where(said, spread, 1.0)
    return np.where(said, out, 0.0).astype(np.float32)


def figures_of(one: Complex, score: np.ndarray) -> dict[str, float]:
    """Return the figures of scores (L_A, L_B); L of P@L/5 is the length of the shorter chain."""
    truth, score = one.contact[one.seen], score[one.seen]
    n_best = max(1, min(map(len, one.chains)) // 5)
    found = average_precision(truth, score), precision_of_best(truth, score, n_best), auroc(truth, score)
    return dict(zip(FIGURES, found, strict=True))


def precision_of_best(truth: np.ndarray, score: np.ndarray, n: int) -> float:
    """Return the share of positives among the n best rows; of rows that tie for the last places, their mean counts."""
    n = min(n, len(score))
    last = np.partition(score, -n)[-n]
    above, tied = score > last, score == last
    return float((truth[above].sum() + (n - above.sum()) * truth[tied].mean()) / n)


@dataclass(frozen=True)
class Chosen:
    """What one half of the complexes says about heads, to be used on the other half."""

    head: int  # the one with the best mean AP
    weight: np.ndarray  # (heads,), of the sparse regression

    def scores(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Return scores (L_A, L_B) by each of `WAYS`."""
        return dict(zip(WAYS, (features[self.head], np.tensordot(self.weight, features, axes=1)), strict=True))


def head_precisions(one: Complex, features: np.ndarray) -> np.ndarray:
    """Return the average precision of every head, (heads,)."""
    truth = one.contact[one.seen]
    return np.array([average_precision(truth, head[one.seen]) for head in features])


def drawn_cells(one: Complex, features: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the features (n, heads) and labels (n,) of all contacts, and of some cells without for each."""
    positive = np.flatnonzero(one.contact.ravel())
    negative = np.flatnonzero((one.seen & ~one.contact).ravel())
    negative = generator.choice(negative, min(len(negative), OTHERS * len(positive)), replace=False)
    cells = np.concatenate([positive, negative])
    label = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    return features.reshape(len(features), -1)[:, cells].T, label


def choose(precision: np.ndarray, cells: Sequence[tuple[np.ndarray, np.ndarray]]) -> Chosen:
    """Choose by some complexes.

    Parameters
    ----------
    precision: (n, heads), `head_precisions` of each.
    cells: `drawn_cells` of each.
    """
    rows, label = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    return Chosen(int(precision.mean(axis=0).argmax()), fit_sparse(rows.astype(np.float64), label))


def fit_sparse(rows: np.ndarray, label: np.ndarray, *, penalty: float = PENALTY) -> np.ndarray:
    """Return the weights (F,) of a logistic regression on rows (n, F) with `penalty` on their absolute sum.

    Weights are differences of two that are not negative, so that L-BFGS-B meets no corner.
    """
    from scipy.optimize import minimize

    n_rows, n = rows.shape

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        z = rows @ (flat[:n] - flat[n:-1]) + flat[-1]
        value = np.logaddexp(0.0, z).sum() - label @ z + penalty * flat[:-1].sum()
        miss = logistic(z) - label
        slope = rows.T @ miss
        return value / n_rows, np.concatenate([slope + penalty, penalty - slope, [miss.sum()]]) / n_rows

    bounds = [(0.0, None)] * (2 * n) + [(None, None)]
    found = minimize(loss, np.zeros(2 * n + 1), jac=True, method="L-BFGS-B", bounds=bounds, options=STEPS).x
    return found[:n] - found[n:-1]


def letter_rates(complexes: Sequence[Complex]) -> np.ndarray:
    """Return how often each pair of letters is in contact, (22, 22), the same in either order: a score without network."""
    count = np.zeros((2, N_INDICES, N_INDICES))
    for one in complexes:
        first, second = (letter_indices(chain.sequence).astype(int) for chain in one.chains)
        for table, cells in zip(count, (one.contact, one.seen), strict=True):
            rows, columns = np.nonzero(cells)
            np.add.at(table, (first[rows], second[columns]), 1.0)
    contact, seen = count + count.swapaxes(1, 2)
    return (contact + PRIOR_CELLS * contact.sum() / seen.sum()) / (seen + PRIOR_CELLS)


def letter_scores(one: Complex, rates: np.ndarray) -> np.ndarray:
    """Return the rate of the letters of each pair of residues, (L_A, L_B)."""
    first, second = (letter_indices(chain.sequence).astype(int) for chain in one.chains)
    return rates[first[:, None], second]
