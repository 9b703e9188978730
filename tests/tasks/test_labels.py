"""What tasks with labels of sequences share, and the networks they use."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef

from tertia.data.example import Example
from tertia.nn.residue_graph import N_RESIDUE_VALUES, join, sequence_graph
from tertia.nn.sequence_cnn import SequenceCnn
from tertia.nn.vector_probe import PairProbe, VectorProbe
from tertia.nn.window_probe import windows
from tertia.sequence.composition import composition_of
from tertia.tasks import audit, labels
from tertia.tasks.metrics import macro_f
from tertia.tasks.metrics.calibration import log_softmax, logistic, most_correlated_threshold, temperature
from tertia.tasks.metrics.many_classes import (
    accuracy_of_classes,
    f_of_class,
    macro_f_of_classes,
    mcc_of_classes,
)
from tertia.tasks.task import Item, Vectors, Widths, batch_of
from tests.structures import random_sequence, sequence_chain


def pair_of(seed: int, *, width: int = 5) -> Item:
    """Return an item of two chains with features of 2 channels and embeddings."""
    rng = np.random.default_rng(seed)
    own = tuple(rng.random(2) for _ in range(2))
    whole = tuple(rng.standard_normal(width).astype(np.float16) for _ in range(2))
    nothing = np.zeros((0, 0))
    return Item(labels.no_graph(), Vectors(whole, nothing, nothing), nothing, np.array([float(seed % 2)]), own)


# ---------------------------------------------------------------- batches of vectors
def test_a_batch_of_vectors_holds_every_chain_where_it_belongs() -> None:
    items = [pair_of(seed) for seed in range(7)]
    batch = batch_of(items)
    assert batch.widths == Widths(protein=4, whole=10)
    assert (batch.lengths, batch.graph.n_models, len(batch.graph.letter)) == ((0,) * 7, 7, 0)
    assert batch.protein_target[:, 0].tolist() == [0, 1, 0, 1, 0, 1, 0]
    for item, row in zip(items, batch.protein.numpy(), strict=True):
        wanted = np.concatenate([*item.protein_values, *item.vectors.protein])
        assert np.allclose(row, wanted.astype(np.float32))
    first, second = labels.two_sides(batch)
    for k, item in enumerate(items):
        for side, row in ((0, first[k]), (1, second[k])):
            assert np.allclose(row, np.concatenate([item.protein_values[side], item.vectors.protein[side]]), atol=1e-6)


def test_gradients_reach_both_chains() -> None:
    own = [torch.ones(3, requires_grad=True) for _ in range(2)]
    nothing = torch.zeros(0, 0)
    item = Item(labels.no_graph(), Vectors(tuple(own), nothing, nothing), np.zeros((0, 0)), np.zeros(1))
    batch_of([item, item]).protein.sum().backward()
    assert all(torch.equal(one.grad, torch.full((3,), 2.0)) for one in own)


def test_a_sequence_is_a_graph_of_letters_and_places() -> None:
    graph = sequence_graph("ACX")
    assert graph.letter.tolist() == [1, 2, 21]
    assert graph.values[:, -1].tolist() == [0.0, 0.5, 1.0] and not graph.values[:, :-1].any()
    assert not len(graph.source) and not graph.state.any()
    both = join([graph, sequence_graph(""), sequence_graph("K")])
    assert (both.n_models, both.model.tolist()) == (3, [0, 0, 0, 2])


@pytest.mark.parametrize(("length", "longest"), [(5, 9), (9, 9), (10, 9), (30, 8), (31, 2)])
def test_the_ends_of_a_long_chain_are_kept(length: int, longest: int) -> None:
    places = labels.ends(length, longest)
    assert len(places) == min(length, longest) and (np.diff(places) > 0).all()
    assert (places[0], places[-1]) == (0, length - 1)
    gaps = np.flatnonzero(np.diff(places) > 1)
    assert len(gaps) == int(length > longest)
    if len(gaps):
        assert abs((gaps[0] + 1) - (longest - gaps[0] - 1)) <= 1


# ---------------------------------------------------------------- networks
@pytest.mark.parametrize("width", [0, 8])
def test_a_symmetric_pair_scores_alike_in_either_order(width: int) -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 40, 6)
    alike, directed = (PairProbe(6, symmetric=symmetric, width=width) for symmetric in (True, False))
    for training in (True, False):
        alike.train(training)
        assert torch.allclose(alike(first, second), alike(second, first), atol=1e-6)
        assert not torch.allclose(directed(first, second), directed(second, first), atol=1e-2)
    both = [net(first, second).var() for net in (alike, directed)]
    assert min(both) > 1e-4  # it does look at what it is given


@pytest.mark.parametrize("symmetric", [True, False])
def test_whether_two_channels_agree_can_be_learnt(symmetric: bool) -> None:
    torch.manual_seed(1)
    first, second = torch.randn(2, 400, 4)
    label = (first[:, :1] * second[:, :1] > 0).float()
    network = PairProbe(4, symmetric=symmetric, width=16)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        labels.cross_entropy(network(first, second), label).backward()
        optimiser.step()
    called = (network.eval()(first, second) > 0).float()
    assert (called == label).float().mean() > 0.9


def test_one_hidden_layer_or_none() -> None:
    torch.manual_seed(0)
    values = torch.randn(30, 5)
    line = VectorProbe(5, n_classes=3).eval()
    with torch.no_grad():
        one, two = line(values), line(2 * values)
        assert torch.allclose(two - line.head[-1].bias, 2 * (one - line.head[-1].bias), atol=1e-5)
        bent = VectorProbe(5, n_classes=3, width=7).eval()
        assert not torch.allclose(bent(2 * values), 2 * bent(values), atol=1e-2)


def test_windows_with_steps_are_those_of_every_so_many_rows() -> None:
    values = torch.arange(1.0, 8.0)[:, None]
    found = windows(values, torch.tensor([0, 0, 0, 0, 1, 1, 1]), 1, step=2)
    assert found.tolist() == [[0, 1, 3], [0, 2, 4], [1, 3, 0], [2, 4, 0], [0, 5, 7], [0, 6, 0], [5, 7, 0]]


def test_a_convolution_hears_as_far_as_it_says_and_no_other_chain() -> None:
    torch.manual_seed(2)
    network = SequenceCnn(N_RESIDUE_VALUES, n_residue=3, n_protein=2, width=8, n_blocks=3).eval()
    first, second = random_sequence(40, seed=1), random_sequence(25, seed=2)
    with torch.no_grad():
        alone = [network(sequence_graph(one)) for one in (first, second)]
        residue, protein = network(join([sequence_graph(one) for one in (first, second)]))
        assert torch.allclose(residue, torch.cat([one[0] for one in alone]), atol=1e-5)
        assert torch.allclose(protein, torch.cat([one[1] for one in alone]), atol=1e-5)
        changed = network(sequence_graph(first[:20] + ("A" if first[20] != "A" else "G") + first[21:]))[0]
    moved = (changed - alone[0][0]).abs().amax(dim=1) > 1e-7
    assert moved[20 - 7 : 20 + 8].float().mean() > 0.5 and not moved[: 20 - 7].any() and not moved[20 + 8 :].any()


# ---------------------------------------------------------------- epochs and losses
def examples_of(classes: list[int]) -> list[Example]:
    chains = [sequence_chain(random_sequence(12, seed=k), entry=f"c{k}") for k in range(len(classes))]
    return [Example(one.key, (one,), np.array([float(k)])) for one, k in zip(chains, classes, strict=True)]


def test_an_epoch_has_every_example_once_or_every_class_alike() -> None:
    examples = examples_of([0] * 90 + [1] * 9 + [2])
    generator = np.random.default_rng(0)
    batches = list(labels.shuffled(examples, 9, generator))
    assert len(set(chain.from_iterable(batches))) == len(list(chain.from_iterable(batches))) == 99
    assert all(len(batch) == 9 for batch in batches)  # the one that is left over makes no batch
    drawn = [k for _ in range(30) for batch in labels.shuffled(examples, 10, generator, balanced=True) for k in batch]
    shares = np.bincount([int(examples[k].target[0]) for k in drawn]) / len(drawn)
    assert np.allclose(shares, 1 / 3, atol=0.03)


def test_batches_by_length_hold_every_chain_once() -> None:
    lengths = np.random.default_rng(3).integers(20, 400, 60).tolist()
    batches = list(labels.by_length(lengths, 1000, np.random.default_rng(0)))
    assert sorted(chain.from_iterable(batches)) == list(range(60))
    assert all(max(lengths[k] for k in batch) * len(batch) <= 1000 for batch in batches)


def test_cross_entropy_leaves_out_what_is_unknown_and_balances_classes() -> None:
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [9.0, 9.0]])
    target = torch.tensor([[0.0], [0.0], [1.0], [torch.nan]])
    right, wrong = -torch.log_softmax(logits[0], 0)
    assert labels.cross_entropy(logits, target).item() == pytest.approx(float(2 * right + wrong) / 3)
    balanced = labels.cross_entropy(logits, target, balanced=True)
    assert balanced.item() == pytest.approx(float(right + wrong) / 2)
    two = labels.cross_entropy(logits[:, :1] - logits[:, 1:], 1.0 - target)
    assert two.item() == pytest.approx(labels.cross_entropy(logits, target).item())
    assert labels.cross_entropy(logits, torch.full((4, 1), torch.nan)).item() == 0.0


# ---------------------------------------------------------------- calibration and figures
def test_the_temperature_is_that_of_the_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5))
    chance = np.exp(log_softmax(logits))
    classes = (chance.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    assert temperature(classes, 3.0 * logits)["temperature"] == pytest.approx(3.0, rel=0.1)
    found = labels.fitted(classes.astype(float), 3.0 * logits)
    assert np.allclose(labels.probabilities(3.0 * logits, found), chance, atol=0.05)


def test_two_classes_are_called_where_they_correlate_most() -> None:
    rng = np.random.default_rng(1)
    truth = np.repeat([0.0, 1.0], 500)
    logit = (2.0 * truth - 1.0 + rng.normal(0, 1, 1000))[:, None]
    found = labels.fitted(truth, logit)
    probability = labels.probabilities(logit, found)
    assert np.allclose(probability, logistic(found["scale"] * logit + found["offset"]))
    threshold = found["threshold"]
    scored = {
        t: matthews_corrcoef(truth, probability[:, 0] > t) for t in np.arange(1, 100) / 100.0
    }  # fmt: skip
    assert scored[min(scored, key=lambda t: abs(t - threshold))] == pytest.approx(max(scored.values()))
    assert most_correlated_threshold(truth, np.full(1000, 0.7)) == pytest.approx(0.5)
    figures = {f.name: float(f.statistic(*f.columns)) for f in
               labels.figures_of_two(truth, probability, np.arange(1000), found)}  # fmt: skip
    assert figures["prevalence"] == 0.5
    assert figures["MCC"] == pytest.approx(max(scored.values()))
    assert 0.5 < figures["ACC"] < figures["AUROC"] < 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_figures_of_many_classes_agree_with_others(rows: list[tuple[int, int]]) -> None:
    truth, called = np.array(rows, dtype=float).T
    assert accuracy_of_classes()(truth, called) == pytest.approx((truth == called).mean())
    assert macro_f_of_classes(5)(truth, called) == pytest.approx(macro_f(truth, called))
    assert f_of_class(2)(truth, called) == pytest.approx(
        f1_score(truth == 2, called == 2) if (truth == 2).any() or (called == 2).any() else np.nan, nan_ok=True
    )
    wanted = matthews_corrcoef(truth, called) if len(set(truth)) > 1 else np.nan
    assert mcc_of_classes(5)(truth, called) == pytest.approx(wanted, nan_ok=True, abs=1e-12)


def test_figures_of_many_classes_are_resampled_as_they_are_computed() -> None:
    rng = np.random.default_rng(4)
    truth, called = rng.integers(0, 3, (2, 80)).astype(float)
    group = rng.integers(0, 9, 80)
    counts = rng.multinomial(9, np.full(9, 1 / 9), size=20)
    for statistic in (accuracy_of_classes(), mcc_of_classes(3), macro_f_of_classes(3), f_of_class(1)):
        rows = [np.repeat(np.arange(80), row[group]) for row in counts]
        wanted = [statistic(truth[one], called[one]) for one in rows]
        assert np.allclose(statistic.resampled((truth, called), group, counts), wanted, equal_nan=True)


# ---------------------------------------------------------------- what else is new
def test_composition_counts_letters() -> None:
    found = composition_of("AACX")
    assert (found[0], found[1], found[20], found[21]) == (0.5, 0.25, 0.25, np.log(4))
    assert found.sum() == pytest.approx(1 + np.log(4))
    assert composition_of("AACX") is found and not found.flags.writeable


def test_validation_pairs_have_a_protein_that_training_has_not() -> None:
    chains = [sequence_chain(random_sequence(15, seed=k), entry=f"c{k}") for k in range(30)]
    rng = np.random.default_rng(0)
    pairs = [Example(f"p{k}", tuple(chains[j] for j in rng.choice(30, 2, replace=False))) for k in range(200)]
    train, valid = audit.cut_by_protein(pairs, share=0.1)
    assert len(train) + len(valid) == 200 and {p.id for p in train} | {p.id for p in valid} == {p.id for p in pairs}
    known = {chain.sequence for pair in train for chain in pair.chains}
    assert len(known) == 27
    assert valid and all(any(chain.sequence not in known for chain in pair.chains) for pair in valid)
    assert [p.id for p in audit.cut_by_protein(pairs)[1]] == [p.id for p in valid]
    assert [p.id for p in audit.cut_by_protein(pairs, seed=1)[1]] != [p.id for p in valid]


def test_thinning_keeps_the_order() -> None:
    examples = examples_of([0] * 20)
    few = labels.thinned(examples, 5)
    assert [one.id for one in few] == [one.id for one in examples if one in few] and len(few) == 5
    assert labels.thinned(examples, 0) is examples and labels.thinned(examples, 20) is examples
