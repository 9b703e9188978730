"""Rows of a table in which the model itself learns: which there are, what they learn from, what is kept of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tertia.evaluate import runs
from tertia.evaluate import task as harness
from tertia.evaluate.page import write_page
from tertia.evaluate.rows import rows_of
from tertia.evaluate.task import evaluate_task
from tertia.recipe import read_task
from tertia.sequence import mmseqs
from tertia.tasks import TASKS
from tertia.training import checkpoint, learning
from tests.sequence_benchmarks import FOLDER, write_language_model, write_sequence_benchmarks

FULL = ("full-fresh", "full-model")


@pytest.fixture(autouse=True)
def quickly(monkeypatch) -> None:
    monkeypatch.setattr(harness, "N_RESAMPLES", 20)
    monkeypatch.setattr(harness, "FEWEST_GROUPS", 2)
    monkeypatch.setattr(mmseqs, "program", lambda: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_sequence_benchmarks(tmp_path_factory.mktemp("data") / "sequence_tasks")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("tiny_language_model")
    return str(write_language_model(folder, seed=1))  # 0 is the seed of untrained weights


def row(task: str, name: str, model: str):
    return next(one for one in rows_of(task, structure=model) if one.name == name)


def evaluate(task: str, data: Path, model: str, cache: Path, **more):
    given = {"models": model, "options": ("epochs=1",), "rows": FULL, "n_seeds": 2, "cache": cache}
    return evaluate_task(task, data / FOLDER[task], **(given | more))


@pytest.mark.parametrize("task", TASKS)
def test_one_model_of_sequences_learns_and_joint_ones_do_not(task: str) -> None:
    found = {one.name: one for one in rows_of(task, structure="mine", sequence="s", paper="p") if one.full}
    assert tuple(found) == (FULL if TASKS[task].reads == "sequence" else ())
    for models in ("", "one,two", "one@1.0", "fresh:one,one"):
        assert not any(one.full for one in rows_of(task, structure=models))
    if found:
        fresh, trained = found.values()
        assert (fresh.models, trained.models, fresh.role) == ("fresh:mine", "mine", "fresh")
        chosen, settings = read_task(task, (), defaults=trained.options)
        assert fresh.options == trained.options and settings.epochs <= 5
        assert f"at most {chosen.most_train:,} training" in trained.label
        probe = next(one for one in rows_of(task, structure="mine") if one.name == "probe-model")
        assert fresh.first == trained.first == probe.options


@pytest.mark.parametrize("task", ["localisation", "homology", "pair_binding", "secondary_structure"])
def test_training_examples_are_thinned_as_the_option_does_it(task: str, data: Path, model: str) -> None:
    most, folder = 10, data / FOLDER[task]
    all_of_them, few = (TASKS[task](most_train=number).read(folder) for number in (0, most))
    assert len(few["train"]) == most < len(all_of_them["train"])
    assert {name: len(part) for name, part in few.items() if name != "train"} == {
        name: len(part) for name, part in all_of_them.items() if name != "train"
    }
    again = TASKS[task](most_train=most).read(folder)
    assert [one.id for one in few["train"]] == [one.id for one in again["train"]]
    names = [one.id for one in all_of_them["train"]]
    assert sorted(names.index(one.id) for one in few["train"]) == [names.index(one.id) for one in few["train"]]
    thinned = replace(row(task, "full-model", model), options=(f"most_train={most}",))
    chosen = runs.of_row(task, thinned, ())[0]
    used = runs._used(chosen, thinned, all_of_them)
    assert [one.id for one in used["train"]] == [one.id for one in few["train"]]
    assert {name: used[name] for name in used if name != "train"} == {
        name: all_of_them[name] for name in used if name != "train"
    }


def test_a_row_that_learns_is_another_run_than_a_probe(model: str, tmp_path: Path) -> None:
    full = row("localisation", "full-model", model)
    probe = replace(full, full=False)
    paths = {runs._path(tmp_path, "localisation", one, (), "digest", 0) for one in (full, probe)}
    assert len(paths) == 2
    assert runs._path(tmp_path, "localisation", full, (), "digest", 0) in paths
    for other in (replace(full, options=("epochs=4",)), replace(full, first=("epochs=4",))):
        assert runs._path(tmp_path, "localisation", other, (), "digest", 0) not in paths


@pytest.mark.parametrize("task", ["localisation", "secondary_structure", "pair_binding"])
def test_the_model_of_a_row_learns_from_its_own_weights(
    task: str, data: Path, model: str, tmp_path, monkeypatch
) -> None:
    begun, ended, heads, learn = [], [], {}, learning.learn

    def weights(encoder) -> torch.Tensor:
        return torch.cat([one.detach().flatten().clone() for one in encoder.network.parameters()])

    def watched(*given, seed, encoder=None, start=None, **more):
        if encoder is None:
            learnt = learn(*given, seed=seed, **more)
            heads[seed] = {name: one.clone() for name, one in learnt.network.state_dict().items()}
            return learnt
        assert all(torch.equal(start[name], one) for name, one in heads[seed].items()), "the head has learnt first"
        begun.append(weights(encoder))
        learnt = learn(*given, seed=seed, encoder=encoder, start=start, **more)
        ended.append(weights(encoder))
        assert any(not torch.equal(learnt.network.state_dict()[name], one) for name, one in heads[seed].items())
        return learnt

    monkeypatch.setattr(learning, "learn", watched)
    report = evaluate(task, data, model, tmp_path)
    fresh, fresh_again, trained, trained_again = begun
    own = torch.cat([one.flatten() for one in checkpoint.load(model).network.parameters()])
    assert torch.equal(trained, own) and torch.equal(trained, trained_again)  # every seed begins anew
    assert torch.equal(fresh, fresh_again) and not torch.equal(fresh, own)
    assert all(not torch.equal(one, other) for one, other in zip(begun, ended, strict=True))
    assert not torch.equal(ended[2], ended[3])  # a seed of its own
    for table in report.sets.values():
        assert set(table) == set(FULL)
    (compared,) = {(one["row"], one["against"]) for found in report.differences.values() for one in found}
    assert compared == ("full-model", "full-fresh")
    write_page(report, tmp_path / "page", command="tertia")
    assert "then `network_kind=" in (tmp_path / "page.md").read_text()
    # The same call goes on where it was: nothing is learnt again.
    monkeypatch.setattr(learning, "learn", lambda *_, **__: pytest.fail("learnt again"))
    again = evaluate(task, data, model, tmp_path)
    assert {name: table["full-model"]["MCC"] for name, table in again.sets.items()} == {
        name: table["full-model"]["MCC"] for name, table in report.sets.items()
    }
    with pytest.raises(pytest.fail.Exception):
        evaluate(task, data, model, tmp_path, n_seeds=3)
