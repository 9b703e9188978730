"""Pairs that bind or do not: counts as published, one chain a protein, damaged tables."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.tasks import audit, baselines
from tertia.tasks.pair_binding.tables import read_bernett, read_dscript_yeast, read_guo, read_positives

FASTA = ">P1\nMKTAYIAK\n>P2\nGSHMLEDP\n>P3\nACDEFGHI\n"
HEADER = "protein_a\tprotein_b\tlabel\tsplit\n"


def write_bernett(folder: Path, pairs: str, fasta: str = FASTA) -> Path:
    for name, text in (("bernett_pairs.tsv.gz", pairs), ("bernett_sequences.fa.gz", fasta)):
        with gzip.open(folder / name, "wt") as file:
            file.write(text)
    return folder


@pytest.fixture(scope="module")
def bernett(shared_data: Path):
    return read_bernett(shared_data / "protein_pairs")


def test_bernett_counts(bernett) -> None:
    assert {name: len(pairs) for name, pairs in bernett.items()} == {"train": 163_192, "valid": 59_260, "test": 52_048}
    assert all(2 * sum(pair.target[0] for pair in pairs) == len(pairs) for pairs in bernett.values())
    assert len({pair.id for pairs in bernett.values() for pair in pairs}) == 274_500


def test_bernett_keeps_one_chain_a_protein_and_no_protein_in_two_splits(bernett) -> None:
    chains = {name: {chain for pair in pairs for chain in pair.chains} for name, pairs in bernett.items()}
    keys = {name: {chain.key for chain in found} for name, found in chains.items()}
    assert {name: len(found) for name, found in chains.items()} == {"train": 4_286, "valid": 3_711, "test": 3_022}
    assert {name: len(found) for name, found in keys.items()} == {"train": 4_286, "valid": 3_711, "test": 3_022}
    assert len(set.union(*keys.values())) == 11_019


def test_degrees_tell_nothing_on_bernett(bernett) -> None:
    assert audit.degrees(bernett["test"]).p > 0.05
    assert np.all(baselines.degree_scores(bernett["train"], bernett["test"]) == 0.5)


def test_yeast_counts(shared_data: Path) -> None:
    guo = read_guo(shared_data / "protein_pairs")
    assert {name: len(pairs) for name, pairs in guo.items()} == {
        "train": 5_396, "test_both_new": 1_028, "test_one_new": 4_764,
    }  # fmt: skip
    assert sum(pair.target[0] for pairs in guo.values() for pair in pairs) == 5_594
    proteins = {name: {chain.key for pair in pairs for chain in pair.chains} for name, pairs in guo.items()}
    assert not proteins["train"] & proteins["test_both_new"]
    assert len(set.union(*proteins.values())) == 2_497
    dscript = read_dscript_yeast(shared_data / "protein_pairs")
    assert (len(dscript), sum(pair.target[0] for pair in dscript)) == (55_000, 5_000)
    assert len({chain.key for pair in dscript for chain in pair.chains}) == 5_664


def test_positives_counts(shared_data: Path) -> None:
    found = read_positives(shared_data / "protein_pairs")
    organisms = [pair.meta["organism"] for pair in found["pring"]]
    assert (len(organisms), organisms.count("yeast"), organisms.count("arath")) == (39_505, 15_921, 23_584)
    assert len({chain.key for pair in found["pring"] for chain in pair.chains}) == 8_198
    assert len(found["shs27k"]) == 7_624
    assert len({chain.key for pair in found["shs27k"] for chain in pair.chains}) == 1_690
    assert max(pair.meta["score"] for pair in found["shs27k"]) <= 1000
    assert {kind for pair in found["shs27k"] for kind in pair.meta["interactions"]} == {
        "reaction", "binding", "ptmod", "activation", "inhibition", "catalysis", "expression",
    }  # fmt: skip


def test_repeated_pairs_stay_and_get_names_of_their_own(tmp_path: Path) -> None:
    text = HEADER + "P1\tP2\t1\ttrain\nP1\tP2\t0\ttrain\nP2\tP1\t1\ttest\nP3\tP3\t0\tvalid\n"
    found = read_bernett(write_bernett(tmp_path, text))
    assert [pair.id for pair in found["train"]] == ["P1/P2", "P1/P2#2"]
    assert [pair.target.tolist() for pair in found["train"]] == [[1.0], [0.0]]
    assert found["train"][0].chains[0] is found["test"][0].chains[1]
    assert found["valid"][0].sequence == "ACDEFGHIACDEFGHI"


@pytest.mark.parametrize(
    ("pairs", "fasta", "message"),
    [
        (HEADER + "P1\tP9\t1\ttrain\n", FASTA, r"P1/P9.*P9 has no sequence"),
        (HEADER + "P1\tP2\tyes\ttrain\n", FASTA, r"P1/P2.*label is 'yes'; allowed: 0, 1"),
        (HEADER + "P1\tP2\t1\tdev\n", FASTA, r"split is 'dev'; allowed: train, valid, test"),
        (HEADER + "P1\tP2\t1\ttrain\nP1\tP3\n", FASTA, r"line 3.*2 cells; allowed: 4"),
        ("protein_a\tprotein_b\tlabel\nP1\tP2\t1\n", FASTA, "no column split"),
        (HEADER, FASTA, "no row"),
        ("", FASTA, "no column protein_a"),
        (HEADER + "P1\tP2\t1\ttrain\n", FASTA + ">P1\nAAA\n", "P1.*stands twice"),
        (HEADER + "P1\tP2\t1\ttrain\n", ">P1\nMK1J\n", r"P1.*position 3"),
    ],
)
def test_damaged_tables_say_what_is_wrong(tmp_path: Path, pairs: str, fasta: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_bernett(write_bernett(tmp_path, pairs, fasta))


def test_damaged_files_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_bernett(tmp_path)
    write_bernett(tmp_path, HEADER + "P1\tP2\t1\ttrain\n" * 5_000)
    path = tmp_path / "bernett_pairs.tsv.gz"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match="cannot be read"):
        read_bernett(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"bernett_pairs.*no such file"):
        read_bernett(tmp_path)


def test_an_unknown_interaction_is_refused(tmp_path: Path) -> None:
    header = "protein_a\tprotein_b\tinteraction_types\tstring_score\n"
    for row, message in (("P1\tP2\tbinding|kissing\t900\n", "kissing"), ("P1\tP2\tbinding\thigh\n", "0 to 1000")):
        files = {
            "pring_positive_pairs.tsv.gz": "protein_a\tprotein_b\torganism\nP1\tP2\tyeast\n",
            "pring_sequences.fa.gz": FASTA, "shs27k_sequences.fa.gz": FASTA, "shs27k_pairs.tsv.gz": header + row,
        }  # fmt: skip
        for name, text in files.items():
            with gzip.open(tmp_path / name, "wt") as file:
                file.write(text)
        with pytest.raises(InputError, match=message):
            read_positives(tmp_path)
