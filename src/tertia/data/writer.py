"""Write a store: chains go to a journal first, and become shards when the store is sealed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tertia.data.columns import Columns, write_columns
from tertia.data.journal import Journal
from tertia.data.record import ATOM_COLUMNS, RESIDUE_COLUMNS, WIDTH, Vocabulary, chain_columns
from tertia.data.store import FORMAT, INDEX, SPLITS, shard_name
from tertia.errors import InputError
from tertia.structure.chain import Chain, key_of

JOURNAL = "journal.bin"
CHAIN, NOTE = b"C", b"N"
"""Kinds of journal records: a chain, and anything else its writer wants to remember (JSON)."""

SHARD_RESIDUES = 1_000_000
"""Residues a shard; about 180 MB with all heavy atoms."""


@dataclass(frozen=True)
class Placement:
    """Where a chain of the journal goes: its record, its identity cluster and its part."""

    record: int
    cluster: int = -1
    split: str = ""  # "train", "valid", "test" or "" for none


@dataclass(frozen=True)
class Summary:
    """One chain of a journal."""

    record: int
    key: str
    sequence: str
    n_seen: int
    meta: Mapping[str, object]


class StoreWriter:
    """Add chains to a store folder, new or existing; a kill at any byte loses no chain whose `append` had returned.

    >>> with StoreWriter(folder) as writer:          # doctest: +SKIP
    ...     writer.append(chain)
    ...     writer.seal()
    """

    def __init__(self, path: str | Path, *, shard_residues: int = SHARD_RESIDUES) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._shard_residues = shard_residues
        self.journal = Journal(self.path / JOURNAL)
        self._drop_sealed_records()
        self._old_keys = _sealed_keys(self.path)
        self.record_of_key: dict[str, int] = {}
        self._learn_keys()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder; chains that were not sealed wait in the journal for the next writer."""
        empty = len(self.journal) == 0
        self.journal.close()
        if empty:
            (self.path / JOURNAL).unlink(missing_ok=True)

    def append(self, chain: Chain) -> int:
        """Add a chain and return its record number; raises InputError when the store has its key already."""
        if chain.key in self.record_of_key or chain.key in self._old_keys:
            raise InputError(str(self.path), chain.key, found="is in the store already", allowed="each key once")
        number = self.journal.append(CHAIN, _packed(chain))
        self.record_of_key[chain.key] = number
        return number

    def note(self, values: object) -> int:
        """Remember something (JSON) among the records, in order; `notes` gives it back after a kill."""
        return self.journal.append(NOTE, json.dumps(values, sort_keys=True).encode())

    def notes(self) -> Iterator[tuple[int, object]]:
        """Yield (record number, values) of all notes in order."""
        for number in range(len(self.journal)):
            if self.journal.kind(number) == NOTE:
                yield number, json.loads(self.journal.read(number))

    def forget_after_last_note(self) -> None:
        """Drop the chains behind the last note: those of a file that was being read when a run was killed."""
        last = max((number for number, _ in self.notes()), default=-1)
        self.journal.cut(last + 1)
        self._learn_keys()

    def summary(self, number: int) -> Summary:
        """Return what there is to know of a journal's chain without building it."""
        columns, _ = _unpacked(self.journal.read(number))
        text = json.loads(columns["text"].tobytes())
        n_seen = int(np.isfinite(columns["alpha"][:, 0]).sum())
        sequence = columns["sequence"].tobytes().decode("ascii")
        return Summary(number, key_of(text["entry"], text["id"]), sequence, n_seen, text["meta"])

    def seal(
        self, placements: Sequence[Placement] | None = None, *, ledger: Mapping[str, object] | None = None
    ) -> None:
        """Turn the journal's chains into shards behind those that are there, then forget the journal.

        Parameters
        ----------
        placements: which chains, in the order they shall stand in; all in order of arrival by default.
        ledger: leak ledger to keep (the store's old one by default).
        """
        if placements is None:
            placements = [Placement(number) for number in self.record_of_key.values()]
        old = Columns(self.path / INDEX) if (self.path / INDEX).is_file() else None
        first_of_shard = old["first_of_shard"].tolist() if old else [0]
        parts: list[dict[str, np.ndarray]] = []
        for number, group in enumerate(self._shard_groups(placements), start=len(first_of_shard) - 1):
            parts.append(self._write_shard(number, group))
            first_of_shard.append(first_of_shard[-1] + len(group))
        index = _joined_index(old, parts)
        index["first_of_shard"] = np.array(first_of_shard, np.int64)
        kept = old["ledger"] if old and ledger is None else json.dumps(ledger or {}, sort_keys=True).encode()
        index["ledger"] = np.frombuffer(bytes(kept), np.uint8)
        # This rename is the moment from which the new chains are in the store.
        write_columns(self.path / INDEX, index, meta=FORMAT | {"sealed_records": str(len(self.journal))})
        self._forget_journal()

    def _forget_journal(self) -> None:
        self.journal.path.unlink()
        self.journal.close()
        write_columns(self.path / INDEX, _all(Columns(self.path / INDEX)), meta=FORMAT)
        self.journal = Journal(self.path / JOURNAL)
        self._old_keys = _sealed_keys(self.path)
        self.record_of_key = {}

    def _drop_sealed_records(self) -> None:
        """Finish a `seal` that was killed between its two renames: its chains are in the index already."""
        if not (self.path / INDEX).is_file():
            return
        sealed = Columns(self.path / INDEX).meta.get("sealed_records")
        if sealed is None:
            return
        self.journal.path.unlink()
        self.journal.close()
        write_columns(self.path / INDEX, _all(Columns(self.path / INDEX)), meta=FORMAT)
        self.journal = Journal(self.path / JOURNAL)

    def _learn_keys(self) -> None:
        chains = (number for number in range(len(self.journal)) if self.journal.kind(number) == CHAIN)
        self.record_of_key = {self.summary(number).key: number for number in chains}

    def _shard_groups(self, placements: Iterable[Placement]) -> Iterator[list[Placement]]:
        group: list[Placement] = []
        n_residues = 0
        for placement in placements:
            length = _packed_length(self.journal.read(placement.record))
            if group and n_residues + length > self._shard_residues:
                yield group
                group, n_residues = [], 0
            group.append(placement)
            n_residues += length
        if group:
            yield group

    def _write_shard(self, number: int, group: Sequence[Placement]) -> dict[str, np.ndarray]:
        """Write one shard and return the index rows of its chains."""
        records = [_unpacked(self.journal.read(placement.record)) for placement in group]
        vocabulary = sorted({pair for _, pairs in records for pair in pairs})
        place = {pair: code for code, pair in enumerate(vocabulary)}
        for columns, pairs in records:
            code_of_code = np.array([place[pair] for pair in pairs], np.uint16)
            columns["atom_code"] = code_of_code[columns["atom_code"]] if len(pairs) else columns["atom_code"]
        names = (*RESIDUE_COLUMNS, *ATOM_COLUMNS, "text")
        flat = {name: np.concatenate([columns[name] for columns, _ in records]) for name in names}
        flat["text_offsets"] = _offsets([len(columns["text"]) for columns, _ in records])
        flat["atom_offsets"] = _offsets([len(columns["coord"]) for columns, _ in records])
        write_columns(self.path / shard_name(number), flat, meta={"vocabulary": json.dumps(vocabulary)})
        return _index_rows(group, [columns for columns, _ in records])


