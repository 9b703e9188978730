"""The command line: a signature and a help text for each verb. What a verb does stands in the module of its name."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
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
    epilog=examples("tertia evaluate denoising store", "tertia evaluate denoising 1abc.cif --model runs/mine --json"),
)
app.add_typer(evaluate_app, name="evaluate", help="Score a model on structures, beside baselines.")

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT…", help="Files, folders, globs, tar archives; - for a list on standard input."),
]
Model = Annotated[str, typer.Option(help="Name of a shipped model, or a checkpoint folder.")]
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


@app.command(epilog=examples("tertia doctor", "tertia doctor --json"))
def doctor(as_json: AsJson = False) -> None:
    """Show versions, devices, optional tools and extras, shipped weights and their hashes."""
    from dataclasses import asdict

    from tertia.doctor import doctor, table

    findings = doctor()
    print(json.dumps([asdict(finding) for finding in findings], indent=2) if as_json else table(findings))
    leave(not finding.good for finding in findings)


def leave(troubles: Iterable[object]) -> None:
    """Exit with 1 when anything was refused or failed."""
    if any(troubles):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; whatever the user can do wrong ends in one message and an exit code, never in a traceback."""
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
