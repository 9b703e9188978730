"""The ablation of partners: arms that differ in one thing, tokens that agree, intervals by hand, and a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import tertia
from benchmarks import pairlm_ablation, pairlm_arms, pairlm_page
from benchmarks.pairlm_arms import ARMS, RECIPE, SIZES, TOLERANCE, Lines, matched_batches, overrides, plan
from benchmarks.pairlm_readouts import FIGURES, figure_of, labelled_pairs, read_out
from tertia.data.pairs import Pairs
from tertia.data.split import PARTS
from tertia.data.store import Store
from tertia.errors import InputError
from tertia.models import FAMILIES
from tertia.recipe import read_recipe
from tertia.tasks.metrics.statistics import MEAN
from tertia.tasks.task import Figure
from tertia.training import checkpoint
from tests.sequence_benchmarks import write_sequence_benchmarks
from tests.structures import random_sequence

TINY = SIZES["tiny"]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Forty proteins, of which five stand in no pair, and pairs within every part."""
    folder = tmp_path_factory.mktemp("given")
    text = "".join(f">p{k:02d}\n{random_sequence(20 + k, seed=k)}\n" for k in range(40))
    (folder / "proteins.fa").write_text(text)
    rows = [f"p{a:02d}\tp{b:02d}" for a in range(35) for b in range(a) if (a + b) % 3 == 0]
    (folder / "pairs.tsv").write_text("\n".join(["protein_a\tprotein_b", *rows]) + "\n")
    tertia.prepare(folder / "proteins.fa", folder / "store", pairs=folder / "pairs.tsv", fractions=(0.7, 0.2, 0.1),
                   tool="builtin", progress=False)  # fmt: skip
    return folder / "store"


@pytest.fixture(scope="module")
def made(store, tmp_path_factory):
    return plan(store, tmp_path_factory.mktemp("plan"), TINY, ())


def keys_of_pairs(store: Store) -> set[tuple[str, str, str]]:
    """Return (part, key, key) of all pairs with both chains in one part."""
    pairs, keys, out = Pairs.of(store), store.keys, set()
    for part in PARTS:
        for row in pairs.among(store.split(part)):
            out.add((part, keys[pairs.first[row]], keys[pairs.second[row]]))
    return out


def test_arms_learn_from_the_chains_and_pairs_of_one_store(store, made) -> None:
    whole, own = Store.open(store), Store.open(made.store)
    expected = keys_of_pairs(whole)
    assert keys_of_pairs(own) == expected and len(Pairs.of(own)) == len(expected) < len(Pairs.of(whole))
    for part in PARTS:
        assert {own.keys[k] for k in own.split(part)} == {key for row in expected if row[0] == part for key in row[1:]}
    assert len(own) < 36 and all(own[key].sequence == whole[key].sequence for key in own.keys)


def test_counted_tokens_are_those_of_the_batches_and_agree(made) -> None:
    store, totals = Store.open(made.store), {}
    for arm in ARMS:
        recipe = read_recipe(RECIPE, made.overrides(arm, 1))
        lines = Lines(store, recipe)
        examples = lines.examples(recipe)
        batches = [examples[step] for step in range(examples.steps)]
        totals[arm] = sum(int((noisy.token > 0).sum()) for noisy, _ in batches)
        assert lines.seen(examples)["tokens"] == totals[arm]
        assert {int(noisy.part.max()) % 128 for noisy, _ in batches} == {1 if arm == "single" else 2}
    assert max(totals.values()) < 1.1 * min(totals.values())  # of three steps; of a thousand, 3 %


def test_arms_differ_in_what_they_are_for() -> None:
    changes = {arm: set(overrides(ARMS[arm], TINY, 0)) for arm in ARMS}
    for (arm, other), n_changes in {("random", "apart"): 1, ("binding", "random"): 1, ("half", "random"): 1}.items():
        assert len(changes[arm] - changes[other]) == n_changes, (arm, other)


def test_batches_are_matched_within_the_tolerance(monkeypatch) -> None:
    means = {"single": 131.7, "half": 240.1, "random": 238.9}
    found = matched_batches(means, 16)
    tokens = [found[name] * mean for name, mean in means.items()]
    assert max(tokens) <= (1 + TOLERANCE) * min(tokens) and 16 <= found["half"] <= 48
    monkeypatch.setattr(pairlm_arms, "MOST_LINES", 2)
    with pytest.raises(InputError, match="cannot be matched"):
        matched_batches({"one": 100.0, "two": 3.0, "three": 110.0}, 1)


