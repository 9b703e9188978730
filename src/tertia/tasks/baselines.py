"""What needs no network: the most frequent class, letters, composition, degrees, and the nearest by shared words.

Every function learns from examples and scores others; `target[0]` is the class number, of residues `target` (L,).
Scores of classes add up to 1 in each row. Proteins are known by their sequences, not by their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tertia.data.example import Example
from tertia.residues import N_INDICES, letter_indices
from tertia.sequence.composition import N_COMPOSITION, composition_of

MOST_NEIGHBOURS = 20
_LETTERS = N_INDICES - 1  # 20 and unknown
_ROWS = 256
"""Sequences that are compared with all known ones at a time."""
_STEPS = 200


def majority(train: Sequence[Example], test: Sequence[Example], *, n_classes: int) -> np.ndarray:
    """Return the shares of the classes in training for every test example, (n, K); the largest is the majority's."""
    return np.tile(class_shares(train, n_classes=n_classes), (len(test), 1))


def class_shares(train: Sequence[Example], *, n_classes: int) -> np.ndarray:
    """Return the share of each class, (K,); of residues where targets are of residues. NaN targets do not count.

    Raises ValueError where nothing has a class.
    """
    classes = np.concatenate([np.zeros(0), *(np.ravel(example.target) for example in train)])
    counts = np.bincount(classes[np.isfinite(classes)].astype(int), minlength=n_classes)
    if not counts.sum():
        raise ValueError("no example has a class")
    return counts / counts.sum()


def letter_classes(train: Sequence[Example], test: Sequence[Example], *, n_classes: int) -> list[np.ndarray]:
    """Return the class shares that the letter of each residue has in training, (L, K) an example.

    Letters that training has not get the shares of all residues.
    """
    counts = np.zeros((N_INDICES, n_classes))
    for example in train:
        known = np.isfinite(example.target)
        np.add.at(counts, (letter_indices(example.sequence)[known], example.target[known].astype(int)), 1.0)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, counts / np.maximum(total, 1.0), class_shares(train, n_classes=n_classes))
    return [shares[letter_indices(example.sequence)] for example in test]


def composition(examples: Sequence[Example]) -> np.ndarray:
    """Return (n, 22): the share of each of the 20 letters and of others, and the logarithm of the length.

    Of pairs (n, 44): the sum of both proteins' numbers and their absolute difference, the same in either order.
    """
    if not examples:
        return np.zeros((0, N_COMPOSITION))
    first = np.stack([composition_of(example.chains[0].sequence) for example in examples])
    if len(examples[0].chains) == 1:
        return first
    second = np.stack([composition_of(example.chains[1].sequence) for example in examples])
    return np.concatenate([first + second, np.abs(first - second)], axis=1)


@dataclass(frozen=True)
class Logistic:
    """Multinomial logistic regression on standardised features."""

    mean: np.ndarray  # (F,) of the training features
    scale: np.ndarray  # (F,) their standard deviations, 1 where they are constant
    weight: np.ndarray  # (F, K)
    offset: np.ndarray  # (K,)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, (n, K), from features (n, F)."""
        return _softmax((features - self.mean) / self.scale @ self.weight + self.offset)


def fit_logistic(features: np.ndarray, classes: np.ndarray, *, n_classes: int, penalty: float = 1.0) -> Logistic:
    """Fit by L-BFGS: the sum of cross entropies plus `penalty` / 2 times the squares of the weights, not of offsets.

    Parameters
    ----------
    features: (n, F).
    classes: (n,) int.
    """
    from scipy.optimize import minimize

    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    rows = (features - mean) / scale
    shape, picked = (rows.shape[1] + 1, n_classes), (np.arange(len(rows)), classes)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, offset = flat.reshape(shape)[:-1], flat.reshape(shape)[-1]
        chance = _softmax(rows @ weight + offset)
        value = -np.log(np.maximum(chance[picked], 1e-300)).sum() + penalty / 2 * np.square(weight).sum()
        chance[picked] -= 1.0
        slope = np.concatenate([rows.T @ chance + penalty * weight, chance.sum(axis=0, keepdims=True)])
        return value / len(rows), slope.ravel() / len(rows)

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    fitted = found.x.reshape(shape)
    return Logistic(mean, scale, fitted[:-1], fitted[-1])


def composition_classes(
    train: Sequence[Example], test: Sequence[Example], *, n_classes: int, penalty: float = 1.0
) -> np.ndarray:
    """Return class probabilities by logistic regression on `composition`, (n, K)."""
    fitted = fit_logistic(composition(train), _classes(train), n_classes=n_classes, penalty=penalty)
    return fitted(composition(test)) if test else np.zeros((0, n_classes))


def degree_scores(train: Sequence[Example], test: Sequence[Example]) -> np.ndarray:
    """Return how likely pairs are positive by their proteins' degrees in training alone, (n,), 0.5 for unknown ones.

    The logarithm of (positive pairs + 1) / (negative pairs + 1) of both proteins, added up, through a sigmoid.
    """
    degree = {
        label: Counter(c.sequence for example in train if example.target[0] == label for c in example.chains)
        for label in (0.0, 1.0)
    }
    odds = {
        sequence: np.log((degree[1.0][sequence] + 1) / (degree[0.0][sequence] + 1))
        for sequence in degree[0.0].keys() | degree[1.0].keys()
    }
    total = np.array([sum(odds.get(chain.sequence, 0.0) for chain in example.chains) for example in test])
    return 1.0 / (1.0 + np.exp(-total))


