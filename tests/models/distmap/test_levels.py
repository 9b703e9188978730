"""Which noise level an example gets."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tertia.models.distmap import Distmap
from tests.structures import make_chain


def drawn(family: Distmap, n: int = 4000) -> np.ndarray:
    """Return the noise of n examples, Angstrom."""
    inputs, generator = family.featurise(make_chain(40, 0)), np.random.default_rng(0)
    small = replace(family, crop=4)
    return np.array([family.sigmas[small.corrupt(inputs, generator)[0].level] for _ in range(n)])


def test_without_focus_all_levels_are_alike() -> None:
    _, counts = np.unique(drawn(Distmap()), return_counts=True)
    assert len(counts) == 32
    assert abs(counts - 125).max() < 5 * math.sqrt(125)


def test_the_focus_gets_its_share() -> None:
    sigma = drawn(Distmap(focus_share=0.5, focus_sigma=2.0))
    near = np.abs(np.log(sigma / 2.0)) < 0.8
    uniform = np.mean(np.abs(np.log(Distmap().sigmas.numpy() / 2.0)) < 0.8)
    assert np.mean(near) == pytest.approx(0.5 * 0.683 + 0.5 * uniform, abs=0.04)
    assert len(np.unique(sigma)) == 32  # the others still come
