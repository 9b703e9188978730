"""Tables of pairs: what is read, what is refused, and how names become chains of a store."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tertia.data.pairs import Pairs, PairTable, placed, read_pairs
from tertia.data.store import Store
from tertia.data.writer import Placement, StoreWriter
from tertia.errors import InputError
from tests.structures import make_chain

SPLIT = ("train", "train", "train", "valid", "valid", "test")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Six chains: c0_A, c1_A, c2_A for training, c3_A, c4_A for validation, c5_A for testing."""
    folder = tmp_path_factory.mktemp("pairs") / "store"
    with StoreWriter(folder) as writer:
        records = [writer.append(make_chain(14 + k, seed=k, entry=f"c{k}")) for k in range(6)]
        writer.seal([Placement(record, k, part) for k, (record, part) in enumerate(zip(records, SPLIT, strict=True))])
    return Store.open(folder)


def table(*rows: tuple[str, str], organism: str = "") -> PairTable:
    return PairTable(tuple(a for a, _ in rows), tuple(b for _, b in rows), (organism,) * len(rows), n_negative=0)


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_tables_are_read_plain_and_packed_with_and_without_the_optional_columns(tmp_path) -> None:
    one = write(tmp_path / "one.tsv", "protein_a\tprotein_b\na\tb\n c \td\n")
    two = write(
        tmp_path / "two.tsv.gz", "label\torganism\tprotein_b\tprotein_a\tmore\n1\tyeast\tf\te\tx\n0\tfly\th\tg\ty\n"
    )
    read = read_pairs([one, two])
    assert list(zip(read.first, read.second, strict=True)) == [("a", "b"), ("c", "d"), ("e", "f")]
    assert read.organism == ("", "", "yeast") and read.n_negative == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("protein_a\tpartner\na\tb\n", ("no column protein_b",)),
        ("protein_a\tprotein_b\na\tb\n\tb\n", ("line 3", "protein_a empty", "take the line out")),
        ("protein_a\tprotein_b\na\n", ("line 2", "1 cells")),
        ("protein_a\tprotein_b\tlabel\na\tb\t1\na\tc\tyes\n", ("line 3", "'yes'", "1, 0")),
        ("protein_a\tprotein_b\n", ("no row",)),
    ],
)
def test_a_damaged_table_says_where_and_what_to_do(tmp_path, text: str, words: tuple[str, ...]) -> None:
    path = write(tmp_path / "bad.tsv", text)
    with pytest.raises(InputError) as error:
        read_pairs([path])
    assert all(word in str(error.value) for word in ("bad.tsv", *words))


def test_a_table_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"none\.tsv.*no such file"):
        read_pairs([tmp_path / "none.tsv"])


def test_every_row_is_kept_or_counted(store) -> None:
    rows = [("c1_A", "c0_A"), ("c0_A", "c1_A"), ("c0_A", "copy"), ("copy", "c1_A"), ("c2_A", "c3_A"), ("c3_A", "c4_A"),
            ("c0_A", "gone"), ("gone", "never"), ("never", "c0_A"), ("copy", "c1_A"), ("lost", "c5_A")]  # fmt: skip
    pairs, report = placed(table(*rows), store, refused={"gone": "excluded", "copy": "duplicate", "kept": "excluded",
                                                         "lost": "duplicate"},
                           same_as={"copy": "c1_A", "lost": "kept"})  # fmt: skip
    found = {(store.keys[a], store.keys[b]) for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}
    assert found == {("c0_A", "c1_A"), ("c2_A", "c3_A"), ("c3_A", "c4_A")}
    assert report.rules == {"excluded": 3, "itself": 2, "absent": 1}
    assert {(r.protein, r.rule, r.n_pairs) for r in report.refused} == {
        ("copy", "itself", 2), ("gone", "excluded", 2), ("never", "absent", 1), ("lost", "excluded", 1),
    }  # fmt: skip
    assert report.n_rows == report.n_kept + report.n_repeated + report.n_negative + sum(report.rules.values()) == 11
    assert report.parts == {"train": 1, "valid": 1, "test": 0} and report.n_across == 1


def test_pairs_come_back_and_equal_pairs_give_equal_bytes(store) -> None:
    rows = [("c4_A", "c0_A"), ("c1_A", "c2_A"), ("c0_A", "c2_A")]
    pairs, _ = placed(table(*rows, organism="yeast"), store, refused={}, same_as={})
    pairs.write(store, tables="x")
    content = store.pairs_path.read_bytes()
    read = Pairs.of(store)
    assert (read.first < read.second).all() and read.names == ("yeast",) and read.digest() == pairs.digest()
    other, _ = placed(table(*[row[::-1] for row in reversed(rows)], organism="yeast"), store, refused={}, same_as={})
    other.write(store, tables="x")
    assert store.pairs_path.read_bytes() == content
    fewer, _ = placed(table(*rows[1:], organism="yeast"), store, refused={}, same_as={})
    assert fewer.digest() != pairs.digest()
    assert read.among(store.split("train")).tolist() == [0, 2] and not len(read.among(store.split("valid")))


def test_a_compact_store_keeps_its_pairs(store, tmp_path) -> None:
    pairs, _ = placed(table(("c4_A", "c0_A")), store, refused={}, same_as={})
    pairs.write(store, tables="x")
    compact = Store.open(store.compact(tmp_path / "small.safetensors"))
    assert Pairs.of(compact).digest() == pairs.digest()
    assert {path.name for path in tmp_path.iterdir()} == {"small.safetensors", "small.pairs.safetensors"}


def test_a_store_without_pairs_or_with_those_of_another_one_says_so(store, tmp_path) -> None:
    with StoreWriter(tmp_path / "store") as writer:
        writer.append(make_chain(20, entry="other"))
        writer.seal()
    other = Store.open(tmp_path / "store")
    with pytest.raises(InputError, match="--pairs TABLE"):
        Pairs.of(other)
    placed(table(("c4_A", "c0_A")), store, refused={}, same_as={})[0].write(store, tables="x")
    other.pairs_path.write_bytes(store.pairs_path.read_bytes())
    with pytest.raises(InputError, match="other chains"):
        Pairs.of(other)


def test_columns_of_unequal_length_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="lengths"):
        Pairs(np.zeros(2, np.int32), np.zeros(1, np.int32), np.zeros(2, np.int16), ("",))
