"""Read FASTA into chains without coordinates, for whatever needs sequences only."""

from __future__ import annotations

import numpy as np

from tertia.errors import InputError
from tertia.sequence.fasta import Record, parse_fasta
from tertia.structure.chain import Chain
from tertia.structure.report import ChainReport, IntakeReport, Structure
from tertia.structure.sources import Source, as_text

SUFFIXES = (".fa", ".faa", ".fasta")


def is_fasta(content: bytes, name: str = "") -> bool:
    """Return whether the first character that is not blank is ">", with which no structure file begins.

    A file that its name calls FASTA is one as well, unless it is empty: then the message says what it lacks.
    """
    named = name.lower().removesuffix(".gz").removesuffix(".xz").endswith(SUFFIXES)
    return content[:4096].lstrip().startswith(b">") or (named and bool(content.strip()))


def read_sequences(content: bytes, source: Source) -> Structure:
    """Return the records of a FASTA file as chains without atoms; their keys are the names of the records.

    A bad record is listed in the report and the others are read.

    Raises
    ------
    InputError: the file is no FASTA, or none of its records can be read.
    """
    where = as_text(source.name)
    text = content.decode("ascii", "backslashreplace")  # in a header it is harmless, in a sequence it is refused below
    chains, reports, refused = [], [], []
    for record in parse_fasta(text, where=where):
        if isinstance(record, InputError):
            refused.append(record)
        else:
            chains.append(sequence_chain(record))
            reports.append(ChainReport(where, record.name, "", record.sequence, len(record.sequence), 0))
    if not chains:
        raise refused[0]
    return Structure(tuple(chains), IntakeReport(where, source.entry, tuple(reports), refused=tuple(refused)))


def sequence_chain(record: Record) -> Chain:
    """Return a record as a chain without atoms; its key is the name of the record, its frame where it was read."""
    length = len(record.sequence)
    return Chain(
        entry=record.name, id="", sequence=record.sequence, residue_id=("",) * length,
        label_number=np.arange(1, length + 1, dtype=np.int32), atoms=None, frame=record.source,
        meta={"description": record.description} if record.description else {},
    )  # fmt: skip
