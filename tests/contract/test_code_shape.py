"""The shape of the code: small files, small functions, no pickle, no assertion that cannot fail, no foreign paths."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in ("src", "tests", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
TEXTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "Makefile",
                ROOT / "pyproject.toml", ROOT / "constraints.txt", *(ROOT / "docs").rglob("*.md")])  # fmt: skip

MOST_LINES = 400
MOST_FUNCTION_LINES = 60  # docstring not counted
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FOREIGN = re.compile(
    "/(?:wo" "rk|home|farm|root|Users)/" r"\w|\bpy" r"pi\.org|files\.python" r"hosted|download\.py" "torch"
)


def long_functions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node, clean=False)
            size = node.end_lineno - node.lineno + 1 - (doc.count("\n") + 1 if doc else 0)
            if size > MOST_FUNCTION_LINES:
                yield f"line {node.lineno}: {node.name} has {size} lines"


def pickles(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"{node.value.id}.{node.attr}"]
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            names = [] if isinstance(node.value, ast.Constant) and node.value.value is False else ["pickle"]
        if any(name.split(".")[0] in PICKLES or name in {"torch.load", "torch.save"} for name in names):
            yield f"line {getattr(node, 'lineno', 0)}: {names[0]} reads or writes pickle"


def idle_assertions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            always = isinstance(node.test, ast.Constant) and bool(node.test.value)
            if always or (isinstance(node.test, ast.Tuple) and node.test.elts):
                yield f"line {node.lineno}: an assertion that cannot fail"


def idle_tests(tree: ast.Module) -> Iterator[str]:
    """Yield tests without a single assertion, raise check or call of another function that checks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            checks = any(isinstance(inner, ast.Assert | ast.Raise | ast.With) for inner in ast.walk(node))
            calls = any("assert" in ast.unparse(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call))
            calls |= any(
                re.search(r"\b(check|fail|raises|agree|equal)", ast.unparse(inner.func))
                for inner in ast.walk(node)
                if isinstance(inner, ast.Call)
            )
            if not checks and not calls:
                yield f"line {node.lineno}: {node.name} checks nothing"


CHECKS = (long_functions, pickles, idle_assertions)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_a_file_keeps_the_rules(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    problems = [problem for check in CHECKS for problem in check(tree)]
    if path.name.startswith("test_"):
        problems += idle_tests(tree)
    if text.count("\n") > MOST_LINES:
        problems.append(f"{text.count(chr(10))} lines")
    problems += [f"names a foreign place: {match.group()}" for match in FOREIGN.finditer(text)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", TEXTS, ids=[str(path.relative_to(ROOT)) for path in TEXTS])
def test_a_page_names_no_foreign_place(path: Path) -> None:
    assert FOREIGN.findall(path.read_text()) == []


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (long_functions, "def f():\n" + "    x = 1\n" * 61),
        (pickles, "def f():\n    import pickle"),
        (pickles, "from torch import load"),
        (pickles, "weights = torch.load(path)"),
        (pickles, "np.load(path, allow_pickle=True)"),
        (idle_assertions, "assert True"),
        (idle_assertions, "assert (x == 1, 'message')"),
        (idle_tests, "def test_nothing():\n    compute()"),
    ],
)
def test_each_check_can_fail(check, source: str) -> None:
    assert list(check(ast.parse(source)))


def test_a_long_docstring_is_not_counted() -> None:
    lines = "\n".join(["line"] * 80)
    assert list(long_functions(ast.parse(f'def f():\n    """{lines}"""\n    return 1'))) == []
