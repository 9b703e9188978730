"""Windows and global tokens: against dense matrices and RoBERTa; reach, gradients and memory."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from tertia.models.pairlm.longformer import Longformer, lengthen
from tertia.models.pairlm.packing import Packed, pack
from tertia.models.pairlm.roberta import Roberta
from tests.models.pairlm.encoders import N_TOKENS, dense_longformer, one, sequences, tiny_longformer, tiny_roberta

WINDOW = 8


@pytest.fixture(scope="module")
def network() -> Longformer:
    return tiny_longformer()


def marked(length: int, *places: int) -> torch.Tensor:
    mark = torch.zeros(length, dtype=torch.bool)
    mark[list(places)] = True
    return mark


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 4, 5, 6, 7, 8, 9, 12, 13, 16, 31, 64])
@pytest.mark.parametrize("places", [(), (0,), (0, 3, -1), (-1,), (0, 1, 2)])
def test_windows_and_globals_are_those_of_dense_matrices(network, length, places) -> None:
    """Lengths around multiples of the block, globals at the ends and beside each other."""
    places = [place for place in places if -length <= place < length]
    packed, mark = one(length, seed=length), marked(length, *places)
    expected = dense_longformer(network, packed.token, mark)
    assert torch.allclose(network.rows(packed, mark), expected, atol=1e-5)
    if not places:
        assert torch.allclose(network.rows(packed), expected, atol=1e-5)


@torch.no_grad()
def test_a_sequence_gives_the_same_rows_alone_and_packed_in_any_order(network) -> None:
    lengths = (30, 5, 30, 12, 30, 5)
    parts = sequences(*lengths)
    places = ((0,), (), (0, 9, 29), (11,), (), (0, 4))  # also beside sequences of one length with other globals
    marks = [marked(n, *which) for n, which in zip(lengths, places, strict=True)]
    for order in ((0, 1, 2, 3, 4, 5), (4, 2, 1, 5, 3, 0)):
        rows = network.rows(pack([parts[k] for k in order]), torch.cat([marks[k] for k in order]))
        for k, found in zip(order, rows.split([lengths[k] for k in order]), strict=True):
            assert torch.allclose(found, network.rows(pack([parts[k]]), marks[k]), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("first_is_global", [False, True])
def test_it_is_roberta_on_short_sequences_and_differs_on_longer_ones(first_is_global) -> None:
    source = tiny_roberta()
    network = lengthen(source, n_positions=66, window=WINDOW)
    for length in (1, 2, 4, WINDOW // 2 + 1):
        packed = one(length)
        mark = marked(length, 0) if first_is_global else None
        assert torch.allclose(network(packed, everywhere=mark), source(packed), atol=1e-5)
    for length in (WINDOW // 2 + 2, WINDOW, 40):  # the ends cannot see each other
        packed = one(length)
        mark = marked(length, 1) if first_is_global else None
        assert float((network(packed, everywhere=mark) - source(packed)).abs().max()) > 1e-3


@torch.no_grad()
def test_a_window_of_512_is_roberta_up_to_257_tokens() -> None:
    source = tiny_roberta(n_positions=514)
    network = lengthen(source)
    assert torch.allclose(network(one(257)), source(one(257)), atol=1e-5)
    assert not torch.allclose(network(one(258)), source(one(258)), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("length", [2, 9, 33, 60])
def test_a_window_of_twice_the_length_is_full_attention(length) -> None:
    source = tiny_roberta()
    full = lengthen(source, n_positions=66, window=2 * (length - 1))
    assert torch.allclose(full(one(length)), source(one(length)), atol=1e-5)
    if length > 3:
        narrow = lengthen(source, n_positions=66, window=2 * (length - 2))
        assert float((narrow(one(length)) - source(one(length))).abs().max()) > 1e-5


@torch.no_grad()
def test_positions_are_repeated_and_nothing_is_shared() -> None:
    source = tiny_roberta(n_positions=514)
    network = lengthen(source)
    old = source.roberta["embeddings"].position_embeddings.weight
    new = network.longformer["embeddings"].position_embeddings.weight
    assert new.shape[0] == 2050 and torch.equal(new[:2], old[:2])
    assert all(torch.equal(new[2 + 512 * m : 514 + 512 * m], old[2:]) for m in range(4))
    own, theirs = ({p.data_ptr() for p in net.parameters()} for net in (network, source))
    assert len(own) == len(list(network.parameters())) and not own & theirs
    attention = network.longformer["encoder"]["layer"][1].attention["self"]
    for name in ("query", "key", "value"):
        one_, other = getattr(attention, name), getattr(attention, f"{name}_global")
        assert torch.equal(one_.weight, other.weight) and torch.equal(one_.bias, other.bias)
    attention.query.weight.zero_()
    assert bool(attention.query_global.weight.any())
    network.renew_globals()
    assert not bool(attention.query_global.weight.any())


def test_gradients_reach_the_global_projections_only_through_global_tokens() -> None:
    network = tiny_longformer()
    names = [name for name, _ in network.named_parameters() if "_global" in name]
    parameters = dict(network.named_parameters())
    assert len(names) == 2 * 6
    network(one(30)).square().sum().backward()
    assert all(parameters[name].grad is None for name in names)
    network.zero_grad()
    network(one(30), everywhere=marked(30, 0)).square().sum().backward()
    # A bias of the keys moves all weights of a query alike: its gradient is zero in exact arithmetic.
    felt = [name for name in names if not name.endswith("key_global.bias")]
    assert all(float(parameters[name].grad.abs().max()) > 1e-4 for name in felt)


def test_gradients_are_those_of_dense_matrices() -> None:
    network = tiny_longformer().double()
    token, mark = one(29).token, marked(29, 0, 13)
    gradients = []
    for rows in (network.rows(pack([token]), mark), dense_longformer(network, token, mark)):
        network.zero_grad()
        rows.sin().sum().backward()
        gradients.append({n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-9), name
        assert bool(gradient.isfinite().all())


@torch.no_grad()
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_a_token_is_felt_within_the_reach_of_all_layers_and_not_beyond(n_layers) -> None:
    network = tiny_longformer(n_layers=n_layers).double()
    packed = one(60)
    for place in (0, 23, 59):
        token = packed.token.clone()
        token[place] = 5 + (token[place] - 4) % (N_TOKENS - 5)
        changed = Packed(token, packed.position, packed.segment)
        moved = (network.rows(packed) - network.rows(changed)).abs().amax(1) > 0
        assert torch.equal(moved, (torch.arange(60) - place).abs() <= n_layers * WINDOW // 2)


class Largest(TorchDispatchMode):
    """Counts the elements of the tensors that operations return: of the largest one, and of all."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in tree_flatten(out)[0]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
                self.total += tensor.numel()
        return out


