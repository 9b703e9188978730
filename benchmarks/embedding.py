"""Time whole-chain embedding by streaming beside the straightforward full map, in one run, and weigh its memory.

    python benchmarks/embedding.py [corpus] [memory] [curve] [largest] [--store STORE] [--threads 1] [--write]

corpus   chains with the corpus' own lengths: every chain is embedded both ways, one after the other
memory   peak of both at L = 1,000, each in a fresh process, above what the process held before
curve    time and peak memory by length: streaming to 5,000, the full map to 700
largest  L = 5,000 with the pair level written to disk

Lengths come from a store, or from the index of the structures under TERTIA_DATA. Chains longer than --longest are left
out on both sides, since the full map would need many GB. `--clock cpu` counts processor time instead of wall time, for
one thread on a shared machine. Results are kept in docs/results/embedding_speed.json with --write, and the page and the
plot are drawn from them, so that the parts may be run one by one.
"""

# ruff: noqa: E402 (the folder above has to be found first)
from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.naive_embedding import naive_residue
from tertia.data.batch import collate
from tertia.data.store import Store
from tertia.embedding.unfinished import Unfinished
from tertia.models.distmap import Distmap
from tertia.models.distmap.inputs import inputs_of_chain
from tests.distmap_networks import dilations, network_of
from tests.structures import make_chain

RESULTS = ROOT / "docs" / "results"
NETWORKS = {
    "paper": Distmap(mode="paper", bottleneck=16, n_blocks=32, dilations=(1, 3, 5, 9)),
    "tertia": Distmap(),
}
PARTS = ("corpus", "memory", "curve", "largest")
WAYS = {"naive": "full map", "streaming": "streaming"}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Contest:
    """One network, embedded in both ways."""

    def __init__(self, name: str) -> None:
        self.family = NETWORKS[name]
        self.name = name
        self.network = network_of(self.family)
        self.encoder = self.network.encoder([self.family.embed_level])

    def inputs(self, length: int):
        return collate([inputs_of_chain(make_chain(length, seed=length), self.family.embed_level)])

    def run(self, way: str, inputs) -> torch.Tensor:
        """Return (L, C) residue embeddings, standardised."""
        with torch.no_grad():
            if way == "streaming":
                return self.encoder.encode(inputs).residue[0]
            residue = naive_residue(self.network, dilations(self.family), inputs, paper=self.name == "paper")
            return self.network.standard("residue", residue[None], inputs.level, inputs.seen[:, 0])[0]


def corpus_lengths(store: str | None, n_chains: int, longest: int) -> list[int]:
    """Return lengths at even quantiles of the corpus, those above `longest` left out."""
    if store:
        lengths = Store.open(store).lengths
    else:
        folder = Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data")) / "structures"
        lines = (folder / "INDEX.tsv").read_text().splitlines()
        column = lines[0].split("\t").index("chains")
        cells = [cell for line in lines[1:] for cell in line.split("\t")[column].split(",") if cell]
        lengths = np.array([int(cell.rsplit(":", 1)[1]) for cell in cells])
    quantiles = np.sort(lengths)[((np.arange(n_chains) + 0.5) / n_chains * len(lengths)).astype(int)]
    return [int(length) for length in quantiles if length <= longest]


