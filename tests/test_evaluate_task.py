"""The harness: rows, seeds, intervals, what leaks, and the page that is written of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tertia import cli
from tertia.data.example import Example
from tertia.errors import CheckpointError, InputError
from tertia.evaluate import runs
from tertia.evaluate import task as harness
from tertia.evaluate.leaks import clean_positions
from tertia.evaluate.page import COLUMNS, write_page
from tertia.evaluate.rows import Row, rows_of
from tertia.evaluate.task import evaluate_task
from tertia.sequence import mmseqs
from tertia.sequence.fasta import Record
from tertia.structure.read_sequences import sequence_chain
from tertia.tasks import TASKS
from tertia.training import checkpoint, learning
from tests.structures import random_sequence
from tests.training.stores import small_store

SHORT = ("epochs=1",)


@pytest.fixture(autouse=True)
def quickly(monkeypatch) -> None:
    monkeypatch.setattr(harness, "N_RESAMPLES", 50)
    monkeypatch.setattr(harness, "FEWEST_GROUPS", 2)  # there are two test proteins
    monkeypatch.setattr(mmseqs, "program", lambda: None)  # for a few sequences it takes longer than the built-in way


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def evaluate(data: Path, cache: Path, **more):
    given = {"models": "", "options": SHORT, "rows": ("constant", "linear"), "n_seeds": 2, "cache": cache}
    return evaluate_task("quality", data, **(given | more))


def known(report) -> str:
    """Return a report as text; NaN is equal to itself there."""
    return json.dumps(report.as_dict(), sort_keys=True)


def test_finished_runs_come_from_the_cache(quality_data: Path, cache: Path, monkeypatch) -> None:
    first = evaluate(quality_data, cache)
    assert set(first.sets) == {"test", "test, casp_made", "test, other_made"}
    assert first.n_examples["test"] == 4
    assert first.n_examples["test, casp_made"] == first.n_examples["test, other_made"] == 2
    monkeypatch.setattr(learning, "learn", lambda *_, **__: pytest.fail("learnt again"))
    assert known(evaluate(quality_data, cache)) == known(first)
    with pytest.raises(pytest.fail.Exception):
        evaluate(quality_data, cache, n_seeds=3)
    with pytest.raises(pytest.fail.Exception):
        evaluate(quality_data, cache, options=("epochs=2",))


def test_a_changed_answer_or_coordinate_is_another_run(quality_data: Path) -> None:
    examples = TASKS["quality"]().read(quality_data)
    first = examples["train"][0]
    chain = first.chains[0]
    others = [
        replace(first, target=first.target + 0.1),
        replace(first, meta=first.meta | {"gdt_ts": 0.123}),
        replace(first, chains=(replace(chain, atoms=replace(chain.atoms, coord=chain.atoms.coord + np.float32(0.1))),)),
        replace(first, features={"score": np.zeros((len(first), 1), np.float32)}),
    ]
    changed = [runs.digest_of(examples | {"train": [one, *examples["train"][1:]]}) for one in (first, *others)]
    assert len(set(changed)) == 1 + len(others) and runs.digest_of(examples) == changed[0]


def test_figures_are_means_over_seeds(quality_data: Path, cache: Path) -> None:
    both, one = (evaluate(quality_data, cache, n_seeds=n).sets["test"]["linear"] for n in (2, 1))
    task = TASKS["quality"](network_kind="linear")
    examples = task.read(quality_data)
    alone = [runs.read_run(path, examples) for path in sorted((cache / "runs").glob("quality-linear-[01]-*.npz"))]
    for made, wanted in ((both, alone), (one, alone[:1])):
        for name in ("gdt_ts R", "gdt_ts RMSE", "gdt_ts FRL", "local lddt rho", "local lddt rho_decoy"):
            values = []
            for predictions, calibration in wanted:
                figures = {f.name: f for f in task.figures(examples["test"], predictions["test"], calibration)}
                values.append(figures[name].statistic(*figures[name].columns))
            assert made[name]["value"] == pytest.approx(np.mean(values))
            assert made[name]["low"] <= made[name]["high"]


def test_averaged_rows_score_the_mean_prediction_of_the_same_runs(sites_data: Path, tmp_path: Path) -> None:
    given = {"models": "", "options": (*SHORT, "benchmark=graphppis"), "n_seeds": 2, "cache": tmp_path}
    rows = ("graph-features", "graph-features-averaged")
    report = evaluate_task("interface", sites_data, rows=rows, **given)
    assert len(list((tmp_path / "runs").iterdir())) == 2, "the averaged row trains nothing of its own"
    task = TASKS["interface"](benchmark="graphppis")
    examples = task.read(sites_data)
    first, second = (runs.read_run(path, examples)[0] for path in (tmp_path / "runs").iterdir())
    mean = {
        split: [
            replace(a, residue=(a.residue + b.residue) / 2) for a, b in zip(first[split], second[split], strict=True)
        ]
        for split in first
    }
    threshold = task.decide(examples["valid"], mean["valid"])
    for name, table in report.sets.items():
        wanted = {f.name: f for f in task.figures(examples[name], mean[name], threshold)}
        for figure in ("AUPRC", "MCC"):
            value = wanted[figure].statistic(*wanted[figure].columns)
            assert table["graph-features-averaged"][figure]["value"] == pytest.approx(value)
    assert "seeds averaged" in "".join(row.label for row in report.rows)


def test_the_mean_of_the_training_targets_knows_no_order(quality_data: Path, cache: Path) -> None:
    found = evaluate(quality_data, cache).sets["test"]["constant"]
    examples = TASKS["quality"]().read(quality_data)
    wanted = np.mean([one.meta["gdt_ts"] for one in examples["train"]])
    truth = np.array([one.meta["gdt_ts"] for one in examples["test"]])
    assert found["gdt_ts RMSE"]["value"] == pytest.approx(np.sqrt(np.mean((truth - wanted) ** 2)), abs=1e-6)
    assert np.isnan(found["gdt_ts R"]["value"])


def test_embeddings_are_compared_with_features_and_untrained_weights(
    quality_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    rows, options = ("linear-fresh", "linear-structure"), ("epochs=2", "batch=4")
    report = evaluate(quality_data, tmp_path, models=str(tiny_model), rows=rows, options=options, n_seeds=1)
    assert [row.name for row in report.rows] == list(rows)
    found = [one for one in report.differences["test"] if one["figure"] == "gdt_ts RMSE"]
    assert [(one["row"], one["against"]) for one in found] == [("linear-structure", "linear-fresh")]
    table = report.sets["test"]
    wanted = table["linear-structure"]["gdt_ts RMSE"]["value"] - table["linear-fresh"]["gdt_ts RMSE"]["value"]
    assert found[0]["value"] == pytest.approx(wanted)
    assert wanted != 0
    assert not any(one["figure"].startswith("oracle") for one in report.differences["test"])


def test_few_proteins_have_no_interval(quality_data: Path, tiny_model: Path, tmp_path: Path) -> None:
    rows, options = ("linear-fresh", "linear-structure"), ("epochs=1", "batch=4")
    report = evaluate(quality_data, tmp_path, models=str(tiny_model), rows=rows, options=options, n_seeds=1)
    for name in ("test, casp_made", "test, other_made"):  # one target each
        cell = report.sets[name]["linear-structure"]["gdt_ts RMSE"]
        assert np.isfinite(cell["value"])
        assert np.isnan([cell["low"], cell["high"]]).all()
        assert not report.differences[name]
    alone = report.sets["test"]["linear-structure"]["gdt_ts FRL_5"]  # no target has six models
    assert np.isnan(alone["low"])
    assert not any(one["figure"] == "gdt_ts FRL_5" for one in report.differences["test"])
    write_page(report, tmp_path / "quality", command="tertia")
    page = (tmp_path / "quality.md").read_text()
    assert "[" not in page.split("## test, casp_made")[1].split("| *published")[0].split("## ")[0]
    assert "were not looked for" in page


def test_a_row_does_not_differ_from_itself(quality_data: Path, cache: Path) -> None:
    evaluate(quality_data, cache)
    task = TASKS["quality"](network_kind="linear")
    examples = task.read(quality_data)
    seeds = [runs.read_run(path, examples) for path in sorted((cache / "runs").glob("quality-linear-[01]-*.npz"))]
    row = Row("one", "one", "some model", ("network_kind=linear",))
    figures = harness._row_figures("quality", row, (), examples["test"], np.arange(4), "test", seeds)
    twin = replace(row, name="two", role="features")
    found = harness._differences((row, twin), {"one": figures, "two": figures})
    assert {(one["row"], one["against"]) for one in found} == {("one", "two")}
    both = replace(row, name="both", models="another,some model")
    found += harness._differences((row, both), {"one": figures, "both": figures})
    assert {(one["row"], one["against"]) for one in found} == {("one", "two"), ("both", "one")}
    defined = [one for one in found if np.isfinite(one["value"])]
    assert len(defined) >= 16
    assert all((one["value"], one["low"], one["high"], one["p"]) == (0.0, 0.0, 0.0, 1.0) for one in defined)


def test_the_page_has_the_numbers_of_the_report(quality_data: Path, cache: Path, tmp_path: Path) -> None:
    report = evaluate(quality_data, cache)
    paths = write_page(report, tmp_path / "quality", command="tertia evaluate quality somewhere")
    assert sorted(path.suffix for path in paths) == [".json", ".md", ".svg"]
    raw = json.loads((tmp_path / "quality.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    for name, table in report.sets.items():
        for row, columns in table.items():
            for figure, cell in columns.items():
                for key, value in cell.items():
                    kept = raw["sets"][name][row][figure][key]
                    assert np.isnan(value) if kept is None else kept == value
    page = (tmp_path / "quality.md").read_text()
    assert "`tertia evaluate quality somewhere`" in page
    assert "(quality.svg)" in page
    lines = page.split("## test (4)")[1].splitlines()
    head = next(line for line in lines if line.startswith("| method"))
    columns = [cell.strip() for cell in head.strip("|").split("|")][1:]
    assert columns == [column for column in COLUMNS["quality"] if column in report.sets["test"]["linear"]]
    for row in report.rows:
        cells = next(line for line in lines if line.startswith(f"| {row.label} |")).strip("|").split("|")[1:]
        for column, cell in zip(columns, cells, strict=True):
            value = report.sets["test"][row.name][column]
            shown = [float(number) for number in re.findall(r"-?\d+\.\d+", cell)]
            wanted = [value[key] for key in ("value", "low", "high")] if np.isfinite(value["value"]) else []
            assert shown == pytest.approx(wanted, abs=5e-4, nan_ok=True)
    assert "published: Guo et al. 2022" in page
    assert "linear, features of a window" in (tmp_path / "quality.svg").read_text()
    with pytest.raises(InputError, match="does not exist"):
        write_page(report, tmp_path / "nowhere" / "quality", command="")


def test_interaction_sites_end_to_end(sites_data: Path, tmp_path: Path) -> None:
    rows = ("constant", "linear", "graph-features", "computed-features")
    report = evaluate_task(
        "interface", sites_data, models="", rows=rows, options=("epochs=1", "benchmark=graphppis"), n_seeds=1,
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert list(report.sets) == ["Test_60", "Test_315", "UBtest_31"]
    for table in report.sets.values():
        assert table["constant"]["AUROC"]["value"] == pytest.approx(0.5)
        assert table["constant"]["R"]["value"] == 1.0  # everything is called
        assert all(0 <= table[row]["AUPRC"]["value"] <= 1 for row in rows)
    write_page(report, tmp_path / "interface", command="tertia")
    assert "AGAT-PPIS" in (tmp_path / "interface.md").read_text()


# ---------------------------------------------------------------- leaks
def test_test_chains_that_were_trained_on_are_told(quality_data: Path, tmp_path: Path) -> None:
    examples = TASKS["quality"]().read(quality_data)["test"]  # two models of two proteins
    first, second = dict.fromkeys(one.chains[0].sequence for one in examples)
    (tmp_path / "one.fa").write_text(f">other\n{random_sequence(80, seed=5)}\n>same\n{first}\n")
    tests = {"one": examples, "turned": examples[::-1]}
    clean = clean_positions(tests, [str(tmp_path / "one.fa")], "")
    assert {name: rows.tolist() for name, rows in clean.items()} == {"one": [2, 3], "turned": [0, 1]}
    (tmp_path / "two.fa").write_text(f">second\n{second}\n")
    clean = clean_positions(tests, [str(tmp_path / name) for name in ("one.fa", "two.fa")], "")
    assert {name: rows.tolist() for name, rows in clean.items()} == {"one": [], "turned": []}
    assert clean_positions(tests, [], "") is None
    with pytest.raises(CheckpointError, match="no such model"):
        clean_positions(tests, [], "nowhere")


def test_a_checkpoint_brings_its_own_training_chains(quality_data: Path, tiny_model: Path, tmp_path: Path) -> None:
    examples = TASKS["quality"]().read(quality_data)["test"]
    model = tmp_path / "model"
    trained = checkpoint.load(tiny_model)
    checkpoint.save(model, trained.family, trained.network, recipe="", meta={})
    assert clean_positions({"test": examples}, [], f"{model}@1.0") is None
    store = small_store(tmp_path / "store", n_chains=4)
    checkpoint.save_training_set(model, store, range(len(store)))
    for models in (f"{model}@1.0", f"fresh:{model}", f"{model},{model}"):
        clean = clean_positions({"test": examples}, [], models)
        assert clean["test"].tolist() == [2, 3]  # the store's last chain begins as the first
    # Of a second model nobody knows what it has seen, unless it is told.
    assert clean_positions({"test": examples}, [], f"{model},{tiny_model}") is None
    assert clean_positions({"test": examples}, [str(store.path)], f"{model},{tiny_model}")["test"].tolist() == [2, 3]


def test_chains_too_short_for_any_search_make_no_clean_subset(tmp_path: Path) -> None:
    (tmp_path / "seen.fa").write_text(f">a\n{random_sequence(80, seed=5)}\n")
    short, longer = (Example("one", (sequence_chain(Record("one", random_sequence(n))),)) for n in (20, 30))
    assert clean_positions({"test": [short]}, [str(tmp_path / "seen.fa")], "") is None
    assert clean_positions({"test": [short, longer]}, [str(tmp_path / "seen.fa")], "")["test"].tolist() == [0, 1]


@pytest.mark.parametrize(("n_leaks", "left"), [(1, 2), (2, 0)])
def test_the_clean_subset_stands_beside_the_full_one(
    n_leaks: int, left: int, quality_data: Path, cache: Path, tmp_path: Path
) -> None:
    examples = TASKS["quality"]().read(quality_data)["test"]
    leaking = list(dict.fromkeys(one.chains[0].sequence for one in examples))[:n_leaks]
    (tmp_path / "seen.fa").write_text("".join(f">s{k}\n{sequence}\n" for k, sequence in enumerate(leaking)))
    report = evaluate(quality_data, cache, against=[str(tmp_path / "seen.fa")])
    assert report.n_examples["test, clean"] == left
    assert report.leaks == {"test, clean": 4 - left}
    assert ("test, clean" in report.sets) == (left > 0)
    write_page(report, tmp_path / "quality", command="tertia")
    page = (tmp_path / "quality.md").read_text()
    assert f"## test, clean ({left})" in page
    assert f"{4 - left} examples have a neighbour" in page


# ---------------------------------------------------------------- rows
def test_every_row_can_be_read_and_has_a_name_of_its_own() -> None:
    for task in TASKS:
        for given in ({"structure": ""}, {"structure": "a@1+2,b", "sequence": "s", "paper": "p"}):
            rows = rows_of(task, **given)
            assert len({row.name for row in rows}) == len({row.label for row in rows}) == len(rows)
            for row in rows:
                runs.of_row(task, row, ())
                assert given["structure"] or not row.models
    assert "fresh:a@1+2,fresh:b" in {row.models for row in rows_of("quality", structure="a@1+2,b")}


def test_options_go_before_those_of_a_row() -> None:
    row = next(row for row in rows_of("quality", structure="") if row.name == "wide-features")
    task, settings = runs.of_row("quality", row, ("epochs=3", "batch=2"))
    assert (settings.epochs, task.batch, task.size) == (3, 2, "compact")


def test_an_unknown_row_is_told(quality_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no row 'liner'; allowed: .*linear"):
        evaluate(quality_data, tmp_path, rows=("liner",))


def test_on_the_command_line(quality_data: Path, cache: Path, tmp_path: Path) -> None:
    words = ["evaluate", "quality", str(quality_data), *SHORT, "--models", "", "--rows", "constant,linear",
             "--seeds", "2", "--cache", str(cache)]  # fmt: skip
    printed = CliRunner().invoke(cli.app, words)
    assert printed.exit_code == 0, printed.output
    assert "test (4)\n| method | gdt_ts R |" in printed.stdout
    done = CliRunner().invoke(cli.app, [*words, "-o", str(tmp_path / "quality")])
    assert done.exit_code == 0, done.output
    assert sorted(Path(line).name for line in done.stdout.split()) == ["quality.json", "quality.md", "quality.svg"]
