"""Learning a task: it learns, repeats itself, keeps proteins apart, and lets an encoder learn with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tertia.embedding.live import LiveEncoder
from tertia.encoders import open_side_by_side
from tertia.errors import InputError, TrainingError
from tertia.tasks.interface.task import Interface
from tertia.tasks.quality.task import Quality
from tertia.tasks.task import batch_of
from tertia.training.learning import constant_predictions, learn, make_items
from tertia.training.supervised import Supervision
from tests.distmap_networks import TINY, network_of

SETTINGS = Supervision(epochs=8, learning_rate=1e-2)
LINEAR = Quality(network_kind="linear", batch=4)


@pytest.fixture(scope="module")
def examples(quality_data: Path):
    return LINEAR.read(quality_data)


@pytest.fixture(scope="module")
def items(examples, tiny_model: Path):
    embed = open_side_by_side(str(tiny_model))
    return {split: make_items(LINEAR, part, embed) for split, part in examples.items()}


def equal(one, two) -> bool:
    return all(
        np.array_equal(a.residue, b.residue) and np.array_equal(a.protein, b.protein)
        for a, b in zip(one, two, strict=True)
    )


@pytest.mark.parametrize("task", [LINEAR, Quality(size="compact", batch=4)], ids=["linear", "graphqa"])
def test_it_learns_and_a_seed_gives_the_same(task: Quality, examples, items) -> None:
    first, again, other = (learn(task, examples, items, settings=SETTINGS, seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(1)
    untrained = task.network(first.widths).eval()
    loss = [task.loss(network, batch_of(items["train"])).item() for network in (untrained, first.network)]
    assert loss[1] < 0.8 * loss[0]
    assert first.history.loss == again.history.loss != other.history.loss
    predictions = [one.predict(items["test"]) for one in (first, again, other)]
    assert equal(predictions[0], predictions[1])
    assert not equal(predictions[0], predictions[2])
    assert not first.network.training


def test_predictions_do_not_depend_on_the_batch(examples, items, monkeypatch) -> None:
    learnt = learn(LINEAR, examples, items, settings=replace(SETTINGS, epochs=1))
    rows = [*items["train"], *items["test"]]  # more than one batch
    together, backwards = learnt.predict(rows), learnt.predict(rows[::-1])[::-1]
    alone = [learnt.predict([item])[0] for item in rows]
    for one, two, three in zip(together, backwards, alone, strict=True):
        for level in ("residue", "protein"):
            assert np.allclose(getattr(one, level), getattr(two, level), atol=1e-6)
            assert np.allclose(getattr(one, level), getattr(three, level), atol=1e-6)


def test_embeddings_reach_the_items(examples, items, tiny_model: Path) -> None:
    item, chain = items["train"][0], examples["train"][0].chains[0]
    inputs = TINY.featurise(chain)
    with torch.no_grad():
        encoded = network_of(TINY).encode(type(inputs)(**{k: v[None] for k, v in vars(inputs).items()}), pair=True)
    pair = encoded.pair[0, item.graph.source, item.graph.sink]
    for found, wanted in ((item.vectors.residue, encoded.residue[0]), (item.vectors.protein, encoded.protein[0]),
                          (item.vectors.edge, pair)):  # fmt: skip
        assert np.allclose(found, wanted, atol=1e-4)
    assert item.widths.residue == item.widths.edge == TINY.width


def test_kept_embeddings_are_those_that_were_made(examples, items, tiny_model: Path, tmp_path: Path) -> None:
    for _ in range(2):  # written, then read
        embed = open_side_by_side(str(tiny_model), cache=tmp_path)
        for found, wanted in zip(make_items(LINEAR, examples["valid"], embed), items["valid"], strict=True):
            for name in ("protein", "residue", "edge"):
                assert np.allclose(getattr(found.vectors, name), getattr(wanted.vectors, name), rtol=1e-3, atol=1e-3)
    files = sorted(path.name for path in tmp_path.rglob("*.npy"))
    assert len(files) == 3 * len(examples["valid"])  # nothing half written is left
    monkey = open_side_by_side(str(tiny_model), cache=tmp_path)
    monkey.encodings = tuple(replace(one, encoder=None) for one in monkey.encodings)
    assert len(make_items(LINEAR, examples["valid"], monkey)) == len(examples["valid"])  # nothing is computed again


def test_an_encoder_learns_with_the_network(examples) -> None:
    encoder = LiveEncoder(TINY, network_of(TINY))
    before = {name: tensor.clone() for name, tensor in encoder.network.state_dict().items()}
    plain = {split: make_items(LINEAR, part) for split, part in examples.items()}
    chosen = encoder.embedded(plain["train"][:2], examples["train"][:2])
    assert all(item.vectors.edge.shape == (len(item.graph.source), TINY.width) for item in chosen)
    learnt = learn(LINEAR, examples, plain, settings=replace(SETTINGS, epochs=2), encoder=encoder)
    assert learnt.widths.residue == TINY.width
    after = encoder.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    trained = {name for name, _ in encoder.network.named_parameters()}
    assert {name for name in trained if name.startswith(("blocks", "pair_in", "residue_in"))} <= moved
    assert moved <= trained  # what was fitted on the training chains of the model stays
    # The graph network takes the pair level too: its gradient reaches the encoder.
    task = Quality(size="compact", batch=4)
    encoder = LiveEncoder(TINY, network_of(TINY))
    learn(task, examples, plain, settings=replace(SETTINGS, epochs=1), encoder=encoder)
    assert not torch.equal(encoder.network.pair_in.weight, before["pair_in.weight"])


def test_constant_predictions_are_means_of_what_is_known(sites_data: Path, examples, items) -> None:
    found = constant_predictions(items, "test")
    rows = np.concatenate([one.target for one in examples["train"]])
    assert found[0].residue.shape == (len(examples["test"][0]), 2)
    assert np.allclose(found[0].residue[:, 0], np.nanmean(rows[:, 0]))
    assert (found[0].residue[:, 1] == 0).all()  # no CAD-score is known
    assert np.isfinite(found[0].protein).all()
    task = Interface(benchmark="graphppis", features="computed")
    sites = task.read(sites_data)
    made = constant_predictions({split: make_items(task, part) for split, part in sites.items()}, "valid")
    share = np.concatenate([one.target for one in sites["train"]]).mean()
    assert [len(one.residue) for one in made] == [len(one) for one in sites["valid"]]
    assert made[0].residue[0, 0] == pytest.approx(share)
    assert made[0].protein.shape == (0,)


@pytest.mark.parametrize(
    ("kind", "features", "auroc", "mcc"), [("graph", "profiles", 0.95, 0.7), ("linear", "computed", 0.7, 0.2)]
)
def test_interaction_sites_are_learnt(kind: str, features: str, auroc: float, mcc: float, sites_data: Path) -> None:
    task = Interface(network_kind=kind, benchmark="graphppis", features=features, width=16, n_rounds=1, batch=2)
    examples = task.read(sites_data)
    items = {split: make_items(task, examples[split]) for split in ("train", "valid", "Test_60")}
    learnt = learn(task, examples, items, settings=Supervision(epochs=10, learning_rate=1e-2))
    figures = task.figures(examples["Test_60"], learnt.predict(items["Test_60"]), learnt.calibration)
    found = {figure.name: figure.statistic(*figure.columns) for figure in figures}
    assert found["AUROC"] > auroc  # the letter says it; a window of few proteins is learnt by heart
    assert found["MCC"] > mcc


def test_nothing_to_learn_from_is_told(examples, items) -> None:
    with pytest.raises(InputError, match=r"valid.*no example"):
        learn(LINEAR, examples, {"train": items["train"], "valid": []}, settings=SETTINGS)
    one = {"train": examples["train"][:1], "valid": examples["valid"]}
    with pytest.raises(TrainingError, match="too few examples"):
        learn(LINEAR, one, {"train": items["train"][:1], "valid": items["valid"]}, settings=SETTINGS)


def test_untrained_weights_are_a_control_that_stays(examples, tiny_model: Path) -> None:
    chains = [one.chains[0] for one in examples["train"][::2][:3]]  # of different proteins
    fresh, again = (open_side_by_side(f"fresh:{tiny_model}", calibration=chains) for _ in range(2))
    trained = open_side_by_side(str(tiny_model))
    chain, nothing = chains[0], np.zeros(0, int)
    vectors = [embed(chain, nothing, nothing) for embed in (fresh, again, trained)]
    assert np.array_equal(vectors[0].residue, vectors[1].residue)
    assert not np.allclose(vectors[0].residue, vectors[2].residue, atol=0.1)
    assert fresh.encodings[0].identity == again.encodings[0].identity != trained.encodings[0].identity
    together = open_side_by_side(f"{tiny_model},fresh:{tiny_model}", calibration=chains)(chain, nothing, nothing)
    assert np.array_equal(together.residue, np.concatenate([vectors[2].residue, vectors[0].residue], axis=1))
    # Standardised on the given chains, as trained weights are on theirs.
    rows = np.concatenate([fresh(one, nothing, nothing).residue[one.seen] for one in chains])
    assert np.abs(rows.mean(axis=0)).max() < 0.05
