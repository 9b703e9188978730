"""Perturb held-out C-alpha traces, refine them by annealed Langevin steps, and show the RMSD before and after.

    python examples/refine.py STORE [--model distmap] [--write]

With --write, docs/results/refinement.md and refinement.svg are made.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import tertia
from tertia.models.distmap.langevin import denoise, refine
from tertia.structure.geometry import superpose

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
SIGMAS = (0.3, 1.0, 3.0)
N_CHAINS, LONGEST = 10, 120


def rmsd(coord: np.ndarray, native: np.ndarray) -> float:
    """Return the RMSD after superposition, Angstrom."""
    return superpose(coord, native)[2]


def rows_of(store: tertia.Store, trained) -> list[dict]:
    """Return one row a chain and noise level."""
    positions = [p for p in store.split("test").tolist() if 40 <= store.lengths[p] <= LONGEST][:N_CHAINS]
    rows = []
    for position in positions:
        chain = store[position]
        generator = np.random.default_rng(position)
        for sigma in SIGMAS:
            noisy = chain.alpha + sigma * generator.standard_normal(chain.alpha.shape).astype(np.float32)
            once = denoise(trained.family, trained.network, noisy, chain.sequence, sigma=sigma)
            refined = refine(trained.family, trained.network, noisy, chain.sequence, from_sigma=sigma)
            before, one, after = (rmsd(x, chain.alpha) for x in (noisy, once, refined))
            rows.append({"chain": chain.key, "sigma": sigma, "before": before, "once": one, "after": after})
            print(f"{chain.key:<12} sigma {sigma:4.1f}: {before:5.2f} -> {one:5.2f} one step, {after:5.2f} refined")
    return rows


def table(rows: list[dict]) -> str:
    """Return medians over chains as a markdown table."""
    lines = ["| noise, Å | chains | RMSD before, Å | after one step | after annealed steps | better | ratio |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for sigma in SIGMAS:
        mine = [row for row in rows if row["sigma"] == sigma]
        before, once, after = (np.median([row[name] for row in mine]) for name in ("before", "once", "after"))
        better = sum(row["after"] < row["before"] for row in mine)
        lines.append(f"| {sigma:g} | {len(mine)} | {before:.2f} | {once:.2f} | {after:.2f} | {better} of {len(mine)} "
                     f"| {after / before:.2f} |")  # fmt: skip
    return "\n".join(lines)


def draw(rows: list[dict], path: Path) -> None:
    """Draw RMSD before against RMSD after."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "tertia"
    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    for sigma in SIGMAS:
        mine = [row for row in rows if row["sigma"] == sigma]
        axes.plot([r["before"] for r in mine], [r["after"] for r in mine], "o", alpha=0.7, label=f"noise {sigma:g} Å")
    top = max(max(row["before"], row["after"]) for row in rows) * 1.1
    axes.plot([0.1, top], [0.1, top], "-", color="0.7", lw=1)
    axes.set(xscale="log", yscale="log", xlabel="RMSD before, Å", ylabel="RMSD after, Å")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="a store with a test split")
    parser.add_argument("--model", default="distmap")
    parser.add_argument("--write", action="store_true", help="write the page and the plot")
    options = parser.parse_args()
    rows = rows_of(tertia.Store.open(options.store), tertia.load(options.model))
    print(table(rows))
    if options.write:
        draw(rows, RESULTS / "refinement.svg")
        (RESULTS / "refinement.md").write_text(PAGE.format(table=table(rows), longest=LONGEST))


PAGE = """# Refining perturbed traces

Held-out chains (test split, 40 to {longest} residues), Gaussian noise on every C-alpha, RMSD after superposition,
medians. "One step" is the posterior mean `tertia.models.distmap.langevin.denoise`, "annealed" is `refine` from the
noise level down to 0.1 Å, 4 steps a level.

{table}

![RMSD before and after](refinement.svg)

Made by `python examples/refine.py STORE --write`.
"""


if __name__ == "__main__":
    main()
