"""Write docs/results/quality_limits.md: what the quality benchmark can tell apart, and what it cannot.

    tertia decoys NATIVES -o decoys --number 5 --seed 1
    python benchmarks/quality_limits.py DATA --models distmap@3.28+0.552 --generated decoys --cache evaluation --write

Five questions about the models of `tertia evaluate quality`: how much of their quality is that of the target, how far
the length of a protein goes, what a perfect score would reach within targets, how many targets the differences of
quality.md would need, and how figures grow with the number of training targets, real ones and natives with made decoys
(linear probes, so that nothing but features, untrained or trained embeddings differs).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.encoders import open_side_by_side
from tertia.recipe import read_task
from tertia.tasks.metrics import global_agreement
from tertia.tasks.quality.generated import SET
from tertia.training.learning import learn, make_items

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SHARES = (0.25, 0.5, 1.0)
OPTIONS = ["network_kind=linear", "epochs=12", "learning_rate=0.003"]  # of the linear rows of the table
COMPARED = ("linear-structure", "wide-structure")
FIGURES = ("gdt_ts R", "gdt_ts R_target", "local lddt rho")
Splits = Mapping[str, Sequence[Example]]


def score(examples: Sequence[Example], name: str) -> np.ndarray:
    """Return one global score of each model."""
    return np.array([float(example.meta[name]) for example in examples])


def targets(examples: Sequence[Example]) -> np.ndarray:
    """Return the target of each model."""
    return np.array([f"{example.meta['set']}/{example.meta['target']}" for example in examples])


def spread(splits: Splits) -> list[str]:
    """Return how the true GDT_TS varies between and within targets."""
    lines = [
        "| models of | models | targets | variance between targets | median range within a target |",
        "|---|---|---|---|---|",
    ]
    for split, examples in splits.items():
        truth, target = score(examples, "gdt_ts"), targets(examples)
        kinds, number = np.unique(target, return_inverse=True)
        means = np.bincount(number, truth) / np.bincount(number)
        ranges = [np.ptp(truth[number == k]) for k in range(len(kinds))]
        between = np.var(means[number]) / np.var(truth)
        lines.append(f"| {split} | {len(truth)} | {len(kinds)} | {between:.1%} | {np.median(ranges):.3f} |")
    return lines


def by_length(splits: Splits) -> list[str]:
    """Return what a parabola in the logarithm of the length, fitted on the training models, reaches."""
    lines = ["| score | valid R | test R |", "|---|---|---|"]
    for name in ("gdt_ts", "lddt"):
        size = {split: np.log([len(example) for example in examples]) for split, examples in splits.items()}
        line = np.polyfit(size["train"], score(splits["train"], name), 2)
        found = [
            np.corrcoef(np.polyval(line, size[split]), score(splits[split], name))[0, 1] for split in ("valid", "test")
        ]
        lines.append(f"| {name} | {found[0]:.3f} | {found[1]:.3f} |")
    return lines


def ceiling(splits: Splits) -> list[str]:
    """Return how well the true lDDT, a second true score of the same models, ranks them by GDT_TS."""
    lines = ["| models of | R_target of the true lDDT | R of the true lDDT |", "|---|---|---|"]
    for split in ("valid", "test"):
        truth, other = (score(splits[split], name) for name in ("gdt_ts", "lddt"))
        within = global_agreement(truth, other, target=targets(splits[split]), fewest=2).by_group["R_target"]
        lines.append(f"| {split} | {np.nanmean(within):.3f} | {np.corrcoef(truth, other)[0, 1]:.3f} |")
    return lines


def needed(n_targets: int) -> list[str]:
    """Return how many test targets the differences of quality.md would need, were they as large as they were found.

    Half the width of an interval falls with the root of the number of targets.
    """
    found = json.loads((RESULTS / "quality.json").read_text())["differences"]["test"]
    lines = ["| method | against | figure | difference | half interval | targets |", "|---" * 6 + "|"]
    for one in found:
        if one["row"] in COMPARED and one["figure"] in FIGURES:
            half = (one["high"] - one["low"]) / 2
            number = f"{n_targets * (half / one['value']) ** 2:,.0f}" if one["value"] > 0 else "-"
            cells = (one["row"], one["against"], one["figure"], f"{one['value']:+.3f}", f"{half:.3f}", number)
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def learning_curve(data: Path, models: str, cache: Path, n_seeds: int, generated: str) -> list[str]:
    """Return validation figures of linear probes that learn from a part of the training targets, and from more."""
    task, settings = read_task("quality", [*OPTIONS, *([f"generated={generated}"] if generated else [])])
    known = {split: part for split, part in task.read(data).items() if split != "test"}
    target = targets(known["train"])
    made = np.array([example.meta["set"] == SET for example in known["train"]])
    calibration = [example.chains[0] for example in known["train"]]
    lines = [
        "| training targets | embeddings | " + " | ".join(f"valid {name}" for name in FIGURES) + " |",
        "|---" * (2 + len(FIGURES)) + "|",
    ]
    order = np.random.default_rng(0).permutation(np.unique(target[~made]))
    few = [order[: round(share * len(order))] for share in SHARES]
    parts = {f"{len(names)}": np.isin(target, names) for names in few}
    if generated:
        parts[f"{len(order)} and {len(np.unique(target[made]))} natives with made decoys"] = np.ones(len(target), bool)
    fresh = ",".join(f"fresh:{part}" for part in models.split(","))
    for label, name in (("none: features alone", ""), ("untrained weights", fresh), (models, models)):
        embed = open_side_by_side(name, calibration=calibration, cache=cache / "embeddings") if name else None
        items = {split: make_items(task, part, embed) for split, part in known.items()}
        for part, kept in parts.items():
            examples = known | {"train": [known["train"][k] for k in np.flatnonzero(kept)]}
            learnt_from = items | {"train": [items["train"][k] for k in np.flatnonzero(kept)]}
            rows = []
            for seed in range(n_seeds):
                learnt = learn(task, examples, learnt_from, settings=settings, seed=seed)
                found = task.figures(known["valid"], learnt.predict(items["valid"]), learnt.calibration)
                values = {figure.name: float(figure.statistic(*figure.columns)) for figure in found}
                rows.append([values[figure] for figure in FIGURES])
            cells = " | ".join(
                f"{mean:.3f} ± {std:.3f}" for mean, std in zip(np.mean(rows, 0), np.std(rows, 0), strict=True)
            )
            lines.append(f"| {part} | {label} | {cells} |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Compute, print, and write when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", default="distmap@3.28+0.552")
    parser.add_argument("--cache", type=Path, default=Path("evaluation"))
    parser.add_argument("--generated", default="", help="folder of `tertia decoys`: more training models")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    splits = read_task("quality", [])[0].read(chosen.data)
    page = [
        "# quality: what the benchmark can tell", "",
        "Beside `quality.md`, in which rows are compared: how far apart they could be.", "",
        "## How much of a model's quality is that of its target", "", *spread(splits), "",
        "Between targets: share of the variance of GDT_TS that the mean of each target explains. The five models of a "
        "target are samples of one program and nearly alike, so that R_target ranks differences that are mostly below "
        "what GDT_TS itself resolves, and R is a matter of as many points as there are targets.", "",
        "## How far the length goes", "", *by_length(splits), "",
        "## What a perfect second score would reach", "", *ceiling(splits), "",
        "## How many test targets the differences need", "",
        "Targets with which a difference as large as the one found would leave out 0, from the intervals of `quality.md`.", "",
        *needed(len(set(targets(splits["test"])))), "",
        "## Figures and the number of training targets", "",
        f"Linear probes, validation models, mean and standard deviation of {chosen.seeds} seeds.", "",
        *learning_curve(chosen.data, chosen.models, chosen.cache, chosen.seeds, chosen.generated), "",
        f"Written by `python benchmarks/quality_limits.py {' '.join(sys.argv[1:])}`.", "",
    ]  # fmt: skip
    print("\n".join(page))
    if chosen.write:
        (RESULTS / "quality_limits.md").write_text("\n".join(page))


if __name__ == "__main__":
    main()
