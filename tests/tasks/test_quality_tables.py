"""The shared models and their quality: counts, splits, and labels that tertia computes again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.tasks.quality.tables import GLOBAL_SCORES, read_quality


@pytest.fixture(scope="module")
def splits(shared_data: Path):
    return read_quality(shared_data / "quality_assessment")


def test_counts(splits) -> None:
    targets = {name: {(e.meta["set"], e.meta["target"]) for e in examples} for name, examples in splits.items()}
    assert {name: len(found) for name, found in targets.items()} == {"train": 250, "valid": 25, "test": 74}
    assert sum(len(examples) for examples in splits.values()) == 1_928


def test_no_cluster_is_in_two_splits(splits) -> None:
    clusters = [{example.meta["cluster"] for example in examples} for examples in splits.values()]
    assert not (clusters[0] & clusters[1] or clusters[0] & clusters[2] or clusters[1] & clusters[2])


def test_labels_are_shares_and_fit_the_global_ones(splits) -> None:
    for example in splits["test"]:
        known = example.target[np.isfinite(example.target)]
        assert known.min() >= 0.0
        assert known.max() <= 1.0
        assert abs(known.mean() - example.meta["lddt"]) < 0.1  # that one is over distances, not residues
        assert all(0.0 <= example.meta[name] <= 1.0 for name in GLOBAL_SCORES)
        assert not np.isfinite(example.target[~example.chains[0].seen]).any()


def test_a_missing_table_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"targets\.tsv.*no such file"):
        read_quality(tmp_path)
