"""`tertia embed`: structures in, embeddings out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tertia.embedding import Embedding
from tertia.embedding.chain_embedding import LEVELS
from tertia.embedding.files import checked_suffix
from tertia.embedding.plan import Plan
from tertia.embedding.run import Run
from tertia.encoders import open_encoder
from tertia.errors import InputError

if TYPE_CHECKING:
    from tertia.data.store import Store
    from tertia.structure.chain import Chain
    from tertia.training.checkpoint import Checkpoint

WINDOW_RESIDUES = 2_000_000
"""So many residues are read, sorted by length and embedded at a time: 1-2 GB of chains with all their atoms."""


@dataclass(frozen=True)
class Embedded:
    """What `embed` did; iterates over the embeddings when they were not written to a file."""

    embeddings: tuple[Embedding, ...] = ()
    path: Path | None = None  # the file that was written
    n_chains: int = 0
    failed: tuple[InputError, ...] = ()
    notes: tuple[str, ...] = ()  # what else was done: chains renamed, a noise level rounded
    plans: tuple[Plan, ...] = field(default=(), repr=False)

    def __iter__(self) -> Iterator[Embedding]:
        return iter(self.embeddings)

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, position: int) -> Embedding:
        return self.embeddings[position]


def embed(
    inputs: str | Path | Chain | Store | Sequence[str | Path | Chain],
    output: str | Path | None = None,
    *,
    model: str | Path | Checkpoint | None = None,
    levels: Sequence[str] = ("protein", "residue"),
    sigmas: Sequence[float] | None = None,
    precision: str = "fp32",
    device: str | None = None,
    memory: int | None = None,
    jobs: int = 1,
    model_number: int = 1,
    assembly: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Embedded:
    """Embed protein chains; write them to a file, or return them.

    Parameters
    ----------
    inputs: files, folders, globs, tar archives, "-", a store or its folder, or chains; FASTA files where the family
        needs no coordinates.
    output: .h5, .npz or .parquet (protein level only). A run that was killed is continued by the same call and ends in
        the same bytes. Chains of one name get ".2", ".3", ... and a note.
    model: name of a shipped model, checkpoint folder, or what `tertia.load` returned; default "distmap".
    levels: of "protein", "residue", "pair".
    sigmas: noise levels in Angstrom, for families that have them; several are concatenated. Default: the model's own.
    precision: "fp32", or "bf16" or "fp16" for the convolutions (see docs/results/embedding_speed.md).
    device: "cpu", "cuda", ...; by default what is there.
    memory: bytes; chains that need more beside program and weights are refused instead of risked.
    jobs: processes that read files.
    model_number, assembly: which model of each file, and which biological assembly.
    dry_run: plan only.
    overwrite: replace an output that is there.
    progress: show the plan and a bar on stderr.

    Returns
    -------
    Embedded: a sequence of `Embedding` (without output), `failed` with what could not be embedded, `notes`.

    Raises
    ------
    InputError: nothing could be embedded, an option is wrong, or the output exists. CheckpointError: no such model.

    Example
    -------
    >>> embedding, = tertia.embed("1abc.cif")  # doctest: +SKIP
    >>> embedding.residue.shape  # doctest: +SKIP
    (300, 64)
    """
    levels = _checked_levels(levels, output)
    path = _checked_output(output, overwrite=overwrite, dry_run=dry_run)
    opened = open_encoder(model, sigmas=sigmas, precision=precision, device=device)
    family, encoder = opened.family, opened.encoder
    if "pair" in levels and not hasattr(encoder, "encode_pairs"):
        raise InputError("levels", found=f"the family {family.name} has no pair level", allowed="protein, residue")
    run = Run(family, encoder, provenance=opened.provenance, levels=levels, memory=memory, progress=progress)
    run.notes += opened.notes
    chains = _chains(inputs, run, jobs=jobs, model=model_number, assembly=assembly)
    if dry_run:
        plans = tuple(run.plan(window) for window in _windows(chains))
        return Embedded(plans=plans, n_chains=run.n_chains, failed=tuple(run.failed), notes=tuple(run.notes))
    if path is None:
        embeddings = tuple(one for window in _windows(chains) for one in run.in_memory(window))
        run.raise_if_nothing(len(embeddings))
        return Embedded(embeddings, None, len(embeddings), tuple(run.failed), tuple(run.notes), tuple(run.plans))
    n_written = run.to_file(path, _windows(chains))
    return Embedded((), path, n_written, tuple(run.failed), tuple(run.notes), tuple(run.plans))


def _checked_levels(levels: Sequence[str], output: str | Path | None) -> tuple[str, ...]:
    levels = (levels,) if isinstance(levels, str) else tuple(levels)
    wrong = [level for level in levels if level not in LEVELS]
    if wrong or not levels:
        raise InputError("levels", found=repr(wrong[0]) if wrong else "none", allowed=", ".join(LEVELS))
    if output is not None and Path(output).suffix == ".parquet":
        if "pair" in levels:
            raise InputError(str(output), found="parquet holds the protein level only", hint="choose .h5 or .npz")
        levels = ("protein",)
    return tuple(level for level in LEVELS if level in levels)


def _checked_output(output: str | Path | None, *, overwrite: bool, dry_run: bool) -> Path | None:
    if output is None:
        return None
    path = Path(output)
    checked_suffix(path)
    if not path.parent.is_dir():
        raise InputError(str(path), found="its folder does not exist")
    # With unfinished parts beside it the file is one that this very call was about to write.
    unfinished = path.with_name(path.name + ".parts").exists()
    if path.exists() and not (overwrite or dry_run or unfinished):
        raise InputError(str(path), found="exists already", hint="choose another output, or ask to overwrite it")
    return path


# --- the chains ----------------------------------------------------------------------------------------------------


def _chains(inputs: Any, run: Run, *, jobs: int, model: int, assembly: str | None) -> Iterator[Chain]:
    """Yield chains in the order of the inputs; what cannot be read goes to `run.failed`."""
    from tertia.data.store import INDEX, Store
    from tertia.structure.chain import Chain
    from tertia.structure.read import read_inputs

    if isinstance(inputs, Store):
        yield from inputs
        return
    inputs = [inputs] if isinstance(inputs, str | os.PathLike | Chain) else list(inputs)
    for given in inputs:
        if isinstance(given, Chain):
            yield given
        elif (Path(given) / INDEX).is_file() or os.fspath(given).endswith(".safetensors"):
            yield from Store.open(given)
        else:
            for found in read_inputs([os.fspath(given)], jobs=jobs, model=model, assembly=assembly):
                if isinstance(found, InputError):
                    run.fail(found)
                else:
                    for error in found.report.refused:
                        run.fail(error)
                    yield from found.chains


def _windows(chains: Iterable[Chain]) -> Iterator[list[Chain]]:
    window: list[Chain] = []
    n_residues = 0
    for chain in chains:
        window.append(chain)
        n_residues += len(chain)
        if n_residues >= WINDOW_RESIDUES:
            yield window
            window, n_residues = [], 0
    if window:
        yield window


def report(result: Embedded) -> None:
    """Print notes, failures and where the output is to stderr."""
    for note in result.notes:
        print(note, file=sys.stderr)
    for error in result.failed:
        print(f"error: {error}", file=sys.stderr)
    if result.path is not None:
        print(f"{result.n_chains:,} chains in {result.path}", file=sys.stderr)
