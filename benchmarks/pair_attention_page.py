"""The page of `benchmarks/pair_attention.py`: tables with intervals, and conclusions that follow from them by rule."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.complexes import RULE
from benchmarks.contact_heads import FIGURES, OTHERS, WAYS
from tertia.tasks.metrics import Difference, Interval, bootstrap, compare
from tertia.tasks.metrics.classes import ratio
from tertia.tasks.metrics.statistics import MEAN, OfSums

DECISIVE = "AP"
"""The figure that the best head is chosen by, and the conclusion rests on."""
FEWEST = 10
"""Complexes of which there is an interval."""
ENRICHMENT = OfSums(lambda *two: np.nan_to_num(np.stack(two, axis=1)), lambda sums: ratio(sums[..., 0], sums[..., 1]))
NOTES = f"""**Scores.** Weights of A for B and of B for A, averaged, corrected for what both residues get anyway (average product
correction), standardised in each complex. Tokens of several residues share their weight evenly. Best head: that with
the largest mean AP on the other half of the complexes; sparse regression: logistic, with a penalty on the absolute sum of
the weights, on all contacts of the other half and {OTHERS} other cells for each. **Figures** are of each complex by itself, then the
mean; P@L/5: contacts among the best L/5 pairs, L the length of the shorter chain. Intervals are 95 % over resampled complexes.

