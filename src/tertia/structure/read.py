"""Read structures: one file, or many in parallel, into chains and an intake report."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from tertia.errors import InputError
from tertia.structure.polymers import Provenance, protein_chains
from tertia.structure.read_columns import parse
from tertia.structure.read_sequences import is_fasta, read_sequences
from tertia.structure.report import ChainReport, IntakeReport, Structure
from tertia.structure.sources import MAX_BYTES, Source, as_text, open_sources

__all__ = ["ChainReport", "IntakeReport", "Structure", "read_inputs", "read_structure"]

_CHUNK = 8  # files a task: less and the hand-over costs more than the reading


def read_structure(source: Source | str | os.PathLike, *, model: int = 1, assembly: str | None = None) -> Structure:
    """Read the protein chains of one PDB, mmCIF or BinaryCIF file; the content decides the format, not the suffix.

    Parameters
    ----------
    source: a path (gzip or xz or not), or a Source.
    model: which model, counted from 1 in the order of the file.
    assembly: name of a biological assembly ("1"); None: the coordinates as deposited.

    Raises
    ------
    InputError: absent, empty, damaged, cut, no structure, no protein with coordinates, or no such model or assembly.
    """
    if not isinstance(source, Source):
        source = Source(os.fspath(source))
    return _structure(source.read(), source, model, assembly)


def _structure(content: bytes, source: Source, model: int, assembly: str | None) -> Structure:
    columns, header = parse(content, source.name, model=model, assembly=assembly)
    frame = f"{as_text(source.name)}#{model}" + (f"/{assembly}" if assembly else "")
    entry = source.entry
    built, notes = protein_chains(columns, header, Provenance(source.name, entry, frame))
    if not built:
        raise InputError(
            source.name, found="no protein chain with coordinates" + "".join(f"; {note}" for note in notes)
        )
    if header.n_models > 1:
        notes.insert(0, f"model {model} of {header.n_models} was read")
    report = IntakeReport(source.name, entry, tuple(report for _, report in built), (*header.notes, *notes))
    return Structure(tuple(chain for chain, _ in built), report)


def read_source(source: Source, *, model: int = 1, assembly: str | None = None) -> Structure:
    """Read one structure file, or a FASTA file as chains without coordinates; raises InputError as those do."""
    content = source.read()
    if is_fasta(content, source.name):
        return read_sequences(content, source)
    return _structure(content, source, model, assembly)


def read_inputs(inputs: Sequence[str], *, model: int = 1, assembly: str | None = None, jobs: int = 1,
                max_bytes: int = MAX_BYTES, progress: Callable[[str], None] | None = None,
                skip: Collection[str] | None = None) -> Iterator[Structure | InputError]:  # fmt: skip
    """Read many inputs; a bad one yields its InputError in its place and the run goes on.

    FASTA files are read as chains without coordinates.

    Parameters
    ----------
    inputs: files, folders, globs, tar archives, "-" (see `sources.open_sources`).
    jobs: worker processes; the order of the results is that of the inputs all the same.
    max_bytes: largest file after unpacking.
    progress: called with the name of each file as its result is handed out.
    skip: names of files that are not read (again); when given, a file that is named twice is read once.
    """
    sources = open_sources(inputs, max_bytes=max_bytes)
    if skip is not None:
        sources = _unread(sources, set(skip))
    results = _serial(sources, model, assembly) if jobs <= 1 else _parallel(sources, model, assembly, jobs)
    for name, result in results:
        if progress is not None:
            progress(name)
        yield result


def _unread(sources: Iterator[Source], done: set[str]) -> Iterator[Source]:
    for source in sources:
        if source.name not in done:
            done.add(source.name)
            yield source


def _serial(
    sources: Iterator[Source], model: int, assembly: str | None
) -> Iterator[tuple[str, Structure | InputError]]:
    for source in sources:
        yield source.name, _try(source, model, assembly)


def _try(source: Source, model: int, assembly: str | None) -> Structure | InputError:
    try:
        return read_source(source, model=model, assembly=assembly)
    except InputError as error:
        return error
    except MemoryError:
        return InputError(source.name, found="too large for the memory of this machine")
    except Exception as error:  # a defect of ours or of the parser must not end a run over a million files
        return InputError(source.name, found=f"cannot be read ({type(error).__name__}: {error})",
                          hint="please report this file")  # fmt: skip


def _try_all(sources: list[Source], model: int, assembly: str | None) -> list[Structure | InputError]:
    return [_try(source, model, assembly) for source in sources]


def _parallel(sources: Iterator[Source], model: int, assembly: str | None, jobs: int):
    """Keep a few chunks in flight, hand them out in order; a chunk whose worker died is read again file by file."""
    pool = _pool(jobs)
    waiting: deque = deque()
    try:
        for chunk in _chunks(sources):
            waiting.append((chunk, _submit(pool, chunk, model, assembly)))
            if len(waiting) > 2 * jobs:
                pool = yield from _hand_out(waiting, pool, model, assembly, jobs)
        while waiting:
            pool = yield from _hand_out(waiting, pool, model, assembly, jobs)
    finally:
        pool.shutdown(cancel_futures=True)  # waits: Python's own clean-up at exit would meet pipes half closed


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs)


def _submit(pool: ProcessPoolExecutor, chunk: list[Source], model: int, assembly: str | None):
    try:
        return pool.submit(_try_all, chunk, model, assembly)
    except BrokenProcessPool:
        return None


def _hand_out(waiting: deque, pool: ProcessPoolExecutor, model: int, assembly: str | None, jobs: int):
    chunk, future = waiting.popleft()
    try:
        if future is None:
            raise BrokenProcessPool
        results = future.result()
    except BrokenProcessPool:
        pool.shutdown()
        results = [_alone(source, model, assembly) for source in chunk]
        pool = _pool(jobs)
        for k, (other, _) in enumerate(waiting):
            waiting[k] = (other, _submit(pool, other, model, assembly))
    yield from zip([source.name for source in chunk], results, strict=True)
    return pool


def _alone(source: Source, model: int, assembly: str | None) -> Structure | InputError:
    """Read one file in a process of its own, so that only this file is lost when the process dies."""
    with ProcessPoolExecutor(1) as pool:
        try:
            return pool.submit(_try, source, model, assembly).result()
        except BrokenProcessPool:
            return InputError(source.name, found="the reader crashed on this file", hint="please report this file")


def _chunks(sources: Iterator[Source]) -> Iterator[list[Source]]:
    chunk: list[Source] = []
    for source in sources:
        chunk.append(source)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
