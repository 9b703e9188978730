"""Several encoders as one: their embeddings of a chain side by side, kept on disk while a task is learnt."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tertia.data.batch import batches_by_cost, collate
from tertia.embedding.edges import embed_edges
from tertia.errors import InputError
from tertia.tasks.task import LEVELS, Vectors

if TYPE_CHECKING:
    from tertia.structure.chain import Chain


@dataclass(frozen=True)
class Encoding:
    """One model at its noise levels."""

    family: Any
    encoder: Any
    identity: str  # of weights and noise levels; the cache goes by it


class SideBySide:
    """Encodings whose channels stand one behind the other.

    Parameters
    ----------
    cache: folder in which embeddings are kept, as float16; None keeps nothing.
    """

    def __init__(self, encodings: Sequence[Encoding], *, cache: Path | None = None) -> None:
        self.encodings, self.cache = tuple(encodings), cache

    def __call__(self, chain: Chain, source: np.ndarray, sink: np.ndarray) -> Vectors:
        """Embed a chain and the pairs (source, sink), (E,) each; a chain without coordinates gets zeros."""
        parts = [self._kept(encoding, chain, source, sink) for encoding in self.encodings]
        return Vectors(*(np.concatenate(columns, axis=-1) for columns in zip(*parts, strict=True)))

    def _kept(
        self, encoding: Encoding, chain: Chain, source: np.ndarray, sink: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.cache is None:
            return _embed(encoding, chain, source, sink)
        folder = self.cache / encoding.identity
        paths = [folder / f"{_name(chain, source, sink)}.{level}.npy" for level in LEVELS]
        if not all(path.is_file() for path in paths):
            folder.mkdir(parents=True, exist_ok=True)
            for path, values in zip(paths, _embed(encoding, chain, source, sink), strict=True):
                _write(path, values)
        return tuple(np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)

    def of_sequences(
        self, chains: Sequence[Chain], levels: Sequence[str], done: Callable[[], None] = lambda: None
    ) -> dict[Chain, Vectors]:
        """Embed chains by their sequences alone, in batches of like length; of levels only those named.

        Parameters
        ----------
        chains: each is embedded once, however often it comes.
        levels: "protein", "residue" or both; the other has no channels.
        done: called after each different chain.

        Raises
        ------
        InputError: a model reads structures, and the chains are sequences.
        """
        distinct = list(dict.fromkeys(chains))
        parts: dict[Chain, list[dict[str, np.ndarray]]] = {chain: [] for chain in distinct}
        for number, encoding in enumerate(self.encodings):
            last = number + 1 == len(self.encodings)
            for chain, found in self._each(encoding, distinct, levels):
                parts[chain].append(found)
                if last:
                    done()
        return {chain: _joined(found, levels) for chain, found in parts.items()}

    def _each(
        self, encoding: Encoding, chains: Sequence[Chain], levels: Sequence[str]
    ) -> Iterator[tuple[Chain, dict[str, np.ndarray]]]:
        """Yield every chain with its rows by level: what is kept first, then the others batch by batch."""
        files: dict[Chain, dict[str, Path]] = {}
        if self.cache is not None:
            folder = self.cache / encoding.identity
            folder.mkdir(parents=True, exist_ok=True)
            none = np.zeros(0, np.int64)
            for chain in chains:
                name = _name(chain, none, none)
                files[chain] = {level: folder / f"{name}.{level}.npy" for level in levels}
        kept = {chain for chain in chains if chain in files and all(p.is_file() for p in files[chain].values())}
        for chain in chains:
            if chain in kept:
                yield chain, {level: np.load(path, allow_pickle=False) for level, path in files[chain].items()}
        for chain, found in _embed_batches(encoding, [chain for chain in chains if chain not in kept], levels):
            for level, path in files.get(chain, {}).items():
                _write(path, found[level])
            yield chain, {level: values.astype(np.float16) for level, values in found.items()}


def batches_of(family: Any, chains: Sequence[Chain]) -> Iterator[list[Chain]]:
    """Yield chains in batches of like length that compute fast, those of the longest first."""
    budget = getattr(family, "batch_cost", family.cost(64))
    for batch in batches_by_cost([family.cost(len(chain)) for chain in chains], budget, largest_first=True):
        yield [chains[k] for k in batch]


def _embed_batches(
    encoding: Encoding, chains: Sequence[Chain], levels: Sequence[str]
) -> Iterator[tuple[Chain, dict[str, np.ndarray]]]:
    """Yield chains with their rows, the longest batch first, so that too little memory shows at once."""
    family = encoding.family
    if family.needs_coordinates and any(chain.atoms is None for chain in chains):
        raise InputError("models", found=f"the family {family.name} reads structures, and these chains are sequences",
                         allowed="models of sequences, such as a pairlm", hint="or none: models empty")  # fmt: skip
    for members in batches_of(family, chains):
        encoded = encoding.encoder.encode(collate([family.featurise(chain) for chain in members]))
        protein, residue = encoded.protein.cpu().numpy(), encoded.residue.cpu().numpy()
        for row, chain in enumerate(members):
            found = {"protein": protein[row], "residue": residue[row, : len(chain)]}
            yield chain, {level: np.nan_to_num(found[level]) for level in levels}


def _joined(parts: Sequence[dict[str, np.ndarray]], levels: Sequence[str]) -> Vectors:
    """Return the rows of several models side by side; a level that was not asked for has none."""
    joined = {level: np.concatenate([part[level] for part in parts], axis=-1) for level in levels}
    protein = (joined["protein"],) if "protein" in joined else ()
    return Vectors(protein, joined.get("residue", np.zeros((0, 0), np.float16)), np.zeros((0, 0), np.float16))


def _write(path: Path, values: np.ndarray) -> None:
    half = path.with_suffix(f".{os.getpid()}.npy")  # renamed when complete: a kill leaves no broken file
    np.save(half, values.astype(np.float16), allow_pickle=False)
    half.replace(path)


def _embed(
    encoding: Encoding, chain: Chain, source: np.ndarray, sink: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    protein, residue, edge = embed_edges(encoding.family, encoding.encoder, chain, source, sink)
    edge = np.zeros((len(source), 0), np.float32) if edge is None else edge
    # What has no coordinates has no embedding of a structure; the residue graph says so in a channel of its own.
    return np.nan_to_num(protein), np.nan_to_num(residue), edge


def _name(chain: Chain, source: np.ndarray, sink: np.ndarray) -> str:
    digest = hashlib.sha256(chain.sequence.encode())
    for array in (chain.alpha.astype(np.float32), source, sink):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]
