"""Which test proteins a model may have seen something like: neighbours at 30 % identity of its training chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tertia.errors import CheckpointError

IDENTITY = 0.3


def clean_positions(
    tests: Mapping[str, Sequence[Any]], against: Sequence[str], models: str
) -> dict[str, np.ndarray] | None:
    """Return the positions of the examples of each test set without a neighbour among the training chains.

    None if nothing is known of the training chains.

    Parameters
    ----------
    against: stores or FASTA files with training chains; checkpoints that keep their training sequences add them.
    models: as in `encoders.parse_models`; "" for none.
    """
    from tertia.data.leak import find_leaks, read_excluded

    sources = [*against, *_kept_sequences(models)]
    if not sources:
        return None
    sequences = list(dict.fromkeys(one.chains[0].sequence for examples in tests.values() for one in examples))
    leaking = {leak.chain for leak in find_leaks(sequences, sequences, read_excluded(sources), identity=IDENTITY)}
    return {
        name: np.array([k for k, one in enumerate(examples) if one.chains[0].sequence not in leaking], dtype=int)
        for name, examples in tests.items()
    }


def _kept_sequences(models: str) -> list[str]:
    from tertia.encoders import FRESH, parse_models
    from tertia.training import checkpoint

    found = []
    for name, _ in parse_models(models) if models else ():
        path = checkpoint.checkpoint_folder(name.removeprefix(FRESH)) / checkpoint.SEQUENCES
        if not path.parent.is_dir():
            raise CheckpointError(name, found="no such model")
        if path.is_file():
            found.append(str(path))
    return list(dict.fromkeys(found))
