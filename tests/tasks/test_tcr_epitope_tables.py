"""Receptors and peptides: counts of TITAN's splits and of VDJdb, what is new in a test, negatives made anew."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.tasks.tcr_epitope.tables import read_strict_split, read_tcr_split, read_vdjdb, shuffled_negatives

HEADER = "tcr_id\tepitope_id\tcdr3b\tepitope\tlabel\tsource\ttcr_split_test_fold\tstrict_split_test_fold\n"
PEPTIDES = ("GILGFVFTL", "NLVPMVATV", "ELAGIGILTV")
ROWS = "".join(
    f"{k}\t{k % 3}\tCASS{'ACDEFGHIKL'[k]}EQYF\t{PEPTIDES[k % 3]}\t1\tvdjdb\t{k}\t{k % 9}\n" for k in range(10)
)


def write(path: Path, text: str) -> Path:
    with gzip.open(path, "wt") as file:
        file.write(text)
    return path.parent


def write_titan(folder: Path, text: str) -> Path:
    return write(folder / "titan_pairs.tsv.gz", text)


def receptors(pairs) -> set[str]:
    return {pair.chains[0].key for pair in pairs}


def peptides(pairs) -> set[str]:
    return {pair.chains[1].sequence for pair in pairs}


@pytest.fixture(scope="module")
def tcr_split(shared_data: Path):
    return read_tcr_split(shared_data / "tcr_epitope", 0)


@pytest.fixture(scope="module")
def strict_split(shared_data: Path):
    return read_strict_split(shared_data / "tcr_epitope", 0)


def test_counts_of_the_split_by_receptor(tcr_split) -> None:
    found = tcr_split
    assert {name: len(pairs) for name, pairs in found.items()} == {"train": 37_744, "valid": 4_718, "test": 4_720}
    pairs = [pair for part in found.values() for pair in part]
    assert (len(pairs), sum(pair.target[0] for pair in pairs)) == (47_182, 23_595)
    assert len(receptors(pairs)) == 23_143
    assert not receptors(found["test"]) & (receptors(found["train"]) | receptors(found["valid"]))
    assert peptides(found["test"]) <= peptides(found["train"])
    assert len({id(pair.chains[1]) for pair in pairs}) == len(peptides(pairs)) == 192


def test_counts_of_the_strict_split(strict_split) -> None:
    found = strict_split
    assert {name: len(pairs) for name, pairs in found.items()} == {
        "train": 18_612, "valid": 2_326, "test": 2_342, "left_out": 23_902,
    }  # fmt: skip
    for new, known in (("test", "train"), ("test", "valid"), ("valid", "train")):
        assert not receptors(found[new]) & receptors(found[known])
        assert not peptides(found[new]) & peptides(found[known])
    negatives = {name: sum(pair.target[0] == 0.0 for pair in pairs) for name, pairs in found.items()}
    assert sum(negatives[name] for name in ("train", "valid", "test")) == 135
    assert negatives["left_out"] == 23_452


def test_negatives_of_the_strict_split_are_made_of_its_own_parts(strict_split) -> None:
    test = strict_split["test"]
    made = shuffled_negatives(test, np.random.default_rng(0))
    labels = [pair.target[0] for pair in test + made]
    assert labels.count(0.0) == labels.count(1.0) == sum(pair.target[0] for pair in test)
    assert receptors(made) <= receptors(test) and peptides(made) <= peptides(test)
    pairs = [tuple(chain.sequence for chain in pair.chains) for pair in made]
    assert len(set(pairs)) == len(pairs)
    assert not set(pairs) & {tuple(chain.sequence for chain in pair.chains) for pair in test}
    assert [pair.id for pair in shuffled_negatives(test, np.random.default_rng(0))] == [pair.id for pair in made]


def test_counts_of_vdjdb(shared_data: Path) -> None:
    found = read_vdjdb(shared_data / "tcr_epitope")
    assert {name: len(pairs) for name, pairs in found.items()} == {"beta": 38_757, "alpha_only": 46_837 - 38_757}
    assert sum(bool(pair.meta["cdr3_alpha"]) for pair in found["beta"]) == 15_570
    assert len(peptides(found["beta"]) | peptides(found["alpha_only"])) == 1_464


def test_whole_domains_hold_the_loop(shared_data: Path, tcr_split) -> None:
    loops = tcr_split["test"]
    whole = read_tcr_split(shared_data / "tcr_epitope", 0, receptor="full_beta")["test"]
    assert [pair.id for pair in loops] == [pair.id for pair in whole]
    assert all(a.chains[0].sequence in b.chains[0].sequence for a, b in zip(loops, whole, strict=True))


def test_each_fold_is_tested_once(tmp_path: Path) -> None:
    write_titan(tmp_path, HEADER + ROWS)
    folds = [read_tcr_split(tmp_path, fold) for fold in range(10)]
    assert [pair.id for found in folds for pair in found["test"]] == [f"tcr{k}/epitope{k % 3}" for k in range(10)]
    assert [found["valid"][0].id for found in folds] == [f"tcr{k}/epitope{k % 3}" for k in (*range(1, 10), 0)]
    assert all(len(found["train"]) == 8 for found in folds)


def test_a_pair_listed_twice_by_one_fold_is_one_pair(tmp_path: Path) -> None:
    row = "1\t1\tCASSF\tGILGFVFTL\t0\tvdjdb\t{}\tNA\n"
    found = read_tcr_split(write_titan(tmp_path, HEADER + row.format("1,1")), 1)
    assert [pair.id for pair in found["test"]] == ["tcr1/epitope1"]
    assert len(read_strict_split(tmp_path, 1)["left_out"]) == 1
    with pytest.raises(InputError, match="tcr_split_test_fold is '1/2'"):
        read_tcr_split(write_titan(tmp_path, HEADER + row.format("1,2")), 1)


def test_no_negative_can_be_made_of_one_peptide(tmp_path: Path, generator: np.random.Generator) -> None:
    rows = "".join(f"{k}\t1\tCASS{'ACD'[k]}F\tGILGFVFTL\t1\tvdjdb\t0\t0\n" for k in range(3))
    test = read_strict_split(write_titan(tmp_path, HEADER + rows), 0)["test"]
    with pytest.raises(ValueError, match="every peptide"):
        shuffled_negatives(test, generator)
    assert shuffled_negatives([], generator) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1\t1\tCASSF\tGILGF\t2\tvdjdb\t0\t0\n", r"tcr1/epitope1.*label is '2'"),
        ("1\t1\tCASSF\tGILGF\t1\tvdjdb\t10\t0\n", r"tcr_split_test_fold is '10'; allowed: 0, 1"),
        ("1\t1\tCASSF\tGILGF\t1\tvdjdb\tNA\t0\n", "tcr_split_test_fold is 'NA'"),
        ("1\t1\tCAS5F\tGILGF\t1\tvdjdb\t0\t0\n", r"tcr1.*position 4"),
        ("1\t1\t\tGILGF\t1\tvdjdb\t0\t0\n", "tcr1.*no sequence"),
        ("1\t1\tCASSF\tGI\t1\tvdjdb\t0\t0\n1\t1\tCASSY\tGI\t1\tvdjdb\t0\t0\n", "is CASSY here and CASSF before"),
    ],
)
def test_damaged_tables_say_what_is_wrong(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_tcr_split(write_titan(tmp_path, HEADER + row), 0)


def test_wrong_questions_say_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"titan_pairs.*no such file"):
        read_tcr_split(tmp_path, 0)
    with pytest.raises(InputError, match=r"vdjdb.*no such file"):
        read_vdjdb(tmp_path)
    write_titan(tmp_path, HEADER + ROWS)
    with pytest.raises(InputError, match="no fold 10; allowed: 0 to 9"):
        read_tcr_split(tmp_path, 10)
    with pytest.raises(InputError, match="cdr3b, full_beta"):
        read_tcr_split(tmp_path, 0, receptor="alpha")
    write(tmp_path / "titan_tcr_full_beta.tsv.gz", "tcr_id\tfull_variable_beta\n0\tMKTA\n")
    with pytest.raises(InputError, match=r"tcr1/epitope1.*no whole domain"):
        read_tcr_split(tmp_path, 0, receptor="full_beta")
    header = "cdr3_alpha\tcdr3_beta\tmhc_class\tantigen_epitope\tantigen_species\treference_id\n"
    write(tmp_path / "vdjdb_human_positives.tsv.gz", header + "\t\tMHCI\tGILGF\tflu\tx\n")
    with pytest.raises(InputError, match=r"vdjdb0.*no sequence"):
        read_vdjdb(tmp_path)
