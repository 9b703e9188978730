"""DeepLoc 1: counts as published or as far as sequences could be had, classes, what belongs to none."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.tasks.localisation.tables import PLACES, read_membrane, read_places, without_sequence

HEADER = "accession\tsplit\tlabel\tmembrane\tsequence_source\tlength\tsequence\n"
ROWS = (
    "P1\ttrain\tNucleus\t\tjoined\t4\tMKTA\n"
    "P2\tval\tCytoplasm-Nucleus\tS\tval_fasta\t4\tMKTX\n"
    "P3\tval\tPeroxisome\tM\tval_fasta\t4\tMKTU\n"
    "P4\ttest\tPlastid\tU\ttest_fasta\t4\tMKTB\n"
    "P5\tsetHARD\tCytoplasm\tU\tsetHARD_fasta\t4\tMKTZ\n"
)


def write_places(folder: Path, text: str) -> Path:
    with gzip.open(folder / "deeploc1.tsv.gz", "wt") as file:
        file.write(text)
    return folder


def test_counts_of_places(shared_data: Path) -> None:
    found = read_places(shared_data / "localization")
    assert {name: len(proteins) for name, proteins in found.items()} == {
        "train": 8_921, "valid": 1_678 - 23, "test": 2_768, "setHARD": 490, "two_places": 23,
    }  # fmt: skip
    counts = np.bincount([int(protein.target[0]) for protein in found["test"]], minlength=len(PLACES))
    assert counts.tolist() == [806, 505, 393, 302, 273, 173, 152, 70, 64, 30]
    largest = np.bincount([int(protein.target[0]) for protein in found["train"]])
    assert (largest[0], largest.argmax()) == (2_703, 0)
    known = [protein for name in ("train", "valid", "test", "setHARD") for protein in found[name]]
    assert all(np.isfinite(protein.target[0]) for protein in known)


def test_counts_of_membrane_proteins(shared_data: Path) -> None:
    found = read_membrane(shared_data / "localization")
    positives = {name: int(np.nansum([protein.target[0] for protein in proteins])) for name, proteins in found.items()}
    assert {name: len(proteins) for name, proteins in found.items()} == {
        "train": 1_021,
        "test": 1_746,
        "unknown": 11_090,
    }
    assert positives == {"train": 426, "test": 743, "unknown": 0}
    assert sum(map(len, found.values())) == 8_921 + 1_678 + 2_768 + 490


def test_proteins_without_sequence_are_counted(shared_data: Path) -> None:
    missing = without_sequence(shared_data / "localization")
    assert len(missing) == 632 and set(missing.values()) <= set(PLACES)
    assert not set(missing) & {protein.id for protein in read_places(shared_data / "localization")["train"]}


def test_no_protein_is_lost(tmp_path: Path) -> None:
    places = read_places(write_places(tmp_path, HEADER + ROWS))
    assert {name: [p.id for p in found] for name, found in places.items()} == {
        "train": ["P1"], "valid": ["P3"], "test": ["P4"], "setHARD": ["P5"], "two_places": ["P2"],
    }  # fmt: skip
    assert places["valid"][0].target.tolist() == [9.0] and np.isnan(places["two_places"][0].target[0])
    assert places["valid"][0].sequence == "MKTU"
    membrane = read_membrane(tmp_path)
    assert {name: [(p.id, p.target[0]) for p in membrane[name]] for name in ("train", "test")} == {
        "train": [("P2", 0.0), ("P3", 1.0)], "test": [],
    }  # fmt: skip
    assert [protein.id for protein in membrane["unknown"]] == ["P1", "P4", "P5"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("P9\tvalid\tNucleus\tM\tx\t4\tMKTA\n", r"P9.*split is 'valid'; allowed: train, val, test, setHARD"),
        ("P9\ttest\tNucleolus\tM\tx\t4\tMKTA\n", r"P9.*label is 'Nucleolus'; allowed: Nucleus, Cytoplasm"),
        ("P9\ttest\tNucleus\tQ\tx\t4\tMKTA\n", r"P9.*membrane is 'Q'"),
        ("P9\ttest\tNucleus\tM\tx\t5\tMKTA\n", r"P9.*4 letters; allowed: 5"),
        ("P9\ttest\tNucleus\tM\tx\t4\tMKT*\n", "P9.*gaps"),
        ("P9\ttest\tNucleus\tM\tx\t4\n", r"line 2.*6 cells"),
    ],
)
def test_damaged_tables_say_what_is_wrong(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_places(write_places(tmp_path, HEADER + row))


def test_missing_tables_say_where(tmp_path: Path) -> None:
    for reader, name in (
        (read_places, "deeploc1"),
        (read_membrane, "deeploc1"),
        (without_sequence, "without_sequence"),
    ):
        with pytest.raises(InputError, match=rf"{name}.*no such file"):
            reader(tmp_path)
