"""RoBERTa on packed rows: companions, order and padding are not felt; positions, tied weights, counts, first loss."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tertia.models.pairlm.packing import PAD, Order, Packed, pack, pack_padded
from tertia.models.pairlm.roberta import Roberta
from tests.models.pairlm.encoders import N_TOKENS, WIDTH, dense, one, sequences, tiny_roberta

LENGTHS = (7, 20, 7, 1, 13, 20, 7)


@pytest.fixture(scope="module")
def network() -> Roberta:
    return tiny_roberta()


def padded(parts: list[torch.Tensor], length: int) -> torch.Tensor:
    return torch.stack([F.pad(part, (0, length - len(part)), value=PAD) for part in parts])


@torch.no_grad()
def test_attention_is_that_of_dense_matrices(network) -> None:
    """The whole encoder, layer by layer, with softmax written out."""
    packed = one(17)
    x = network.roberta["embeddings"](packed.token, packed.position)
    everything = torch.ones(17, 17, dtype=torch.bool)
    for layer in network.roberta["encoder"]["layer"]:
        own = layer.attention["self"]
        mixed = dense(own.query(x), own.key(x), own.value(x), network.n_heads, everything)
        x = layer.attention["output"](mixed, x)
        x = layer.output(F.gelu(layer.intermediate["dense"](x)), x)
    assert torch.allclose(network.rows(packed), x, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5, 6), (6, 3, 1, 0, 5, 2, 4), (3, 0, 2, 6, 4, 1, 5)])
def test_a_sequence_gives_the_same_rows_alone_and_packed_in_any_order(network, order) -> None:
    parts = sequences(*LENGTHS)
    packed = network(pack([parts[k] for k in order])).split([LENGTHS[k] for k in order])
    for k, logits in zip(order, packed, strict=True):
        assert torch.allclose(logits, network(pack([parts[k]])), atol=1e-5)


@torch.no_grad()
def test_padding_is_not_felt_unless_it_is_attended(network) -> None:
    parts = sequences(*LENGTHS)
    expected = network(pack(parts))
    for length in (20, 33, 60):
        batch = padded(parts, length)
        assert torch.allclose(network(pack_padded(batch)), expected, atol=1e-5)
        attended = network(pack_padded(batch, attend_padding=True))
        assert len(attended) == len(LENGTHS) * length
        moved = (attended[(batch != PAD).flatten()] - expected).abs().amax(1).split(LENGTHS)
        assert all(bool((change > 1e-3).all()) for change, n in zip(moved, LENGTHS, strict=True) if n < length)


def test_positions_count_the_tokens_of_a_sequence_from_two() -> None:
    assert pack(sequences(3, 1, 2)).position.tolist() == [2, 3, 4, 2, 2, 3]
    batch = padded(sequences(3, 5), 5)
    assert pack_padded(batch, attend_padding=True).position.tolist() == [2, 3, 4, 1, 1, 2, 3, 4, 5, 6]
    assert pack_padded(batch).position.tolist() == [2, 3, 4, 2, 3, 4, 5, 6]
    assert pack_padded(batch).segment.tolist() == [0, 3, 8]
    assert int(one(512).position.max()) == 513


def test_an_order_brings_like_lengths_together_and_back() -> None:
    packed = pack(sequences(*LENGTHS))
    order = Order(packed.segment)
    assert order.runs == [(1, 1), (3, 7), (1, 13), (2, 20)]
    row = torch.arange(len(packed.token))
    assert torch.equal(order.restore(order.sort(row)), row)
    for run, part in zip(order.runs, order.split(order.sort(packed.position)), strict=True):
        assert part.shape == run and torch.equal(part, torch.arange(2, run[1] + 2).expand(run))
    assert Order(torch.tensor([0, 4, 4, 6])).runs == [(1, 2), (1, 4)]  # an empty sequence has no rows
    assert Order(torch.tensor([0, 3, 6])).place is None


def test_the_last_matrix_is_the_table_of_words(network) -> None:
    assert not [name for name in network.state_dict() if "decoder" in name]
    changed = tiny_roberta()
    with torch.no_grad():
        changed.roberta["embeddings"].word_embeddings.weight[7] += 1.0
        before, after = network(one(6)), changed(Packed(*vars(one(6)).values()))
    unseen = torch.arange(N_TOKENS) != 7
    assert 7 not in one(6).token and torch.equal(before[:, unseen], after[:, unseen])
    assert bool((before[:, 7] - after[:, 7]).abs().max() > 1e-3)
    network.zero_grad()
    network(one(6)).logsumexp(-1).sum().backward()
    gradient = network.roberta["embeddings"].word_embeddings.weight.grad
    assert bool((gradient.abs().sum(1) > 0).all())  # also of tokens that are not in the input


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_counts_of_parameters_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        twelve, six = Roberta(), Roberta(n_layers=6)
    assert count(twelve.roberta["encoder"]) == 85_054_464
    assert count(twelve.roberta["embeddings"]) == 8_277_504
    assert count(twelve.lm_head) == 602_389
    assert count(twelve) == 93_934_357  # 93.93 million
    assert count(six) == 51_407_125  # 51.41 million


@torch.no_grad()
def test_the_first_loss_is_a_little_above_that_of_even_chances() -> None:
    torch.manual_seed(1)
    network = Roberta(n_layers=1, inner=768).eval()
    token = torch.randint(5, 10_261, (300,))
    logits = network(pack(list(token.split(100))))
    loss = float(F.cross_entropy(logits, token.roll(1)))
    assert math.log(10_261) < loss and 9.2 < loss < 9.6
    expected = math.log(10_261) + 0.5 * float(logits.var(1).mean())
    assert loss == pytest.approx(expected, abs=0.05)


def test_fresh_weights_are_those_of_the_paper() -> None:
    torch.manual_seed(2)
    network = Roberta(500, 128, n_layers=1, n_heads=2, inner=256)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert not bool(parameter.any())
        elif "norm" in name.lower():
            assert bool((parameter == 1).all())
        elif "token_type" not in name:
            assert float(parameter.detach().std()) == pytest.approx(0.02, rel=0.05)
    embeddings = network.roberta["embeddings"]
    assert not bool(embeddings.word_embeddings.weight[PAD].any() or embeddings.position_embeddings.weight[PAD].any())


def test_it_learns_thirty_two_lines_by_heart() -> None:
    torch.manual_seed(3)
    network = Roberta(N_TOKENS, 64, n_layers=2, n_heads=4, inner=128, n_positions=20).train()
    parts = sequences(*[8 + k % 8 for k in range(32)], seed=4)
    packed, truth = pack(parts), torch.cat(parts)
    chosen = torch.rand(len(truth), generator=torch.Generator().manual_seed(5)) < 0.15
    hidden = Packed(torch.where(chosen, 4, packed.token), packed.position, packed.segment)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(100):
        loss = F.cross_entropy(network(hidden, chosen), truth[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.1


@torch.no_grad()
def test_chosen_tokens_have_the_logits_that_they_have_among_all(network) -> None:
    packed = pack(sequences(9, 4, 12))
    chosen = torch.arange(25) % 3 == 0
    assert torch.allclose(network(packed, chosen), network(packed)[chosen], atol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    network, packed = tiny_roberta(dropout=0.1), pack(sequences(9, 30))
    assert torch.equal(network(packed), network(packed))
    network.train()
    assert not torch.equal(network(packed), network(packed))
    assert network.rows(packed).shape == (39, WIDTH)


def test_gradients_of_packed_rows_are_those_of_single_ones() -> None:
    network, parts = tiny_roberta().double(), sequences(*LENGTHS)
    gradients = []
    for batches in ([pack(parts)], [pack([part]) for part in parts]):
        network.zero_grad()
        for batch in batches:
            network(batch).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    for together, alone in zip(*gradients, strict=True):
        assert torch.allclose(together, alone, atol=1e-9)


def test_bfloat16_is_near(network) -> None:
    packed = pack(sequences(9, 30))
    with torch.no_grad():
        expected = network(packed)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(packed)
    assert float((found - expected).norm() / expected.norm()) < 0.05
