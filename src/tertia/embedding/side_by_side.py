"""Several encoders as one: their embeddings of a chain side by side, kept on disk while a task is learnt."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tertia.embedding.edges import embed_edges
from tertia.tasks.task import Vectors

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
        paths = [folder / f"{_name(chain, source, sink)}.{level}.npy" for level in ("protein", "residue", "edge")]
        if not all(path.is_file() for path in paths):
            folder.mkdir(parents=True, exist_ok=True)
            for path, values in zip(paths, _embed(encoding, chain, source, sink), strict=True):
                half = path.with_suffix(f".{os.getpid()}.npy")  # renamed when complete: a kill leaves no broken file
                np.save(half, values.astype(np.float16), allow_pickle=False)
                half.replace(path)
        return tuple(np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)


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
