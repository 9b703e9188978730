"""Reads the shapes that stand on dataclass fields, `coord: np.ndarray  # (A, 3) float32`, and checks instances.

Grammar of a shape: names, numbers and sums or products of them, `(B, 2 * W, 3)`; `…` stands for any number of axes.
One name means one length in all fields of an instance. Fields that are None are skipped.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import io
import re
import sys
import tokenize
from pathlib import Path

ARRAY = re.compile(r"\b(ndarray|Tensor)\b")
COMMENT = re.compile(r"#\s*\(([^)]*)\)")
OPERATIONS = {ast.Add: int.__add__, ast.Sub: int.__sub__, ast.Mult: int.__mul__}

_plain_dataclass = dataclasses.dataclass


class ShapeError(AssertionError):
    """An array whose axes disagree with the comment on its field."""


def parse_shape(text: str) -> tuple[str, ...]:
    """Return the axes of "(A, 3)" (without parentheses) as expressions; raise ValueError for anything else."""
    axes = tuple(part.strip().replace("...", "…") for part in text.split(",") if part.strip())
    for axis in axes:
        if axis != "…":
            try:
                tree = ast.parse(axis, mode="eval").body
            except SyntaxError as error:
                raise ValueError(f"'{axis}' is no axis length") from error
            allowed = ast.Name | ast.Constant | ast.BinOp | ast.operator | ast.expr_context
            if not all(isinstance(node, allowed) for node in ast.walk(tree)):
                raise ValueError(f"'{axis}' is no axis length")
    return axes


def is_dataclass_node(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def array_fields(source: str) -> dict[str, dict[str, tuple[str, ...] | None]]:
    """Return {class: {field: axes}} of every dataclass in a source text; None where an array has no shape comment."""
    comment_of_line = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found: dict[str, dict[str, tuple[str, ...] | None]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and is_dataclass_node(node):
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and is_array(item.annotation):
                    match = COMMENT.search(comment_of_line.get(item.end_lineno, ""))
                    axes = parse_shape(match.group(1)) if match else None
                    found.setdefault(node.name, {})[item.target.id] = axes
    return found


def is_array(annotation: ast.expr) -> bool:
    """Whether a field holds one array itself (a mapping or tuple of arrays is not checked)."""
    text = ast.unparse(annotation).strip("'\"")
    return bool(ARRAY.search(text)) and "[" not in text


@functools.cache
def fields_of_module(name: str) -> dict[str, dict[str, tuple[str, ...] | None]]:
    return array_fields(Path(sys.modules[name].__file__).read_text())


def length(axis: str, known: dict[str, int]) -> int | None:
    """Return the length that an axis expression stands for, None while one of its names is not known yet."""
    node = ast.parse(axis, mode="eval").body

    def value(part: ast.expr) -> int | None:
        if isinstance(part, ast.Constant):
            return int(part.value)
        if isinstance(part, ast.Name):
            return known.get(part.id)
        left, right = value(part.left), value(part.right)
        return None if left is None or right is None else OPERATIONS[type(part.op)](left, right)

    return value(node)


def matches(shapes: dict[str, tuple[tuple[str, ...], tuple[int, ...]]]) -> str:
    """Return "" when all (axes, shape) pairs of one instance agree, else the complaint."""
    known: dict[str, int] = {}
    pairs = []
    for name, (axes, shape) in shapes.items():
        if "…" in axes:
            place = axes.index("…")
            axes, after = axes[:place] + axes[place + 1 :], len(axes) - 1 - place
            shape = shape[:place] + shape[len(shape) - after :] if len(shape) >= len(axes) else shape
        if len(axes) != len(shape):
            return f"{name} has shape {shape}, not ({', '.join(axes)})"
        pairs += [(name, axis, size) for axis, size in zip(axes, shape, strict=True)]
    for name, axis, size in sorted(pairs, key=lambda pair: not pair[1].isidentifier()):
        expected = known.setdefault(axis, size) if axis.isidentifier() else length(axis, known)
        if expected is not None and expected != size:
            return f"{name}: axis {axis} is {size} long where {expected} was expected"
    return ""


def readings(axes: tuple[str, ...], module: str) -> list[tuple[str, ...]]:
    """Return the ways to read a comment: one example of a family's inputs is the batch without its leading axis B."""
    if not module.startswith(("tertia.models.", "tertia.tasks.")):
        return [axes]
    return [axes, axes[1:]] if axes[:1] == ("B",) else [axes, ("B", *axes)]


def check(instance: object) -> None:
    """Raise ShapeError unless every array of a dataclass instance has the shape written on its field."""
    kind = type(instance)
    written = fields_of_module(kind.__module__).get(kind.__name__, {})
    ways: list[dict] = [{}, {}]
    for name, axes in written.items():
        value = getattr(instance, name)
        if axes is not None and hasattr(value, "shape"):
            for way, reading in zip(ways, readings(axes, kind.__module__), strict=False):
                way[name] = (reading, tuple(value.shape))
    complaints = [matches(way) for way in ways if way]
    if complaints and all(complaints):
        raise ShapeError(f"{kind.__name__}: {complaints[0]}")


def install() -> None:
    """From now on check every instance of a dataclass that a tertia module defines."""

    def dataclass(cls=None, /, **options):
        if cls is None:
            return functools.partial(dataclass, **options)
        made = _plain_dataclass(cls, **options)
        if made.__module__.startswith("tertia."):
            made.__init__ = checked(made.__init__)
        return made

    dataclasses.dataclass = dataclass


def checked(initialise):
    @functools.wraps(initialise)
    def wrapper(self, *arguments, **named):
        initialise(self, *arguments, **named)
        check(self)

    return wrapper
