"""The package as a whole: what importing it costs, and its public names."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

import tertia

HEAVY = ("torch", "scipy", "biotite", "gemmi", "h5py", "numpy", "typer", "matplotlib")


def seconds_of(*command: str) -> float:
    """Return the processor seconds of a command, the least of three.

    On a quiet machine these are 0.03 for the import and 0.15 for help; the limits below leave room for a busy one.
    """
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run(command, check=True, capture_output=True)
        after = os.times()
        spent.append(sum(after[2:4]) - sum(before[2:4]))
    return min(spent)


def test_importing_loads_nothing_heavy() -> None:
    program = f"import sys, tertia; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_is_quick() -> None:
    assert seconds_of(sys.executable, "-c", "import tertia") < 0.15


@pytest.mark.parametrize("words", [(), ("embed",), ("prepare",)])
def test_help_is_quick(words: tuple[str, ...]) -> None:
    assert seconds_of(sys.executable, "-m", "tertia.cli", *words, "--help") < 1.0


def test_help_loads_nothing_heavy() -> None:
    program = f"""
import sys
from tertia.cli import app
try:
    app(["embed", "--help"])
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "['typer']"


@pytest.mark.parametrize("name", tertia.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(tertia, name) is not None
    assert name in dir(tertia)


@pytest.mark.parametrize("verb", ["embed", "inspect", "prepare", "pretrain", "fetch", "verify"])
def test_a_verb_stays_a_function_after_its_module_was_imported(verb: str) -> None:
    module = importlib.import_module(f"tertia.{verb}")
    importlib.reload(module)
    assert callable(getattr(tertia, verb))
    assert getattr(tertia, verb).__module__ == f"tertia.{verb}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'embedd'"):
        tertia.embedd  # noqa: B018
