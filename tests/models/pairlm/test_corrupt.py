"""Hiding tokens: in the stated shares, never special ones, dynamically, and with nothing left of them in the input."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from tertia.models import Pairlm
from tertia.models.pairlm.corrupt import draw_piece, hide, split_anew, used_ids
from tertia.models.pairlm.inputs import SPECIAL, Line, ids_of, inputs_of_chain, join, line_of, single_residues
from tertia.sequence.tokens import END, FEWEST, MASK, SPECIALS, START, Tokenizer
from tests.models.pairlm.encoders import some_merges
from tests.structures import random_sequence, sequence_chain


@pytest.fixture(scope="module", params=["residues", "merges"])
def tokenizer(request) -> Tokenizer:
    return single_residues() if request.param == "residues" else some_merges()


def line(tokenizer: Tokenizer, *lengths: int) -> Line:
    inputs = [
        inputs_of_chain(sequence_chain(random_sequence(n, seed=k)), tokenizer) for k, n in enumerate(lengths, start=7)
    ]
    return (join(*inputs) if len(inputs) == 2 else inputs[0]).line


def hidden(one: Line, tokenizer: Tokenizer, seed: int, share: float = 0.15, substitutes: np.ndarray | None = None):
    ids = used_ids(tokenizer) if substitutes is None else substitutes
    generator = np.random.default_rng(seed)
    return hide(one, share, generator, substitutes=ids, length_of_id=tokenizer.length_of_id)


def within(count: int, n: int, share: float) -> bool:
    """Whether a count is within 4 standard deviations of a binomial one."""
    return abs(count - n * share) < 4.0 * (n * share * (1.0 - share)) ** 0.5


def test_the_shares_are_within_binomial_error(tokenizer) -> None:
    long, ids = line(tokenizer, 3000, 1000), used_ids(tokenizer)
    n_chosen = n_masked = n_changed = n_kept = 0
    for seed in range(10):
        noisy, target = hidden(long, tokenizer, seed)
        chosen = target.token > 0
        assert torch.equal(target.token[chosen], long.token[chosen])
        assert torch.equal(noisy.token[~chosen], long.token[~chosen])
        assert not bool((chosen & (long.part >= SPECIAL)).any())
        masked = noisy.token == MASK + 1
        assert not bool((masked & ~chosen).any())
        n_chosen += int(chosen.sum())
        n_masked += int(masked.sum())
        n_kept += int((chosen & (noisy.token == long.token)).sum())
        n_changed += int((chosen & ~masked & (noisy.token != long.token)).sum())
    assert within(n_chosen, 10 * (len(long.token) - 4), 0.15)
    assert within(n_masked, n_chosen, 0.8)
    assert within(n_changed, n_chosen, 0.1 * (1 - 1 / len(ids)))
    assert within(n_kept, n_chosen, 0.1 + 0.1 / len(ids))


def test_targets_tell_how_many_residues_a_token_has(tokenizer) -> None:
    sequence = random_sequence(400, seed=5)
    inputs = inputs_of_chain(sequence_chain(sequence), tokenizer)
    _, target = hidden(inputs.line, tokenizer, 0, share=0.99)
    chosen = target.token > 0
    texts = [tokenizer.vocabulary[id - 1] for id in target.token[chosen].tolist()]
    assert target.n_residues[chosen].tolist() == [len(text) for text in texts]
    assert not bool(target.n_residues[~chosen].any())


def test_random_tokens_are_uniform_and_tell_nothing_of_the_hidden_ones() -> None:
    tokenizer = single_residues()
    long, ids = line(tokenizer, 4000), used_ids(tokenizer)
    place = {int(id) + 1: k for k, id in enumerate(ids)}
    table = np.zeros((20, 20))
    for seed in range(40):
        noisy, target = hidden(long, tokenizer, seed, share=0.5)
        changed = (target.token > 0) & (noisy.token != MASK + 1) & (noisy.token != long.token)
        pairs = zip(target.token[changed].tolist(), noisy.token[changed].tolist(), strict=True)
        for true, shown in pairs:
            table[place[true], place[shown]] += 1
    expected = sum(table.sum(1)[:, None] * (1 - np.eye(20)) / 19)
    assert (np.abs(table.sum(0) - expected) < 5 * np.sqrt(expected)).all()


def test_substitutes_are_used_tokens_or_in_reproduction_the_whole_vocabulary(tmp_path) -> None:
    tokenizer = some_merges()
    tokenizer.save(tmp_path / "tokenizer.json")
    used = used_ids(tokenizer)
    letters = [tokenizer.vocabulary[id] for id in used[:20]]
    assert "".join(letters) == "ACDEFGHIKLMNPQRSTVWY" and used[20:].tolist() == list(range(FEWEST, FEWEST + 60))
    inputs = inputs_of_chain(sequence_chain(random_sequence(20_000, seed=3)), tokenizer)
    shown = {}
    for replacement in ("used", "all"):
        family = Pairlm(tokenizer=str(tmp_path / "tokenizer.json"), replacement=replacement, masked_share=0.9,
                        longest=40_000)  # fmt: skip
        noisy, target = family.corrupt(inputs, np.random.default_rng(0))
        changed = (target.token > 0) & (noisy.token != MASK + 1) & (noisy.token != inputs.token)
        shown[replacement] = noisy.token[changed].numpy() - 1
    assert set(shown["used"].tolist()) <= set(used.tolist())
    odd = ~np.isin(shown["all"], used)
    assert within(int(odd.sum()), len(odd), (len(tokenizer) - len(used) - 1) / (len(tokenizer) - 1))
    assert (shown["all"] < len(SPECIALS)).any()


def test_nothing_of_what_was_hidden_goes_along() -> None:
    """The noisy example has the tokens and the layout, no letters; two inputs that differ where hidden are the same."""
    family = Pairlm(longest=1000)
    one = inputs_of_chain(sequence_chain(random_sequence(500, seed=1)), family.tokens)
    noisy, _ = family.corrupt(one, np.random.default_rng(4))
    assert {column.name for column in fields(noisy)} == {"token", "part"}
    masked = noisy.token == MASK + 1
    other = replace(one, token=torch.where(masked, one.token % 20 + 38, one.token))
    again, _ = family.corrupt(other, np.random.default_rng(4))
    assert int(masked.sum()) > 30 and torch.equal(again.token, noisy.token) and torch.equal(again.part, noisy.part)
    assert not torch.equal(other.token[masked], one.token[masked])


def test_masks_are_drawn_anew_and_repeat_with_the_generator(tokenizer) -> None:
    one = line(tokenizer, 300)
    masks = [hidden(one, tokenizer, seed)[1].token for seed in (0, 1, 0)]
    assert torch.equal(masks[0], masks[2]) and not torch.equal(masks[0], masks[1])


def test_a_short_chain_gives_one_token(tokenizer) -> None:
    for length in (1, 2, 3):
        _, target = hidden(line(tokenizer, length), tokenizer, 0, share=0.001)
        assert int((target.token > 0).sum()) == 1


def test_pieces_cover_the_line_and_mark_its_true_ends_only() -> None:
    ids = np.arange(100) + 5  # each its own, so that a piece tells where it was cut
    whole, covered, starts = line_of(ids), torch.zeros(102), set()
    for seed in range(2000):
        piece = draw_piece(whole, 30, np.random.default_rng(seed))
        assert len(piece.token) == 30
        start = 0 if int(piece.token[0]) == START + 1 else int(piece.token[0]) - 5
        starts.add(start)
        assert torch.equal(piece.token, whole.token[start : start + 30])
        assert torch.equal(piece.part, whole.part[start : start + 30])
        covered[start : start + 30] += 1
    assert starts == set(range(73))
    assert float(covered.min()) > 0.4 * 2000 * 30 / 102  # evenly it would be 1.0
    assert draw_piece(whole, 102, np.random.default_rng(0)) is whole


@pytest.mark.parametrize(
    ("lengths", "kept"), [((50, 80), (13, 13)), ((5, 80), (5, 21)), ((80, 5), (21, 5)), ((12, 14), (12, 14))]
)
def test_two_chains_share_the_room_and_keep_all_special_tokens(lengths, kept) -> None:
    first, second = np.arange(lengths[0]) + 5, np.arange(lengths[1]) + 105
    seen = set()
    for seed in range(300):
        piece = draw_piece(line_of(first, second), 30, np.random.default_rng(seed))
        one, two = ids_of(piece)
        assert (len(one), len(two)) == kept and len(piece.token) == sum(kept) + 4
        special = piece.token[piece.part >= SPECIAL] - 1
        assert special.tolist() == [START, END, END, END]
        assert set(np.diff(one)) <= {1} and set(np.diff(two)) <= {1}
        seen |= {*one.tolist(), *two.tolist()}
    assert seen == {*first.tolist(), *second.tolist()}  # every token comes up, the ends too


def test_dropout_of_merges_splits_the_same_residues_otherwise() -> None:
    tokenizer = some_merges()
    pair = line(tokenizer, 200, 90)
    text = ["".join(tokenizer.vocabulary[id] for id in ids) for ids in ids_of(pair)]
    split = [split_anew(pair, tokenizer, dropout=0.3, generator=np.random.default_rng(seed)) for seed in (0, 1, 0)]
    for one in split:
        assert ["".join(tokenizer.vocabulary[id] for id in ids) for ids in ids_of(one)] == text
        assert len(one.token) > len(pair.token)
    assert torch.equal(split[0].token, split[2].token) and not torch.equal(split[0].token, split[1].token)
    single = split_anew(pair, tokenizer, dropout=1.0, generator=np.random.default_rng(0))
    assert len(single.token) == 200 + 90 + 4
    none = split_anew(pair, tokenizer, dropout=0.0, generator=np.random.default_rng(0))
    assert torch.equal(none.token, pair.token) and torch.equal(none.part, pair.part)


@pytest.mark.parametrize(
    ("key", "value"),
    [("width", 100), ("masked_share", 0.0), ("longest", 0), ("masked_share", float("nan")), ("window", 7),
     ("dropout", 1.0), ("token_dropout", -0.1), ("inner", -1)],
)  # fmt: skip
def test_senseless_values_are_named(key: str, value: float) -> None:
    assert key in [problem[0] for problem in Pairlm(n_heads=3 if key == "width" else 4, **{key: value}).problems()]
    assert not list(Pairlm().problems())
