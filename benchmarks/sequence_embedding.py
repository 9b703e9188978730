"""Time embedding of sequences in the batches of `tertia embed` beside simpler ones; `--write`: its page of results.

    python benchmarks/sequence_embedding.py [--number 600] [--size small] [--rounds 5] [--tokenizer FILE] [--write]

A sample of the RefSeq corpus goes through one RoBERTa with fresh weights, from sequences to arrays, in four ways:

tertia           batches by cost, sorted by length, packed: what `tertia embed` does
one by one       the same code, one protein at a time
arrival order    as many proteins in a batch, as they come, padded to the longest; the padding is computed
arrival, packed  the same batches, packed: what packing does alone

Memory is that of a fresh process above what it had before, on a GPU what torch counts; beside it stands the bound that
the plan of `tertia embed` gives before it begins. docs/results/sequence_embedding_speed.md is written by `--write`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.packing import SIZES  # noqa: E402
from benchmarks.rounds import CLOCKS, growth, ratio, stopwatch, take_turns  # noqa: E402
from benchmarks.shared_sequences import corpus  # noqa: E402
from benchmarks.tokens_quality import learn  # noqa: E402
from tertia.data.batch import batches_by_cost, collate  # noqa: E402
from tertia.models.pairlm import Pairlm  # noqa: E402
from tertia.models.pairlm.packing import PAD, pack_padded  # noqa: E402
from tertia.sequence.fasta import Record  # noqa: E402
from tertia.structure.chain import Chain  # noqa: E402
from tertia.structure.read_sequences import sequence_chain  # noqa: E402

PAGE = ROOT / "docs" / "results" / "sequence_embedding_speed.md"
GOAL = 2.0
LONGEST = 2048
"""Tokens that the network reads at once: all proteins of the corpus are shorter, so no way has to cut or cover."""

Batches = list[np.ndarray]
Vectors = list[np.ndarray]
MIB = 1 << 20


def chains_of(data: Path, number: int) -> list[Chain]:
    """Return a random sample of the corpus, in random order."""
    sequences = corpus(data)
    drawn = np.random.default_rng(0).permutation(len(sequences))[:number].tolist()
    return [sequence_chain(Record(f"p{k}", sequences[k])) for k in drawn]


def ways(family: Pairlm, chains: list[Chain]) -> dict[str, tuple[Batches, Callable]]:
    """Return the batches of each way, and what encodes one of them."""
    costs = [family.cost(len(chain)) for chain in chains]
    planned = list(batches_by_cost(costs, family.batch_cost, largest_first=True))
    arrival = np.array_split(np.arange(len(chains)), len(planned))
    return {
        "tertia": (planned, packed),
        "one by one": ([np.array([k]) for k in range(len(chains))], packed),
        "arrival order": (arrival, padded),
        "arrival, packed": (arrival, packed),
    }


def packed(network: torch.nn.Module, inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the embeddings of residues (B, L, D) and proteins (B, D) of a padded batch, as tertia does."""
    encoded = network.encode(inputs)
    return encoded.residue, encoded.protein


