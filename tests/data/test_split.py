"""Splitting by cluster: whole clusters, stable under additions, no empty part."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tertia.data.split import split_clusters
from tertia.errors import InputError


def test_fractions_are_kept_and_clusters_stay_whole():
    cluster = np.repeat(np.arange(4000), np.random.default_rng(0).integers(1, 5, 4000)).tolist()
    parts = split_clusters(cluster, [f"name{k}" for k in cluster])
    part_of = dict(zip(cluster, parts, strict=True))
    assert all(part_of[k] == part for k, part in zip(cluster, parts, strict=True))
    counts = Counter(part_of.values())
    for name, fraction in (("train", 0.9), ("valid", 0.05), ("test", 0.05)):
        assert abs(counts[name] / 4000 - fraction) < 4 * (fraction * (1 - fraction) / 4000) ** 0.5


def test_a_cluster_keeps_its_part_when_others_come():
    few = split_clusters(range(500), [f"name{k}" for k in range(500)])
    many = split_clusters(range(900), [f"name{k}" for k in range(900)])
    assert many[:500] == few
    assert split_clusters(range(500), [f"name{k}" for k in range(500)], seed=1) != few


@pytest.mark.parametrize("n", [3, 4, 10])
def test_small_corpora_have_no_empty_part(n):
    for seed in range(20):
        parts = split_clusters(range(n), [f"name{k}" for k in range(n)], seed=seed)
        assert set(parts) == {"train", "valid", "test"}
        assert Counter(parts).most_common(1)[0][0] == "train" or n == 3


def test_one_or_two_clusters_and_wholes():
    assert split_clusters([], []) == []
    assert split_clusters([0, 0], ["a", "a"], fractions=(1, 0, 0)) == ["train", "train"]
    assert set(split_clusters(range(50), [str(k) for k in range(50)], fractions=(0, 0.5, 0.5))) == {"valid", "test"}


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.5, 0.5), (1.1, -0.1, 0.0)])
def test_wrong_fractions_are_refused(fractions):
    with pytest.raises(InputError):
        split_clusters([0], ["a"], fractions=fractions)