def corpus(contest: Contest, options) -> dict:
    """Time both ways on the corpus' lengths, chain by chain."""
    clock = CLOCKS[options.clock]
    lengths = corpus_lengths(options.store, options.chains, options.longest)
    spent: dict[str, list[float]] = {"naive": [], "streaming": []}
    error = 0.0
    for length in lengths:
        inputs = contest.inputs(length)
        found = {}
        for way, seconds in spent.items():
            start = clock()
            found[way] = contest.run(way, inputs)
            seconds.append(clock() - start)
        difference = (found["streaming"] - found["naive"]).norm() / found["naive"].norm()
        error = max(error, float(difference))
    ratios = [a / b for a, b in zip(spent["naive"], spent["streaming"], strict=True)]
    total = {way: sum(seconds) for way, seconds in spent.items()}
    pairs = sum(length**2 for length in lengths)
    return {
        "chains": len(lengths), "mean_length": statistics.mean(lengths), "longest": max(lengths),
        "naive_per_second": len(lengths) / total["naive"], "streaming_per_second": len(lengths) / total["streaming"],
        "ratio": total["naive"] / total["streaming"], "median_ratio": statistics.median(ratios),
        "microseconds_a_pair": 1e6 * total["streaming"] / pairs, "largest_difference": error,
        "clock": options.clock, "threads": options.threads,
    }  # fmt: skip


def alone(contest_name: str, way: str, length: int, options) -> dict:
    """Run one chain in a fresh process; return seconds and the peak above what the process held before, in MB."""
    command = [sys.executable, __file__, "--alone", contest_name, way, str(length)]
    command += ["--threads", str(options.threads), "--clock", options.clock]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def report_alone(name: str, way: str, length: int, clock: str) -> None:
    """Print what `alone` reads."""
    contest = Contest(name)
    contest.run("streaming" if way == "pairs" else way, contest.inputs(24))  # loads what is loaded only once
    inputs = contest.inputs(length)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = CLOCKS[clock]()
    size = 0
    if way == "pairs":
        with tempfile.TemporaryDirectory() as folder:
            parts = Unfinished(Path(folder) / "out.h5", {})
            _, pairs = contest.encoder.encode_pairs(inputs, folder=folder)
            parts.add_pair("0" * 64, pairs.shape, pairs.rows())
            size = sum(path.stat().st_size for path in parts.folder.iterdir())
            parts.remove()
    else:
        contest.run(way, inputs)
    seconds = CLOCKS[clock]() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"length": length, "seconds": seconds, "peak_mb": (peak - before) / 1e3, "all_mb": peak / 1e3,
                      "disk_mb": size / 1e6}))  # fmt: skip


def measure(part: str, contest: Contest, options) -> dict:
    """Return the results of one part for one network."""
    if part == "corpus":
        return corpus(contest, options)
    if part == "memory":
        return {way: alone(contest.name, way, 1000, options) for way in ("naive", "streaming")}
    if part == "largest":
        return alone(contest.name, "pairs", options.largest, options)
    lengths = {"streaming": (100, 200, 350, 500, 700, 1000, 1400, 2000, 3000, 5000), "naive": (100, 200, 350, 500, 700)}
    return {way: [alone(contest.name, way, length, options) for length in some] for way, some in lengths.items()}


def page(results: dict) -> str:
    """Return docs/results/embedding_speed.md."""
    lines = [PAGE]
    for part, title in TITLES.items():
        if part in results:
            lines += ["", f"## {title}", "", *table(part, results[part])]
    return "\n".join([*lines, "", NOTES])


def table(part: str, of_network: dict) -> list[str]:
    """Return one part as a markdown table."""
    if part == "corpus":
        head = "| network | chains | mean L | longest | full map, chains/s | streaming | ratio | µs/pair | difference |"
        rows = [
            f"| {name} | {r['chains']} | {r['mean_length']:.0f} | {r['longest']} | {r['naive_per_second']:.2f} | "
            f"{r['streaming_per_second']:.2f} | **{r['ratio']:.1f}** | {r['microseconds_a_pair']:.1f} | "
            f"{r['largest_difference']:.0e} |"
            for name, r in of_network.items()
        ]
    elif part == "memory":
        head = "| network | full map, MB | streaming, MB | share | full map, s | streaming, s |"
        rows = [
            f"| {name} | {r['naive']['peak_mb']:.0f} | {r['streaming']['peak_mb']:.0f} | "
            f"**1/{r['naive']['peak_mb'] / r['streaming']['peak_mb']:.0f}** | {r['naive']['seconds']:.0f} | "
            f"{r['streaming']['seconds']:.0f} |"
            for name, r in of_network.items()
        ]
    elif part == "largest":
        head = "| network | L | peak of the whole process, GB | above its start, GB | on disk, GB | minutes |"
        rows = [
            f"| {name} | {r['length']:,} | **{r['all_mb'] / 1e3:.2f}** | {r['peak_mb'] / 1e3:.2f} | "
            f"{r['disk_mb'] / 1e3:.2f} | {r['seconds'] / 60:.1f} |"
            for name, r in of_network.items()
        ]
    else:
        head = "| network | way | L | s | peak, MB |"
        rows = [
            f"| {name} | {WAYS[way]} | {r['length']:,} | {r['seconds']:.2f} | {r['peak_mb']:.0f} |"
            for name, ways in of_network.items()
            for way, rows in ways.items()
            for r in rows
        ]
    return [head, "|" + "---|" * (head.count("|") - 1), *rows]


