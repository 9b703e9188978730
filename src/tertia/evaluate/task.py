"""Score embeddings on a task: every row of `rows`, several seeds, intervals, and the proteins that leak apart."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tertia.errors import InputError
from tertia.evaluate.rows import LONGEST_CHAIN, Row, rows_of
from tertia.evaluate.trivial import trivial_predictions
from tertia.progress import Progress

if TYPE_CHECKING:
    from tertia.tasks.task import Figure, Prediction

N_RESAMPLES = 500
FEWEST_GROUPS = 5
"""Of fewer proteins (targets) there is no interval and no difference: resampling one of them gives a width of 0."""
CORE_SPLITS = ("train", "valid")
CLEAN = ", clean"
"""Behind the name of a test set: what of it has no neighbour among the training chains of the models."""
Runs = list[tuple[dict[str, list["Prediction"]], dict[str, float]]]  # (predictions of each set, calibration) of a seed


@dataclass(frozen=True)
class TaskReport:
    """Figures with intervals: `sets[test set][row][figure]`, and differences to the rows they are compared with."""

    task: str
    options: tuple[str, ...]
    data: str
    n_seeds: int
    rows: tuple[Row, ...]
    n_examples: dict[str, int]
    sets: dict[str, dict[str, dict[str, dict[str, float]]]] = field(repr=False)
    differences: dict[str, list[dict[str, Any]]] = field(repr=False)
    leaks: dict[str, Any] = field(default_factory=dict)
    citation: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return vars(self) | {"rows": [vars(row) for row in self.rows], "options": list(self.options)}


def evaluate_task(
    task: str, data: str | Path, *, models: str, sequence: str = "", paper: str = "", options: Sequence[str] = (),
    rows: Sequence[str] = (), n_seeds: int = 3, cache: str | Path, against: Sequence[str] = (), progress: bool = False,
) -> TaskReport:  # fmt: skip
    """Train every row of the table `n_seeds` times and score it on every test set.

    Embeddings, and predictions of finished runs, are kept in `cache`: the same call goes on where it was stopped, and
    several processes may share the work by `rows`.

    Parameters
    ----------
    task: one of `tasks.TASKS`.
    data: folder of the benchmark.
    models: under test, as in `encoders.parse_models`; the table adds its untrained twin. "": no embeddings.
    sequence, paper: further models for the table.
    options: of the task, "benchmark=graphppis"; those of a row go before them.
    rows: names of the rows; all by default.
    against: stores or FASTA files with the training chains of the models: test proteins with a neighbour at 30 %
        identity among them are taken out of the clean subsets.

    Raises
    ------
    RecipeError, InputError, CheckpointError: an option, the data, or a model cannot be used.
    """
    from tertia.recipe import read_task

    chosen = _chosen_rows(rows_of(task, structure=models, sequence=sequence, paper=paper), rows)
    examples = read_task(task, options)[0].read(Path(data))
    used = ",".join(part for part in (models, sequence, paper) if part)
    groups = _subsets(task, examples, against, used)
    found: dict[str, Runs] = {}
    graphs = Graphs(read_task(task, options)[0], examples)
    with Progress(progress) as bar:
        for row in chosen:
            runs = _runs(task, row, examples, graphs, options, Path(cache), n_seeds, bar)
            found[row.name] = [_averaged(graphs.task, examples, runs)] if row.averaged else runs
    figures = {
        name: {row.name: _row_figures(task, row, options, examples[source], positions, source, found[row.name])
               for row in chosen}
        for name, (source, positions) in groups.items() if len(positions)
    }  # fmt: skip
    return TaskReport(
        task=task, options=tuple(options), data=Path(data).name, n_seeds=n_seeds, rows=chosen,
        n_examples={split: len(part) for split, part in examples.items()}
        | {name: len(positions) for name, (_, positions) in groups.items()},
        sets={name: {row: _intervals(columns) for row, columns in table.items()} for name, table in figures.items()},
        differences={name: _differences(chosen, table) for name, table in figures.items()},
        leaks={name: len(examples[source]) - len(positions) for name, (source, positions) in groups.items()
               if name.endswith(CLEAN)},
        citation=read_task(task, options)[0].citation,
    )  # fmt: skip


def _chosen_rows(rows: tuple[Row, ...], names: Sequence[str]) -> tuple[Row, ...]:
    known = {row.name for row in rows}
    for name in names:
        if name not in known:
            raise InputError("rows", found=f"no row {name!r}", allowed=", ".join(sorted(known)))
    return tuple(row for row in rows if not names or row.name in names)


# --- runs ----------------------------------------------------------------------------------------------------------


class Graphs:
    """The residue graphs of all structures, built when a row first needs them, and the digest that runs are kept by."""

    def __init__(self, task: Any, examples: Mapping[str, list[Any]]) -> None:
        self.task, self.examples = task, examples
        self.digest = _digest(examples, coordinates=task.reads == "structure")
        self._of_split: dict[str, list[Any]] = {}

    def __getitem__(self, split: str) -> list[Any]:
        if split not in self._of_split:
            self._of_split[split] = [self.task.graph(example) for example in self.examples[split]]
        return self._of_split[split]


def _runs(
    task: str, row: Row, examples: Mapping[str, list[Any]], graphs: Graphs, options: Sequence[str], cache: Path,
    n_seeds: int, bar: Any,
) -> Runs:  # fmt: skip
    """Return what each seed of a row predicts; finished runs come from the cache."""
    from tertia.training.learning import learn

    paths = [_path(cache, task, row, options, graphs.digest, seed) for seed in range(n_seeds)]
    if row.baseline:
        return [_trivial_run(row, examples, graphs, paths[0], bar)] * n_seeds
    if not all(path.is_file() for path in paths):
        chosen, settings = _of_row(task, row, options)
        used = _used(chosen, row, examples)
        items = _items(chosen, row, used, graphs, cache, bar)
        bar.step(row.label, total=n_seeds)
        for seed, path in enumerate(paths):
            if not path.is_file():
                encoder = _live_encoder(chosen, row, examples["train"]) if row.full else None
                learnt = learn(chosen, used, items, settings=settings, seed=seed, encoder=encoder)
                made = {split: learnt.predict(items[split], part) for split, part in used.items()
                        if split not in CORE_SPLITS}  # fmt: skip
                _write(path, {"valid": learnt.on_valid} | made, dict(learnt.calibration))
            bar.advance()
    return [_read(path, examples) for path in paths]


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
    return _read(path, examples)


def _of_row(task: str, row: Row, options: Sequence[str]) -> tuple[Any, Any]:
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

    how = row.baseline or repr(_of_row(task, row, options))
    key = json.dumps([task, row.models, hashes_of(row.models), how, data, seed, *(["full", LONGEST_CHAIN] * row.full)])
    return cache / "runs" / f"{task}-{row.trained}-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"


def _digest(examples: Mapping[str, list[Any]], *, coordinates: bool = True) -> str:
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


def _read(path: Path, examples: Mapping[str, list[Any]]) -> tuple[dict[str, list[Prediction]], dict[str, float]]:
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


def _averaged(task: Any, examples: Mapping[str, list[Any]], runs: Runs) -> tuple[dict, dict[str, float]]:
    """Return the mean of what the seeds predict, and what follows from it on the validation examples."""
    from tertia.tasks.task import Prediction

    def mean(same: Sequence[Prediction]) -> Prediction:
        return Prediction(
            np.mean([one.residue for one in same], axis=0), np.mean([one.protein for one in same], axis=0)
        )

    splits = runs[0][0]
    made = {split: [mean(same) for same in zip(*(found[split] for found, _ in runs), strict=True)] for split in splits}
    return made, task.decide(examples["valid"], made["valid"])


# --- figures -------------------------------------------------------------------------------------------------------


def _subsets(
    task: str, examples: Mapping[str, list[Any]], against: Sequence[str], models: str
) -> dict[str, tuple[str, np.ndarray]]:
    """Return {name: (test set, positions)}: each test set, its sources, and what has no neighbour in pre-training."""
    from tertia.evaluate.leaks import clean_positions

    out: dict[str, tuple[str, np.ndarray]] = {}
    tests = {split: part for split, part in examples.items() if split not in CORE_SPLITS}
    clean = clean_positions(tests, against, models)
    for split, part in tests.items():
        out[split] = (split, np.arange(len(part)))
        if clean is not None:
            out[split + CLEAN] = (split, clean[split])
        sources = np.array([str(one.meta.get("set", "")) for one in part])
        if task == "quality":
            out |= {f"{split}, {name}": (split, np.flatnonzero(sources == name)) for name in sorted(set(sources))}
    return out


def _row_figures(
    task: str, row: Row, options: Sequence[str], examples: Sequence[Any], positions: np.ndarray, source: str, runs: Runs
) -> dict[str, Figure]:
    """Return the figures of a row on some examples, its seeds side by side."""
    chosen = _of_row(task, row, options)[0]
    seeds = [
        chosen.figures([examples[k] for k in positions], [predictions[source][k] for k in positions], calibration)
        for predictions, calibration in runs
    ]
    return {same[0].name: _over_seeds(same) for same in zip(*seeds, strict=True)}


def _over_seeds(same: Sequence[Figure]) -> Figure:
    """Return the mean of a figure over seeds, as a figure."""
    from tertia.tasks.metrics.statistics import OverRuns
    from tertia.tasks.task import Figure

    first = same[0]
    if len(first.columns) == 1:
        values = np.stack([one.columns[0] for one in same])
        return Figure(first.name, first.statistic, first.groups, (values.mean(axis=0),))
    truth = first.columns[0]
    return Figure(first.name, OverRuns(first.statistic), first.groups, (truth, *(one.columns[1] for one in same)))


def _intervals(figures: Mapping[str, Figure]) -> dict[str, dict[str, float]]:
    from tertia.tasks.metrics import bootstrap

    out = {}
    for name, figure in figures.items():
        if _n_groups(figure) >= FEWEST_GROUPS:
            found = bootstrap(figure.statistic, figure.groups, columns=figure.columns, n_resamples=N_RESAMPLES)
            out[name] = {"value": found.value, "low": found.low, "high": found.high}
        elif len(figure.groups):
            out[name] = {"value": float(figure.statistic(*figure.columns)), "low": np.nan, "high": np.nan}
    return out


def _n_groups(figure: Figure) -> int:
    """Return how many groups stand behind a figure; of a mean only those that have a value."""
    groups = figure.groups if len(figure.columns) > 1 else figure.groups[np.isfinite(figure.columns[0])]
    return len(np.unique(groups))


def _differences(rows: Sequence[Row], table: Mapping[str, Mapping[str, Figure]]) -> list[dict[str, Any]]:
    """Return by how much the rows with embeddings exceed the same network with less.

    That is features alone, untrained weights, and of several models side by side some of them.
    """
    from tertia.tasks.metrics import compare

    out = []
    for row in rows:
        for other in rows:
            alike = all(getattr(other, what) == getattr(row, what) for what in ("options", "averaged", "full"))
            part = len(other.models) > 0 and set(other.models.split(",")) < set(row.models.split(","))
            if not row.models or other.name == row.name or not alike or not (other.role or part):
                continue
            for name, figure in table[row.name].items():
                if _n_groups(figure) < FEWEST_GROUPS or name.startswith("oracle"):
                    continue
                second = table[other.name][name]
                if len(figure.columns) == 1:
                    gap = (figure.columns[0] - second.columns[0],)
                    found = compare(figure.statistic, figure.groups, first=gap, second=(np.zeros(len(gap[0])),),
                                    n_resamples=N_RESAMPLES)  # fmt: skip
                else:
                    found = compare(figure.statistic, figure.groups, first=figure.columns, second=second.columns,
                                    n_resamples=N_RESAMPLES)  # fmt: skip
                out.append({"row": row.name, "against": other.name, "figure": name, "value": found.interval.value,
                            "low": found.interval.low, "high": found.interval.high, "p": found.p})  # fmt: skip
    return out
