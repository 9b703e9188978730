"""`tertia ls`: the families, tasks, recipes, models and heads that there are, each with one line of explanation."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from tertia.errors import InputError

KINDS = ("families", "tasks", "recipes", "models", "heads")


def listing(kind: str = "") -> dict[str, dict[str, str]]:
    """Return {kind: {name: one line}} for one of KINDS, or for all of them.

    Raises
    ------
    InputError: when `kind` is none of KINDS.
    """
    if kind and kind not in KINDS:
        raise InputError("tertia ls", found=f"'{kind}' cannot be listed", allowed=", ".join(KINDS))
    makers = {"families": families, "tasks": tasks, "recipes": recipes, "models": models, "heads": heads}
    return {name: make() for name, make in makers.items() if kind in ("", name)}


def families() -> dict[str, str]:
    """Return every registered model family with the first line of its docstring."""
    from tertia.models import FAMILIES

    return {name: first_line(family.__doc__) for name, family in FAMILIES.items()}


def tasks() -> dict[str, str]:
    """Return every registered task with the first line of its docstring."""
    from tertia import tasks as registry

    return {name: first_line(task.__doc__) for name, task in getattr(registry, "TASKS", {}).items()}


def recipes() -> dict[str, str]:
    """Return every recipe that is shipped, with the first comment line of its file."""
    found = sorted(Path(str(files("tertia"))).glob("recipes/*.toml"))
    return {path.stem: first_line(path.read_text().lstrip("# ")) for path in found}


def models() -> dict[str, str]:
    """Return every shipped checkpoint with the summary of its model card."""
    found = {}
    for card in sorted(Path(str(files("tertia"))).glob("weights/*/model.json")):
        meta = json.loads(card.read_text())
        found[card.parent.name] = str(meta.get("summary") or f"family {meta.get('family', '?')}")
    return found


def heads() -> dict[str, str]:
    """Return every shipped head by the name of its task, with the models that it takes embeddings from."""
    found = {}
    for card in sorted(Path(str(files("tertia"))).glob("weights/heads/*/head.json")):
        meta = json.loads(card.read_text())
        found[card.parent.name] = f"task {meta['task']}, embeddings of {meta['models'] or 'no model'}"
    return found


def first_line(text: str | None) -> str:
    """Return the first line of a docstring or comment, "" where there is none."""
    return (text or "").strip().partition("\n")[0].rstrip()


def table(listed: dict[str, dict[str, str]]) -> str:
    """Return the listing as aligned text, one block a kind."""
    width = max((len(name) for rows in listed.values() for name in rows), default=0)
    blocks = []
    for kind, rows in listed.items():
        lines = [f"  {name:<{width}}  {text}".rstrip() for name, text in rows.items()] or ["  (none)"]
        blocks.append("\n".join([kind, *lines]))
    return "\n\n".join(blocks)
