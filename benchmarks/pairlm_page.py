"""Intervals, contrasts between arms, and the page docs/results/pairlm_ablation.md of `pairlm_ablation.py`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks.pairlm_readouts import FIGURES, PROBES, SMALLER_IS_BETTER
from tertia.tasks.metrics import resample
from tertia.tasks.task import Figure

N_RESAMPLES = 1000
LEVEL = 0.95
UNTRAINED, FREQUENCIES = "untrained", "frequencies"
"""Rows beside the arms: weights as they are drawn, and no network but the share of each token in the training chains."""
CONTRASTS = {
    ("apart", "single"): "another chain in the line that is not attended to",
    ("random", "apart"): "attention to a random chain",
    ("binding", "random"): "a chain that binds in place of a random one",
    ("half", "random"): "a chain that binds in every second line",
    ("half", "single"): "the published recipe as a whole",
}
"""Pairs of arms that differ in one thing, the last one excepted."""
LINES = {"single": ("alone",), "apart": ("alone", "partner", "random"), FREQUENCIES: ("alone", "partner", "random")}
"""Cross entropies in lines that an arm has seen in training, the others those of two chains; only such are compared."""
CHANCE = {"gain": 0.0, "zero-shot": 0.5}
"""Of figures that are compared with what a network has that knows nothing of partners."""
Found = Mapping[str, Mapping[str, Sequence[Figure]]]  # of each arm and figure one for each seed

# --- intervals -----------------------------------------------------------------------------------------------------


def by_seed(figures: Sequence[Figure]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the figure of each seed, (K,), of each resample and seed, (S, K), and how many groups there are."""
    values = np.array([float(one.statistic(*one.columns)) for one in figures])
    drawn = [resample(one.statistic, one.groups, columns=one.columns, n_resamples=N_RESAMPLES, seed=0)
             for one in figures]  # fmt: skip
    return values, np.stack(drawn, axis=1), len(np.unique(figures[0].groups))


