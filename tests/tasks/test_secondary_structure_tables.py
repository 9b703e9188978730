"""Helix, strand and coil: counts as published, residues that no structure shows, damaged tables."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.tasks.secondary_structure.tables import STATES, read_casp12, read_cb513, read_netsurfp2

HEADER = "id\tlength\tsequence\tss8\tss3\tobserved_mask\n"


def write_casp12(folder: Path, text: str) -> Path:
    with gzip.open(folder / "casp12_8state.tsv.gz", "wt") as file:
        file.write(text)
    return folder


@pytest.fixture(scope="module")
def netsurfp2(shared_data: Path):
    return read_netsurfp2(shared_data / "secondary_structure")


def test_counts_to_train_on(netsurfp2) -> None:
    assert {name: len(found) for name, found in netsurfp2.items()} == {
        "train": 9_712, "valid": 1_080, "newPISCES364": 364,
    }  # fmt: skip
    target = np.concatenate([protein.target for found in netsurfp2.values() for protein in found])
    assert (len(target), int(np.isnan(target).sum())) == (2_845_094, 186_876)
    assert np.bincount(target[np.isfinite(target)].astype(int)).tolist() == [1_030_200, 602_963, 1_025_055]


def test_counts_to_test_on(shared_data: Path, netsurfp2) -> None:
    cb513, casp12 = (read(shared_data / "secondary_structure") for read in (read_cb513, read_casp12))
    counts = [(len(found), sum(map(len, found))) for found in (cb513, casp12)]
    assert counts == [(513, 144_360), (20, 6_801)]
    assert [int(np.isnan(np.concatenate([p.target for p in found])).sum()) for found in (cb513, casp12)] == [3_529, 797]
    assert len({protein.sequence for protein in cb513}) == 434
    shared = {name: {p.sequence for p in found} & {p.sequence for p in cb513} for name, found in netsurfp2.items()}
    assert {name: len(found) for name, found in shared.items()} == {"train": 1, "valid": 1, "newPISCES364": 0}


def test_a_residue_is_masked_as_its_feature_says(netsurfp2) -> None:
    for protein in netsurfp2["newPISCES364"]:
        assert np.array_equal(np.isfinite(protein.target), protein.features["resolved"][:, 0] == 1.0)


def test_eight_states_become_three(tmp_path: Path) -> None:
    row = "x\t8\tMKTAYIAK\tHGIEBTSC\tHHHEECCC\t11111110\n"
    (protein,) = read_casp12(write_casp12(tmp_path, HEADER + row))
    assert "".join(STATES[int(k)] for k in protein.target[:7]) == "HHHEECC" and np.isnan(protein.target[7])
    assert protein.meta["dssp"] == "HGIEBTSC"
    assert protein.features["resolved"].ravel().tolist() == [1.0] * 7 + [0.0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x\t2\tMK\tHH\tHC\t11\n", r"entry 'x'.*ss3 does not follow from ss8"),
        ("x\t2\tMK\tHX\tHC\t11\n", "ss3 does not follow"),
        ("x\t2\tMK\tHHH\tHH\t11\n", "ss8 has 3 letters; allowed: 2"),
        ("x\t2\tMK\tHH\tH\t11\n", "ss3 has 1 letters"),
        ("x\t2\tMK\tHH\tHH\t1\n", "observed_mask has 1 letters"),
        ("x\t2\tMK\tHH\tHH\t12\n", "observed_mask holds 2; allowed: 0, 1"),
        ("x\t2\tMK\tHH\tHQ\t11\n", "ss3 holds Q; allowed: H, E, C"),
        ("x\t2\tM-\tHH\tHH\t11\n", "gaps"),
        ("x\ttwo\tMK\tHH\tHH\t11\n", "allowed: two"),
    ],
)
def test_damaged_tables_say_what_is_wrong(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_casp12(write_casp12(tmp_path, HEADER + row))


def test_missing_tables_and_splits_say_what_is_allowed(tmp_path: Path) -> None:
    for reader, name in ((read_netsurfp2, "netsurfp2"), (read_cb513, "cb513"), (read_casp12, "casp12")):
        with pytest.raises(InputError, match=rf"{name}.*no such file"):
            reader(tmp_path)
    with gzip.open(tmp_path / "netsurfp2_3state.tsv.gz", "wt") as file:
        file.write("id\tsplit\tlength\tsequence\tss3\tresolved_mask\nx\ttest\t2\tMK\tHH\t11\n")
    with pytest.raises(InputError, match=r"split is 'test'; allowed: train, val, test_newpisces"):
        read_netsurfp2(tmp_path)
