"""What a sequence is made of, as numbers: the least that anything should be better than."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tertia.residues import N_INDICES, letter_indices

N_COMPOSITION = N_INDICES
"""Shares of 20 letters and of others, and the logarithm of the length."""


@lru_cache(maxsize=1 << 16)
def composition_of(sequence: str) -> np.ndarray:
    """Return (22,) float64, read-only: the share of each of the 20 letters and of others, and the log of the length.

    Kept, for a protein may stand in hundreds of pairs.
    """
    counts = np.bincount(letter_indices(sequence), minlength=N_INDICES)[1:]
    found = np.append(counts / max(len(sequence), 1), np.log(max(len(sequence), 1)))
    found.setflags(write=False)
    return found
