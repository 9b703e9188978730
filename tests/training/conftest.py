"""One small store for all tests of training."""

from __future__ import annotations

import pytest

from tertia.data.store import Store
from tests.training.stores import small_store


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Store:
    return small_store(tmp_path_factory.mktemp("training") / "store")
