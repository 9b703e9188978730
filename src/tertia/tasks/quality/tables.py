"""Read predicted models with their true quality: a table of targets, one of models, one of residues, one archive."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.errors import InputError
from tertia.structure.chain import Chain
from tertia.structure.read import read_structure
from tertia.structure.sources import open_sources

GLOBAL_SCORES = ("gdt_ts", "gdt_ha", "tm_score", "lddt")
SPLITS = ("train", "valid", "test")


def read_quality(folder: Path) -> dict[str, list[Example]]:
    """Return the models of each split; `target` (L,) is the lDDT of C-alphas, NaN where the native has no residue.

    `meta` holds target, set, decoy, cluster, and the scores of `GLOBAL_SCORES` in 0-1. A model of a protein with two
    native structures (fold switchers) is scored against the one that it is nearer to by lDDT.

    Parameters
    ----------
    folder: with targets.tsv, decoy_scores.tsv.gz, per_residue_lddt.tsv.gz and structures.tar.gz.

    Raises
    ------
    InputError: a file is missing or damaged, or a model is not in the archive.
    """
    target_of = {(row["set"], row["target"]): row for row in _rows(folder / "targets.tsv")}
    best = _nearest_native(folder / "decoy_scores.tsv.gz")
    residues, scores = (
        {_model(row): row for row in _rows(folder / name) if best.get(_model(row)) == row["native"]}
        for name in ("per_residue_lddt.tsv.gz", "decoy_scores.tsv.gz")
    )
    chains = _chains(folder / "structures.tar.gz", set(scores))
    splits: dict[str, list[Example]] = {name: [] for name in SPLITS}
    for model, row in scores.items():
        if model not in chains:
            raise InputError(str(folder / "structures.tar.gz"), "/".join(model), found="is not in the archive")
        target = target_of[model[:2]]
        splits[target["split"]].append(_example(row, residues[model], target, chains[model]))
    return splits


def _example(
    scores: Mapping[str, str], residues: Mapping[str, str], target: Mapping[str, str], chain: Chain
) -> Example:
    """Return one model; its residues of unknown quality stay, as NaN."""
    lddt = np.array(residues["lddt_ca_per_decoy_residue"].split(","), dtype=np.float64)
    sequence = "".join(np.array(list(chain.sequence))[chain.seen])
    if sequence != residues["decoy_sequence"]:
        raise InputError("per-residue table", "/".join(_model(scores)), found="has another sequence than the model")
    values = np.full(len(chain), np.nan)
    values[chain.seen] = lddt
    meta = {"target": target["target"], "set": target["set"], "decoy": scores["decoy"], "cluster": target["cluster"]}
    meta |= {name: float(scores["lddt_ca" if name == "lddt" else name]) for name in GLOBAL_SCORES}
    return Example("/".join(_model(scores)), (chain,), values, meta=meta)


def _nearest_native(path: Path) -> dict[tuple[str, str, str], str]:
    """Return the native with the largest lDDT for each (set, target, decoy)."""
    best: dict[tuple[str, str, str], tuple[float, str]] = {}
    for row in _rows(path):
        found = (float(row["lddt_ca"]), row["native"])
        best[_model(row)] = max(best.get(_model(row), found), found)
    return {model: native for model, (_, native) in best.items()}


def _chains(archive: Path, wanted: set[tuple[str, str, str]]) -> dict[tuple[str, str, str], Chain]:
    chains = {}
    for source in open_sources([archive]):
        parts = source.name.rsplit("!", 1)[-1].removesuffix(".pdb").split("/")
        if parts[0] == "decoys" and (model := tuple(parts[1:4])) in wanted:
            chains[model] = read_structure(source).chains[0]
    return chains


def _model(row: Mapping[str, str]) -> tuple[str, str, str]:
    return row["set"], row["target"], row["decoy"]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise InputError(str(path), found="there is no such file", hint="give the folder of the quality tables")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from csv.DictReader(file, delimiter="\t")
