"""Sequence tasks end to end: from a benchmark to tables, heads and predictions, on the embeddings of a tiny model."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tertia import cli
from tertia.encoders import open_side_by_side
from tertia.errors import CheckpointError, InputError, RecipeError
from tertia.evaluate import task as harness
from tertia.evaluate.leaks import clean_positions
from tertia.evaluate.page import write_page
from tertia.evaluate.rows import rows_of
from tertia.evaluate.task import evaluate_task
from tertia.evaluate.trivial import BASELINES, trivial_predictions
from tertia.finetune import default_models, finetune
from tertia.predict import predict
from tertia.sequence import mmseqs
from tertia.tasks import TASKS
from tertia.tasks.task import batch_of
from tertia.training import checkpoint
from tertia.training.head import load_head
from tertia.training.learning import make_items, n_steps
from tests.sequence_benchmarks import FOLDER, states_of, write_language_model, write_sequence_benchmarks
from tests.structures import make_chain, random_sequence

SHORT = ("epochs=1",)
TESTS = {
    ("pair_binding", ""): ["test", "dscript_yeast"],
    ("pair_binding", "benchmark=guo"): ["test_both_new", "test_one_new"],
    ("tcr_epitope", "receptor=full_beta"): ["test_tcr"],
    ("tcr_epitope", "split=strict"): ["test_strict"],
    ("localisation", ""): ["test", "setHARD"],
    ("localisation", "labels=membrane"): ["test_membrane"],
    ("homology", ""): ["test_fold"],
    ("secondary_structure", ""): ["newPISCES364", "CB513", "CASP12"],
}


@pytest.fixture(autouse=True)
def quickly(monkeypatch) -> None:
    monkeypatch.setattr(harness, "N_RESAMPLES", 20)
    monkeypatch.setattr(harness, "FEWEST_GROUPS", 2)
    monkeypatch.setattr(mmseqs, "program", lambda: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_sequence_benchmarks(tmp_path_factory.mktemp("data") / "sequence_tasks")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Checkpoint of a language model with random weights."""
    return write_language_model(tmp_path_factory.mktemp("tiny_language_model"))


@pytest.mark.parametrize(("task", "option"), TESTS)
def test_a_table_has_baselines_controls_and_the_model(
    task: str, option: str, data: Path, model: Path, tmp_path
) -> None:
    options = (*SHORT, *([option] if option else []))
    given = {"models": str(model), "options": options, "n_seeds": 1, "cache": tmp_path / "cache"}
    report = evaluate_task(task, data / FOLDER[task], **given)
    assert list(report.sets) == TESTS[task, option]
    assert [row.name for row in report.rows] == [row.name for row in rows_of(task, structure=str(model))]
    for name, table in report.sets.items():
        for row in report.rows:
            assert {"MCC"} < set(table[row.name]), (name, row.name)
            assert all(0 <= table[row.name][f]["value"] <= 1 for f in ("ACC", "Q3", "AUROC") if f in table[row.name])
        assert table["constant"]["MCC"]["value"] == 0.0  # the majority's answer
    compared = {(one["row"], one["against"]) for one in next(iter(report.differences.values()))}
    prefix = "cnn" if task == "secondary_structure" else "probe"
    assert {(f"{prefix}-model", f"{prefix}-features"), (f"{prefix}-model", f"{prefix}-fresh")} <= compared
    write_page(report, tmp_path / task, command="tertia")
    page = (tmp_path / f"{task}.md").read_text()
    assert "0.000" in page and "(calls one class)" in page
    # What was finished is not learnt again.
    before = sorted((tmp_path / "cache" / "runs").iterdir())
    assert evaluate_task(task, data / FOLDER[task], **given).sets.keys() == report.sets.keys()
    assert sorted((tmp_path / "cache" / "runs").iterdir()) == before


def test_letters_say_the_state_they_were_given(data: Path, tmp_path: Path) -> None:
    rows = ("constant", "letters", "probe-features", "cnn-features")
    report = evaluate_task("secondary_structure", data / FOLDER["secondary_structure"], models="", rows=rows, n_seeds=1,
                           options=("epochs=15", "residues=200", "learning_rate=0.02"), cache=tmp_path)  # fmt: skip
    q3 = {row: report.sets["CB513"][row]["Q3"]["value"] for row in rows}
    assert q3["letters"] == 1.0 and q3["constant"] < 0.6
    assert min(q3["probe-features"], q3["cnn-features"]) > 0.9
    assert report.sets["CB513"]["letters"]["F strand"]["value"] == 1.0