def test_an_interval_adds_the_variances_of_examples_and_seeds() -> None:
    """Three seeds of two hundred examples, beside what the formula of a random-effects mean gives."""
    generator = np.random.default_rng(0)
    examples, seeds = generator.normal(size=200), np.array([-0.3, 0.1, 0.2])
    figures = [Figure("gain", MEAN, np.arange(200), (examples + seed,)) for seed in seeds]
    one = pairlm_page.interval(*pairlm_page.by_seed(figures))
    variance = examples.var() / 200 + seeds.var(ddof=1) / 3
    assert one["value"] == pytest.approx(examples.mean() + seeds.mean())
    half = (one["high"] - one["low"]) / 2
    assert 1.96 * variance**0.5 < half < 4.31 * variance**0.5  # between the normal and t with two degrees of freedom
    same = pairlm_page.interval(*pairlm_page.by_seed(figures[:1] * 3))
    assert (same["high"] - same["low"]) / 2 == pytest.approx(1.97 * (examples.var() / 200) ** 0.5, rel=0.1)


def test_a_difference_is_told_by_its_interval_alone() -> None:
    def row(figure: str, value: float) -> dict:
        return {
            "arm": "random",
            "against": "apart",
            "figure": figure,
            "value": value,
            "low": value - 1,
            "high": value + 1,
        }

    rows = [row("gain", 2.0), row("alone", 2.0), row("zero-shot", 0.5)]
    assert [pairlm_page.says(one) for one in rows] == ["better", "worse", ""]
    (line,) = pairlm_page.conclusion(rows)
    assert (
        "better in gain" in line and "worse in cross entropy alone" in line and "no difference shown in AUROC" in line
    )


def test_the_ablation_runs_is_continued_and_makes_its_page(store, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tertia.training.curves.draw", lambda folder: "")
    monkeypatch.setattr(pairlm_page, "N_RESAMPLES", 20)
    torch.set_num_threads(1)
    data = write_sequence_benchmarks(tmp_path / "data")
    words = [
        store,
        "--data",
        data,
        "--work",
        tmp_path / "work",
        "--size",
        "tiny",
        "--seeds",
        "0",
        "--read-outs",
        "pairs",
        "homology",
    ]
    words = [str(word) for word in words]
    pairlm_ablation.main([*words, "--arms", "apart", "random"], results=tmp_path)
    weights = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.np[yz]")}
    text = pairlm_ablation.main([*words, "--arms", "single", "apart", "random", "--write"], results=tmp_path)
    assert weights and all(path.stat().st_mtime_ns == time for path, time in weights.items())
    numbers = json.loads((tmp_path / "pairlm_ablation.json").read_text())
    assert set(numbers["values"]) == {"single", "apart", "random", "untrained", "frequencies"}
    shown = set(FIGURES) - {"localisation", "pair_binding"}
    assert all(set(numbers["values"][arm]) == shown for arm in ("single", "apart", "random"))
    assert numbers["values"]["apart"]["gain"]["value"] == 0 and numbers["values"]["apart"]["zero-shot"]["value"] == 0.5
    assert numbers["values"]["random"]["gain"]["value"] != 0
    known = numbers["values"]["frequencies"]
    assert known["alone"] == known["partner"] == known["random"] and 2.0 < known["alone"]["value"] < 3.5
    compared = {(one["arm"], one["against"], one["figure"]) for one in numbers["differences"]}
    assert {("single", "frequencies", "alone"), ("random", "frequencies", "random")} <= compared
    unlike = {("apart", "single", "partner"), ("random", "apart", "alone"), ("random", "frequencies", "gain")}
    assert not unlike & compared
    assert text == (tmp_path / "pairlm_ablation.md").read_text() and (tmp_path / "pairlm_ablation.svg").is_file()
    assert "Attention to a random chain" in text and str(tmp_path) not in text and str(tmp_path) not in str(numbers)
    with pytest.raises(InputError, match="other settings"):
        pairlm_ablation.main([*words, "--set", "dropout=0.2"], results=tmp_path)


@pytest.mark.parametrize("task", ["localisation", "pair_binding"])
def test_probes_of_the_other_tasks_give_their_figure(task: str, tmp_path) -> None:
    data = write_sequence_benchmarks(tmp_path / "data")
    family = FAMILIES["pairlm"](width=16, n_layers=1, n_heads=2)
    checkpoint.save(tmp_path / "model", family, family.network().eval(), recipe="", meta={})
    path = tmp_path / "read" / f"{task}.npz"
    read_out(task, tmp_path / "model", data, size=TINY, seed=0, path=path)
    figure = figure_of(task, path.parent)
    assert len(np.unique(figure.columns[0])) > 1 and 0 <= figure.statistic(*figure.columns) <= 1


def test_pairs_are_a_balanced_sample_of_the_test(tmp_path) -> None:
    data = write_sequence_benchmarks(tmp_path)
    labels = [one.target[0] for one in labelled_pairs(data, 24)]
    assert labels == [1.0] * 12 + [0.0] * 12