**Controls.** other partner: the second chain is that of another complex, the next in length, so that only places and
the first chain can help. shuffled: residues of the second chain in random order, scores put back to their residues, so that only
letters can help. Both use the heads that were chosen for the model. untrained: fresh weights; single chains: a model that never saw two
chains in training; for both, heads are chosen anew. letters: how often the two letters are in contact, no network."""


@dataclass(frozen=True)
class Row:
    """One row of the tables."""

    label: str
    way: str
    values: dict[str, np.ndarray]  # figure -> (n,), NaN where a complex has none

    @property
    def title(self) -> str:
        """Label and way."""
        return f"{self.label}, {self.way}"


def write(found: dict, page: Path | None) -> str:
    """Return the page of what was found; write it, its numbers and its drawing where a path is given."""
    rows = [Row(label, way, values) for label, ways in found["rows"].items() for way, values in ways.items()]
    n = len(found["complexes"])
    sets = {"all complexes": np.arange(n)}
    if found["clean"] is not None and len(found["clean"]) < n:
        sets["without neighbours in training"] = found["clean"]
    tables, verdicts, numbers = [], [], {}
    for name, chosen in sets.items():
        tables += [f"## Contacts: {name} ({len(chosen)})", ""]
        if len(chosen) < FEWEST:
            tables += [f"Fewer than {FEWEST}: no figures.", ""]
            continue
        intervals = {row.title: _intervals(row, chosen) for row in rows}
        gaps = differences(rows, chosen)
        tables += [*_table(found, rows, chosen, intervals), "", *_gap_table(gaps), ""]
        verdicts += [f"- {name}: {sentence}" for sentence in conclusions(gaps)]
        numbers[name] = {"figures": {title: _plain(one) for title, one in intervals.items()},
                         "differences": [{**gap, "interval": vars(gap["interval"])} for gap in gaps]}  # fmt: skip
    alone, alone_verdicts = _alone(found["alone"])
    verdicts = verdicts or [f"- Fewer than {FEWEST} complexes: nothing can be said about contacts."]
    parts = [*_head(found), "## What follows", "", _rule(found), "", *verdicts, *alone_verdicts, "", *tables,
             "## Interface residues, chains read alone", "", *alone, "", NOTES, ""]  # fmt: skip
    if page:
        if numbers and _draw(rows, found, numbers["all complexes"]["figures"], page.with_suffix(".svg")):
            parts += [f"![figures with intervals]({page.stem}.svg)", ""]
        page.with_suffix(".json").write_text(json.dumps(_json(found, numbers), indent=1) + "\n")
        page.write_text("\n".join(parts))
    return "\n".join(parts)


def differences(rows: list[Row], chosen: np.ndarray) -> list[dict]:
    """Return how far each way of the model, the first label, lies above every control, on complexes that both have.

    Heads chosen anew are compared by the same way; a row without network with both.
    """
    model, out = rows[0].label, []
    for own in (row for row in rows if row.label == model):
        for other in rows:
            if other.label == model or (other.way in WAYS and other.way != own.way):
                continue
            for figure in FIGURES:
                one, two = own.values[figure][chosen], other.values[figure][chosen]
                both = np.isfinite(one) & np.isfinite(two)
                if both.sum() < FEWEST:
                    continue
                gap = compare(MEAN, np.arange(both.sum()), first=(one[both],), second=(two[both],))
                out.append({"way": own.way, "control": other.label, "figure": figure, "p": gap.p,
                            "n": int(both.sum()), "interval": gap.interval})  # fmt: skip
    return out


def conclusions(gaps: list[dict]) -> list[str]:
    """Return what the intervals of the decisive figure say, one sentence a way."""
    out = []
    for way in WAYS:
        mine = [gap for gap in gaps if gap["way"] == way and gap["figure"] == DECISIVE]
        above = [gap["control"] for gap in mine if gap["interval"].low > 0]
        below = [gap["control"] for gap in mine if gap["interval"].high < 0]
        level = [gap["control"] for gap in mine if gap["control"] not in above + below]
        if not mine:
            continue
        told = "; ".join(f"{word} {', '.join(names)}" for word, names in
                         (("above", above), ("not told apart from", level), ("below", below)) if names)  # fmt: skip
        found = len(above) == len(mine)
        verdict = (
            "contacts are found beyond every control"
            if found
            else "null result: contacts are not found beyond every control"
        )
        out.append(f"{way}: **{verdict}** ({told}).")
    return out


def _rule(found: dict) -> str:
    rule = (f"Rule: attention finds contacts where the {DECISIVE} of the model exceeds every control, all intervals of the "
            "differences leaving out 0.")  # fmt: skip
    if "single chains" not in found["rows"]:
        rule += " No model of single chains was given, so what training on pairs adds was not asked."
    return rule


def _head(found: dict) -> list[str]:
    family, complexes = found["family"], found["complexes"]
    lengths = [len(chain) for one in complexes for chain in one.chains]
    contacts = [int(one.contact.sum()) for one in complexes]
    counts = ", ".join(f"{kind} {number:,}" for kind, number in found["count"].items() if number)
    lines = [
        "# Attention between two chains", "",
        f"Written by `{found['command']}`.", "",
        f"{len(complexes)} complexes: {RULE} ({found['tool']}).",
        f"Chains of {min(lengths)} to {max(lengths)} residues, {min(contacts)} to {max(contacts)} contacts, median {np.median(contacts):.0f}.",
        f"What the files held: {counts}.",
        f"Model: {family.architecture}, {family.n_layers} layers of {family.width}, {family.n_heads} heads each, "
        f"{family.longest} tokens a line in training; {np.mean(found['reached']):.0%} of the contacts are between tokens that see each other.",
    ]  # fmt: skip
    for name, (chosen, _) in found["heads"].items():
        told = [f"layer {one.head // family.n_heads + 1} head {one.head % family.n_heads + 1}" for one in chosen]
        used = " and ".join(str(np.count_nonzero(np.abs(one.weight) > 1e-6)) for one in chosen)
        shape = f"{len(chosen[0].weight)} heads" if name == "single chains" else ""
        told = [f"head {one.head + 1}" for one in chosen] if name == "single chains" else told
        lines.append(
            f"{name}: best {' and '.join(told)}{f' of {shape}' if shape else ''}; the regressions use {used} heads."
        )
    if found["clean"] is None:
        lines.append("Neighbours among the training chains were not looked for: none are known.")
    else:
        lines.append(
            f"{len(complexes) - len(found['clean'])} complexes have a neighbour of a chain among the training chains (30 % identity)."
        )
    return [*lines, ""]


def _intervals(row: Row, chosen: np.ndarray) -> dict[str, Interval]:
    return {
        name: bootstrap(MEAN, np.arange(len(chosen)), columns=(values[chosen],)) for name, values in row.values.items()
    }


def _table(found: dict, rows: list[Row], chosen: np.ndarray, intervals: dict) -> list[str]:
    base = np.mean([found["complexes"][k].base_rate for k in chosen])
    lines = ["| row | scores | complexes | " + " | ".join(FIGURES) + " |", "|---|---|--:|" + "---|" * len(FIGURES),
             f"| base rate | none | {len(chosen)} | {base:.4f} | {base:.4f} | 0.5 |"]  # fmt: skip
    for row in rows:
        n = int(np.isfinite(row.values[DECISIVE][chosen]).sum())
        cells = " | ".join(_told(one) for one in intervals[row.title].values())
        lines.append(f"| {row.label} | {row.way} | {n} | {cells} |")
    return lines


def _told(one: Interval, *, sign: str = "") -> str:
    if not math.isfinite(one.value):
        return "-"
    return f"{one.value:{sign}.4f} [{one.low:{sign}.4f}, {one.high:{sign}.4f}]"


def _gap_table(gaps: list[dict]) -> list[str]:
    lines = ["| model, scores | against | figure | difference | p |", "|---|---|---|---|--:|"]
    for gap in gaps:
        marked = "**" if gap["interval"].low > 0 or gap["interval"].high < 0 else ""
        lines.append(
            f"| {gap['way']} | {gap['control']} | {gap['figure']} | {marked}{_told(gap['interval'], sign='+')}{marked} | {gap['p']:.3f} |"
        )
    return lines


def _alone(alone: dict[str, dict[str, np.ndarray]]) -> tuple[list[str], list[str]]:
    """Return the table of what chains read alone look at, and what follows from it."""
    lines = ["| network | strong weights | on the interface | expected | times expected |", "|---|--:|--:|--:|---|"]
    intervals, columns = {}, {}
    for name, counts in alone.items():
        strong, hits, expected = (np.nansum(counts[key]) for key in ("strong", "hits", "expected"))
        columns[name] = counts["hits"], counts["expected"]
        groups = np.arange(len(counts["hits"]))
        intervals[name] = bootstrap(ENRICHMENT, groups, columns=columns[name]) if expected > 0 else None
        told = _told(intervals[name]) if intervals[name] else "-"
        shares = [f"{part / strong:.4f}" if strong else "-" for part in (hits, expected)]
        lines.append(f"| {name} | {strong:,.0f} | {' | '.join(shares)} | {told} |")
    model = next(iter(alone))
    if intervals[model] is None or len(alone[model]["hits"]) < FEWEST:
        return lines, ["- read alone: the model has too few strong weights, or there are too few complexes."]
    above = intervals[model].low > 1
    others = {name: compare(ENRICHMENT, np.arange(len(columns[model][0])), first=columns[model], second=columns[name])
              for name in alone if name != model and intervals[name]}  # fmt: skip
    return lines, [_alone_verdict(intervals[model], others, above=above)]


def _alone_verdict(own: Interval, others: dict[str, Difference], *, above: bool) -> str:
    parts = [f"{name} {_told(gap.interval, sign='+')}" for name, gap in others.items()]
    beyond = above and bool(others) and all(gap.interval.low > 0 for gap in others.values())
    verdict = (
        "falls on the interface beyond every control"
        if beyond
        else "null result: does not fall on the interface beyond every control"
    )
    against = f"; differences: {', '.join(parts)}" if parts else "; no control has enough strong weights"
    return f"- read alone: attention **{verdict}** ({_told(own)} times what is expected{against})."


def _draw(rows: list[Row], found: dict, intervals: dict, path: Path) -> bool:
    """Draw the figures of all complexes with their intervals; return whether matplotlib is there."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(3.2 * len(FIGURES) + 3.0, 0.32 * len(rows) + 1.3), layout="constrained")
    FigureCanvasSVG(figure)
    base = np.mean([one.base_rate for one in found["complexes"]])
    panels = figure.subplots(1, len(FIGURES), sharey=True)
    for panel, name in zip(panels, FIGURES, strict=True):
        for place, row in enumerate(rows):
            one = intervals[row.title][name]
            colour = "#1b6ca8" if row.label == rows[0].label else "#8a8a8a"
            panel.plot([one["low"], one["high"]], [place, place], color=colour, linewidth=2)
            panel.plot([one["value"]], [place], "o", color=colour, markersize=5)
        panel.axvline(0.5 if name == "AUROC" else base, color="#c44e52", linewidth=1, linestyle="--")
        panel.set_title(name, fontsize=10)
        panel.grid(axis="x", color="#dddddd")
    panels[0].set_yticks(range(len(rows)), [row.title for row in rows], fontsize=9)
    panels[0].invert_yaxis()
    with matplotlib.rc_context({"svg.hashsalt": "tertia"}):
        figure.savefig(path, metadata={"Date": None})
    return True


