"""Imports point down only: this file reads every import of the package, also those inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "tertia"

LAYER = {
    "errors": 0,
    "progress": 0,
    "residues": 0,
    "structure": 1,
    "sequence": 1,
    "download": 1,
    "data": 2,
    "nn": 3,
    "models": 4,
    "tasks": 4,
    "training": 5,
    "embedding": 5,
    "encoders": 6,
    "recipe": 6,
    "decoys": 7,
    "doctor": 7,
    "embed": 7,
    "evaluate": 7,
    "export": 7,
    "fetch": 7,
    "finetune": 7,
    "inspect": 7,
    "listing": 7,
    "predict": 7,
    "prepare": 7,
    "pretrain": 7,
    "search": 7,
    "tokens": 7,
    "verify": 7,
    "cli": 8,
    "explorer": 8,
}

SIDEWAYS = {
    ("verify", "embed"),  # verify re-checks the very function that users call
    ("structure", "sequence"),  # FASTA is read where structures are; sequence knows nothing of structure
}

# One family or task never imports another one; what they share has a lower home.
CLOSED = {"models": {"family"}, "tasks": {"task", "metrics", "labels", "label_methods", "audit"}}

PARSERS = {"gemmi", "biotite"}
# Where biotite computes what it is the library for: accessible area, secondary structure.
COMPUTED = {"structure.solvent", "structure.exposure"}
# Optional packages with one home: everything else must run without them.
HOME = {"voronotalt": "structure.contact_area"}
NAMELESS = {"utils", "util", "common", "helpers", "core", "base", "misc"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports_of(source: str, module: str) -> list[tuple[int, str]]:
    """Return (line, absolute dotted name) of every import statement, wherever it stands."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            stem = node.module or ""
            if node.level:
                parent = module.split(".")[: -node.level]
                stem = ".".join([*parent, *([stem] if stem else [])])
            # `from tertia import residues` names a module, `from tertia.residues import LETTERS` does not.
            found += [(node.lineno, f"{stem}.{alias.name}") for alias in node.names]
    return found


def offences(source: str, module: str) -> list[str]:
    """Return what the imports of one module (dotted name, below `tertia`) do against the layer table."""
    parts = module.split(".")[1:]
    home = parts[0] if parts else ""
    out = []
    for line, name in imports_of(source, module):
        top, *rest = name.split(".")
        place = f"{module}:{line} imports {name}"
        computed = name.startswith("biotite.structure.") and ".io" not in name and ".".join(parts) in COMPUTED
        if top in PARSERS and not computed and not (home == "structure" and parts[1].startswith("read")):
            out.append(f"{place}: only structure/read*.py knows the parser")
        if top in HOME and ".".join(parts) != HOME[top]:
            out.append(f"{place}: only {HOME[top]} knows this package")
        if top == "torch" and LAYER.get(home, 0) < LAYER["data"]:
            out.append(f"{place}: torch starts in data")
        if top != "tertia" or not rest or not home:
            continue
        if rest[0] == "__version__":
            continue
        if rest[0] not in LAYER:
            out.append(f"{place}: {rest[0]} has no layer")
        elif rest[0] == home:
            out += [f"{place}: {home} never import each other"] if crosses(parts, rest) else []
        elif LAYER[rest[0]] >= LAYER[home] and (home, rest[0]) not in SIDEWAYS:
            out.append(f"{place}: layer {LAYER[home]} imports layer {LAYER[rest[0]]}")
    return out


def crosses(parts: list[str], rest: list[str]) -> bool:
    """Whether an import inside `models` or `tasks` goes from one family (task) to another."""
    shared = CLOSED.get(parts[0])
    if shared is None or parts[1] == "__init__" or len(rest) < 2:  # the registry itself imports them all
        return False
    return parts[1] != rest[1] and rest[1] not in shared


def module_of(path: Path) -> str:
    names = ["tertia", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(names)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    home = module.split(".")[1]
    assert home in LAYER or module == "tertia.__init__", f"{path.name} has no layer"
    found = offences(path.read_text(), module if home in LAYER else "tertia")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_every_module_is_a_noun(path: Path) -> None:
    assert not NAMELESS & set(path.relative_to(PACKAGE).with_suffix("").parts)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tertia.structure.chain", "from tertia.data.store import Store"),
        ("tertia.structure.chain", "def f():\n    import torch"),
        ("tertia.structure.chain", "import gemmi"),
        ("tertia.structure.quality", "def f():\n    import voronotalt"),
        ("tertia.data.store", "def f():\n    from biotite import structure"),
        ("tertia.models.distmap.network", "from tertia.models.bilevel.network import Network"),
        ("tertia.models.distmap.network", "from ..bilevel import network"),
        ("tertia.models.distmap.network", "from tertia import tasks"),
        ("tertia.training.loop", "from tertia import embedding"),
        ("tertia.embed", "import tertia.pretrain"),
        ("tertia.nn.encoded", "from tertia.shapeless import thing"),
    ],
)
def test_the_reader_sees_an_import_that_points_up(module: str, source: str) -> None:
    assert offences(source, module)


def test_the_reader_allows_what_points_down() -> None:
    source = (
        "from tertia.errors import InputError\nfrom .inputs import Inputs\nfrom ..family import Family\nimport torch"
    )
    assert offences(source, "tertia.models.distmap.network") == []


def test_the_training_path_needs_no_parser() -> None:
    """A training machine may have neither gemmi nor biotite: with them blocked, everything still imports."""
    program = """
        import importlib, sys
        for name in ("gemmi", "biotite", "scipy", "h5py", "matplotlib"):
            sys.modules[name] = None
        for name in ("data.store", "data.batch", "models", "training.loop", "recipe", "pretrain"):
            importlib.import_module(f"tertia.{name}")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
