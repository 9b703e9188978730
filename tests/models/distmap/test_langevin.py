"""Denoising and refinement on scores that are known exactly, and on a network for what holds with any weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tertia.errors import InputError
from tertia.models.distmap import Distmap
from tertia.models.distmap.langevin import denoise, handedness, nearest_level, refine
from tertia.structure.geometry import superpose
from tests.distmap_networks import FAMILIES, network_of
from tests.structures import helix, make_chain


@dataclass(frozen=True)
class Point(Distmap):
    """A family whose score is exact: all probability at one conformation, so sigma G = (native - x) / sigma."""

    native: tuple = ()

    def force(self, network, noisy):
        sigma = self.sigmas[noisy.level][:, None, None, None]
        native = torch.from_numpy(np.nan_to_num(np.array(self.native, dtype=np.float32)))
        return (native - noisy.coord) / sigma * noisy.seen[..., None]


@pytest.fixture(scope="module")
def chain():
    return make_chain(40, seed=1, missing=(0, 17))


@pytest.fixture(scope="module")
def exact(chain):
    return Point(native=tuple(map(tuple, chain.alpha.tolist())))


def rmsd(coord, chain) -> float:
    return superpose(coord, chain.alpha)[2]


def test_one_step_is_the_posterior_mean(exact, chain, generator) -> None:
    """The noise level of the family nearest to sigma is not sigma itself, hence the tolerance."""
    noisy = chain.alpha + generator.standard_normal(chain.alpha.shape)
    mean = denoise(exact, None, noisy, chain.sequence, sigma=1.0)
    assert rmsd(noisy, chain) > 1.0
    assert rmsd(mean, chain) < 0.15


@pytest.mark.parametrize("noise", [None, 5])
def test_refinement_walks_to_the_mode(exact, chain, generator, noise) -> None:
    noisy = chain.alpha + 2.0 * generator.standard_normal(chain.alpha.shape)
    steps = None if noise is None else np.random.default_rng(noise)
    refined = refine(exact, None, noisy, chain.sequence, from_sigma=2.0, to_sigma=0.05, generator=steps)
    assert rmsd(refined, chain) < 0.1 * rmsd(noisy, chain)


@pytest.mark.parametrize("mode", sorted(FAMILIES))
def test_missing_residues_stay_missing_and_move_nothing(mode: str, chain, generator) -> None:
    family = FAMILIES[mode]
    network = network_of(family)
    noisy = (chain.alpha + generator.standard_normal(chain.alpha.shape)).astype(np.float32)
    for moved in (
        denoise(family, network, noisy, chain.sequence, sigma=1.0),
        refine(family, network, noisy, chain.sequence, from_sigma=0.1, to_sigma=0.1, step=1e-4),
    ):
        assert moved.dtype == np.float32
        assert np.array_equal(np.isfinite(moved).all(1), chain.seen)
        assert not np.allclose(moved[chain.seen], noisy[chain.seen])


def test_refinement_keeps_the_hand() -> None:
    """The exact score drives a mirrored trace back through the plane; what is returned has the hand of the input."""
    chain = make_chain(30, coord=helix(30))
    exact = Point(native=tuple(map(tuple, chain.alpha.tolist())))
    mirrored = chain.alpha * np.array([-1, 1, 1], np.float32)
    assert handedness(chain.alpha) == 1.0
    assert handedness(mirrored) == -1.0
    assert handedness(refine(exact, None, mirrored, chain.sequence, from_sigma=5.0, to_sigma=0.05)) == -1.0
    assert handedness(refine(exact, None, chain.alpha, chain.sequence, from_sigma=5.0, to_sigma=0.05)) == 1.0


def test_the_same_generator_gives_the_same_trace(exact, chain) -> None:
    traces = [
        refine(exact, None, chain.alpha, chain.sequence, from_sigma=1.0, generator=np.random.default_rng(s))
        for s in (1, 1, 2)
    ]
    assert np.array_equal(traces[0], traces[1], equal_nan=True)
    assert not np.array_equal(traces[0], traces[2], equal_nan=True)


def test_the_input_is_left_alone(exact, chain) -> None:
    before = chain.alpha.copy()
    refine(exact, None, chain.alpha, chain.sequence, from_sigma=1.0)
    assert np.array_equal(before, chain.alpha, equal_nan=True)


def test_the_nearest_level_is_nearest_by_ratio() -> None:
    family = Distmap()
    assert nearest_level(family, 10.0) == 0
    assert nearest_level(family, 1e-9) == 31
    assert nearest_level(family, float(family.sigmas[7])) == 7


@pytest.mark.parametrize("options", [{"from_sigma": 0.1, "to_sigma": 1.0}, {"from_sigma": 0.0}, {"from_sigma": -1.0}])
def test_noise_levels_must_make_sense(exact, chain, options) -> None:
    with pytest.raises(InputError):
        refine(exact, None, chain.alpha, chain.sequence, **options)


def test_coordinates_and_sequence_must_agree(exact, chain) -> None:
    with pytest.raises(InputError, match="shape"):
        denoise(exact, None, chain.alpha[:-1], chain.sequence, sigma=1.0)
