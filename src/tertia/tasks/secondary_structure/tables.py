"""Read helix, strand and coil of residues: NetSurfP-2.0 to train on, CB513 and CASP12 to test.

Three states come from the eight of DSSP (Kabsch & Sander 1983) as in NetSurfP-2.0 (Klausen et al. 2019): H, G and I are
helix, E and B strand, the rest coil. TAPE's validation table is not read: 1,571 of its 2,170 sequences stand in that of
NetSurfP-2.0, which has a validation set of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.data.tables import chain_of, check_length, one_of, read_rows
from tertia.errors import InputError

STATES = "HEC"
"""In the order of the classes: helix, strand, coil."""
STATE_OF_DSSP = {"H": "H", "G": "H", "I": "H", "E": "E", "B": "E", "T": "C", "S": "C", "C": "C"}
SPLITS = ("train", "valid", "newPISCES364")
_SPLIT = {"train": "train", "val": "valid", "test_newpisces": "newPISCES364"}


def read_netsurfp2(folder: Path) -> dict[str, list[Example]]:
    """Return "train" (9,712), "valid" (1,080) and "newPISCES364" (364) of NetSurfP-2.0, 2,845,094 residues in all.

    `target` (L,) is the number of the state in `STATES`, NaN for residues that the structure does not show (186,876,
    all C in the table). Feature `resolved` (L, 1) is 1 for residues that it shows, else 0.

    Parameters
    ----------
    folder: with `netsurfp2_3state.tsv.gz`.

    Raises
    ------
    InputError: the table is missing or damaged.
    """
    found: dict[str, list[Example]] = {name: [] for name in SPLITS}
    path = folder / "netsurfp2_3state.tsv.gz"
    part = {name: found[split] for name, split in _SPLIT.items()}
    for row, example in _proteins(path, ("split",), mask="resolved_mask"):
        one_of(row, "split", part, path=path, entry=example.id).append(example)
    return found


def read_cb513(folder: Path) -> list[Example]:
    """Return the 513 proteins of CB513 (Cuff & Barton 1999) as TAPE has them, 144,360 residues.

    Target and feature as `read_netsurfp2`. Only 434 sequences are different: 60 occur two to four times, with the same
    labels. Two of them stand in NetSurfP-2.0, one to train and one to validate: take them away there
    (`tasks.audit.without_shared_sequences`).

    Parameters
    ----------
    folder: with `cb513_3state.tsv.gz`.

    Raises
    ------
    InputError: the table is missing or damaged.
    """
    return [example for _, example in _proteins(folder / "cb513_3state.tsv.gz", (), mask="observed_mask")]


def read_casp12(folder: Path) -> list[Example]:
    """Return the 20 free-modelling proteins of CASP12, 6,801 residues; `meta` holds `dssp`, the eight states.

    Target and feature as `read_netsurfp2`.

    Parameters
    ----------
    folder: with `casp12_8state.tsv.gz`.

    Raises
    ------
    InputError: the table is missing or damaged, or its three states are not those of its eight.
    """
    path, found = folder / "casp12_8state.tsv.gz", []
    for row, example in _proteins(path, ("ss8",), mask="observed_mask"):
        check_length(row, ("ss8",), path=path, entry=example.id)
        if "".join(STATE_OF_DSSP.get(letter, "?") for letter in row["ss8"]) != row["ss3"]:
            raise InputError(str(path), example.id, found="ss3 does not follow from ss8", allowed=str(STATE_OF_DSSP))
        meta = {"dssp": row["ss8"]}
        found.append(Example(example.id, example.chains, example.target, example.features, meta))
    return found


def _proteins(path: Path, columns: tuple[str, ...], *, mask: str) -> Iterator[tuple[dict[str, str], Example]]:
    """Yield row and example of each protein."""
    for row in read_rows(path, ("id", "length", "sequence", "ss3", mask, *columns)):
        name = row["id"]
        check_length(row, ("sequence", "ss3", mask), path=path, entry=name)
        state, resolved = _places(row, "ss3", STATES, path), _places(row, mask, "01", path)
        target = np.where(resolved == 1.0, state, np.nan)
        features = {"resolved": resolved[:, None]}
        yield row, Example(name, (chain_of(name, row["sequence"], path),), target, features)


def _places(row: dict[str, str], column: str, alphabet: str, path: Path) -> np.ndarray:
    """Return (L,) float64, the place of each letter of a cell in an alphabet."""
    wrong = set(row[column]) - set(alphabet)
    if wrong:
        found = f"{column} holds {', '.join(sorted(wrong))}"
        raise InputError(str(path), row["id"], found=found, allowed=", ".join(alphabet))
    letters = np.frombuffer(row[column].encode("ascii"), np.uint8)
    place = np.zeros(256)
    place[np.frombuffer(alphabet.encode("ascii"), np.uint8)] = np.arange(len(alphabet))
    return place[letters]
