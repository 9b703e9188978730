"""Train language models that differ in what stands beside a chain; `--write`: docs/results/pairlm_ablation.md.

    tertia prepare proteins.fa.gz -o store --exclude tests.fa --pairs pairs.tsv
    python benchmarks/pairlm_ablation.py store [--tokenizer tokenizer.json] [--size small] [--seeds 0 1 2] [--write]
    python benchmarks/pairlm_ablation.py store --arms single apart     # beside another one

Five arms (`pairlm_arms.ARMS`): one chain a line; two random chains that do not attend to each other; two random ones;
two that bind; as many of either. All have the same network, proteins, updates and number of tokens. What is finished is
kept under `--work`: the same command continues, and several may run side by side, each with arms or seeds of its own.
The page is made of what is finished; with `--page` nothing is computed for it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.pairlm_arms import ARMS, RECIPE, SIZES, Plan, plan, seen, train  # noqa: E402
from benchmarks.pairlm_page import FREQUENCIES, UNTRAINED, compared, draw, page, values  # noqa: E402
from benchmarks.pairlm_readouts import (  # noqa: E402
    FIGURES,
    PROBES,
    READ_OUTS,
    figure_of,
    known_proteins,
    labelled_pairs,
    read_out,
)
from tertia.data.columns import write_json  # noqa: E402
from tertia.data.store import Store  # noqa: E402
from tertia.recipe import read_recipe  # noqa: E402

RESULTS = ROOT / "docs" / "results"


def read_all(plan: Plan, model: Path, seed: int, options: argparse.Namespace) -> None:
    """Read one network out, and the same one without training where nobody has."""
    for name in options.read_outs:
        print(f"{model.name}: {name}", file=sys.stderr, flush=True)
        given = {"size": plan.size, "seed": seed}
        read_out(name, model, options.data, path=model / "read" / f"{name}.npz", **given)
        if name in PROBES:  # untrained weights are the same for all arms, so that they are read out once a seed
            path = plan.folder(UNTRAINED, seed) / "read" / f"{name}.npz"
            read_out(name, model, options.data, path=path, fresh=True, **given)
        else:
            path = plan.folder(FREQUENCIES, seed) / "read" / f"{name}.npz"
            read_out(name, model, options.data, path=path, frequencies=Store.open(plan.store), **given)


def found(plan: Plan, options: argparse.Namespace) -> dict[str, dict[str, list]]:
    """Return {arm: {figure: one for each seed}} of what is finished; a figure counts once all seeds have it."""
    out = {}
    for arm in (*options.arms, UNTRAINED, FREQUENCIES):
        folders = [plan.folder(arm, seed) / "read" for seed in options.seeds]
        columns = {name: [figure_of(name, folder) for folder in folders] for name in FIGURES}
        out[arm] = {name: figures for name, figures in columns.items() if all(one is not None for one in figures)}
    return {arm: figures for arm, figures in out.items() if figures}


def report(plan: Plan, options: argparse.Namespace) -> dict:
    """Return all numbers of the page as JSON values."""
    figures = found(plan, options)
    n_proteins, n_known = known_proteins(Store.open(plan.store), labelled_pairs(options.data, plan.size.n_pairs))
    return {
        "size": options.size, "settings": vars(plan.size), "architecture": architecture(plan), "seeds": options.seeds,
        "overrides": without_folders(plan.more),
        "arms": {name: vars(ARMS[name]) for name in options.arms}, "seen": seen(plan, options.arms, options.seeds),
        "pairs": {"proteins": n_proteins, "in the training store": n_known},
        "values": values(figures), "differences": compared(figures),
    }  # fmt: skip


def architecture(plan: Plan) -> str:
    """Return the architecture of all networks."""
    return read_recipe(RECIPE, plan.overrides(next(iter(ARMS)), 0)).family.architecture


def without_folders(words: Sequence[str]) -> list[str]:
    """Return words of a command line, of paths only the last part: where they lie is nobody's business."""
    return [word.rpartition("=")[0] + "=" * ("=" in word) + Path(word.rpartition("=")[2]).name for word in words]


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="made by `tertia prepare --pairs`")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json; by default every residue is a token")
    parser.add_argument("--work", type=Path, default=Path("ablation"), help="folder of the runs")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--read-outs", nargs="*", choices=READ_OUTS, default=list(READ_OUTS))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the recipe, for all arms")
    parser.add_argument("--page", action="store_true", help="make the page of what is finished, compute nothing else")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None, *, results: Path = RESULTS) -> str:
    """Train, read out, print the page and return it."""
    options = parsed(arguments)
    tokenizer = [f"tokenizer={options.tokenizer.resolve()}"] if options.tokenizer else []
    chosen = plan(options.store, options.work, SIZES[options.size], [*tokenizer, *options.set])
    if not options.page:
        for seed in options.seeds:  # all arms of a seed first: every one that is finished is a comparison
            for arm in options.arms:
                read_all(chosen, train(chosen, arm, seed), seed, options)
    numbers = report(chosen, options)
    text = page(numbers, command=" ".join(without_folders(sys.argv[1:] if arguments is None else arguments)))
    print(text)
    if options.write:
        results.mkdir(parents=True, exist_ok=True)
        (results / "pairlm_ablation.md").write_text(text)
        write_json(results / "pairlm_ablation.json", numbers)
        draw(numbers, results / "pairlm_ablation.svg")
    return text


if __name__ == "__main__":
    main()
