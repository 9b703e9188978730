"""Group sequences into identity clusters, by MMseqs2 where it is installed, otherwise greedily by our own alignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tertia.sequence import mmseqs
from tertia.sequence.alignment import align
from tertia.sequence.search import E_VALUE, batches, chosen_tool, tool_name
from tertia.sequence.words import WordIndex

_MOST = 20
"""Representatives that the built-in way aligns a sequence with, those with most shared words."""


@dataclass(frozen=True)
class Clusters:
    """Which sequence represents which."""

    representative: np.ndarray  # (n,) int64, number of the representative of each sequence, its own for itself
    tool: str  # what made them, with version

    @property
    def cluster(self) -> np.ndarray:
        """(n,) int32 cluster numbers in order of first appearance."""
        number_of: dict[int, int] = {}
        return np.array([number_of.setdefault(k, len(number_of)) for k in self.representative.tolist()], np.int32)


def clusters(
    sequences: Sequence[str], *, identity: float = 0.3, coverage: float = 0.8, tool: str = "auto", threads: int = 1
) -> Clusters:
    """Group sequences so that each member aligns with its representative at this identity over most of its length.

    With MMseqs2: `easy-cluster --min-seq-id IDENTITY -c COVERAGE --cov-mode 1 -s 7 --cluster-reassign 1`. Without it:
    longest first, each sequence joins the most identical representative among those that share words with it, or
    becomes one (Holm & Sander 1998). The built-in way finds fewer remote members, and its time grows with the
    square of the number of sequences: it is meant for up to some ten thousand.

    Parameters
    ----------
    identity: identical pairs / alignment columns.
    coverage: least part of the member that the alignment covers.
    """
    path = chosen_tool(tool)
    if path and len(sequences) > 1:
        representative = mmseqs.cluster(path, sequences, identity=identity, coverage=coverage, threads=threads)
    else:
        representative = _greedy(sequences, identity, coverage)
    return Clusters(np.array(representative, np.int64), tool_name(path, tool))


def equal_groups(values: Sequence[str], name: str) -> Clusters:
    """Group by equal values of a property instead of by identity; the first with a value represents the others."""
    first: dict[str, int] = {}
    representative = [first.setdefault(value, number) for number, value in enumerate(values)]
    return Clusters(np.array(representative, np.int64), f"equal {name}")


def _greedy(sequences: Sequence[str], identity: float, coverage: float) -> list[int]:
    order = sorted(range(len(sequences)), key=lambda k: (-len(sequences[k]), sequences[k], k))
    index = WordIndex(sequences)
    n_letters = sum(map(len, sequences))
    representative = list(range(len(sequences)))
    first_with: dict[str, int] = {}
    done = np.zeros(len(sequences), bool)  # representatives so far
    for number in order:
        sequence = sequences[number]
        if sequence in first_with:
            representative[number] = representative[first_with[sequence]]
            continue
        first_with[sequence] = number
        near = index.candidates(sequence, most=len(sequences))
        representative[number] = _best(number, near[done[near]][:_MOST], sequences, identity, coverage, n_letters)
        done[number] = representative[number] == number
    return representative


def _best(
    number: int, near: np.ndarray, sequences: Sequence[str], identity: float, coverage: float, n_letters: int
) -> int:  # fmt: skip
    """Return the most identical representative that covers a sequence, or the sequence itself."""
    best, highest = number, 0.0
    for part in batches(near, sequences):
        found = align(sequences[number], [sequences[k] for k in part])
        fits = (found.identity >= identity) & (found.query_coverage >= coverage)
        fits &= found.e_value(len(sequences[number]), n_letters) <= E_VALUE
        for k in np.flatnonzero(fits & (found.identity > highest)):
            if found.identity[k] > highest:
                best, highest = part[k], float(found.identity[k])
    return best
