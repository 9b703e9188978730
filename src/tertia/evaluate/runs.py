"""Train the rows of a table: what each seed of a row predicts, kept from one call to the next."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tertia.evaluate.rows import LONGEST_CHAIN, Row
from tertia.evaluate.trivial import trivial_predictions

if TYPE_CHECKING:
    from tertia.tasks.task import Prediction

CORE_SPLITS = ("train", "valid")
Runs = list[tuple[dict[str, list["Prediction"]], dict[str, float]]]  # (predictions of each set, calibration) of a seed


class Graphs:
    """The residue graphs of all structures, built when a row first needs them, and the digest that runs are kept by."""

    def __init__(self, task: Any, examples: Mapping[str, list[Any]]) -> None:
        self.task, self.examples = task, examples
        self.digest = digest_of(examples, coordinates=task.reads == "structure")
        self._of_split: dict[str, list[Any]] = {}

    def __getitem__(self, split: str) -> list[Any]:
        if split not in self._of_split:
            self._of_split[split] = [self.task.graph(example) for example in self.examples[split]]
        return self._of_split[split]


def runs_of(
    task: str, row: Row, examples: Mapping[str, list[Any]], graphs: Graphs, options: Sequence[str], cache: Path,
    n_seeds: int, bar: Any,
) -> Runs:  # fmt: skip
    """Return what each seed of a row predicts; finished runs come from the cache."""
    from tertia.training.learning import learn

    paths = [_path(cache, task, row, options, graphs.digest, seed) for seed in range(n_seeds)]
    if row.baseline:
        return [_trivial_run(row, examples, graphs, paths[0], bar)] * n_seeds
    missing = [seed for seed, path in enumerate(paths) if not path.is_file()]
    if missing:
        heads = _heads(task, row, examples, graphs, options, cache, missing, bar) if row.full else {}
        chosen, settings = of_row(task, row, options)
        used = _used(chosen, row, examples)
        items = _items(chosen, row, used, graphs, cache, bar)
        bar.step(row.label, total=len(missing))
        for seed in missing:
            encoder = _live_encoder(chosen, row, examples["train"]) if row.full else None
            start = heads.get(seed)
            learnt = learn(chosen, used, items, settings=settings, seed=seed, encoder=encoder, start=start)
            made = {split: learnt.predict(items[split], part) for split, part in used.items()
                    if split not in CORE_SPLITS}  # fmt: skip
            _write(paths[seed], {"valid": learnt.on_valid} | made, dict(learnt.calibration))
            bar.advance()
    return [read_run(path, examples) for path in paths]


def _heads(
    task: str, row: Row, examples: Mapping[str, list[Any]], graphs: Graphs, options: Sequence[str], cache: Path,
    seeds: Sequence[int], bar: Any,
) -> dict[int, dict[str, Any]]:  # fmt: skip
    """Return the weights of the network of a task after it has learnt on the model as it was, from all examples.

    A network that starts anew would bend the model before it has learnt anything itself (Kumar et al., ICLR 2022).
    """
    from tertia.training.learning import learn

    probe = replace(row, full=False, options=row.first)
    chosen, settings = of_row(task, probe, options)
    core = {split: examples[split] for split in CORE_SPLITS}
    items = _items(chosen, probe, core, graphs, cache, bar)
    return {seed: learn(chosen, core, items, settings=settings, seed=seed).network.state_dict() for seed in seeds}


def _trivial_run(
    row: Row, examples: Mapping[str, list[Any]], graphs: Graphs, path: Path, bar: Any
) -> tuple[dict[str, list[Prediction]], dict[str, float]]:
    """Return what a row without a network says, the same for every seed."""
    from tertia.training.learning import constant_predictions, make_items

    if not path.is_file():
        bar.step(row.label)
        if graphs.task.reads == "sequence":
            _write(path, *trivial_predictions(row.baseline, graphs.task, examples))
        else:
            items = {split: make_items(graphs.task, part, graphs=graphs[split]) for split, part in examples.items()}
            made = {split: constant_predictions(items, split) for split in examples if split != "train"}
            _write(path, made, {"scale": 1.0, "offset": 0.0, "threshold": 0.0})
    return read_run(path, examples)


def of_row(task: str, row: Row, options: Sequence[str]) -> tuple[Any, Any]:
    """Return the task of a row and how it is learnt; `options` go before those of the row."""
    from tertia.recipe import read_task

    return read_task(task, options, defaults=() if row.baseline else row.options)


def _used(task: Any, row: Row, examples: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the examples that a row learns from and is tried on: options of its own thin the training ones out."""
    from tertia.tasks.labels import thinned

    most = getattr(task, "most_train", 0) if row.full else 0
    return dict(examples) | {"train": thinned(examples["train"], most)}


