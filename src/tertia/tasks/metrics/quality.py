"""Score quality assessment: how well predicted qualities of models (decoys) agree with the true ones.

Global scores (GDT_TS ...) are compared over all decoys of all targets and within targets, local ones (lDDT per residue)
over all residues and within decoys. The figures are those of GraphQA (Baldassarre et al. 2021) and Guo et al. (2022).

The published code gives a group without any truth the best figures there are (error 0, correlation 1, loss 0), which
lifts every mean over groups. The mode "published" repeats that; "strict" leaves such groups out. In both, a figure
that is undefined in a group (correlation with a constant prediction, a single decoy) is NaN and the mean skips it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tertia.tasks.metrics.values import (
    complete,
    kendall,
    pearson,
    root_mean_square_error,
    rows_of_groups,
    spearman,
)

Mode = Literal["strict", "published"]


@dataclass(frozen=True)
class Agreement:
    """Figures of one predicted score, what they were taken over, and their values group by group."""

    value: dict[str, float]
    n_counted: dict[str, int]  # groups behind each figure that is a mean over groups; rows behind the others
    n_rows: int  # with truth
    n_without_truth: int  # rows left out
    n_empty: int  # groups without any truth: left out (strict), or counted as perfect (published)
    groups: np.ndarray  # (G,) labels of all groups
    by_group: dict[str, np.ndarray]  # (G,) float64 each; NaN where a group does not count


def global_agreement(
    truth: np.ndarray, predicted: np.ndarray, *, target: np.ndarray, mode: Mode = "strict", fewest: int = 1
) -> Agreement:
    """Compare predicted with true scores of whole decoys.

    Figures: RMSE, R, rho, tau over all decoys; RMSE_target, R_target, rho_target, tau_target, z, FRL and FRL_5 within
    each target, then the plain mean over targets. z: true z-score (population deviation) of the decoy ranked first;
    FRL: what it loses to the best decoy; FRL_5: the same for the best of the first five. The first row wins ties.

    A target of one decoy has FRL 0 and one of up to five FRL_5 0 whatever the prediction: set `fewest` to leave out
    targets with fewer decoys.

    Parameters
    ----------
    truth: (n,) one row per decoy, usually 0-1; NaN where unknown, and the row is left out.
    predicted: (n,) on the same scale.
    target: (n,) labels.
    mode: what a target without any truth does, see above; FRL_5 (absent from the published code) as FRL.
    fewest: decoys with truth that a target needs for the means over targets.

    Raises
    ------
    ValueError: predictions that are not finite where there is truth, arrays of different lengths.
    """
    pooled = {"RMSE": root_mean_square_error, "R": pearson, "rho": spearman, "tau": kendall}
    within = {f"{name}_target": function for name, function in pooled.items()}
    within |= {"z": first_rank_z, "FRL": first_rank_loss, "FRL_5": first_five_loss}
    return _agreement(truth, predicted, target, pooled=pooled, within=within, mode=mode, fewest=fewest)


def local_agreement(
    truth: np.ndarray, predicted: np.ndarray, *, decoy: np.ndarray, mode: Mode = "strict", fewest: int = 1
) -> Agreement:
    """Compare predicted with true scores of residues.

    Figures: RMSE, R, rho over all residues of all decoys; RMSE_decoy, R_decoy, rho_decoy within each decoy, then the
    plain mean over decoys. Parameters as in `global_agreement`, with one row per residue.

    Parameters
    ----------
    decoy: (n,) labels that differ between the decoys of different targets.
    """
    pooled = {"RMSE": root_mean_square_error, "R": pearson, "rho": spearman}
    within = {f"{name}_decoy": function for name, function in pooled.items()}
    return _agreement(truth, predicted, decoy, pooled=pooled, within=within, mode=mode, fewest=fewest)


def first_rank_z(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the z-score of truth at the largest prediction; NaN when all true values are equal."""
    truth, predicted = complete(truth, predicted)
    if len(truth) == 0 or np.ptp(truth) == 0:
        return np.nan
    return float((truth[np.argmax(predicted)] - truth.mean()) / truth.std())


def first_rank_loss(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the largest true value minus that at the largest prediction."""
    truth, predicted = complete(truth, predicted)
    return float(truth.max() - truth[np.argmax(predicted)]) if len(truth) else np.nan


def first_five_loss(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the largest true value minus the largest among the five largest predictions."""
    truth, predicted = complete(truth, predicted)
    first = np.argsort(-predicted, kind="stable")[:5]
    return float(truth.max() - truth[first].max()) if len(truth) else np.nan


def _agreement(
    truth: np.ndarray, predicted: np.ndarray, group: np.ndarray, *, pooled: dict[str, Callable[..., float]],
    within: dict[str, Callable[..., float]], mode: Mode, fewest: int,
) -> Agreement:  # fmt: skip
    truth, predicted, group = np.asarray(truth, float), np.asarray(predicted, float), np.asarray(group)
    if not truth.shape == predicted.shape == group.shape or truth.ndim != 1:
        raise ValueError(f"truth {truth.shape}, prediction {predicted.shape} and groups {group.shape} differ in shape")
    if mode not in ("strict", "published"):
        raise ValueError(f"mode is {mode!r}, allowed are 'strict' and 'published'")
    known = ~np.isnan(truth)
    labels, parts = rows_of_groups(group)
    parts = [rows[known[rows]] for rows in parts]
    size = np.array([len(rows) for rows in parts], dtype=int)
    counts = (size >= max(fewest, 1)) | ((size == 0) & (mode == "published"))
    by_group = {
        name: np.array([
            _of_rows(name, function, truth[rows], predicted[rows], mode) if counted else np.nan
            for rows, counted in zip(parts, counts, strict=True)
        ])
        for name, function in within.items()
    }  # fmt: skip
    n_known = np.count_nonzero(known)
    value = {name: _of_rows(name, f, truth[known], predicted[known], mode) for name, f in pooled.items()}
    n_counted = dict.fromkeys(pooled, int(n_known))
    for name, values in by_group.items():
        defined = values[~np.isnan(values)]
        value[name], n_counted[name] = float(defined.mean()) if len(defined) else np.nan, len(defined)
    return Agreement(
        value=value, n_counted=n_counted, n_rows=int(n_known), n_without_truth=int(len(truth) - n_known),
        n_empty=int(np.count_nonzero(size == 0)), groups=labels, by_group=by_group,
    )  # fmt: skip


def _of_rows(name: str, function: Callable[..., float], truth: np.ndarray, predicted: np.ndarray, mode: Mode) -> float:
    """Return a figure of one group, in published mode also of an empty one: a correlation of 1, anything else 0."""
    if len(truth) == 0 and mode == "published":
        return 1.0 if name.split("_")[0] in ("R", "rho", "tau") else 0.0
    return function(truth, predicted)
