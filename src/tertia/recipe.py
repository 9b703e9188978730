"""Recipes: TOML with the sections [family], [training] and [data], read into frozen dataclasses and checked at once.

All mistakes of one recipe are reported together, each with what would have been allowed.
"""

from __future__ import annotations

import difflib
import json
import tomllib
import typing
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from tertia.errors import RecipeError
from tertia.models import FAMILIES
from tertia.models.family import Family
from tertia.tasks import TASKS
from tertia.training.settings import TrainingRecipe
from tertia.training.supervised import Supervision

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class DataRecipe:
    """The `[data]` section."""

    store: str = ""  # folder made by `tertia prepare`, or a compact store file
    pairs: Literal["none", "binding", "random", "half"] = "none"  # what is shown together; half: 1 binding, 1 random
    most_pairs_of_a_protein: int = 0  # binding pairs of one protein in an epoch; 0 = all

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        if self.most_pairs_of_a_protein < 0:
            yield "most_pairs_of_a_protein", f"is {self.most_pairs_of_a_protein}", "0 or more"
        if self.most_pairs_of_a_protein > 0 and self.pairs == "none":
            yield "most_pairs_of_a_protein", f"is {self.most_pairs_of_a_protein} and pairs is none", "0 without pairs"


@dataclass(frozen=True)
class Recipe:
    """One run: which family with which hyper-parameters, how it is trained, on what."""

    family: Family
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)

    def text(self) -> str:
        """Return the recipe as TOML, every value written out; reading it gives the same recipe."""
        sections = {"family": {"name": self.family.name, **asdict(self.family)}, "training": asdict(self.training),
                    "data": asdict(self.data)}  # fmt: skip
        return "\n".join(
            f"[{name}]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items())
            for name, values in sections.items()
        )


def read_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and change it by `key=value`.

    Parameters
    ----------
    recipe: name of a shipped recipe ("distmap"), a TOML file, or a run folder that holds one.
    overrides: "training.steps=100", or "steps=100" as long as only one section has such a key.

    Raises
    ------
    RecipeError: with every mistake that was found.
    """
    path = recipe_path(recipe)
    try:
        sections = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), found=f"is no TOML: {error}") from None
    mistakes: list[str] = []
    kinds = section_kinds(sections, mistakes)
    for override in overrides:
        apply_override(sections, override, kinds, mistakes)
    made = {name: build(name, kind, sections.get(name, {}), mistakes) for name, kind in kinds.items()}
    mistakes += [unknown(name, kinds, what="section") for name in sections if name not in kinds]
    if mistakes:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise RecipeError(str(path), found="\n  ".join([count, *mistakes]))
    return Recipe(**made)


def read_task(name: str, overrides: Sequence[str] = (), *, defaults: Sequence[str] = ()) -> tuple[Any, Supervision]:
    """Return a task with its options, and how it is learnt.

    Parameters
    ----------
    name: one of TASKS.
    overrides: "benchmark=graphppis", "learning.epochs=20", ...; they go before `defaults`, which are written alike.

    Raises
    ------
    RecipeError: with every mistake that was found.
    """
    if name not in TASKS:
        raise RecipeError("task", found=f"{name!r} is no task" + suggestion(name, TASKS), allowed=", ".join(TASKS))
    kinds, sections, mistakes = {"task": TASKS[name], "learning": Supervision}, {}, []
    for override in (*defaults, *overrides):
        apply_override(sections, override, kinds, mistakes)
    made = {section: build(section, kind, sections.get(section, {}), mistakes) for section, kind in kinds.items()}
    if mistakes:
        raise RecipeError(f"task {name}", found="\n  ".join([f"{len(mistakes)} mistake(s)", *mistakes]))
    return made["task"], made["learning"]


def recipe_path(recipe: str | Path) -> Path:
    """Return the file of a recipe, see `read_recipe`."""
    path = Path(recipe)
    if path.is_dir() and (path / "recipe.toml").is_file():
        return path / "recipe.toml"
    if path.is_file():
        return path
    folder = Path(str(files("tertia"))) / "recipes"
    names = sorted(shipped.stem for shipped in folder.glob("*.toml"))
    if str(recipe) in names:
        return folder / f"{recipe}.toml"
    raise RecipeError(str(recipe), found="no such recipe" + suggestion(str(recipe), names),
                      allowed=f"{', '.join(names)}, a TOML file, or a run folder")  # fmt: skip


def section_kinds(sections: dict[str, Any], mistakes: list[str]) -> dict[str, type]:
    """Return the dataclass of each section; the family's is chosen by its name, which is taken out."""
    family = sections.get("family")
    values = family if isinstance(family, dict) else {}
    name = values.pop("name", None)
    if name not in FAMILIES:
        guess = suggestion(str(name), FAMILIES)
        mistakes.append(f"family.name: {name!r} is no family{guess}; allowed: {', '.join(FAMILIES)}")
        return {"training": TrainingRecipe, "data": DataRecipe}
    return {"family": FAMILIES[name], "training": TrainingRecipe, "data": DataRecipe}


