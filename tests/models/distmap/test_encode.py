"""From maps to embeddings: symmetric, masked, standardised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tertia.models.distmap.encode import CONSTANT, KINDS, Standard, calibrate, pool
from tests.distmap_networks import FAMILIES, batch, network_of
from tests.structures import make_chain


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request):
    return FAMILIES[request.param]


@pytest.fixture
def network(family):
    return network_of(family)


def test_pooling_by_hand() -> None:
    """Three residues, the last one missing, one channel."""
    inputs = batch(FAMILIES["tertia"], make_chain(3, seed=1, missing=(2,)))
    maps = torch.tensor([[1.0, 2.0, 0.0], [4.0, 8.0, 0.0], [0.0, 0.0, 0.0]])[None, :, :, None]
    pair, residue, protein = pool(inputs, maps)
    assert pair[0, ..., 0].tolist() == [[1.0, 3.0, 0.0], [3.0, 8.0, 0.0], [0.0, 0.0, 0.0]]
    assert residue[0, :, 0].tolist() == [2.0, 5.5, 0.0]
    assert protein.tolist() == [[3.75]]


def test_missing_residues_are_zero_at_every_level(family, network) -> None:
    missing = (0, 9, 10)
    with torch.no_grad():
        encoded = network.encode(batch(family, make_chain(24, seed=2, missing=missing)), pair=True)
    assert not encoded.residue[0, missing].any()
    assert not encoded.pair[0, missing].any() and not encoded.pair[0, :, missing].any()
    seen = [k for k in range(24) if k not in missing]
    assert bool((encoded.residue[0, seen].abs().sum(-1) > 0).all())


def test_the_pair_level_is_symmetric(family, network) -> None:
    with torch.no_grad():
        inputs = batch(family, make_chain(20, seed=3))
        assert not torch.equal(network.maps(inputs), network.maps(inputs).transpose(1, 2))
        pair = network.encode(inputs, pair=True).pair
    assert torch.equal(pair, pair.transpose(1, 2))


def test_calibration_standardises_every_level(family, network) -> None:
    chains = [make_chain(n, seed=n, missing=(1,)) for n in (20, 25, 30, 35)]
    calibrate(network, chains, [7])
    with torch.no_grad():
        encoded = [network.encode(batch(family, chain, level=7), pair=True) for chain in chains]
    seen = [torch.from_numpy(chain.seen.copy()) for chain in chains]
    levels = {
        "residue": torch.cat([e.residue[0][s] for e, s in zip(encoded, seen, strict=True)]),
        "protein": torch.cat([e.protein for e in encoded]),
        "pair": torch.cat([e.pair[0][s[:, None] & s] for e, s in zip(encoded, seen, strict=True)]),
    }
    for name, values in levels.items():
        mean, std = (table[7, KINDS.index(name)] for table in (network.standard.mean, network.standard.std))
        alive = std > CONSTANT * mean.abs()
        assert int(alive.sum()) > 50
        assert torch.allclose(values.mean(0), torch.zeros(()), atol=2e-3), name
        assert torch.allclose(values.std(0, correction=0)[alive], torch.ones(()), atol=2e-3), name


def test_calibration_touches_the_given_levels_only(network) -> None:
    before = network.standard.mean.clone()
    calibrate(network, [make_chain(20, seed=4)], [3])
    changed = (network.standard.mean != before).any(-1).any(-1)
    assert changed.nonzero()[:, 0].tolist() == [3]


def test_dead_channels_do_not_become_noise() -> None:
    """A channel that rests at -0.278 up to rounding must come out as zero, not as rounding errors of unit size."""
    standard = Standard(1, 2)
    standard.mean[0], standard.std[0] = torch.tensor([-0.278, 0.5]), torch.tensor([1e-6, 0.25])
    x = torch.tensor([[[-0.278 + 1e-6, 1.0], [-0.278 - 2e-6, 0.0]]])
    found = standard("residue", x, torch.tensor([0]), torch.ones(1, 2, dtype=torch.bool))[0]
    assert float(found[:, 0].abs().max()) < 1e-5
    assert found[:, 1].tolist() == [2.0, -2.0]


def test_statistics_are_part_of_the_weights(family, network) -> None:
    other = family.network()
    other.load_state_dict(network.state_dict())
    inputs = batch(family, make_chain(15, seed=5))
    with torch.no_grad():
        assert torch.equal(other.eval().encode(inputs).residue, network.encode(inputs).residue)
    assert not np.allclose(network.standard.std.numpy(), 1.0)


def test_gradients_reach_the_weights_through_the_encoding(family, network) -> None:
    """Fine-tuning needs the dense path to be differentiable."""
    network.encode(batch(family, make_chain(12, seed=6))).protein.sum().backward()
    assert (
        float(network.blocks[0].get_parameter(next(n for n, _ in network.blocks[0].named_parameters())).grad.norm()) > 0
    )
