"""`tertia doctor` finds broken weights, and says what is absent without calling it broken."""

from __future__ import annotations

import hashlib
import json

import pytest

from tertia import doctor
from tertia.structure import read_regular_pdb


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "files", lambda name: tmp_path)
    return tmp_path


def test_no_weights_is_not_broken(package) -> None:
    (finding,) = doctor.weights()
    assert finding.good
    assert finding.name == "(none)"


@pytest.mark.parametrize(("content", "good"), [(b"weights", True), (b"other", False), (None, False)])
def test_weights_are_compared_with_their_hash(package, content, good: bool) -> None:
    folder = package / "weights" / "mine"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"sha256": hashlib.sha256(b"weights").hexdigest()}))
    if content is not None:
        (folder / "network.safetensors").write_bytes(content)
    (finding,) = doctor.weights()
    assert (finding.name, finding.good) == ("mine", good)


def test_the_compiled_reader_may_be_absent(monkeypatch) -> None:
    (usual,) = [finding for finding in doctor.tools() if finding.name == "compiled reader"]
    assert usual.value.startswith("built" if read_regular_pdb.is_compiled() else "not built")
    monkeypatch.setattr(read_regular_pdb, "_kernel", None)
    (absent,) = [finding for finding in doctor.tools() if finding.name == "compiled reader"]
    assert absent.good
    assert absent.value.startswith("not built")


def test_core_packages_and_extras_come_from_the_metadata() -> None:
    core = {name for name, extra in doctor.requirements() if not extra}
    assert {"torch", "numpy", "gemmi", "isal", "biotite", "scipy", "safetensors", "h5py", "tokenizers", "typer"} == core
    assert {"plot", "cluster", "log", "parquet", "demo", "dev"} <= {extra for _, extra in doctor.requirements()}
    assert all(finding.good for finding in doctor.extras())
