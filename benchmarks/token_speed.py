"""Time tokens beside the bare `tokenizers` library, on the same corpus; `--write`: docs/results/token_speed.md.

    python benchmarks/token_speed.py [--data FOLDER] [--number 45000] [--merges 10000] [--rounds 3] [--stream 1000]

Both sides get the same sequences and all cores. The bare side trains with the same settings on a list, and encodes with
`encode_batch` to lists of ids; ours reads the FASTA file too, looks at every letter, draws its sample, and returns
arrays of ids and spans. Times are medians over the rounds, of processor time of all threads, with the sides taking
turns, so that a busy machine slows both alike; wall time stands beside it. `--stream N` writes a FASTA file of N
million residues, and trains on a sample of it in a process of its own, whose largest memory is read.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import tokenizers

from tertia.sequence.fasta import Record, stream_fasta, write_fasta
from tertia.sequence.tokens import FEWEST, MIN_FREQUENCY, SPECIALS, Tokenizer
from tertia.tokens import train_tokenizer

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results" / "token_speed.md"
SAMPLE = 2_000_000
"""Residues that the run on the long file learns from."""

CHILD = """
import sys
from tertia.tokens import train_tokenizer
report = train_tokenizer(sys.argv[1], sys.argv[2], merges=1000, most_residues=int(sys.argv[3]), progress=False)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(report.n_residues, report.n_used_residues, peak)
"""


@dataclass(frozen=True)
class Timing:
    """Median seconds of one side."""

    processor: float
    wall: float


def bare_train(sequences: list[str], merges: int) -> tokenizers.Tokenizer:
    engine = tokenizers.Tokenizer(tokenizers.models.BPE())
    engine.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=FEWEST + merges, min_frequency=MIN_FREQUENCY, special_tokens=list(SPECIALS), show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    engine.train_from_iterator(sequences, trainer)
    return engine


def alternate(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Let the sides take turns, and return the median times of each."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, action in sides.items():
            processor, wall = time.process_time(), time.perf_counter()
            action()
            times[name].append((time.process_time() - processor, time.perf_counter() - wall))
    return {name: Timing(*(statistics.median(column) for column in zip(*rows, strict=True)))
            for name, rows in times.items()}  # fmt: skip


def measure(sequences: list[str], folder: Path, merges: int, rounds: int) -> tuple[dict[str, dict[str, Timing]], float]:
    """Return the times of training and encoding on both sides, and residues a token."""
    fasta, made = folder / "corpus.fa", folder / "tokenizer.json"
    write_fasta(fasta, [Record(f"p{k}", sequence) for k, sequence in enumerate(sequences)])

    def ours() -> None:
        made.unlink(missing_ok=True)
        train_tokenizer(fasta, made, merges=merges, most_residues=1 << 60, progress=False)

    training = alternate({"bare": lambda: bare_train(sequences, merges), "tertia": ours}, rounds)
    tokenizer, bare = Tokenizer.load(made), bare_train(sequences, merges)
    ids = [one.ids for one in bare.encode_batch(sequences, add_special_tokens=False)]
    tokens = tokenizer.encode(sequences)
    if ids != [one.id.tolist() for one in tokens]:
        raise SystemExit("the two sides disagree")
    sides = {
        "bare": lambda: [one.ids for one in bare.encode_batch(sequences, add_special_tokens=False)],
        "tertia": lambda: tokenizer.encode(sequences),
    }
    n_residues = sum(map(len, sequences))
    return {"training": training, "encoding": alternate(sides, rounds)}, n_residues / sum(map(len, tokens))


def streamed(sequences: list[str], folder: Path, n_millions: int) -> str:
    """Train on a sample of a long file of shuffled copies, and say how much memory that took."""
    rng, path, left = np.random.default_rng(0), folder / "long.fa", n_millions * 1_000_000
    with open(path, "w", encoding="ascii") as handle:
        while left > 0:
            letters = np.frombuffer(sequences[int(rng.integers(len(sequences)))].encode(), np.uint8)
            handle.write(f">s{left}\n{rng.permutation(letters).tobytes().decode()}\n")
            left -= len(letters)
    started = time.perf_counter()
    command = [sys.executable, "-c", CHILD, str(path), str(folder / "long.json"), str(SAMPLE)]
    n_residues, n_used, peak = map(
        int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    )
    seconds = time.perf_counter() - started
    return (f"A file of {path.stat().st_size / 1e6:,.0f} MB ({n_residues / 1e6:,.0f} million residues), 1,000 merges learnt from a "
            f"sample of {n_used / 1e6:.1f} million: {seconds:,.0f} s, and {peak / 1024:,.0f} MB of memory at most.")  # fmt: skip


def page(
    times: dict[str, dict[str, Timing]], rate: float, sequences: list[str], options: argparse.Namespace, stream: str
) -> str:
    """Return docs/results/token_speed.md."""
    merges = options.merges
    command = f"python benchmarks/token_speed.py --rounds {options.rounds} --stream {options.stream} --write"
    n_residues = sum(map(len, sequences))
    lines = [
        "# Speed of tokens", "",
        f"Written by `{command}`: {len(sequences):,} proteins, {n_residues / 1e6:.2f} million residues, "
        f"{merges:,} merges, {rate:.2f} residues a token, {len(os.sched_getaffinity(0))} core(s), tokenizers {tokenizers.__version__}.", "",
        "| work | bare library, s | tertia, s | ratio (goal: at most 1.2) | tertia, wall s | residues a second of processor time |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for work, sides in times.items():
        bare, ours = sides["bare"], sides["tertia"]
        lines.append(f"| {work} | {bare.processor:.2f} | {ours.processor:.2f} | {ours.processor / bare.processor:.2f} "
                     f"| {ours.wall:.2f} | {n_residues / ours.processor:,.0f} |")  # fmt: skip
    lines += ["", "Training of tertia begins with reading the FASTA file. Both sides give the same ids."]
    return "\n".join([*lines, *(["", stream] if stream else []), ""])


def main(arguments: list[str] | None = None) -> str:
    """Print the page and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--number", type=int, default=45_000, help="proteins")
    parser.add_argument("--merges", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stream", type=int, default=0, metavar="N", help="million residues of the long file; 0: none")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    source = options.data / "sequences" / "refseq_68proteomes_sample.fa.gz"
    sequences = [record.sequence for record in islice(stream_fasta(source), options.number)]
    with tempfile.TemporaryDirectory() as folder:
        times, rate = measure(sequences, Path(folder), options.merges, options.rounds)
        stream = streamed(sequences, Path(folder), options.stream) if options.stream else ""
    text = page(times, rate, sequences, options, stream)
    print(text)
    if options.write:
        PAGE.write_text(text)
    return text


if __name__ == "__main__":
    main()
