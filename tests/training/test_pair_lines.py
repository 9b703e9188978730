"""Training on two chains at once: which ones, joined how, and the same bytes whatever was done before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tertia.data.pairs import Pairs
from tertia.data.partners import Pairing
from tertia.errors import CheckpointError, RecipeError
from tertia.training import checkpoint
from tertia.training.examples import Examples, FeaturisedChains
from tertia.training.log import read_lines
from tertia.training.loop import fit
from tertia.training.run import fingerprint, usable
from tests.training.pairing_family import Duo
from tests.training.stores import small_family, small_settings

LISTED = ((1, 2), (1, 3), (2, 3), (2, 5), (3, 6), (5, 6), (6, 7), (7, 9), (9, 10), (0, 4), (4, 8), (0, 1), (3, 8))
"""Chains 0, 4 and 8 are for validation: two pairs there, nine for training, two across."""
TRAIN, VALID = {frozenset(pair) for pair in LISTED[:9]}, {frozenset(pair) for pair in LISTED[9:11]}
BYTES = ("network.safetensors", "model.json", "log.jsonl", "training_chains.txt")


def pairing(kind: str = "half", *, listed=LISTED, most: int = 0) -> Pairing:
    first, second = np.array(listed, np.int32).T
    return Pairing(Pairs(first, second, np.zeros(len(first), np.int16), ("",)), kind, most=most)


def make(store, kind: str = "half", *, rank: int = 0, size: int = 1, megabytes: int = 16, **changes) -> Examples:
    chains = FeaturisedChains(Duo(), store, megabytes=megabytes)
    positions = usable(store, "train", coordinates=False)
    return Examples(chains, positions, small_settings(**changes), pairing=pairing(kind), rank=rank, size=size)


def train(store, folder: Path, *, pairs: Pairing | None = None, family=None, **changes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tertia.training.curves.draw", lambda folder: "")
        settings = small_settings(**({"learning_rate": 0.3} | changes))
        return fit(family or Duo(), store, settings, folder, recipe="a = 1\n", resume=True, quiet=True,
                   pairing=pairs or pairing())  # fmt: skip


def visited(examples: Examples, n: int) -> list[frozenset[int]]:
    return [frozenset(examples.row(0, place).tolist()) for place in range(n)]


def same(one, two) -> bool:
    return all(torch.equal(a.length, b.length) and torch.equal(a.chain, b.chain)
               for a, b in zip(one, two, strict=True))  # fmt: skip


def test_an_epoch_shows_every_training_pair_once_and_none_of_another_part(store) -> None:
    examples = make(store, "binding")
    assert examples.n_epoch == 9
    for epoch in range(3):
        assert {frozenset(row) for row in examples.order(epoch).tolist()} == TRAIN
    assert visited(examples, 9) != visited(examples, 18)[9:]
    assert examples.positions.tolist() == [1, 2, 3, 5, 6, 7, 9, 10]


def test_random_partners_are_training_chains_that_are_listed_nowhere(store) -> None:
    examples, listed = make(store, "random"), set(map(frozenset, LISTED))
    shown = {pair for epoch in range(20) for pair in map(frozenset, examples.order(epoch).tolist())}
    assert shown and not shown & listed
    assert set().union(*shown) <= set(examples.positions.tolist())


def test_an_example_holds_both_chains_in_the_order_of_the_row(store) -> None:
    examples, orders = make(store, "binding"), set()
    for place in range(9):
        one, two = examples.row(0, place).tolist()
        _, target = examples.example(0, place)
        lengths = store.lengths[[one, two]].tolist()
        assert target.length.tolist() == [lengths[0]] * lengths[0] + [lengths[1]] * lengths[1]
        assert target.chain.tolist() == [1] * lengths[0] + [2] * lengths[1]
        orders.add(one < two)
    assert orders == {True, False}


def test_only_single_chains_are_kept_in_memory(store) -> None:
    examples = make(store, "half")
    for step in range(4):
        _ = examples[step]
    assert set(examples.chains._kept) <= set(examples.positions.tolist())
    assert all(set(kept.chain.tolist()) == {1} for kept in examples.chains._kept.values())


def test_a_batch_follows_from_seed_and_step_alone(store) -> None:
    warm, cold = make(store), make(store, megabytes=0)
    for step in range(5):
        _ = warm[step]
    assert same(warm[7], cold[7])
    assert not same(warm[7], make(store, seed=1)[7])
    shares = [make(store, rank=rank, size=2)[7] for rank in (0, 1)]
    for rank, share in enumerate(shares):
        for whole, part in zip(warm[7], share, strict=True):
            assert torch.equal(whole.length[rank::2][:, : part.length.shape[1]], part.length)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
def test_workers_make_the_same_batches(store) -> None:
    cpu = torch.device("cpu")
    alone, helped = (list(make(store, steps=8, workers=n).from_step(1, cpu)) for n in (0, 2))
    assert len(alone) == 7 and all(same(one, two) for one, two in zip(alone, helped, strict=True))


def test_a_run_on_pairs_learns_validates_on_binding_pairs_and_counts_them(store, tmp_path) -> None:
    outcome = train(store, tmp_path, steps=30, validate_every=15)
    start, *rest = read_lines(tmp_path)
    assert start["pairs"]["kind"] == "half" and start["pairs"]["valid"] == len(VALID)
    assert start["pairs"]["binding"] == start["pairs"]["random"] == 9 - start["pairs"]["without_partner"]
    losses = [line["loss"] for line in rest if line["kind"] == "train"]
    assert outcome.finished and losses[-1] < losses[0]
    assert checkpoint.read_card(tmp_path)["training"]["n_valid_chains"] == 3
    assert len((tmp_path / "training_chains.txt").read_text().split()) == 8


def test_stopped_and_continued_is_bit_for_bit_uninterrupted(store, tmp_path) -> None:
    train(store, tmp_path / "whole", steps=12)
    stops = 0
    while not train(store, tmp_path / "parts", steps=12, max_minutes=1e-9).finished:
        stops += 1
    assert stops >= 2
    for name in BYTES:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_the_pairs_are_part_of_what_a_run_was_trained_on(store, tmp_path) -> None:
    train(store, tmp_path, steps=4)
    for other in (pairing("binding"), pairing(most=3), pairing(listed=LISTED[:-1])):
        with pytest.raises(CheckpointError, match="other pairs"):
            train(store, tmp_path, pairs=other, steps=4)
    hashes = {fingerprint(store), *(fingerprint(store, pairing(kind)) for kind in ("binding", "random", "half"))}
    assert len(hashes) == 4


def test_a_family_that_takes_one_chain_says_so(store, tmp_path) -> None:
    with pytest.raises(RecipeError, match="distmap takes one chain at a time"):
        train(store, tmp_path, family=small_family())


def test_an_epoch_of_clusters_and_a_part_without_pairs_are_refused(store, tmp_path) -> None:
    with pytest.raises(RecipeError, match="visits every pair"):
        train(store, tmp_path, epoch_of="clusters")
    with pytest.raises(RecipeError, match="no half pairs of training chains"):
        train(store, tmp_path, pairs=pairing(listed=LISTED[9:]))
