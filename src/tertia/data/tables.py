"""Read the tables of sequence tasks: whole rows, chains of their sequences, and a clear word where one is damaged."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tertia.errors import InputError
from tertia.sequence.fasta import Record, parse_fasta, read_fasta
from tertia.structure.chain import Chain
from tertia.structure.read_sequences import sequence_chain

T = TypeVar("T")
_BROKEN = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error)


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a tab-separated table with a header, gz or not.

    Raises
    ------
    InputError: no such file, unreadable, one of `columns` is missing, a row of another length, or no row at all.
    """
    if not path.is_file():
        raise InputError(str(path), found="there is no such file", hint="give the folder of the task's tables")
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            yield from _whole_rows(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), path, columns)
    except _BROKEN as error:
        raise InputError(str(path), found=f"cannot be read ({error})", allowed="a table, gz or not") from None


def _whole_rows(lines, path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    header = next(lines, [])
    missing = [name for name in columns if name not in header]
    if missing:
        raise InputError(str(path), found=f"no column {', '.join(missing)}", allowed=f"columns {', '.join(columns)}")
    n_rows = 0
    for cells in lines:
        if len(cells) != len(header):
            found = f"{len(cells)} cells"
            raise InputError(
                str(path), f"line {lines.line_num}", found=found, allowed=f"{len(header)}, as in the header"
            )
        n_rows += 1
        yield dict(zip(header, cells, strict=True))
    if not n_rows:
        raise InputError(str(path), found="has no row below its header")


def read_chains(path: Path) -> dict[str, Chain]:
    """Return the records of a FASTA file as chains without coordinates, by name.

    Raises
    ------
    InputError: no such file, a damaged record, or two records of one name.
    """
    if not path.is_file():
        raise InputError(str(path), found="there is no such file", hint="give the folder of the task's tables")
    try:
        records = read_fasta(path)
    except zlib.error as error:
        raise InputError(str(path), found=f"cannot be read ({error})", allowed="a FASTA file, gz or not") from None
    chains: dict[str, Chain] = {}
    for record in records:
        if record.name in chains:
            raise InputError(str(path), record.name, found="stands twice", allowed="one record a name")
        chains[record.name] = sequence_chain(record)
    return chains


def chain_of(name: str, sequence: str, path: Path) -> Chain:
    """Return one sequence of a table as a chain without coordinates.

    Raises
    ------
    InputError: no sequence, a letter that is no amino acid, or a gap, after which labels would be out of register.
    """
    record = next(parse_fasta(f">{name}\n{sequence}", where=str(path)))
    if isinstance(record, InputError):
        raise record
    if len(record.sequence) != len(sequence):
        raise InputError(str(path), name, found="holds gaps or blanks", allowed="letters of amino acids only")
    return sequence_chain(Record(name, record.sequence, str(path)))


def one_of(row: Mapping[str, str], column: str, allowed: Mapping[str, T], *, path: Path, entry: str) -> T:
    """Return what a cell stands for, or raise InputError with all that it may hold."""
    value = row[column]
    if value not in allowed:
        raise InputError(str(path), entry, found=f"{column} is {value!r}", allowed=", ".join(allowed))
    return allowed[value]


def check_length(row: Mapping[str, str], columns: Sequence[str], *, path: Path, entry: str) -> None:
    """Raise InputError unless each of the columns is as long as the row says in `length`."""
    for column in columns:
        if str(len(row[column])) != row["length"]:
            found = f"{column} has {len(row[column])} letters"
            raise InputError(str(path), entry, found=found, allowed=f"{row['length']}, as in column length")
