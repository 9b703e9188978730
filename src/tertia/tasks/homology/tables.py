"""Read TAPE's folds (Rao et al. 2019, after Hou et al. 2018): the superfamilies of the test set are not in training.

TAPE has two easier test sets more, of held-out superfamilies (1,254 domains) and families (1,272). Their sequences are
in no table here, only their names: `domain_counts` says how many. No set of DeepSF is read: most of its sequences stand
in TAPE's training set (578 of 711 in the hardest one).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.data.tables import chain_of, check_length, one_of, read_rows
from tertia.errors import InputError

N_FOLDS = 1195
SPLITS = ("train", "valid", "test_fold")
DOMAIN_SETS = (*SPLITS, "test_superfamily", "test_family")


def read_folds(folder: Path) -> dict[str, list[Example]]:
    """Return "train" (12,312), "valid" (736) and "test_fold" (718) domains.

    `target` (1,) is TAPE's number of the fold, 0 to 1194; `meta` holds `fold`, its name in SCOP, "" where unknown (277
    rare folds). The table has no names of domains: `id` is split and row, "train_00000".

    Parameters
    ----------
    folder: with `tape_fold.tsv.gz`.

    Raises
    ------
    InputError: the table is missing or damaged.
    """
    path = folder / "tape_fold.tsv.gz"
    splits: dict[str, list[Example]] = {name: [] for name in SPLITS}
    for number, row in enumerate(read_rows(path, ("split", "label", "fold", "length", "sequence")), start=2):
        found = one_of(row, "split", splits, path=path, entry=f"line {number}")
        name = f"{row['split']}_{len(found):05d}"
        check_length(row, ("sequence",), path=path, entry=name)
        if not row["label"].isdecimal() or int(row["label"]) >= N_FOLDS:
            raise InputError(str(path), name, found=f"label is {row['label']!r}", allowed=f"0 to {N_FOLDS - 1}")
        meta = {"fold": row["fold"] if row["fold"] != "NA" else ""}
        found.append(
            Example(name, (chain_of(name, row["sequence"], path),), np.array([float(row["label"])]), meta=meta)
        )
    return splits


def domain_counts(folder: Path) -> dict[str, int]:
    """Return how many domains TAPE names in each of its five sets, those without sequences here included.

    Parameters
    ----------
    folder: with `tape_domain_ids.tsv`.

    Raises
    ------
    InputError: the table is missing or damaged.
    """
    path = folder / "tape_domain_ids.tsv"
    sets = {name: name for name in DOMAIN_SETS}
    rows = read_rows(path, ("split", "scop_domain"))
    return dict(Counter(one_of(row, "split", sets, path=path, entry=row["scop_domain"]) for row in rows))
