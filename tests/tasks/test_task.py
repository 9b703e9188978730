"""The seam of a task: batches, the window probe, and what quality assessment and interaction sites make of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from tertia.data.example import Example
from tertia.nn.residue_graph import N_EDGE_VALUES, N_RESIDUE_VALUES, join, residue_graph
from tertia.nn.window_probe import WindowProbe, windows
from tertia.residues import LETTERS, N_INDICES
from tertia.tasks import TASKS
from tertia.tasks.interface.deepppisp import Residues
from tertia.tasks.interface.task import NETWORKS, Interface
from tertia.tasks.quality.task import Quality
from tertia.tasks.task import Item, Prediction, Vectors, Widths, batch_of
from tests.benchmarks_on_disk import sites_of
from tests.structures import make_chain


def example_of(length: int, seed: int) -> Example:
    made = make_chain(length, seed=seed, entry=f"e{seed}", missing=(3,))
    return Example(made.key, (made,), np.array(sites_of(made.sequence), float), meta={"set": "", "target": ""})


def item_of(length: int, seed: int, *, embedded: bool = True) -> Item:
    """Return an item with random embeddings, 3 channels a residue and 2 an edge."""
    made, rng = make_chain(length, seed=seed, missing=(3,)), np.random.default_rng(seed)
    graph = residue_graph(made.sequence, made.alpha)
    sizes = ((3,), (length, 3), (len(graph.source), 2))
    vectors = Vectors(*(rng.standard_normal(size).astype(np.float32) for size in sizes)) if embedded else None
    return Item(graph, vectors, rng.random((length, 2)), rng.random(5))


# ---------------------------------------------------------------- batches
def test_a_batch_holds_every_item_where_it_belongs() -> None:
    items = [item_of(length, seed) for seed, length in enumerate((12, 1, 20))]
    batch, plain = batch_of(items), join([item.graph for item in items])
    assert batch.widths == Widths(feature=0, residue=3, edge=2, whole=3)
    assert batch.lengths == (12, 1, 20)
    assert torch.equal(batch.graph.values[:, :N_RESIDUE_VALUES], plain.values)
    assert torch.equal(batch.graph.geometry[:, :N_EDGE_VALUES], plain.geometry)
    for name in ("letter", "source", "sink", "separation", "model"):
        assert torch.equal(getattr(batch.graph, name), getattr(plain, name))
    parts = {
        "residue": batch.graph.values[:, N_RESIDUE_VALUES:].split(batch.lengths),
        "edge": batch.graph.geometry[:, N_EDGE_VALUES:].split([len(item.graph.source) for item in items]),
        "protein": batch.protein,
    }
    for name, rows in parts.items():
        for item, row in zip(items, rows, strict=True):
            assert np.array_equal(row.numpy(), getattr(item.vectors, name))
    assert np.allclose(batch.residue_target.numpy(), np.concatenate([item.residue_target for item in items]))
    assert np.allclose(batch.protein_target.numpy(), [item.protein_target for item in items])


def test_a_batch_without_embeddings_is_the_joined_graph() -> None:
    items = [item_of(length, length, embedded=False) for length in (9, 14)]
    batch, plain = batch_of(items), join([item.graph for item in items])
    assert batch.widths == Widths()
    assert batch.protein.shape == (2, 0)
    assert torch.equal(batch.graph.values, plain.values)
    assert torch.equal(batch.graph.geometry, plain.geometry)


def test_embeddings_with_gradients_pass_through() -> None:
    item = item_of(8, 1)
    live = Vectors(*(torch.tensor(values, requires_grad=True) for values in vars(item.vectors).values()))
    batch = batch_of([replace(item, vectors=live), replace(item, vectors=live)])
    (batch.graph.values.sum() + batch.graph.geometry.sum() + batch.protein.sum()).backward()
    assert all(torch.equal(values.grad, torch.full_like(values, 2.0)) for values in vars(live).values())


# ---------------------------------------------------------------- window probe
def test_windows_are_cut_at_the_ends_of_a_protein() -> None:
    values = torch.arange(1.0, 6.0)[:, None]
    found = windows(values, torch.tensor([0, 0, 0, 1, 1]), 1)
    assert found.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 0], [0, 4, 5], [4, 5, 0]]


def test_the_probe_is_a_line_over_a_window() -> None:
    torch.manual_seed(0)
    items = [item_of(10, 1), item_of(2, 2)]
    graph = batch_of(items).graph
    net = WindowProbe(graph.values.shape[1], n_residue=2, n_protein=3).eval()
    net.norm.running_mean.uniform_()
    net.norm.running_var.uniform_(0.5, 2.0)
    residue, protein = net(graph)
    start = 0
    for k, length in enumerate((10, 2)):
        values = ((graph.values - net.norm.running_mean) / (net.norm.running_var + net.norm.eps).sqrt()).numpy()
        rows = np.concatenate([np.eye(N_INDICES)[graph.letter.numpy()], values], axis=1)[start : start + length]
        padded = np.pad(rows, ((3, 3), (0, 0)))
        wide = torch.tensor(np.stack([padded[i : i + 7].ravel() for i in range(length)]), dtype=torch.float32)
        assert torch.allclose(residue[start : start + length], net.residue(wide), atol=1e-5)
        assert torch.allclose(protein[k], net.protein(wide).mean(0), atol=1e-5)
        start += length


@pytest.mark.parametrize(("task", "kind"), [("quality", "linear"), *(("interface", kind) for kind in NETWORKS[:2])])
def test_what_is_said_of_a_protein_does_not_depend_on_its_neighbours(task: str, kind: str) -> None:
    torch.manual_seed(1)
    chosen, items = TASKS[task](network_kind=kind), [item_of(length, length) for length in (13, 1, 24)]
    network = chosen.network(items[0].widths).eval()
    with torch.no_grad():
        together = chosen.scores(network, batch_of(items))
        alone = [chosen.scores(network, batch_of([item])) for item in items]
    for found, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.allclose(found, torch.cat(parts), atol=1e-5)


def test_the_length_alone_says_the_same_of_all_models_of_one_length() -> None:
    chosen, items = TASKS["quality"](network_kind="length"), [item_of(length, seed) for seed, length in
                                                             enumerate((31, 17, 31, 31, 17, 40, 31))]  # fmt: skip
    network = chosen.network(items[0].widths)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        local, whole = chosen.scores(network, batch_of(items))
        alone = chosen.scores(network, batch_of(items[:1]))
    assert torch.equal(whole[[0, 0, 0]], whole[[2, 3, 6]]) and torch.equal(whole[:1], alone[1])
    assert torch.equal(local[:31], alone[0]) and len(torch.unique(local[:31], dim=0)) == 1
    assert not torch.equal(whole[0], whole[1]) and 0 < float(whole.min()) < float(whole.max()) < 1


def test_a_few_models_of_each_training_target(quality_data) -> None:
    every, few = (TASKS["quality"](models_per_target=n).read(quality_data) for n in (0, 1))
    names = lambda examples: [(one.meta["set"], one.meta["target"], one.meta["decoy"]) for one in examples]  # noqa: E731
    assert names(few["train"]) == [name for name in names(every["train"]) if name[2] == "m0"]
    assert len(every["train"]) == 2 * len(few["train"]) > 0
    for split in ("valid", "test"):
        assert names(few[split]) == names(every[split])
    assert [key for key, *_ in TASKS["quality"](models_per_target=-1).problems()] == ["models_per_target"]


# ---------------------------------------------------------------- interaction sites
@pytest.mark.parametrize("scale", [4.0, 0.5, -1.0])
def test_calibration_gives_probabilities_in_the_order_of_the_scores(scale: float) -> None:
    """Also where the network is wrong throughout: a calibration must not turn the order around."""
    rng = np.random.default_rng(3)
    examples = [example_of(60, seed) for seed in range(6)]
    raw = [
        Prediction((scale * (one.target - 0.7) + rng.normal(0, 1.5, 60)).astype(np.float32)[:, None], np.zeros(0))
        for one in examples
    ]
    calibration = Interface().calibrate(examples, raw)
    found = [Interface().finish(one, calibration) for one in raw]
    before, after = (np.concatenate([one.residue[:, 0] for one in some]) for some in (raw, found))
    assert np.array_equal(np.argsort(before, kind="stable"), np.argsort(after, kind="stable"))
    assert 0 < after.min() < after.max() < 1
    # Calibrated on the average: as many sites as the probabilities say.
    assert after.mean() == pytest.approx(np.concatenate([one.target for one in examples]).mean(), abs=0.01)
    assert calibration["scale"] > 0


def test_calibration_of_one_class_or_of_certainty_is_finite() -> None:
    one = example_of(30, 1)
    nothing = replace(one, target=np.zeros(30))
    for example in (one, nothing):
        raw = [Prediction((example.target * 2000 - 1000)[:, None], np.zeros(0))]
        calibration = Interface().calibrate([example], raw)
        assert np.isfinite(list(calibration.values())).all()
        assert np.isfinite(Interface().finish(raw[0], calibration).residue).all()


@pytest.mark.parametrize("kind", ["deepppisp", "deepppisp_faithful"])
def test_deepppisp_gets_letters_features_and_embeddings(kind: str, sites_data: Path, monkeypatch) -> None:
    monkeypatch.setattr("tertia.tasks.interface.deepppisp.LONGEST", 64)  # 10^8 weights are not for a test
    monkeypatch.setattr("tertia.tasks.interface.task.LONGEST", 64)
    task = Interface(network_kind=kind)
    (example, *_), rng = task.read(sites_data)["valid"], np.random.default_rng(0)
    graph = task.graph(example)
    embedding, protein = rng.standard_normal((len(example), 3)), rng.standard_normal(3)
    item = task.item(example, graph, Vectors(protein, embedding, np.zeros((len(graph.source), 0))))
    torch.manual_seed(0)
    network = task.network(item.widths).eval()
    letters = np.array([[letter == one for one in LETTERS] for letter in example.sequence])
    published = np.concatenate([np.nan_to_num(example.features["dssp_mended"]), example.features["pssm"]], axis=1)
    whole = [torch.tensor(values[None], dtype=torch.float32) for values in (letters, published, embedding, protein)]
    with torch.no_grad():
        direct = network(Residues(*whole, torch.ones(1, len(example), dtype=torch.int64)))[0]
        found = task.scores(network, batch_of([item]))[0][:, 0]
    assert item.widths == Widths(feature=29, residue=3, edge=0, whole=3)
    assert torch.allclose(found, direct, atol=1e-5)


def test_splits_of_interaction_sites(sites_data: Path) -> None:
    first = Interface().read(sites_data)
    assert {name: len(part) for name, part in first.items()} == {"train": 8, "valid": 2, "test_10": 10, "test_5": 5}
    assert [one.id for one in first["valid"]] == [one.id for one in Interface().read(sites_data)["valid"]]
    assert not {one.id for one in first["train"]} & {one.id for one in first["valid"]}
    assert all(one.chains[0].seen.any() for one in first["test_5"])
    second = Interface(benchmark="graphppis").read(sites_data)
    assert [len(part) for part in second.values()] == [8, 2, 10, 10, 10]


def test_an_epoch_has_every_protein_once(sites_data: Path) -> None:
    training = Interface(batch=3)
    examples = [example_of(20, seed) for seed in range(8)]
    batches = list(training.epoch(examples, np.random.default_rng(0)))
    assert sorted(chain.from_iterable(batches)) == list(range(8))
    assert [len(batch) for batch in batches] == [3, 3, 2]


# ---------------------------------------------------------------- quality
def test_an_epoch_has_one_model_of_every_target(quality_data: Path) -> None:
    examples = Quality().read(quality_data)["train"]
    generator, drawn = np.random.default_rng(0), set()
    for _ in range(20):
        batches = list(Quality(batch=2).epoch(examples, generator))
        assert [len(batch) for batch in batches] == [2, 2]
        targets = [examples[k].meta["target"] for k in chain.from_iterable(batches)]
        assert sorted(targets) == sorted({one.meta["target"] for one in examples})
        drawn |= set(chain.from_iterable(batches))
    assert drawn == set(range(len(examples)))


def test_a_perfect_prediction_has_the_best_figures(quality_data: Path) -> None:
    task = Quality()
    examples = task.read(quality_data)["test"]
    perfect = [
        Prediction(np.nan_to_num(one.target), np.array([one.meta[name] for name in task.protein_scores]))
        for one in examples
    ]
    figures = {f.name: float(f.statistic(*f.columns)) for f in task.figures(examples, perfect, {})}
    for name in ("gdt_ts R", "gdt_ts R_target", "lddt R", "local lddt rho", "local lddt rho_decoy", "gdt_ts z"):
        assert figures[name] == pytest.approx(1.0)
    for name in ("gdt_ts RMSE", "gdt_ts FRL", "local lddt RMSE"):
        assert figures[name] == 0.0
    assert np.isnan(figures["gdt_ts FRL_5"])  # no target has six models
    assert task.validation_score(examples, perfect) == 0.0
