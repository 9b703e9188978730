"""Verbs on models: ls, pretrain, embed, export, verify, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tertia.cli.app import AsJson, Assembly, Inputs, Jobs, Model, ModelNumber, app, examples, leave


@app.command(epilog=examples("tertia ls", "tertia ls recipes"))
def ls(
    what: Annotated[str, typer.Argument(help="families, tasks, recipes, models or heads; all by default.")] = "",
    as_json: AsJson = False,
) -> None:
    """List what there is: families, tasks, recipes, models, heads."""
    from tertia.listing import listing, table

    listed = listing(what)
    print(json.dumps(listed, indent=2) if as_json else table(listed))


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


@app.command(epilog=examples("tertia export runs/mine -o transformers/mine", "tertia export runs/long -o longformer"))
def export(
    model: Annotated[str, typer.Argument(help="Name of a shipped language model, or a checkpoint folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder.")],
) -> None:
    """Write a language model, with its tokenizer, as a folder that transformers loads."""
    from tertia.export import export

    print(export(model, output))


@app.command(epilog=examples("tertia verify 1abc.cif", "tertia verify structures/ --model runs/mine"))
def verify(inputs: Inputs, model: Model = "distmap", jobs: Jobs = 1, as_json: AsJson = False) -> None:
    """Check batch invariance, rigid motion, register and determinism on your own structures."""
    from dataclasses import asdict

    from tertia.verify import table, verify

    checks = verify(inputs, model=model, jobs=jobs)
    print(json.dumps([asdict(check) for check in checks], indent=2) if as_json else table(checks))
    leave(not check.good for check in checks)


@app.command(epilog=examples("tertia doctor", "tertia doctor --json"))
def doctor(as_json: AsJson = False) -> None:
    """Show versions, devices, optional tools and extras, shipped weights and their hashes."""
    from dataclasses import asdict

    from tertia.doctor import doctor, table

    findings = doctor()
    print(json.dumps([asdict(finding) for finding in findings], indent=2) if as_json else table(findings))
    leave(not finding.good for finding in findings)