def neighbour_classes(
    train: Sequence[Example], test: Sequence[Example], *, n_classes: int, word: int = 3, most: int = 1
) -> np.ndarray:
    """Return the class shares of the training proteins that share most words with each test protein, (n, K).

    Neighbours count by their similarity; a protein that shares no word with any gets the shares of all training.
    """
    near = nearest_by_words([e.sequence for e in test], [e.sequence for e in train], word=word, most=most)
    weight = near @ np.eye(n_classes)[_classes(train)]  # (n, K)
    total = weight.sum(axis=1, keepdims=True)
    shares = class_shares(train, n_classes=n_classes)
    return np.where(total > 0, weight / np.where(total > 0, total, 1.0), shares)


def neighbour_pairs(
    train: Sequence[Example], test: Sequence[Example], *, word: int = 3, most: int = MOST_NEIGHBOURS
) -> np.ndarray:
    """Return the share of positives among the training pairs of the neighbours of both proteins, (n,).

    A training pair of neighbours c of a and d of b counts by the similarity of a and c times that of b and d, in both
    orders. The share of positives in training, where no neighbours of the two are paired.
    """
    from scipy.sparse import coo_array

    known, asked = _distinct(train), _distinct(test)
    near = nearest_by_words(list(asked), list(known), word=word, most=most)  # (P, Q)
    first, second = _ends(train, known)
    positive = _classes(train).astype(float)
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    shape = (len(known), len(known))
    paired, bound = (
        (near @ coo_array((np.tile(values, 2), (rows, columns)), shape=shape).tocsr()).tocsr()
        for values in (np.ones(len(train)), positive)
    )  # (P, Q) each: how much of each known protein's partners a test protein's neighbours are
    first, second = _ends(test, asked)
    score = np.full(len(test), positive.mean())
    for start in range(0, len(test), 1 << 14):
        part = slice(start, start + (1 << 14))
        other = near[second[part]]
        total, hits = (np.asarray((side[first[part]] * other).sum(axis=1)).ravel() for side in (paired, bound))
        score[part] = np.where(total > 0, hits / np.where(total > 0, total, 1.0), score[part])
    return score


def nearest_by_words(queries: Sequence[str], targets: Sequence[str], *, word: int = 3, most: int = MOST_NEIGHBOURS):
    """Return the similarities of each query with the `most` targets nearest to it, a sparse (n, m) array in rows.

    Similarity is the number of distinct words that both have over the number that either has (Jaccard's). Targets that
    share no word are left out; among equals the first come first.
    """
    from scipy.sparse import csr_array, vstack

    query, target = (_words(sequences, word) for sequences in (queries, targets))
    n_query, n_target = (np.asarray(matrix.sum(axis=1)).ravel() for matrix in (query, target))
    turned, parts = target.T.tocsr(), [csr_array((0, len(targets)))]
    for start in range(0, len(queries), _ROWS):
        both = (query[start : start + _ROWS] @ turned).toarray()
        either = n_query[start : start + _ROWS, None] + n_target - both
        parts.append(csr_array(_largest(both / np.maximum(either, 1.0), most)))
    return vstack(parts, format="csr")


def _largest(similarity: np.ndarray, most: int) -> np.ndarray:
    """Return (n, m) with all but the `most` largest of each row set to zero."""
    kept = np.argsort(-similarity, axis=1, kind="stable")[:, :most] if most > 1 else similarity.argmax(axis=1)[:, None]
    out = np.zeros_like(similarity)
    np.put_along_axis(out, kept, np.take_along_axis(similarity, kept, axis=1), axis=1)
    return out


def _words(sequences: Sequence[str], word: int):
    """Return which words each sequence has, a sparse (n, 21^word) array of ones."""
    from scipy.sparse import csr_array

    place = _LETTERS ** np.arange(word)
    found = [np.zeros(0, np.int64)] * len(sequences)
    for number, sequence in enumerate(sequences):
        letters = letter_indices(sequence).astype(np.int64) - 1
        if len(letters) >= word:
            found[number] = np.unique(np.lib.stride_tricks.sliding_window_view(letters, word) @ place)
    start = np.cumsum([0, *map(len, found)])
    columns = np.concatenate([np.zeros(0, np.int64), *found])
    return csr_array((np.ones(len(columns), np.float32), columns, start), shape=(len(sequences), _LETTERS**word))


def _distinct(examples: Sequence[Example]) -> dict[str, int]:
    """Number the sequences of examples."""
    number: dict[str, int] = {}
    for example in examples:
        for chain in example.chains:
            number.setdefault(chain.sequence, len(number))
    return number


def _ends(pairs: Sequence[Example], number: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the first and of the second proteins of pairs, (n,) each."""
    ends = np.array([[number[chain.sequence] for chain in pair.chains] for pair in pairs], np.int64).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]


def _classes(examples: Sequence[Example]) -> np.ndarray:
    return np.array([example.target[0] for example in examples], np.int64)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
