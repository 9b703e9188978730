"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets: TERTIA_DATA, else ../shared/data beside the checkout; the test skips without one."""
    named = os.environ.get("TERTIA_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if named and not folder.is_dir():
        pytest.fail(f"TERTIA_DATA names {folder}, which is not a folder")
    if not folder.is_dir():
        pytest.skip(f"no real data: neither TERTIA_DATA is set nor is there a folder {folder}")
    return folder
