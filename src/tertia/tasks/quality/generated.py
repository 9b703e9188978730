"""Read the folder that `tertia decoys` writes: natives and models with made errors, for training only."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.data.leak import Leak, find_leaks
from tertia.errors import InputError
from tertia.sequence.fasta import Record
from tertia.structure.chain import Chain
from tertia.tasks.quality.tables import GLOBAL_SCORES

SET = "generated"
LABELS, NATIVE = "labels.json", "native.pdb"  # as `tertia.decoys` names them


def read_generated(folder: Path, *, away_from: Collection[str]) -> tuple[list[Example], list[Leak]]:
    """Return the natives and their decoys, each as `tables.read_quality` returns a model, and what was left out.

    A native has 1 as every score. `meta` holds target and cluster (the native), set (`SET`), decoy (the file) and the
    scores of `GLOBAL_SCORES`; the CAD-score is unknown. Natives with a neighbour at 30 % identity among `away_from`
    are left out with their decoys.

    Parameters
    ----------
    folder: of `tertia decoys`.
    away_from: sequences of the proteins that models are tried on.

    Raises
    ------
    InputError: no finished native in the folder, or a model that is not what the labels say.
    """
    paths = sorted(path for path in folder.glob(f"*/{LABELS}") if not path.parent.name.startswith("."))
    if not paths:
        raise InputError(str(folder), found="holds no decoys", allowed="a folder that `tertia decoys` wrote")
    natives = {path.parent.name: _first_chain(path.parent / NATIVE) for path in paths}
    tried = [Record(f"{k}", sequence, "tried on") for k, sequence in enumerate(dict.fromkeys(away_from))]
    leaks = find_leaks(list(natives), [chain.sequence for chain in natives.values()], tried) if tried else []
    refused = {leak.chain for leak in leaks}
    examples = []
    for path in paths:
        name = path.parent.name
        if name in refused:
            continue
        native = natives[name]
        perfect = np.where(native.seen, 1.0, np.nan)
        examples.append(_example(name, NATIVE, native, perfect, dict.fromkeys(_SCORES, 1.0)))
        for row in json.loads(path.read_text())["decoys"]:
            chain = _first_chain(folder / row["file"])
            local = np.array(row["residue"], dtype=np.float64)
            if chain.sequence != row["sequence"]:
                raise InputError(str(folder / row["file"]), found="has another sequence than its labels",
                                 hint="remove the native's folder and run `tertia decoys` again")  # fmt: skip
            examples.append(_example(name, Path(row["file"]).name, chain, local, row))
    return examples, leaks


_SCORES = tuple(name for name in GLOBAL_SCORES if name != "cad")


def _example(native: str, decoy: str, chain: Chain, local: np.ndarray, scores: dict[str, float]) -> Example:
    values = np.full((len(chain), 2), np.nan)
    values[:, 0] = local
    meta = {"target": native, "set": SET, "decoy": decoy, "cluster": f"{SET}/{native}", "cad": float("nan")}
    return Example(f"{SET}/{native}/{decoy}", (chain,), values, meta=meta | {name: scores[name] for name in _SCORES})


def _first_chain(path: Path) -> Chain:
    from tertia.structure.read import read_structure  # here, for recipes know every task and need no parser

    return read_structure(path).chains[0]
