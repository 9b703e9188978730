"""What every registered family promises, whatever it models, and the variants of a family that are networks apart."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from tertia.data.batch import collate
from tertia.models import FAMILIES, Pairlm
from tests.structures import make_chain, random_walk_chain

TOLERANCE = 2e-5  # of the largest entry: the order of a float32 sum changes with the size of the map


SMALL = {"width": 32, "n_layers": 2, "n_heads": 2}
VARIANTS = {
    "pairlm-roberta": Pairlm(architecture="roberta", longest=32, **SMALL),  # some chains below are longer
    "pairlm-longformer": Pairlm(architecture="longformer", longest=64, window=16, **SMALL),
}


@pytest.fixture(params=[*sorted(FAMILIES), *VARIANTS], scope="module")
def family(request):
    return VARIANTS.get(request.param) or FAMILIES[request.param]()


@pytest.fixture(scope="module")
def network(family):
    """The family's network with weights that are not those of the first step, where much is zero."""
    torch.manual_seed(0)
    network = family.network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def encode(family, network, chains, **options):
    with torch.no_grad():
        return network.encode(collate([family.featurise(chain) for chain in chains]), **options)


def seen(family, chain) -> np.ndarray:
    """The residues that a family sees: one that needs no coordinates sees all of them."""
    return chain.seen if family.needs_coordinates else np.ones(len(chain), bool)


def assert_close(one: torch.Tensor, two: torch.Tensor) -> None:
    assert one.shape == two.shape
    assert torch.allclose(one, two, rtol=0.0, atol=TOLERANCE * float(two.abs().max())), (one - two).abs().max()


def columns(inputs) -> dict[str, torch.Tensor]:
    return {field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs)}


def test_a_family_is_its_hyper_parameters(family) -> None:
    values = json.loads(json.dumps(dataclasses.asdict(family)))
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    assert type(family)(**values) == family
    assert FAMILIES[family.name] is type(family)
    first = next(iter(values))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(family, first, values[first])


def test_cost_grows_with_length(family) -> None:
    costs = [family.cost(length) for length in (1, 10, 100, 1000)]
    assert costs == sorted(costs) and costs[0] > 0 and len(set(costs)) == 4


def test_a_batch_is_the_same_type_with_a_leading_axis_and_zeros(family) -> None:
    short, long = (family.featurise(make_chain(n, seed=n)) for n in (9, 17))
    batch = collate([short, long])
    assert type(batch) is type(short)
    assert all(isinstance(value, torch.Tensor) for value in columns(short).values())
    for name, value in columns(batch).items():
        assert value.ndim == columns(short)[name].ndim + 1
    padded = batch.chain[0] == 0
    assert int(padded.sum()) > 0 and not bool((batch.chain[1] == 0).any())
    for name, value in columns(batch).items():
        if value.shape[: batch.chain.ndim] == batch.chain.shape:
            assert not bool((value[0][padded] != 0).any()), f"{name} is not zero where padded"


def test_missing_residues_keep_their_row_and_are_flagged(family, network) -> None:
    chain = make_chain(24, seed=1, missing=(0, 5, 6, 23))
    inputs = family.featurise(chain)
    assert np.array_equal(inputs.seen.reshape(-1, 24).numpy()[0], seen(family, chain))
    encoded = encode(family, network, [chain])
    assert encoded.residue.shape[:2] == (1, 24)
    assert bool((encoded.chain == 1).all())
    assert bool(torch.isfinite(encoded.residue).all())


def test_one_row_a_residue_in_input_order(family, network) -> None:
    """Changing one letter must change the row of that residue more than any row far away in sequence and space."""
    coord = random_walk_chain(40, seed=2)
    coord[30:] += np.float32(60.0)  # the tail goes far away
    sequences = ["ACDEFGHIKL" * 4, "ACDEFGHIKL" * 3 + "WCDEFGHIKL"]
    before, after = (encode(family, network, [make_chain(40, coord=coord, sequence=s)]).residue[0] for s in sequences)
    change = (before - after).norm(dim=-1)
    assert int(change.argmax()) == 30


def test_companions_and_padding_change_nothing(family, network) -> None:
    chains = [make_chain(12, seed=3), make_chain(45, seed=4, missing=(7, 8)), make_chain(30, seed=5)]
    alone = [encode(family, network, [chain]) for chain in chains]
    for order in ((0, 1, 2), (2, 0, 1)):
        together = encode(family, network, [chains[k] for k in order])
        for row, k in enumerate(order):
            length = len(chains[k])
            assert_close(together.residue[row, :length], alone[k].residue[0])
            assert_close(together.protein[row], alone[k].protein[0])
            assert int((together.chain[row] > 0).sum()) == length


