"""`tertia verify` finds the guarantees kept where they are, and broken where they are broken."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch

from tertia.errors import InputError
from tertia.models import FAMILIES
from tertia.training import checkpoint
from tertia.verify import table, verify
from tests.structures import pdb_text, polymer, without


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(3)
    family = FAMILIES["distmap"](width=16, bottleneck=8, n_blocks=2)
    network = family.network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("model")
    checkpoint.save(folder, family, network, recipe="", meta={})
    return folder


@pytest.fixture
def structure(tmp_path):
    path = tmp_path / "made.pdb"
    chains = [polymer(40, seed=1, chain="A"), without(polymer(55, seed=2, chain="B"), range(20, 26))]
    path.write_text(pdb_text(chains))
    return str(path)


def test_a_sound_model_keeps_every_guarantee(structure, model) -> None:
    checks = {check.guarantee: check for check in verify(structure, model=model)}
    assert all(check.good for check in checks.values()), table(list(checks.values()))
    assert checks["mirror image"].difference > 0.01  # signed dihedrals tell left from right
    assert checks["missing flagged"].note == "6 missing"


@pytest.mark.parametrize("guarantee", ["batch invariance", "rigid motion", "one row a residue", "determinism"])
def test_a_broken_guarantee_is_found(structure, model, monkeypatch, guarantee: str) -> None:
    module = sys.modules["tertia.verify"]
    sound, calls = module.embed, []

    def unsound(chains, **options):
        calls.append(len(chains))
        found = []
        for chain, embedding in zip(chains, sound(chains, **options), strict=True):
            residue = embedding.residue
            if guarantee == "batch invariance":
                residue = residue * (1 + 0.01 * len(chains))
            elif guarantee == "rigid motion":
                residue = residue + np.float32(chain.atoms.coord[0, 0])
            elif guarantee == "one row a residue":
                residue = residue[1:]
            else:
                residue = residue * np.float32(1 + 1e-6 * len(calls))
            found.append(dataclasses.replace(embedding, residue=residue))
        return found

    monkeypatch.setattr(module, "embed", unsound)
    if guarantee == "one row a residue":  # the shape checker of the tests would be first
        monkeypatch.setattr("tests.contract.shape_checker.matches", lambda way: "")
    checks = {check.guarantee: check for check in verify(structure, model=model)}
    assert not checks[guarantee].good
    assert "BROKEN" in table(list(checks.values()))


def test_nothing_to_check_is_an_input_error(tmp_path, model) -> None:
    with pytest.raises(InputError):
        verify(str(tmp_path / "absent.pdb"), model=model)
