"""Read and write sequences: FASTA, plain or gz, with or without lines of labels."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tertia.errors import InputError

_LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
_GAPS, _FOREIGN = re.compile(r"[\s.\-]"), re.compile(f"[^{_LETTERS}{_LETTERS.lower()}]")
_LABELS = re.compile(r"[0-9.,;: +?-]+")
"""A line without any letter holds labels (one digit a residue), not sequence."""
_LONGEST = 1 << 26
"""Characters of one record; 1,500 times the longest protein, and what a hostile file may cost in memory."""
_PIECE = 1 << 20
"""Characters that are read at once of a line without an end."""


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
    for name, description, lines in _entries(text.splitlines(), where):
        yield _record(name, description, lines, where)


def stream_fasta(path: str | Path, *, where: str = "") -> Iterator[Record | InputError]:
    """Yield what `parse_fasta` does, of a file of any size, gz or not: one record is in memory at a time.

    Raises InputError for text before the first ">", and for a file that cannot be read or breaks off.
    """
    where = where or str(path)
    try:
        # A byte that is no text is harmless in a header, and refused in a sequence.
        with io.TextIOWrapper(_opened(Path(path)), encoding="ascii", errors="backslashreplace") as handle:
            pieces = iter(lambda: handle.readline(_PIECE), "")
            lines = (line for piece in pieces for line in piece.splitlines())
            for name, description, kept in _entries(lines, where):
                yield _record(name, description, kept, where)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(where, error) from None


def capital_letters(sequence: str, *, where: str, entry: str = "") -> str:
    """Return a sequence in capital letters, without a final `*`.

    Raises InputError for letters that are no amino acid (J, an inner `*`, gaps, blanks), and where nothing is left.
    """
    sequence = sequence.removesuffix("*")
    wrong = _FOREIGN.search(sequence)  # before letters are raised: the capital of some foreign ones is an ordinary S
    if wrong:
        raise InputError(
            where, entry, found=f"{wrong.group()!r} at position {wrong.start() + 1} is not an amino-acid letter",
            allowed=_LETTERS, hint="cut the sequence at a stop, take gaps out, and write X for what is not known",
        )  # fmt: skip
    if not sequence:
        raise InputError(where, entry, found="has no sequence", allowed="at least one letter a record")
    return sequence.upper()


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
    except (OSError, EOFError, zlib.error):
        return False


def _record(name: str, description: str, lines: list[str], where: str) -> Record | InputError:
    sequence = _GAPS.sub("", "".join(line for line in lines if not _LABELS.fullmatch(line)))
    try:
        return Record(name, capital_letters(sequence, where=where, entry=name), where, description)
    except InputError as error:
        return error


def _entries(text: Iterable[str], where: str) -> Iterator[tuple[str, str, list[str]]]:
    name, description, lines, size = None, "", [], 0
    for number, line in enumerate(text, start=1):
        line = line.strip()
        size += len(line)
        if size > _LONGEST:
            raise InputError(where, name or "", found=f"more than {_LONGEST:,} characters in one record",
                             allowed="protein sequences")  # fmt: skip
        if line.startswith(">"):
            if name is not None:
                yield name, description, lines
            words, size = line[1:].split(), 0
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
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(str(path), error) from None
    except UnicodeDecodeError:
        raise InputError(str(path), found="is not plain text", allowed="a FASTA file, gz or not") from None


def _unreadable(where: str, error: Exception) -> InputError:
    return InputError(where, found=f"cannot be read ({error})", allowed="a FASTA file, gz or not")


def _opened(path: Path):
    with open(path, "rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else open(path, "rb")
