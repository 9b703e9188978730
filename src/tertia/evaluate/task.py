"""Score embeddings on a task: every row of `rows`, several seeds, intervals, and the proteins that leak apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tertia.errors import InputError
from tertia.evaluate.rows import Row, fresh_of, rows_of
from tertia.evaluate.runs import CORE_SPLITS, Graphs, Runs, averaged, of_row, runs_of
from tertia.progress import Progress

if TYPE_CHECKING:
    from tertia.tasks.task import Figure

N_RESAMPLES = 500
FEWEST_GROUPS = 5
"""Of fewer proteins (targets) there is no interval and no difference: resampling one of them gives a width of 0."""
CLEAN = ", clean"
"""Behind the name of a test set: what of it has no neighbour among the training chains of the models."""


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
            runs = runs_of(task, row, examples, graphs, options, Path(cache), n_seeds, bar)
            found[row.name] = [averaged(graphs.task, examples, runs)] if row.averaged else runs
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
    chosen = of_row(task, row, options)[0]
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
            control = other.role == "features" or (other.role == "fresh" and other.models == fresh_of(row.models))
            part = len(other.models) > 0 and set(other.models.split(",")) < set(row.models.split(","))
            if not row.models or other.name == row.name or not alike or not (control or part):
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