def _plain(intervals: dict[str, Interval]) -> dict:
    return {name: vars(one) for name, one in intervals.items()}


def _json(found: dict, numbers: dict) -> dict:
    """Return all numbers as JSON values; NaN becomes null."""
    rows = {label: {way: {name: list(values) for name, values in one.items()} for way, one in ways.items()}
            for label, ways in found["rows"].items()}  # fmt: skip
    heads = {
        name: {
            "best": [one.head for one in chosen],
            "weights": [list(one.weight) for one in chosen],
            "AP": list(precision),
        }
        for name, (chosen, precision) in found["heads"].items()
    }
    complexes = [{"name": one.name, "lengths": [len(chain) for chain in one.chains], "contacts": int(one.contact.sum()),
                  "base_rate": one.base_rate} for one in found["complexes"]]  # fmt: skip
    alone = {name: {key: list(values) for key, values in one.items()} for name, one in found["alone"].items()}
    clean = None if found["clean"] is None else [int(k) for k in found["clean"]]
    return _finite({"command": found["command"], "count": found["count"], "complexes": complexes, "without_neighbours": clean,
                    "sets": numbers, "rows": rows, "heads": heads, "alone": alone})  # fmt: skip


def _finite(value):
    """Return the same with plain numbers of 6 digits, and None for what is not finite."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
