"""`tertia predict`: quality of models, interaction sites, or what a sequence tells, with a trained head."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tertia.errors import InputError
from tertia.progress import Progress

if TYPE_CHECKING:
    from tertia.structure.chain import Chain
    from tertia.training.head import Head

SHOWN_RESIDUES = 100.0
"""Scores of 0-1 go into the B-factor column as 0-100, the range that viewers colour by."""


@dataclass(frozen=True)
class Predicted:
    """What a head says of one chain."""

    chain: Chain
    residue: np.ndarray  # (L, K) in 0-1; NaN where a structure is read and the residue has no C-alpha
    protein: np.ndarray  # (M,) in 0-1


@dataclass(frozen=True)
class Predictions:
    """All chains that could be predicted, in the order of the inputs, and what could not."""

    residue_scores: tuple[str, ...]
    protein_scores: tuple[str, ...]
    chains: tuple[Predicted, ...]
    failed: tuple[InputError, ...]
    threshold: float | None = None  # of two classes; above it a residue or protein is called positive
    kind: str = "labels"  # of the task: values or labels

    def __iter__(self) -> Iterator[Predicted]:
        return iter(self.chains)

    def __len__(self) -> int:
        return len(self.chains)

    def _called(self, values: np.ndarray, names: Sequence[str]) -> list[str]:
        """Return what is called, in a list; nothing where the scores are no classes."""
        if not self._has_calls(names):
            return []
        if not np.isfinite(values[0]):
            return ["NA"]
        return [str(int(values[0] > self.threshold)) if len(names) == 1 else names[int(values.argmax())]]

    def _has_calls(self, names: Sequence[str]) -> bool:
        return self.kind == "labels" and (len(names) > 1 or (len(names) == 1 and self.threshold is not None))

    def write_residues(self, out: IO[str]) -> None:
        """Write one line a residue: file, chain, position, author number, letter, scores, and what is called."""
        called = ["called"] if self._has_calls(self.residue_scores) else []
        out.write(_line(["file", "chain", "position", "residue_id", "letter", *self.residue_scores, *called]))
        for one in self.chains:
            for k, letter in enumerate(one.chain.sequence):
                values = one.residue[k]
                cells = ["NA" if np.isnan(value) else f"{value:.4f}" for value in values]
                cells += self._called(values, self.residue_scores)
                out.write(_line([one.chain.frame, one.chain.key, str(k + 1), one.chain.residue_id[k] or "NA",
                                 letter, *cells]))  # fmt: skip

    def write_proteins(self, out: IO[str]) -> None:
        """Write one line a chain: file, chain, residues (of structures: with coordinates), scores, what is called."""
        called = ["called"] if self._has_calls(self.protein_scores) else []
        out.write(_line(["file", "chain", "n_residues", *self.protein_scores, *called]))
        for one in self.chains:
            cells = [f"{value:.4f}" for value in one.protein] + self._called(one.protein, self.protein_scores)
            n_residues = len(one.chain) if one.chain.atoms is None else int(one.chain.seen.sum())
            out.write(_line([one.chain.frame, one.chain.key, str(n_residues), *cells]))

    def print(self, *, residues: Path | None, out: IO[str]) -> None:
        """Write the chains to `out`, and the residues to a file; where only residues have scores, those to `out`.

        Where only chains have scores the file gets these.
        """
        if not self.residue_scores and residues is not None and str(residues) != "-":
            with residues.open("w") as file:
                self.write_proteins(file)
            return
        if not self.residue_scores:
            self.write_proteins(out)
            return
        if residues is not None and str(residues) != "-":
            with residues.open("w") as file:
                self.write_residues(file)
        if self.protein_scores and str(residues) != "-":
            self.write_proteins(out)
        elif residues is None or str(residues) == "-":
            self.write_residues(out)

    def write_structures(self, folder: str | Path) -> tuple[list[Path], list[InputError]]:
        """Write each chain as PDB with 100 times its first score in the B-factor column.

        Returns
        -------
        paths: of the files, "<entry>_<chain>.pdb"; chains of one name are numbered from the second on.
        refused: chains that the format cannot hold.
        """
        from tertia.structure.write_pdb import pdb_text

        if not self.residue_scores:
            found = "the head scores whole proteins only"
            return [], [InputError(str(folder), found=found, allowed="heads with scores of residues")]
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths, refused, taken = [], [], set()
        remark = f"B-factor: {SHOWN_RESIDUES:g} x predicted {self.residue_scores[0]}, 0 where there is none"
        for one in self.chains:
            try:
                text = pdb_text(one.chain, b_factor=SHOWN_RESIDUES * one.residue[:, 0], remarks=(remark,))
            except InputError as error:
                refused.append(error)
                continue
            stem = re.sub(r"[/\\\0]", "-", one.chain.key)
            names = (f"{stem}.{number}.pdb" if number > 1 else f"{stem}.pdb" for number in count(1))
            name = next(name for name in names if name.lower() not in taken)  # some systems know no case
            taken.add(name.lower())
            (folder / name).write_text(text)
            paths.append(folder / name)
        return paths, refused


def _line(cells: Sequence[str]) -> str:
    """Return cells as a line of a table; file names may hold what would end one."""
    return "\t".join(re.sub(r"[\t\r\n]", " ", cell) for cell in cells) + "\n"


def predict(
    task: str | Path, inputs: Sequence[str | Path | Chain] | str | Path | Chain, *, head: str | Path = "",
    model: int = 1, assembly: str | None = None, jobs: int = 1, threads: int = 0, progress: bool = False,
) -> Predictions:  # fmt: skip
    """Predict for every chain of the inputs, each on its own: partners in the file are not looked at.

    Parameters
    ----------
    task: "quality" or "interface" for the shipped head, or a folder that `finetune` wrote; any task with `head`.
    inputs: structures or FASTA: files, folders, globs, tar archives, "-", or chains.
    head: a folder that `finetune` wrote for this task, instead of the shipped head.
    model, assembly: which model of each file, and which biological assembly.
    jobs: processes that read files.
    threads: chains at a time; 0 takes as many as torch has threads.
    progress: show a bar on stderr.

    Raises
    ------
    CheckpointError: no such head, one of another task, of pairs of proteins, or trained on features that a structure
        alone does not have.
    """
    from tertia.errors import CheckpointError
    from tertia.training.head import load_head

    loaded = load_head(head or task)
    learnt = loaded.learnt
    if head and str(task) != learnt.task.name:
        raise CheckpointError(str(head), found=f"is a head of the task {learnt.task.name}", allowed=str(task))
    _check_features(loaded)
    failed: list[InputError] = []
    chains = list(_chains(inputs, failed, model=model, assembly=assembly, jobs=jobs))
    done: list[Predicted | None] = [None] * len(chains)
    with Progress(progress) as bar:
        bar.step("predicting", total=len(chains))
        for position, found in _all(loaded, chains, threads):
            if isinstance(found, InputError):
                failed.append(found)
            else:
                done[position] = found
            bar.advance()
    return Predictions(
        learnt.task.residue_scores, learnt.task.protein_scores, tuple(one for one in done if one is not None),
        tuple(failed), learnt.calibration.get("threshold"), learnt.task.kind,
    )  # fmt: skip


def _check_features(head: Head) -> None:
    from tertia.encoders import FRESH, hashes_of
    from tertia.errors import CheckpointError
    from tertia.training.head import MODEL_HASHES

    if head.learnt.task.level == "pair":
        raise CheckpointError(
            str(head.folder), found=f"is a head of the task {head.learnt.task.name}, which scores pairs of proteins",
            allowed="heads that score one chain at a time", hint="tertia evaluate scores pairs of a benchmark",
        )  # fmt: skip
    if head.learnt.widths.feature:
        raise CheckpointError(
            str(head.folder), found="was trained on profiles that a structure does not have",
            allowed="a head trained with features=computed",
        )  # fmt: skip
    if FRESH in head.models:
        raise CheckpointError(
            str(head.folder), found="was trained on embeddings of untrained weights, a control of experiments",
            allowed="a head of trained models, or of none",
        )  # fmt: skip
    if (wanted := head.meta.get(MODEL_HASHES)) and wanted != hashes_of(head.models):
        raise CheckpointError(
            str(head.folder), found=f"was trained on embeddings of other weights of {head.models}",
            allowed=f"weights of SHA-256 {', '.join(wanted)}", hint="train the head again",
        )  # fmt: skip


def _all(head: Head, chains: Sequence[Chain], threads: int) -> Iterator[tuple[int, Predicted | InputError]]:
    """Yield (position, result), long chains first, one thread a chain: faster than all threads for each."""
    import torch

    from tertia.encoders import open_side_by_side

    embed = open_side_by_side(head.models) if head.models else None
    order = sorted(range(len(chains)), key=lambda k: -len(chains[k]))
    n_threads = min(threads or torch.get_num_threads(), max(len(chains), 1))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(max(1, before // n_threads))
        with ThreadPoolExecutor(n_threads) as pool:
            results = pool.map(lambda k: _one(head, chains[k], embed), order)
            yield from zip(order, results, strict=True)
    finally:
        torch.set_num_threads(before)


def _one(head: Head, chain: Chain, embed: Any) -> Predicted | InputError:
    from tertia.data.example import Example
    from tertia.training.learning import make_items

    learnt = head.learnt
    reads_structure = learnt.task.reads == "structure"
    if reads_structure and not chain.seen.any():
        return InputError(chain.frame or chain.entry, chain.key, found="has no C-alpha", allowed="one residue or more")
    try:
        example = Example(chain.key, (chain,), meta={"set": "", "target": ""})
        (prediction,) = learnt.predict(make_items(learnt.task, [example], embed))
    except Exception as error:  # one chain must not end the run of the others
        said = "".join(str(error).splitlines()[:1])[:200]
        found = f"could not be predicted ({type(error).__name__}: {said})"
        return InputError(chain.frame or chain.entry, chain.key, found=found)
    residue = prediction.residue if learnt.task.residue_scores else np.zeros((len(chain), 0))
    return Predicted(
        chain, np.where(chain.seen[:, None], residue, np.nan) if reads_structure else residue, prediction.protein
    )


def _chains(inputs: Any, failed: list[InputError], *, model: int, assembly: str | None, jobs: int) -> Iterator[Chain]:
    from tertia.structure.chain import Chain
    from tertia.structure.read import read_inputs

    for given in [inputs] if isinstance(inputs, str | Path | Chain) else inputs:
        if isinstance(given, Chain):
            yield given
            continue
        for found in read_inputs([str(given)], jobs=jobs, model=model, assembly=assembly):
            if isinstance(found, InputError):
                failed.append(found)
            else:
                failed += found.report.refused
                yield from found.chains
