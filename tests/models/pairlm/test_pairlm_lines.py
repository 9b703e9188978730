"""Lines of tokens: the layout of one chain and of two, the way from residues to tokens, the windows of long lines."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tertia.errors import InputError
from tertia.models.pairlm.inputs import SPECIAL, Inputs, ids_of, inputs_of_chain, join, single_residues
from tertia.models.pairlm.packing import apart, pack
from tertia.models.pairlm.windows import groups, overlapping
from tertia.sequence.tokens import END, START, Tokenizer, lay_out
from tests.models.pairlm.encoders import sequences, some_merges
from tests.structures import random_sequence, sequence_chain

ONE, TWO = random_sequence(50, seed=1) + "XUBZO", random_sequence(31, seed=2)


@pytest.fixture(scope="module", params=["residues", "merges"])
def tokenizer(request) -> Tokenizer:
    return single_residues() if request.param == "residues" else some_merges()


def told(inputs: Inputs, tokenizer: Tokenizer) -> str:
    """The letters of a line, read from its tokens through the map of the residues."""
    texts = [tokenizer.vocabulary[id - 1] for id in inputs.token.tolist()]
    columns = (inputs.token_of_residue.tolist(), inputs.offset.tolist(), inputs.span.tolist())
    assert all(len(texts[token]) == span for token, _, span in zip(*columns, strict=True))
    return "".join(texts[token][offset] for token, offset, _ in zip(*columns, strict=True))


def test_one_chain_and_two_are_laid_out_as_the_reference_does(tokenizer) -> None:
    first, second = (inputs_of_chain(sequence_chain(sequence), tokenizer) for sequence in (ONE, TWO))
    joined = join(first, second)
    tokens = tokenizer.encode([ONE, TWO])
    for inputs, parts in ((first, tokens[:1]), (joined, tokens)):
        layout = lay_out(*parts)
        assert (inputs.token - 1).tolist() == layout.id.tolist()
        assert torch.where(inputs.part < SPECIAL, inputs.part, 0).tolist() == layout.part.tolist()
        assert [ids.tolist() for ids in ids_of(inputs)] == [part.id.tolist() for part in parts]
        special = inputs.part >= SPECIAL
        assert {START, END} == {id - 1 for id in inputs.token[special].tolist()}
    assert told(first, tokenizer) == ONE and told(joined, tokenizer) == ONE + TWO
    assert joined.chain.tolist() == [1] * len(ONE) + [2] * len(TWO)
    owner = (joined.part % SPECIAL).tolist()
    assert owner == sorted(owner) and owner.count(1) == len(tokens[0]) + 2
    assert joined.letter.tolist() == first.letter.tolist() + second.letter.tolist() and bool(joined.seen.all())


def test_every_token_of_the_merges_is_covered_by_neighbours_only() -> None:
    inputs = inputs_of_chain(sequence_chain(ONE), some_merges())
    assert int(inputs.span.max()) > 1 and len(inputs.token) < len(ONE)
    step = inputs.token_of_residue.diff()
    assert set(step.tolist()) == {0, 1} and int(inputs.token_of_residue[0]) == 1
    assert torch.equal(inputs.offset[1:] == 0, step == 1)


def test_a_line_has_two_chains_at_most_and_letters_only(tokenizer) -> None:
    one = inputs_of_chain(sequence_chain(TWO), tokenizer)
    with pytest.raises(ValueError, match="two chains, not 3"):
        join(join(one, one), one)
    with pytest.raises(InputError, match=r"some\.fa.*'J' at position 3"):
        inputs_of_chain(sequence_chain("MKJ"), tokenizer)


def test_inputs_take_seventeen_bytes_a_residue(tokenizer) -> None:
    inputs = inputs_of_chain(sequence_chain(random_sequence(1000)), tokenizer)
    assert sum(column.nbytes for column in vars(inputs).values()) <= 17 * 1000 + 10


@pytest.mark.parametrize("longest", [8, 9, 64])
def test_windows_leave_no_row_out_and_speak_from_their_middle(longest: int) -> None:
    lengths = [3, longest, longest + 1, 5 * longest + 3, 1, 2 * longest]
    segment = torch.tensor([0, *np.cumsum(lengths)])
    windows = overlapping(segment, longest)
    sizes = windows.segment.diff().tolist()
    assert max(sizes) <= longest and int(windows.segment[-1]) == len(windows.place)
    assert torch.equal(windows.place[windows.chosen], torch.arange(sum(lengths)))
    start = torch.repeat_interleave(windows.segment[:-1], windows.segment.diff())
    size = torch.repeat_interleave(windows.segment.diff(), windows.segment.diff())
    within = torch.arange(len(windows.place)) - start
    margin = torch.minimum(within, size - 1 - within)  # rows between here and the nearer edge of the window
    best = torch.zeros(sum(lengths), dtype=torch.int64).scatter_reduce(0, windows.place, margin, "amax")
    assert torch.equal(margin[windows.chosen], best)
    for first, stop in zip(segment[:-1].tolist(), segment[1:].tolist(), strict=True):
        inner = margin[windows.chosen][first + longest // 2 : max(stop - longest // 2, 0)]
        assert len(inner) == 0 or int(inner.min()) >= longest // 4 - 1


def test_groups_hold_all_sequences_in_order() -> None:
    packed = pack(sequences(5, 9, 2, 2, 30, 1, 4))
    parts = list(groups(packed, 12))
    assert [part.segment.diff().tolist() for part in parts] == [[5], [9, 2], [2], [30], [1, 4]]
    assert torch.equal(torch.cat([part.token for part in parts]), packed.token)
    assert torch.equal(torch.cat([part.position for part in parts]), packed.position)
    assert all(int(part.segment[0]) == 0 and int(part.segment[-1]) == len(part.token) for part in parts)


def test_chains_of_a_line_come_apart_and_padding_stays() -> None:
    chain = torch.tensor([1, 1, 2, 2, 0, 1, 1, 1, 1, 2])
    assert apart(torch.tensor([0, 5, 7, 10]), chain).tolist() == [0, 2, 5, 7, 9, 10]
    assert apart(torch.tensor([0, 3]), torch.tensor([1, 1, 1])).tolist() == [0, 3]
