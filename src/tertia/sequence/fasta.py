"""Read and write sequences: FASTA, plain or gz, with or without lines of labels."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tertia.errors import InputError

_LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
_GAPS, _FOREIGN = re.compile(r"[\s.\-]"), re.compile(f"[^{_LETTERS}]")
_LABELS = re.compile(r"[0-9.,;: +?-]+")
"""A line without any letter holds labels (one digit a residue), not sequence."""


@dataclass(frozen=True)
class Record:
    """One named protein sequence in capital letters."""

    name: str  # first word behind ">"
    sequence: str
    source: str = ""  # where it was read
    description: str = ""  # the other words behind ">"


def read_fasta(path: str | Path) -> list[Record]:
    """Read the records of a FASTA file, gz or not.

    Lower case is raised, gaps (`-`, `.`) and a final `*` are dropped, and so are lines of labels such as the third
    line of "name, sequence, labels" triples. Letters O, U, B, Z and X are kept.

    Raises InputError for text before the first ">", letters that are no amino acid, and records without a sequence.
    """
    records = []
    for record in parse_fasta(_text(path), where=str(path)):
        if isinstance(record, InputError):
            raise record
        records.append(record)
    return records


def parse_fasta(text: str, *, where: str) -> Iterator[Record | InputError]:
    """Yield the records of a FASTA text in order, and in the place of a bad one its InputError.

    Raises InputError for text before the first ">".
    """
    for name, description, lines in _entries(text, where):
        sequence = "".join(line for line in lines if not _LABELS.fullmatch(line)).upper()
        sequence = _GAPS.sub("", sequence).removesuffix("*")
        wrong = _FOREIGN.search(sequence)
        if wrong:
            yield InputError(
                where, name, found=f"{wrong.group()!r} at position {wrong.start() + 1} is not an amino-acid letter",
                allowed=_LETTERS,
            )  # fmt: skip
        elif not sequence:
            yield InputError(where, name, found="has no sequence", allowed="at least one letter a record")
        else:
            yield Record(name, sequence, where, description)


def header_field(description: str, name: str) -> str:
    """Return the value of `name=value` among the words of a header, "" where there is none."""
    return next((word[len(name) + 1 :] for word in description.split() if word.startswith(f"{name}=")), "")


def write_fasta(path: str | Path, records: Iterable[Record]) -> None:
    """Write records as FASTA, one line a sequence."""
    Path(path).write_text("".join(f">{record.name}\n{record.sequence}\n" for record in records), encoding="ascii")


def is_fasta(path: str | Path) -> bool:
    """Return whether the first character that is not blank is ">"."""
    try:
        with _opened(Path(path)) as handle:
            return handle.read(4096).lstrip().startswith(b">")
    except (OSError, EOFError):
        return False


def _entries(text: str, where: str) -> Iterator[tuple[str, str, list[str]]]:
    name, description, lines = None, "", []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line.startswith(">"):
            if name is not None:
                yield name, description, lines
            words = line[1:].split()
            name, description, lines = words[0] if words else f"record_at_line_{number}", " ".join(words[1:]), []
        elif line and name is None:
            raise InputError(where, found=f"line {number} stands before the first '>'", allowed="a FASTA file")
        elif line:
            lines.append(line)
    if name is not None:
        yield name, description, lines


def _text(path: str | Path) -> str:
    try:
        with _opened(Path(path)) as handle:
            return handle.read().decode("ascii")
    except (OSError, EOFError) as error:
        raise InputError(str(path), found=f"cannot be read ({error})", allowed="a FASTA file, gz or not") from None
    except UnicodeDecodeError:
        raise InputError(str(path), found="is not plain text", allowed="a FASTA file, gz or not") from None


def _opened(path: Path):
    with open(path, "rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else open(path, "rb")