def _live_encoder(task: Any, row: Row, train: Sequence[Any]) -> Any:
    """Return the model of a row, its weights as they were before any seed, ready to learn."""
    from tertia.embedding.live import LiveEncoder
    from tertia.encoders import load_model

    model = load_model(row.models, calibration=[example.chains[0] for example in train])
    return LiveEncoder(model.family, model.network, task, longest_chain=LONGEST_CHAIN)


def _items(
    task: Any, row: Row, examples: Mapping[str, list[Any]], graphs: Graphs, cache: Path, bar: Any
) -> dict[str, list[Any]]:
    from tertia.encoders import open_side_by_side
    from tertia.training.learning import make_items, n_steps

    embed = None
    if row.models and not row.full:
        chains = [example.chains[0] for example in examples["train"]]
        embed = open_side_by_side(row.models, calibration=chains, cache=cache / "embeddings")
    bar.step(
        row.label if embed is None else f"embeddings: {row.label}",
        total=sum(n_steps(task, part) for part in examples.values()),
    )
    kept = task.reads == "structure"  # letters are soon read, and networks do not all read the same
    return {
        split: make_items(task, part, embed, bar.advance, graphs=graphs[split] if kept else None)
        for split, part in examples.items()
    }


def _path(cache: Path, task: str, row: Row, options: Sequence[str], data: str, seed: int) -> Path:
    """Return the file of one run; models go by the SHA-256 of their weights, examples by `data`, their digest."""
    from tertia.encoders import hashes_of

    how = row.baseline or repr(of_row(task, row, options))
    full = ["full", LONGEST_CHAIN, repr(of_row(task, replace(row, options=row.first), options))] if row.full else []
    key = json.dumps([task, row.models, hashes_of(row.models), how, data, seed, *full])
    return cache / "runs" / f"{task}-{row.trained}-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"


def digest_of(examples: Mapping[str, list[Any]], *, coordinates: bool = True) -> str:
    """Return a hash of what is learnt from and tried on: residues, coordinates if they are, features and answers."""
    digest = hashlib.sha256()
    for split, part in examples.items():
        for one in part:
            names = sorted(one.features)
            digest.update(f"{split} {one.id} {one.sequence} {sorted(one.meta.items())} {names}".encode())
            places = [chain.alpha for chain in one.chains] if coordinates else ()
            for array in (*places, one.target, *(one.features[name] for name in names)):
                if array is not None:
                    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _write(path: Path, made: Mapping[str, Sequence[Prediction]], calibration: Mapping[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"calibration/{name}": np.array(value) for name, value in calibration.items()}
    for split, predictions in made.items():
        arrays[f"residue/{split}"] = np.concatenate([one.residue for one in predictions])
        arrays[f"protein/{split}"] = np.stack([one.protein for one in predictions])
    half = path.with_suffix(f".{os.getpid()}.npz")  # renamed when complete; other processes may write the same run
    np.savez_compressed(half, **arrays)
    half.replace(path)


def read_run(path: Path, examples: Mapping[str, list[Any]]) -> tuple[dict[str, list[Prediction]], dict[str, float]]:
    """Return the predictions of each set, and the calibration, of a finished run."""
    from tertia.tasks.task import Prediction

    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    out = {}
    for split, part in examples.items():
        if split != "train":
            ends = np.cumsum([len(one) for one in part])[:-1]
            rows = np.split(arrays[f"residue/{split}"], ends)
            out[split] = [Prediction(a, b) for a, b in zip(rows, arrays[f"protein/{split}"], strict=True)]
    calibration = {name.split("/")[1]: float(value) for name, value in arrays.items() if name.startswith("calibration")}
    return out, calibration


def averaged(task: Any, examples: Mapping[str, list[Any]], runs: Runs) -> tuple[dict, dict[str, float]]:
    """Return the mean of what the seeds predict, and what follows from it on the validation examples."""
    from tertia.tasks.task import Prediction

    def mean(same: Sequence[Prediction]) -> Prediction:
        return Prediction(
            np.mean([one.residue for one in same], axis=0), np.mean([one.protein for one in same], axis=0)
        )

    splits = runs[0][0]
    made = {split: [mean(same) for same in zip(*(found[split] for found, _ in runs), strict=True)] for split in splits}
    return made, task.decide(examples["valid"], made["valid"])
