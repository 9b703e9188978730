"""Time quality assessment: one model step by step, a pool of models, and features; `--write`: the page of results.

    python benchmarks/quality_speed.py [steps] [pool] [features] [--number 200] [--rounds 3] [--head FOLDER] [--write]

steps      reading, residue graph, embedding and network for one model of 300 residues, on one thread and on two
pool       models of one target in one call of `tertia.predict`, beside one call for each and one process for each
features   reading and residue graphs beside Biopython, NumPy and loops (`benchmarks/naive_features.py`)

Models come from the folder quality_assessment under TERTIA_DATA, where there is one, and are repeated up to the number;
otherwise bundles of helices are made up. Without a trained head, networks with fresh weights are timed: what the weights
are makes no difference to the time. docs/results/quality_speed.md is written by `--write`, from all three parts.
"""

# ruff: noqa: E402 (the folder above has to be found first)
from __future__ import annotations

import argparse
import csv
import itertools
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import tertia
from benchmarks.naive_features import naive_features, read_naive
from tertia.data.example import Example
from tertia.encoders import open_side_by_side
from tertia.nn.residue_graph import N_RESIDUE_VALUES, residue_graph
from tertia.structure.chain import Atoms, Chain
from tertia.structure.read import read_structure
from tertia.structure.write_pdb import pdb_text
from tertia.tasks.quality.graphqa import SIZES
from tertia.tasks.quality.task import Quality
from tertia.tasks.task import Widths
from tertia.training.head import CARD, head_folder, load_head, save_head
from tertia.training.learning import Learnt, make_items

PAGE = ROOT / "docs" / "results" / "quality_speed.md"
PARTS = ("steps", "pool", "features")
MODELS = "distmap@3.28+0.552"
POOL_TARGET = ("af_cluster", "Mad2")  # 206 residues, 32 models with all atoms
GOAL = 2.0  # seconds, one model of 300 residues on two cores
Times = tuple[float, float]  # wall and processor seconds


def timed(work: Callable[[], object], rounds: int) -> Times:
    """Return the medians of wall and of processor seconds."""
    wall, processor = [], []
    for _ in range(rounds):
        begun, spent = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - begun)
        processor.append(time.process_time() - spent)
    return statistics.median(wall), statistics.median(processor)


def untrained_heads(folder: Path) -> dict[str, Path]:
    """Return the folder of a head with fresh weights for each size of the network."""
    widths = open_side_by_side(MODELS)(bundle(30, 0), np.array([0]), np.array([1]))
    heads = {}
    for size in SIZES:
        task, found = Quality(size=size), Widths(0, widths.residue.shape[1], widths.edge.shape[1])
        torch.manual_seed(0)
        save_head(folder / size, Learnt(task, task.network(found).eval(), found, {}), models=MODELS, meta={})
        heads[f"{size}, untrained"] = folder / size
    return heads


def heads_to_time(given: Path | None, folder: Path) -> dict[str, Path]:
    """Return the given head, or the shipped one, or untrained ones."""
    chosen = given or head_folder("quality")
    if (chosen / CARD).is_file():
        return {"given" if given else "shipped": chosen}
    return untrained_heads(folder)


