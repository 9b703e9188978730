"""The verb: a recipe and a store become a model that loads, also where no parser is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tertia
from tertia.errors import InputError, RecipeError
from tertia.training import checkpoint
from tests.training.stores import small_store

SMALL = ["width=16", "bottleneck=8", "n_blocks=2", "n_levels=4", "embed_level=2", "crop=8", "late_crop=12", "steps=4",
         "batch=4", "validate_every=2", "checkpoint_every=2", "n_valid=3", "valid_draws=2", "threads=1",
         "device=cpu"]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return small_store(tmp_path_factory.mktemp("pretrain") / "store", n_chains=8).path


def test_a_recipe_and_a_store_become_a_model(store: Path, tmp_path: Path, capsys) -> None:
    outcome = tertia.pretrain("distmap_tiny", [f"store={store}", *SMALL], output=tmp_path / "run")
    assert outcome.finished and outcome.step == 4
    loaded = checkpoint.load(tmp_path / "run")
    assert loaded.family.width == 16
    assert loaded.meta["metrics"]["loss"] == pytest.approx(outcome.valid_loss)
    for name in ("loss.png", "loss.svg", "log.jsonl", "recipe.toml", "last/state.safetensors"):
        assert (tmp_path / "run" / name).is_file()
    out, err = capsys.readouterr()
    assert out == ""
    assert "validation loss" in err
    before = (tmp_path / "run" / "network.safetensors").read_bytes()
    assert tertia.pretrain(tmp_path / "run", output=tmp_path / "run", quiet=True) == outcome  # finished: nothing to do
    assert (tmp_path / "run" / "network.safetensors").read_bytes() == before


def test_without_a_store_it_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="add store=FOLDER"):
        tertia.pretrain("distmap_tiny", output=tmp_path)
    with pytest.raises(InputError, match="is not a store"):
        tertia.pretrain("distmap_tiny", [f"store={tmp_path / 'nowhere'}"], output=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_it_trains_without_a_parser_and_without_matplotlib(store: Path, tmp_path: Path) -> None:
    program = f"""
        import sys
        for name in ("gemmi", "biotite", "scipy", "h5py", "matplotlib", "rich"):
            sys.modules[name] = None
        import tertia
        tertia.pretrain("distmap_tiny", ["store={store}", *{SMALL!r}], output={str(tmp_path / "run")!r})
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=110)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("matplotlib is not installed") == 1
    assert checkpoint.load(tmp_path / "run").meta["step"] in (2, 4)
