"""What every test may ask for: the folder of real data and a seeded generator."""

from __future__ import annotations

import builtins
import os
from pathlib import Path

import numpy as np
import pytest

from tests.contract import shape_checker

shape_checker.install()  # before any module of the package is imported

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real structures and annotations: TERTIA_DATA, or `../shared/data` beside the checkout.

    Tests that need it are skipped where it is absent. Where somebody said where it is, or a CI machine has the folder
    above it, its absence is a failure: a suite that skips all its real data must not look green.
    """
    named = os.environ.get("TERTIA_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if (folder / "structures" / "INDEX.tsv").is_file():
        return folder
    message = f"real data not found: no structures/INDEX.tsv in {folder} (set TERTIA_DATA)"
    if named or (os.environ.get("CI") == "true" and folder.parent.is_dir()):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def generator() -> np.random.Generator:
    """A fresh generator with a fixed seed."""
    return np.random.default_rng(20240229)


@pytest.fixture(scope="session")
def quality_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny benchmark of quality assessment."""
    from tests.benchmarks_on_disk import write_quality

    return write_quality(tmp_path_factory.mktemp("quality_assessment"))


@pytest.fixture(scope="session")
def sites_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tiny benchmarks of interaction sites."""
    from tests.benchmarks_on_disk import write_sites

    return write_sites(tmp_path_factory.mktemp("ppi_sites"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a distance-map network with random weights."""
    from tertia.training import checkpoint
    from tests.distmap_networks import TINY, network_of

    folder = tmp_path_factory.mktemp("tiny_model")
    checkpoint.save(folder, TINY, network_of(TINY), recipe="", meta={})
    return folder


@pytest.fixture
def without_voronotalt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the import of voronotalt fail, as where it is not installed."""
    real = builtins.__import__

    def blocked(name: str, *rest, **more):
        if name == "voronotalt":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", blocked)
