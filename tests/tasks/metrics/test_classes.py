"""Classification figures: by hand, against scikit-learn, with ties, one class and nothing at all."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tertia.tasks.metrics import (
    accuracy,
    auprc,
    auroc,
    average_precision,
    balanced_accuracy,
    best_threshold,
    classification,
    consistent,
    macro_f,
    matthews,
    prevalences,
)


def sample(generator: np.random.Generator, n: int, *, n_values: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels with both classes, and scores in 0-1 with ties when there are few values."""
    labels = np.append(generator.random(n - 2) < 0.2, [False, True])
    return labels, np.clip(np.round((generator.random(n) + 0.3 * labels) * n_values) / n_values, 0, 1)


def test_worked_by_hand() -> None:
    labels, score = np.array([1, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.4, 0.4, 0.1])
    found = classification(labels, score, threshold=0.5)
    assert (found.n, found.n_positive) == (5, 2)
    # Pairs: 0.9 beats all three; 0.4 loses to 0.8, ties, beats 0.1.
    assert found.auroc == pytest.approx((3 + 0 + 0.5 + 1) / 6)
    # Points (recall, precision): (0, 1), (1/2, 1), (1/2, 1/2), (1, 1/2), (1, 2/5).
    assert found.auprc == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert found.average_precision == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert (found.accuracy, found.precision, found.recall, found.f) == (0.6, 0.5, 0.5, 0.5)
    assert found.mcc == pytest.approx((1 * 2 - 1 * 1) / np.sqrt(2 * 3 * 2 * 3))


def test_trapezoids_and_steps_differ() -> None:
    labels, score = np.array([0, 1, 0, 1]), np.array([0.9, 0.7, 0.5, 0.3])  # precision 0, 1/2, 1/3, 1/2
    assert average_precision(labels, score) == pytest.approx(0.5)
    assert auprc(labels, score) == pytest.approx(0.5 * (0 + 1 / 2) / 2 + 0.5 * (1 / 3 + 1 / 2) / 2)


@pytest.mark.parametrize("n_values", [2, 7, 100_000])
@pytest.mark.parametrize("n", [2, 9, 300])
def test_as_scikit_learn(n: int, n_values: int, generator: np.random.Generator) -> None:
    for _ in range(5):
        labels, score = sample(generator, n, n_values=n_values)
        threshold = float(generator.choice(score))
        found, called = classification(labels, score, threshold=threshold), score > threshold
        precision, recall, _ = sklearn_metrics.precision_recall_curve(labels, score)
        expected = {
            "auroc": sklearn_metrics.roc_auc_score(labels, score),
            "auprc": sklearn_metrics.auc(recall, precision),
            "average_precision": sklearn_metrics.average_precision_score(labels, score),
            "accuracy": sklearn_metrics.accuracy_score(labels, called),
            "precision": sklearn_metrics.precision_score(labels, called, zero_division=0),
            "recall": sklearn_metrics.recall_score(labels, called),
            "f": sklearn_metrics.f1_score(labels, called),
            "mcc": sklearn_metrics.matthews_corrcoef(labels, called),
        }
        assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, abs=1e-9)
        assert auroc(labels, score) == found.auroc
        assert matthews(labels, called) == found.mcc


def test_a_score_that_says_nothing() -> None:
    labels, score = np.array([1, 0, 0, 0]), np.full(4, 0.3)
    assert auroc(labels, score) == 0.5
    assert average_precision(labels, score) == 0.25
    assert auprc(labels, score) == pytest.approx((1 + 0.25) / 2)  # one trapezoid from precision 1


@pytest.mark.parametrize(("labels", "undefined"), [
    (np.zeros(3), {"auroc", "auprc", "average_precision", "precision", "recall", "f", "mcc"}),
    (np.ones(3), {"auroc", "mcc"}),
    (np.array([]), {"auroc", "auprc", "average_precision", "accuracy", "precision", "recall", "f", "mcc"}),
])  # fmt: skip
def test_proteins_of_one_class(labels: np.ndarray, undefined: set[str]) -> None:
    found = classification(labels, np.linspace(0.1, 0.9, len(labels)), threshold=0.5)
    names = ("auroc", "auprc", "average_precision", "accuracy", "precision", "recall", "f", "mcc")
    assert {name for name in names if np.isnan(getattr(found, name))} == undefined
    if labels.any():
        assert (found.auprc, found.average_precision, found.precision) == (1.0, 1.0, 1.0)


def test_calling_nothing_or_everything() -> None:
    labels, score = np.array([1, 0, 0, 1]), np.array([0.2, 0.3, 0.4, 0.5])
    nothing, everything = (classification(labels, score, threshold=t) for t in (0.9, 0.0))
    assert (nothing.precision, nothing.recall, nothing.f, nothing.mcc) == (0.0, 0.0, 0.0, 0.0)
    assert (everything.precision, everything.recall, everything.mcc) == (0.5, 1.0, 0.0)


