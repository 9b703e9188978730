"""Time the distance-map networks beside networks that turn with the chain, in one run.

    python benchmarks/equivariant.py [--crops 32] [--repeats 5] [--lengths 100,300,1000] [--clock cpu] [--write]

All see the same number of residues a step: the 64 of a crop of 32 x 32 (32 rows, 32 columns). A step holds everything
from noisy coordinates on: channels or neighbours, network, loss, backward, AdamW; float32, one thread. In every round
each network runs each job once, so that a busy machine slows all of them alike; medians of processor time. Whole chains
are inference: the distance map is streamed as `tertia embed` does it, the others make one forward pass. What takes long
runs on fewer crops, and the time is scaled up. Without the extra `bench` only EGNN is there to compare with.
`--write`: docs/results/equivariant.md.
"""

# ruff: noqa: E402 (the folder above has to be found first)
from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.equivariant_networks import Egnn, Se3Transformer, TensorField
from benchmarks.equivariant_page import page, step_table, whole_table
from benchmarks.training_step import PAPER, examples, naive, stepper
from tertia.data.batch import collate
from tertia.models.distmap import Distmap
from tertia.models.distmap.inputs import inputs_of_chain, paper_residue_channels
from tertia.recipe import read_recipe
from tests.distmap_networks import network_of
from tests.structures import make_chain

RESULT = ROOT / "docs" / "results" / "equivariant.md"
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}
CROP_RESIDUES = 64

PAPER = replace(PAPER, diagonal_share=0.0, near_share=0.0)
MAPS = {
    "paper network": ("32 blocks of 64-16-16-64", PAPER),
    "tertia, recipe distmap_cpu": ("12 blocks of 64-24-24-64", read_recipe("distmap_cpu").family),
}
TURNING = {  # name: (settings, package, build, the part of the crops that one run takes)
    "EGNN": ("7 layers, width 64, k = 16", None, lambda: Egnn(), 1),
    "EGNN, all pairs": ("7 layers, width 64, k = 63", None, lambda: Egnn(n_neighbours=63), 1),
    "EGNN, as deep as the paper network": ("32 layers, width 64, k = 16", None, lambda: Egnn(n_layers=32), 1),
    "tensor field, l <= 1": ("4 layers, 64 channels a degree, k = 16", "e3nn", lambda: TensorField(), 1),
    "tensor field, l <= 2": ("4 layers, 64 channels a degree, k = 16", "e3nn", lambda: TensorField(rank=2), 2),
    "SE(3)-Transformer": (
        "2 layers, 32 channels a degree, l <= 1, 8 heads of 2, radial 32, k = 16",
        "se3_transformer_pytorch", lambda: Se3Transformer(), 16),
    "SE(3)-Transformer, wider inside": (
        "the same, 8 heads of 4, radial 128",
        "se3_transformer_pytorch", lambda: Se3Transformer(head_width=4, radial_width=128), 32),
}  # fmt: skip
ON_CROPS_ALONE = {"EGNN, all pairs"}
ONCE = 1000  # chains of so many residues and more are run in the first round only: they take long enough to be steady


@dataclass
class Entrant:
    """One network, and what it is timed at."""

    name: str
    settings: str
    parameters: int
    jobs: dict[str, Callable[[], object]]  # "step", "forward", or the length of a whole chain
    part: int = 1  # "step" and "forward" take one crop in so many
    gflop: float = 0.0  # a crop, of a step
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, job: str) -> float | None:
        """Seconds for all crops, or for one chain; None where it was not run."""
        times = self.seconds.get(job)
        scale = 1 if job.isdigit() else self.part
        return scale * statistics.median(times) if times else None


