"""The command line: a signature and a help text for each verb. What a verb does stands in the module of its name."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tertia.errors import TertiaError


def examples(*lines: str) -> str:
    """Return the end of a help text; the form feed keeps the lines from being joined."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


app = typer.Typer(
    help="Learn, extract and use protein embeddings.",
    epilog=examples("tertia embed 1abc.cif -o embeddings.h5", "tertia doctor"),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help comes in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
evaluate_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("tertia evaluate denoising store", "tertia evaluate denoising 1abc.cif --json"),
)
app.add_typer(
    evaluate_app,
    name="evaluate",
    help="Score a model on structures, beside baselines.",
)

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT…", help="Files, folders, globs, tar archives; - for a list on standard input."),
]
Model = Annotated[str, typer.Option(help="Name of a shipped model, or a checkpoint folder.")]
ModelNumber = Annotated[int, typer.Option(min=1, help="Which model of a file with several.")]
Assembly = Annotated[str, typer.Option(help="Biological assembly to build; as deposited by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes that read files.")]


def show_version(asked: bool) -> None:
    """Print the version and leave."""
    if asked:
        from tertia import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Learn, extract and use protein embeddings."""


@app.command(epilog=examples("tertia ls", "tertia ls recipes"))
def ls(
    what: Annotated[str, typer.Argument(help="families, tasks, recipes or models; all of them by default.")] = "",
    as_json: AsJson = False,
) -> None:
    """List what there is: families, tasks, recipes, models."""
    from tertia.listing import listing, table

    listed = listing(what)
    print(json.dumps(listed, indent=2) if as_json else table(listed))


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


@app.command(
    epilog=examples(
        "tertia prepare structures/ -o store", "tertia prepare 'pdb/*.cif.gz' -o store --exclude test.fasta --jobs 2"
    )
)
def prepare(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the store; a killed run is continued.")],
    exclude: Annotated[
        list[Path], typer.Option(help="FASTA file or store whose neighbours are refused; may be repeated.")
    ] = [],  # noqa: B006
    identity: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of clusters and of excluded neighbours.")] = 0.3,
    fractions: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Of the clusters for train, valid and test (default 0.9 0.05 0.05)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split into train, valid and test.")] = 0,
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
        inputs, output, exclude=exclude, identity=identity, seed=seed, tool=tool, model=model, jobs=jobs, **limits
    )
    print(json.dumps(report.as_dict(), indent=2) if as_json else report.table())
    tell([failure.found for failure in report.failed])
    tell([f"{r.source}: {r.chain} refused, {r.rule}: {r.found}" for r in report.refused], rest=output / "report.json")
    leave([*report.failed, *report.refused])


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
        "tertia pretrain distmap store=store -o runs/mine",
        "tertia pretrain my.toml steps=1000 learning_rate=3e-4 -o runs/b",
    )
)
def pretrain(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (tertia ls recipes), a TOML file, or a run folder.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="Changes to the recipe, store=FOLDER among them.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder, which is the checkpoint itself.")] = ...,
    anew: Annotated[bool, typer.Option("--anew", help="Begin anew in a folder that holds a run.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing on stderr.")] = False,
) -> None:
    """Train a model on a store; the same command continues a run that was stopped or killed."""
    from tertia.pretrain import pretrain

    outcome = pretrain(recipe, overrides or (), output=output, resume=not anew, quiet=quiet)
    print(outcome.folder)


@app.command(
    epilog=examples(
        "tertia embed 1abc.cif -o embeddings.h5", "tertia embed structures/ -o all.h5 --levels protein,residue,pair"
    )
)
def embed(
    inputs: Inputs,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Embedding file: .h5, .npz, or .parquet (protein level only).")
    ],
    model: Model = "distmap",
    levels: Annotated[str, typer.Option(help="Of protein, residue and pair, joined by commas.")] = "protein,residue",
    sigma: Annotated[
        list[float] | None,
        typer.Option(help="Noise level in Angstrom; several are concatenated; the model's own by default."),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; by default what is there.")] = "",
    memory: Annotated[
        float, typer.Option(min=0.0, help="GiB; chains that need more are refused; 0 sets no limit.")
    ] = 0.0,
    jobs: Jobs = 1,
    model_number: ModelNumber = 1,
    assembly: Assembly = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there.")] = False,
) -> None:
    """Embed protein chains; a killed run is continued by the same command."""
    from tertia.embed import embed, report

    result = embed(
        inputs,
        output,
        model=model,
        levels=levels.split(","),
        sigmas=sigma or None,
        precision=precision,
        device=device or None,
        memory=int(memory * 2**30) or None,
        jobs=jobs,
        model_number=model_number,
        assembly=assembly or None,
        dry_run=dry_run,
        overwrite=overwrite,
        progress=True,
    )
    report(result)
    leave(result.failed)


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


@app.command(epilog=examples("tertia verify 1abc.cif", "tertia verify structures/ --model runs/mine"))
def verify(inputs: Inputs, model: Model = "distmap", jobs: Jobs = 1, as_json: AsJson = False) -> None:
    """Check batch invariance, rigid motion, register and determinism on your own structures."""
    from dataclasses import asdict

    from tertia.verify import table, verify

    checks = verify(inputs, model=model, jobs=jobs)
    print(json.dumps([asdict(check) for check in checks], indent=2) if as_json else table(checks))
    leave(not check.good for check in checks)


@evaluate_app.command(
    epilog=examples("tertia evaluate denoising store", "tertia evaluate denoising 1abc.cif --model runs/mine --json")
)
def denoising(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT…", help="Structures, as everywhere, or one store.")],
    model: Model = "distmap",
    split: Annotated[str, typer.Option(help="Which chains of a store: train, valid or test.")] = "test",
    max_chains: Annotated[int, typer.Option(min=0, help="Thin the chains out to so many; 0 takes all.")] = 0,
    draws: Annotated[int, typer.Option(min=1, help="Crops of each chain and kind.")] = 2,
    whole_chains: Annotated[int, typer.Option(min=0, help="How many chains are scored whole.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of noise and crops.")] = 0,
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """Print the loss at every noise level beside three analytic baselines, and the effective dimension."""
    from tertia.evaluate import evaluate_denoising

    report = evaluate_denoising(
        inputs,
        model=model,
        split=split,
        max_chains=max_chains,
        draws=draws,
        whole_chains=whole_chains,
        seed=seed,
        jobs=jobs,
    )
    (report.print_json if as_json else report.print_table)(sys.stdout)
    tell([f"error: {error}" for error in report.failed])
    leave(report.failed)


@app.command(epilog=examples("tertia doctor", "tertia doctor --json"))
def doctor(as_json: AsJson = False) -> None:
    """Show versions, devices, optional tools and extras, shipped weights and their hashes."""
    from dataclasses import asdict

    from tertia.doctor import doctor, table

    findings = doctor()
    print(json.dumps([asdict(finding) for finding in findings], indent=2) if as_json else table(findings))
    leave(not finding.good for finding in findings)


def sifted(results: Iterable[object], failed: list[TertiaError]) -> Iterator[object]:
    """Yield the results; print the errors among them as they come and keep them."""
    for result in results:
        if isinstance(result, TertiaError):
            print(f"error: {result}", file=sys.stderr)
            failed.append(result)
        else:
            yield result


def tell(lines: Sequence[str], *, rest: Path | None = None, most: int = 20) -> None:
    """List what was refused or failed on stderr: everything, or the first of it and where the rest is written."""
    shown = lines if rest is None else lines[:most]
    for line in shown:
        print(line, file=sys.stderr)
    if len(lines) > len(shown):
        print(f"... and {len(lines) - len(shown)} more: all of them in {rest}", file=sys.stderr)


def leave(troubles: Iterable[object]) -> None:
    """Exit with 1 when anything was refused or failed."""
    if any(troubles):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; what a user can do wrong ends in one message and an exit code, never in a traceback."""
    # Threads that wait by spinning starve each other when the machine has other work (20 times slower was seen).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # File names need not be text: they are read as they are, and escaped where they are printed.
    sys.stdin.reconfigure(errors="surrogateescape")
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="tertia")
    except TertiaError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader has left (`tertia inspect ... | head`); nothing more can be said, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        fail(f"{error.filename or 'tertia'}: {error.strerror or error}")


def fail(message: str) -> None:
    """Print one message and exit with 1."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
