"""Read the proteins of DeepLoc 1 (Almagro Armenteros et al. 2017): ten places in a cell, or membrane against soluble.

Validation proteins and the hard test set are those of Light Attention (Staerk et al. 2021). Of the published training
proteins 632 are missing, for their sequences could not be had; `without_sequence` names them. Five training sequences
stand among the validation proteins too, under other accessions: `tasks.audit` counts them and can part them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.data.tables import chain_of, check_length, one_of, read_rows

PLACES = (
    "Nucleus", "Cytoplasm", "Extracellular", "Mitochondrion", "Cell.membrane", "Endoplasmic.reticulum", "Plastid",
    "Golgi.apparatus", "Lysosome/Vacuole", "Peroxisome",
)  # fmt: skip
"""In the order of the classes."""
TWO_PLACES = "Cytoplasm-Nucleus"
SPLITS = ("train", "valid", "test", "setHARD")
_CLASS = {name: float(number) for number, name in enumerate(PLACES)}
_SPLIT = {"train": "train", "val": "valid", "test": "test", "setHARD": "setHARD"}
_MEMBRANE = {"M": 1.0, "S": 0.0, "U": np.nan, "": np.nan}


def read_places(folder: Path) -> dict[str, list[Example]]:
    """Return "train" (8,921), "valid" (1,655), "test" (2,768), "setHARD" (490), and "two_places" (23).

    `target` (1,) is the number of the place in `PLACES`. "two_places" are validation proteins of cytoplasm and nucleus,
    which belong to no class: their target is NaN. `meta` holds `membrane` as the table has it (M, S, U, or "" where
    nothing is said) and `source`, where the sequence comes from.

    Parameters
    ----------
    folder: with `deeploc1.tsv.gz`.

    Raises
    ------
    InputError: the table is missing or damaged.
    """
    found: dict[str, list[Example]] = {name: [] for name in (*SPLITS, "two_places")}
    for split, example in _proteins(folder):
        found["two_places" if np.isnan(example.target[0]) else split].append(example)
    return found


def read_membrane(folder: Path) -> dict[str, list[Example]]:
    """Return proteins with 1 for membrane and 0 for soluble: "train" (1,021), "test" (1,746), and "unknown".

    Only Light Attention's validation proteins and the test proteins say which they are, so the former are to train on;
    cut a validation set from them (`tasks.audit.cut_by_cluster`). "unknown" (11,090, target NaN) are all others: U in
    the table (657 of the validation, 1,022 of the test, all 490 of the hard proteins), or blank (8,921 to train on).

    Parameters
    ----------
    folder: with `deeploc1.tsv.gz`.

    Raises
    ------
    InputError: the table is missing or damaged.
    """
    found: dict[str, list[Example]] = {"train": [], "test": [], "unknown": []}
    part = {"valid": "train", "test": "test"}
    for split, example in _proteins(folder):
        label = _MEMBRANE[example.meta["membrane"]]
        labelled = Example(example.id, example.chains, np.array([label]), meta=example.meta)
        found["unknown" if np.isnan(label) else part.get(split, "unknown")].append(labelled)
    return found


def without_sequence(folder: Path) -> Mapping[str, str]:
    """Return the place of each training protein that is missing from `read_places`, by accession (632).

    Parameters
    ----------
    folder: with `deeploc1_train_without_sequence.tsv`.

    Raises
    ------
    InputError: the table is missing or damaged.
    """
    path = folder / "deeploc1_train_without_sequence.tsv"
    return {row["accession"]: row["label"] for row in read_rows(path, ("accession", "label"))}


def _proteins(folder: Path) -> Iterator[tuple[str, Example]]:
    """Yield split and example of each row; the target is NaN for proteins of two places."""
    path = folder / "deeploc1.tsv.gz"
    classes = _CLASS | {TWO_PLACES: np.nan}
    columns = ("accession", "split", "label", "membrane", "sequence_source", "length", "sequence")
    for row in read_rows(path, columns):
        name = row["accession"]
        split = one_of(row, "split", _SPLIT, path=path, entry=name)
        target = np.array([one_of(row, "label", classes, path=path, entry=name)])
        one_of(row, "membrane", _MEMBRANE, path=path, entry=name)
        check_length(row, ("sequence",), path=path, entry=name)
        meta = {"membrane": row["membrane"], "source": row["sequence_source"]}
        yield split, Example(name, (chain_of(name, row["sequence"], path),), target, meta=meta)
