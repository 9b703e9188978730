"""Read the server models of CASP with their natives, as its archive or the scripts of GraphQA lay them down.

    natives/T0950.pdb     (or native/T0950.pdb, or T0950.pdb)
    models/T0950/<model>  (or decoys/T0950/<model>.pdb, or T0950/<model>, or T0950.3D.srv.tar.gz in these places)
    scores.csv            (or decoys.csv; optional)

in one folder, or in folders CASP9, CASP10, ... below it with the table beside them or inside.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.errors import InputError
from tertia.structure.alignment import residue_pairs
from tertia.structure.chain import Chain
from tertia.structure.contact_area import ContactAreas, compare_areas, contact_areas
from tertia.structure.quality import global_quality, lddt
from tertia.structure.read import Structure, read_inputs, read_structure
from tertia.structure.sources import Source
from tertia.tasks.quality.tables import GLOBAL_SCORES

TABLES = ("scores.csv", "decoys.csv")
_NATIVES, _MODELS = ("natives", "native", ""), ("models", "decoys", "")
_NATIVE_SUFFIXES, _MODEL_SUFFIXES = (".pdb", ".pdb.gz", ".ent", ".cif"), ("", ".3D.srv.tar.gz", ".tar.gz")
_NO_MODELS = (".dssp", ".npz", ".csv", ".txt", ".md")  # what other programs leave beside models
_COLUMNS = {
    "target": ("target", "target_id"), "model": ("model", "decoy", "decoy_id"), "edition": ("casp_ed", "edition"),
    "gdt_ts": ("gdt_ts",), "gdt_ha": ("gdt_ha",), "tm_score": ("tm_score", "tmscore", "tm"), "lddt": ("lddt",),
    "cad": ("cad", "cad_score"),
}  # fmt: skip
_ALIKE = 0.5  # share of the shorter chain that must be in the other: a model of the same protein has nearly all


@dataclass(frozen=True)
class CaspModels:
    """What was read and what was not."""

    examples: tuple[Example, ...]  # shaped like those of `tables.read_quality`
    refused: tuple[InputError, ...]  # models, targets and rows of the table that are not among the examples


@dataclass
class _Native:
    """A native and what is computed of it once."""

    chain: Chain
    with_cad: bool
    areas: ContactAreas | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.areas = contact_areas(self.chain) if self.with_cad else None


def read_casp(folder: Path, *, cad: bool = False, progress: Callable[[str], None] | None = None) -> CaspModels:
    """Return the models of all targets, each as `tables.read_quality` returns one.

    `target` (L, 2) holds lDDT of C-alphas and CAD-score of the model's residues, computed here, NaN where the native
    has no residue. `meta` holds target, set ("casp13", or "casp" where no folder says which), decoy, cluster (the
    target: nothing is known of relatives), and the scores of `GLOBAL_SCORES` in 0-1: those of the table where it has
    them, the others computed. Of a file with several MODELs the first is read, of several chains the longest.

    Parameters
    ----------
    folder: see the top of this module. The table has columns target, model and any of gdt_ts, gdt_ha, tm_score, lddt,
        cad (or the names of GraphQA: casp_ed, target_id, decoy_id); a column with values above 1 is taken for percent.
    cad: compute CAD-scores too.
    progress: called with set/target after each model of it.

    Raises
    ------
    InputError: nothing there that looks like CASP, a table without target and model, or `cad` without voronotalt.
    """
    editions = [one for one in sorted(folder.glob("CASP*")) if one.is_dir()] or [folder]
    examples: list[Example] = []
    refused: list[InputError] = []
    found: set[str] = set()
    listed: dict[str, int] = {}  # models in the table
    for edition in editions:
        name = edition.resolve().name.lower()
        set_name = name if re.fullmatch(r"casp\d+", name) else "casp"
        table = _table((edition, folder), set_name)
        listed |= {target: len(rows) for target, rows in table.items()}
        for target, native, models in _targets(edition):
            found.add(target)
            for result in _target(f"{set_name}/{target}", native, models, table.get(target, {}), cad):
                (refused if isinstance(result, InputError) else examples).append(result)
                if progress is not None:
                    progress(f"{set_name}/{target}")
    for target in sorted(listed.keys() - found):
        missing = f"{listed[target]} models are in the table, none in the folder"
        refused.append(InputError(str(folder), target, found=missing))
    if not found:
        allowed = "natives/<target>.pdb and models/<target>/<model>"
        raise InputError(str(folder), found="holds neither natives nor models", allowed=allowed)
    return CaspModels(tuple(examples), tuple(refused))


def _targets(edition: Path) -> Iterator[tuple[str, Path | None, Path | None]]:
    """Yield each target with the file of its native and the folder or archive of its models, None where missing."""
    natives, models = _by_name(edition, _NATIVES, _NATIVE_SUFFIXES), _by_name(edition, _MODELS, _MODEL_SUFFIXES)
    for target in sorted(natives.keys() | models.keys()):
        yield target, natives.get(target), models.get(target)


def _by_name(edition: Path, folders: tuple[str, ...], suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return what lies in the folders, by name without suffix, the first of each name; "" is a folder of models."""
    found: dict[str, Path] = {}
    for place in [edition / name for name in folders]:
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            suffix = next((s for s in suffixes if s and path.name.endswith(s) and path.is_file()), "")
            taken = bool(suffix) or ("" in suffixes and path.is_dir())
            # In the folder itself anything may lie beside; targets of CASP are named T0950, T0953s1, H0968, T1022-D1.
            named = place != edition or re.match(r"[THR]\d{4}", path.name)
            if taken and named and not path.name.startswith("."):
                found.setdefault(path.name.removesuffix(suffix), path)
    return found