def test_pair_rows_belong_to_the_residues(family, network) -> None:
    encoded = encode(family, network, [make_chain(15, seed=6)], pair=True)
    if encoded.pair is None:
        pytest.skip(f"{family.name} has no pair level")
    assert encoded.pair.shape[:3] == (1, 15, 15)
    assert_close(encoded.pair, encoded.pair.transpose(1, 2))


def test_the_protein_vector_is_the_mean_of_the_seen_residues(family, network) -> None:
    chain = make_chain(20, seed=7, missing=(3, 4))
    encoded = encode(family, network, [chain])
    mean = encoded.residue[0][torch.from_numpy(seen(family, chain).copy())].mean(0)
    assert_close(encoded.protein[0], mean)


def test_rotating_and_moving_changes_nothing(family, network) -> None:
    coord = random_walk_chain(25, seed=8)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    moved = (coord @ rotation.T + np.array([3.0, -8.0, 5.0])).astype(np.float32)
    still, turned = (encode(family, network, [make_chain(25, seed=8, coord=c)]).residue for c in (coord, moved))
    assert torch.allclose(still, turned, rtol=0.0, atol=1e-3 * float(still.abs().max()))


def test_encoding_twice_gives_the_same_bytes(family, network) -> None:
    chains = [make_chain(33, seed=9), make_chain(20, seed=10)]
    one, two = (encode(family, network, chains).residue for _ in range(2))
    assert torch.equal(one, two)


def test_corruption_is_a_function_of_the_generator(family) -> None:
    inputs = family.featurise(make_chain(90, seed=11))
    first, again, other = (family.corrupt(inputs, np.random.default_rng(seed), progress=0.0) for seed in (1, 1, 2))
    same = [all(map(torch.equal, columns(first[k]).values(), columns(again[k]).values())) for k in (0, 1)]
    assert same == [True, True]
    differ = [
        not torch.equal(a, b) for a, b in zip(columns(first[1]).values(), columns(other[1]).values(), strict=True)
    ]
    assert any(differ)


def test_corruption_changes_real_positions_only(family) -> None:
    """A chain shorter than any crop is taken whole, so the noisy inputs can be compared with the clean ones."""
    clean = family.featurise(make_chain(20, seed=12, missing=(2, 3, 11)))
    before, changed = columns(clean), False
    for seed in range(8):
        noisy, _ = family.corrupt(clean, np.random.default_rng(seed), progress=0.5)
        for name, value in columns(noisy).items():
            if name in ("seen", "chain"):
                continue
            differs = value != before[name]
            changed |= bool(differs.any())
            if value.shape[: clean.seen.ndim] == clean.seen.shape:
                differs = differs.reshape(*clean.seen.shape, -1).any(-1)
                assert not bool((differs & ~clean.seen).any()), f"{name} changed where no residue was seen"
    assert changed
    assert torch.equal(columns(clean)["seen"], before["seen"])


@pytest.mark.parametrize("length", [1, 5, 31, 200])
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_chains_of_any_length_can_be_learned_from(family, network, length: int, progress: float) -> None:
    inputs = family.featurise(make_chain(length, seed=13))
    noisy, target = family.corrupt(inputs, np.random.default_rng(0), progress=progress)
    loss = family.loss(network, collate([noisy]), collate([target]))
    assert loss.value.shape == () and bool(torch.isfinite(loss.value))
    assert bool(torch.isfinite(loss.per_example).all())


def test_the_loss_of_an_example_does_not_depend_on_its_companions(family, network) -> None:
    generator = np.random.default_rng(5)
    examples = [family.corrupt(family.featurise(make_chain(n, seed=n)), generator, progress=0.0) for n in (10, 50, 31)]
    noisy, target = (collate(list(column)) for column in zip(*examples, strict=True))
    with torch.no_grad():
        together = family.loss(network, noisy, target)
        alone = [family.loss(network, collate([a]), collate([b])) for a, b in examples]
    assert_close(together.per_example, torch.cat([loss.per_example for loss in alone]))
    assert together.group.tolist() == [int(loss.group) for loss in alone]
    assert together.group.dtype == torch.int64


def test_the_loss_reaches_every_parameter(family, network) -> None:
    generator = np.random.default_rng(6)
    examples = [family.corrupt(family.featurise(make_chain(40, seed=k)), generator, progress=0.0) for k in range(2)]
    noisy, target = (collate(list(column)) for column in zip(*examples, strict=True))
    network.zero_grad()
    family.loss(network, noisy, target).value.backward()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    idle = [name for name, p in trained.items() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    network.zero_grad()
    assert not idle, f"no gradient in {idle}"
