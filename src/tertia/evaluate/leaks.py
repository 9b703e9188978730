"""Which test proteins a model may have seen something like: neighbours at 30 % identity of its training chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tertia.errors import CheckpointError

IDENTITY = 0.3
FEW = 500
"""Up to so many different sequences are searched in every way there is; of more only by MMseqs2, where that is
installed, for the built-in alignment takes seconds for each."""
SHORTEST = 25
"""Residues; no alignment of shorter chains with thousands of proteins is beyond chance (E <= 1e-3)."""


def clean_positions(
    tests: Mapping[str, Sequence[Any]], against: Sequence[str], models: str
) -> dict[str, np.ndarray] | None:
    """Return the positions of the examples of each test set without a neighbour among the training chains.

    An example of two chains is clean where both are. Different sequences are searched once, however many examples
    they are in. None if the training chains of a model are not known, or all chains are too short to be searched for.

    Parameters
    ----------
    against: stores or FASTA files with training chains; checkpoints that keep their training sequences add them.
    models: as in `encoders.parse_models`; "" for none.
    """
    from tertia.data.leak import read_excluded

    kept = _kept_sequences(models)
    if not against and (not kept or None in kept):
        return None
    sources = [*against, *(path for path in kept if path)]
    sequences = dict.fromkeys(c.sequence for examples in tests.values() for one in examples for c in one.chains)
    if max(map(len, sequences), default=0) < SHORTEST:
        return None
    leaking = _leaking(list(sequences), read_excluded(sources))
    return {
        name: np.array(
            [k for k, one in enumerate(examples) if not any(c.sequence in leaking for c in one.chains)], dtype=int
        )
        for name, examples in tests.items()
    }


def _leaking(sequences: Sequence[str], known: Sequence[Any]) -> set[str]:
    """Return the sequences that neighbour a known one; those that are known themselves need no search."""
    from tertia.data.leak import find_leaks
    from tertia.sequence import mmseqs

    seen = {record.sequence for record in known}
    others = [sequence for sequence in sequences if sequence not in seen]
    tool = "mmseqs" if len(others) > FEW and mmseqs.program() else "auto"
    found = find_leaks(others, others, known, identity=IDENTITY, tool=tool)
    return (seen & set(sequences)) | {leak.chain for leak in found}


def _kept_sequences(models: str) -> list[str | None]:
    """Return the file of training sequences of each model, None for one that keeps none."""
    from tertia.encoders import FRESH, parse_models
    from tertia.training import checkpoint

    found: list[str | None] = []
    for name, _ in parse_models(models) if models else ():
        path = checkpoint.checkpoint_folder(name.removeprefix(FRESH)) / checkpoint.SEQUENCES
        if not path.parent.is_dir():
            raise CheckpointError(name, found="no such model")
        found.append(str(path) if path.is_file() else None)
    return list(dict.fromkeys(found))
