"""Store and writer: chains come back unchanged, from any process, after any kill."""

from __future__ import annotations

import multiprocessing
from dataclasses import fields, replace
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from safetensors.numpy import load_file

from tertia.data.journal import Journal
from tertia.data.record import fold_runs, unfold_runs
from tertia.data.store import Store
from tertia.data.writer import JOURNAL, Placement, StoreWriter
from tertia.errors import InputError
from tertia.residues import letter_indices
from tests.structures import make_chain


def chains(n: int = 7) -> list:
    made = [make_chain(20 + 11 * k, k, entry=f"e{9 - k}", missing=range(k % 3)) for k in range(n)]
    odd = replace(
        made[0], entry="odd", residue_id=("", "", "-3", "52A", *made[0].residue_id[4:]),
        label_number=np.arange(5, 25, dtype=np.int32), meta={"method": "x-ray", "resolution": 1.5},
        sequence="UX" + made[0].sequence[2:],
    )  # fmt: skip
    return [*made, odd, replace(made[0], entry="none", atoms=None)]


def written(folder, items, **options):
    with StoreWriter(folder, **options) as writer:
        for chain in items:
            writer.append(chain)
        writer.seal()
    return Store.open(folder)


def same(left, right) -> None:
    for column in ("entry", "id", "sequence", "residue_id", "frame"):
        assert getattr(left, column) == getattr(right, column)
    assert dict(left.meta) == dict(right.meta)
    np.testing.assert_array_equal(left.label_number, right.label_number)
    np.testing.assert_array_equal(left.alpha, right.alpha)
    assert (left.atoms is None) == (right.atoms is None)
    for column in fields(left.atoms) if left.atoms else ():
        a, b = getattr(left.atoms, column.name), getattr(right.atoms, column.name)
        np.testing.assert_array_equal(a, b)
        assert a.dtype.kind == b.dtype.kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("store")
    written(path, chains(), shard_residues=100)
    return path


def test_chains_come_back_unchanged_over_several_shards(folder):
    store = Store.open(folder)
    expected = chains()
    assert len(list(folder.glob("shard-*"))) > 2
    assert len(store) == len(expected) and store.keys == [chain.key for chain in expected]
    for position, chain in enumerate(expected):
        same(store[position], chain)
        same(store[chain.key], chain)
        coord, letter = store.alpha(position)
        np.testing.assert_array_equal(coord, chain.alpha)
        np.testing.assert_array_equal(letter, letter_indices(chain.sequence))
        assert (store.entry(position), store.n_seen[position]) == (chain.entry, chain.seen.sum())
        assert store.position(chain.key) == position and chain.key in store
    np.testing.assert_array_equal(store.lengths, [len(chain) for chain in expected])
    same(store[-1], expected[-1])


def test_wrong_keys_and_positions_are_refused(folder):
    store = Store.open(folder)
    assert "nothing_A" not in store
    for ask in (lambda: store.position("zzz"), lambda: store.split("training"), lambda: store["e9"]):
        with pytest.raises(InputError):
            ask()
    for ask in (lambda: store[len(store)], lambda: store.alpha(len(store)), lambda: store.alpha(-len(store) - 1)):
        with pytest.raises(IndexError):
            ask()
    np.testing.assert_array_equal(store.alpha(-1)[0], store.alpha(len(store) - 1)[0])


def test_the_safetensors_library_reads_the_same_columns(folder):
    shard = load_file(folder / "shard-00000.safetensors")
    np.testing.assert_array_equal(shard["alpha"][:20], chains()[0].alpha)
    assert load_file(folder / "index.safetensors")["length"].tolist() == Store.open(folder).lengths.tolist()


def test_views_are_read_only(folder):
    coord, _ = Store.open(folder).alpha(0)
    with pytest.raises(ValueError):
        coord[0] = 0


def test_compact_file_has_the_same_alphas_and_index(folder, tmp_path):
    store = Store.open(folder)
    compact = Store.open(store.compact(tmp_path / "corpus.safetensors"))
    assert compact.keys == store.keys
    for position, chain in enumerate(store):
        for mine, other in zip(compact.alpha(position), store.alpha(position), strict=True):
            np.testing.assert_array_equal(mine, other)
        slim = compact[position]
        assert (slim.sequence, slim.residue_id, slim.meta) == (chain.sequence, chain.residue_id, chain.meta)
        np.testing.assert_array_equal(slim.alpha, chain.alpha)
        assert slim.atoms is None or set(slim.atoms.name.tolist()) <= {"CA"}
    assert (
        compact.compact(tmp_path / "again.safetensors").read_bytes() == (tmp_path / "corpus.safetensors").read_bytes()
    )


def test_appending_later_equals_writing_at_once(tmp_path):
    items = chains()
    written(tmp_path / "twice", items[:4])
    store = written(tmp_path / "twice", items[4:])
    for position, chain in enumerate(items):
        same(store[position], chain)
        assert store.position(chain.key) == position
    with StoreWriter(tmp_path / "twice") as writer, pytest.raises(InputError, match="in the store already"):
        writer.append(items[2])
    assert not (tmp_path / "twice" / JOURNAL).exists()