def test_what_pairs_are_made_of_is_learnt_and_their_order_is_not(data: Path) -> None:
    task = TASKS["pair_binding"](width=16, batch=16)
    examples = task.read(data / FOLDER["pair_binding"])
    items = {split: make_items(task, part) for split, part in examples.items()}
    from tertia.training.learning import learn
    from tertia.training.supervised import Supervision

    learnt = learn(task, examples, items, settings=Supervision(epochs=30, learning_rate=3e-3))
    assert task.validation_score(examples["test"], learnt.predict(items["test"])) > 0.9
    turned = make_items(task, [replace(one, chains=one.chains[::-1]) for one in examples["test"]])
    for one, two in zip(learnt.predict(items["test"]), learnt.predict(turned), strict=True):
        assert one.protein == pytest.approx(two.protein, abs=1e-6)
    with torch.no_grad():  # what is said does not depend on the size of the batch
        alone = [task.scores(learnt.network, batch_of([item]))[1] for item in items["test"][:5]]
        together = task.scores(learnt.network, batch_of(items["test"][:5]))[1]
    assert torch.allclose(torch.cat(alone), together, atol=1e-5)


# ---------------------------------------------------------------- embeddings
def test_each_chain_is_embedded_once_and_kept(data: Path, model: Path, tmp_path: Path, monkeypatch) -> None:
    task = TASKS["pair_binding"]()
    examples = task.read(data / FOLDER["pair_binding"])["train"]
    embed = open_side_by_side(f"{model},{model}", cache=tmp_path)
    n_encoded, encode = [], embed.encodings[0].encoder.encode
    monkeypatch.setattr(embed.encodings[0].encoder, "encode", lambda inputs: n_encoded.append(1) or encode(inputs))
    ticks: list[int] = []
    items = make_items(task, examples, embed, lambda: ticks.append(1))
    n_chains = len({chain.sequence for one in examples for chain in one.chains})
    assert len(ticks) == n_steps(task, examples) == n_chains < len(examples)
    assert len(n_encoded) < n_chains  # several at a time
    files = sorted(path.name for path in tmp_path.rglob("*.npy"))
    assert len(files) == n_chains and all(name.endswith(".protein.npy") for name in files)  # residues are not kept
    assert items[0].widths.whole == 2 * 2 * 16
    first = {chain: row for one, item in zip(examples, items, strict=True)
             for chain, row in zip(one.chains, item.vectors.protein, strict=True)}  # fmt: skip
    for one, item in zip(examples, items, strict=True):
        assert all(row is first[chain] for chain, row in zip(one.chains, item.vectors.protein, strict=True))
    embed.encodings = tuple(replace(one, encoder=None) for one in embed.encodings)
    again = make_items(task, examples, embed)  # nothing is computed again
    assert all(np.array_equal(a.vectors.protein, b.vectors.protein) for a, b in zip(items, again, strict=True))
    for chain, row in list(first.items())[:4]:
        opened = open_side_by_side(str(model)).encodings[0]
        alone = opened.encoder.encode(_batch_of_one(opened.family, chain)).protein[0].numpy()
        assert np.allclose(row[:16], alone, atol=5e-3) and np.array_equal(row[:16], row[16:])


def _batch_of_one(family, chain):
    from tertia.data.batch import collate

    return collate([family.featurise(chain)])


def test_untrained_weights_are_standardised_on_sequences(data: Path, model: Path) -> None:
    chains = [one.chains[0] for one in TASKS["homology"]().read(data / FOLDER["homology"])["train"]]
    vectors = open_side_by_side(f"fresh:{model}", calibration=chains).of_sequences(chains, ("protein",))
    rows = np.array([one.protein[0] for one in vectors.values()], dtype=float)
    assert np.abs(rows.mean(axis=0)).max() < 1 and 0.3 < rows.std(axis=0).mean() < 3


def test_a_model_of_structures_is_refused(data: Path, tiny_model: Path, tmp_path: Path) -> None:
    for full in (False, True):
        with pytest.raises(InputError, match="structures"):
            finetune("homology", data / FOLDER["homology"], output=tmp_path / "head", models=str(tiny_model),
                     overrides=SHORT, full=full)  # fmt: skip
    assert default_models("homology") == "pairlm" and "distmap" in default_models("quality")


