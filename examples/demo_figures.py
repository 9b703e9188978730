"""The figures of the demo's report, each a function from arrays to a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

INK, QUIET, FAINT = "#1d2433", "#6b7385", "#d9dde5"
BLUE, RUST, GREEN, GOLD = "#2b5c9e", "#c2552d", "#3c8468", "#c9962f"
COLOURS = (BLUE, RUST, GREEN, GOLD, "#7a5195", "#4aa3b5", "#8a6d4b", "#b04a7a")

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
plt.rcParams.update(STYLE)


def loss_curves(steps: Sequence[float], losses: Sequence[float], valid: Sequence[tuple[float, float]]) -> Figure:
    """Draw the training loss (each step, and smoothed) and the validation loss; 1 = a network that predicts nothing."""
    figure, axes = plt.subplots(figsize=(7.2, 3.0), layout="constrained")
    axes.axhline(1.0, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.text(
        1.0, 1.005, "predicting nothing", color=QUIET, ha="right", va="bottom", transform=axes.get_yaxis_transform()
    )
    axes.plot(steps, losses, color=BLUE, alpha=0.22, linewidth=0.8)
    axes.plot(steps, smoothed(losses), color=BLUE, linewidth=1.8, label="training")
    if valid:
        axes.plot(
            *zip(*valid, strict=True), color=RUST, linewidth=1.8, marker="o", markersize=4, label="held-out cluster"
        )
    axes.set(xlabel="optimiser step", ylabel="normalised loss", xlim=(0, max(steps)), ylim=(0, None))
    axes.legend(loc="lower left")
    return figure


def smoothed(values: Sequence[float], *, share: float = 0.08) -> np.ndarray:
    """Return the running mean over a share of all values, narrower at the ends."""
    values = np.asarray(values, dtype=float)
    half = max(1, int(len(values) * share / 2))
    total = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def level_curve(sigmas: Sequence[float], losses: Sequence[float]) -> Figure:
    """Draw the normalised loss against the noise level."""
    figure, axes = plt.subplots(figsize=(7.2, 2.6), layout="constrained")
    axes.axhline(1.0, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot(sigmas, losses, color=RUST, linewidth=1.6, marker="o", markersize=3.5)
    axes.set(xscale="log", xlabel="noise on each coordinate, σ (Å)", ylabel="normalised loss", ylim=(0, None))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return figure


def distance_maps(maps: Mapping[str, np.ndarray], note: str) -> Figure:
    """Draw distance maps (Å) side by side above how far each is from the first one; the note fills the empty place."""
    figure, rows = plt.subplots(2, len(maps), figsize=(8.4, 5.7), layout="constrained", sharex=True, sharey=True)
    native = next(iter(maps.values()))
    for axes, (title, distance) in zip(rows[0], maps.items(), strict=True):
        above = axes.imshow(
            distance, cmap="viridis_r", vmin=0, vmax=min(50.0, float(np.nanmax(native))), rasterized=True
        )
        axes.set_title(title)
    for axes, distance in list(zip(rows[1], maps.values(), strict=True))[1:]:
        below = axes.imshow(distance - native, cmap="RdBu_r", vmin=-6, vmax=6, rasterized=True)
    for axes in rows.flat:
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    for axes in rows[1]:
        axes.set_xlabel("residue")
    rows[1, 0].axis("off")
    rows[1, 0].text(0.0, 0.98, note, transform=rows[1, 0].transAxes, va="top", linespacing=1.7)
    rows[0, 0].tick_params(labelbottom=True)
    rows[1, 1].tick_params(labelleft=True)
    figure.colorbar(above, ax=rows[0], shrink=0.85, label="distance (Å)", pad=0.01).outline.set_visible(False)
    figure.colorbar(below, ax=rows[1], shrink=0.85, label="error (Å)", pad=0.01).outline.set_visible(False)
    return figure


def residue_heat_map(residue: np.ndarray, seen: np.ndarray, turn: np.ndarray) -> Figure:
    """Draw embedding channels (rows, sorted by likeness) against residues, under the CA(i)-CA(i+3) distance."""
    heights = {"height_ratios": [1, 5], "hspace": 0.06}
    figure, (top, axes) = plt.subplots(2, 1, figsize=(8.4, 4.2), sharex=True, gridspec_kw=heights, layout="constrained")
    top.fill_between(np.arange(len(turn)), 4, 12, where=turn < 6.3, color=RUST, alpha=0.18, linewidth=0, step="mid")
    top.plot(turn, color=INK, linewidth=0.9)
    top.set(ylabel="i to i+3 (Å)", ylim=(4, 12), yticks=[5, 10])
    scaled = (residue - residue[seen].mean(0)) / np.maximum(residue[seen].std(0), 1e-6)
    values = np.where(seen[:, None], scaled, np.nan).T[channel_order(scaled[seen])]
    picture = axes.imshow(
        values, aspect="auto", cmap="RdBu_r", vmin=-2.5, vmax=2.5, rasterized=True, interpolation="nearest"
    )
    axes.set_facecolor("#eceef2")
    axes.set(xlabel="residue", ylabel=f"{residue.shape[1]} channels", yticks=[])
    axes.spines[:].set_visible(False)
    figure.colorbar(
        picture, ax=[top, axes], shrink=0.6, pad=0.01, label="from the channel's mean (sd)"
    ).outline.set_visible(False)
    return figure


def channel_order(residue: np.ndarray) -> np.ndarray:
    """Return the channels by their angle in the plane of two principal components, so that like stands by like."""
    _, _, axes = np.linalg.svd(residue - residue.mean(0), full_matrices=False)
    return np.argsort(np.arctan2(axes[1], axes[0]))


def chain_map(
    vectors: np.ndarray, names: Sequence[str], groups: Sequence[str], lengths: Sequence[int], *, title: str
) -> Figure:
    """Draw the chains in the plane of the first two principal components of their protein vectors."""
    centred = vectors - vectors.mean(0)
    _, scale, axes_of_space = np.linalg.svd(centred, full_matrices=False)
    plane = centred @ axes_of_space[:2].T
    share_percent = 100.0 * scale[:2] ** 2 / (scale**2).sum()
    figure, axes = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
    for group, colour in zip(dict.fromkeys(groups), COLOURS, strict=False):
        member = [k for k, g in enumerate(groups) if g == group]
        sizes = 18 + 0.16 * np.asarray(lengths)[member]
        axes.scatter(*plane[member].T, s=sizes, color=colour, alpha=0.75, linewidth=0, label=f"{group} ({len(member)})")
    labelled: list[np.ndarray] = []
    spread = np.ptp(plane, axis=0)
    for point, name in zip(plane, names, strict=True):
        if all((abs(point - other) > spread * (0.05, 0.035)).any() for other in labelled):
            axes.annotate(name, point, xytext=(5, 4), textcoords="offset points", fontsize=8, color=QUIET)
            labelled.append(point)
    axes.set(xlabel=f"first component ({share_percent[0]:.0f} % of the variance)",
             ylabel=f"second component ({share_percent[1]:.0f} %)", xticks=[], yticks=[])  # fmt: skip
    axes.set_title(title)
    axes.margins(0.12)
    axes.legend(loc="best", handletextpad=0.3)
    return figure