def _index_rows(group: Sequence[Placement], records: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    texts = [json.loads(columns["text"].tobytes()) for columns in records]
    keys = [key_of(text["entry"], text["id"]).encode() for text in texts]
    return {
        "key": np.frombuffer(b"".join(keys), np.uint8),
        "key_length": np.array([len(key) for key in keys], np.int64),
        "entry_length": np.array([len(text["entry"]) for text in texts], np.int32),
        "length": np.array([len(columns["sequence"]) for columns in records], np.int32),
        "n_seen": np.array([int(np.isfinite(columns["alpha"][:, 0]).sum()) for columns in records], np.int32),
        "cluster": np.array([placement.cluster for placement in group], np.int32),
        "split": np.array([SPLITS.index(placement.split) for placement in group], np.uint8),
    }


def _joined_index(old: Columns | None, parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Put new index rows behind the old ones and sort the keys anew."""
    names = {"key": np.uint8, "entry_length": np.int32, "length": np.int32, "n_seen": np.int32, "cluster": np.int32}
    names["split"] = np.uint8
    before = [{name: old[name] for name in names} | {"key_length": np.diff(old["key_offsets"])}] if old else []
    index = {
        name: np.concatenate([np.empty(0, dtype), *(part[name] for part in [*before, *parts])]).astype(dtype)
        for name, dtype in (names | {"key_length": np.int64}).items()
    }
    index["key_offsets"] = _offsets(index.pop("key_length"))
    text, offsets = index["key"].tobytes(), index["key_offsets"].tolist()
    keys = [text[start:stop] for start, stop in itertools.pairwise(offsets)]
    index["key_order"] = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
    return index


def _offsets(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _all(columns: Columns) -> dict[str, np.ndarray]:
    return {name: columns[name] for name in columns}


def _sealed_keys(path: Path) -> set[str]:
    from tertia.data.store import Store

    return set(Store.open(path).keys) if (path / INDEX).is_file() else set()


_COLUMNS = {**RESIDUE_COLUMNS, **ATOM_COLUMNS, "text": np.uint8}


def _packed(chain: Chain) -> bytes:
    """Return a chain as one journal record: a JSON line of row counts and vocabulary, then the columns."""
    columns, vocabulary = chain_columns(chain)
    head = {"rows": [len(columns[name]) for name in _COLUMNS], "vocabulary": vocabulary}
    body = b"".join(np.ascontiguousarray(columns[name], dtype).tobytes() for name, dtype in _COLUMNS.items())
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + body


def _packed_length(payload: bytes) -> int:
    head = json.loads(payload[: payload.index(b"\n")])
    return head["rows"][list(_COLUMNS).index("sequence")]


def _unpacked(payload: bytes) -> tuple[dict[str, np.ndarray], Vocabulary]:
    start = payload.index(b"\n") + 1
    head = json.loads(payload[:start])
    columns = {}
    for (name, dtype), n_rows in zip(_COLUMNS.items(), head["rows"], strict=True):
        width = WIDTH.get(name, 1)
        values = np.frombuffer(payload, dtype, n_rows * width, start) if n_rows else np.empty(0, dtype)
        columns[name] = values.reshape(-1, width) if width > 1 else values
        start += values.nbytes
    return columns, [tuple(pair) for pair in head["vocabulary"]]
