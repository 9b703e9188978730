"""Read the published benchmarks of interaction sites: DeepPPISP (352 train, 70 test proteins) and GraphPPIS (4 sets).

Both come as tables of residues with labels and sequence profiles. The C-alpha coordinates are those of GraphPPIS,
rebuilt from its distance maps; DeepPPISP proteins get them where GraphPPIS has the same chain. The two benchmarks share
most proteins, so a model that was trained on one must not be tested on the other.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.errors import InputError
from tertia.structure.chain import Atoms, Chain

GRAPHPPIS_SETS = ("Train_335", "Test_60", "Test_315", "UBtest_31")
SECONDARY = "HBEGITSC"
"""Letters of DSSP in GraphPPIS's tables; "?" (no row) is all zeros."""
_PSSM = tuple(f"pssm_{letter}" for letter in "ARNDCQEGHILKMFPSTWYV")
_HMM = tuple(f"hmm_{letter}" for letter in "ACDEFGHIKLMNPQRSTVWY")
_DSSP = tuple(f"dssp_{k}" for k in range(9))


def read_graphppis(folder: Path, name: str) -> list[Example]:
    """Return the chains of one set of GraphPPIS (Yuan et al. 2022).

    Features: pssm (L, 20) and hmm (L, 20) as integers, 9999 = no transition in the profile; dssp (L, 8) one-hot;
    accessibility (L, 1) relative; torsion (L, 2) phi and psi in degrees, 0 where there is none.

    Parameters
    ----------
    folder: with `<set>_residues.tsv.gz`.
    name: of `GRAPHPPIS_SETS`.

    Raises
    ------
    InputError: the table is missing or damaged.
    """
    if name not in GRAPHPPIS_SETS:
        raise InputError(str(folder), found=f"no set {name!r}", allowed=", ".join(GRAPHPPIS_SETS))
    return [
        _graphppis_example(chain, rows, name)
        for chain, rows in _proteins(folder / f"{name}_residues.tsv.gz", "chain_id")
    ]


def _graphppis_example(name: str, rows: list[Mapping[str, str]], source: str) -> Example:
    coord = _numbers(rows, ("ca_x", "ca_y", "ca_z")).astype(np.float32)
    sequence = "".join(row["aa"] for row in rows)
    chain = _alpha_chain(name[:4].lower(), name[4:], sequence, coord, frame=f"{source}/{name}")
    features = {
        "pssm": _numbers(rows, _PSSM),
        "hmm": _numbers(rows, _HMM),
        "dssp": np.array([[row["ss"] == letter for letter in SECONDARY] for row in rows], dtype=float),
        "accessibility": _numbers(rows, ("rasa",)),
        "torsion": _numbers(rows, ("phi", "psi")),
    }
    return Example(name, (chain,), _numbers(rows, ("label",))[:, 0], features, {"set": source})


def read_deepppisp(folder: Path, graphppis: Path) -> dict[str, list[Example]]:
    """Return the "train" (352) and "test" (70) proteins of DeepPPISP (Zeng et al. 2020), whole.

    Features: pssm (L, 20) integers; dssp (L, 9) one-hot as shipped, NaN where it has no row; dssp_mended (L, 9), the
    same, all zero in the proteins whose rows are shifted against the sequence (another number of rows than residues).

    Parameters
    ----------
    folder: with `proteins.tsv` and `residues.tsv.gz`.
    graphppis: folder of `read_graphppis`, for coordinates.

    Raises
    ------
    InputError: a table is missing, damaged, or does not fit the other.
    """
    twins = [example for name in GRAPHPPIS_SETS[:2] for example in read_graphppis(graphppis, name)]
    coord_of = {example.id: example.chains[0] for example in twins}
    splits: dict[str, list[Example]] = {"train": [], "test": []}
    path = folder / "residues.tsv.gz"
    rows_of = dict(_proteins(path, "index"))
    with _opened(folder / "proteins.tsv") as file:
        for protein in csv.DictReader(file, delimiter="\t"):
            rows = rows_of.get(protein["index"], [])
            if len(rows) != int(protein["length"]):
                found = f"{len(rows)} residues"
                raise InputError(str(path), protein["protein_id"], found=found, allowed=protein["length"])
            splits[protein["split"]].append(_deepppisp_example(protein, rows, coord_of.get(protein["graphppis_id"])))
    return splits


def _deepppisp_example(protein: Mapping[str, str], rows: list[Mapping[str, str]], twin: Chain | None) -> Example:
    sequence = "".join(row["aa"] for row in rows)
    coord = np.full((len(rows), 3), np.nan, np.float32)
    if twin is not None and twin.sequence == sequence:
        coord = twin.alpha
    name = protein["protein_id"]
    chain = _alpha_chain(protein["pdb_id"], protein["chain"], sequence, coord, frame=f"deepppisp/{name}")
    dssp = _numbers(rows, _DSSP)
    in_register = protein["dssp_rows"] == protein["length"]
    mended = dssp if in_register else np.zeros_like(dssp)
    features = {"pssm": _numbers(rows, _PSSM), "dssp": dssp, "dssp_mended": mended}
    return Example(name, (chain,), _numbers(rows, ("label",))[:, 0], features, {"set": protein["dataset"]})


def _alpha_chain(entry: str, name: str, sequence: str, coord: np.ndarray, *, frame: str) -> Chain:
    """Return a chain of C-alphas; residues without coordinates stay."""
    seen = np.isfinite(coord).all(axis=1)
    n_seen = int(seen.sum())
    atoms = Atoms(
        np.full(n_seen, "CA"), np.full(n_seen, "C"), coord[seen].astype(np.float32),
        np.flatnonzero(seen).astype(np.int32), np.ones(n_seen, np.float32), np.zeros(n_seen, np.float32),
    )  # fmt: skip
    number = np.arange(1, len(sequence) + 1, dtype=np.int32)
    return Chain(entry, name, sequence, tuple(map(str, number)), number, atoms, frame)


def _proteins(path: Path, column: str) -> Iterator[tuple[str, list[Mapping[str, str]]]]:
    """Yield the rows of each protein of a table; rows of one protein stand together."""
    with _opened(path) as file:
        rows = csv.DictReader(file, delimiter="\t")
        if column not in (rows.fieldnames or ()):
            raise InputError(str(path), found=f"no column {column!r}", allowed="a table of residues")
        for name, group in groupby(rows, key=lambda row: row[column]):
            yield name, list(group)


def _numbers(rows: list[Mapping[str, str]], columns: tuple[str, ...]) -> np.ndarray:
    """Return (L, columns) float64, NaN for NA."""
    try:
        return np.array([[np.nan if row[name] == "NA" else float(row[name]) for name in columns] for row in rows])
    except (KeyError, ValueError, TypeError) as error:
        entry = next(iter(rows[0].values()))
        raise InputError("table of residues", entry, found=f"a column or number is wrong ({error})") from None


def _opened(path: Path):
    if not path.is_file():
        raise InputError(str(path), found="there is no such file", hint="give the folder of the benchmark's tables")
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
