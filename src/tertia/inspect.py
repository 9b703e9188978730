"""Show what is in structure and FASTA files and what intake did to it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

from tertia.errors import InputError
from tertia.structure.read import read_inputs
from tertia.structure.report import ChainReport, IntakeReport


def inspect(
    inputs: Sequence[str],
    *,
    model: int = 1,
    assembly: str | None = None,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Iterator[IntakeReport | InputError]:
    """Yield the intake report of each file, or the InputError of one that cannot be read, in the order of the inputs.

    Records of a FASTA file that cannot be read yield their InputErrors behind its report.

    Parameters
    ----------
    inputs: files, folders, globs, tar archives, or "-" for a list on stdin.
    model: which model of each file, counted from 1.
    assembly: biological assembly to build; None: as deposited.
    jobs: worker processes.
    progress: called with the name of each file that is done.

    Example
    -------
    >>> for report in inspect(["1abc.cif"]):  # doctest: +SKIP
    ...     print(to_json(report))
    """
    if isinstance(inputs, str):
        inputs = [inputs]
    for result in read_inputs(inputs, model=model, assembly=assembly, jobs=jobs, progress=progress):
        if isinstance(result, InputError):
            yield result
        else:
            yield result.report
            yield from result.report.refused


def to_json(report: IntakeReport) -> str:
    """Return one JSON object a line, one line a chain; the notes on the whole file are repeated in each."""
    return "\n".join(json.dumps({**chain.as_dict(), "notes": list(report.notes)}) for chain in report.chains)


def print_table(reports: Iterable[IntakeReport], file: TextIO) -> None:
    """Print a line a chain as the reports come, with the notes on each file below its chains."""
    header = f"{'entry':<16} {'chain':<6} {'residues':>8} {'seen':>6} {'missing':>7} {'gaps':>5}  changes"
    print(header, file=file)
    for report in reports:
        for chain in report.chains:
            print(_line(chain), file=file)
        for note in report.notes:
            print(f"{'':<16} {note}", file=file)


def _line(chain: ChainReport) -> str:
    n_missing = sum(gap.n_missing for gap in chain.gaps)
    return (
        f"{chain.entry:<16} {chain.chain:<6} {chain.n_residues:>8} {chain.n_with_coordinates:>6} {n_missing:>7} "
        f"{len(chain.gaps):>5}  {_changes(chain)}"
    )


def _changes(chain: ChainReport) -> str:
    """Summarise the changes of a chain: modified residues by name, the others by kind."""
    modified = Counter(f"{c['from']}->{c['to']}" for c in chain.changes if c["kind"] == "modified_residue")
    others = Counter(c["kind"] for c in chain.changes if c["kind"] not in ("modified_residue", "hydrogens_dropped"))
    hydrogens = [f"hydrogens_dropped {c['from']}" for c in chain.changes if c["kind"] == "hydrogens_dropped"]
    counted = [f"{name} {n}" if n > 1 else name for name, n in (modified + others).items()]
    return ", ".join([*counted, *hydrogens]) or "none"
