"""Look for what makes a test easy: proteins, pairs or clusters shared between splits, and degrees that tell the label.

Nothing is dropped here unasked. `overlaps` and `degrees` count; `without_shared_sequences` and `without_shared_pairs`
part a list of examples in two and return both; `cut_by_cluster` and `cut_by_protein` cut validation sets of new ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tertia.data.example import Example
from tertia.data.split import split_clusters
from tertia.sequence.clusters import Clusters, clusters
from tertia.tasks.metrics import auroc


@dataclass(frozen=True)
class Overlap:
    """What two splits share; all by exact sequence, clusters excepted."""

    first: str  # name of a split
    second: str
    n_sequences: int  # distinct sequences that are in both
    n_examples: int  # examples of the second with at least one chain whose sequence is in the first
    n_pairs: int  # examples of the second whose chains, in any order, are those of an example of the first
    n_clusters: int | None  # clusters with members in both; None where no clusters were asked for


@dataclass(frozen=True)
class Repeats:
    """What one split says twice."""

    n_repeats: int  # examples whose chains, in any order, stood before
    n_contradictions: int  # sets of chains with more than one target
    n_with_itself: int  # pairs of a protein with itself


@dataclass(frozen=True)
class Degrees:
    """How often proteins are in positive and in negative pairs of one split."""

    n_proteins: int
    mean_positive: float  # positive pairs a protein
    mean_negative: float
    statistic: float  # of Kolmogorov and Smirnov: largest distance of the two distributions
    p: float  # of such a distance or a larger one, if proteins were drawn from one distribution
    auroc: float  # of the sum of the logarithms of both proteins' numbers of pairs, labels unseen; 0.5 tells nothing


def overlaps(
    splits: Mapping[str, Sequence[Example]], *, identity: float | None = None, tool: str = "auto", threads: int = 1
) -> list[Overlap]:
    """Return what each two splits share, in the order of the splits.

    Parameters
    ----------
    identity: also cluster all sequences at this identity (`sequence.clusters`) and count clusters that are in both.
    """
    sequences = {name: _sequences(examples) for name, examples in splits.items()}
    pairs = {name: {_content(example) for example in examples} for name, examples in splits.items()}
    groups = None if identity is None else _groups(sequences, identity, tool, threads)
    return [
        Overlap(
            first, second, len(sequences[first] & sequences[second]),
            sum(any(c.sequence in sequences[first] for c in example.chains) for example in splits[second]),
            sum(_content(example) in pairs[first] for example in splits[second]),
            None if groups is None else len(groups[first] & groups[second]),
        )
        for first, second in combinations(splits, 2)
    ]  # fmt: skip


def repeats(examples: Sequence[Example]) -> Repeats:
    """Return how many examples of a split stand twice, contradict each other, or pair a protein with itself."""
    targets: dict[tuple[str, ...], set[bytes]] = {}
    for example in examples:
        targets.setdefault(_content(example), set()).add(b"" if example.target is None else example.target.tobytes())
    return Repeats(
        len(examples) - len(targets), sum(len(found) > 1 for found in targets.values()),
        sum(len(example.chains) == 2 and len(set(_content(example))) == 1 for example in examples),
    )  # fmt: skip


def degrees(pairs: Sequence[Example]) -> Degrees:
    """Compare how often the proteins of labelled pairs are in positive and in negative ones.

    Numbers are compared as they are, so that `statistic` and `p` mean something where there are as many positives as
    negatives; `auroc` does in any case.

    Raises ValueError for no pairs.
    """
    from scipy.stats import ks_2samp

    if not pairs:
        raise ValueError("no pairs, no degrees")
    positive, negative = (
        Counter(sequence for pair in pairs if pair.target[0] == label for sequence in _content(pair))
        for label in (1.0, 0.0)
    )
    proteins = sorted(positive.keys() | negative.keys())
    of_protein = np.array([(positive[name], negative[name]) for name in proteins])  # (n, 2)
    test = ks_2samp(of_protein[:, 0], of_protein[:, 1])
    busy = dict(zip(proteins, np.log(of_protein.sum(axis=1)), strict=True))
    score = np.array([sum(busy[sequence] for sequence in _content(pair)) for pair in pairs])
    return Degrees(
        len(proteins), *map(float, of_protein.mean(axis=0)), float(test.statistic), float(test.pvalue),
        auroc(np.array([pair.target[0] for pair in pairs]), score),
    )  # fmt: skip


def without_shared_sequences(
    examples: Sequence[Example], *others: Sequence[Example]
) -> tuple[list[Example], list[Example]]:
    """Return the examples that share no sequence with any of the others, and those that do."""
    known = {chain.sequence for other in others for example in other for chain in example.chains}
    return _parted(examples, lambda example: any(chain.sequence in known for chain in example.chains))


def without_shared_pairs(
    examples: Sequence[Example], *others: Sequence[Example]
) -> tuple[list[Example], list[Example]]:
    """Return the examples whose chains are not those of one of the others, in any order, and those whose are."""
    known = {_content(example) for other in others for example in other}
    return _parted(examples, lambda example: _content(example) in known)


def cut_by_cluster(
    examples: Sequence[Example], *, share: float = 0.1, identity: float = 0.3, seed: int = 0, tool: str = "auto"
) -> tuple[list[Example], list[Example]]:
    """Return examples to train on and to validate with, of one chain each; no cluster of sequences is in both.

    Parameters
    ----------
    share: of the clusters that go to the second part; a hash of the representative's sequence decides which.

    Raises ValueError for pairs: a pair has no cluster.
    """
    if any(len(example.chains) != 1 for example in examples):
        raise ValueError("pairs belong to no cluster")
    sequences = [example.sequence for example in examples]
    found: Clusters = clusters(sequences, identity=identity, tool=tool)
    names = [sequences[k] for k in found.representative]
    part = split_clusters(found.cluster.tolist(), names, fractions=(1.0 - share, share, 0.0), seed=seed)
    valid = {id(example) for example, name in zip(examples, part, strict=True) if name == "valid"}
    return _parted(examples, lambda example: id(example) in valid)


def cut_by_protein(
    pairs: Sequence[Example], *, share: float = 0.1, seed: int = 0
) -> tuple[list[Example], list[Example]]:
    """Return pairs to train on and to validate with: each of the latter has a protein that no training pair has.

    Parameters
    ----------
    share: of the proteins that are kept for validation, drawn with the seed; about twice as many of the pairs are.
    """
    proteins = sorted(_sequences(pairs))
    n_kept = round(share * len(proteins))
    chosen = np.random.default_rng(seed).choice(len(proteins), size=n_kept, replace=False)
    kept = {proteins[k] for k in chosen}
    return _parted(pairs, lambda pair: any(chain.sequence in kept for chain in pair.chains))


def _groups(sequences: Mapping[str, set[str]], identity: float, tool: str, threads: int) -> dict[str, set[int]]:
    """Return the clusters that have members in each split."""
    every = sorted(set().union(*sequences.values()))
    number = clusters(every, identity=identity, tool=tool, threads=threads).cluster.tolist()
    of_sequence = dict(zip(every, number, strict=True))
    return {name: {of_sequence[sequence] for sequence in found} for name, found in sequences.items()}


def _parted(examples: Sequence[Example], second: Callable[[Example], bool]) -> tuple[list[Example], list[Example]]:
    parts: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        parts[second(example)].append(example)
    return parts


def _sequences(examples: Sequence[Example]) -> set[str]:
    return {chain.sequence for example in examples for chain in example.chains}


def _content(example: Example) -> tuple[str, ...]:
    """Return the sequences of an example in an order of their own: a pair is the same both ways."""
    return tuple(sorted(chain.sequence for chain in example.chains))
