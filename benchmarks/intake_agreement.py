"""Read the whole structure collection and compare residue counts with its index; `--write`: docs/results/intake.md.

    python benchmarks/intake_agreement.py [--data FOLDER] [--write]

The index counts residues with a C-alpha of element C, in chains of at least 20 of them, where the residue is one of
about 130 amino acids that gemmi tabulates, wherever it stands in the file (all conformers by name). tertia counts the
residues of protein chains: modified residues that the table does not know are in, free amino acids are out. Every
file that differs is explained by counting both ways, residue by residue.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections import Counter
from pathlib import Path

import gemmi

from tertia.errors import InputError
from tertia.structure.read import Structure, read_structure
from tertia.structure.sources import open_sources

ROOT = Path(__file__).resolve().parents[1]
SHORTEST = 20


def counted(structure: Structure) -> int:
    """Residues with a C-alpha in chains of at least 20 of them."""
    seen = [report.n_with_coordinates for report in structure.report.chains]
    return sum(n for n in seen if n >= SHORTEST)


def explanation(structure: Structure, content: bytes) -> str:
    """Say which residues one side counts and the other does not."""
    ours: Counter = Counter()
    for chain, report in zip(structure.chains, structure.report.chains, strict=True):
        if report.n_with_coordinates >= SHORTEST:
            ours.update((chain.id, residue) for residue, seen in zip(chain.residue_id, chain.seen, strict=True) if seen)
    listed, name_of = indexed(content)
    missing, extra = listed - ours, ours - listed
    parts = []
    for what, residues in (("only in the index", missing), ("only in tertia", extra)):
        if residues:
            names = Counter(name_of.get(residue, "?") for residue in residues.elements())
            places = ", ".join(f"{chain} {residue}" for chain, residue in sorted(residues)[:6])
            more = ", ..." if len(residues) > 6 else ""
            parts.append(f"{what}: {', '.join(f'{n} {name}' for name, n in names.items())} ({places}{more})")
    return "; ".join(parts) or "not explained"


def indexed(content: bytes) -> tuple[Counter, dict]:
    """Count as the index does: every tabulated amino acid with a C-alpha, of the first model."""
    model = gemmi.read_structure_string(content, format=gemmi.CoorFormat.Detect)[0]
    listed, name_of = Counter(), {}
    for chain in model:
        here = Counter()
        for residue in chain:
            key = (chain.name or "_", str(residue.seqid).strip())
            name_of[key] = residue.name
            known = gemmi.find_tabulated_residue(residue.name)
            if (
                known.found()
                and known.is_amino_acid()
                and any(a.name == "CA" and a.element.name == "C" for a in residue)
            ):
                here[key] += 1
        if sum(here.values()) >= SHORTEST:
            listed += here
    return listed, name_of


REASONS = {
    "only in the index": "free amino acids that are ligands, second residues at one place (microheterogeneity), or "
    "modified residues that the source file put behind the chain under new numbers",
    "only in tertia": "modified residues that the component dictionary knows and the table of the index does not",
}


def compare(data: Path) -> tuple[list[str], Counter]:
    """Return one line a differing file, and the totals."""
    with open(data / "structures" / "INDEX.tsv", newline="") as table:
        wanted = {row["file"]: int(row["n_protein_residues"]) for row in csv.DictReader(table, delimiter="\t")}
    lines, total = [], Counter()
    for source in open_sources(sorted(str(path) for path in (data / "structures").glob("*.tar.xz"))):
        name = source.name.rsplit("!", 1)[-1]
        total["files"] += 1
        try:
            structure = read_structure(source)
        except InputError as error:
            total["refused"] += 1
            lines.append(f"| {name} | {wanted[name]} | refused | {error.found} |")
            continue
        total["chains"] += len(structure.chains)
        total["residues"] += sum(report.n_with_coordinates for report in structure.report.chains)
        total["changes"] += sum(len(report.changes) for report in structure.report.chains)
        if counted(structure) == wanted[name]:
            total["equal"] += 1
        else:
            why = explanation(structure, source.read())
            lines.append(f"| {name} | {wanted[name]} | {counted(structure)} | {why} |")
    return lines, total


def page(lines: list[str], total: Counter) -> str:
    percent = 100 * total["equal"] / total["files"]
    reasons = "\n".join(f"* **{key}**: {text}." for key, text in REASONS.items())
    return (
        f"""# Intake of the whole structure collection

Written by `python benchmarks/intake_agreement.py --write`.

{total["files"]:,} files, no crash, {total["refused"]} refused: {total["chains"]:,} protein chains,
{total["residues"]:,} residues with a C-alpha, {total["changes"]:,} changes reported.
Residues with coordinates (residues with a C-alpha, in chains of at least {SHORTEST} of them) equal the index for
{total["equal"]:,} files = **{percent:.2f} %**. The others, each explained by counting both ways residue by residue:

{reasons}

| file | index | tertia | why |
|---|---|---|---|
"""
        + "\n".join(lines)
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines, total = compare(options.data)
    text = page(lines, total)
    print(text)
    if options.write:
        target = ROOT / "docs" / "results" / "intake.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    sys.exit(0 if total["equal"] >= 0.995 * total["files"] else 1)


if __name__ == "__main__":
    main()
