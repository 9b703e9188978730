"""Pairs of proteins that bind: read from tables, mapped to the chains of a store, and kept beside them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tertia.data.columns import Columns, write_columns
from tertia.data.preparation import PairRefusal, PairReport
from tertia.data.split import PARTS
from tertia.data.store import Store
from tertia.data.tables import one_of, read_rows
from tertia.errors import InputError

COLUMNS = ("protein_a", "protein_b")
_BINDS = {"1": True, "0": False}
_FORMAT = {"format": "tertia-pairs", "version": "1"}
_MOST_ORGANISMS = np.iinfo(np.int16).max


@dataclass(frozen=True)
class PairTable:
    """Pairs by the names of their proteins, in the order of the tables; three columns of equal length."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    organism: tuple[str, ...]  # "" where a table does not say
    n_negative: int  # rows with label 0, of which nothing is remembered

    def digest(self) -> str:
        """Return a hash of all rows."""
        rows = zip(self.first, self.second, self.organism, strict=True)
        text = "\n".join(map("\t".join, rows)) + f"\n{self.n_negative}"
        return hashlib.sha256(text.encode()).hexdigest()


def read_pairs(paths: Sequence[str | Path]) -> PairTable:
    """Read tables of pairs that bind: tab-separated with a header, gz or not.

    Columns `protein_a` and `protein_b` hold names, `organism` (optional) where both are from, and `label` (optional) 1
    for pairs that bind and 0 for others, which are counted and left out. Other columns are ignored.

    Raises
    ------
    InputError: with file and line, for a table that is missing or damaged, an empty name, or another label.
    """
    first, second, organism, n_negative = [], [], [], 0
    for path in map(Path, paths):
        if not path.is_file():
            raise InputError(str(path), found="there is no such file", allowed="a table of pairs (TSV, gz or not)")
        for line, row in enumerate(read_rows(path, COLUMNS), start=2):
            where = f"line {line}"
            empty = [name for name in COLUMNS if not row[name].strip()]
            if empty:
                found, hint = f"{' and '.join(empty)} empty", "give both proteins of a pair, or take the line out"
                raise InputError(str(path), where, found=found, allowed="the name of a protein", hint=hint)
            if "label" in row and not one_of(row, "label", _BINDS, path=path, entry=where):
                n_negative += 1
                continue
            # A name stands in many rows: one copy of it is enough.
            first.append(sys.intern(row["protein_a"].strip()))
            second.append(sys.intern(row["protein_b"].strip()))
            organism.append(sys.intern(row.get("organism", "").strip()))
    return PairTable(tuple(first), tuple(second), tuple(organism), n_negative)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of chains that bind, each once, by their positions in a store; the smaller position is `first`."""

    first: np.ndarray  # (P,) int32 position in the store
    second: np.ndarray  # (P,) int32
    organism: np.ndarray  # (P,) int16 place in `names`
    names: tuple[str, ...]  # organisms; "" where a table does not say

    def __post_init__(self) -> None:
        if not len(self.first) == len(self.second) == len(self.organism):
            raise ValueError("first, second and organism are of different lengths")

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def of(cls, store: Store) -> Pairs:
        """Return the pairs that lie beside a store.

        Raises InputError when there are none, or when they belong to another store.
        """
        path = store.pairs_path
        if not path.is_file():
            raise InputError(str(store.path), found="has no pairs beside its chains", allowed=str(path),
                             hint="repeat `tertia prepare` with --pairs TABLE")  # fmt: skip
        columns = Columns(path)
        found = {name: columns.meta.get(name) for name in _FORMAT}
        if found != _FORMAT:
            raise InputError(str(path), found=f"has the format {found}", allowed=str(_FORMAT))
        if columns.meta.get("store") != chains_digest(store):
            raise InputError(str(path), found="belongs to a store of other chains",
                             hint="repeat `tertia prepare` with --pairs TABLE")  # fmt: skip
        names = tuple(json.loads(columns.meta["organisms"]))
        return cls(columns["first"], columns["second"], columns["organism"], names)

    def write(self, store: Store, *, tables: str) -> None:
        """Put the pairs beside a store, atomically; equal pairs give equal bytes. `tables` is `PairTable.digest()`."""
        columns = {"first": self.first.astype(np.int32), "second": self.second.astype(np.int32),
                   "organism": self.organism.astype(np.int16)}  # fmt: skip
        meta = {"store": chains_digest(store), "tables": tables, "organisms": json.dumps(self.names)}
        write_columns(store.pairs_path, columns, meta=_FORMAT | meta)

    def among(self, positions: np.ndarray) -> np.ndarray:
        """Return (n,) int64, which pairs have both chains among these positions of the store."""
        inside = np.zeros(1 + max(int(column.max(initial=0)) for column in (self.second, positions)), bool)
        inside[positions] = True
        return np.flatnonzero(inside[self.first] & inside[self.second])

    @cached_property
    def keys(self) -> np.ndarray:
        """(P,) int64 sorted, one number a pair, see `pair_keys`."""
        return np.sort(pair_keys(self.first, self.second))

    def digest(self) -> str:
        """Return a hash of the pairs and their organisms."""
        parts = (self.first.astype("<i4"), self.second.astype("<i4"), self.organism.astype("<i2"))
        content = b"".join(part.tobytes() for part in parts) + json.dumps(self.names).encode()
        return hashlib.sha256(content).hexdigest()


def pair_keys(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (n,) int64, one number a pair of positions, the same in both orders."""
    return np.minimum(first, second).astype(np.int64) << 32 | np.maximum(first, second).astype(np.int64)


