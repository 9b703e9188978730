"""The rotary encoder by dense matrices, and what all three encoders do as language models of chains."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tertia.data.batch import collate
from tertia.models import Pairlm
from tertia.models.pairlm.corrupt import Target
from tertia.models.pairlm.encode import FIXED
from tertia.models.pairlm.inputs import Line, inputs_of_chain, join, line_of
from tertia.models.pairlm.objective import COMPOSITION_ENTROPY, score
from tertia.models.pairlm.packing import PAD, Order, pack, pack_padded
from tertia.models.pairlm.rotary import Rotary, Turns, banded
from tertia.nn.encoded import per_chain
from tests.models.pairlm.encoders import N_TOKENS, WIDTH, dense, loud, sequences
from tests.structures import random_sequence, sequence_chain

SIZES = {"width": 32, "n_layers": 2, "n_heads": 2}
FAMILIES = {
    "rotary": Pairlm(longest=16, **SIZES),
    "roberta": Pairlm(architecture="roberta", longest=48, **SIZES),
    "longformer": Pairlm(architecture="longformer", longest=96, window=16, **SIZES),
}
A, B = random_sequence(19, seed=1), random_sequence(12, seed=2)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> Pairlm:
    return FAMILIES[request.param]


def network_of(family: Pairlm, seed: int = 0) -> torch.nn.Module:
    network = family.network()
    loud(network.body, seed)
    return network.eval()


def inputs_of(family: Pairlm, *sequence: str):
    return [family.featurise(sequence_chain(one)) for one in sequence]


@torch.no_grad()
@pytest.mark.parametrize("length", [9, 16, 17, 53])
def test_rotary_is_a_dense_softmax_over_products_turned_by_complex_numbers(length: int) -> None:
    network = loud(Rotary(N_TOKENS, WIDTH, n_layers=2, n_heads=2, inner=24, longest=16))
    token = sequences(length)[0]
    half = WIDTH // 4
    speed = 10_000.0 ** -(torch.arange(half) / half)
    turn = torch.polar(torch.ones(length, half), torch.arange(length)[:, None] * speed)[:, None]  # (T, 1, d / 2)
    place = torch.arange(length)
    seen = (place[:, None] - place).abs() < 16
    x = network.words(token) * WIDTH**0.5
    for block in network.blocks:
        q, k, v = block.qkv(block.norms[0](x)).chunk(3, dim=-1)
        q, k = (torch.complex(*y.unflatten(-1, (2, 2, half)).unbind(2)) * turn for y in (q, k))
        q, k = (torch.cat([y.real, y.imag], dim=-1).flatten(1) for y in (q, k))
        x = x + block.mix(dense(q, k, v, 2, seen))
        x = x + block.narrow(F.gelu(block.widen(block.norms[1](x))))
    assert torch.allclose(network.rows(pack([token])), network.norm(x), atol=1e-5)


def test_turned_products_depend_on_the_distance_only() -> None:
    turns = Turns(Order(torch.tensor([0, 30])), 8, device=torch.device("cpu"))
    q, k = torch.randn(2, 8, generator=torch.Generator().manual_seed(2))
    product = turns(q.expand(30, 1, 8))[:, 0] @ turns(k.expand(30, 1, 8))[:, 0].T
    for offset in (-7, 0, 3):
        diagonal = product.diagonal(offset)
        assert torch.allclose(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5)
    assert not torch.allclose(product[0, 0], product[0, 9], atol=1e-3)


@torch.no_grad()
def test_packed_is_one_by_one(family) -> None:
    network = network_of(family)
    inputs = inputs_of(family, *(random_sequence(n, seed=n) for n in (5, 40, 33, 5, 70, 1)))
    rows = network.rows(collate(inputs))
    assert rows.shape == (sum(len(one.token) for one in inputs), 32)
    assert torch.allclose(rows, torch.cat([network.rows(collate([one])) for one in inputs]), atol=1e-5)
    encoded = network.encode(collate(inputs))
    assert not bool(encoded.residue[collate(inputs).chain == 0].any())


@torch.no_grad()
def test_logits_of_chosen_tokens_come_in_the_order_of_the_batch(family) -> None:
    network = network_of(family)
    batch = collate([one.line for one in inputs_of(family, A, B)])
    everything = network(batch, batch.token > 0)
    chosen = torch.zeros_like(batch.token, dtype=torch.bool)
    chosen[0, 4] = chosen[0, 20] = chosen[1, 2] = True
    first = len(A) + 2
    assert torch.allclose(network(batch, chosen), everything[[4, 20, first + 2]], atol=1e-5)
    assert everything.shape == (first + len(B) + 2, 261)


@torch.no_grad()
def test_two_chains_in_a_line_feel_each_other_and_their_order(family) -> None:
    network = network_of(family)
    one, two = inputs_of(family, A, B)
    encoded = {name: network.encode(collate([join(*pair)])) for name, pair in (("ab", (one, two)), ("ba", (two, one)))}
    assert encoded["ab"].chain[0].tolist() == [1] * len(A) + [2] * len(B)
    first = encoded["ab"].residue[0, : len(A)]
    for other in (network.encode(collate([one])).residue[0], encoded["ba"].residue[0, len(B) :]):
        assert float((first - other).abs().max()) > 1e-2  # in company it is another one, and the order counts
    chains = per_chain(encoded["ab"])
    assert torch.allclose(chains[0, 0], first.mean(0), atol=1e-5)
    weighted = (chains[0] * torch.tensor([[len(A)], [len(B)]])).sum(0) / (len(A) + len(B))
    assert torch.allclose(weighted, encoded["ab"].protein[0], atol=1e-5)
    assert not bool(per_chain(network.encode(collate([one])))[0, 1].any())


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(19, 12), (40, 44)])  # the latter are longer than some networks read at once
def test_apart_chains_of_a_line_do_not_feel_each_other(family, lengths) -> None:
    import dataclasses

    apart = dataclasses.replace(family, cross=False)
    network, together = network_of(apart), network_of(family)
    sequences = [random_sequence(n, seed=n) for n in lengths]
    changed = ["W" * len(sequences[0]), "W" * len(sequences[1])]
    joined = [
        collate([join(*inputs_of(apart, one, two))]) for one, two in (sequences, (sequences[0], changed[1]),
                                                                    (changed[0], sequences[1]))
    ]  # fmt: skip
    base, second, first = (network.encode(one).residue[0] for one in joined)
    n = lengths[0]
    assert torch.allclose(base[:n], second[:n], atol=1e-5) and torch.allclose(base[n:], first[n:], atol=1e-5)
    assert float((base[:n] - first[:n]).abs().max()) > 1e-2
    crossed = [together.encode(one).residue[0] for one in joined]
    assert float((crossed[0][:n] - crossed[1][:n]).abs().max()) > 1e-3


@torch.no_grad()
def test_a_chain_apart_is_the_chain_alone_up_to_positions() -> None:
    """The first chain of a line is exactly the chain alone; with positions that count from anywhere so is the second,
    between two separators."""
    family = Pairlm(longest=64, cross=False, **SIZES)
    network = network_of(family)
    one, two = inputs_of(family, A, B)
    rows = network.rows(collate([join(one, two)]))
    assert torch.allclose(rows[: len(one.token)], network.rows(collate([one])), atol=1e-5)
    alone = two.token.clone()
    alone[0] = alone[-1]
    assert torch.allclose(rows[len(one.token) :], network.rows(collate([Line(alone, two.part)])), atol=1e-5)


@torch.no_grad()
def test_long_chains_are_read_in_windows_and_no_residue_is_lost() -> None:
    family = FAMILIES["roberta"]
    network = network_of(family)
    sequence = random_sequence(150, seed=8)
    (inputs,) = inputs_of(family, sequence)
    encoded = network.encode(collate(inputs_of(family, "MKV", sequence)))
    assert encoded.residue.shape == (2, 150, 32)
    ids = (inputs.token - 1).long()  # 152 tokens: windows of 48 begin at 0, 21, 42, 62 or 63, ...
    first, last = (network.body.rows(pack([piece])) for piece in (ids[:48], ids[-48:]))
    assert torch.allclose(encoded.residue[1, :30], first[1:31], atol=1e-5)
    assert torch.allclose(encoded.residue[1, -30:], last[-31:-1], atol=1e-5)
    changed = inputs_of(family, sequence[:75] + ("W" if sequence[75] != "W" else "A") + sequence[76:])
    moved = (network.encode(collate(changed)).residue[0] - encoded.residue[1]).norm(dim=-1)
    assert int(moved.argmax()) == 75 and not bool(moved[:20].any()) and not bool(moved[-20:].any())


@torch.no_grad()
def test_rotary_reads_a_piece_in_the_middle_as_in_its_chain() -> None:
    """Beyond reach times layers a chain is not felt: no absolute position, and no truncation of long chains."""
    family = FAMILIES["rotary"]
    network = network_of(family)
    (inputs,) = inputs_of(family, random_sequence(400, seed=3))
    whole = network.rows(collate([inputs]))
    piece = network.rows(collate([Line(inputs.token[100:300], inputs.part[100:300])]))
    assert torch.allclose(whole[140:260], piece[40:160], atol=1e-4)
    assert len(whole) == 402


@pytest.mark.parametrize("length", [9, 64, 65, 150])
def test_attention_in_bands_is_attention_under_a_mask(length) -> None:
    torch.manual_seed(length)
    q, k, v = (torch.randn(2, 3, length, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    place = torch.arange(length)
    near = (place[:, None] - place).abs() <= 7
    dense = F.scaled_dot_product_attention(q, k, v, attn_mask=near)
    found = banded(q, k, v, reach=7)
    torch.testing.assert_close(found, dense)
    weight = torch.randn_like(dense)
    expected = torch.autograd.grad((dense * weight).sum(), (q, k, v))
    torch.testing.assert_close(torch.autograd.grad((found * weight).sum(), (q, k, v)), expected)


@torch.no_grad()
def test_attended_padding_is_that_of_the_reference_in_training_only() -> None:
    import dataclasses

    family = FAMILIES["roberta"]
    paper = dataclasses.replace(family, attend_padding=True)
    network, plain = network_of(paper), network_of(family)
    batch = collate([one.line for one in inputs_of(family, A, B)])
    chosen = (batch.token > 0) & (batch.part < 128)
    padded = F.pad(torch.where(batch.token > 0, batch.token - 1, PAD), (0, 48 - batch.token.shape[1]), value=PAD)
    reference = network.body(pack_padded(padded, attend_padding=True))
    expected = reference.view(2, 48, -1)[:, : batch.token.shape[1]][chosen]
    assert torch.allclose(network(batch, chosen), expected, atol=1e-5)
    assert float((plain(batch, chosen) - expected).abs().max()) > 1e-2
    inputs = collate(inputs_of(family, A, B))
    assert torch.equal(network.encode(inputs).residue, plain.encode(inputs).residue)


def target_of(token: list[list[int]], n_residues: list[list[int]]) -> Target:
    return Target(torch.tensor(token, dtype=torch.int32), torch.tensor(n_residues, dtype=torch.int16))


def test_the_loss_is_of_tokens_and_that_of_an_example_of_residues() -> None:
    target = target_of([[0, 3, 0, 20], [1, 0, 0, 0]], [[0, 2, 0, 1], [1, 0, 0, 0]])
    even = score(torch.zeros(3, 20), target)
    assert even.value.item() == pytest.approx(math.log(20))
    assert even.per_example.tolist() == pytest.approx([math.log(20) * k / COMPOSITION_ENTROPY for k in (2 / 3, 1)])
    logits = torch.full((3, 20), -50.0)
    logits[[0, 1, 2], [2, 19, 0]] = 50.0  # rows of the batch in order, ids from 0
    assert score(logits, target).value.item() == pytest.approx(0.0, abs=1e-6)
    mixed = score(torch.stack([logits[0], torch.zeros(20), torch.zeros(20)]), target)
    assert mixed.per_example.tolist() == pytest.approx([0.5 * even.per_example[0].item(), even.per_example[1].item()])
    assert mixed.value.item() == pytest.approx(2 / 3 * even.value.item())  # every token counts the same
    nothing = score(torch.zeros(0, 20), target_of([[0, 0]], [[0, 0]]))
    assert nothing.value.item() == nothing.per_example.item() == 0.0


def test_fresh_weights_know_about_nothing(family) -> None:
    """The first loss is about that of an even guess, ln V."""
    torch.manual_seed(0)
    network = family.network()
    examples = [family.corrupt(one, np.random.default_rng(k)) for k, one in enumerate(inputs_of(family, A * 2, B * 3))]
    noisy, target = (collate(list(column)) for column in zip(*examples, strict=True))
    assert family.loss(network, noisy, target).value.item() == pytest.approx(math.log(261), abs=1.0)


def test_calibrated_embeddings_have_unit_variance(family) -> None:
    chains = [sequence_chain(random_sequence(30 + k, seed=k)) for k in range(12)]
    trained = network_of(family)
    trained.calibrate(chains)
    with torch.no_grad():
        encoded = [trained.encode(collate([inputs_of_chain(chain, family.tokens)])) for chain in chains]
    for values in (torch.cat([one.residue[0] for one in encoded]), torch.cat([one.protein for one in encoded])):
        assert np.allclose(values.mean(0), 0.0, atol=1e-4)
        assert np.allclose(values.std(0, correction=0), 1.0, atol=2e-3)


def test_a_line_of_one_token_and_one_of_two_chains_is_learnt_from(family) -> None:
    network = network_of(family).train()
    examples = [family.corrupt(one, np.random.default_rng(0)) for one in inputs_of(family, "M", A)]
    examples.append(family.corrupt(join(*inputs_of(family, A, B)), np.random.default_rng(0)))
    noisy, target = (collate(list(column)) for column in zip(*examples, strict=True))
    loss = family.loss(network, noisy, target)
    loss.value.backward()
    assert bool(torch.isfinite(loss.per_example).all()) and len(loss.per_example) == 3
    idle = {name for name, p in network.named_parameters() if p.grad is None}
    assert all("_global." in name for name in idle) and bool(idle) == (family.architecture == "longformer")


@torch.inference_mode()
@pytest.mark.parametrize(("n_residues", "n_chains"), [(60, 66), (9000, 1)])
def test_memory_is_bounded_by_what_is_said(family, n_residues: int, n_chains: int) -> None:
    """The bytes that tensors take at their peak, as the profiler of torch adds them up."""
    network = network_of(family)
    batch = collate(inputs_of(family, *(random_sequence(n_residues, seed=k) for k in range(n_chains))))
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        network.encode(batch)
    changes = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([event.nbytes() for event in sorted(changes, key=lambda event: event.start_ns())])
    said = network.memory(n_residues) - FIXED
    assert 0.15 * said < held.max() <= said


def test_lines_of_ids_have_the_special_tokens_of_their_chains() -> None:
    line = line_of(np.array([40, 41]), np.array([42]))
    assert (line.token - 1).tolist() == [0, 40, 41, 2, 2, 42, 2]
    assert line.part.tolist() == [129, 1, 1, 129, 130, 2, 130]
