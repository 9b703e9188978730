"""The loop: it learns, continues bit for bit after a kill, gives the same on two processes, and stops on NaN."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tertia.errors import CheckpointError, RecipeError, TrainingError
from tertia.training import checkpoint
from tertia.training.log import read_lines
from tertia.training.loop import Outcome, fit
from tertia.training.processes import Crew
from tertia.training.run import Run
from tertia.training.state import STATE
from tests.training.stores import PAPER, small_family, small_settings

BYTES = ("network.safetensors", "model.json", "log.jsonl", "recipe.toml", "training_chains.txt",
         "training_sequences.fasta.gz", str(STATE))  # fmt: skip


@pytest.fixture(autouse=True)
def without_curves(monkeypatch) -> None:
    """Drawing takes most of the time of so short a run; it has its own test."""
    monkeypatch.setattr("tertia.training.curves.draw", lambda folder: "")


def train(store, folder: Path, *, family: dict | None = None, resume: bool = True, **changes) -> Outcome:
    settings = small_settings(**changes)
    return fit(small_family(**(family or {})), store, settings, folder, recipe="a = 1\n", resume=resume, quiet=True)


def assert_same_bytes(one: Path, two: Path) -> None:
    assert [name for name in BYTES if (one / name).read_bytes() != (two / name).read_bytes()] == []


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tertia.training.curves.draw", lambda folder: "")
        assert train(store, folder).finished
    return folder


def test_a_run_learns_and_can_be_loaded(store, tmp_path: Path) -> None:
    outcome = train(store, tmp_path, steps=40, validate_every=20)
    losses = [line["loss"] for line in read_lines(tmp_path) if line["kind"] == "valid"]
    assert outcome.finished
    assert outcome.valid_loss == pytest.approx(min(losses), rel=1e-4)
    assert losses[-1] < 0.95  # a network that predicts nothing has 1
    loaded = checkpoint.load(tmp_path)
    assert loaded.family == small_family()
    assert loaded.meta["weights"] == "average"
    state = load_file(tmp_path / STATE)
    assert all(torch.equal(t, state[f"average.{name}"]) for name, t in loaded.network.state_dict().items())


def test_every_step_is_logged_by_group(whole: Path) -> None:
    lines = read_lines(whole)
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(1, 9))
    assert [line["step"] for line in lines if line["kind"] == "valid"] == [4, 8]
    groups = {name for line in lines for name in line.get("groups", ())}
    assert groups <= {f"{sigma:.4g}" for sigma in small_family().sigmas.tolist()}
    assert all(1.0 <= line["effective_dimension"] <= 16.0 for line in lines if line["kind"] == "valid")


def test_killed_and_continued_is_bit_for_bit_uninterrupted(store, whole: Path, tmp_path: Path) -> None:
    """The process kills itself after step 5, when one step and a log line are done that were not saved."""
    program = f"""
        import os, signal, sys
        from tertia.data.store import Store
        from tertia.training import curves, run
        from tests.training.test_loop import train
        curves.draw = lambda folder: ""
        log_step = run.Run.log_step
        def fatal(self, rate):
            log_step(self, rate)
            if self.state.step == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        run.Run.log_step = fatal
        train(Store.open({str(store.path)!r}), {str(tmp_path)!r})
    """
    done = run_python(program)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [line["step"] for line in read_lines(tmp_path)][-1] == 5
    assert train(store, tmp_path).finished
    assert_same_bytes(whole, tmp_path)


def test_stopped_between_two_log_lines_and_continued(store, tmp_path: Path) -> None:
    """A stop at any step keeps what was not logged yet."""
    every = {"log_every": 3, "checkpoint_every": 100, "validate_every": 4}
    assert train(store, tmp_path / "one", **every).finished
    stops = 0
    while not (outcome := train(store, tmp_path / "two", max_minutes=1e-6, **every)).finished:
        stops += 1
        assert outcome.step > 0
    assert stops >= 2
    one, two = (load_file(tmp_path / name / STATE) for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name in ("log.jsonl", "network.safetensors", "model.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_run_with_muon_is_continued_bit_for_bit(store, tmp_path: Path) -> None:
    muon = {"optimiser": "muon", "weight_decay": 0.1}
    assert train(store, tmp_path / "one", **muon).finished
    while not train(store, tmp_path / "two", max_minutes=1e-6, **muon).finished:
        pass
    one, two = (load_file(tmp_path / name / STATE) for name in ("one", "two"))
    assert any(name.endswith(".momentum") for name in one)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_finished_run_is_left_alone(store, whole: Path) -> None:
    before = {name: (whole / name).read_bytes() for name in BYTES}
    assert train(store, whole).finished
    assert before == {name: (whole / name).read_bytes() for name in BYTES}


def test_beginning_anew_forgets_the_old_run(store, whole: Path, tmp_path: Path) -> None:
    train(store, tmp_path, steps=3, seed=9)
    train(store, tmp_path, resume=False)
    assert_same_bytes(whole, tmp_path)


def test_two_processes_see_one_batch(store, tmp_path: Path) -> None:
    """Same losses, gradients and validation as one process with the whole batch, in both modes."""
    families = {"tertia": {}, "paper": PAPER}
    settings = {"steps": 4, "validate_every": 2, "learning_rate": 1e-4, "ema_decay": 0.0}
    for mode, family in families.items():
        train(store, tmp_path / "one" / mode, family=family, **settings)
    program = f"""
        import os
        from pathlib import Path
        from tertia.data.store import Store
        from tertia.training import curves
        from tests.training.test_loop import train
        curves.draw = lambda folder: ""
        for port, (mode, family) in zip({[free_port(), free_port()]}, {families!r}.items()):
            os.environ["MASTER_PORT"] = str(port)
            train(Store.open({str(store.path)!r}), Path({str(tmp_path)!r}, "two", mode), family=family, **{settings!r})
    """
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    running = [start_python(program, RANK=str(rank), LOCAL_RANK=str(rank), **place) for rank in (0, 1)]
    errors = [process.communicate(timeout=110)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    # An offset before a batch norm has no gradient but rounding, which Adam turns into full steps. The training loss
    # does not see them; the running mean follows them late, so the validation loss does, a little.
    assert_same_course(tmp_path, "tertia", validation=1e-5)
    assert_same_course(tmp_path, "paper", validation=1e-3)


def assert_same_course(folder: Path, mode: str, *, validation: float) -> None:
    one, two = (read_lines(folder / name / mode) for name in ("one", "two"))
    assert [(line["kind"], line["step"]) for line in one] == [(line["kind"], line["step"]) for line in two]
    for a, b in zip(one[1:], two[1:], strict=True):
        tolerance = 1e-5 if a["kind"] == "train" else validation
        assert a["loss"] == pytest.approx(b["loss"], rel=tolerance)
        assert a["groups"] == pytest.approx(b["groups"], rel=10 * tolerance)
        assert a.get("gradient", 0.0) == pytest.approx(b.get("gradient", 0.0), rel=1e-5)


def test_bf16_follows_fp32(store, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        train(store, tmp_path / precision, precision=precision, steps=3)
    one, two = ([line["loss"] for line in read_lines(tmp_path / p)[1:]] for p in ("fp32", "bf16"))
    assert one == pytest.approx(two, rel=0.02)
    assert one != two
    weights = load_file(tmp_path / "bf16" / "network.safetensors").values()
    assert {tensor.dtype for tensor in weights} == {torch.float32}


def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_checkpoint(store, tmp_path: Path, monkeypatch) -> None:
    kind = type(small_family())
    loss = kind.loss
    calls = []

    def broken(self, network, noisy, target):
        found = loss(self, network, noisy, target)
        calls.append(network.training)
        bad = torch.where(torch.arange(4) == 2, torch.nan, 1.0) if calls.count(True) == 6 else torch.ones(1)
        return type(found)(found.value * bad.sum(), found.per_example * bad, found.group)

    monkeypatch.setattr(kind, "loss", broken)
    with pytest.raises(TrainingError) as error:
        train(store, tmp_path)
    assert error.value.entry == "step 6"
    for word in ("not finite", "learning rate 0.00", "groups with a bad loss", "training.clip_norm"):
        assert word in str(error.value)
    state = load_file(tmp_path / STATE)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())
    assert all(bool(torch.isfinite(t).all()) for t in checkpoint.load(tmp_path).network.state_dict().values())


def test_other_hyper_parameters_do_not_continue_a_run(store, whole: Path) -> None:
    with pytest.raises(CheckpointError, match="another n_blocks"):
        train(store, whole, family={"n_blocks": 3})


def test_a_checkpoint_that_is_no_run_is_not_overwritten(store, whole: Path, tmp_path: Path) -> None:
    for name in ("network.safetensors", "model.json", "recipe.toml"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    with pytest.raises(CheckpointError, match="not a run to be continued"):
        train(store, tmp_path)
    assert checkpoint.load(tmp_path).meta == checkpoint.load(whole).meta


def test_a_run_can_begin_with_the_weights_of_another(store, whole: Path, tmp_path: Path) -> None:
    first = {}
    for name, start in (("fresh", ""), ("after", str(whole))):
        train(store, tmp_path / name, steps=1, start=start, seed=3)
        first[name] = read_lines(tmp_path / name)[1]["loss"]
    assert first["after"] != pytest.approx(first["fresh"], rel=1e-4)


def test_a_batch_must_be_shared_evenly(store, tmp_path: Path) -> None:
    crew = Crew(0, 3, torch.device("cpu"))
    with pytest.raises(RecipeError, match="a multiple of the number of processes, 3"):
        Run(small_family(), store, small_settings(), tmp_path, crew, recipe="", resume=True, quiet=True)


def test_what_is_saved_names_no_time_and_no_machine(whole: Path, store) -> None:
    card = json.loads((whole / "model.json").read_text())
    assert card["hyper_parameters"] == json.loads(json.dumps(asdict(small_family())))
    for name in BYTES[:3]:
        raw = (whole / name).read_bytes()
        assert str(store.path).encode() not in raw
        assert len(socket.gethostname()) < 6 or socket.gethostname().encode() not in raw  # two letters occur by chance


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_python(program: str, **variables: str) -> subprocess.Popen:
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.Popen(command, env=environment, cwd=root, stderr=subprocess.PIPE, text=True)


def run_python(program: str, **variables: str) -> subprocess.CompletedProcess:
    process = start_python(program, **variables)
    errors = process.communicate(timeout=100)[1]
    return subprocess.CompletedProcess(process.args, process.returncode, "", errors)
