"""Draw the loss curves of a run from its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tertia.training.log import read_lines

NOTICE = "note: loss curves are not drawn: matplotlib is not installed (pip install 'tertia[plot]')"


def draw(folder: Path) -> str:
    """Write loss.png and loss.svg into a run folder; return a notice where that is not possible, else ""."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return NOTICE
    lines = read_lines(folder)
    if not any(line["kind"] == "train" for line in lines):
        return ""
    with mpl.rc_context({"svg.hashsalt": "tertia", "font.size": 9}):
        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_course(left, lines)
        draw_groups(right, lines)
        figure.savefig(folder / "loss.png", dpi=120)
        figure.savefig(folder / "loss.svg", metadata={"Date": None})  # the same run gives the same bytes
    return ""


def draw_course(axes: Any, lines: list[dict[str, Any]]) -> None:
    """Draw the loss over the steps; 1 is predicting nothing."""
    styles = {"train": ("training", {"lw": 0.7, "alpha": 0.7}), "valid": ("validation", {"marker": ".", "lw": 1.2})}
    for kind, (label, style) in styles.items():
        chosen = [line for line in lines if line["kind"] == kind]
        if chosen:
            axes.plot([line["step"] for line in chosen], [line["loss"] for line in chosen], label=label, **style)
    axes.axhline(1.0, color="grey", lw=0.6, ls=":")
    axes.set(xlabel="step", ylabel="normalised loss", ylim=(0, 1.3))
    axes.legend()


def draw_groups(axes: Any, lines: list[dict[str, Any]]) -> None:
    """Draw the loss of each group at the first and the last line of its kind."""
    scored = [line for line in lines if line["kind"] == "valid"] or [line for line in lines if line["kind"] == "train"]
    for line, style in ((scored[0], {"color": "grey", "lw": 0.8}), (scored[-1], {"marker": "."})):
        names, losses = list(line["groups"]), list(line["groups"].values())
        axes.plot(range(len(names)), losses, label=f"step {line['step']:,}", **style)
    every = max(len(names) // 8, 1)
    axes.set_xticks(range(0, len(names), every), names[::every])
    axes.axhline(1.0, color="grey", lw=0.6, ls=":")
    axes.set(xlabel="group (distmap: noise level, Å)", ylabel="normalised loss", ylim=(0, 1.3))
    axes.legend()
