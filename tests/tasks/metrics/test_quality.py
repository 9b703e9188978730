"""Quality assessment: worked by hand, by plain loops, on edge cases, and against published figures of real tables."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from tertia.tasks.metrics import Agreement, global_agreement, local_agreement, mean_absolute_error, per_group

NAN = np.nan


def test_worked_by_hand() -> None:
    truth = np.array([0.2, 0.4, 0.9, 0.5, 0.5, 0.8, NAN])
    predicted = np.array([0.3, 0.5, 0.4, 0.1, 0.7, 0.7, 0.9])
    target = np.array(["a", "a", "a", "b", "b", "b", "b"])
    found = global_agreement(truth, predicted, target=target)
    assert found.n_rows == 6
    assert (found.n_without_truth, found.n_empty) == (1, 0)
    assert found.groups.tolist() == ["a", "b"]
    # a: the second decoy is ranked first; b: the second and third tie, and the second comes first.
    assert found.by_group["FRL"] == pytest.approx([0.9 - 0.4, 0.8 - 0.5])
    assert found.by_group["FRL_5"] == pytest.approx([0.0, 0.0])
    assert found.by_group["z"] == pytest.approx([-0.1 / np.sqrt(0.26 / 3), -0.1 / np.sqrt(0.02)])
    assert found.by_group["RMSE_target"] == pytest.approx([np.sqrt(0.27 / 3), np.sqrt(0.21 / 3)])
    assert found.by_group["R_target"] == pytest.approx([0.02 / np.sqrt(0.26 * 0.02), 0.06 / np.sqrt(0.06 * 0.24)])
    assert found.by_group["rho_target"] == pytest.approx([0.5, 0.5])
    assert found.value["FRL"] == pytest.approx(0.4)
    assert found.value["RMSE"] == pytest.approx(np.sqrt(0.48 / 6))
    assert found.n_counted["RMSE"] == 6
    assert found.n_counted["FRL"] == 2


def test_the_first_five_of_many() -> None:
    truth = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.95])
    predicted = np.array([9.0, 8.0, 7.0, 6.0, 5.0, 5.0, 4.0])  # of the fifth and sixth, the first row counts
    found = global_agreement(truth, predicted, target=np.zeros(7))
    assert found.value["FRL_5"] == pytest.approx(0.95 - 0.5)
    assert found.value["FRL"] == pytest.approx(0.95 - 0.1)


def loops(truth, predicted, target) -> dict[str, float]:
    """The same figures, by scipy and one target after the other."""
    known = ~np.isnan(truth)
    truth, predicted, target = truth[known], predicted[known], target[known]
    rows: dict[str, list[float]] = {name: [] for name in ("R_target", "rho_target", "tau_target", "z", "FRL", "FRL_5")}
    for name in sorted(set(target)):
        t, p = truth[target == name], predicted[target == name]
        best = max(range(len(p)), key=lambda k: (p[k], -k))
        five = sorted(range(len(p)), key=lambda k: (-p[k], k))[:5]
        rows["R_target"].append(scipy.stats.pearsonr(t, p)[0])
        rows["rho_target"].append(scipy.stats.spearmanr(t, p)[0])
        rows["tau_target"].append(scipy.stats.kendalltau(t, p)[0])
        rows["z"].append(scipy.stats.zscore(t)[best])
        rows["FRL"].append(max(t) - t[best])
        rows["FRL_5"].append(min(max(t) - t[k] for k in five))
    out = {name: float(np.mean(values)) for name, values in rows.items()}
    out["RMSE"] = float(np.sqrt(np.mean((truth - predicted) ** 2)))
    return out | {"R": scipy.stats.pearsonr(truth, predicted)[0], "rho": scipy.stats.spearmanr(truth, predicted)[0]}


@pytest.mark.parametrize("mode", ["strict", "published"])
@pytest.mark.parametrize("decimals", [1, 8])
def test_as_plain_loops(mode: str, decimals: int, generator: np.random.Generator) -> None:
    truth = np.round(generator.random(400), decimals)
    predicted = np.round(0.5 * truth + 0.5 * generator.random(400), decimals)
    truth[generator.random(400) < 0.1] = NAN
    target = generator.integers(12, size=400)
    found = global_agreement(truth, predicted, target=target, mode=mode)
    expected = loops(truth, predicted, target)
    assert {name: found.value[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    local = local_agreement(truth, predicted, decoy=target, mode=mode)
    assert local.value["rho_decoy"] == pytest.approx(expected["rho_target"], abs=1e-9)
    assert local.value["R_decoy"] == pytest.approx(expected["R_target"], abs=1e-9)
    assert local.value["rho"] == pytest.approx(expected["rho"], abs=1e-9)
    assert all(found.n_counted[name] == 12 for name in ("R_target", "z", "FRL", "FRL_5"))


def edge_cases() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four targets: ordinary (R -1, FRL 0.2), no truth at all, constant prediction, one decoy."""
    truth = np.array([0.1, 0.3, NAN, NAN, 0.2, 0.6, 0.7])
    predicted = np.array([0.9, 0.8, 0.4, NAN, 0.5, 0.5, 0.5])
    return truth, predicted, np.array([0, 0, 1, 1, 2, 2, 3])