def tables_of(store: Store) -> str:
    """Return the digest of the tables that the pairs beside a store come from; "" without pairs."""
    return Columns(store.pairs_path).meta.get("tables", "") if store.pairs_path.is_file() else ""


def chains_digest(store: Store) -> str:
    """Return a hash of which chain stands where in a store, the same for its compact copy."""
    return hashlib.sha256("\n".join(store.keys).encode()).hexdigest()


def placed(
    table: PairTable, store: Store, *, refused: Mapping[str, str], same_as: Mapping[str, str]
) -> tuple[Pairs, PairReport]:
    """Map pairs of names to pairs of chains, each once; count what is refused, and by which protein.

    Parameters
    ----------
    refused: rule by which a chain of this name was kept out of the store; names that are neither in the store nor here
        are "absent".
    same_as: name of the chain of the same sequence that was taken in a chain's place.
    """
    place = {key: position for position, key in enumerate(store.keys)}
    blame: Counter[tuple[str, str]] = Counter()
    first, second, organism = [], [], []
    for *pair, origin in zip(table.first, table.second, table.organism, strict=True):
        names = [same_as.get(name, name) if name not in place else name for name in pair]
        missing = [(name, refused.get(kept, "absent")) for name, kept in zip(pair, names, strict=True)
                   if kept not in place]  # fmt: skip
        if not missing and names[0] == names[1]:
            # The letters that are hidden in one copy would stand open in the other one.
            missing = [(pair[0], "itself")]
        if missing:
            blame[missing[0]] += 1
        else:
            first.append(place[names[0]])
            second.append(place[names[1]])
            organism.append(origin)
    pairs = _folded(np.array(first, np.int64), np.array(second, np.int64), organism)
    return pairs, _report(pairs, store, table, blame)


def _folded(first: np.ndarray, second: np.ndarray, organism: Sequence[str]) -> Pairs:
    """Return every pair once, in the order of positions; what the first row of it says of the organism counts."""
    keys, rows = np.unique(pair_keys(first, second), return_index=True)
    origins = [organism[row] for row in rows.tolist()]
    names = tuple(sorted(set(origins)))
    if len(names) > _MOST_ORGANISMS:
        raise InputError("pairs", found=f"{len(names):,} organisms", allowed=f"{_MOST_ORGANISMS:,} at most")
    code = {name: number for number, name in enumerate(names)}
    return Pairs(
        (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32),
        np.array([code[name] for name in origins], np.int16), names,
    )  # fmt: skip


def _report(pairs: Pairs, store: Store, table: PairTable, blame: Mapping[tuple[str, str], int]) -> PairReport:
    parts = {name: len(pairs.among(store.split(name))) for name in PARTS}
    rules: Counter[str] = Counter()
    for (_, rule), count in blame.items():
        rules[rule] += count
    return PairReport(
        tables=table.digest(), n_rows=len(table.first) + table.n_negative, n_negative=table.n_negative,
        n_repeated=len(table.first) - sum(rules.values()) - len(pairs), n_kept=len(pairs),
        n_across=len(pairs) - sum(parts.values()), parts=parts,
        rules=dict(sorted(rules.items(), key=lambda row: (-row[1], row[0]))),
        refused=tuple(sorted(PairRefusal(protein, rule, count) for (protein, rule), count in blame.items())),
    )  # fmt: skip