def _target(
    name: str, native: Path | None, models: Path | None, rows: Mapping[str, Mapping[str, float]], cad: bool
) -> Iterator[Example | InputError]:
    """Yield every model of one target, named set/target, or why it cannot be used."""
    where, target = str(models or native), name.rsplit("/", 1)[-1]
    if native is None or models is None:
        yield InputError(where, target, found="has no native structure" if native is None else "has no models")
        return
    try:
        chain = _longest(read_structure(native))
    except InputError as error:
        yield InputError(where, target, found=f"its models were not read, for its native cannot be used ({error})")
        return
    true = _Native(chain, cad)
    seen: set[str] = set()
    for result in read_inputs(_files(models)):
        refused = isinstance(result, InputError)
        decoy = Source(result.where).entry if refused else result.report.entry
        if decoy in seen:
            result = InputError(where, target, found=f"has a second model named {decoy}; the first was read")
        elif not refused:
            result = _try_example(f"{name}/{decoy}", _longest(result), true, rows.get(decoy, {}))
        seen.add(decoy)
        yield result
    if not seen:
        yield InputError(where, target, found="has no models")
    for decoy in sorted(rows.keys() - seen):
        yield InputError(where, decoy, found="is in the table, but there is no such file")


def _files(models: Path) -> list[str]:
    """Return the archive or the files of one target; servers' models have no suffix."""
    if models.is_file():
        return [str(models)]
    kept = [path for path in sorted(models.iterdir()) if path.is_file() and not path.name.startswith(".")]
    return [str(path) for path in kept if not path.name.endswith(_NO_MODELS)]


def _longest(structure: Structure) -> Chain:
    """Return the chain that shows most residues."""
    return max(structure.chains, key=lambda chain: int(np.count_nonzero(chain.seen)))


def _try_example(name: str, model: Chain, native: _Native, known: Mapping[str, float]) -> Example | InputError:
    try:
        return _example(name, model, native, known)
    except InputError as error:
        return error


def _example(name: str, model: Chain, native: _Native, known: Mapping[str, float]) -> Example:
    """Return one model with its labels; raise InputError where it is no model of this protein."""
    true, pairs = native.chain, residue_pairs(native.chain, model)
    n_shorter = int(min(np.count_nonzero(true.seen), np.count_nonzero(model.seen)))
    if len(pairs) < max(3, _ALIKE * n_shorter):
        found = f"shares {len(pairs)} of {n_shorter} residues with the native structure"
        raise InputError(model.frame.rsplit("#", 1)[0], name, found=found, allowed="half of them and 3 or more")
    placed = np.full_like(true.alpha, np.nan)
    placed[pairs[:, 0]] = model.alpha[pairs[:, 1]]
    residue = np.full((len(true), 2), np.nan)
    residue[:, 0] = lddt(true.alpha, placed).residue
    scores = dict.fromkeys(GLOBAL_SCORES, float("nan"))
    if not known.keys() >= set(GLOBAL_SCORES) - {"cad"}:
        quality = global_quality(true.alpha, placed)
        scores |= {score: float(getattr(quality, score)) for score in GLOBAL_SCORES if score != "cad"}
    if native.with_cad:
        contacts = compare_areas(native.areas, contact_areas(model), pairs, len(true))
        residue[:, 1], scores["cad"] = contacts.residue, contacts.whole
    values = np.full((len(model), 2), np.nan)
    values[pairs[:, 1]] = residue[pairs[:, 0]]
    set_name, target, decoy = name.split("/", 2)
    meta = {"target": target, "set": set_name, "decoy": decoy, "cluster": target}
    return Example(name, (model,), values, meta=meta | scores | dict(known))


def _table(places: tuple[Path, ...], set_name: str) -> dict[str, dict[str, Mapping[str, float]]]:
    """Return the scores of each model of each target; rows of another edition are left out."""
    path = next((place / name for place in places for name in TABLES if (place / name).is_file()), None)
    if path is None:
        return {}
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        header = {column.strip().lower(): column for column in reader.fieldnames or ()}
        column = {
            name: header[alias] for name, aliases in reversed(_COLUMNS.items()) for alias in aliases if alias in header
        }
        if not {"target", "model"} <= column.keys():
            found = f"has the columns {', '.join(header)}"
            raise InputError(str(path), found=found, allowed="target, model, gdt_ts, ...")
        rows = [row for row in reader if _is_of(set_name, row.get(column.get("edition"), ""))]
    scores = {name: _numbers(path, rows, column[name]) for name in GLOBAL_SCORES if name in column}
    table: dict[str, dict[str, Mapping[str, float]]] = {}
    for k, row in enumerate(rows):
        known = {name: values[k] for name, values in scores.items() if np.isfinite(values[k])}
        table.setdefault(row[column["target"]], {})[row[column["model"]].removesuffix(".pdb")] = known
    return table


def _is_of(set_name: str, edition: str) -> bool:
    number = edition.strip().lower().removeprefix("casp")
    return not number or set_name in ("casp", f"casp{number}")


def _numbers(path: Path, rows: list[dict[str, str]], column: str) -> np.ndarray:
    """Return a column of scores in 0-1, (n,); NaN where it is empty."""
    values = np.full(len(rows), np.nan)
    for k, row in enumerate(rows):
        text = (row[column] or "").strip()
        if text.lower() in ("", "na", "n/a", "nan", "-"):
            continue
        try:
            values[k] = float(text)
        except ValueError:
            raise InputError(str(path), f"row {k + 2}", found=f"{column} is '{text}'", allowed="a number") from None
    largest = np.nanmax(values, initial=0.0)
    if largest > 100 or np.nanmin(values, initial=0.0) < 0:
        raise InputError(str(path), column, found="has values outside 0-100", allowed="0-1, or percent")
    return values / 100 if largest > 1 else values
