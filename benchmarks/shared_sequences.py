"""Every set of sequences among the shared data, read as streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from tertia.data.tables import read_rows
from tertia.errors import InputError
from tertia.sequence.fasta import stream_fasta

CORPUS = "sequences/refseq_68proteomes_sample.fa.gz"
COLUMNS = {
    CORPUS: (),  # FASTA, as all files without columns
    "protein_pairs/bernett_sequences.fa.gz": (),
    "protein_pairs/dscript_yeast_sequences.fa.gz": (),
    "protein_pairs/pring_sequences.fa.gz": (),
    "protein_pairs/shs27k_sequences.fa.gz": (),
    "protein_pairs/yeast_guo_sequences.fa.gz": (),
    "localization/deeploc1.tsv.gz": ("sequence",),
    "remote_homology/tape_fold.tsv.gz": ("sequence",),
    "remote_homology/deepsf_test_sequences.tsv.gz": ("sequence",),
    "secondary_structure/netsurfp2_3state.tsv.gz": ("sequence",),
    "secondary_structure/tape_valid_3state.tsv.gz": ("sequence",),
    "secondary_structure/cb513_3state.tsv.gz": ("sequence",),
    "secondary_structure/casp12_8state.tsv.gz": ("sequence",),
    "tcr_epitope/titan_pairs.tsv.gz": ("cdr3b", "epitope"),
    "tcr_epitope/titan_tcr_full_beta.tsv.gz": ("full_variable_beta",),
    "tcr_epitope/vdjdb_human_positives.tsv.gz": ("cdr3_alpha", "cdr3_beta", "antigen_epitope"),
}
"""The columns with sequences in every file of shared data that holds any."""


def sequences_of(data: Path, name: str) -> Iterator[str]:
    """Yield every sequence of a file in `COLUMNS` once; an empty cell holds none.

    Raises InputError for a bad record.
    """
    return iter_distinct(_cells(data / name, COLUMNS[name]))


def corpus(data: Path, number: int | None = None) -> list[str]:
    """Return the first sequences of the corpus, or all."""
    return list(islice(sequences_of(data, CORPUS), number))


def held_out(data: Path) -> dict[str, list[str]]:
    """Return the sequences that tokens are judged on: the tests of four tasks."""
    tests = {
        "DeepLoc test": _of_split(data / "localization" / "deeploc1.tsv.gz", "test"),
        "Bernett test": _bernett_test(data / "protein_pairs"),
        "fold test": _of_split(data / "remote_homology" / "tape_fold.tsv.gz", "test_fold"),
        "CB513": sequences_of(data, "secondary_structure/cb513_3state.tsv.gz"),
    }
    return {name: list(iter_distinct(sequences)) for name, sequences in tests.items()}


def _of_split(path: Path, split: str) -> Iterator[str]:
    return (row["sequence"] for row in read_rows(path, ("split", "sequence")) if row["split"] == split)


def _bernett_test(folder: Path) -> Iterator[str]:
    columns = ("protein_a", "protein_b", "split")
    rows = (row for row in read_rows(folder / "bernett_pairs.tsv.gz", columns) if row["split"] == "test")
    names = {name for row in rows for name in (row["protein_a"], row["protein_b"])}
    return (one.sequence for one in stream_fasta(folder / "bernett_sequences.fa.gz") if one.name in names)


def iter_distinct(sequences: Iterable[str]) -> Iterator[str]:
    """Yield every sequence once."""
    seen: set[str] = set()
    for sequence in sequences:
        if sequence not in seen:
            seen.add(sequence)
            yield sequence


def _cells(path: Path, columns: tuple[str, ...]) -> Iterator[str]:
    if columns:
        for row in read_rows(path, columns):
            yield from filter(None, (row[column] for column in columns))
        return
    for record in stream_fasta(path):
        if isinstance(record, InputError):
            raise record
        yield record.sequence