def padded(network: torch.nn.Module, inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same with the padding computed.

    It is attended to, which a mask would prevent and not make faster; so the numbers are not those of `packed`.
    """
    token = torch.where(inputs.token > 0, inputs.token - 1, PAD)
    rows = network.body.rows(pack_padded(token, attend_padding=True)).unflatten(0, token.shape)  # (B, T, D)
    residue = rows.gather(1, inputs.token_of_residue.long()[..., None].expand(-1, -1, rows.shape[-1]))
    real = (inputs.chain > 0)[..., None]
    return residue * real, (residue * real).sum(1) / real.sum(1)


@torch.inference_mode()
def embed(
    family: Pairlm, network: torch.nn.Module, chains: list[Chain], batches: Iterable[np.ndarray], encode: Callable,
    device: str,
) -> Vectors:  # fmt: skip
    """Return the vector of each protein; those of residues are copied to the memory of the machine as well."""
    found: Vectors = [np.empty(0)] * len(chains)
    for batch in batches:
        members = batch.tolist()
        inputs = collate([family.featurise(chains[k]) for k in members])
        inputs = type(inputs)(**{one.name: getattr(inputs, one.name).to(device) for one in fields(inputs)})
        residue, protein = (values.cpu().numpy() for values in encode(network, inputs))
        for row, k in enumerate(members):
            residue[row, : len(chains[k])].copy()
            found[k] = protein[row]
    return found


def model(size: str, tokenizer: str, device: str) -> tuple[Pairlm, torch.nn.Module]:
    """Return a family and a network of it with fresh weights."""
    torch.manual_seed(0)
    family = Pairlm(architecture="roberta", tokenizer=tokenizer, longest=LONGEST, **SIZES[size])
    return family, family.network().to(device).eval()


def child(way: str, data: str, size: str, tokenizer: str, number: int, threads: int) -> int:
    """Return the growth of this process while it embeds, in bytes."""
    torch.set_num_threads(threads)
    (family, network), chains = model(size, tokenizer, "cpu"), chains_of(Path(data), number)
    batches, encode = ways(family, chains)[way]
    embed(family, network, chains[:1], [np.array([0])], encode, "cpu")  # what is loaded and allocated but once
    return growth(lambda: embed(family, network, chains, batches, encode, "cpu"))


def peak(way: str, work: Callable[[], object], options: argparse.Namespace) -> int:
    """Return the bytes that a way takes beside the weights, in a process of its own, but on a GPU."""
    if options.device.startswith("cuda"):
        return growth(work, options.device)
    asked = [way, str(options.data), options.size, options.tokenizer, options.number, torch.get_num_threads()]
    program = (
        "import json, sys; from benchmarks.sequence_embedding import child; print(child(*json.loads(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, json.dumps(asked)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def product_rate(width: int, n_rows: int, clock: Callable[[], float], device: str) -> float:
    """Return the GFLOP/s of the widest layer of a block on so many rows: what bounds the gain of larger batches."""
    layer, rows = torch.nn.Linear(width, 4 * width, device=device), torch.randn(n_rows, width, device=device)
    repeats = max(1, 200_000 // n_rows)
    with torch.inference_mode():
        layer(rows)
        start = clock()
        for _ in range(repeats):
            layer(rows)
    return repeats * 2 * layer.weight.numel() * n_rows / (clock() - start) / 1e9


def explained(family: Pairlm, chains: list[Chain], planned: Batches, clock: Callable[[], float], device: str) -> str:
    """Return how fast products are on the tokens of one protein and of a batch."""
    tokens = np.array([family.featurise(chain).token.shape[-1] for chain in chains])
    one, many = int(np.median(tokens)), int(np.median([tokens[batch].sum() for batch in planned]))
    rates = [product_rate(family.width, n_rows, clock, device) for n_rows in (one, many)]
    return (f"A matrix product of the widest layer runs at {rates[0]:.0f} GFLOP/s on the {one:,} tokens of the middle "
            f"protein alone, at {rates[1]:.0f} GFLOP/s on the {many:,} of the middle batch.")  # fmt: skip


def measure(options: argparse.Namespace) -> list[str]:
    """Time all ways; return the lines of the page."""
    chains, clock = chains_of(options.data, options.number), stopwatch(options.clock, options.device)
    family, network = model(options.size, options.tokenizer, options.device)
    made = {
        name: lambda _=0, way=way: embed(family, network, chains, *way, options.device)
        for name, way in ways(family, chains).items()
    }
    first, second = made["tertia"](), made["one by one"]()
    apart = max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))
    seconds = take_turns(made, options.rounds, clock=clock)
    bound = max(network.memory(len(chain)) for chain in chains)
    table = ["| way | s | proteins a second | residues a second | memory, MiB | tertia is faster by "
             "(smallest-largest of the rounds) |", "|---|--:|--:|--:|--:|---|"]  # fmt: skip
    n_residues = sum(map(len, chains))
    for name, spent in seconds.items():
        middle, low, high = ratio(spent, seconds["tertia"])
        times, each = "" if name == "tertia" else f"**{middle:.2f}** ({low:.2f}-{high:.2f})", statistics.median(spent)
        memory = peak(name, made[name], options) / MIB
        table.append(f"| {name} | {each:.2f} | {len(chains) / each:,.1f} | {n_residues / each:,.0f} | {memory:,.0f} "
                     f"| {times} |")  # fmt: skip
        print(table[-1], file=sys.stderr, flush=True)
    least = min(ratio(seconds[name], seconds["tertia"])[0] for name in ("one by one", "arrival order"))
    return [*table, "", f"Goal: {GOAL:.0f} times the proteins of one by one and of arrival order: "
            f"{'reached' if least >= GOAL else 'not reached'}. The plan's bound of the memory: {bound / MIB:,.0f} MiB. "
            f"Largest difference of a protein's vector between tertia and one by one: {apart:.0e}.",
            "", explained(family, chains, ways(family, chains)["tertia"][0], clock, options.device)]  # fmt: skip


def page(table: list[str], options: argparse.Namespace) -> str:
    """Return docs/results/sequence_embedding_speed.md."""
    size = SIZES[options.size]
    return (
        "# Speed of embedding sequences\n\n"
        f"Written by `python benchmarks/sequence_embedding.py --number {options.number} --size {options.size} --rounds "
        f"{options.rounds} --device {options.device} --clock {options.clock} --write`:\n{options.number:,} of the 45,863 "
        f"RefSeq proteins, RoBERTa of {size['n_layers']} layers of {size['width']} on tokens of several residues; "
        f"{torch.get_num_threads()} thread(s),\n{options.clock} time, medians of {options.rounds} rounds in which the ways "
        "take turns. Times include splitting into tokens, and copying all rows of residues.\n\n"
        + "\n".join(table)
        + "\n\n`arrival order` pads as many proteins as tertia has in a batch to the longest of them; `arrival, packed` "
        "packs the same batches.\n"
    )


def main(arguments: list[str] | None = None) -> str:
    """Print the page and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--tokenizer", default="", help="tokenizer.json; by default 10,000 merges are learnt")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--number", type=int, default=600, help="proteins")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    options.data = options.data.resolve()
    with tempfile.TemporaryDirectory() as folder:
        if not options.tokenizer:
            learn(options.data, Path(folder), [10_000])
        options.tokenizer = str(Path(options.tokenizer or Path(folder) / "10000.json").resolve())
        text = page(measure(options), options)
    print(text)
    if options.write:
        PAGE.write_text(text)
    return text


if __name__ == "__main__":
    main()
