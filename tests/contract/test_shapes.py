"""Every array field of every dataclass says its shape, and during the tests every instance is held to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tertia.models.distmap.inputs import Inputs
from tertia.nn.encoded import Encoded
from tertia.structure.chain import Atoms
from tests.contract.shape_checker import ShapeError, array_fields, matches, parse_shape

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "tertia"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "dataclass" in path.read_text())


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_every_array_field_has_a_shape(path: Path) -> None:
    fields = array_fields(path.read_text())
    bare = [f"{name}.{field}" for name, shapes in fields.items() for field, axes in shapes.items() if axes is None]
    assert not bare, f"without a shape comment: {bare}"


def test_the_checker_is_on() -> None:
    residue = torch.zeros(2, 5, 8)
    Encoded(residue=residue, chain=torch.ones(2, 5), protein=torch.zeros(2, 8))
    with pytest.raises(ShapeError, match="axis L is 4 long"):
        Encoded(residue=residue, chain=torch.ones(2, 4), protein=torch.zeros(2, 8))
    with pytest.raises(ShapeError, match="protein has shape"):
        Encoded(residue=residue, chain=torch.ones(2, 5), protein=torch.zeros(8))


def test_the_checker_sees_numpy_columns() -> None:
    columns = {
        "name": np.array(["CA"]),
        "element": np.array([["C"]]),
        "coord": np.zeros((1, 3), dtype=np.float32),
        "residue_of_atom": np.zeros(1, dtype=np.int32),
        "occupancy": np.ones(1, dtype=np.float32),
        "b_factor": np.ones(1, dtype=np.float32),
    }
    with pytest.raises(ShapeError, match="element"):
        Atoms(**columns)


def test_one_example_of_a_family_is_its_batch_without_the_leading_axis() -> None:
    columns = {"letter": torch.ones(2, 5), "coord": torch.zeros(2, 5, 3), "level": torch.tensor(1)}
    columns |= {name: torch.ones(2, 5) for name in ("position", "chain", "seen")}
    Inputs(**columns)
    Inputs(**{name: value[None] for name, value in columns.items()})
    with pytest.raises(ShapeError):
        Inputs(**{**columns, "letter": torch.ones(1, 2, 5)})


def test_shapes_are_read_from_comments() -> None:
    source = """
@dataclass(frozen=True)
class Inputs:
    coord: torch.Tensor  # (L, 3) float32, Angstrom
    bare: np.ndarray | None = None
    weights: dict[str, np.ndarray]
    name: str  # (not, a, shape)
class Plain:
    coord: np.ndarray
"""
    assert array_fields(source) == {"Inputs": {"coord": ("L", "3"), "bare": None}}


@pytest.mark.parametrize(
    ("axes", "shape", "agrees"),
    [
        ("L, 3", (7, 3), True),
        ("L, 3", (7, 4), False),
        ("L, 3", (2, 7, 3), False),
        ("L, L", (7, 8), False),
        ("…, C", (2, 7, 7, 16), True),
        ("B, …, C", (2, 7, 7, 16), True),
        ("L, 2 * L", (4, 8), True),
        ("L, 2 * L", (4, 9), False),
        ("L,", (), False),
    ],
)
def test_a_shape_agrees_with_its_axes(axes: str, shape: tuple[int, ...], agrees: bool) -> None:
    complaint = matches({"field": (parse_shape(axes), shape)})
    assert (complaint == "") is agrees


@pytest.mark.parametrize("text", ["one row a residue", "L; 3", "f(L), 3"])
def test_prose_is_no_shape(text: str) -> None:
    with pytest.raises(ValueError, match="no axis length"):
        parse_shape(text)
