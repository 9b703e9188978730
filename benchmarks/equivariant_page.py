"""The page docs/results/equivariant.md, from what `benchmarks/equivariant.py` measured."""

from __future__ import annotations

HEAD = """# Distance maps beside equivariant networks: cost

Guo et al. (AAAI 2022) feed a convolutional network with what rotation leaves alone and get the vectors back by the chain
rule. This "avoids the usage of sophisticated SE(3)-equivariant models, and dramatically improves the computational
efficiency". Does it?
"""

CONCLUSION = """**So the claim holds against the SE(3)-Transformer, in training, and not in general.** Against EGNN as deep or on all
pairs, or tensors of l = 2, the distance map is cheaper by a factor of two to four and no more. EGNN and a tensor
field network of vectors, at the depths they are used with, train *faster* than the paper network. On whole chains the map
is the dear one, but for the SE(3)-Transformer on short ones: it has L x L pairs, a graph of k neighbours k L edges, so it falls behind in proportion to L. The
case for distance maps has to be made by what their embeddings know, which this page says nothing about; tertia's own
network is the cheaper one of the two maps and costs about as much to train as EGNN.
"""

NOTES = """A ratio above 1 says: dearer than the paper network. GFLOP: matrix products and convolutions of a step, a crop,
as torch counts them; element-wise work, which is most of a tensor product channel by channel, is not in it.

**Settings.** {crops} crops of 64 residues a step for everyone: 32 rows and 32 columns of the map, which are 1,024 pairs;
64 residues with k = 16 neighbours have 1,024 pairs as well. Width, layers, k and highest degree l are in the table. The
equivariant networks get the paper's 44 residue channels and predict the noise on every residue; the optimiser is AdamW
for all. Whole chains: the distance map is streamed as in `tertia embed`. The search for neighbours is in the times.

- EGNN: plain torch, `benchmarks/equivariant_networks.py`.
- Tensor field network: of e3nn parts; tensor products channel by channel, the cheap kind.
- SE(3)-Transformer: se3-transformer-pytorch, which builds the full kernel of every edge as its authors do. Its inner sizes
  decide its cost: radial networks of 32 as in the authors' code, keys and values of half the width; the row below has the
  128 of the package and twice the keys (the package's own heads are six times as wide). Two layers are few.
- "Straightforward": the paper network written as plainly as the others are, `benchmarks/naive_distmap.py`.

float32, one network after another in turn, medians of {repeats} rounds (chains of 1,000 residues once), {clock} time of
{threads} thread(s) on a Zen 3 core (AVX2) of a shared machine: trust ratios rather than seconds. The l <= 2 network ran on
half of the crops, the SE(3)-Transformers on a sixteenth and a 32nd; their times are scaled up.

Written by `python benchmarks/equivariant.py {options} --write`, with the extra `bench` installed.
"""


def step_table(found: list) -> list[str]:
    """Return the lines of the table of training steps and forward passes on crops."""
    lines = [
        "| network | settings | parameters | GFLOP | step, ms | ratio | to distmap_cpu | forward, ms | ratio |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    small = found[2]
    for one in found:
        step, forward = one.median("step"), one.median("forward")
        cells = [
            one.name, one.settings, f"{one.parameters:,}", f"{one.gflop:.2f}", f"{1e3 * step:,.0f}",
            f"**{step / found[0].median('step'):.2f}**", f"{step / small.median('step'):.2f}",
            "" if forward is None else f"{1e3 * forward:,.0f}",
            "" if forward is None else f"{forward / found[0].median('forward'):.2f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def whole_table(found: list, lengths: list[int]) -> list[str]:
    """Return the lines of the table of whole chains: seconds, and the ratio to the paper network."""
    lines = ["| network | " + " | ".join(f"L = {length:,} | ratio" for length in lengths) + " |"]
    lines.append("|---|" + "--:|--:|" * len(lengths))
    for one in found:
        cells = []
        for length in lengths:
            cells += beside(one.median(str(length)), found[0].median(str(length)))
        if any(cells):
            lines.append(f"| {one.name} | " + " | ".join(cells) + " |")
    return lines


def beside(seconds: float | None, base: float) -> list[str]:
    """Return the two cells of a time and its ratio."""
    if seconds is None:
        return ["", ""]
    ratio = f"{seconds / base:.2f}" if seconds > 0.1 * base else f"1/{base / seconds:.0f}"
    return [f"{seconds:.3g} s", f"**{ratio}**"]


def verdict(found: list, lengths: list[int]) -> list[str]:
    """Return, network by network, whether it is dearer or cheaper than the paper's, in plain words."""
    base, lines = found[0], []
    for one in found[3:]:
        said = [f"a training step costs {times(one.median('step') / base.median('step'))}"]
        for length in lengths:
            if seconds := one.median(str(length)):
                said.append(f"a chain of {length:,} residues {times(seconds / base.median(str(length)))}")
        lines.append(f"- {one.name}: {', '.join(said)}.")
    return lines


def times(ratio: float) -> str:
    """Return a ratio in words, seen from the equivariant network."""
    if 0.8 < ratio < 1.25:
        return "about the same"
    factor = max(ratio, 1 / ratio)
    said = f"{factor:.1f}" if factor < 9.95 else f"{factor:.0f}"
    return f"{said} times as much" if ratio > 1 else f"{said} times less"


def page(found: list, lengths: list[int], options) -> str:
    """Return the whole page."""
    settings = (
        f"--crops {options.crops} --repeats {options.repeats} --lengths {options.lengths} --clock {options.clock}"
    )
    notes = NOTES.format(
        crops=options.crops, repeats=options.repeats, threads=options.threads, options=settings,
        clock="processor" if options.clock == "cpu" else "wall",
    )  # fmt: skip
    return "\n".join([
        HEAD, "Measured, each against the paper network as tertia runs it:", "", *verdict(found, lengths), "", CONCLUSION,
        "## A training step, and a forward pass, on crops", "", *step_table(found), "",
        "## Whole chains, inference", "", *whole_table(found, lengths), "", "## How", "", notes,
    ])  # fmt: skip
