"""Write the sequences that a pre-training corpus must not neighbour, as one FASTA file for `tertia prepare --exclude`.

    TERTIA_DATA=../shared/data python examples/exclusions.py exclusions.fa
    tertia prepare ../shared/data/structures -o store --exclude exclusions.fa

They are the targets and natives of the test split of the quality-assessment set, the chains of GraphPPIS Test_60,
Test_315 and UBtest_31, and the test proteins of DeepPPISP.
"""

from __future__ import annotations

import csv
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tertia.sequence.fasta import Record, read_fasta, write_fasta
from tertia.structure.read import read_structure
from tertia.structure.sources import Source


def quality_targets(folder: Path) -> Iterator[Record]:
    """Yield the sequences of the test targets, and those of the chains of their native structures."""
    with open(folder / "targets.tsv", newline="") as handle:
        rows = [row for row in csv.DictReader(handle, delimiter="\t") if row["split"] == "test"]
    for row in rows:
        yield Record(f"quality_{row['set']}_{row['target']}", row["sequence"])
    natives = {name for row in rows for name in row["natives"].split("|")}
    wanted = {f"natives/{name}.pdb" for name in natives}
    # Forward only: looking up members of a gz archive by name would unpack it again and again.
    with tarfile.open(folder / "structures.tar.gz", "r|gz") as archive:
        for member in archive:
            if member.name in wanted:
                wanted.remove(member.name)
                source = Source(member.name, packed=archive.extractfile(member).read())
                for chain in read_structure(source).chains:
                    yield Record(f"quality_native_{chain.key}", chain.sequence)
    if wanted:
        sys.exit(f"{folder / 'structures.tar.gz'}: no member {sorted(wanted)}")


def interface_sites(folder: Path) -> Iterator[Record]:
    """Yield the chains of the GraphPPIS test sets and the test proteins of DeepPPISP."""
    for name in ("Test_60", "Test_315", "UBtest_31"):
        for record in read_fasta(folder / "graphppis" / f"{name}.fa"):
            yield Record(f"graphppis_{name}_{record.name}", record.sequence)
    with open(folder / "deepppisp" / "proteins.tsv", newline="") as handle:
        test = {row["protein_id"] for row in csv.DictReader(handle, delimiter="\t") if row["split"] == "test"}
    records = read_fasta(folder / "deepppisp" / "sequences_labels.fa")
    missing = test - {record.name for record in records}
    if missing:
        sys.exit(f"no sequence for the DeepPPISP test proteins {sorted(missing)}")
    for record in records:
        if record.name in test:
            yield Record(f"deepppisp_{record.name}", record.sequence)


def main() -> None:
    """Write the FASTA file that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/exclusions.py OUTPUT.fa")
    data = Path(os.environ.get("TERTIA_DATA", "../shared/data"))
    records = [*quality_targets(data / "quality_assessment"), *interface_sites(data / "ppi_sites")]
    write_fasta(sys.argv[1], records)
    print(f"{len(records)} sequences, {len({record.sequence for record in records})} of them distinct", file=sys.stderr)


if __name__ == "__main__":
    main()
