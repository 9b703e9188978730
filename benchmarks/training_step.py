"""Time a training step of the distance-map networks beside a straightforward one; `--write`: docs/results/training_speed.md.

    python benchmarks/training_step.py [--crops 32] [--repeats 15] [--threads 1] [--compile] [--write]

A step holds everything from noisy coordinates on: channels of the pairs, network, chain rule, loss, backward, Adam; 32
crops of 32 x 32 by default. In every round each variant makes one step, so that a busy machine slows all of them
alike; the table gives medians. `--clock cpu` counts processor time instead of wall time, for one thread on a shared
machine. Beside the rates stands what the machine can do at best: the rate of a 3x3 convolution.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

import naive_distmap

from tertia.data.batch import collate
from tertia.models.distmap import Distmap
from tertia.models.distmap.corrupt import Target
from tertia.models.distmap.inputs import Inputs

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "docs" / "results" / "training_speed.md"
PAPER = Distmap(mode="paper", bottleneck=16, n_blocks=32, dilations=(1, 3, 5, 9), redundancy_weight=0.0)
NETWORKS = {
    "tertia, recipe distmap": Distmap(),
    "tertia, recipe distmap_cpu": Distmap(bottleneck=24, n_blocks=12),
}
GFLOP = 1.386  # of the paper network's convolutions, forward and backward, a crop of 32 x 32


@dataclass(frozen=True)
class Variant:
    """One way to make a step."""

    name: str
    step: Callable[[], float]
    gflop: float | None = None  # a crop, where it was counted
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds a step."""
        return statistics.median(self.seconds)


def examples(family: Distmap, n_crops: int, *, seed: int = 0) -> tuple[Inputs, Target]:
    """Return a batch of noisy crops of random walks with bonds of 3.8 Angstrom."""
    rng = np.random.default_rng(seed)
    crops = []
    for _ in range(n_crops):
        length = int(rng.integers(100, 400))
        bonds = rng.standard_normal((length, 3))
        coord = np.cumsum(3.8 * bonds / np.linalg.norm(bonds, axis=1, keepdims=True), axis=0)
        sides = [
            torch.from_numpy(rng.integers(1, 21, length)),
            torch.arange(length),
            torch.from_numpy(coord.astype(np.float32)),
            torch.ones(length, dtype=torch.long),
            torch.ones(length, dtype=torch.bool),
        ]
        chain = Inputs(*(torch.stack([side, side]) for side in sides), level=torch.tensor(0))
        crops.append(family.corrupt(chain, rng))
    noisy, target = zip(*crops, strict=True)
    return collate(noisy), collate(target)


def stepper(parameters: list[torch.Tensor], loss: Callable[[], torch.Tensor]) -> Callable[[], float]:
    """Return what makes one step of Adam and returns the loss."""
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0, fused=True)

    def step() -> float:
        value = loss()
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        return float(value.detach())

    return step


def ours(family: Distmap, batch: tuple[Inputs, Target], *, compiled: bool = False) -> Callable[[], float]:
    """Return a step of the package's own training path."""
    torch.manual_seed(0)
    network = family.network().train()
    if compiled:
        network.compile()
    return stepper(list(network.parameters()), lambda: family.loss(network, *batch).value)


def naive(family: Distmap, batch: tuple[Inputs, Target], *, compiled: bool = False) -> Callable[[], float]:
    """Return a step of the straightforward implementation."""
    torch.manual_seed(0)
    dilations = tuple(family.dilations[k % len(family.dilations)] for k in range(family.n_blocks))
    network = naive_distmap.NaiveNetwork(family.width, family.bottleneck, dilations, family.n_levels).train()
    if compiled:
        network.compile()
    noisy, target = batch

    def loss() -> torch.Tensor:
        h = network(noisy.letter, noisy.position, noisy.coord, noisy.level)
        return naive_distmap.loss(h, noisy.position, noisy.coord, target.noise)

    return stepper(list(network.parameters()), loss)