def test_the_threshold_scan_is_the_loop_of_the_published_code(generator: np.random.Generator) -> None:
    for _ in range(20):
        labels, score = sample(generator, 60, n_values=int(generator.choice([20, 100, 10**6])))
        best, expected = 0.0, np.nan
        for percent in range(1, 100):
            called = score > percent / 100
            precision, recall = labels[called].mean() if called.any() else 0.0, called[labels].mean()
            f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
            if f > best + 1e-12:
                best, expected = f, percent / 100
        assert best_threshold(labels, score) == expected


def test_the_scan_takes_the_first_of_equals_and_what_lies_above() -> None:
    assert best_threshold(np.array([0, 1]), np.array([0.25, 0.5])) == 0.25  # 0.25 is not above 0.25
    assert np.isnan(best_threshold(np.array([1, 0]), np.array([0.0, 0.5])))
    assert np.isnan(best_threshold(np.zeros(3), np.full(3, 0.5)))


def test_more_classes_as_scikit_learn(generator: np.random.Generator) -> None:
    letters = np.array(list("HEC"))
    for n in (1, 5, 200):
        truth, called = letters[generator.integers(3, size=n)], letters[generator.integers(3, size=n)]
        known = np.isin(called, truth)  # scikit-learn warns about calls of classes that do not occur
        assert accuracy(truth, called) == pytest.approx(sklearn_metrics.accuracy_score(truth, called))
        expected = sklearn_metrics.f1_score(truth, called, average="macro", zero_division=0)
        assert macro_f(truth, called) == pytest.approx(expected, abs=1e-9)
        truth, called = truth[known], called[known]
        if len(truth) and set(truth) >= set(called):
            expected = sklearn_metrics.balanced_accuracy_score(truth, called)
            assert balanced_accuracy(truth, called) == pytest.approx(expected, abs=1e-9)


def test_more_classes_by_hand() -> None:
    truth, called = np.array(["a", "a", "a", "b"]), np.array(["a", "a", "b", "c"])
    assert accuracy(truth, called) == 0.5
    assert balanced_accuracy(truth, called) == pytest.approx((2 / 3 + 0) / 2)  # c does not occur in the truth
    assert macro_f(truth, called) == pytest.approx((4 / 5 + 0 + 0) / 3)


@pytest.mark.parametrize("function", [accuracy, balanced_accuracy, macro_f])
def test_no_rows_have_no_figure(function) -> None:
    assert np.isnan(function(np.array([]), np.array([])))


def test_wrong_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="must be 0 or 1, found 0, 2"):
        auroc(np.array([0, 2]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="entries of the prediction are not finite"):
        auprc(np.array([0, 1]), np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="not \\(n,\\) both"):
        accuracy(np.zeros(2), np.zeros(3))


def test_figures_of_the_same_calls_are_consistent(generator: np.random.Generator) -> None:
    for n in (2, 10, 500):
        for share in (0.02, 0.5, 0.9):
            labels, called = generator.random(n) < share, generator.random(n) < share
            labels[0] = True
            found = classification(labels, called.astype(float), threshold=0.5)
            assert consistent(found.accuracy, found.f, labels.mean())
            rounded = (round(found.accuracy, 3), round(found.f, 3), round(labels.mean(), 3))
            assert consistent(*rounded, rounding=0.0005)


def test_every_table_of_two_by_two_lies_between_its_prevalences() -> None:
    """All tables of 8 rows: the bounds are reached by tables with the same accuracy and F, and never passed."""
    n = 8
    tables = [(t, p, m, n - t - p - m) for t in range(n + 1) for p in range(n + 1 - t) for m in range(n + 1 - t - p)]
    for t, p, m, _ in tables:
        if 2 * t + p + m == 0:
            continue  # F is undefined
        least, largest = prevalences(1 - (p + m) / n, 2 * t / (2 * t + p + m))
        if p + m:
            assert (least, largest) == pytest.approx((t / n, (t + p + m) / n))
        else:
            assert (least, largest) == (0.0, 1.0)


def test_a_published_row_is_not_of_a_balanced_set() -> None:
    """Accuracy 0.983 with F 0.445 on pairs said to be half positive (Filipavicius et al. 2020, Table 3)."""
    assert not consistent(0.983, 0.445, 0.5, rounding=0.0005)
    assert prevalences(0.983, 0.445) == pytest.approx((0.0068, 0.0238), abs=1e-4)
    assert prevalences(0.931, 0.251) == pytest.approx((0.0116, 0.0806), abs=1e-4)
    assert np.isnan(prevalences(0.4, 0.9)).all() and not consistent(0.4, 0.9, 0.5)
    assert np.isnan(prevalences(1.0, 0.5)).all() and np.isnan(prevalences(0.0, 0.5)).all()
