"""Does attention between two chains find their contacts? `--write`: docs/results/pair_attention.md, .json and .svg.

    python benchmarks/pair_attention.py MODEL [INPUT...] [--control MODEL] [--against STORE...] [--device cpu] [--write]

MODEL is a checkpoint of the family pairlm; INPUT are structure files, folders or archives, by default those of the data
folder; `--control` is a checkpoint that was trained on single chains only and reads the same lines. Every head gives
each pair of residues of two chains a score: weights in both directions, averaged, less what both residues get anyway.
The best head, and a sparse regression over all, are chosen on one half of the complexes and scored on the other, in
turn, so that every complex is scored once. Controls, each read and scored in the same way:

other partner   the second chain is that of another complex, the next in length; heads of the model itself
shuffled        the residues of the second chain are shuffled, and put back in order in the scores; likewise
untrained       the same network with fresh weights; heads chosen anew
single chains   the model of --control; heads chosen anew
letters         no network: how often the two letters are in contact, in the other half

Single chains: which share of the weights above 0.3 falls on residues of the interface when a chain is read alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import pair_attention_page  # noqa: E402
from benchmarks.complexes import Complex, touching, unlike  # noqa: E402
from benchmarks.contact_heads import (  # noqa: E402
    FIGURES,
    WAYS,
    Chosen,
    choose,
    drawn_cells,
    features_of,
    figures_of,
    head_precisions,
    letter_rates,
    letter_scores,
)
from benchmarks.pairlm_ablation import without_folders  # noqa: E402
from tertia.errors import CheckpointError, InputError  # noqa: E402
from tertia.evaluate.leaks import clean_positions  # noqa: E402
from tertia.models.pairlm.attention import MOST_TOKENS, attention_maps, attentions  # noqa: E402
from tertia.models.pairlm.inputs import Inputs  # noqa: E402
from tertia.structure.chain import Chain  # noqa: E402
from tertia.training import checkpoint  # noqa: E402

PAGE = ROOT / "docs" / "results" / "pair_attention.md"
STRONG = 0.3
"""Weights above it count (Vig et al. 2021)."""
LEAST_STRONG = 100
"""Strong weights that a head needs in the half it is chosen on."""
MODEL, OTHER, SHUFFLED, UNTRAINED, SINGLE, LETTERS = (
    "model", "other partner", "shuffled", "untrained", "single chains", "letters"
)  # fmt: skip
Values = dict[str, np.ndarray]  # figure -> (n,), NaN where a complex has none


@dataclass(frozen=True)
class Reader:
    """A network that reads lines of one chain or two."""

    family: object
    network: torch.nn.Module

    @property
    def limit(self) -> int:
        """Tokens of the longest line that it reads."""
        return self.network.limit or MOST_TOKENS

    def line(self, *chains: Chain) -> Inputs:
        """Return the inputs of one chain or two."""
        inputs = [self.family.featurise(chain) for chain in chains]
        return inputs[0] if len(inputs) == 1 else self.family.join(*inputs)

    def alone(self, chain: Chain) -> np.ndarray:
        """Return the weights that the tokens of residues have for each other, (heads, L, L), not divided by spans."""
        inputs = self.line(chain)
        return (attention_maps(self.network, inputs).cpu() * inputs.span).flatten(0, 1).numpy()

    def together(self, first: Chain, second: Chain) -> np.ndarray:
        """Return what each head says of the pairs of residues of two chains, (heads, L_A, L_B)."""
        maps = attention_maps(self.network, self.line(first, second))
        return features_of(maps.flatten(0, 1).cpu().numpy(), len(first))

    def reached(self, one: Complex) -> float:
        """Return the share of contacts whose tokens see each other."""
        reach = getattr(attentions(self.network)[0], "reach", None)
        place = self.line(*one.chains).token_of_residue.numpy()
        first, second = np.nonzero(one.contact)
        away = place[len(one.chains[0]) + second] - place[first]
        return 1.0 if reach is None else float((away <= reach).mean())


def read_model(path: str, *, device: str, fresh: bool = False) -> Reader:
    """Open a checkpoint, or its network with fresh weights, always the same ones."""
    trained = checkpoint.load(path)
    if trained.family.name != "pairlm":
        raise CheckpointError(path, found=f"is of the family {trained.family.name}", allowed="pairlm")
    network = trained.network
    if fresh:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = trained.family.network().eval()
    return Reader(trained.family, network.to(device))


def learn(reader: Reader, complexes: Sequence[Complex], half: np.ndarray) -> tuple[list[Chosen], np.ndarray]:
    """Return what to use on the complexes of each half, learnt from the other one, and the AP (n, heads) of all heads."""
    generator, precision, cells = np.random.default_rng(0), [], []
    for one in complexes:
        features = reader.together(*one.chains)
        precision.append(head_precisions(one, features))
        cells.append(drawn_cells(one, features, generator))
    precision = np.stack(precision)
    chosen = [choose(precision[half != k], [cells[i] for i in np.flatnonzero(half != k)]) for k in (0, 1)]
    return chosen, precision


def score(
    complexes: Sequence[Complex], half: np.ndarray, chosen: Sequence[Chosen], features: Callable[[int], np.ndarray]
) -> dict[str, Values]:
    """Return the figures of each way on every complex, those of other heads; NaN for a line that is too long."""
    out = {way: {name: np.full(len(complexes), np.nan) for name in FIGURES} for way in WAYS}
    for k, one in enumerate(complexes):
        try:
            scores = chosen[half[k]].scores(features(k))
        except InputError:
            continue
        for way in WAYS:
            for name, value in figures_of(one, scores[way]).items():
                out[way][name][k] = value
    return out


def other_partner(reader: Reader, complexes: Sequence[Complex]) -> Callable[[int], np.ndarray]:
    """Return features with the second chain of another complex, cut or stretched to the length of the right one."""
    order = np.argsort([len(one.chains[1]) for one in complexes], kind="stable")
    rank = np.argsort(order)

    def features(k: int) -> np.ndarray:
        next_to = rank[k] ^ 1 if rank[k] ^ 1 < len(order) else rank[k] - 1
        first, wanted = complexes[k].chains[0], len(complexes[k].chains[1])
        second = _sequence(complexes[order[next_to]].chains[1].sequence[:wanted])
        return reader.together(first, second)[:, :, np.arange(wanted) * len(second) // wanted]

    return features


def shuffled(reader: Reader, complexes: Sequence[Complex]) -> Callable[[int], np.ndarray]:
    """Return features with the residues of the second chain shuffled; scores stay with their residues."""

    def features(k: int) -> np.ndarray:
        first, second = complexes[k].chains
        order = np.random.default_rng(k).permutation(len(second))
        found = reader.together(first, _sequence("".join(second.sequence[place] for place in order)))
        out = np.empty_like(found)
        out[:, :, order] = found
        return out

    return features


def _sequence(letters: str) -> Chain:
    """Return a chain without coordinates."""
    numbers = np.arange(1, len(letters) + 1, dtype=np.int32)
    return Chain("made", "", letters, ("",) * len(letters), numbers, None, "made")


def by_letters(complexes: Sequence[Complex], half: np.ndarray) -> Values:
    """Return the figures of the letters alone, rates from the other half."""
    rates = [letter_rates([one for one, own in zip(complexes, half, strict=True) if own != k]) for k in (0, 1)]
    found = [figures_of(one, letter_scores(one, rates[k])) for one, k in zip(complexes, half, strict=True)]
    return {name: np.array([each[name] for each in found]) for name in FIGURES}


def on_interface(reader: Reader, complexes: Sequence[Complex], half: np.ndarray) -> dict[str, np.ndarray]:
    """Return, of chains read alone, the strong weights of the best head on every complex.

    The head is that with the largest share on the interface over what is expected, in the other half.

    Returns
    -------
    strong: (n,) number of weights above `STRONG`; hits: (n,) how many of them are on residues of the interface;
    expected: (n,) how many would be if all residues that are seen got as many; NaN where no head has enough.
    """
    counts = np.stack([sum(_strong(reader, one, side) for side in (0, 1)) for one in complexes])  # (n, 3, heads)
    out = np.full((len(complexes), 3), np.nan)
    for k in (0, 1):
        strong, hits, expected = counts[half != k].sum(axis=0)
        excess = np.where(strong >= LEAST_STRONG, hits / np.maximum(expected, 1e-9), -1.0)
        if excess.max() >= 0:
            out[half == k] = counts[half == k][:, :, excess.argmax()]
    return dict(zip(("strong", "hits", "expected"), out.T, strict=True))


def _strong(reader: Reader, one: Complex, side: int) -> np.ndarray:
    """Return strong weights of each head on residues of a chain, those on its interface, and those expected there,
    (3, heads)."""
    known, touched = one.seen.any(axis=1 - side), one.contact.any(axis=1 - side)
    strong = (reader.alone(one.chains[side]) > STRONG).sum(axis=1)  # (heads, L), by the residue that gets them
    total = strong[:, known].sum(axis=1)
    return np.stack([total, strong[:, touched].sum(axis=1), total * touched.sum() / known.sum()]).astype(np.float64)


def readable(readers: Sequence[Reader], complexes: Sequence[Complex]) -> list[Complex]:
    """Return the complexes that all networks read in one piece."""
    return [one for one in complexes if all(len(r.line(*one.chains).token) <= r.limit for r in readers)]


def measure(readers: dict[str, Reader], complexes: Sequence[Complex]) -> dict:
    """Score all rows; return {"rows": {row: {way: values}}, "heads": ..., "alone": ..., "reached": (n,)}."""
    half, rows, heads, alone = np.arange(len(complexes)) % 2, {}, {}, {}
    for name, reader in readers.items():
        print(f"{name}: {len(complexes)} complexes", file=sys.stderr, flush=True)
        chosen, precision = learn(reader, complexes, half)
        rows[name] = score(complexes, half, chosen, lambda k, own=reader: own.together(*complexes[k].chains))
        heads[name] = (chosen, precision.mean(axis=0))
        alone[name] = on_interface(reader, complexes, half)
        if name == MODEL:
            for label, way in ((OTHER, other_partner), (SHUFFLED, shuffled)):
                rows[label] = score(complexes, half, chosen, way(reader, complexes))
    rows[LETTERS] = {"rates of letters": by_letters(complexes, half)}
    reached = np.array([readers[MODEL].reached(one) for one in complexes])
    return {"rows": rows, "heads": heads, "alone": alone, "reached": reached}


def main(arguments: list[str] | None = None) -> str:
    """Print the page and return it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parsed(arguments)
    inputs = options.inputs or sorted(map(str, (options.data / "structures").glob("*.tar.xz")))
    readers = {MODEL: read_model(options.model, device=options.device),
               UNTRAINED: read_model(options.model, device=options.device, fresh=True)}  # fmt: skip
    if options.control:
        readers[SINGLE] = read_model(options.control, device=options.device)
    pairs, count = touching(inputs, jobs=options.jobs)
    unlike_ones, left_out, tool = unlike(pairs, threads=options.jobs)
    fitting = readable(list(readers.values()), unlike_ones)
    complexes = fitting[: options.number]
    if len(complexes) < 4:
        raise InputError(", ".join(inputs), found=f"{len(complexes)} complexes", allowed="4 or more, to halve them")
    models = ",".join(filter(None, (options.model, options.control)))
    clean = clean_positions({"complexes": complexes}, options.against, models)
    found = measure(readers, complexes) | {
        "complexes": complexes, "clean": None if clean is None else clean["complexes"], "tool": tool,
        "count": dict(count + left_out) | {"complexes with a line longer than a model reads": len(unlike_ones) - len(fitting)},
        "command": f"python benchmarks/pair_attention.py {' '.join(without_folders(arguments))}", "family": readers[MODEL].family,
    }  # fmt: skip
    text = pair_attention_page.write(found, options.page if options.write else None)
    print(text)
    return text


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="checkpoint of the family pairlm")
    parser.add_argument("inputs", nargs="*", help="structure files, folders, archives")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--control", default="", help="checkpoint that was trained on single chains")
    parser.add_argument("--against", nargs="*", default=[], help="stores or FASTA files with training chains")
    parser.add_argument("--number", type=int, help="complexes, to see that everything runs; all by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="processes that read structures")
    parser.add_argument("--page", type=Path, default=PAGE, help="written with --write, .json and .svg beside it")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
