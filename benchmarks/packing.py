"""Time a step of pre-training on packed lines beside padded ones; `--write`: docs/results/packing_speed.md.

    python benchmarks/packing.py [--size small] [--lines 32] [--rounds 5] [--tokenizer FILE] [--device cpu] [--write]

Lines are proteins of the corpus in tokens, cut to 512 with their special ones. A step holds laying out, forward,
backward and AdamW; 15 % of the tokens are masked. In every round all ways get the same lines and the same masks, one
after the other, and start from networks of the same weights:

packed      one line behind the other, attention within each (`models/pairlm/packing.py`)
reference   every line padded to 512; pads are computed and attended to, as in the published pre-training
longest     every line padded to the longest of the batch, and computed likewise: a mask would not make it faster
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.rounds import CLOCKS, ratio, stopwatch, take_turns  # noqa: E402
from benchmarks.shared_sequences import corpus  # noqa: E402
from benchmarks.tokens_quality import learn  # noqa: E402
from tertia.models.pairlm.packing import PAD, Packed, pack, pack_padded  # noqa: E402
from tertia.models.pairlm.roberta import Roberta  # noqa: E402
from tertia.sequence.tokens import MASK, Tokenizer, lay_out  # noqa: E402

PAGE = ROOT / "docs" / "results" / "packing_speed.md"
LONGEST = 512
MASKED_SHARE = 0.15
GOAL = 1.8
SIZES = {
    "tiny": {"width": 16, "n_layers": 1, "n_heads": 2, "inner": 32},
    "small": {"width": 256, "n_layers": 4, "n_heads": 4, "inner": 1024},
    "base": {"width": 768, "n_layers": 12, "n_heads": 12, "inner": 3072},
}


@dataclass(frozen=True)
class Batch:
    """Lines of one step."""

    noisy: list[torch.Tensor]  # (T,) each, ids with masks
    chosen: list[torch.Tensor]  # (T,) bool each, which were masked
    token: torch.Tensor  # (n,) the true ids of those

    @property
    def n_tokens(self) -> int:
        """Tokens without padding."""
        return sum(map(len, self.noisy))


def draw_batch(lines: list[torch.Tensor], n_lines: int, generator: np.random.Generator) -> Batch:
    """Draw lines, and 15 % of their tokens to mask, but none of the special ones at their ends."""
    drawn = [lines[k] for k in generator.choice(len(lines), n_lines, replace=n_lines > len(lines)).tolist()]
    chosen = [torch.from_numpy(generator.random(len(line)) < MASKED_SHARE) for line in drawn]
    for one in chosen:
        one[0] = one[-1] = False
    noisy = [torch.where(mask, MASK, line) for line, mask in zip(drawn, chosen, strict=True)]
    return Batch(noisy, chosen, torch.cat([line[mask] for line, mask in zip(drawn, chosen, strict=True)]))


def packed(batch: Batch) -> tuple[Packed, torch.Tensor]:
    """Lay the lines one behind the other; return also which tokens were masked, (N,)."""
    return pack(batch.noisy), torch.cat(batch.chosen)


def padded(batch: Batch, length: int, *, attend_padding: bool = True) -> tuple[Packed, torch.Tensor]:
    """Pad the lines to a length; return also which tokens were masked, (N,)."""
    fill = torch.full((length,), PAD), torch.zeros(length, dtype=torch.bool)  # a line that sets the length
    token, chosen = (
        pad_sequence([*parts, end], batch_first=True, padding_value=end[0].item())[:-1]
        for parts, end in zip((batch.noisy, batch.chosen), fill, strict=True)
    )
    kept = torch.ones_like(token, dtype=torch.bool) if attend_padding else token != PAD
    return pack_padded(token, attend_padding=attend_padding), chosen[kept]


LAYOUTS: dict[str, Callable[[Batch], tuple[Packed, torch.Tensor]]] = {
    "packed": packed,
    "reference": lambda batch: padded(batch, LONGEST),
    "longest": lambda batch: padded(batch, max(map(len, batch.noisy))),
}


def stepper(
    layout: Callable[[Batch], tuple[Packed, torch.Tensor]], batches: list[Batch], n_ids: int, size: str, device: str
) -> Callable[[int], float]:
    """Return what makes a step with the batch of a number and returns the loss."""
    torch.manual_seed(0)
    network = Roberta(n_ids, **SIZES[size], n_positions=LONGEST + 2).to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step(number: int) -> float:
        lines, chosen = layout(batches[number])
        lines = Packed(*(column.to(device) for column in (lines.token, lines.position, lines.segment)))
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=device.startswith("cuda")):
            logits = network(lines, chosen.to(device))
        value = F.cross_entropy(logits.float(), batches[number].token.to(device))
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        return float(value.detach())

    return step


def gflop(batch: Batch, n_ids: int, size: str) -> float:
    """Return the multiplications and additions that a step needs, without those on padding, in 10^9."""
    width, n_layers, inner = (SIZES[size][name] for name in ("width", "n_layers", "inner"))
    dense = n_layers * (4 * width**2 + 2 * width * inner) * batch.n_tokens
    attention = n_layers * 2 * width * sum(len(line) ** 2 for line in batch.noisy)
    head = (width**2 + width * n_ids) * len(batch.token)
    return 6e-9 * (dense + attention + head)


def roof(device: str, clock: Callable[[], float]) -> float:
    """Return the GFLOP/s of a product of two square matrices, in the numbers that the steps multiply."""
    n, numbers = (8192, torch.bfloat16) if device.startswith("cuda") else (1024, torch.float32)
    one, two = (torch.randn(n, n, device=device, dtype=numbers) for _ in range(2))
    seconds = take_turns({"product": lambda _: one @ two}, 5, clock=clock)["product"]
    return 2e-9 * n**3 / statistics.median(seconds)


def measure(lines: list[torch.Tensor], n_ids: int, options: argparse.Namespace) -> list[str]:
    """Time all ways; return the lines of the page."""
    generator, clock = np.random.default_rng(0), stopwatch(options.clock, options.device)
    batches = [draw_batch(lines, options.lines, generator) for _ in range(options.rounds)]
    sides = {name: stepper(way, batches, n_ids, options.size, options.device) for name, way in LAYOUTS.items()}
    seconds = take_turns(sides, options.rounds, clock=clock)
    best, n_tokens = roof(options.device, clock), [batch.n_tokens for batch in batches]
    work = [gflop(batch, n_ids, options.size) for batch in batches]
    table = ["| lines | s a step | tokens a second | of what is computed is padding | GFLOP/s | of the roof | "
             "packed is faster by (smallest-largest of the rounds) |", "|---|--:|--:|--:|--:|--:|---|"]  # fmt: skip
    for name, spent in seconds.items():
        computed = sum(len(LAYOUTS[name](batch)[0].token) for batch in batches)
        rate = statistics.median(n / one for n, one in zip(n_tokens, spent, strict=True))
        done = statistics.median(n / one for n, one in zip(work, spent, strict=True))
        middle, low, high = ratio(spent, seconds["packed"])
        times = "" if name == "packed" else f"**{middle:.2f}** ({low:.2f}-{high:.2f})"
        table.append(f"| {name} | {statistics.median(spent):.2f} | {rate:,.0f} | {1 - sum(n_tokens) / computed:.0%} | "
                     f"{done:,.0f} | {done / best:.0%} | {times} |")  # fmt: skip
    faster = ratio(seconds["reference"], seconds["packed"])[0]
    return [*table, "", f"Goal: {GOAL} times the reference: {'reached' if faster >= GOAL else 'not reached'}. Tokens and "
            f"GFLOP are those without padding. Roof: {best:,.0f} GFLOP/s, a product of two square matrices."]  # fmt: skip


def page(table: list[str], lines: list[torch.Tensor], n_ids: int, options: argparse.Namespace) -> str:
    """Return docs/results/packing_speed.md."""
    size, mean = SIZES[options.size], statistics.mean(map(len, lines))
    return (
        "# Speed of packing\n\n"
        f"Written by `python benchmarks/packing.py --size {options.size} --lines {options.lines} --rounds {options.rounds} "
        f"--device {options.device} --clock {options.clock} --write`:\nsteps of pre-training on {options.lines} lines of the "
        f"RefSeq corpus ({n_ids:,} ids, {mean:.0f} tokens a line on average, at most {LONGEST}); RoBERTa of {size['n_layers']} "
        f"layers of {size['width']};\n{torch.get_num_threads()} thread(s), {options.clock} time; medians of "
        f"{options.rounds} rounds in which the ways take turns.\n\n" + "\n".join(table) + "\n\n"
        "`reference` pads every line to 512 and computes and attends to the pads, as the published pre-training does;\n"
        "`longest` pads to the longest line of the batch only. Both get the same lines and masks as `packed`.\n"
    )


def read_lines(options: argparse.Namespace) -> tuple[list[torch.Tensor], int]:
    """Return proteins of the corpus as lines of ids, (T,) each, and the size of the vocabulary."""
    if options.tokenizer is not None:
        tokenizer = Tokenizer.load(options.tokenizer)
    else:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = learn(options.data, Path(folder), [10_000])[10_000]
    tokens = tokenizer.encode(corpus(options.data, options.number))
    return [torch.from_numpy(lay_out(one, longest=LONGEST).id).long() for one in tokens], len(tokenizer)


def main(arguments: list[str] | None = None) -> str:
    """Print the page and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json; by default 10,000 merges are learnt")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--number", type=int, default=5000, help="proteins that lines are drawn from")
    parser.add_argument("--lines", type=int, default=32, help="of a step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu (float32) or cuda (bfloat16)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    lines, n_ids = read_lines(options)
    text = page(measure(lines, n_ids, options), lines, n_ids, options)
    print(text)
    if options.write:
        PAGE.write_text(text)
    return text


if __name__ == "__main__":
    main()
