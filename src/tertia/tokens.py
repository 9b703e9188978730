"""Learn tokens of several residues from FASTA files of any size, and say what was refused."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tertia.errors import InputError
from tertia.progress import Progress
from tertia.sequence.fasta import Record, parse_fasta, stream_fasta
from tertia.sequence.tokens import MOST_RESIDUES, draw, train
from tertia.structure.sources import Source, as_text, open_sources


@dataclass(frozen=True)
class TokensReport:
    """What the merges were learnt from, and what could not be read."""

    path: Path  # the tokenizer.json
    n_tokens: int  # ids: special tokens, bytes and merges
    n_sequences: int  # read
    n_residues: int
    n_used: int  # sequences that the merges were learnt from
    n_used_residues: int
    refused: tuple[InputError, ...]

    def table(self) -> str:
        """Return the counts as aligned text."""
        rows = [
            ("", "sequences", "residues"),
            ("read", f"{self.n_sequences:,}", f"{self.n_residues:,}"),
            ("learnt from", f"{self.n_used:,}", f"{self.n_used_residues:,}"),
        ]
        lines = [f"{name:<12}{count:>14}{size:>18}" for name, count, size in rows]
        return "\n".join([*lines, f"{self.n_tokens:,} tokens in {self.path}, {len(self.refused):,} records refused"])


def train_tokenizer(
    inputs: Sequence[str] | str, output: str | Path, *, merges: int = 10_000, most_residues: int = MOST_RESIDUES,
    progress: bool = True,
) -> TokensReport:  # fmt: skip
    """Learn byte-level BPE from FASTA files and write it as a tokenizer.json.

    The same sequences give the same bytes, in whatever order and files they come. Files are read as streams, so the
    memory that is needed depends on `most_residues` alone.

    Parameters
    ----------
    inputs: FASTA files (gz, xz or plain), globs, tar archives, "-" for a list on stdin.
    output: the tokenizer.json, a new file.
    merges: tokens beyond the 5 special ones and the 256 bytes; 0 for single residues.
    most_residues: where there are more, merges are learnt from a sample of whole sequences of about so many residues.
    progress: show progress on stderr.

    Returns
    -------
    TokensReport; its `refused` is empty only when every record of every input was read. Of a file that breaks off,
    the records before the end are used.

    Raises
    ------
    InputError: the output is there already, nothing could be read, or there is too little for so many merges.
    """
    output = Path(output)
    if output.exists():
        raise InputError(str(output), found="is there already", allowed="a new file")
    for name, value, least in (("merges", merges, 0), ("most_residues", most_residues, 1)):
        if value < least:
            raise InputError("tokenizer", name, found=f"is {value}", allowed=f"{least} or more")
    given = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    refused: list[InputError] = []
    counts = [0, 0]
    with Progress(progress) as bar:
        bar.step("reading")
        kept = draw(_sequences(given, refused, counts, bar), most_residues=most_residues)
        if not kept:
            raise InputError("tokenizer", found="no sequence to learn from" + "".join(f"\n{one}" for one in refused))
        bar.step("learning merges", total=1)
        tokenizer = train(kept, merges=merges)
        bar.advance()
    output.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(output)
    return TokensReport(output, len(tokenizer), *counts, len(kept), sum(map(len, kept)), tuple(refused))


def _sequences(inputs: Sequence[str], refused: list[InputError], counts: list[int], bar: Progress) -> Iterator[str]:
    """Yield the sequences of all inputs; count them and their residues, and list what cannot be read."""
    for source in open_sources(inputs):
        try:
            for record in _records(source):
                bar.advance()
                if isinstance(record, InputError):
                    refused.append(record)
                    continue
                counts[0] += 1
                counts[1] += len(record.sequence)
                yield record.sequence
        except InputError as error:
            refused.append(error)


def _records(source: Source) -> Iterator[Record | InputError]:
    where = as_text(source.name)
    if source.error is None and source.packed is None and not source.name.lower().endswith(".xz"):
        yield from stream_fasta(source.name, where=where)
    else:
        yield from parse_fasta(source.read().decode("ascii", "backslashreplace"), where=where)
