"""Read predicted models with their true quality: a table of targets, one of models, one of residues, one archive."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.errors import InputError
from tertia.structure.alignment import residue_pairs
from tertia.structure.chain import Chain
from tertia.structure.contact_area import CadScore, ContactAreas, compare_areas, contact_areas

GLOBAL_SCORES = ("tm_score", "gdt_ts", "gdt_ha", "lddt", "cad")
SPLITS = ("train", "valid", "test")

Model = tuple[str, str, str]  # set, target, decoy

_COLUMN_OF_SCORE = {"gdt_ts": "gdt_ts", "gdt_ha": "gdt_ha", "tm_score": "tm_score", "lddt": "lddt_ca"}


def read_quality(folder: Path, *, cad: bool = False) -> dict[str, list[Example]]:
    """Return the models of each split; the columns of `target` (L, 2) are lDDT of C-alphas and CAD-score.

    NaN where the native has no residue; the CAD-score is NaN everywhere unless asked for, and of C-alpha traces.
    `meta` holds target, set, decoy, cluster, and the scores of `GLOBAL_SCORES` in 0-1. A model of a protein with two
    native structures (fold switchers) is scored against the one that it is nearer to by lDDT.

    Parameters
    ----------
    folder: with targets.tsv, decoy_scores.tsv.gz, per_residue_lddt.tsv.gz and structures.tar.gz.
    cad: compute CAD-scores, 0.1 s a model with side chains; within one process once, they are not in the tables.

    Raises
    ------
    InputError: a file is missing or damaged, a model is not in the archive, or `cad` without the package voronotalt.
    """
    target_of = {(row["set"], row["target"]): row for row in _rows(folder / "targets.tsv")}
    best = _nearest_native(folder / "decoy_scores.tsv.gz")
    residues, scores = (
        {_model(row): row for row in _rows(folder / name) if best.get(_model(row)) == row["native"]}
        for name in ("per_residue_lddt.tsv.gz", "decoy_scores.tsv.gz")
    )
    archive = folder / "structures.tar.gz"
    chains = _chains(archive, {_path(model) for model in scores})
    cads = _cad_scores(archive, archive.stat().st_mtime_ns, frozenset(best.items())) if cad else {}
    splits: dict[str, list[Example]] = {name: [] for name in SPLITS}
    for model, row in scores.items():
        chain = chains[_path(model)]
        target = target_of[model[:2]]
        known = cads.get(model, CadScore(np.full(len(chain), np.nan), float("nan")))
        splits[target["split"]].append(_example(row, residues[model], target, chain, known))
    return splits


@lru_cache(maxsize=1)
def _cad_scores(archive: Path, changed: int, best: frozenset[tuple[Model, str]]) -> dict[Model, CadScore]:
    """Return the CAD-score of each model, of its own residues (L,), against the native that is named for it.

    `changed` is when the archive was written: the same archive is not scored twice.
    """
    native_of = dict(best)
    natives = {native: f"natives/{native}" for native in native_of.values()}
    chains = _chains(archive, {*map(_path, native_of), *natives.values()})
    areas: dict[str, ContactAreas | None] = {}
    scores = {}
    for model, name in native_of.items():
        chain, native = chains[_path(model)], chains[natives[name]]
        if (found := contact_areas(chain)) is None:
            continue
        if name not in areas:
            areas[name] = contact_areas(native)
        pairs = residue_pairs(native, chain)
        score = compare_areas(areas[name], found, pairs, len(native))
        residue = np.full(len(chain), np.nan)
        residue[pairs[:, 1]] = score.residue[pairs[:, 0]]
        scores[model] = CadScore(residue, score.whole)
    return scores


def _example(
    scores: Mapping[str, str], residues: Mapping[str, str], target: Mapping[str, str], chain: Chain, cad: CadScore
) -> Example:
    """Return one model; its residues of unknown quality stay, as NaN."""
    lddt = np.array(residues["lddt_ca_per_decoy_residue"].split(","), dtype=np.float64)
    sequence = "".join(np.array(list(chain.sequence))[chain.seen])
    if sequence != residues["decoy_sequence"]:
        raise InputError("per-residue table", "/".join(_model(scores)), found="has another sequence than the model")
    values = np.full((len(chain), 2), np.nan)
    values[chain.seen, 0] = lddt
    values[:, 1] = cad.residue
    meta = {"target": target["target"], "set": target["set"], "decoy": scores["decoy"], "cluster": target["cluster"]}
    meta |= {name: float(scores[column]) for name, column in _COLUMN_OF_SCORE.items()} | {"cad": cad.whole}
    return Example("/".join(_model(scores)), (chain,), values, meta=meta)


def _nearest_native(path: Path) -> dict[Model, str]:
    """Return the native with the largest lDDT for each model."""
    best: dict[Model, tuple[float, str]] = {}
    for row in _rows(path):
        found = (float(row["lddt_ca"]), row["native"])
        best[_model(row)] = max(best.get(_model(row), found), found)
    return {model: native for model, (_, native) in best.items()}


def _chains(archive: Path, wanted: set[str]) -> dict[str, Chain]:
    """Return the first chain of each wanted member, named without suffix."""
    from tertia.structure.read import read_structure  # here, for recipes know every task and need no parser
    from tertia.structure.sources import open_sources

    chains = {}
    for source in open_sources([archive]):
        name = source.name.rsplit("!", 1)[-1].removesuffix(".pdb")
        if name in wanted:
            chains[name] = read_structure(source).chains[0]
    for name in sorted(wanted - set(chains)):
        raise InputError(str(archive), name, found="is not in the archive")
    return chains


def _path(model: Model) -> str:
    return "/".join(("decoys", *model))


def _model(row: Mapping[str, str]) -> Model:
    return row["set"], row["target"], row["decoy"]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise InputError(str(path), found="there is no such file", hint="give the folder of the quality tables")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from csv.DictReader(file, delimiter="\t")
