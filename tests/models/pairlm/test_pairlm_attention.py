"""The attention weights are those that the layers use, and between residues nothing is lost but to special tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tertia.data.batch import collate
from tertia.errors import InputError
from tertia.models import Pairlm
from tertia.models.pairlm import attention
from tertia.models.pairlm.attention import attention_maps, attentions, token_maps
from tertia.models.pairlm.inputs import SPECIAL, inputs_of_chain, join
from tertia.models.pairlm.rotary import Block
from tests.models.pairlm.encoders import loud, some_merges
from tests.structures import random_sequence, sequence_chain

SIZES = {"width": 32, "n_layers": 2, "n_heads": 2}
FAMILIES = {
    "rotary": {"longest": 64},
    "rotary that sees 15 away": {"longest": 16},
    "roberta": {"architecture": "roberta", "longest": 64},
    "longformer": {"architecture": "longformer", "longest": 64, "window": 16},
}
A, B, SAME_LENGTH = (random_sequence(n, seed=n) for n in (19, 12, 12))


@pytest.fixture(scope="module", params=FAMILIES)
def options(request) -> dict:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def merged(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    some_merges(60).save(path)
    return str(path)


def network_of(options: dict, seed: int = 0) -> torch.nn.Module:
    network = Pairlm(**SIZES, **options).network()
    loud(network.body, seed)
    return network.eval()


def line(*sequence: str, merges: int = 0):
    """Return the inputs of one chain or two; tokens of several residues with merges."""
    tokenizer = some_merges(merges) if merges else Pairlm().tokens
    made = [inputs_of_chain(sequence_chain(one), tokenizer) for one in sequence]
    return made[0] if len(made) == 1 else join(*made)


def calls(network: torch.nn.Module, inputs) -> list[tuple]:
    """Return (layer, what it was called with, what it returned) of each attention, by a pass of the network itself."""
    seen: list[tuple] = []
    hooks = [
        layer.register_forward_hook(lambda layer, given, out: seen.append((layer, given, out)))
        for layer in attentions(network)
    ]
    network.rows(collate([inputs]))
    for hook in hooks:
        hook.remove()
    return seen


def output(layer: torch.nn.Module, given: tuple, weight: torch.Tensor) -> torch.Tensor:
    """Return what a layer returns, rows in its own order, from weights (H, N, N) in that of the line."""
    x, order = given[:2]
    value = layer.qkv(layer.norms[0](x)).chunk(3, dim=-1)[2] if isinstance(layer, Block) else layer.value(x)
    value = order.restore(value).unflatten(-1, (layer.n_heads, -1))
    mixed = order.sort(torch.einsum("hij,jhd->ihd", weight, value).flatten(1))
    if not isinstance(layer, Block):
        return mixed
    x = x + layer.mix(mixed)
    return x + layer.narrow(F.gelu(layer.widen(layer.norms[1](x))))


@torch.no_grad()
@pytest.mark.parametrize("cross", [True, False])
@pytest.mark.parametrize("chains", [(A,), (A, B), (B, A), (B, SAME_LENGTH)], ids=["one", "two", "turned", "alike"])
def test_weights_times_values_are_what_each_layer_returns(options, cross, chains) -> None:
    network, inputs = network_of(options | {"cross": cross}), line(*chains)
    found = calls(network, inputs)
    assert len(found) == 2
    for weight, (layer, given, out) in zip(token_maps(network, inputs), found, strict=True):
        assert torch.allclose(output(layer, given, weight), out, atol=1e-5)
        assert not torch.allclose(output(layer, given, weight.flip(-1)), out, atol=1e-3)


@torch.no_grad()
def test_a_residue_gives_what_it_does_not_give_to_special_tokens(options, merged) -> None:
    network, inputs = network_of(options | {"tokenizer": merged}), line(A, B, merges=60)
    assert int(inputs.span.max()) > 1
    tokens, residues = token_maps(network, inputs), attention_maps(network, inputs)
    assert residues.shape == (2, 2, len(A + B), len(A + B)) and residues.dtype == torch.float32
    assert torch.allclose(tokens.sum(-1), torch.ones(()), atol=1e-5)
    owner = inputs.token_of_residue.long()
    to_special = tokens[..., inputs.part >= SPECIAL].sum(-1)[..., owner]
    assert torch.allclose(residues.sum(-1) + to_special, torch.ones(()), atol=1e-5)
    assert float(to_special.max()) > 0.01
    for i, j in ((0, 0), (3, 25), (30, 7)):
        expected = tokens[..., owner[i], owner[j]] / float((owner == owner[j]).sum())
        assert torch.allclose(residues[..., i, j], expected, atol=1e-6)


@torch.no_grad()
def test_chains_that_do_not_attend_to_each_other_have_weights_of_0(options) -> None:
    inputs = line(A, B)
    apart = attention_maps(network_of(options | {"cross": False}), inputs)
    together = attention_maps(network_of(options), inputs)
    assert not bool(apart[..., : len(A), len(A) :].any()) and not bool(apart[..., len(A) :, : len(A)].any())
    assert bool((together[..., : len(A), len(A) :] > 0).any())


def test_the_network_is_left_as_it_was(options) -> None:
    network, inputs = network_of(options | {"dropout": 0.5}), line(A, B)
    first = attention_maps(network, inputs)
    assert not network.training and not first.requires_grad
    second = attention_maps(network.train(), inputs)
    assert network.training and torch.equal(first, second)
    assert not any(layer._forward_pre_hooks for layer in attentions(network))


def test_lines_longer_than_what_is_read_in_one_piece_are_refused(options, monkeypatch) -> None:
    monkeypatch.setattr(attention, "MOST_TOKENS", 64)  # of networks that read any length
    network = network_of(options)
    assert attention_maps(network, line(random_sequence(40), random_sequence(20))).shape == (2, 2, 60, 60)
    with pytest.raises(InputError, match="65 tokens; allowed: at most 64, of which"):
        attention_maps(network, line(random_sequence(40), random_sequence(21)))
