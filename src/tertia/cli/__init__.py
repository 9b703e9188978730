"""The command line: a signature and a help text for each verb. What a verb does stands in the module of its name."""

from __future__ import annotations

import os
import sys

from tertia.cli import corpus, models, tasks
from tertia.cli.app import app
from tertia.errors import TertiaError

__all__ = ["app", "corpus", "main", "models", "tasks"]


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