def bundle(length: int, seed: int) -> Chain:
    """Return C-alphas of antiparallel helices side by side, shaken by up to 2 Angstrom."""
    generator = np.random.default_rng(seed)
    place = np.arange(length)
    helix, step = place // 24, place % 24
    height = 1.5 * np.where(helix % 2, 23 - step, step)
    turn = np.radians(100.0) * step
    side = int(np.ceil(np.sqrt(helix.max() + 1)))
    x, y = 10.0 * (helix // side) + 2.3 * np.cos(turn), 10.0 * (helix % side) + 2.3 * np.sin(turn)
    coord = np.stack([x, y, height], axis=1) + generator.uniform(0, 2) * generator.standard_normal((length, 3))
    ones, names = np.ones(length, np.float32), [np.full(length, text) for text in ("CA", "C")]
    atoms = Atoms(*names, coord.astype(np.float32), place.astype(np.int32), ones, ones)
    letters = "".join(np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTVWY"), length))
    return Chain(f"model{seed}", "A", letters, tuple(map(str, place + 1)), place + 1, atoms, f"model{seed}")


def gather(data: Path, folder: Path, options: argparse.Namespace) -> tuple[Path, list[Path], str]:
    """Write one model of about 300 residues and a pool of models of one target; return the files and where from."""
    tables = data / "quality_assessment"
    if not (tables / "targets.tsv").is_file():
        chains = [bundle(206, seed) for seed in range(options.number)]
        single, pool = write(folder, "single", bundle(options.residues, 0)), []
        for k, chain in enumerate(chains):
            pool.append(write(folder, f"pool{k}", chain))
        return single, pool, f"{options.number} made-up bundles of helices"
    with (tables / "targets.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    nearest = min(rows, key=lambda row: abs(int(row["length"]) - options.residues))
    wanted = {f"decoys/{nearest['set']}/{nearest['target']}/": [], "decoys/" + "/".join(POOL_TARGET) + "/": []}
    with tarfile.open(tables / "structures.tar.gz") as archive:
        for member in archive:
            for prefix, found in wanted.items():
                if member.name.startswith(prefix) and member.isfile():
                    found.append(archive.extractfile(member).read())
    (single, *_), some = wanted.values()
    paths = [folder / f"pool{k}.pdb" for k in range(options.number)]
    for path, text in zip(paths, itertools.cycle(some), strict=False):
        path.write_bytes(text)
    (folder / "single.pdb").write_bytes(single)
    return folder / "single.pdb", paths, f"{options.number} files of {len(some)} models of {'/'.join(POOL_TARGET)}"


def write(folder: Path, name: str, chain: Chain) -> Path:
    """Write a chain as PDB and return the path."""
    path = folder / f"{name}.pdb"
    path.write_text(pdb_text(chain))
    return path


def steps(heads: dict[str, Path], path: Path, rounds: int) -> list[str]:
    """Time the steps of one model on one thread and on two; return the lines of the page."""
    chain = read_structure(path).chains[0]
    lines = [f"One model of {int(chain.seen.sum())} residues; milliseconds, wall and processor.", "",
             "| head | threads | reading | residue graph | embedding | network | **all** | whole call, all opened anew |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, folder in heads.items():
        for threads in (1, 2):
            torch.set_num_threads(threads)
            stages = stages_of(folder, path)
            for stage in stages.values():
                stage()
            times = {stage: timed(work, rounds) for stage, work in stages.items()}
            call = timed(lambda at=folder: tertia.predict(at, path), rounds)
            everything = tuple(map(sum, zip(*times.values(), strict=True)))
            cells = [milliseconds(value) for value in (*times.values(), everything, call)]
            lines.append("| " + " | ".join([name, str(threads), *cells]) + " |")
            print(lines[-1], flush=True)
    return [*lines, "", f"Goal: wall time of all steps on two threads under {1000 * GOAL:.0f} ms. The last column is a "
            "call of `tertia.predict` in a running program: it opens head and models again."]  # fmt: skip


def stages_of(folder: Path, path: Path) -> dict[str, Callable[[], object]]:
    """Return each step as something to call, with what it needs ready."""
    head = load_head(folder)
    embed = open_side_by_side(head.models)
    chain = read_structure(path).chains[0]
    graph = residue_graph(chain.sequence, chain.alpha)
    source, sink = graph.source.numpy(), graph.sink.numpy()
    example = Example(chain.key, (chain,), meta={"set": "", "target": ""})
    items = make_items(head.learnt.task, [example], embed)
    return {
        "reading": lambda: read_structure(path),
        "graph": lambda: residue_graph(chain.sequence, chain.alpha),
        "embedding": lambda: embed(chain, source, sink),
        "network": lambda: head.learnt.predict(items),
    }


def milliseconds(times: Times) -> str:
    """Return "wall, processor"."""
    return ", ".join(f"{1000 * value:.1f}" if value < 0.1 else f"{1000 * value:.0f}" for value in times)


def pool(heads: dict[str, Path], paths: list[Path], options: argparse.Namespace, source: str) -> list[str]:
    """Time one call for all models beside one call for each; return the lines of the page."""
    torch.set_num_threads(options.threads)
    name, head = next(iter(heads.items()))
    found: dict[str, list] = {}

    def together() -> None:
        found["together"] = list(tertia.predict(head, paths, progress=True))

    def one_by_one() -> None:
        found["one by one"] = [one for path in paths for one in tertia.predict(head, path)]

    tertia.predict(head, paths[0])
    ways = {"one call for all": timed(together, 1), "one call for each": timed(one_by_one, 1)}
    apart = max(
        float(np.abs(one.protein - two.protein).max())
        for one, two in zip(found["together"], found["one by one"], strict=True)
    )
    each = processes(head, paths[: options.processes], options.threads)
    ways["one process for each"] = tuple(value * len(paths) / options.processes for value in each)
    base = ways["one call for all"]
    lines = [f"{source}; {options.threads} threads, head: {name}.", "",
             "| way | wall, s | processor, s | models/s | wall, ratio | processor, ratio |", "|---|---|---|---|---|---|"]  # fmt: skip
    for way, (wall, processor) in ways.items():
        lines.append(f"| {way} | {wall:.1f} | {processor:.1f} | {len(paths) / wall:.2f} | {wall / base[0]:.2f} | "
                     f"{processor / base[1]:.2f} |")  # fmt: skip
    print("\n".join(lines[-3:]), flush=True)
    return [*lines, "", f"One process for each: from {options.processes} of them. Largest difference of a score between "
            f"one call for all and one for each: {apart:.0e}."]  # fmt: skip


def processes(head: Path, paths: list[Path], threads: int) -> Times:
    """Return wall and processor seconds of one fresh process a model, one after the other."""
    program = "import sys, tertia; tertia.predict(sys.argv[1], sys.argv[2])"
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    before, begun = os.times(), time.perf_counter()
    for path in paths:
        subprocess.run([sys.executable, "-c", program, str(head), str(path)], check=True, env=environment)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begun, spent


def features(paths: list[Path], rounds: int) -> list[str]:
    """Time reading and features on one thread, by tertia and by loops; return the lines of the page."""
    torch.set_num_threads(1)
    names = [str(path) for path in paths]
    chains, models = [read_structure(path).chains[0] for path in paths], [read_naive(name) for name in names]
    check(chains, models)
    works = {
        "reading": (lambda: [read_structure(path) for path in paths], lambda: [read_naive(name) for name in names]),
        "features": (lambda: [residue_graph(chain.sequence, chain.alpha) for chain in chains],
                     lambda: [naive_features(model) for model in models]),
    }  # fmt: skip
    times = {step: [timed(work, rounds)[1] / len(paths) for work in pair] for step, pair in works.items()}
    times["both"] = [sum(pair) for pair in zip(*times.values(), strict=True)]
    length = statistics.mean(int(chain.seen.sum()) for chain in chains)
    lines = [f"{len(paths)} models of {length:.0f} residues on average; milliseconds of processor time a model, medians.",
             "", "| step | tertia | Biopython, NumPy and loops | ratio |", "|---|---|---|---|"]  # fmt: skip
    lines += [f"| {step} | {1000 * a:.2f} | {1000 * b:.1f} | **{b / a:.1f}** |" for step, (a, b) in times.items()]
    print("\n".join(lines[-3:]), flush=True)
    return [*lines, "", "Both find the same edges. Secondary structure is in tertia's time only: Biopython has none."]


def check(chains: list[Chain], models: list) -> None:
    """Make sure that both ways find the same edges, and values for every residue."""
    for chain, model in zip(chains[:3], models[:3], strict=True):
        graph, (values, pairs, _) = residue_graph(chain.sequence, chain.alpha), naive_features(model)
        if set(map(tuple, pairs.tolist())) != set(zip(graph.source.tolist(), graph.sink.tolist(), strict=True)):
            raise SystemExit(f"{chain.key}: the two ways find different edges")
        if (len(values), N_RESIDUE_VALUES) != tuple(graph.values.shape):
            raise SystemExit(f"{chain.key}: the two ways find different residues")


def page(sections: dict[str, list[str]], options: argparse.Namespace) -> str:
    """Return docs/results/quality_speed.md."""
    titles = {"steps": "One model, step by step", "pool": "A pool of models", "features": "Features"}
    body = "\n\n".join(f"## {titles[part]}\n\n" + "\n".join(lines) for part, lines in sections.items())
    return (
        "# Speed of quality assessment\n\n"
        f"Written by `python benchmarks/quality_speed.py --number {options.number} --rounds {options.rounds} --write`; "
        f"embeddings: `{MODELS}` unless a trained head\nnames others. Programs and models are loaded already, except "
        f"where a row says so.\n\n{body}\n"
    )


def parsed() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--head", type=Path, help="folder that finetune wrote; by default the shipped head")
    parser.add_argument("--number", type=int, default=200, help="models in the pool")
    parser.add_argument("--residues", type=int, default=300, help="of the single model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="for the pool")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes, the slowest way, to time")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    options.processes = min(options.processes, options.number)
    if options.write and set(options.parts) != set(PARTS):
        parser.error("--write takes all parts")
    return options


def main() -> None:
    """Run from the command line."""
    options = parsed()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        heads = heads_to_time(options.head, folder / "heads")
        single, paths, source = gather(options.data, folder, options)
        sections = {}
        for part in options.parts:
            if part == "steps":
                sections[part] = steps(heads, single, options.rounds)
            elif part == "pool":
                sections[part] = pool(heads, paths, options, source)
            else:
                sections[part] = features(paths[:20], options.rounds)
    text = page(sections, options)
    print(text)
    if options.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