# ---------------------------------------------------------------- heads
def test_places_are_predicted_with_a_line_a_protein(data: Path, model: Path, tmp_path: Path) -> None:
    made = finetune("localisation", data / FOLDER["localisation"], output=tmp_path / "head", models=str(model),
                    overrides=("epochs=15", "batch=16", "learning_rate=0.02"), test=True)  # fmt: skip
    assert set(made.test) == {"test", "setHARD"} and made.n_examples["train"] == 60
    assert made.test["test"]["ACC"] > 0.6
    (tmp_path / "x.fasta").write_text(f">one\n{'KRH' * 9}A\n>two\n{'DEN' * 9}A\n")
    words = ["predict", "localisation", str(tmp_path / "x.fasta"), "--head", str(tmp_path / "head")]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    head, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert head[:4] == ["file", "chain", "n_residues", "Nucleus"] and head[-1] == "called"
    assert [row[1:3] for row in rows] == [["one", "28"], ["two", "28"]]
    for row in rows:
        chances = [float(cell) for cell in row[3:-1]]
        assert sum(chances) == pytest.approx(1, abs=1e-3) and row[-1] == head[3 + int(np.argmax(chances))]
    CliRunner().invoke(cli.app, [*words, "-o", str(tmp_path / "table.tsv")])
    assert (tmp_path / "table.tsv").read_text() == done.stdout
    refused = CliRunner().invoke(cli.app, [*words, "--structures", str(tmp_path / "shown")])
    assert refused.exit_code == 1 and "whole proteins" in refused.stderr
    (found,) = predict("localisation", make_chain(30, seed=1), head=tmp_path / "head")  # a structure has a sequence
    assert found.protein.sum() == pytest.approx(1)


def test_membrane_proteins_are_called_above_the_threshold(data: Path, tmp_path: Path) -> None:
    finetune("localisation", data / FOLDER["localisation"], output=tmp_path / "head", overrides=("labels=membrane",
             "network_kind=cnn", "width=8", *SHORT))  # fmt: skip
    (tmp_path / "x.fasta").write_text(f">one\n{random_sequence(30, seed=1)}\n>long\n{random_sequence(1200, seed=2)}\n")
    found, out = predict("localisation", tmp_path / "x.fasta", head=tmp_path / "head"), io.StringIO()
    found.write_proteins(out)
    for one, line in zip(found, out.getvalue().splitlines()[1:], strict=True):
        assert line.split("\t")[-1] == str(int(one.protein[0] > found.threshold))
    assert len(found) == 2


def test_states_are_predicted_with_a_line_a_residue(data: Path, tmp_path: Path) -> None:
    finetune("secondary_structure", data / FOLDER["secondary_structure"], output=tmp_path / "head",
             overrides=("epochs=15", "residues=200", "learning_rate=0.02"))  # fmt: skip
    sequence = random_sequence(40, seed=9)
    (tmp_path / "x.fasta").write_text(f">one\n{sequence}\n")
    found, out = predict("secondary_structure", tmp_path / "x.fasta", head=tmp_path / "head"), io.StringIO()
    found.print(residues=None, out=out)
    head, *rows = [line.split("\t") for line in out.getvalue().splitlines()]
    assert head[4:] == ["letter", "helix", "strand", "coil", "called"]
    assert "".join(row[4] for row in rows) == sequence
    called = "".join({"helix": "H", "strand": "E", "coil": "C"}[row[-1]] for row in rows)
    assert np.mean([a == b for a, b in zip(called, states_of(sequence), strict=True)]) > 0.9


@pytest.mark.parametrize("task", ["pair_binding", "tcr_epitope"])
def test_heads_of_pairs_do_not_predict_for_one_chain(task: str, data: Path, tmp_path: Path) -> None:
    finetune(task, data / FOLDER[task], output=tmp_path / "head", overrides=SHORT)
    assert load_head(tmp_path / "head").learnt.task == TASKS[task]()
    with pytest.raises(CheckpointError, match="pairs of proteins"):
        predict(task, make_chain(20), head=tmp_path / "head")


@pytest.mark.parametrize(("task", "options"), [("localisation", ("network_kind=cnn", "width=8", "longest=20")),
                                               ("pair_binding", ("most_train=16",))])  # fmt: skip
def test_a_model_of_sequences_learns_too(
    task: str, options: tuple[str, ...], data: Path, model: Path, tmp_path
) -> None:
    made = finetune(task, data / FOLDER[task], output=tmp_path / "head", models=str(model), full=True,
                    overrides=(*SHORT, *options))  # fmt: skip
    head = load_head(made.folder)
    before, after = (checkpoint.load(name).network.state_dict() for name in (model, head.models))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    examples = head.learnt.task.read(data / FOLDER[task])["valid"]
    items = make_items(head.learnt.task, examples, open_side_by_side(head.models))
    figures = head.learnt.task.figures(examples, head.learnt.predict(items), head.learnt.calibration)
    found = {figure.name: figure.statistic(*figure.columns) for figure in figures}
    assert found == pytest.approx(made.validation, nan_ok=True, abs=0.08)  # embeddings are kept in half precision


