"""Read many chains from disk: random access to ragged chains, shared by worker processes, nothing loaded ahead.

A store is a folder: `index.safetensors` has one row a chain, `shard-00000.safetensors` ... hold residues and atoms of
consecutive chains as flat columns with offsets. A compact store is one safetensors file with index and C-alphas.
Reading needs numpy only. Why it is so: docs/adr/0002-store.md.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from tertia.data.columns import Column, Columns, replaced, write_columns
from tertia.data.record import ATOM_COLUMNS, RESIDUE_COLUMNS, columns_chain
from tertia.errors import InputError
from tertia.structure.chain import Chain

INDEX = "index.safetensors"
PAIRS = "pairs.safetensors"
FORMAT = {"format": "tertia-store", "version": "1"}
SPLITS = ("", "train", "valid", "test")
"""Names of the split codes; 0 means not split."""


class Store:
    """Chains on disk, by position 0 .. n-1 or by key. Open it with `Store.open`.

    A store may be inherited over a fork, and is opened anew when sent to another process; it is never written to.
    """

    def __init__(self, path: Path, index: Columns, shards: Sequence[Shard]) -> None:
        self.path = path
        self._index = index
        self._shards = tuple(shards)
        self._offsets = np.zeros(len(index["length"]) + 1, np.int64)
        np.cumsum(index["length"], out=self._offsets[1:])
        self._first_of_shard = index["first_of_shard"].tolist()
        self._residue_of_shard = self._offsets[index["first_of_shard"]].tolist()
        self._alpha: list[np.ndarray | None] = [None] * len(self._shards)
        self._letter: list[np.ndarray | None] = [None] * len(self._shards)

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a store folder or a compact store file.

        Raises InputError when it is neither, is not finished, or is damaged.
        """
        path = Path(path)
        index_path = path / INDEX if path.is_dir() else path
        if not index_path.is_file():
            unfinished = (path / "journal.bin").is_file()
            raise InputError(
                str(path),
                found="is a store whose writing has not finished" if unfinished else "is not a store",
                allowed="a folder made by `tertia prepare`, or a compact store file",
                hint="run the same `tertia prepare` again: it continues where it stopped" if unfinished else "",
            )
        index = Columns(index_path)
        found = {name: index.meta.get(name) for name in FORMAT}
        if found != FORMAT:
            raise InputError(str(index_path), found=f"has the format {found}", allowed=str(FORMAT))
        if "alpha" in index:
            return cls(path, index, [Shard(index)])
        shards = [Shard(path / shard_name(number)) for number in range(len(index["first_of_shard"]) - 1)]
        return cls(path, index, shards)

    def __reduce__(self):
        return Store.open, (self.path,)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[Chain]:
        return (self[position] for position in range(len(self)))

    def __repr__(self) -> str:
        bare = "" if self.has_coordinates else ", no coordinates"
        return f"Store({str(self.path)!r}, {len(self):,} chains, {self.n_residues:,} residues{bare})"

    def alpha(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return C-alpha coordinates (L, 3) float32, Angstrom, NaN where missing, and letter indices (L,) uint8.

        Both are read-only views on the memory map; copy before changing them.
        """
        shard = bisect_right(self._first_of_shard, position) - 1
        if position < 0 or shard >= len(self._shards):
            position = self._checked(position)
            shard = bisect_right(self._first_of_shard, position) - 1
        alpha = self._alpha[shard]
        if alpha is None:
            columns = self._shards[shard].columns
            alpha = self._alpha[shard] = columns["alpha"]
            self._letter[shard] = columns["letter"]
        base = self._residue_of_shard[shard]
        start, stop = self._offsets.item(position) - base, self._offsets.item(position + 1) - base
        return alpha[start:stop], self._letter[shard][start:stop]

    def __getitem__(self, position: int | str) -> Chain:
        """Return a chain with all its heavy atoms, by position or key (a compact store has C-alphas only)."""
        position = self.position(position) if isinstance(position, str) else self._checked(position)
        shard = bisect_right(self._first_of_shard, position) - 1
        return self._shards[shard].chain(position - self._first_of_shard[shard], self._residues(position, shard))

    def meta(self, position: int) -> dict:
        """Return id, frame, residue ids and the meta of a chain without touching its coordinates."""
        position = self._checked(position)
        shard = bisect_right(self._first_of_shard, position) - 1
        return json.loads(self._shards[shard].text(position - self._first_of_shard[shard]))

    def key(self, position: int) -> str:
        """Return the key of a chain, "1abc_A"."""
        position = self._checked(position)
        offsets = self._index["key_offsets"]
        return self._index["key"][offsets[position] : offsets[position + 1]].tobytes().decode()

    @cached_property
    def keys(self) -> list[str]:
        """All keys in order; made on first use (a million take a second)."""
        text, offsets = self._index["key"].tobytes(), self._index["key_offsets"].tolist()
        return [text[start:stop].decode() for start, stop in itertools.pairwise(offsets)]

    def position(self, key: str) -> int:
        """Return the position of a key; raises InputError when the store does not have it."""
        order = self._index["key_order"]
        low, high = 0, len(order)
        wanted = key.encode()
        while low < high:
            middle = (low + high) // 2
            if self.key(int(order[middle])).encode() < wanted:
                low = middle + 1
            else:
                high = middle
        if low < len(order) and self.key(int(order[low])) == key:
            return int(order[low])
        raise InputError(str(self.path), key, found="is not in this store", hint="`store.keys` lists what is")

    def __contains__(self, key: str) -> bool:
        try:
            self.position(key)
        except InputError:
            return False
        return True

    def split(self, name: str) -> np.ndarray:
        """Return the positions (n,) int64 of one part: "train", "valid" or "test"."""
        if name not in SPLITS[1:]:
            raise InputError(str(self.path), found=f"has no split {name!r}", allowed=", ".join(SPLITS[1:]))
        return np.flatnonzero(self._index["split"] == SPLITS.index(name))

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int32 residues of each chain, missing ones included."""
        return self._index["length"]

    @property
    def n_seen(self) -> np.ndarray:
        """(n,) int32 residues of each chain that have a C-alpha."""
        return self._index["n_seen"]

    @property
    def has_coordinates(self) -> bool:
        """Whether any chain has coordinates; a store made of FASTA files has none."""
        return bool(np.any(self.n_seen))

    @property
    def cluster(self) -> np.ndarray:
        """(n,) int32 identity cluster of each chain; -1 where not clustered."""
        return self._index["cluster"]

    @property
    def pairs_path(self) -> Path:
        """Where the pairs of chains lie, if there are any (`data.pairs`): in the folder, or beside a compact file."""
        return self.path / PAIRS if self.path.is_dir() else self.path.with_suffix(f".{PAIRS}")

    @property
    def n_residues(self) -> int:
        """Residues of all chains together."""
        return int(self._offsets[-1])

    def entry(self, position: int) -> str:
        """Return the entry of a chain, "1abc"."""
        position = self._checked(position)
        return self.key(position)[: int(self._index["entry_length"][position])]

    def ledger(self) -> dict:
        """Return the leak ledger: what was excluded, by which rule and tool, and which chain hit what."""
        return json.loads(self._index["ledger"].tobytes() or b"{}")

    def compact(self, path: str | Path) -> Path:
        """Write index and C-alphas as one file that `Store.open` reads too, for machines without the atoms.

        Pairs go into a second file beside it, `pairs_path`.
        """
        rows = {}
        n_rows = {name: self.n_residues for name in ("alpha", "letter", "sequence")}
        n_rows["text"] = int(sum(len(shard.columns["text"]) for shard in self._shards))
        for name, count in n_rows.items():
            shape = (count, 3) if name == "alpha" else (count,)
            dtype = np.dtype(RESIDUE_COLUMNS.get(name, np.uint8))
            rows[name] = Column(dtype, shape, _chunks(self._shards, name))
        lengths = [np.diff(shard.columns["text_offsets"]) for shard in self._shards]
        rows["text_offsets"] = np.concatenate([[0], np.cumsum(np.concatenate([[], *lengths]))]).astype(np.int64)
        index = {name: self._index[name] for name in self._index if name not in rows}
        index["first_of_shard"] = np.array([0, len(self)], np.int64)
        write_columns(Path(path), index | rows, meta=self._index.meta)
        if self.pairs_path.is_file():
            with replaced(Store.open(path).pairs_path) as handle:
                handle.write(self.pairs_path.read_bytes())
        return Path(path)

    def _checked(self, position: int) -> int:
        n_chains = len(self)
        if not -n_chains <= position < n_chains:
            raise IndexError(f"position {position} in a store of {n_chains} chains")
        return int(position) % n_chains

    def _residues(self, position: int, shard: int) -> slice:
        base = self._residue_of_shard[shard]
        return slice(self._offsets.item(position) - base, self._offsets.item(position + 1) - base)


class Shard:
    """Columns of consecutive chains; the file is mapped when the first of them is asked for."""

    def __init__(self, source: Path | Columns) -> None:
        self._source = source

    @cached_property
    def columns(self) -> Columns:
        return self._source if isinstance(self._source, Columns) else Columns(self._source)

    @cached_property
    def vocabulary(self) -> list[tuple[str, str]]:
        return [tuple(pair) for pair in json.loads(self.columns.meta.get("vocabulary", "[]"))]

    def text(self, row: int) -> bytes:
        """Return the JSON text of the row-th chain of this shard."""
        offsets = self.columns["text_offsets"]
        return self.columns["text"][offsets[row] : offsets[row + 1]].tobytes()

    def chain(self, row: int, residues: slice) -> Chain:
        """Return the row-th chain of this shard, whose residues stand in these rows."""
        values = {name: self.columns[name][residues] for name in RESIDUE_COLUMNS if name in self.columns}
        values["text"] = np.frombuffer(self.text(row), np.uint8)
        if "atom_offsets" in self.columns:
            start, stop = self.columns["atom_offsets"][row : row + 2].tolist()
            values |= {name: self.columns[name][start:stop] for name in ATOM_COLUMNS}
        return columns_chain(values, self.vocabulary)


def _chunks(shards: Sequence[Shard], name: str) -> Iterator[np.ndarray]:
    for shard in shards:
        yield shard.columns[name]


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{number:05d}.safetensors"