def draw(curve: dict, path: Path) -> None:
    """Draw time and memory by length."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "tertia"
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for name, colour in zip(curve, ("C0", "C1"), strict=False):
        for way, style in (("naive", "--"), ("streaming", "-")):
            rows = curve[name][way]
            label = f"{name}, {WAYS[way]}"
            for panel, quantity in zip(panels, ("seconds", "peak_mb"), strict=True):
                values = [max(row[quantity], 1e-2) for row in rows]
                panel.plot([row["length"] for row in rows], values, style, marker="o", ms=3, color=colour, label=label)
    panels[0].set(xscale="log", yscale="log", xlabel="residues", ylabel="seconds, one thread")
    panels[1].set(xscale="log", yscale="log", xlabel="residues", ylabel="peak memory above the start, MB")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})


TITLES = {
    "corpus": "At the corpus' own lengths",
    "memory": "Peak memory at 1,000 residues",
    "curve": "By length",
    "largest": "The largest chain, pair level on disk",
}

PAGE = """# Embedding speed and memory

Residue embeddings of whole chains by row streaming (`tertia.models.distmap.stream`, the path of `tertia embed`) beside
the straightforward full map (`benchmarks/naive_embedding.py`: eager, fp32, channels first, every channel and norm by
itself). Random weights, activations of unit size; both ways in one run, chain by chain.

![Time and memory by length](embedding_cost.svg)"""

NOTES = """Exactness: "difference" is the largest relative difference between the two ways over all chains.
Machine: two cores of Zen 3 (AVX2), shared with other work; times are {clock} time of one thread, so trust ratios rather
than seconds. bf16 and fp16 are emulated on this processor and no gain here.

Made by `python benchmarks/embedding.py corpus memory curve largest --clock {clock} --write`.
"""


def parsed() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; corpus and memory by default")
    parser.add_argument("--networks", default="paper,tertia")
    parser.add_argument("--store")
    parser.add_argument("--chains", type=int, default=60)
    parser.add_argument("--longest", type=int, default=700)
    parser.add_argument("--largest", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run from the command line."""
    options = parsed()
    torch.set_num_threads(options.threads)
    if options.alone:
        report_alone(options.alone[0], options.alone[1], int(options.alone[2]), options.clock)
        return
    kept = RESULTS / "embedding_speed.json"
    results = json.loads(kept.read_text()) if kept.is_file() else {}
    for part in options.parts or ("corpus", "memory"):
        for name in options.networks.split(","):
            results.setdefault(part, {})[name] = measure(part, Contest(name), options)
            print("\n".join(table(part, {name: results[part][name]})), flush=True)
            if options.write:
                kept.write_text(json.dumps(results, indent=1) + "\n")
    if options.write:
        if "curve" in results:
            draw(results["curve"], RESULTS / "embedding_cost.svg")
        (RESULTS / "embedding_speed.md").write_text(page(results).replace("{clock}", options.clock))


if __name__ == "__main__":
    main()