def test_a_target_without_truth_counts_as_perfect_as_published() -> None:
    truth, predicted, target = edge_cases()
    found = global_agreement(truth, predicted, target=target, mode="published")
    assert found.by_group["R_target"] == pytest.approx([-1.0, 1.0, NAN, NAN], nan_ok=True)
    assert found.by_group["rho_target"] == pytest.approx([-1.0, 1.0, NAN, NAN], nan_ok=True)
    assert found.by_group["tau_target"] == pytest.approx([-1.0, 1.0, NAN, NAN], nan_ok=True)
    assert found.by_group["RMSE_target"] == pytest.approx([np.sqrt(0.445), 0.0, np.sqrt(0.05), 0.2])
    assert found.by_group["z"] == pytest.approx([-1.0, 0.0, -1.0, NAN], nan_ok=True)
    assert found.by_group["FRL"] == pytest.approx([0.2, 0.0, 0.4, 0.0])
    assert found.by_group["FRL_5"] == pytest.approx([0.0] * 4)
    assert found.value["R_target"] == pytest.approx(0.0)
    assert found.value["FRL"] == pytest.approx(0.6 / 4)
    assert (found.n_empty, found.n_counted["R_target"], found.n_counted["z"], found.n_counted["FRL"]) == (1, 2, 3, 4)


def test_a_target_without_truth_is_left_out_in_strict_mode() -> None:
    truth, predicted, target = edge_cases()
    found = global_agreement(truth, predicted, target=target)
    assert found.by_group["R_target"] == pytest.approx([-1.0, NAN, NAN, NAN], nan_ok=True)
    assert found.value["R_target"] == pytest.approx(-1.0)
    assert found.value["z"] == pytest.approx(-1.0)
    assert found.value["FRL"] == pytest.approx(0.6 / 3)
    assert (found.n_empty, found.n_counted["R_target"], found.n_counted["z"], found.n_counted["FRL"]) == (1, 1, 2, 3)
    assert (found.n_rows, found.n_without_truth) == (5, 2)


@pytest.mark.parametrize("mode", ["strict", "published"])
def test_small_targets_can_be_left_out(mode: str) -> None:
    truth, predicted, target = edge_cases()
    found = global_agreement(truth, predicted, target=target, mode=mode, fewest=2)
    assert np.isnan(found.by_group["FRL"][3])
    assert found.n_counted["FRL"] == {"strict": 2, "published": 3}[mode]


@pytest.mark.parametrize("agreement", [
    lambda truth, predicted, mode: global_agreement(truth, predicted, target=np.zeros(len(truth)), mode=mode),
    lambda truth, predicted, mode: local_agreement(truth, predicted, decoy=np.zeros(len(truth)), mode=mode),
])  # fmt: skip
def test_no_truth_at_all(agreement) -> None:
    for n in (0, 3):
        strict = agreement(np.full(n, NAN), np.zeros(n), "strict")
        assert np.isnan(list(strict.value.values())).all()
        assert set(strict.n_counted.values()) == {0}
        published = agreement(np.full(n, NAN), np.zeros(n), "published").value
        assert (published["RMSE"], published["R"], published["rho"]) == (0.0, 1.0, 1.0)


def test_equal_truth_has_no_z() -> None:
    found = global_agreement(np.full(3, 0.1), np.array([0.1, 0.2, 0.3]), target=np.zeros(3))
    assert np.isnan(found.value["z"])
    assert found.value["FRL"] == 0.0


def test_rows_in_any_order(generator: np.random.Generator) -> None:
    truth, predicted, target = generator.random(60), generator.random(60), generator.integers(5, size=60)
    order = generator.permutation(60)
    found = global_agreement(truth, predicted, target=target).value
    assert global_agreement(truth[order], predicted[order], target=target[order]).value == pytest.approx(found)


