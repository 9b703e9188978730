"""What partners tell: nothing without attention between them, the same in both orders, and much where one is a copy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tertia.data.batch import collate
from tertia.errors import InputError
from tertia.models import Pairlm
from tertia.models.pairlm.conditional import Likelihoods, likelihoods
from tertia.models.pairlm.corrupt import used_ids
from tertia.models.pairlm.inputs import SPECIAL, Line, inputs_of_chain, line_of
from tertia.sequence.tokens import END, MASK, START
from tests.models.pairlm.encoders import loud
from tests.structures import random_sequence, sequence_chain

SIZES = {"width": 32, "n_layers": 2, "n_heads": 2}
LONGEST = 44
ARCHITECTURES = ("rotary", "roberta", "longformer")
SEQUENCES = [random_sequence(6 + 5 * k, seed=k) for k in range(9)]  # from 6 to 46, of which 20 fit into a line
PAIRS = [(SEQUENCES[a], SEQUENCES[b]) for a, b in ((0, 3), (8, 7), (1, 8), (4, 5))]


def network_of(architecture: str = "rotary", **more) -> torch.nn.Module:
    network = Pairlm(architecture=architecture, longest=LONGEST, window=16, **SIZES | more).network()
    loud(network.body)
    return network.eval()


def found(network: torch.nn.Module, pairs=PAIRS, *, seed: int = 1, **more) -> Likelihoods:
    given = {"partners": SEQUENCES, "longest": LONGEST, "generator": np.random.default_rng(seed)} | more
    return likelihoods(network, pairs, **given)


def values(one: Likelihoods) -> np.ndarray:
    return np.stack([one.alone, one.partner, one.random])  # (3, P, 2)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_attention_across_a_partner_tells_nothing(architecture: str) -> None:
    assert np.abs(found(network_of(architecture, cross=False)).score).max() < 1e-6
    assert np.abs(found(network_of(architecture)).score).min() > 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_turned_pairs_have_the_same_values_and_other_pairs_do_not_matter(architecture: str) -> None:
    network = network_of(architecture)
    one, turned = found(network), found(network, [pair[::-1] for pair in PAIRS])
    assert np.allclose(values(one), values(turned)[..., ::-1], atol=1e-6)
    assert np.allclose(one.score, turned.score, atol=1e-6)
    alone = found(network, PAIRS[2:3])
    assert np.allclose(values(alone), values(one)[:, 2:3], atol=1e-6)


def test_the_generator_alone_decides() -> None:
    network = network_of().train()
    assert np.array_equal(values(found(network)), values(found(network)))
    assert network.training
    assert not np.allclose(values(found(network)), values(found(network, seed=2)), atol=1e-3)


def test_tokens_are_told_as_in_a_line_written_by_hand() -> None:
    """One hidden token of a short chain, one random partner: the mean over both orders, by the network itself."""
    network = network_of()
    first, second, third = "ACDEFG", "KLMNPQ", "RSTVWY"
    result = found(network, [(first, second)], partners=[third], n_views=1, n_random=1)
    ids = {one: inputs_of_chain(sequence_chain(one), network.tokenizer).token.numpy()[1:-1] - 1
           for one in (first, second, third)}  # fmt: skip

    def told(hidden: int, *contexts: tuple[str, ...]) -> float:
        total = []
        for context in contexts:
            noisy = ids[first].copy()
            noisy[hidden] = MASK
            line = collate([line_of(*(noisy if one == first else ids[one] for one in context))])
            logits = network(line, line.token == MASK + 1)
            total.append(torch.log_softmax(logits, -1)[0, ids[first][hidden]].item())
        return float(np.mean(total))

    with torch.no_grad():
        by_hand = [
            (told(k, (first,)), told(k, (first, second), (second, first)), told(k, (first, third), (third, first)))
            for k in range(6)
        ]
    got = values(result)[:, 0, 0]
    assert min(np.abs(got - np.array(row)).max() for row in by_hand) < 1e-5


def test_a_partner_that_is_a_copy_tells_more_than_random_ones() -> None:
    """A network that learnt on lines of a chain and its copy, the first of which has some tokens hidden."""
    torch.manual_seed(0)
    network = Pairlm(longest=24, **SIZES | {"n_layers": 1}).network()
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    part = line_of(np.zeros(8), np.zeros(8)).part
    letters = torch.tensor(used_ids(network.tokenizer)) + 1  # as a line has them
    for _ in range(120):
        chain = letters[torch.randint(20, (64, 8))]
        token = torch.tensor([START, *8 * [0], END, END, *8 * [0], END]).add(1).repeat(64, 1)
        token[:, 1:9] = token[:, 11:19] = chain
        chosen = (torch.rand(token.shape) < 0.3) & (part < SPECIAL)
        noisy = Line(torch.where(chosen, MASK + 1, token), part.expand(64, -1))
        loss = F.cross_entropy(network(noisy, chosen), token[chosen] - 1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    new = [random_sequence(8, seed=10**6 + k) for k in range(12)]
    pairs = [(one, one) for one in new] + list(zip(new, new[1:] + new[:1], strict=True))
    result = found(network, pairs, partners=new, longest=24)
    assert result.score[:12].min() > 1.0 > abs(result.score[12:].mean())
    assert np.all(result.partner[:12] > result.alone[:12])


def test_random_partners_have_to_be_there() -> None:
    with pytest.raises(InputError, match="2 or more"):
        found(network_of(), PAIRS[:1], partners=[*PAIRS[0], SEQUENCES[2]])