# ---------------------------------------------------------------- data
def test_splits_and_options(data: Path, capsys) -> None:
    def read(task: str, **options):
        return TASKS[task](**options).read(data / FOLDER[task])

    places = read("localisation")
    assert {name: len(part) for name, part in places.items()} == {"train": 60, "valid": 20, "test": 20, "setHARD": 10}
    assert "1 training proteins" in capsys.readouterr().err
    membrane = read("localisation", labels="membrane")
    assert len(membrane["train"]) + len(membrane["valid"]) == 20 and len(membrane["test_membrane"]) == 20
    states = read("secondary_structure")
    assert len(states["train"]) == 29 and "1 of train" in capsys.readouterr().err
    few = read("pair_binding", most_train=10)
    assert [len(few[name]) for name in ("train", "valid", "test", "dscript_yeast")] == [10, 96, 96, 96]
    assert [one.id for one in few["train"]] == [one.id for one in read("pair_binding", most_train=10)["train"]]
    strict = read("tcr_epitope", split="strict", fold=3)
    for part in strict.values():
        labels = [one.target[0] for one in part]
        assert labels.count(1.0) == labels.count(0.0) > 0
    peptides = {name: {one.chains[1].sequence for one in part} for name, part in strict.items()}
    assert not peptides["train"] & peptides["test_strict"]


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("pair_binding", ("benchmark=yeast", "batch=1"), "benchmark: is 'yeast'"),
        ("tcr_epitope", ("fold=10",), "fold: is 10; allowed: 0 to 9"),
        ("localisation", ("labels=cells", "dropout=1.0"), "labels: is 'cells'"),
        ("homology", ("network_kind=wide",), "network_kind: is 'wide'"),
        ("secondary_structure", ("residues=0",), "residues: is 0"),
    ],
)
def test_options_that_make_no_sense_are_told(task: str, options, message: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        finetune(task, data / FOLDER[task], output=tmp_path / "head", overrides=options)


def test_published_counts(shared_data: Path, capsys) -> None:
    folder = shared_data / FOLDER["localisation"]
    places = TASKS["localisation"]().read(folder)
    assert {name: len(part) for name, part in places.items()} == {
        "train": 8_921 - int(capsys.readouterr().err.split()[2]), "valid": 1_655, "test": 2_768, "setHARD": 490,
    }  # fmt: skip
    assert len(places["train"]) > 8_800
    strict = TASKS["tcr_epitope"](split="strict").read(shared_data / FOLDER["tcr_epitope"])
    assert 2 * sum(one.target[0] for one in strict["test_strict"]) == len(strict["test_strict"]) > 4_000


# ---------------------------------------------------------------- baselines and leaks
def test_baselines_know_what_they_can_know(data: Path) -> None:
    task = TASKS["localisation"]()
    examples = task.read(data / FOLDER["localisation"])
    for name in ("constant", "composition", "neighbours"):
        made, calibration = trivial_predictions(name, task, examples)
        assert calibration == {} and set(made) == {"valid", "test", "setHARD"}
        assert all(one.protein.shape == (10,) and one.protein.sum() == pytest.approx(1) for one in made["test"])
        right = np.mean(
            [one.protein.argmax() == e.target[0] for one, e in zip(made["test"], examples["test"], strict=True)]
        )
        assert right > 0.8 if name == "composition" else right >= 0.3
    pairs = TASKS["pair_binding"]()
    found, calibration = trivial_predictions("degree", pairs, pairs.read(data / FOLDER["pair_binding"]))
    assert {float(one.protein[0]) for one in found["test"]} == {0.5} and set(calibration) == {"threshold"}
    for name, other in (("degree", task), ("letters", task)):
        with pytest.raises(ValueError, match="no baseline"):
            trivial_predictions(name, other, examples)
    for name in TASKS:
        assert {row.baseline for row in rows_of(name, structure="") if not row.models} <= {"", *BASELINES}


def test_a_pair_is_clean_where_both_of_its_proteins_are(data: Path, tmp_path: Path) -> None:
    test = TASKS["pair_binding"]().read(data / FOLDER["pair_binding"])["test"]
    seen = test[0].chains[1].sequence
    (tmp_path / "seen.fa").write_text(f">other\n{random_sequence(60, seed=3)}\n>seen\n{seen}\n")
    clean = clean_positions({"test": test}, [str(tmp_path / "seen.fa")], "")["test"]
    wanted = [k for k, one in enumerate(test) if seen not in {chain.sequence for chain in one.chains}]
    assert clean.tolist() == wanted and 0 < len(wanted) < len(test)
