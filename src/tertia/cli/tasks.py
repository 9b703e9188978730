"""Verbs on tasks: finetune, predict, evaluate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tertia.cli.app import AsJson, Assembly, Inputs, Jobs, Model, ModelNumber, app, evaluate_app, examples, leave, tell
from tertia.finetune import DEFAULT_MODELS, SEQUENCE_MODEL, default_models

Task = Annotated[str, typer.Argument(help="One of tertia ls tasks: quality, localisation, ...")]
Data = Annotated[Path, typer.Argument(help="Folder with the tables of the benchmark.")]
Models = Annotated[
    str | None,
    typer.Option(
        help="Joined by commas, with noise levels after @; empty for none.",
        show_default=f"{DEFAULT_MODELS}; of sequences {SEQUENCE_MODEL}",
    ),
]
Options = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="Options of the task and of learning.")]
Cache = Annotated[Path | None, typer.Option(help="Folder in which embeddings are kept between runs.")]


@app.command(
    epilog=examples(
        "tertia finetune quality quality_assessment -o heads/quality size=compact epochs=16",
        "tertia finetune localisation localization -o heads/places --models runs/mine",
    )
)
def finetune(
    task: Task,
    data: Data,
    options: Options = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the head.")] = ...,
    models: Models = None,
    full: Annotated[bool, typer.Option("--full", help="Let the model itself learn too.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Score the test sets too; once, at the end.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and order.")] = 0,
    cache: Cache = None,
) -> None:
    """Learn a task on the embeddings of a model, and write a head for tertia predict."""
    from tertia.finetune import finetune

    made = finetune(
        task, data, output=output, models=models, overrides=options or (), full=full, test=test, seed=seed,
        cache=cache, progress=True,
    )  # fmt: skip
    print(made.table())


@app.command(
    epilog=examples(
        "tertia predict quality model.pdb --structures shown",
        "tertia predict localisation chains.fasta --head heads/places",
    )
)
def predict(
    task: Task,
    inputs: Inputs,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Table with one line a residue; - for standard output.")
    ] = None,
    structures: Annotated[
        Path | None, typer.Option(help="Folder for PDB files with the score in the B-factor column.")
    ] = None,
    head: Annotated[str, typer.Option(help="Folder of finetune; by default the shipped head of the task.")] = "",
    model: ModelNumber = 1,
    assembly: Assembly = "",
    jobs: Jobs = 1,
    threads: Annotated[int, typer.Option(min=0, help="Chains at a time; 0 takes all cores.")] = 0,
) -> None:
    """Predict the quality of models, the interaction sites of chains, or what sequences tell."""
    from tertia.predict import predict

    found = predict(
        task, inputs, head=head, model=model, assembly=assembly or None, jobs=jobs, threads=threads, progress=True
    )
    if len(found):
        found.print(residues=output, out=sys.stdout)
    failed = [*found.failed, *(found.write_structures(structures)[1] if structures is not None else ())]
    tell([f"error: {error}" for error in failed])
    leave(failed)


def evaluate_on(task: str):
    """Return the command that evaluates one task."""

    def command(
        data: Data,
        options: Options = None,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", help="Write OUTPUT.md, .json and .svg; else print the tables.")
        ] = None,
        models: Models = None,
        sequence: Annotated[str, typer.Option(help="A model of sequences, for rows of its own.")] = "",
        paper: Annotated[str, typer.Option(help="A model of the paper's mode, for a row of its own.")] = "",
        rows: Annotated[str, typer.Option(help="Names of rows, joined by commas; all by default.")] = "",
        seeds: Annotated[int, typer.Option(min=1, help="Trainings of every row.")] = 3,
        against: Annotated[
            list[str] | None, typer.Option(help="Store or FASTA of the models' training chains; may be repeated.")
        ] = None,
        cache: Annotated[Path, typer.Option(help="Folder for embeddings and finished runs.")] = Path("evaluation"),
    ) -> None:
        from tertia.evaluate import evaluate_task
        from tertia.evaluate.page import table, write_page

        given = default_models(task) if models is None else models
        report = evaluate_task(
            task, data, models=given, sequence=sequence, paper=paper, options=options or (),
            rows=[row for row in rows.split(",") if row], n_seeds=seeds, cache=cache, against=against or (),
            progress=True,
        )  # fmt: skip
        if output is None:
            for name in report.sets:
                print(f"\n{name} ({report.n_examples[name]})\n" + "\n".join(table(report, name)))
            return
        words = [Path(sys.argv[0]).name, *sys.argv[1:]]
        for path in write_page(report, output, command=" ".join(words)):
            print(path)

    command.__doc__ = f"Train and score every row of the table of {task}: baselines, controls, embeddings, seeds."
    return command


for _task, _data, _option in (
    ("quality", "quality_assessment", "cad=true"),
    ("interface", "ppi_sites", "benchmark=graphppis"),
    ("pair_binding", "protein_pairs", "benchmark=bernett"),
    ("tcr_epitope", "tcr_epitope", "split=strict"),
    ("localisation", "localization", "labels=places"),
    ("homology", "remote_homology", "batch=128"),
    ("secondary_structure", "secondary_structure", "most_train=2000"),
):
    _examples = examples(
        f"tertia evaluate {_task} {_data} --seeds 1 --rows constant",
        f"tertia evaluate {_task} {_data} {_option} -o docs/results/{_task} --cache evaluation",
    )
    evaluate_app.command(name=_task, epilog=_examples)(evaluate_on(_task))


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