def test_placements_choose_order_cluster_and_split(tmp_path):
    items = chains(4)
    with StoreWriter(tmp_path) as writer:
        numbers = [writer.append(chain) for chain in items]
        writer.seal(
            [Placement(numbers[2], 5, "valid"), Placement(numbers[0], 7, "train"), Placement(numbers[1], 5, "test")],
            ledger={"identity": 0.3},
        )
    store = Store.open(tmp_path)
    assert store.keys == [items[2].key, items[0].key, items[1].key]
    assert store.cluster.tolist() == [5, 7, 5]
    assert [store.split(name).tolist() for name in ("train", "valid", "test")] == [[1], [0], [2]]
    assert store.split("train").dtype == np.int64
    assert store.ledger() == {"identity": 0.3}


def test_a_journal_cut_at_any_byte_keeps_every_whole_record(tmp_path):
    path = tmp_path / "journal.bin"
    payloads = [b"", b"one", b"two" * 30]
    with Journal(path) as journal:
        for payload in payloads:
            journal.append(b"C", payload)
    whole = path.read_bytes()
    ends = [len(whole) - sum(len(p) + 20 for p in payloads[k:]) for k in range(4)]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            n_whole = sum(end <= cut for end in ends[1:])
            assert [journal.read(k) for k in range(len(journal))] == payloads[:n_whole]
            journal.append(b"N", b"after")
        with Journal(path) as journal:
            assert journal.read(len(journal) - 1) == b"after" and len(journal) == n_whole + 1


def test_a_flipped_bit_ends_the_journal_before_it(tmp_path):
    path = tmp_path / "journal.bin"
    with Journal(path) as journal:
        for payload in (b"first", b"second"):
            journal.append(b"C", payload)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with Journal(path) as journal:
        assert len(journal) == 1 and journal.read(0) == b"first"


def test_a_residue_of_too_many_atoms_is_refused(tmp_path):
    chain = make_chain(3, seed=0)
    n = 65_536
    atoms = chain.atoms
    first = {column.name: np.repeat(getattr(atoms, column.name)[:1], n, axis=0) for column in fields(atoms)}
    with StoreWriter(tmp_path / "store") as writer:
        with pytest.raises(InputError, match="residue 1 has 65,536 atoms"):
            writer.append(replace(chain, atoms=type(atoms)(**first)))
        assert writer.append(chain) == 0


def test_two_writers_at_once_are_refused(tmp_path):
    with StoreWriter(tmp_path), pytest.raises(InputError, match="another run"):
        StoreWriter(tmp_path)


def test_unfinished_and_foreign_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a store"):
        Store.open(tmp_path)
    with StoreWriter(tmp_path) as writer:
        writer.append(make_chain(20))
    with pytest.raises(InputError, match="has not finished"):
        Store.open(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "header", "empty"])
def test_damaged_files_are_refused(folder, tmp_path, damage):
    data = bytearray((folder / "index.safetensors").read_bytes())
    path = tmp_path / "index.safetensors"
    path.write_bytes({"cut": data[:-9], "header": b"\xff" * 8 + data[8:], "empty": b""}[damage])
    with pytest.raises(InputError):
        Store.open(path)


@pytest.mark.parametrize("step", ["write_columns", "unlink", "second write"])
def test_a_seal_killed_at_any_step_ends_in_the_same_files(tmp_path, monkeypatch, step):
    """Stop `seal` after each of its file operations; the next writer must come to the uninterrupted bytes."""
    import tertia.data.writer as module

    written(tmp_path / "whole", chains(), shard_residues=100)
    writer = StoreWriter(tmp_path / "cut", shard_residues=100)
    for chain in chains():
        writer.append(chain)
    real, calls = module.write_columns, []

    class Killed(BaseException):
        pass

    def failing(path, columns, *, meta):
        calls.append(path.name)
        n_index = calls.count("index.safetensors")
        if (step == "write_columns" and len(calls) == 2) or (step == "second write" and n_index == 2):
            raise Killed
        real(path, columns, meta=meta)
        if step == "unlink" and n_index == 1:
            raise Killed

    monkeypatch.setattr(module, "write_columns", failing)
    with pytest.raises(Killed):
        writer.seal()
    writer.journal._handle.close()
    monkeypatch.undo()
    with StoreWriter(tmp_path / "cut", shard_residues=100) as again:
        if again.record_of_key:
            again.seal()
    files = {path.name: path.read_bytes() for path in (tmp_path / "cut").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}


def _alphas(store, positions):
    return [store.alpha(position)[0].tobytes() for position in positions]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_many_processes_read_one_store(folder, method):
    store = Store.open(folder)
    positions = list(range(len(store)))
    expected = _alphas(store, positions)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_alphas, [(store, positions)] * 4) == [expected] * 4


def test_a_store_goes_to_another_process_as_a_path(folder):
    assert len(ForkingPickler.dumps(Store.open(folder))) < 500


@pytest.mark.parametrize(
    "labels",
    [[], [""], ["1", "2", "3"], ["9", "8"], ["-2", "-1", "0", "1"], ["52", "52A", "53"], ["", "", "7"], ["07", "8"],
     ["a b"], ["1:2"], ["~3"], ["--1"], ["٣"]],
)  # fmt: skip
def test_folded_labels_come_back(labels):
    assert unfold_runs(fold_runs(labels)) == labels
