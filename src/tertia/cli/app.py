"""What all verbs of the command line share: the app, common options, what they print at the end."""

from __future__ import annotations

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
    epilog=examples("tertia evaluate denoising store", "tertia evaluate interface ppi_sites -o interface"),
)
app.add_typer(
    evaluate_app,
    name="evaluate",
    help="Score a model on its objective or on a task, beside baselines.",
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