def elements(call) -> tuple[int, int]:
    with torch.no_grad(), Largest() as counter:
        call()
    return counter.largest, counter.total


def test_memory_is_linear_in_the_length() -> None:
    """Every tensor is counted; dense matrices, counted in the same way, are not linear."""
    network = tiny_longformer(n_positions=1026)
    lengths = (256, 512, 1024)
    ours, dense = [], []
    for length in lengths:
        packed, mark = one(length), marked(length, 0)
        ours.append(elements(lambda packed=packed, mark=mark: network.rows(packed, mark)))
        dense.append(elements(lambda packed=packed: dense_longformer(network, packed.token)))
    for which in (0, 1):
        small, middle, large = (values[which] for values in ours)
        assert large - middle == pytest.approx(2 * (middle - small), rel=0.02)
        small, middle, large = (values[which] for values in dense)
        assert large - middle > 3 * (middle - small)


def test_the_counts_of_parameters_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        roberta, longformer = Roberta(), Longformer()
    n_roberta, n_longformer = (sum(p.numel() for p in network.parameters()) for network in (roberta, longformer))
    n_global = sum(p.numel() for name, p in longformer.named_parameters() if "_global" in name)
    assert n_global == 21_261_312  # 21.26 million
    assert n_longformer - n_roberta - n_global == 1536 * 768 == 1_179_648  # rows of positions


@pytest.mark.parametrize("window", [0, 7, -2])
def test_a_window_that_is_not_even_is_refused(window) -> None:
    with pytest.raises(ValueError, match="even"):
        tiny_longformer(window=window)


def test_dropout_acts_in_training_only() -> None:
    network = tiny_longformer(dropout=0.1)
    packed, mark = one(30), marked(30, 0)
    assert torch.equal(network.rows(packed, mark), network.rows(packed, mark))
    network.train()
    first, second = network.rows(packed, mark), network.rows(packed, mark)
    assert not torch.equal(first, second) and bool(first.isfinite().all())