def apply_override(sections: dict[str, Any], override: str, kinds: dict[str, type], mistakes: list[str]) -> None:
    """Put one `key=value` into the sections, or add a mistake."""
    key, equals, text = override.partition("=")
    section, dot, name = key.strip().rpartition(".")
    homes = [kind for kind, cls in kinds.items() if name in types_of(cls) and section in ("", kind)]
    if not equals:
        mistakes.append(f"{override!r} is no key=value")
    elif not homes:
        known = [f"{kind}.{field}" if dot else field for kind, cls in kinds.items() for field in types_of(cls)]
        mistakes.append(unknown(key.strip(), known, what="key"))
    else:
        value = text.strip() if types_of(kinds[homes[0]])[name] is str else parsed(text.strip())
        sections.setdefault(homes[0], {})[name] = value


def parsed(text: str) -> Any:
    """Return text as a TOML value; what is none is a string (so that quotes are not needed)."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text


def build(name: str, kind: type, values: Any, mistakes: list[str]) -> Any:
    """Return a dataclass from one section; None, with mistakes added, where that is impossible."""
    if not isinstance(values, dict):
        mistakes.append(f"{name}: is no section; write [{name}]")
        return None
    types, checked, before = types_of(kind), {}, len(mistakes)
    for key, value in values.items():
        if key not in types:
            mistakes.append(unknown(f"{name}.{key}", [f"{name}.{known}" for known in types], what="key"))
            continue
        try:
            checked[key] = converted(value, types[key])
        except ValueError as error:
            mistakes.append(f"{name}.{key}: found {value!r}; allowed: {error}")
    if len(mistakes) > before:
        return None
    made = kind(**checked)
    problems: Iterator[tuple[str, str, str]] = made.problems() if hasattr(made, "problems") else iter(())
    mistakes += [f"{name}.{key}: {found}; allowed: {allowed}" for key, found, allowed in problems]
    return made


def converted(value: Any, kind: Any) -> Any:
    """Return a TOML value as the annotated type; raises ValueError that says what is allowed."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        if value in arguments and type(value) in {type(argument) for argument in arguments}:
            return value
        raise ValueError(", ".join(map(str, arguments)) + suggestion(str(value), arguments))
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError("a list such as [1, 2]")
        if arguments[-1] is Ellipsis:
            return tuple(converted(item, arguments[0]) for item in value)
        if len(value) != len(arguments):
            raise ValueError(f"a list of {len(arguments)}")
        return tuple(converted(item, argument) for item, argument in zip(value, arguments, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ValueError(WORDS.get(kind, str(kind)))
    return value


def types_of(kind: type) -> dict[str, Any]:
    """Return {field name: type} of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {column.name: hints[column.name] for column in fields(kind) if column.init}


def unknown(key: str, known: Any, *, what: str) -> str:
    """Return the message for a key or section that there is not."""
    return f"{key}: no such {what}" + (suggestion(key, known) or f"; allowed: {', '.join(sorted(known))}")


def suggestion(text: str, known: Any) -> str:
    """Return " (did you mean ...?)" where something known looks alike, else ""."""
    close = difflib.get_close_matches(text, [str(name) for name in known], n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def toml_value(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)
