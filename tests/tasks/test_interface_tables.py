"""The benchmarks of interaction sites as they were published: counts, labels, coordinates."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.tasks.interface.tables import read_deepppisp, read_graphppis

GRAPHPPIS = {"Train_335": (335, 66_366, 10_374), "Test_60": (60, 13_144, 2_075), "UBtest_31": (31, 6_654, 841)}


@pytest.fixture(scope="module")
def deepppisp(shared_data: Path):
    folder = shared_data / "ppi_sites"
    return read_deepppisp(folder / "deepppisp", folder / "graphppis")


@pytest.mark.parametrize("name", GRAPHPPIS)
def test_graphppis_counts(shared_data: Path, name: str) -> None:
    examples = read_graphppis(shared_data / "ppi_sites" / "graphppis", name)
    target = np.concatenate([example.target for example in examples])
    assert (len(examples), len(target), int(target.sum())) == GRAPHPPIS[name]
    bonds = np.concatenate([np.linalg.norm(np.diff(e.chains[0].alpha, axis=0), axis=1) for e in examples])
    assert 3.7 < np.nanmedian(bonds) < 3.9
    assert all(set(np.unique(example.features["dssp"].sum(axis=1))) <= {0.0, 1.0} for example in examples)


def test_deepppisp_counts(deepppisp) -> None:
    train, test = deepppisp["train"], deepppisp["test"]
    assert (len(train), len(test)) == (352, 70)
    target = np.concatenate([example.target for example in test])
    assert (len(target), int(target.sum())) == (11_791, 2_332)
    assert not {example.sequence for example in train} & {example.sequence for example in test}
    assert sum(bool(example.chains[0].seen.any()) for example in test) == 62
    assert sum(bool(example.chains[0].seen.any()) for example in train) == 311


def test_shifted_secondary_structure_is_as_shipped_or_left_out(deepppisp) -> None:
    examples = deepppisp["train"] + deepppisp["test"]
    changed = [e for e in examples if not np.array_equal(e.features["dssp"], e.features["dssp_mended"], equal_nan=True)]
    assert len(changed) == 46
    assert all(not example.features["dssp_mended"].any() for example in changed)


def test_damaged_tables_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_graphppis(tmp_path, "Test_60")
    with pytest.raises(InputError, match="Train_335, Test_60"):
        read_graphppis(tmp_path, "Test_61")
    with gzip.open(tmp_path / "Test_60_residues.tsv.gz", "wt") as file:
        file.write("name\tlabel\n1abcA\t0\n")
    with pytest.raises(InputError, match="chain_id"):
        read_graphppis(tmp_path, "Test_60")
    with gzip.open(tmp_path / "Test_60_residues.tsv.gz", "wt") as file:
        file.write("chain_id\taa\tca_x\tca_y\tca_z\n1abcA\tM\t1.0\tzwei\t3.0\n")
    with pytest.raises(InputError, match=r"1abcA.*zwei"):
        read_graphppis(tmp_path, "Test_60")
