"""prepare with FASTA: chains without coordinates through the same verb, filters and split; every refusal is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tertia.data.store import Store
from tertia.errors import InputError, RecipeError
from tertia.inspect import inspect
from tertia.prepare import prepare
from tertia.pretrain import pretrain
from tests.structures import mmcif_text, polymer, random_sequence

QUIET = {"progress": False, "tool": "builtin"}


@pytest.fixture(scope="module")
def fasta(tmp_path_factory) -> Path:
    """Thirty sound records of five organisms, and one of every kind that is refused."""
    sound = [f">p{k:02d} tax={k % 5} of an organism\n{random_sequence(40 + k, seed=k)}\n" for k in range(30)]
    bad = [
        f">short tax=1\n{random_sequence(12, seed=90)}\n",
        f">long tax=1\n{random_sequence(300, seed=91)}\n",
        f">odd tax=1\n{'X' * 30}{random_sequence(20, seed=92)}\n",
        f">again tax=1\n{random_sequence(40, seed=0)}\n",
        f">p01 tax=1\n{random_sequence(50, seed=93)}\n",
        ">empty tax=1\n",
        ">digit tax=1\nMKVLA1A\n",
        f">leak tax=1\n{random_sequence(200, seed=94)}\n",
    ]
    path = tmp_path_factory.mktemp("fasta") / "proteins.fa.gz"
    path.write_bytes(gzip.compress("".join(sound + bad).encode()))
    (path.parent / "test.fa").write_text(f">known\n{random_sequence(200, seed=94)}\n")
    return path


@pytest.fixture(scope="module")
def made(fasta, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "store"
    exclude = [fasta.parent / "test.fa"]
    return folder, prepare([str(fasta)], folder, exclude=exclude, max_length=250, **QUIET)


def test_every_record_is_kept_or_named(made) -> None:
    folder, report = made
    store = Store.open(folder)
    assert {(refusal.chain, refusal.rule) for refusal in report.refused} == {
        ("short", "min_length"), ("long", "max_length"), ("odd", "max_unknown_fraction"), ("p00", "duplicate"),
        ("p01", "key"), ("empty", "record"), ("digit", "record"), ("leak", "excluded"),
    }  # fmt: skip
    assert report.n_chains == len(store) + len(report.refused) == 38
    assert report.n_without_coordinates == len(store) == 30
    assert "without coordinates" in report.table()


def test_the_store_gives_the_sequences_back_and_says_that_there_are_no_coordinates(made) -> None:
    store = Store.open(made[0])
    chain = store["p07"]
    assert chain.sequence == random_sequence(47, seed=7)
    assert chain.atoms is None and not chain.seen.any()
    assert chain.meta["description"] == "tax=2 of an organism"
    assert chain.frame == "proteins.fa.gz"
    assert not store.has_coordinates and "no coordinates" in repr(store)
    assert np.isnan(store.alpha(0)[0]).all()


def test_a_family_that_needs_coordinates_says_so_once(made, tmp_path) -> None:
    with pytest.raises(RecipeError, match="sequences without coordinates"):
        pretrain("distmap_tiny", [f"store={made[0]}"], output=tmp_path / "run", quiet=True)


def test_chains_of_one_header_field_stay_together(fasta, tmp_path) -> None:
    report = prepare([str(fasta)], tmp_path / "store", split_by="tax", fractions=(0.6, 0.2, 0.2), **QUIET)
    store = Store.open(tmp_path / "store")
    parts = [{store.meta(int(k))["meta"]["description"].split()[0] for k in store.split(name)}
             for name in ("train", "valid", "test")]  # fmt: skip
    assert set.union(*parts) == {f"tax={k}" for k in range(5)} and sum(map(len, parts)) == 5 and all(parts)
    assert report.cluster_tool == "equal tax"


def test_a_record_without_the_field_is_refused(tmp_path) -> None:
    path = tmp_path / "two.fa"
    path.write_text(f">a tax=1\n{random_sequence(40, seed=1)}\n>b\n{random_sequence(40, seed=2)}\n")
    report = prepare([str(path)], tmp_path / "store", split_by="tax", **QUIET)
    assert [(refusal.chain, refusal.rule) for refusal in report.refused] == [("b", "split_by")]


def test_structures_and_sequences_go_into_one_store(tmp_path) -> None:
    (tmp_path / "one.cif").write_text(mmcif_text([polymer(50, seed=1)]))
    (tmp_path / "two.fasta").write_text(f">two\n{random_sequence(60, seed=5)}\n")
    report = prepare([str(tmp_path / "one.cif"), str(tmp_path / "two.fasta")], tmp_path / "store", **QUIET)
    store = Store.open(tmp_path / "store")
    assert store.keys == ["one_A", "two"] and store.has_coordinates
    assert (report.n_without_coordinates, report.n_residues) == (1, 110)


def test_inspect_shows_records_and_names_bad_ones(fasta) -> None:
    report, *errors = inspect([str(fasta)])
    assert len(report.chains) == 36 and {chain.n_with_coordinates for chain in report.chains} == {0}
    assert [error.entry for error in errors] == ["empty", "digit"]


def test_a_fasta_file_without_a_sound_record_is_one_failure(tmp_path) -> None:
    (tmp_path / "bad.fa").write_text(">a\nMK1\n")
    (found,) = inspect([str(tmp_path / "bad.fa")])
    assert isinstance(found, InputError) and found.entry == "a"