def count(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def quiet(network: nn.Module, run: Callable[[], object]) -> Callable[[], object]:
    """Return a run in evaluation mode without gradients that leaves the network as it was."""

    def forward() -> object:
        was = network.training
        with torch.inference_mode():
            network.eval()
            found = run()
        network.train(was)
        return found

    return forward


def distance_map(name: str, settings: str, family: Distmap, n_crops: int, lengths: list[int]) -> Entrant:
    """Return a network of the package: its own training step, and streaming for whole chains."""
    batch = examples(family, n_crops)
    torch.manual_seed(0)
    network = family.network().train()
    step = stepper(list(network.parameters()), lambda: family.loss(network, *batch).value)
    encoder = network_of(family).encoder([family.embed_level])
    jobs = {"step": step, "forward": quiet(network, lambda: family.force(network, batch[0]))}
    for length in lengths:
        inputs = collate([inputs_of_chain(make_chain(length, seed=length), family.embed_level)])
        jobs[str(length)] = lambda inputs=inputs: encoder.encode(inputs)
    return Entrant(name, settings, count(network), jobs)


def straightforward(n_crops: int, family: Distmap) -> Entrant:
    """Return the paper's network without the tricks, as plain as the networks it is compared with."""
    step = naive(family, examples(family, n_crops))
    settings = "the same, one torch module a layer, 149 channels"
    return Entrant("paper network, straightforward", settings, count(family.network()), {"step": step})


def residues(n_chains: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return residue channels (B, L, 44) and C-alpha coordinates (B, L, 3) of whole chains."""
    inputs = collate([inputs_of_chain(make_chain(length, seed=length + k), 0) for k in range(n_chains)])
    return paper_residue_channels(inputs)[:, 0], inputs.coord[:, 0]


def turning(name: str, n_crops: int, lengths: list[int]) -> Entrant:
    """Return one of the equivariant networks on the same number of residues."""
    settings, _, build, part = TURNING[name]
    n_chains = max(1, n_crops // part)
    features, coord = residues(n_chains, CROP_RESIDUES)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(coord.shape).astype(np.float32))
    noisy = coord + noise
    torch.manual_seed(0)
    network = build().train()
    step = stepper(list(network.parameters()), lambda: (network(features, noisy) - noise).square().sum(-1).mean())
    jobs = {"step": step, "forward": quiet(network, lambda: network(features, noisy))}
    for length in () if name in ON_CROPS_ALONE else lengths:
        chain = residues(1, length)
        jobs[str(length)] = quiet(network, lambda chain=chain: network(*chain))
    return Entrant(name, settings, count(network), jobs, n_crops / n_chains)


def entrants(n_crops: int, lengths: list[int], *, tiny: bool = False) -> tuple[list[Entrant], list[str]]:
    """Return all networks, the paper's first, and the packages that are missing."""
    found, missing = [], set()
    for name, (settings, family) in MAPS.items():
        family = replace(family, n_blocks=2) if tiny else family
        found.append(distance_map(name, settings, family, n_crops, lengths))
        if name == "paper network":
            found.append(straightforward(n_crops, family))
    for name, (_, package, _, _) in TURNING.items():
        if package and importlib.util.find_spec(package) is None:
            missing.add(package)
        else:
            found.append(turning(name, n_crops, lengths))
    return found, sorted(missing)


def measure(found: list[Entrant], n_crops: int, *, repeats: int, clock: Callable[[], float]) -> None:
    """Count the operations of a step, then run every job of every network in turn, `repeats` times."""
    for entrant in found:
        with FlopCounterMode(display=False) as counter:
            entrant.jobs["step"]()
        entrant.gflop = entrant.part * counter.get_total_flops() / n_crops / 1e9
        if "forward" in entrant.jobs:
            entrant.jobs["forward"]()
    for round_ in range(repeats):
        for entrant in found:
            for job, run in entrant.jobs.items():
                if round_ and job.isdigit() and int(job) >= ONCE:
                    continue
                start = clock()
                run()
                entrant.seconds.setdefault(job, []).append(clock() - start)
        print(f"round {round_ + 1} of {repeats}", file=sys.stderr, flush=True)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lengths", default="100,300,1000", help="residues of whole chains")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="cpu")
    parser.add_argument("--tiny", action="store_true", help="small distance-map networks, to see that everything runs")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> list[Entrant]:
    """Run from the command line."""
    options = parsed(arguments)
    torch.set_num_threads(options.threads)
    lengths = [int(length) for length in options.lengths.split(",") if length]
    found, missing = entrants(options.crops, lengths, tiny=options.tiny)
    for package in missing:
        print(f"{package} is not installed (extra 'bench'): its networks are left out", file=sys.stderr)
    measure(found, options.crops, repeats=options.repeats, clock=CLOCKS[options.clock])
    print("\n".join([*step_table(found), "", *whole_table(found, lengths)]))
    if options.write:
        RESULT.write_text(page(found, lengths, options))
    return found


if __name__ == "__main__":
    main()