def interval(values: np.ndarray, drawn: np.ndarray, n_groups: int) -> dict[str, float]:
    """Return the mean over seeds with an interval that holds for other examples and for other seeds.

    The variance of the mean is that over resampled groups of examples plus that between seeds; degrees of freedom after
    Satterthwaite (1946).

    Parameters
    ----------
    values: (K,) of each seed.
    drawn: (S, K) of each resample, the same resamples for every seed.
    """
    n_seeds = len(values)
    parts = [(float(np.nanvar(drawn.mean(axis=1))), max(n_groups - 1, 1))]
    if n_seeds > 1:
        parts.append((float(values.var(ddof=1)) / n_seeds, n_seeds - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / n for part, n in parts) if variance > 0 else math.inf
    half = float(student.ppf(0.5 + LEVEL / 2, freedom)) * math.sqrt(variance)
    mean = float(values.mean())
    return {"value": mean, "low": mean - half, "high": mean + half, "seeds": n_seeds, "groups": n_groups}


def values(found: Found) -> dict[str, dict[str, dict[str, float]]]:
    """Return {arm: {figure: value with interval}}."""
    return {arm: {name: interval(*by_seed(figures)) for name, figures in table.items()} for arm, table in found.items()}


def compared(found: Found) -> list[dict[str, Any]]:
    """Return contrasts between arms, of arms with chance, and of arms with untrained weights, each with an interval."""
    sides = {(arm, name): by_seed(figures) for arm, table in found.items() for name, figures in table.items()}
    out = []
    for arm, name in sides:
        for other in [second for first, second in CONTRASTS if first == arm] + [UNTRAINED, FREQUENCIES]:
            if arm not in (UNTRAINED, FREQUENCIES) and (other, name) in sides and comparable(arm, other, name):
                (one, drawn, n_groups), (two, drawn_two, _) = sides[arm, name], sides[other, name]
                out.append({"arm": arm, "against": other, "figure": name,
                            **interval(one - two, drawn - drawn_two, n_groups)})  # fmt: skip
        if name in CHANCE and arm != FREQUENCIES:
            one, drawn, n_groups = sides[arm, name]
            chance = interval(one - CHANCE[name], drawn - CHANCE[name], n_groups)
            out.append({"arm": arm, "against": "chance", "figure": name, **chance})
    return out


def comparable(arm: str, other: str, name: str) -> bool:
    """Return whether a figure tells two rows apart: cross entropies where both know the kind of line, of tokens no other."""
    if name in SMALLER_IS_BETTER:
        return all(name in LINES.get(one, ("partner", "random")) for one in (arm, other))
    return other != FREQUENCIES


def says(difference: Mapping[str, Any]) -> str:
    """Return "better", "worse", or "" where the interval holds 0."""
    if difference["low"] <= 0 <= difference["high"]:
        return ""
    return "worse" if (difference["value"] > 0) == (difference["figure"] in SMALLER_IS_BETTER) else "better"


# --- page ----------------------------------------------------------------------------------------------------------

NOTES = """Cross entropies: 15 % of the tokens of a protein are hidden, the same ones whatever stands beside it; nats a residue, mean of both
proteins of a pair and both orders of the line. A random partner shows as many tokens as the true one, so the gain is not one
of length or position. AUROC, no training: pairs that bind and pairs that do not, ranked by that gain (`models.pairlm.conditional`).
Cross entropies are compared between arms that saw such lines in training: one chain, or two. A window of a long chain stands between
special tokens here, in training without. frequencies: no network, each token as often as in the training chains. untrained: weights as
drawn, one network for all seeds. Probes: networks of `tertia evaluate` on frozen embeddings of single proteins. Intervals (95 %) hold
for other examples (groups of dependent ones resampled together) and for other seeds of the training, whose variances are added; they are not corrected for their
number: of differences that are none, one in twenty leaves out 0.

What differs between arms beside what they are for: lines of one chain show up to twice as much of it, and there are more of them in
a step, so that the tokens agree; and single chains all come as often as each other, where in pairs a protein comes as often as it has
partners (a hub in at most {most_pairs} binding pairs an epoch, in `half` in as many random ones besides). `apart` shares both with the arms of pairs, and tells them from attention."""


def cell(value: Mapping[str, float], *, sign: bool = False) -> str:
    """Return a value with its interval."""
    form = "+.4f" if sign else ".4f"
    return f"{value['value']:{form}} ({value['low']:{form}} to {value['high']:{form}})"


def seen_table(numbers: Mapping[str, Any]) -> list[str]:
    """Return what each arm was trained on, and whether the tokens agree."""
    lines = ["| arm | a line holds | lines a step | lines | tokens | epochs | proteins | most of one |",
             "|---|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for arm, one in numbers["seen"].items():
        if one:
            cells = (f"{one[key]:,.0f}" for key in ("batch", "lines", "tokens"))
            lines.append(f"| {arm} | {numbers['arms'][arm]['label']} | {' | '.join(cells)} | {one['epochs']:.2f} | "
                         f"{one['chains']:,.0f} | {one['most of a chain']:,.0f} |")  # fmt: skip
    tokens = [one["tokens"] for one in numbers["seen"].values() if one]
    apart = max(tokens) / min(tokens) - 1 if tokens else 0.0
    return [*lines, "", f"Tokens are without padding, counted line by line, mean of the seeds; they differ by {apart:.2%} at most."]  # fmt: skip


def value_table(numbers: Mapping[str, Any]) -> list[str]:
    """Return a row for each arm, a column for each figure."""
    names = [name for name in FIGURES if any(name in table for table in numbers["values"].values())]
    lines = ["| arm | " + " | ".join(FIGURES[name] for name in names) + " |", "|---|" + "---|" * len(names)]
    for arm, table in numbers["values"].items():
        lines.append(f"| {arm} | " + " | ".join(cell(table[name]) if name in table else "" for name in names) + " |")
    return lines


def contrast_table(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a row for each difference."""
    lines = ["| arm | against | figure | difference | |", "|---|---|---|---|---|"]
    for one in differences:
        lines.append(f"| {one['arm']} | {one['against']} | {FIGURES[one['figure']]} | {cell(one, sign=True)} | {says(one)} |")  # fmt: skip
    return lines


def conclusion(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what follows by one rule: a difference is there when its interval leaves out 0."""
    lines = []
    for (arm, other), what in CONTRASTS.items():
        rows = [one for one in differences if (one["arm"], one["against"]) == (arm, other)]
        if rows:
            lines.append(f"- **{what[0].upper()}{what[1:]}** ({arm} against {other}): {told(rows)}.")
    for against, what in (
        (FREQUENCIES, "Networks know more than how often each token is"),
        ("chance", "Partners are told from random proteins"), (UNTRAINED, "Embeddings know more than untrained ones"),
    ):  # fmt: skip
        rows = [one for one in differences if one["against"] == against]
        if rows:
            lines.append(f"- **{what}**: " + "; ".join(
                f"{arm}: {told([one for one in rows if one['arm'] == arm])}"
                for arm in dict.fromkeys(one["arm"] for one in rows)
            ) + ".")  # fmt: skip
    return lines


def told(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return which figures are better, which worse, and of how many nothing can be said."""
    parts = []
    for word in ("better", "worse"):
        names = [f"{FIGURES[one['figure']]} ({one['value']:+.4f})" for one in rows if says(one) == word]
        parts += [f"{word} in {', '.join(names)}"] if names else []
    silent = [FIGURES[one["figure"]] for one in rows if not says(one)]
    return ", ".join([*parts, *([f"no difference shown in {', '.join(silent)}"] if silent else [])])


def page(numbers: Mapping[str, Any], *, command: str) -> str:
    """Return docs/results/pairlm_ablation.md."""
    size, known, rows = numbers["settings"], numbers["pairs"], numbers["differences"]
    settings = (
        f"Encoders ({numbers['architecture']}) of {size['n_layers']} layers of {size['width']}, lines of at most {size['longest']} tokens, "
        f"{size['steps']:,} steps; {len(numbers['seeds'])} seed(s)."
    )
    held_out = (
        f"Pairs that are scored: {size['n_pairs']:,} of the test of Bernett et al. (2024), half of which bind; of their "
        f"{known['proteins']:,} proteins {known['in the training store']:,} stand in the training store by their sequence."
    )
    return "\n".join([
        "# Does a partner in the line help a language model, and why?", "",
        f"Written by `python benchmarks/pairlm_ablation.py {command}`.", settings, "",
        "![Figures by arm](pairlm_ablation.svg)", "",
        "## What follows", "", "A difference counts when its 95 % interval leaves out 0.", "", *conclusion(rows), "",
        "## What the arms saw", "", *seen_table(numbers), "", held_out, "",
        "## Figures", "", *value_table(numbers), "", "## Differences", "", *contrast_table(rows), "",
        NOTES.format(most_pairs=size["most_pairs"]), "",
    ])  # fmt: skip


def draw(numbers: Mapping[str, Any], path: Path) -> None:
    """Draw each figure by arm, with intervals."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "tertia"
    names = [name for name in ("alone", "gain", "zero-shot", *PROBES)
             if any(name in table for table in numbers["values"].values())]  # fmt: skip
    arms = list(numbers["values"])
    figure, panels = plt.subplots(1, len(names), figsize=(2.2 * len(names), 3), sharey=True, layout="constrained", squeeze=False)  # fmt: skip
    for panel, name in zip(panels[0], names, strict=True):
        for row, arm in enumerate(arms):
            if one := numbers["values"][arm].get(name):
                panel.plot([one["low"], one["high"]], [row, row], "-", color="C7")
                panel.plot(one["value"], row, "o", ms=4, color="C0")
        if name in CHANCE:
            panel.axvline(CHANCE[name], ls=":", color="C7", lw=1)
        panel.set_title(FIGURES[name], fontsize=8)
        panel.tick_params(labelsize=7)
    panels[0][0].set_yticks(range(len(arms)), arms)
    panels[0][0].invert_yaxis()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
