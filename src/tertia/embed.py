"""`tertia embed`: structures in, embeddings out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tertia.embedding import Embedding
from tertia.embedding.chain_embedding import LEVELS
from tertia.embedding.files import checked_suffix
from tertia.embedding.plan import Plan
from tertia.embedding.run import Run
from tertia.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from tertia.data.store import Store
    from tertia.structure.chain import Chain
    from tertia.training.checkpoint import Checkpoint

PRECISIONS = ("fp32", "bf16", "fp16")
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
    inputs: files, folders, globs, tar archives, "-", a store or its folder, or chains.
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
    family, encoder, provenance, notes = _encoder_of(model, sigmas, precision, device)
    if "pair" in levels and not hasattr(encoder, "encode_pairs"):
        raise InputError("levels", found=f"the family {family.name} has no pair level", allowed="protein, residue")
    run = Run(family, encoder, provenance=provenance, levels=levels, memory=memory, progress=progress)
    run.notes += notes
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


# --- the model -----------------------------------------------------------------------------------------------------


def _encoder_of(
    model: str | Path | Checkpoint | None, sigmas: Sequence[float] | None, precision: str, device: str | None
) -> tuple[Any, Any, dict[str, object], list[str]]:
    """Return family, encoder, provenance and notes."""
    import torch

    from tertia import __version__
    from tertia.training import checkpoint

    if precision not in PRECISIONS:
        raise InputError("precision", found=repr(precision), allowed=", ".join(PRECISIONS))
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError("device", found=f"{device!r} cannot be used ({str(error).splitlines()[0]})") from None
    trained = checkpoint.load(model or "distmap") if isinstance(model, str | Path | None) else model
    family, network = trained.family, trained.network
    provenance = {"model": family.name, "sha256": str(trained.meta.get("sha256", "")), "precision": precision,
                  "tertia": __version__}  # fmt: skip
    if not hasattr(network, "encoder"):
        if sigmas is not None or precision != "fp32":
            raise CheckpointError(
                str(model), found=f"the family {family.name} has no noise levels and computes in fp32 only"
            )
        return family, _Dense(network.to(device), device), provenance, []
    chosen, notes = _chosen_levels(family, sigmas)
    provenance["sigmas"] = [round(float(family.sigmas[level]), 6) for level in chosen]
    return family, network.encoder(chosen, precision=precision, device=device), provenance, notes


def _chosen_levels(family: Any, sigmas: Sequence[float] | None) -> tuple[list[int], list[str]]:
    """Return the noise levels that are nearest to the given ones, and what was rounded."""
    if sigmas is None:
        return [family.embed_level], []
    table = family.sigmas.numpy()
    sigmas = [sigmas] if isinstance(sigmas, int | float) else list(sigmas)
    chosen, notes = [], []
    for sigma in sigmas:
        if not table[-1] / 1.2 <= sigma <= table[0] * 1.2:
            allowed = f"{table[-1]:g} to {table[0]:g} Angstrom"
            raise InputError("sigmas", found=f"{sigma:g} is outside of what the model was trained on", allowed=allowed)
        level = int(np.abs(np.log(table / sigma)).argmin())
        chosen.append(level)
        if abs(table[level] / sigma - 1) > 0.01:
            notes.append(f"noise level {sigma:g} Angstrom: the nearest one of the model, {table[level]:.3g}, was taken")
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError("sigmas", found="none given" if not chosen else "two of them are the same level of the model")
    return chosen, notes


class _Dense:
    """The encoder of a family that has no other: the network itself."""

    def __init__(self, network: Any, device: str) -> None:
        self.network, self.device = network, device

    def encode(self, inputs: Any) -> Any:
        import torch

        with torch.inference_mode():
            moved = type(inputs)(**{name: value.to(self.device) for name, value in vars(inputs).items()})
            return self.network.encode(moved)

    def memory(self, n_residues: int, *, pair: bool = False) -> int:
        return 0


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
