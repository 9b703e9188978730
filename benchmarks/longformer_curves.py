"""Time and memory of windowed beside full attention, over the length; `--write`: docs/results/longformer_speed.md.

    python benchmarks/longformer_curves.py [--lengths 512 1024 2048] [--tokens 4096] [--size small] [--rounds 5] [--write]

RoBERTa attends to the whole sequence, the Longformer that begins with its weights to a window of 512 tokens. Every
measurement is on the same number of tokens, in fewer and longer sequences: what is linear in the length stays level.
Without a GPU the memory is that of a fresh process, above what it had before the work; on a GPU what torch counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.packing import SIZES  # noqa: E402
from benchmarks.rounds import CLOCKS, growth, ratio, stopwatch, take_turns  # noqa: E402
from tertia.models.pairlm.longformer import lengthen  # noqa: E402
from tertia.models.pairlm.packing import FIRST_POSITION, Packed, pack  # noqa: E402
from tertia.models.pairlm.roberta import N_TOKENS, Roberta  # noqa: E402

PAGE = ROOT / "docs" / "results" / "longformer_speed.md"
NETWORKS = ("full", "windowed")
WORKS = ("training step", "forward")
MIB = 1 << 20


def network_of(name: str, size: str, longest: int, window: int, device: str) -> torch.nn.Module:
    """Return RoBERTa, or the Longformer with its weights."""
    torch.manual_seed(0)
    source = Roberta(N_TOKENS, **SIZES[size], n_positions=longest + FIRST_POSITION)
    if name == "windowed":
        source = lengthen(source, n_positions=longest + FIRST_POSITION, window=window)
    return source.to(device)


def lines_of(length: int, n_tokens: int, device: str) -> Packed:
    """Return about so many random tokens in sequences of one length."""
    generator = torch.Generator().manual_seed(0)
    n_lines = max(n_tokens // length, 1)
    lines = pack(list(torch.randint(5, N_TOKENS, (n_lines, length), generator=generator)))
    return Packed(lines.token.to(device), lines.position.to(device), lines.segment.to(device))


def works(network: torch.nn.Module, lines: Packed, device: str) -> dict[str, Callable[[int], None]]:
    """Return what is timed, by the names in `WORKS`."""
    half = lambda: torch.autocast(device.split(":")[0], torch.bfloat16, enabled=device.startswith("cuda"))  # noqa: E731

    def step(_: int) -> None:
        network.zero_grad(set_to_none=True)
        with half():
            rows = network.rows(lines)
        rows.float().square().mean().backward()

    def forward(_: int) -> None:
        with half(), torch.inference_mode():
            network.rows(lines)

    return dict(zip(WORKS, (step, forward), strict=True))


def peak(name: str, work: str, length: int, options: argparse.Namespace) -> int:
    """Return the bytes that one piece of work takes beside the weights; in a process of its own, but on a GPU."""
    if options.device.startswith("cuda"):
        return _peak_on_gpu(name, work, length, options)
    asked = [name, work, length, options.size, options.tokens, max(options.lengths), options.window]
    program = "import json, sys; from benchmarks.longformer_curves import child; print(child(*json.loads(sys.argv[1])))"
    command = [sys.executable, "-c", program, json.dumps(asked)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def child(name: str, work: str, length: int, size: str, n_tokens: int, longest: int, window: int) -> int:
    """Return the growth of this process by one piece of work, in bytes."""
    network, lines = network_of(name, size, longest, window, "cpu"), lines_of(length, n_tokens, "cpu")
    works(network, lines_of(8, 8, "cpu"), "cpu")[work](0)  # what is loaded and allocated but once
    network.zero_grad(set_to_none=True)
    return growth(lambda: works(network, lines, "cpu")[work](0))


def _peak_on_gpu(name: str, work: str, length: int, options: argparse.Namespace) -> int:
    network = network_of(name, options.size, max(options.lengths), options.window, options.device)
    job = works(network, lines_of(length, options.tokens, options.device), options.device)[work]
    job(0)
    network.zero_grad(set_to_none=True)
    return growth(lambda: job(0), options.device)


def measure(options: argparse.Namespace) -> list[dict]:
    """Return a row for each length and work: seconds of every round, and bytes, of both networks."""
    clock, longest, rows = stopwatch(options.clock, options.device), max(options.lengths), []
    networks = {n: network_of(n, options.size, longest, options.window, options.device) for n in NETWORKS}
    for length in options.lengths:
        lines = lines_of(length, options.tokens, options.device)
        jobs = {name: works(network, lines, options.device) for name, network in networks.items()}
        for work in WORKS:
            seconds = take_turns({name: jobs[name][work] for name in NETWORKS}, options.rounds, clock=clock)
            memory = {name: peak(name, work, length, options) for name in NETWORKS}
            row = {"work": work, "length": length, "n_tokens": len(lines.token), "seconds": seconds, "bytes": memory}
            print(_line(row), file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def _line(row: dict) -> str:
    full, windowed = (statistics.median(row["seconds"][name]) for name in NETWORKS)
    middle, low, high = ratio(row["seconds"]["full"], row["seconds"]["windowed"])
    rates = " | ".join(f"{row['n_tokens'] / spent:,.0f}" for spent in (full, windowed))
    memory = " | ".join(f"{row['bytes'][name] / MIB:,.0f}" for name in NETWORKS)
    return (f"| {row['work']} | {row['length']:,} | {full:.3f} | {windowed:.3f} | {rates} "
            f"| {middle:.2f} ({low:.2f}-{high:.2f}) | {memory} |")  # fmt: skip


def draw(rows: list[dict], path: Path) -> None:
    """Draw time and memory over the length as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "tertia"  # the same picture is the same file
    figure, (times, memory) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for name, colour in zip(NETWORKS, ("tab:blue", "tab:orange"), strict=True):
        for work, style in zip(WORKS, ("o-", "s--"), strict=True):
            some = [row for row in rows if row["work"] == work]
            lengths = [row["length"] for row in some]
            spent = [1e6 * statistics.median(row["seconds"][name]) / row["n_tokens"] for row in some]
            label = {"color": colour, "label": f"{name}, {work}"}
            times.plot(lengths, spent, style, **label)
            memory.plot(lengths, [row["bytes"][name] / MIB for row in some], style, **label)
    times.set(xlabel="tokens of a sequence", ylabel="microseconds a token", ylim=(0, None))
    memory.set(xlabel="tokens of a sequence", ylabel="MiB beside the weights", ylim=(0, None))
    times.legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def page(rows: list[dict], options: argparse.Namespace) -> str:
    """Return docs/results/longformer_speed.md."""
    size = SIZES[options.size]
    lengths = " ".join(map(str, options.lengths))
    command = (
        f"python benchmarks/longformer_curves.py --lengths {lengths} --tokens {options.tokens} --size {options.size} "
        f"--window {options.window} --rounds {options.rounds} --device {options.device} --clock {options.clock} --write"
    )
    table = ["| work | tokens of a sequence | full, s | windowed, s | full, tokens/s | windowed, tokens/s | "
             "full : windowed (smallest-largest of the rounds) | full, MiB | windowed, MiB |",
             "|---|--:|--:|--:|--:|--:|---|--:|--:|", *map(_line, rows)]  # fmt: skip
    return (
        "# Speed of the Longformer\n\n"
        f"Written by `{command}`:\nnetworks of {size['n_layers']} layers of {size['width']}, {options.tokens:,} tokens in "
        f"every measurement, window {options.window}; {torch.get_num_threads()} thread(s), {options.clock} time, medians of "
        f"{options.rounds} rounds in which both take turns.\nMemory is what the work takes beside the weights.\n\n"
        + "\n".join(table)
        + f"\n\n![Time and memory over the length]({PAGE.stem}.svg)\n\n"
        "Full attention is torch's fused kernel, which keeps no matrix of all pairs: its memory is linear in the length "
        "as well,\nand only its time grows.\n"
    )


def main(arguments: list[str] | None = None) -> str:
    """Print the page and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--tokens", type=int, default=4096, help="of every measurement")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu (float32) or cuda (bfloat16)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--drawing", type=Path, default=PAGE.with_suffix(".svg"), help="written with --write")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    rows = measure(options)
    text = page(rows, options)
    print(text)
    if options.write:
        draw(rows, options.drawing)
        PAGE.write_text(text)
    return text


if __name__ == "__main__":
    main()
