"""The encoder: relative positions, windows, unpadded rows, the score, and the standardised embeddings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tertia.data.batch import collate
from tertia.models import Pairlm
from tertia.models.pairlm.inputs import cut, inputs_of_chain
from tertia.models.pairlm.network import Layout
from tertia.models.pairlm.objective import COMPOSITION_ENTROPY, score
from tests.structures import random_sequence, sequence_chain

SMALL = Pairlm(width=32, n_layers=2, n_heads=2, crop=16)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return SMALL.network().eval()


def test_attention_is_that_of_a_dense_softmax_within_the_reach() -> None:
    """Windows against one softmax over a full matrix with the band cut out, on a padded batch."""
    chain = torch.ones(2, 53, dtype=torch.uint8)
    chain[1, 40:] = 0
    layout = Layout(chain, 8, reach=16)
    q, k, v = torch.randn(3, 2, 4, 53, 8, generator=torch.Generator().manual_seed(1))
    place = torch.arange(53)
    allowed = ((place[:, None] - place).abs() < 16) & (chain[:, None, None] > 0)
    weight = (q @ k.mT / math.sqrt(8)).masked_fill(~allowed, -math.inf).softmax(-1)
    expected, found = weight @ v, layout.attend(q, k, v)
    assert torch.allclose(found[0], expected[0], atol=1e-5)
    assert torch.allclose(found[1, :, :40], expected[1, :, :40], atol=1e-5)


def test_turned_products_depend_on_the_distance_only() -> None:
    layout = Layout(torch.ones(1, 30), 8, reach=64)
    q, k = torch.randn(2, 8, generator=torch.Generator().manual_seed(2))
    product = layout.turned(q.expand(1, 1, 30, 8)) @ layout.turned(k.expand(1, 1, 30, 8)).mT
    for offset in (-7, 0, 3):
        diagonal = product[0, 0].diagonal(offset)
        assert torch.allclose(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5)
    assert not torch.allclose(product[0, 0, 0, 0], product[0, 0, 0, 9], atol=1e-3)


@torch.no_grad()
def test_a_piece_in_the_middle_is_read_as_in_its_chain(network) -> None:
    """Beyond reach times layers a chain is not felt: no absolute position, and no truncation of long chains."""
    inputs = inputs_of_chain(sequence_chain(random_sequence(400, seed=3)))
    whole = network.rows(collate([inputs]))[0]
    piece = network.rows(collate([cut(inputs, 100, 200)]))[0]
    assert torch.allclose(whole[140:260], piece[40:160], atol=1e-4)
    assert len(whole) == 400


@torch.no_grad()
def test_padding_is_neither_computed_nor_felt(network) -> None:
    chains = [sequence_chain(random_sequence(n, seed=n)) for n in (5, 60, 33)]
    batch = collate([inputs_of_chain(chain) for chain in chains])
    rows, _ = network.rows(batch)
    assert rows.shape == (98, 32)
    alone = torch.cat([network.rows(collate([inputs_of_chain(chain)]))[0] for chain in chains])
    assert torch.allclose(rows, alone, atol=1e-5)
    encoded = network.encode(batch)
    assert not bool(encoded.residue[batch.chain == 0].any())


def test_the_loss_of_the_composition_is_about_one_and_of_the_truth_nothing() -> None:
    letter = torch.tensor([[0, 3, 0, 20], [1, 0, 0, 0]], dtype=torch.uint8)
    even = score(torch.zeros(3, 20), letter)
    assert even.per_example.tolist() == pytest.approx([math.log(20) / COMPOSITION_ENTROPY] * 2)
    logits = torch.full((3, 20), -50.0)
    logits[[0, 1, 2], [2, 19, 0]] = 50.0  # rows of the batch in order, letters from 0
    assert score(logits, letter).value.item() == pytest.approx(0.0, abs=1e-6)
    mixed = score(torch.stack([logits[0], torch.zeros(20), torch.zeros(20)]), letter)
    assert mixed.per_example.tolist() == pytest.approx([0.5 * even.value.item(), even.value.item()])
    assert mixed.value.item() == pytest.approx(2 / 3 * even.value.item())  # every letter counts the same
    nothing = score(torch.zeros(0, 20), torch.zeros(1, 4, dtype=torch.uint8))
    assert nothing.value.item() == nothing.per_example.item() == 0.0


def test_calibrated_embeddings_have_unit_variance(network) -> None:
    chains = [sequence_chain(random_sequence(30 + k, seed=k)) for k in range(12)]
    trained = SMALL.network().eval()
    trained.calibrate(chains)
    with torch.no_grad():
        encoded = [trained.encode(collate([inputs_of_chain(chain)])) for chain in chains]
    for values in (torch.cat([one.residue[0] for one in encoded]), torch.cat([one.protein for one in encoded])):
        assert np.allclose(values.mean(0), 0.0, atol=1e-4)
        assert np.allclose(values.std(0, correction=0), 1.0, atol=1e-3)
