"""Hiding letters: in the stated shares, only of the 20, dynamically, and with nothing left of them in the input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tertia.models import Pairlm
from tertia.models.pairlm.corrupt import draw_piece, hide
from tertia.models.pairlm.inputs import FIRST, LAST, MASK, N_LETTERS, inputs_of_chain
from tests.structures import random_sequence, sequence_chain

LONG = inputs_of_chain(sequence_chain(random_sequence(4000)))


def within(count: int, n: int, share: float) -> bool:
    """Whether a count is within 4 standard deviations of a binomial one."""
    return abs(count - n * share) < 4.0 * (n * share * (1.0 - share)) ** 0.5


def test_the_shares_are_within_binomial_error() -> None:
    n_chosen = n_masked = n_changed = n_kept = 0
    for seed in range(10):
        noisy, target = hide(LONG, 0.15, np.random.default_rng(seed))
        chosen = target.letter > 0
        assert torch.equal(target.letter[chosen], LONG.letter[chosen])
        assert torch.equal(noisy.letter[~chosen], LONG.letter[~chosen])
        masked = noisy.letter == MASK
        assert not bool((masked & ~chosen).any())
        n_chosen += int(chosen.sum())
        n_masked += int(masked.sum())
        n_kept += int((chosen & (noisy.letter == LONG.letter)).sum())
        n_changed += int((chosen & ~masked & (noisy.letter != LONG.letter)).sum())
    assert within(n_chosen, 40_000, 0.15)
    assert within(n_masked, n_chosen, 0.8)
    assert within(n_changed, n_chosen, 0.1 * 19 / 20)
    assert within(n_kept, n_chosen, 0.1 + 0.1 / 20)


def test_random_letters_are_uniform_and_tell_nothing_of_the_hidden_ones() -> None:
    table = np.zeros((N_LETTERS, N_LETTERS))
    for seed in range(40):
        noisy, target = hide(LONG, 0.5, np.random.default_rng(seed))
        changed = (target.letter > 0) & (noisy.letter != MASK) & (noisy.letter != LONG.letter)
        np.add.at(table, (target.letter[changed].numpy() - 1, noisy.letter[changed].numpy() - 1), 1)
    by_letter = table.sum(0)
    expected = sum(table.sum(1)[:, None] * (1 - np.eye(N_LETTERS)) / (N_LETTERS - 1))
    assert (np.abs(by_letter - expected) < 5 * np.sqrt(expected)).all()


def test_unknown_residues_are_never_chosen() -> None:
    inputs = inputs_of_chain(sequence_chain("XBUXO" * 6 + "ACDEFGHIKLMNPQRSTVWYACDEFGHIKL"))
    for seed in range(20):
        noisy, target = hide(inputs, 0.5, np.random.default_rng(seed))
        assert not bool((target.letter[:30] > 0).any()) and bool((noisy.letter[:30] == MASK - 1).all())


def test_a_short_chain_gives_one_letter_and_an_unknown_one_none() -> None:
    for length in (1, 2, 3):
        _, target = hide(inputs_of_chain(sequence_chain("MKV"[:length])), 0.01, np.random.default_rng(0))
        assert int((target.letter > 0).sum()) == 1
    _, target = hide(inputs_of_chain(sequence_chain("XXX")), 0.9, np.random.default_rng(0))
    assert not bool((target.letter > 0).any())


def test_pieces_cover_the_chain_and_mark_its_true_ends_only() -> None:
    inputs = inputs_of_chain(sequence_chain(random_sequence(100)))
    order = torch.arange(100, dtype=torch.uint8)
    covered, starts = torch.zeros(100), set()
    for seed in range(2000):
        piece = draw_piece(type(inputs)(order, inputs.edge, inputs.chain, inputs.seen), 30, np.random.default_rng(seed))
        assert len(piece.letter) == 30
        start = int(piece.letter[0])
        starts.add(start)
        covered[start : start + 30] += 1
        assert (int(piece.edge[0]) == FIRST) == (start == 0) and (int(piece.edge[-1]) == LAST) == (start == 70)
        assert not bool(piece.edge[1:-1].any())
    assert starts == set(range(71))
    assert float(covered.min()) > 0.4 * 2000 * 30 / 100  # evenly it would be 1.0


@pytest.mark.parametrize(
    ("key", "value"), [("width", 100), ("masked_share", 0.0), ("crop", 0), ("masked_share", float("nan"))]
)
def test_senseless_values_are_named(key: str, value: float) -> None:
    assert key in [problem[0] for problem in Pairlm(**{key: value}).problems()]
    assert not list(Pairlm().problems())
