"""Intervals: the fast way against rows written out, coverage of a known truth, comparisons of two methods."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tertia.tasks import metrics
from tertia.tasks.metrics import bootstrap, compare, resample, statistics

PLAIN = {
    "RMSE": metrics.root_mean_square_error,
    "PEARSON": metrics.pearson,
    "SPEARMAN": metrics.spearman,
    "AUROC": metrics.auroc,
    "AUPRC": metrics.auprc,
    "AVERAGE_PRECISION": metrics.average_precision,
}
OF_CALLS = {
    "ACCURACY": metrics.accuracy,
    "MCC": metrics.matthews,
    "F": sklearn_metrics.f1_score,
    "PRECISION": lambda truth, called: sklearn_metrics.precision_score(truth, called, zero_division=0),
    "RECALL": sklearn_metrics.recall_score,
}


def proteins(generator: np.random.Generator, n_proteins: int, n_residues: int) -> tuple[np.ndarray, ...]:
    """Labels, a score with ties that knows something about them, and the protein of every residue, shuffled."""
    protein = generator.permutation(np.repeat([f"p{k}" for k in range(n_proteins)], n_residues))
    labels = generator.random(len(protein)) < 0.3
    score = np.round(np.clip(0.2 * labels + generator.random(len(protein)), 0, 1), 2)
    return labels.astype(float), score, protein


@pytest.mark.parametrize("name", [*PLAIN, *OF_CALLS])
def test_counting_groups_is_writing_their_rows_out(name: str, generator: np.random.Generator) -> None:
    labels, score, protein = proteins(generator, 8, 15)
    columns = (labels, score) if name in PLAIN else (labels, score > 0.6)
    statistic, plain = getattr(statistics, name), (PLAIN | OF_CALLS)[name]
    assert statistic(*columns) == pytest.approx(plain(*columns), abs=1e-9)
    fast = resample(statistic, protein, columns=columns, n_resamples=40, seed=3)
    slow = resample(plain, protein, columns=columns, n_resamples=40, seed=3)
    assert fast == pytest.approx(slow, abs=1e-9)
    assert np.ptp(fast) > 0


@pytest.mark.parametrize("name", ["PEARSON", "SPEARMAN", "AUROC"])
def test_resamples_without_a_value_are_counted(name: str) -> None:
    labels, score = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.3, 0.2, 0.25, 0.1])
    found = bootstrap(getattr(statistics, name), np.array([0, 0, 1, 1]), columns=(labels, score), n_resamples=400)
    assert 150 < found.n_undefined < 250  # half of the resamples have one of the two groups twice
    assert found.low == found.value == found.high
    empty = bootstrap(getattr(statistics, name), np.zeros(4), columns=(np.zeros(4), score), n_resamples=10)
    assert np.isnan([empty.value, empty.low, empty.high]).all()
    assert empty.n_undefined == 10


def test_memory_blocks_do_not_matter(generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, score, protein = proteins(generator, 6, 10)
    for statistic in (statistics.AUROC, statistics.SPEARMAN):
        whole = resample(statistic, protein, columns=(labels, score), n_resamples=50, seed=0)
        with monkeypatch.context() as patch:
            patch.setattr(statistics, "_CELLS", 7 * 60)
            parts = resample(statistic, protein, columns=(labels, score), n_resamples=50, seed=0)
        assert parts.tolist() == whole.tolist()


def test_a_mean_over_targets_skips_what_is_undefined(generator: np.random.Generator) -> None:
    values = np.array([0.1, np.nan, 0.5, 0.9])
    found = bootstrap(statistics.MEAN, np.arange(4), columns=(values,))
    assert found.value == pytest.approx(0.5)
    slow = resample(np.nanmean, np.arange(4), columns=(values[[0, 2, 3, 3]],), n_resamples=20, seed=1)
    fast = resample(statistics.MEAN, np.arange(4), columns=(values[[0, 2, 3, 3]],), n_resamples=20, seed=1)
    assert fast == pytest.approx(slow)
    assert np.isnan(statistics.MEAN(np.full(2, np.nan)))


def test_the_same_seed_gives_the_same_interval(generator: np.random.Generator) -> None:
    labels, score, protein = proteins(generator, 10, 10)
    one, again, other = (
        bootstrap(statistics.AUROC, protein, columns=(labels, score), n_resamples=200, seed=seed) for seed in (5, 5, 6)
    )
    assert one == again
    assert one != other
    assert one.low < one.value < one.high
    assert (one.n_groups, one.n_resamples, one.level) == (10, 200, 0.95)


def clustered(generator: np.random.Generator, n_groups: int = 40, n_rows: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Values of mean 0 that share most of their deviation within a group."""
    values = np.repeat(generator.normal(size=n_groups), n_rows) + 0.3 * generator.normal(size=n_groups * n_rows)
    return values, np.repeat(np.arange(n_groups), n_rows)


