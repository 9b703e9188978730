"""Keep test proteins out of a corpus: find the chains that neighbour them, and remember what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tertia.data.store import Store
from tertia.errors import InputError
from tertia.sequence.fasta import Record, is_fasta, read_fasta
from tertia.sequence.search import E_VALUE, Hit, near_either_way, searches_name

RULE = (
    "a chain is refused when its best local alignment with an excluded sequence has at least {identity:.0%} identical "
    "columns and an e-value of at most {e_value:g}, whatever part of the two it covers, by any of the searches; equal "
    "sequences always count"
)
"""Stricter than the usual rules with a least coverage: one shared domain is a neighbour too."""


@dataclass(frozen=True)
class Leak:
    """One chain that must stay out."""

    chain: str  # key
    excluded: str  # name of the excluded sequence with the most identical alignment
    source: str  # file it came from
    identity: float
    columns: int
    chain_coverage: float  # aligned part of the chain
    excluded_coverage: float  # aligned part of the excluded sequence
    n_hits: int  # excluded sequences that the chain neighbours, this one included


def read_excluded(paths: Sequence[str | Path]) -> list[Record]:
    """Read the sequences that a corpus must not neighbour, from FASTA files (gz or not) and stores."""
    records: list[Record] = []
    for path in map(Path, paths):
        if path.is_dir() or (path.is_file() and not is_fasta(path)):
            try:
                store = Store.open(path)
            except InputError as error:
                raise InputError(str(path), found=error.found, allowed="a FASTA file or a store") from None
            sequences = (store[position].sequence for position in range(len(store)))
            found = [Record(key, sequence, path.name) for key, sequence in zip(store.keys, sequences, strict=True)]
        else:
            found = [Record(record.name, record.sequence, path.name) for record in read_fasta(path)]
        if not found:
            raise InputError(str(path), found="holds no sequence to exclude", allowed="a FASTA file or a store")
        records += found
    return records


def fingerprint(records: Sequence[Record]) -> str:
    """Return a hash of excluded sequences, names included."""
    text = "\n".join(f"{record.source}\t{record.name}\t{record.sequence}" for record in records)
    return sha256(text.encode()).hexdigest()


def find_leaks(
    keys: Sequence[str], sequences: Sequence[str], excluded: Sequence[Record], *, identity: float = 0.3,
    tool: str = "auto", threads: int = 1,
) -> list[Leak]:  # fmt: skip
    """Return the chains that neighbour an excluded sequence, by position in `keys`, each with its nearest one."""
    wanted = list(dict.fromkeys(record.sequence for record in excluded))
    first_with = {record.sequence: record for record in reversed(excluded)}
    n_named = {sequence: 0 for sequence in wanted}
    for record in excluded:
        n_named[record.sequence] += 1
    hits_of: dict[int, list[Hit]] = {}
    for hit in near_either_way(wanted, list(sequences), identity=identity, tool=tool, threads=threads):
        hits_of.setdefault(hit.target, []).append(hit)
    leaks = []
    for position in sorted(hits_of):
        best = max(hits_of[position], key=lambda hit: (hit.identity, hit.columns, -hit.query))
        record = first_with[wanted[best.query]]
        leaks.append(
            Leak(
                keys[position], record.name, record.source, best.identity, best.columns, best.target_coverage,
                best.query_coverage, sum(n_named[wanted[hit.query]] for hit in hits_of[position]),
            )
        )  # fmt: skip
    return leaks


def ledger(excluded: Sequence[Record], leaks: Sequence[Leak], *, identity: float, tool: str) -> dict:
    """Return what a store and every checkpoint trained on it remember about excluded proteins, as JSON values."""
    return {
        "rule": RULE.format(identity=identity, e_value=E_VALUE),
        "identity": identity,
        "e_value": E_VALUE,
        "tool": searches_name(tool) if excluded else "",
        "excluded": [{"name": r.name, "source": r.source, "length": len(r.sequence)} for r in excluded],
        "excluded_sha256": fingerprint(excluded),
        "refused": [vars(leak) for leak in leaks],
    }
