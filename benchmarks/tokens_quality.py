"""Say what tokens do to proteins that they were not learnt from; `--write`: docs/results/tokens.md.

    python benchmarks/tokens_quality.py [--data FOLDER] [--merges 100 1000 10000 30000] [--tokenizers FOLDER] [--write]

Merges are learnt from the corpus of 45,863 RefSeq proteins, once: the tokenizer with fewer merges is the beginning of
that with more. `--tokenizers` names a folder to keep them in, and to take them from where they are there already.
Then every sequence of every shared set goes through each tokenizer and back. The held-out sets are the tests of the
tasks, without what is in the corpus.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.shared_sequences import COLUMNS, CORPUS, corpus, held_out, sequences_of  # noqa: E402
from tertia.sequence.tokens import FEWEST, SPECIALS, Tokenizer, train  # noqa: E402
from tertia.tokens import train_tokenizer  # noqa: E402

PAGE = ROOT / "docs" / "results" / "tokens.md"
MERGES = (100, 1_000, 10_000, 30_000)
GOAL = {10_000: (2.45, 2.65)}
"""Residues a token on held-out proteins."""
LONGEST = 510
"""Tokens beside the two special ones in a line of 512."""
COMMON = "ACDEFGHIKLMNPQRSTVWY"


@dataclass(frozen=True)
class Rates:
    """Sequences of one set in one vocabulary."""

    n_residues: int
    lengths: np.ndarray  # (n,) tokens of each sequence

    @property
    def rate(self) -> float:
        """Residues a token."""
        return self.n_residues / int(self.lengths.sum())

    @property
    def too_long(self) -> float:
        """Share of sequences that do not fit into a line."""
        return float((self.lengths > LONGEST).mean())


def learn(data: Path, folder: Path, merges: Sequence[int]) -> dict[int, Tokenizer]:
    """Return a tokenizer for each number of merges; learn and keep those that are not in the folder."""
    kept = {n: Tokenizer.load(path) for n in merges if (path := folder / f"{n}.json").is_file()}
    missing = sorted((n for n in merges if n not in kept), reverse=True)
    if missing and missing[0] > max(kept, default=-1):
        path = folder / f"{missing[0]}.json"
        report = train_tokenizer(data / CORPUS, path, merges=missing[0])
        print(report.table(), file=sys.stderr)
        kept[missing[0]] = Tokenizer.load(path)
    for n in missing:
        if n not in kept:
            kept[n] = first_merges(kept[max(kept)], n)
            kept[n].save(folder / f"{n}.json")
    return {n: kept[n] for n in sorted(merges)}


def first_merges(tokenizer: Tokenizer, n: int) -> Tokenizer:
    """Return the tokenizer that was there after n merges: learning more never changes the first ones."""
    content = json.loads(tokenizer.text)
    model = content["model"]
    model["vocab"] = {token: id for token, id in model["vocab"].items() if id < FEWEST + n}
    model["merges"] = model["merges"][:n]
    return Tokenizer(json.dumps(content))


def rates(tokenizer: Tokenizer, sequences: Sequence[str]) -> Rates:
    """Return what the tokenizer makes of sequences."""
    return Rates(sum(map(len, sequences)), np.array([len(one) for one in tokenizer.encode(sequences)]))


def there_and_back(tokenizer: Tokenizer, sequences: Sequence[str]) -> float:
    """Return residues a token.

    Raises SystemExit for a sequence that does not come back, or is not tiled by spans of known tokens.
    """
    n_tokens = 0
    for sequence, tokens in zip(sequences, tokenizer.encode(sequences), strict=True):
        whole = tokens.n_residues == len(sequence) and int(tokens.id.min()) >= len(SPECIALS)
        if not whole or tokenizer.decode(tokens.id) != sequence:
            raise SystemExit(f"{sequence} does not come back")
        n_tokens += len(tokens)
    return sum(map(len, sequences)) / n_tokens


def controls(sequences: Sequence[str], rng: np.random.Generator) -> dict[str, list[str]]:
    """Return sequences, their residues in random order, and uniform random ones of the same lengths."""
    letters = np.frombuffer(COMMON.encode(), np.uint8)
    codes = [np.frombuffer(sequence.encode(), np.uint8) for sequence in sequences]
    return {
        "natural": list(sequences),
        "residues shuffled": [rng.permutation(code).tobytes().decode() for code in codes],
        "uniform": [rng.choice(letters, len(code)).tobytes().decode() for code in codes],
    }


def lengths_of_vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    """Return how many merges have 2, 3, 4 and more residues."""
    count = Counter(min(len(token), 5) for token in tokenizer.vocabulary[FEWEST:])
    return {name: count[n] for n, name in ((2, "2"), (3, "3"), (4, "4"), (5, "5 or more"))}


def round_trips(tokenizers: dict[int, Tokenizer], data: Path, number: int | None) -> list[str]:
    """Send the first sequences of every set, or all, through each tokenizer and back; return a table."""
    lines = ["| file | sequences | residues | " + " | ".join(f"{n:,} merges" for n in tokenizers) + " |",
             "|---|--:|--:|" + "--:|" * len(tokenizers)]  # fmt: skip
    for name in COLUMNS:
        sequences = list(islice(sequences_of(data, name), number))
        cells = [f"{there_and_back(tokenizer, sequences):.2f}" for tokenizer in tokenizers.values()]
        lines.append(f"| {name} | {len(sequences):,} | {sum(map(len, sequences)):,} | " + " | ".join(cells) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def compression(tokenizers: dict[int, Tokenizer], sets: dict[str, list[str]]) -> list[str]:
    """Return the table of residues a token on held-out sets, with what was asked of it."""
    lines = ["| merges | " + " | ".join(sets) + " | residues saved | goal | reached |",
             "|--:|" + "--:|" * len(sets) + "--:|---|---|"]  # fmt: skip
    for n, tokenizer in tokenizers.items():
        found = [rates(tokenizer, sequences).rate for sequences in sets.values()]
        low, high = GOAL.get(n, (0.0, 0.0))
        goal = f"{low}-{high} | {'yes' if low <= min(found) <= max(found) <= high else 'no'}" if high else " | "
        cells = [f"{rate:.3f}" for rate in found]
        saved = f"{1 - 1 / min(found):.0%}-{1 - 1 / max(found):.0%}"
        lines.append(f"| {n:,} | " + " | ".join(cells) + f" | {saved} | {goal} |")
    return lines


def vocabulary(tokenizers: dict[int, Tokenizer]) -> list[str]:
    """Return the table of token lengths in the vocabularies."""
    names = lengths_of_vocabulary(next(iter(tokenizers.values())))
    lines = ["| merges | " + " | ".join(f"{name} residues" for name in names) + " | longest | first merges |",
             "|--:|" + "--:|" * len(names) + "---|---|"]  # fmt: skip
    for n, tokenizer in tokenizers.items():
        cells = [f"{count:,}" for count in lengths_of_vocabulary(tokenizer).values()]
        merges = tokenizer.vocabulary[FEWEST:]
        lines.append(f"| {n:,} | " + " | ".join(cells) + f" | {max(merges, key=len)} | {' '.join(merges[:8])} |")
    return lines


def fitting(tokenizers: dict[int, Tokenizer], sets: dict[str, list[str]]) -> list[str]:
    """Return the table of proteins that do not fit into a line, from single residues on."""
    lines = ["| merges | " + " | ".join(sets) + " |", "|--:|" + "--:|" * len(sets)]
    for n, tokenizer in {0: train([], merges=0), **tokenizers}.items():
        cells = [f"{100 * rates(tokenizer, sequences).too_long:.1f} %" for sequences in sets.values()]
        lines.append(f"| {n:,} | " + " | ".join(cells) + " |")
    return lines


def against_controls(tokenizers: dict[int, Tokenizer], sequences: list[str]) -> list[str]:
    """Return the table of residues a token on natural, shuffled and uniform sequences."""
    sets = controls(sequences, np.random.default_rng(0))
    lines = ["| merges | " + " | ".join(sets) + " |", "|--:|" + "--:|" * len(sets)]
    for n, tokenizer in tokenizers.items():
        cells = [f"{rates(tokenizer, some).rate:.3f}" for some in sets.values()]
        lines.append(f"| {n:,} | " + " | ".join(cells) + " |")
    return lines


def page(tokenizers: dict[int, Tokenizer], data: Path, number: int | None) -> str:
    """Return docs/results/tokens.md."""
    known, everything = set(corpus(data)), held_out(data)
    sets = {name: [one for one in found if one not in known][:number] for name, found in everything.items()}
    kept = ", ".join(f"{name} {len(sets[name]):,} of {len(found):,}" for name, found in everything.items())
    first = next(iter(sets))
    sections = {
        "Residues a token": compression(tokenizers, sets),
        "Length of the tokens": vocabulary(tokenizers),
        f"Proteins longer than {LONGEST} tokens": fitting(tokenizers, sets),
        f"Composition or motifs: {first} beside controls": against_controls(tokenizers, sets[first]),
        "There and back": [
            "Residues a token on every shared set. Every sequence came back as it was, by every vocabulary; its spans "
            "tile it, and no token is unknown.", "", *round_trips(tokenizers, data, number),
        ],
    }  # fmt: skip
    body = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items())
    return (
        "# Tokens\n\n"
        "Written by `python benchmarks/tokens_quality.py --write`: byte-level BPE, learnt from the "
        f"{len(known):,} RefSeq proteins\nof the shared corpus. Held out are the distinct sequences of four tests that "
        f"are not in it: {kept}.\n\n{body}\n"
    )


def main(arguments: list[str] | None = None) -> str:
    """Print the page and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--merges", type=int, nargs="+", default=MERGES)
    parser.add_argument("--tokenizers", type=Path, help="folder to keep them in; a temporary one by default")
    parser.add_argument("--number", type=int, help="sequences of each set, to see that everything runs; all by default")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.tokenizers or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        text = page(learn(options.data, folder, options.merges), options.data, options.number)
    print(text)
    if options.write:
        PAGE.write_text(text)
    return text


if __name__ == "__main__":
    main()
