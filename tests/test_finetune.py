"""The verb: a benchmark in, a head out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tertia import cli
from tertia.decoys import decoys
from tertia.encoders import parse_models
from tertia.errors import CheckpointError, InputError, RecipeError
from tertia.finetune import finetune
from tertia.tasks import TASKS
from tertia.training import checkpoint
from tertia.training.head import ENCODER, load_head
from tertia.training.learning import make_items
from tests.structures import pdb_text, polymer

SHORT = ("network_kind=linear", "epochs=2", "batch=4")


def test_a_head_is_written_with_its_figures(quality_data: Path, tiny_model: Path, tmp_path: Path) -> None:
    made = finetune("quality", quality_data, output=tmp_path / "head", models=str(tiny_model), overrides=SHORT,
                    test=True, seed=4, cache=tmp_path / "cache")  # fmt: skip
    head = load_head(tmp_path / "head")
    assert (head.models, head.meta["seed"], head.meta["learning"]["epochs"]) == (str(tiny_model), 4, 2)
    assert made.n_examples == head.meta["n_examples"] == {"train": 8, "valid": 4, "test": 4}
    assert set(made.test) == {"test"}
    for name, value in head.meta["validation"].items():
        assert np.isnan(made.validation[name]) if value is None else value == made.validation[name]
    json.loads((tmp_path / "head" / "head.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word}"))
    # The figures are those of the network that was written.
    task = head.learnt.task
    examples = task.read(quality_data)["test"]
    from tertia.encoders import open_side_by_side

    items = make_items(task, examples, open_side_by_side(str(tiny_model), cache=tmp_path / "cache"))
    figures = task.figures(examples, head.learnt.predict(items), head.learnt.calibration)
    found = {figure.name: figure.statistic(*figure.columns) for figure in figures}
    assert found == pytest.approx(made.test["test"], nan_ok=True)
    lines = made.table().splitlines()
    assert lines[0].split() == ["validation", "test"]
    assert [line[:24].strip() for line in lines[1:]] == list(found)


def test_made_decoys_are_more_to_learn_from(quality_data: Path, tmp_path: Path, capsys) -> None:
    natives, folder = tmp_path / "natives", tmp_path / "decoys"
    natives.mkdir()
    (natives / "one.pdb").write_text(pdb_text([polymer(26, seed=1)]))
    tried_on = TASKS["quality"]().read(quality_data)["test"][0].chains[0]
    known = polymer(len(tried_on), seed=2, sequence=tried_on.sequence)
    (natives / "two.pdb").write_text(pdb_text([known]))
    decoys([str(natives)], folder, number=2, generators=("hinge",))
    made = finetune("quality", quality_data, output=tmp_path / "head", models="",
                    overrides=(*SHORT, f"generated={folder}"))  # fmt: skip
    assert made.n_examples["train"] == 8 + 3
    assert "two_A: has 100% identity" in capsys.readouterr().err


def test_a_seed_gives_the_same_bytes_and_test_sets_are_left_alone(sites_data: Path, tmp_path: Path) -> None:
    options = ("network_kind=linear", "epochs=2", "features=computed", "benchmark=graphppis")
    made = [finetune("interface", sites_data, output=tmp_path / name, models="", overrides=options) for name in "ab"]
    assert made[0].test == {}
    one, two = ({path.name: path.read_bytes() for path in sorted(m.folder.iterdir())} for m in made)
    assert one == two


def test_a_model_that_learns_too_lies_inside_the_head(quality_data: Path, tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    trained = checkpoint.load(tiny_model)
    checkpoint.save(model, trained.family, trained.network, recipe="# mine\n", meta={})
    (model / checkpoint.CHAINS).write_text("1abc_A\n")
    (model / checkpoint.SEQUENCES).write_bytes(b"sequences")
    made = finetune("quality", quality_data, output=tmp_path / "head", models=str(model), overrides=SHORT, full=True)
    encoder = checkpoint.load(tmp_path / "head" / ENCODER)
    assert encoder.meta["fine_tuned_from"] == str(model)
    assert encoder.meta["sha256"] != trained.meta["sha256"] == checkpoint.load(model).meta["sha256"]
    assert encoder.training_chains() == ["1abc_A"]
    assert (encoder.folder / checkpoint.SEQUENCES).read_bytes() == b"sequences"
    assert (encoder.folder / checkpoint.RECIPE).read_text() == "# mine\n"
    # The head with its model says what was said while learning.
    from tertia.encoders import open_side_by_side

    head = load_head(tmp_path / "head")
    examples = head.learnt.task.read(quality_data)["valid"]
    items = make_items(head.learnt.task, examples, open_side_by_side(head.models))
    figures = head.learnt.task.figures(examples, head.learnt.predict(items), head.learnt.calibration)
    found = {figure.name: figure.statistic(*figure.columns) for figure in figures}
    assert found == pytest.approx(made.validation, nan_ok=True, abs=1e-4)


def test_what_cannot_be_done_is_told_before_anything_is_read(quality_data: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("")
    for output in (tmp_path / "full", tmp_path / "full" / "something"):
        with pytest.raises(InputError, match="is there already"):
            finetune("quality", quality_data, output=output, models="")
    with pytest.raises(RecipeError, match=r"quality"):
        finetune("qualty", quality_data, output=tmp_path / "new")
    with pytest.raises(RecipeError, match=r"no such key[\s\S]*is 'huge'"):
        finetune("quality", quality_data, output=tmp_path / "new", overrides=("colour=red", "size=huge"))
    with pytest.raises(InputError, match="no such file"):
        finetune("quality", tmp_path, output=tmp_path / "new", models="")
    with pytest.raises(CheckpointError, match="no such model"):
        finetune("quality", quality_data, output=tmp_path / "new", models="nowhere")
    for models in ("", "distmap@1.0", "distmap,distmap"):
        with pytest.raises(InputError, match="models"):
            finetune("quality", quality_data, output=tmp_path / "new", models=models, full=True)
    assert not (tmp_path / "new").exists()


def test_on_the_command_line(quality_data: Path, tmp_path: Path) -> None:
    words = ["finetune", "quality", str(quality_data), *SHORT, "-o", str(tmp_path / "head"), "--models", "", "--test"]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    assert done.stdout.split()[:2] == ["validation", "test"]
    assert load_head(tmp_path / "head").models == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("distmap", [("distmap", None)]),
        ("distmap@3.28+0.552", [("distmap", [3.28, 0.552])]),
        ("distmap@3, runs/mine@1e-1 ,fresh:pairlm", [("distmap", [3.0]), ("runs/mine", [0.1]), ("fresh:pairlm", None)]),
    ],
)
def test_models_are_names_and_noise_levels(text: str, wanted: list) -> None:
    assert parse_models(text) == wanted


@pytest.mark.parametrize("text", ["", ",", "distmap,", "@3.28", "distmap@", "distmap@high", "distmap@3++1", "fresh:"])
def test_what_names_no_model_is_told(text: str) -> None:
    with pytest.raises(InputError, match="models"):
        parse_models(text)
