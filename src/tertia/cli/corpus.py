"""Verbs that make data: inspect, prepare, tokens, fetch, decoys."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tertia.cli.app import AsJson, Assembly, Inputs, Jobs, ModelNumber, app, examples, leave, sifted, tell
from tertia.errors import TertiaError


@app.command(epilog=examples("tertia inspect 1abc.cif", "tertia inspect structures/ archive.tar.gz --json"))
def inspect(
    inputs: Inputs,
    model: ModelNumber = 1,
    assembly: Assembly = "",
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """Show what is in structure files, and what reading them changed."""
    from tertia.inspect import inspect, print_table, to_json

    failed: list[TertiaError] = []
    reports = sifted(inspect(inputs, model=model, assembly=assembly or None, jobs=jobs), failed)
    if as_json:
        for report in reports:
            print(to_json(report))
    else:
        print_table(reports, sys.stdout)
    leave(failed)


Exclude = Annotated[list[Path], typer.Option(help="FASTA file or store whose neighbours are refused; may be repeated.")]
PairTables = Annotated[
    list[Path], typer.Option(help="Table of binding pairs (protein_a, protein_b, organism); may be repeated.")
]
SplitBy = Annotated[
    str, typer.Option(help="Field of FASTA headers (tax for tax=9606) whose values stay in one part of the split.")
]


@app.command(
    epilog=examples(
        "tertia prepare structures/ -o store", "tertia prepare 'pdb/*.cif.gz' -o store --exclude test.fasta --jobs 2"
    )
)
def prepare(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the store; a killed run is continued.")],
    exclude: Exclude = [],  # noqa: B006
    pairs: PairTables = [],  # noqa: B006
    identity: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of clusters and of excluded neighbours.")] = 0.3,
    fractions: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Of the clusters for train, valid and test (default 0.9 0.05 0.05)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split into train, valid and test.")] = 0,
    split_by: SplitBy = "",
    tool: Annotated[str, typer.Option(help="What compares sequences: auto, mmseqs or builtin.")] = "auto",
    min_length: Annotated[int | None, typer.Option(help="Residues with a C-alpha, at least (default 20).")] = None,
    max_length: Annotated[int | None, typer.Option(help="Residues, at most (default 5000).")] = None,
    max_resolution: Annotated[float | None, typer.Option(help="Angstrom, at most (default 9.0).")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Part of a method's name to take (x-ray, nmr); may be repeated; all by default."),
    ] = None,
    ca_distance: Annotated[
        tuple[float, float] | None, typer.Option(help="Angstrom, between neighbours (default 2.8 4.8).")
    ] = None,
    max_odd_bonds: Annotated[
        float | None, typer.Option(help="Share of neighbours outside ca-distance, at most (default 0.05).")
    ] = None,
    max_missing_fraction: Annotated[
        float | None, typer.Option(help="Share of residues without a C-alpha, at most (default 0.3).")
    ] = None,
    max_unknown_fraction: Annotated[
        float | None, typer.Option(help="Share of residues that are none of the 20, at most (default 0.5).")
    ] = None,
    model: ModelNumber = 1,
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """Read, check, cluster and split structures into a store; say what was refused and why."""
    from tertia.prepare import prepare

    limits = {
        "min_length": min_length, "max_length": max_length, "max_resolution": max_resolution, "methods": method,
        "ca_distance": ca_distance, "max_odd_bonds": max_odd_bonds, "max_missing_fraction": max_missing_fraction,
        "max_unknown_fraction": max_unknown_fraction, "fractions": fractions,
    }  # fmt: skip
    limits = {name: value for name, value in limits.items() if value is not None}
    report = prepare(
        inputs, output, exclude=exclude, pairs=pairs, identity=identity, seed=seed, split_by=split_by, tool=tool,
        model=model, jobs=jobs, **limits,
    )  # fmt: skip
    print(json.dumps(report.as_dict(), indent=2) if as_json else report.table())
    tell([failure.found for failure in report.failed])
    tell([f"{r.source}: {r.chain} refused, {r.rule}: {r.found}" for r in report.refused], rest=output / "report.json")
    apart = report.pairs.refused if report.pairs else ()
    tell([f"{r.protein}: {r.n_pairs} pairs refused, {r.rule}" for r in apart], rest=output / "report.json")
    leave([*report.failed, *report.refused, *apart])


@app.command(
    epilog=examples(
        "tertia tokens proteins.fa.gz -o tokenizer.json",
        "tertia tokens 'uniprot/*.fasta.gz' -o letters.json --merges 100",
    )
)
def tokens(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="The tokenizer.json, a new file.")],
    merges: Annotated[int, typer.Option(min=0, help="Tokens beyond single residues; 0 for none.")] = 10_000,
    most_residues: Annotated[
        int | None, typer.Option(min=1, help="Learn from a sample of about so many residues (default 20000000).")
    ] = None,
) -> None:
    """Learn tokens of several residues (byte-level BPE) from FASTA files of any size."""
    from tertia.sequence.tokens import MOST_RESIDUES
    from tertia.tokens import train_tokenizer

    most = MOST_RESIDUES if most_residues is None else most_residues
    report = train_tokenizer(inputs, output, merges=merges, most_residues=most)
    print(report.table())
    tell([f"error: {error}" for error in report.refused])
    leave(report.refused)


@app.command(epilog=examples("tertia fetch 2gtl 7ok9 -o structures", "tertia fetch P69905 -o structures --format bcif"))
def fetch(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="PDB ids, UniProt accessions or AlphaFold names.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")],
    source: Annotated[str, typer.Option(help="pdb, afdb, or auto: by the form of each id.")] = "auto",
    format: Annotated[str, typer.Option(help="cif or bcif.")] = "cif",
    jobs: Annotated[int, typer.Option(min=1, help="Downloads at a time.")] = 4,
    retries: Annotated[int, typer.Option(min=0, help="Further tries after a broken one.")] = 5,
    base_url: Annotated[str, typer.Option(help="Another server, such as https://mirror/{entry}.cif.gz.")] = "",
) -> None:
    """Download entries of the PDB and the AlphaFold database; broken transfers are continued."""
    from tertia.fetch import fetch

    report = fetch(ids, output, source=source, format=format, jobs=jobs, retries=retries, base_url=base_url or None)
    for path in report.paths:
        print(path)
    tell([f"{identifier}: {found}" for identifier, found in report.failed])
    leave(report.failed)


@app.command(
    epilog=examples(
        "tertia decoys 1abc.cif 2xyz.cif -o decoys", "tertia decoys natives/ -o decoys --number 100 --jobs 2"
    )
)
def decoys(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the decoys; a killed run is continued.")],
    number: Annotated[int, typer.Option(min=1, help="Decoys of each chain.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    generators: Annotated[
        str, typer.Option(help="Kinds of errors, joined by commas: torsion,elastic,register,template,fragment,hinge.")
    ] = "",
    jobs: Jobs = 1,
) -> None:
    """Make models with realistic errors and exact labels out of native structures, for training."""
    from tertia.decoys import GENERATORS, decoys

    kinds = generators.split(",") if generators else tuple(GENERATORS)
    report = decoys(inputs, output, number=number, seed=seed, generators=kinds, jobs=jobs, progress=True)
    print(report.table())
    tell([f"error: {error}" for error in report.failed])
    leave(report.failed)
