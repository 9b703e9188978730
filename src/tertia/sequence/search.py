"""Find neighbours by sequence identity, by MMseqs2 where it is installed, otherwise by our own alignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tertia.errors import InputError
from tertia.sequence import mmseqs
from tertia.sequence.alignment import align
from tertia.sequence.words import WordIndex

TOOLS = ("auto", "mmseqs", "builtin")
E_VALUE = 1e-3
_MOST = 200
"""Targets that the built-in way aligns a query with, those with most shared words."""
_BATCH_LETTERS = 20_000
"""Letters aligned at once; more falls out of the cache."""


@dataclass(frozen=True, order=True)
class Hit:
    """One query that aligns with one target."""

    query: int
    target: int
    identity: float  # identical pairs / columns
    columns: int
    query_coverage: float
    target_coverage: float
    e_value: float


def chosen_tool(tool: str) -> str | None:
    """Return the MMseqs2 program for "auto" and "mmseqs", None for the built-in way.

    Raises InputError when the tool is not known, or is "mmseqs" and not installed.
    """
    if tool not in TOOLS:
        raise InputError("sequence tool", found=f"{tool!r} is not known", allowed=", ".join(TOOLS))
    path = None if tool == "builtin" else mmseqs.program()
    if tool == "mmseqs" and path is None:
        raise InputError(
            "cluster tool", found="MMseqs2 is not installed", allowed="auto, builtin",
            hint="install the program `mmseqs`, or the extra: pip install 'tertia[cluster]'",
        )  # fmt: skip
    return path


def tool_name(path: str | None, tool: str) -> str:
    """Return the name and version of what searches, and why it is not MMseqs2, for reports."""
    if path is not None:
        return f"MMseqs2 {mmseqs.version(path)}"
    return f"built-in words and Smith-Waterman ({'as asked' if tool == 'builtin' else 'MMseqs2 is not installed'})"


def searches_name(tool: str) -> str:
    """Return what `near_either_way` searches with, for reports."""
    path = chosen_tool(tool)
    if path is None:
        return tool_name(None, tool)
    return f"{tool_name(path, tool)}, both ways" + (", and built-in words and Smith-Waterman" if tool == "auto" else "")


def neighbours(
    queries: Sequence[str], targets: Sequence[str], *, identity: float = 0.3, e_value: float = E_VALUE,
    tool: str = "auto", threads: int = 1,
) -> list[Hit]:  # fmt: skip
    """Return all hits of queries among targets with at least this identity, sorted.

    Parameters
    ----------
    identity: identical pairs / alignment columns, of the best local alignment.
    e_value: hits expected by chance in the whole search, at most.
    tool: "auto" (MMseqs2 where installed), "mmseqs" or "builtin".
    """
    if not queries or not targets:
        return []
    path = chosen_tool(tool)
    if path:
        rows = mmseqs.search(path, queries, targets, identity=identity, e_value=e_value, threads=threads)
        # The program's own filter knows three decimals; an exact repeat is always a neighbour, however short.
        return sorted({Hit(*row) for row in rows} | _repeats(queries, targets, {row[:2] for row in rows}))
    return _builtin(queries, targets, identity, e_value)


def near_either_way(
    queries: Sequence[str], targets: Sequence[str], *, identity: float = 0.3, e_value: float = E_VALUE,
    tool: str = "auto", threads: int = 1,
) -> list[Hit]:  # fmt: skip
    """Return what any of the searches finds: of each pair the hit of the most identity, sorted.

    Searches are heuristic, and what MMseqs2 finds depends on which side asks: of the neighbours of a test set, one
    direction of one tool misses several in a hundred. So MMseqs2 searches both ways, and with "auto" the built-in way,
    whose alignment has no direction, is asked too, from the side with fewer sequences.
    """
    limits = {"identity": identity, "e_value": e_value, "threads": threads}
    found: list[Hit] = []
    if chosen_tool(tool):
        found += neighbours(queries, targets, tool="mmseqs", **limits)
        found += map(_turned, neighbours(targets, queries, tool="mmseqs", **limits))
    if tool != "mmseqs" and len(queries) <= len(targets):
        found += neighbours(queries, targets, tool="builtin", **limits)
    elif tool != "mmseqs":
        found += map(_turned, neighbours(targets, queries, tool="builtin", **limits))
    best = {(hit.query, hit.target): hit for hit in sorted(found, key=lambda hit: (hit.identity, hit.columns))}
    return sorted(best.values())


def _turned(hit: Hit) -> Hit:
    return replace(
        hit, query=hit.target, target=hit.query, query_coverage=hit.target_coverage, target_coverage=hit.query_coverage
    )


def _repeats(queries: Sequence[str], targets: Sequence[str], known: set[tuple[int, int]]) -> set[Hit]:
    targets_of: dict[str, list[int]] = {}
    for number, sequence in enumerate(targets):
        targets_of.setdefault(sequence, []).append(number)
    return {
        Hit(query, target, 1.0, len(sequence), 1.0, 1.0, 0.0)
        for query, sequence in enumerate(queries)
        for target in targets_of.get(sequence, [])
        if (query, target) not in known
    }


def _builtin(queries: Sequence[str], targets: Sequence[str], identity: float, e_value: float) -> list[Hit]:
    index = WordIndex(targets)
    n_letters = sum(map(len, targets))
    hits: set[Hit] = set()
    for number, query in enumerate(queries):
        for part in batches(index.candidates(query, least=2, most=_MOST), targets):
            found = align(query, [targets[k] for k in part])
            chance = found.e_value(len(query), n_letters)
            for k in np.flatnonzero((found.identity >= identity) & (chance <= e_value)):
                hits.add(
                    Hit(
                        number, int(part[k]), round(float(found.identity[k]), 3), int(found.columns[k]),
                        round(float(found.query_coverage[k]), 3), round(float(found.target_coverage[k]), 3),
                        float(f"{chance[k]:.2e}"),
                    )
                )  # fmt: skip
    return sorted(hits | _repeats(queries, targets, {(hit.query, hit.target) for hit in hits}))


def batches(numbers: np.ndarray, sequences: Sequence[str]) -> list[list[int]]:
    """Return numbers in groups of like length and of a size that aligns fast."""
    parts: list[list[int]] = []
    for number in sorted(numbers.tolist(), key=lambda k: (len(sequences[k]), k)):
        if not parts or (len(parts[-1]) + 1) * len(sequences[number]) > _BATCH_LETTERS:
            parts.append([])
        parts[-1].append(number)
    return parts
