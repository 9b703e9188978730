"""The one residue table: letters, their indices, three-letter names. Index 0 means nothing, in every alphabet."""

from __future__ import annotations

import numpy as np

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
"""The 20 standard amino acids in alphabetical order of their letters; `LETTERS[k]` has index k + 1."""

UNKNOWN = "X"
"""Letter of a residue whose parent is none of the 20 (or is not known); its index is 21."""

N_INDICES = len(LETTERS) + 2
"""Size of the alphabet with 0 (nothing) and 21 (unknown)."""

LETTER_OF_NAME = {
    "ALA": "A", "CYS": "C", "ASP": "D", "GLU": "E", "PHE": "F", "GLY": "G", "HIS": "H", "ILE": "I", "LYS": "K",
    "LEU": "L", "MET": "M", "ASN": "N", "PRO": "P", "GLN": "Q", "ARG": "R", "SER": "S", "THR": "T", "VAL": "V",
    "TRP": "W", "TYR": "Y",
}  # fmt: skip
NAME_OF_LETTER = {letter: name for name, letter in LETTER_OF_NAME.items()}

_INDEX_OF_BYTE = np.full(256, len(LETTERS) + 1, dtype=np.uint8)
for _index, _letter in enumerate(LETTERS, start=1):
    _INDEX_OF_BYTE[ord(_letter)] = _index


def letter_indices(sequence: str) -> np.ndarray:
    """Return the index of each letter of a sequence, (L,) uint8; any letter but the 20 becomes 21 (unknown)."""
    return _INDEX_OF_BYTE[np.frombuffer(sequence.encode("ascii", "replace"), dtype=np.uint8)]