def test_the_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    """250 experiments; resampling single rows instead of groups would cover less than half the time."""
    generator = np.random.default_rng(8)
    covered = {"groups": 0, "rows": 0}
    for trial in range(250):
        values, group = clustered(generator)
        for kind, labels in (("groups", group), ("rows", np.arange(len(group)))):
            if kind == "rows" and trial >= 50:
                continue
            found = bootstrap(statistics.MEAN, labels, columns=(values,), n_resamples=400, seed=trial)
            covered[kind] += found.low <= 0.0 <= found.high
    assert 0.91 <= covered["groups"] / 250 <= 0.975  # 0.94 is usual of percentile intervals of 40 groups
    assert covered["rows"] / 50 < 0.6


def test_width_is_that_of_the_normal_approximation() -> None:
    values, group = clustered(np.random.default_rng(2), n_groups=200)
    found = bootstrap(statistics.MEAN, group, columns=(values,), n_resamples=4000)
    error = values.reshape(200, -1).mean(axis=1).std() / np.sqrt(200)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.06)
    narrow = bootstrap(statistics.MEAN, group, columns=(values,), n_resamples=4000, level=0.5)
    assert narrow.high - narrow.low == pytest.approx(2 * 0.6745 * error, rel=0.06)


def test_equal_methods_do_not_differ(generator: np.random.Generator) -> None:
    labels, score, protein = proteins(generator, 10, 20)
    found = compare(statistics.AUROC, protein, first=(labels, score), second=(labels, score), n_resamples=200)
    assert (found.interval.value, found.interval.low, found.interval.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_pairing_sees_a_small_gain_that_separate_intervals_hide(generator: np.random.Generator) -> None:
    difficulty = generator.normal(size=40)
    first, second = difficulty + 0.1 + 0.05 * generator.normal(size=40), difficulty
    found = compare(statistics.MEAN, np.arange(40), first=(first,), second=(second,))
    assert found.interval.low > 0.05
    assert found.interval.high < 0.15
    assert found.p == pytest.approx(2 / 2001)
    turned = compare(statistics.MEAN, np.arange(40), first=(second,), second=(first,))
    assert turned.interval.value == -found.interval.value
    assert turned.p == found.p
    alone = [bootstrap(statistics.MEAN, np.arange(40), columns=(values,)) for values in (first, second)]
    assert alone[0].low < alone[1].high


def test_p_is_rarely_small_without_a_difference() -> None:
    generator = np.random.default_rng(4)
    small = 0
    for trial in range(300):
        first, second = generator.normal(size=(2, 30))
        found = compare(statistics.MEAN, np.arange(30), first=(first,), second=(second,), n_resamples=300, seed=trial)
        small += found.p < 0.05
        assert (found.p < 0.03) <= (found.interval.low > 0 or found.interval.high < 0) <= (found.p < 0.07)
    assert 0.02 < small / 300 < 0.10


def test_two_methods_at_their_own_thresholds(generator: np.random.Generator) -> None:
    labels, score, protein = proteins(generator, 10, 40)
    found = compare(statistics.MCC, protein, first=(labels, score > 0.7), second=(labels, score > 0.1))
    expected = metrics.matthews(labels, score > 0.7) - metrics.matthews(labels, score > 0.1)
    assert found.interval.value == pytest.approx(expected)


def test_the_mean_over_runs(generator: np.random.Generator) -> None:
    labels, score, protein = proteins(generator, 10, 20)
    other = np.clip(score + 0.3 * generator.random(len(score)), 0, 1)
    statistic = statistics.OverRuns(statistics.AUROC)
    single = [
        resample(statistics.AUROC, protein, columns=(labels, run), n_resamples=30, seed=0) for run in (score, other)
    ]
    both = resample(statistic, protein, columns=(labels, score, other), n_resamples=30, seed=0)
    assert both == pytest.approx(np.mean(single, axis=0))
    assert statistic(labels, score, other) == pytest.approx(
        (metrics.auroc(labels, score) + metrics.auroc(labels, other)) / 2
    )
    assert compare(statistic, protein, first=(labels, score, score), second=(labels, score, score)).p == 1.0


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="for 3 rows of groups"):
        bootstrap(statistics.MEAN, np.arange(3), columns=(np.zeros(2),))
    with pytest.raises(ValueError, match="no groups"):
        bootstrap(statistics.MEAN, np.array([]), columns=(np.array([]),))
    with pytest.raises(ValueError, match="not finite"):
        bootstrap(statistics.RMSE, np.arange(2), columns=(np.array([0.0, np.nan]), np.zeros(2)))


def test_a_thousand_resamples_of_70_proteins_take_seconds(generator: np.random.Generator) -> None:
    """Processor seconds; about 1 for each."""
    labels, score, protein = proteins(generator, 70, 170)
    score = generator.random(len(score))  # without ties, the slowest
    for statistic in (statistics.AUROC, statistics.SPEARMAN):
        before = time.process_time()
        bootstrap(statistic, protein, columns=(labels, score), n_resamples=1000)
        assert time.process_time() - before < 20.0  # waiting threads of a busy machine count too
