"""Error and correlation: hand-worked values, scipy, and what is undefined."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tertia.tasks.metrics import kendall, mean_absolute_error, pearson, per_group, root_mean_square_error, spearman
from tertia.tasks.metrics.values import ranks

CORRELATIONS = {pearson: scipy.stats.pearsonr, spearman: scipy.stats.spearmanr, kendall: scipy.stats.kendalltau}


def test_worked_by_hand() -> None:
    truth, predicted = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 6.0])
    assert mean_absolute_error(truth, predicted) == 1.0  # (0 + 1 + 1 + 2) / 4
    assert root_mean_square_error(truth, predicted) == pytest.approx(np.sqrt(6 / 4))
    assert pearson(truth, predicted) == pytest.approx(7 / np.sqrt(5 * 14))  # deviations -1.5..1.5 and -2, 0, -1, 3
    assert spearman(truth, predicted) == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert kendall(truth, predicted) == pytest.approx(4 / 6)  # five pairs agree, one does not


def test_ties_share_their_mean_rank() -> None:
    assert ranks(np.array([5.0, 1.0, 5.0, 5.0, 0.0])).tolist() == [4.0, 2.0, 4.0, 4.0, 1.0]


@pytest.mark.parametrize("function", CORRELATIONS)
@pytest.mark.parametrize("n_values", [3, 10, 10_000])
def test_as_scipy_with_and_without_ties(function, n_values: int, generator: np.random.Generator) -> None:
    for n in (2, 5, 40, 500):
        truth = np.append(generator.integers(n_values, size=n - 2) / n_values, [0.0, 1.0])
        predicted = np.append(generator.integers(n_values, size=n - 2) * 1e-6 + 3.0, [3.0, 3.1])
        expected = CORRELATIONS[function](truth, predicted)[0]
        assert function(truth, predicted) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("function", CORRELATIONS)
@pytest.mark.parametrize("constant", [0.1, 0.0, 1e-12, 7.3])
def test_a_constant_side_correlates_with_nothing(function, constant: float) -> None:
    varying, flat = np.linspace(0, 1, 7), np.full(7, constant)  # the mean of seven 0.1 is not 0.1
    assert np.isnan(function(varying, flat))
    assert np.isnan(function(flat, varying))


@pytest.mark.parametrize("function", [*CORRELATIONS, mean_absolute_error, root_mean_square_error])
def test_no_rows_have_no_figure(function) -> None:
    assert np.isnan(function(np.array([]), np.array([])))


@pytest.mark.parametrize("function", CORRELATIONS)
def test_one_row_does_not_correlate(function) -> None:
    assert np.isnan(function(np.array([1.0]), np.array([2.0])))


def test_correlation_of_tiny_and_huge_numbers() -> None:
    truth = np.array([1.0, 2.0, 4.0])
    for scale in (1e-200, 1e200):
        assert pearson(truth, truth[::-1] * scale) == pytest.approx(pearson(truth, truth[::-1]))


def test_broken_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 entries of the prediction are not finite"):
        pearson(np.array([0.0, 1.0]), np.array([np.nan, 1.0]))
    with pytest.raises(ValueError, match="entries of the truth"):
        mean_absolute_error(np.array([np.inf, 1.0]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="not \\(n,\\) both"):
        spearman(np.zeros(2), np.zeros(3))


def test_rows_of_a_group_may_lie_apart() -> None:
    labels, values = per_group(
        lambda x, y: float((x * y).sum()), np.array(["b", "a", "b"]), columns=(np.arange(3.0), np.ones(3))
    )
    assert labels.tolist() == ["a", "b"]
    assert values.tolist() == [1.0, 2.0]


def test_no_rows_make_no_groups() -> None:
    labels, values = per_group(mean_absolute_error, np.array([]), columns=(np.array([]), np.array([])))
    assert len(labels) == len(values) == 0
