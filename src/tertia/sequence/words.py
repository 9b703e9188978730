"""Find likely neighbours among many sequences: shared three-letter words on nearby diagonals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tertia.residues import letter_indices

WORD = 3
_N_WORDS = 20**WORD
_DIAGONALS = 16
"""Width of a band of diagonals; a neighbour's shared words lie in one band or in two beside each other."""
_SPAN = 1 << 20
"""More than any two sequences' diagonals."""


class WordIndex:
    """Positions of every word in a set of sequences."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self.n_sequences = len(sequences)
        words, owners, places = [], [], []
        for number, sequence in enumerate(sequences):
            word, place = _words(sequence)
            words.append(word)
            places.append(place)
            owners.append(np.full(len(word), number, np.int64))
        word = np.concatenate([np.empty(0, np.int64), *words])
        order = np.argsort(word, kind="stable")
        self._owner = np.concatenate([np.empty(0, np.int64), *owners])[order]
        self._place = np.concatenate([np.empty(0, np.int64), *places])[order]
        self._start = np.searchsorted(word[order], np.arange(_N_WORDS + 1))

    def candidates(self, query: str, *, least: int = 3, most: int = 100) -> np.ndarray:
        """Return (n,) int64 numbers of sequences with at least `least` words in a band, most shared words first."""
        word, place = _words(query)
        count = self._start[word + 1] - self._start[word]
        if not count.sum():
            return np.empty(0, np.int64)
        # Positions of all occurrences of all query words, without a loop over words.
        inside = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        hit = np.repeat(self._start[word], count) + inside
        band = (np.repeat(place, count) - self._place[hit] + _SPAN // 2) // _DIAGONALS
        cell, shared = np.unique(self._owner[hit] * _SPAN + band, return_counts=True)
        beside = np.zeros_like(shared)
        beside[:-1] = np.where(cell[1:] == cell[:-1] + 1, shared[1:], 0)
        best = np.zeros(self.n_sequences, np.int64)
        np.maximum.at(best, cell // _SPAN, shared + beside)
        found = np.flatnonzero(best >= least)
        return found[np.argsort(-best[found], kind="stable")][:most]


def _words(sequence: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) word numbers of a sequence and (n,) where they stand; words with other than the 20 are left out."""
    letter = letter_indices(sequence).astype(np.int64)
    if len(letter) < WORD:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(letter, WORD)
    place = np.flatnonzero((windows <= 20).all(axis=1))
    return (windows[place] - 1) @ (20 ** np.arange(WORD)), place