def test_broken_input_is_refused() -> None:
    ones = np.ones(2)
    with pytest.raises(ValueError, match="not finite"):
        global_agreement(ones, np.array([NAN, 1.0]), target=ones)
    with pytest.raises(ValueError, match="differ in shape"):
        local_agreement(ones, ones, decoy=np.ones(3))
    with pytest.raises(ValueError, match="allowed are 'strict' and 'published'"):
        global_agreement(ones, ones, target=ones, mode="exact")


# Published by the authors of HMDM (Takei & Ishida 2022, yutake27/HMDM score/*/mqa_result.csv) from their own code, in
# GDT_TS over 100 targets: mean Pearson and Spearman within targets, mean loss of the first (ties averaged), mean
# absolute error of the multi-domain and of the single-domain set.
PUBLISHED = {
    ("multi", "DOPE"): (0.8094952379, 0.7119701478, 0.024684, None),
    ("multi", "SOAP"): (0.7407403118, 0.6198594815, 0.029212, None),
    ("multi", "SBROD"): (0.7854705598, 0.6764728543, 0.036842, None),
    ("multi", "ProQ3D"): (0.8174962195, 0.7234413869, 0.035871, 0.0952922067),
    ("multi", "DeepAccNet"): (0.8576132714, 0.7343053478, 0.028726667, 0.1943994720),
    ("multi", "DeepAccNet-Bert"): (0.8817481614, 0.7880179170, 0.0276025, 0.1420806809),
    ("multi", "P3CMQA"): (0.8835545489, 0.8018772187, 0.018840, 0.0751840231),
    ("single", "DOPE"): (0.7447035863, 0.6751509067, 0.040131, None),
    ("single", "SOAP"): (0.6422272070, 0.6028338681, 0.038180, None),
    ("single", "ProQ3D"): (0.7245054464, 0.6631008757, 0.045616, 0.1293629424),
    ("single", "DeepAccNet"): (0.7479600217, 0.6748962637, 0.032885, 0.2383763103),
    ("single", "DeepAccNet-Bert"): (0.8205269855, 0.7538255259, 0.033722, 0.1727551845),
    ("single", "P3CMQA"): (0.8381022339, 0.7767864430, 0.030906, 0.0963876305),
}


def table(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Return the columns of a score table."""
    with gzip.open(folder / "quality_assessment" / "casp_score_tables" / name, "rt") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


@pytest.fixture(scope="module")
def homology(shared_data: Path) -> dict[str, dict[str, np.ndarray]]:
    return {kind: table(shared_data, f"hmdm_{kind}_scores.tsv.gz") for kind in ("multi", "single")}


def agreement_of(columns: dict[str, np.ndarray], method: str) -> tuple[Agreement, np.ndarray, np.ndarray, np.ndarray]:
    given = columns[method] != "NA"
    truth, predicted, target = columns["gdt_ts"][given].astype(float), columns[method][given], columns["target"][given]
    predicted = predicted.astype(float)
    return global_agreement(truth, predicted, target=target), truth, predicted, target


@pytest.mark.parametrize(("kind", "method"), PUBLISHED)
def test_published_figures_of_real_models(kind: str, method: str, homology) -> None:
    """14,000 real homology models of 100 targets: our means within targets are those that the authors published."""
    found, truth, predicted, target = agreement_of(homology[kind], method)
    r, rho, loss, error = PUBLISHED[kind, method]
    assert found.value["R_target"] == pytest.approx(r, abs=3e-6)  # the public table is rounded
    assert found.value["rho_target"] == pytest.approx(rho, abs=2e-5)
    assert found.value["FRL"] == pytest.approx(loss, abs=5e-4)  # they average over ties
    if error is not None:
        errors = per_group(mean_absolute_error, target, columns=(truth, predicted))[1]
        assert errors.mean() == pytest.approx(error, abs=3e-6)


def test_casp13_models_of_a_published_method(shared_data: Path) -> None:
    """ResNetQA on CASP13 is no row of the published tables, but must land among their single-model methods."""
    columns = table(shared_data, "casp12_13_stage2_model_scores.tsv.gz")
    rows = columns["casp"] == "CASP13"
    truth, predicted = columns["gdt_ts"][rows].astype(float), columns["pred_gdt_resnetqa"][rows].astype(float)
    found = global_agreement(truth, predicted, target=columns["target"][rows])
    assert found.n_counted["R_target"] == 76
    assert 0.80 < found.value["R"] < 0.93
    assert 0.65 < found.value["R_target"] < 0.87
    assert 0.08 < found.value["RMSE"] < 0.15
    assert 0.85 < found.value["z"] < 1.30
    assert found.value["FRL_5"] < found.value["FRL"] < 0.12