def variants(n_crops: int, *, compiled: bool, tiny: bool = False) -> list[Variant]:
    """Return everything that is compared; the first is the yardstick."""
    paper = replace(PAPER, width=8, bottleneck=4, n_blocks=2, crop=8) if tiny else PAPER
    batch = examples(paper, n_crops)
    gflop = None if tiny else GFLOP
    found = [Variant("straightforward", naive(paper, batch), gflop), Variant("tertia", ours(paper, batch), gflop)]
    if compiled:
        found.append(Variant("straightforward, torch.compile", naive(paper, batch, compiled=True), gflop))
        found.append(Variant("tertia, torch.compile", ours(paper, batch, compiled=True), gflop))
    for name, family in NETWORKS.items():
        family = replace(family, width=8, bottleneck=4, n_blocks=2, crop=8) if tiny else family
        found.append(Variant(name, ours(family, examples(family, n_crops))))
    return found


def measure(found: list[Variant], *, repeats: int, clock: Callable[[], float]) -> None:
    """Let every variant make a step in turn, `repeats` times, after two that warm up (and compile)."""
    for variant in found:
        variant.step(), variant.step()
    for _ in range(repeats):
        for variant in found:
            start = clock()
            variant.step()
            variant.seconds.append(clock() - start)


def roof(clock: Callable[[], float], *, n_crops: int = 32, repeats: int = 20) -> float:
    """Return the GFLOP/s of a 3x3 convolution of 32 channels, channels last: the best that a convolution gets here."""
    x, kernel = (t.contiguous(memory_format=torch.channels_last) for t in (torch.randn(n_crops, 32, 32, 32), torch.randn(32, 32, 3, 3)))  # fmt: skip
    seconds = []
    with torch.no_grad():
        for _ in range(repeats + 2):
            start = clock()
            for _ in range(4):
                torch.nn.functional.conv2d(x, kernel, padding=1)
            seconds.append((clock() - start) / 4)
    return 2 * n_crops * 32**2 * 9 * 32 * 32 / statistics.median(seconds[2:]) / 1e9


def table(found: list[Variant], n_crops: int, best: float) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| training step | ms | crops/s | ratio | GFLOP/s | of the roof |", "|---|--:|--:|--:|--:|--:|"]
    base = found[0].median
    for variant in found:
        rate = n_crops / variant.median
        done = "" if variant.gflop is None else f"{variant.gflop * rate:.1f}"
        share = "" if variant.gflop is None else f"{variant.gflop * rate / best:.0%}"
        ratio = "" if variant.gflop is None else f"{base / variant.median:.2f}"
        lines.append(f"| {variant.name} | {1e3 * variant.median:.0f} | {rate:.1f} | {ratio} | {done} | {share} |")
    return lines


def main(arguments: list[str] | None = None) -> list[Variant]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="small networks and crops, to see that everything runs")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    found = variants(options.crops, compiled=options.compile, tiny=options.tiny)
    measure(found, repeats=options.repeats, clock=clock)
    best = roof(clock)
    lines = table(found, options.crops, best)
    print(
        "\n".join(
            [*lines, f"roof: {best:.1f} GFLOP/s (3x3 convolution of 32 channels, float32, {options.threads} threads)"]
        )
    )
    if options.write:
        text = [
            "# Speed of a training step", "",
            f"{options.crops} crops of 32 x 32, float32, everything included: channels from coordinates, network, chain rule, loss,"
            " gradients, Adam. `straightforward` is the paper's network in eager torch with its 149 input channels"
            " materialised (`benchmarks/naive_distmap.py`); medians, interleaved.", "",
            *lines, "",
            f"Roof: {best:.1f} GFLOP/s, a 3x3 convolution of 32 channels. {options.threads} thread(s), {options.clock} time.", "",
            "Written by `python benchmarks/training_step.py --write` with the options of the last line.", "",
        ]  # fmt: skip
        (Path(__file__).parents[1] / "docs" / "results" / "training_speed.md").write_text("\n".join(text))
    return found


if __name__ == "__main__":
    main()
