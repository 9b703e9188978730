"""What intake found in a file and what it did to it, in a form that both people and programs read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tertia.errors import InputError
from tertia.structure.chain import Chain

Change = dict[str, str]
"""One thing that intake did: `kind`, `where` ("52A" = author number and insertion code), `from`, `to`."""


def change(kind: str, where: str, before: str, after: str) -> Change:
    """Return one change."""
    return {"kind": kind, "where": where, "from": before, "to": after}


@dataclass(frozen=True)
class Gap:
    """A place where residues, or the bond between two residues, are missing."""

    start: int  # 0-based position of the first missing residue; of the residue after the break where none was inserted
    n_missing: int  # residues in the sequence without any atom; 0 where the file does not say how many there are
    after: str  # author residue id before the gap, "" at the start of the chain
    before: str  # author residue id behind the gap, "" at the end of the chain
    evidence: str  # "sequence", "numbering" (inserted as X) or "break" (flagged only)


@dataclass(frozen=True)
class ChainReport:
    """One protein chain as it was read."""

    file: str
    entry: str
    chain: str
    sequence: str
    n_residues: int  # length of the sequence, missing residues included
    n_with_coordinates: int  # residues with a C-alpha
    gaps: tuple[Gap, ...] = ()
    changes: tuple[Change, ...] = ()
    meta: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Return plain lists and dicts, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class IntakeReport:
    """One file as it was read: a report a chain, and what concerns the whole file."""

    file: str
    entry: str
    chains: tuple[ChainReport, ...] = ()
    notes: tuple[str, ...] = ()  # waters, ligands, nucleic acids, other models, ...: one sentence each
    refused: tuple[InputError, ...] = ()  # records of a FASTA file that could not be read


@dataclass(frozen=True)
class Structure:
    """Protein chains of one file and the report of how they came about."""

    chains: tuple[Chain, ...]
    report: IntakeReport
