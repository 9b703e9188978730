"""TAPE's folds: counts as published, labels, damaged tables."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tertia.errors import InputError
from tertia.tasks.homology.tables import N_FOLDS, domain_counts, read_folds

HEADER = "split\tlabel\tfold\tlength\tsequence\n"
ROW = "train\t3\ta.1\t4\tMKTA\n"


def write_folds(folder: Path, text: str) -> Path:
    with gzip.open(folder / "tape_fold.tsv.gz", "wt") as file:
        file.write(text)
    return folder


def test_counts(shared_data: Path) -> None:
    found = read_folds(shared_data / "remote_homology")
    assert {name: len(domains) for name, domains in found.items()} == {"train": 12_312, "valid": 736, "test_fold": 718}
    labels = {name: {int(domain.target[0]) for domain in domains} for name, domains in found.items()}
    assert labels["train"] == set(range(N_FOLDS))
    assert (len(labels["valid"]), len(labels["test_fold"])) == (319, 136)
    sequences = {name: {domain.sequence for domain in domains} for name, domains in found.items()}
    assert not sequences["train"] & sequences["test_fold"] and not sequences["train"] & sequences["valid"]
    assert len(sequences["train"]) == 12_311  # one repeat
    named = {domain.meta["fold"]: int(domain.target[0]) for domains in found.values() for domain in domains}
    assert len(set(named) - {""}) == 918
    largest = max(map([int(d.target[0]) for d in found["train"]].count, labels["train"]))
    assert largest == 981


def test_domains_without_sequences_are_counted(shared_data: Path) -> None:
    assert domain_counts(shared_data / "remote_homology") == {
        "train": 12_312, "valid": 736, "test_fold": 718, "test_superfamily": 1_254, "test_family": 1_272,
    }  # fmt: skip


def test_names_and_unknown_folds(tmp_path: Path) -> None:
    found = read_folds(write_folds(tmp_path, HEADER + ROW + "valid\t3\tNA\t2\tMK\n" + ROW))
    assert [domain.id for domain in found["train"]] == ["train_00000", "train_00001"]
    assert found["valid"][0].meta == {"fold": ""} and found["train"][0].meta == {"fold": "a.1"}
    assert found["test_fold"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + ROW + "test\t3\ta.1\t4\tMKTA\n", r"line 3.*split is 'test'; allowed: train, valid, test_fold"),
        (HEADER + ROW + "train\t1195\ta.1\t4\tMKTA\n", r"train_00001.*label is '1195'; allowed: 0 to 1194"),
        (HEADER + "train\t-1\ta.1\t4\tMKTA\n", "label is '-1'"),
        (HEADER + "train\t3\ta.1\t5\tMKTA\n", r"train_00000.*4 letters; allowed: 5"),
        (HEADER + "train\t3\ta.1\t4\tMK-A\n", "gaps"),
        (HEADER + "train\t3\ta.1\t4\tMK1A\n", "position 3"),
        (HEADER + "train\t3\ta.1\t0\t\n", "no sequence"),
        ("split\tlabel\n", "no column fold, length, sequence"),
    ],
)
def test_damaged_tables_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_folds(write_folds(tmp_path, text))


def test_missing_tables_say_where(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tape_fold.*no such file"):
        read_folds(tmp_path)
    with pytest.raises(InputError, match=r"tape_domain_ids.*no such file"):
        domain_counts(tmp_path)
