"""Write the results of a task as a page: Markdown, JSON, and a drawing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from tertia.errors import InputError
from tertia.evaluate.published import PUBLISHED
from tertia.evaluate.task import FEWEST_GROUPS, TaskReport

_OF_TWO = ("AUROC", "AP", "ACC", "F", "MCC", "oracle F", "prevalence")
_OF_MANY = ("ACC", "MCC", "macro F")
COLUMNS = {
    "quality": (
        "gdt_ts R", "gdt_ts RMSE", "gdt_ts R_target", "gdt_ts R_target, spread", "gdt_ts z", "gdt_ts FRL",
        "gdt_ts FRL_5", "lddt R", "local lddt rho", "local lddt rho_decoy", "local cad rho", "local cad rho_decoy",
    ),
    "interface": ("AUROC", "AUPRC", "AP", "ACC", "P", "R", "F", "MCC", "oracle F", "oracle MCC"),
    "pair_binding": _OF_TWO, "tcr_epitope": ("AUROC_peptide", *_OF_TWO),
    "localisation": (*_OF_MANY, *(name for name in _OF_TWO if name not in _OF_MANY)), "homology": _OF_MANY,
    "secondary_structure": ("Q3", "MCC", "macro F", "F helix", "F strand", "F coil"),
}  # fmt: skip
DRAWN = {
    "quality": ("gdt_ts R", "gdt_ts R_target", "gdt_ts R_target, spread", "local lddt rho"),
    "interface": ("AUPRC", "MCC"),
    "pair_binding": ("AUROC", "MCC"),
    "tcr_epitope": ("AUROC", "AUROC_peptide"),
    "localisation": ("ACC", "MCC"),
    "homology": ("ACC", "MCC"),
    "secondary_structure": ("Q3", "macro F"),
}
GROUPS = {
    "quality": "clusters of targets", "interface": "proteins", "tcr_epitope": "peptides", "localisation": "proteins",
    "pair_binding": "hubs (of each pair that protein which is in more pairs)", "homology": "folds",
    "secondary_structure": "proteins",
}  # fmt: skip
WITH_MAJORITY = ("pair_binding", "tcr_epitope", "localisation", "homology", "secondary_structure")
"""Tasks whose tables say so where a row calls one class only, which is what an MCC of 0 means."""
_CALLED = "ACC, F, MCC: at the threshold with the largest MCC on the validation examples; oracle F: at the best of the "
NOTES = {
    "quality": (
        "R, RMSE: over all models. R_target, z, FRL: within targets of two models or more, then the mean; spread: only",
        "of targets whose best and worst model differ by more than 0.05. FRL_5:",
        "targets of six models or more only, since the best of five is found among five whatever is predicted. local:",
        "residues, lDDT of C-alphas. All in the strict mode: what is undefined is left out. B-factors never enter.",
    ),
    "interface": (
        "AUPRC by trapezoids as DeepPPISP has it, which flatters scores with many ties (the constant); AP by steps.",
        "ACC, P, R, F, MCC: at the threshold with the best F on the validation proteins; oracle: at that with the best",
        "F on the test proteins themselves, as most published figures are (DeepPPISP, GraphPPIS): it flatters.",
    ),
    "pair_binding": (
        _CALLED + "test set",
        "itself, which flatters. prevalence: share of pairs that bind, what AP is by chance. AP: area under precision",
        "and recall, by steps; published ones as their authors had them.",
        "The published figures on D-SCRIPT's yeast are of models that learnt from its own human pairs.",
    ),
    "tcr_epitope": (
        _CALLED + "test set",
        "itself, which flatters. prevalence: share of pairs that bind. AUROC_peptide: mean over peptides with 5 pairs",
        "or more of either class. Negatives are shuffled pairs, not measured ones. Loops and peptides are too short",
        "for a search of neighbours: no alignment of 15 residues is beyond chance, so there is no set without them.",
    ),
    "localisation": (
        "ACC, MCC (Gorodkin's), macro F: of the most probable place. Of membrane proteins: at the threshold with the",
        "largest MCC on the validation proteins. Of the published training proteins 632 have no sequence here.",
    ),
    "homology": ("ACC, MCC (Gorodkin's), macro F: of the most probable of 1,195 folds.",),
    "secondary_structure": (
        "Q3: share of residues in the right state; F: of one state against the others; residues that the structure",
        "does not show are left out.",
    ),
}  # fmt: skip


def write_page(report: TaskReport, output: str | Path, *, command: str) -> list[Path]:
    """Write `<output>.md`, `<output>.json` and, where matplotlib is installed, `<output>.svg`; return the files.

    Raises
    ------
    InputError: the folder of the output does not exist.
    """
    stem = Path(output).with_suffix("")
    if not stem.parent.is_dir():
        raise InputError(str(stem), found="its folder does not exist")
    paths = [stem.with_suffix(".json"), stem.with_suffix(".md")]
    paths[0].write_text(json.dumps(_finite(report.as_dict()), indent=1) + "\n")
    drawing = draw(report, stem.with_suffix(".svg"))
    paths += [drawing] if drawing else []
    paths[1].write_text("\n".join(_page(report, command, drawing)) + "\n")
    return paths


def table(report: TaskReport, name: str) -> list[str]:
    """Return one test set as a Markdown table: value and 95 % interval."""
    rows = report.sets[name]
    known = {figure for columns in rows.values() for figure in columns}
    columns = [column for column in COLUMNS[report.task] if column in known]
    out = ["| method | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for row in report.rows:
        cells = [_cell(rows[row.name].get(column)) for column in columns]
        if report.task in WITH_MAJORITY and rows[row.name].get("MCC", {}).get("value") == 0.0:
            cells[columns.index("MCC")] += " (calls one class)"
        out.append(f"| {row.label} | " + " | ".join(cells) + " |")
    for label, figures in PUBLISHED.get((report.task, name), ()):
        cells = [f"*{figures[column]:.3f}*" if column in figures else "" for column in columns]
        out.append(f"| *published: {label}* | " + " | ".join(cells) + " |")
    return out


def differences(report: TaskReport, name: str) -> list[str]:
    """Return what embeddings add to features, and training to untrained weights, as a Markdown table."""
    label = {row.name: row.label for row in report.rows}
    wanted = [one for one in report.differences[name] if one["figure"] in DRAWN[report.task]]
    if not wanted:
        return []
    out = ["| method | against | figure | difference | p |", "|---|---|---|---|---|"]
    for one in wanted:
        marked = "**" if one["low"] > 0 or one["high"] < 0 else ""
        value = f"{marked}{one['value']:+.3f}{marked} [{one['low']:+.3f}, {one['high']:+.3f}]"
        out.append(f"| {label[one['row']]} | {label[one['against']]} | {one['figure']} | {value} | {one['p']:.3f} |")
    return out


def draw(report: TaskReport, path: Path) -> Path | None:
    """Draw the main figures of the first test set with their intervals; None without matplotlib."""
    try:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        return None
    import matplotlib

    name = next(iter(report.sets))
    shown = [row for row in report.rows if row.options != ("constant",)]
    columns = DRAWN[report.task]
    figure = Figure(figsize=(3.2 * len(columns) + 3.4, 0.34 * len(shown) + 1.4), layout="constrained")
    FigureCanvasSVG(figure)
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for panel, column in zip(panels, columns, strict=True):
        for place, row in enumerate(shown):
            cell = report.sets[name][row.name].get(column)
            if cell and math.isfinite(cell["value"]):
                colour = "#1b6ca8" if row.models and row.role != "fresh" else "#8a8a8a"
                panel.plot([cell["low"], cell["high"]], [place, place], color=colour, linewidth=2)
                panel.plot([cell["value"]], [place], "o", color=colour, markersize=5)
        panel.set_title(f"{name}: {column}", fontsize=10)
        panel.grid(axis="x", color="#dddddd")
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(shown)), [row.label for row in shown], fontsize=9)
    panels[0].invert_yaxis()
    with matplotlib.rc_context({"svg.hashsalt": "tertia"}):
        figure.savefig(path, metadata={"Date": None})
    return path


def _page(report: TaskReport, command: str, drawing: Path | None) -> list[str]:
    head = [
        f"# {report.task}: results", "",
        f"Written by `{command}`.", "",
        f"Data: {report.data}{' (' + ', '.join(report.options) + ')' if report.options else ''}; {report.citation}.",
        "Examples: " + ", ".join(f"{name} {count}" for name, count in report.n_examples.items()) + ".",
        f"Every trained row: mean of {report.n_seeds} seeds [95 % interval over resampled "
        f"{GROUPS[report.task]}, none of fewer than {FEWEST_GROUPS}]. "
        "The epoch of each run, and its threshold where it has one, were chosen on validation examples.",
        *NOTES[report.task], "",
    ]  # fmt: skip
    if not report.leaks and any(row.models for row in report.rows):
        head += ["Neighbours of the test proteins among the pre-training chains were not looked for: no such chains "
                 "were given, and the models do not keep theirs. What the corpus of shipped weights was cleared of "
                 "stands in their card.", ""]  # fmt: skip
    if drawing:
        head += [f"![main figures with intervals]({drawing.name})", ""]
    for name in report.sets:
        head += [f"## {name} ({report.n_examples[name]})", "", *_leak_line(report, name), *table(report, name), ""]
        gained = differences(report, name)
        head += ["Paired differences (bold: the interval leaves out 0):", "", *gained, ""] if gained else []
    for name in report.leaks:
        if name not in report.sets:
            head += [f"## {name} (0)", "", *_leak_line(report, name), "Nothing is left to score.", ""]
    head += ["## Rows", ""]
    head += [f"- {row.label}: {_explained(row)}" for row in report.rows]
    return head


def _explained(row) -> str:
    options = " ".join(f"`{option}`" for option in row.options)
    if row.full:
        first = " ".join(f"`{option}`" for option in row.first)
        return f"first {first} on embeddings `{row.models}`, then {options} on the model too"
    return options + (f"; embeddings `{row.models}`" if row.models else "; no embeddings")


def _leak_line(report: TaskReport, name: str) -> Sequence[str]:
    if name not in report.leaks:
        return ()
    return (f"{report.leaks[name]} examples have a neighbour at 30 % identity among the pre-training chains and are "
            "left out here.", "")  # fmt: skip


def _cell(value: dict[str, float] | None) -> str:
    if value is None or not math.isfinite(value["value"]):
        return "-"
    interval = f" [{value['low']:.3f}, {value['high']:.3f}]" if math.isfinite(value["low"]) else ""
    return f"{value['value']:.3f}{interval}"


def _finite(value):
    """Return JSON values with None for what is not finite."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
