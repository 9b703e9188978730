"""How close a model of a protein is to its native structure: lDDT, TM-score, GDT_TS, GDT_HA, RMSD.

All take coordinates in register: row i of the model and of the native structure are the same residue (or atom), NaN
where it is missing. lDDT needs no superposition; the others are the best over many (`superposition.search`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tertia.structure.geometry import distance_map, superpose
from tertia.structure.superposition import search

LDDT_RADIUS = 15.0
LDDT_THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
GDT_TS_CUTOFFS = (1.0, 2.0, 4.0, 8.0)
GDT_HA_CUTOFFS = (0.5, 1.0, 2.0, 4.0)
_BLOCK = 1024  # rows of a distance map at a time, so that all atoms of a large protein fit into memory


@dataclass(frozen=True)
class GlobalQuality:
    """Scores of a whole model against one native structure."""

    n_native: int  # residues of the native structure, which the scores are divided by
    n_aligned: int  # residues that both have
    lddt: float  # 0-1, over all distances
    tm_score: float  # 0-1
    gdt_ts: float  # 0-1
    gdt_ha: float  # 0-1
    rmsd: float  # Angstrom, over the residues that both have


@dataclass(frozen=True)
class Lddt:
    """Local distance difference test."""

    residue: np.ndarray  # (L,) float64 in 0-1; NaN without a native point, or without any native distance to keep
    whole: float  # 0-1, over all distances: residues with many neighbours count more


def global_quality(native: np.ndarray, model: np.ndarray) -> GlobalQuality:
    """Compare C-alpha coordinates, (L, 3) Angstrom each, in register.

    Raises ValueError when fewer than 3 residues are there in both.
    """
    in_native, both = np.isfinite(native).all(axis=1), _both(native, model)
    n_native, n_aligned = np.count_nonzero(in_native), np.count_nonzero(both)
    rmsd = superpose(model, native)[2]
    cutoffs = sorted({*GDT_TS_CUTOFFS, *GDT_HA_CUTOFFS})
    found = search(model[both], native[both], scale=tm_scale(n_native), cutoffs=cutoffs)
    within = {cutoff: count / n_native for cutoff, count in zip(cutoffs, found.n_within, strict=True)}
    return GlobalQuality(
        n_native=int(n_native), n_aligned=int(n_aligned), lddt=lddt(native, model).whole,
        tm_score=found.tm_sum / n_native,
        gdt_ts=sum(within[cutoff] for cutoff in GDT_TS_CUTOFFS) / len(GDT_TS_CUTOFFS),
        gdt_ha=sum(within[cutoff] for cutoff in GDT_HA_CUTOFFS) / len(GDT_HA_CUTOFFS), rmsd=rmsd,
    )  # fmt: skip


def tm_scale(n_residues: int) -> float:
    """Return d0 of the TM-score, Angstrom (Zhang & Skolnick 2004, eq. 5; at least 0.5 as in their program)."""
    return max(1.24 * np.cbrt(n_residues - 15) - 1.8, 0.5) if n_residues > 15 else 0.5


def lddt(
    native: np.ndarray, model: np.ndarray, *, residue_of_point: np.ndarray | None = None, radius: float = LDDT_RADIUS,
    thresholds: tuple[float, ...] = LDDT_THRESHOLDS,
) -> Lddt:  # fmt: skip
    """Return the local distance difference test (Mariani et al. 2013), without stereochemical checks.

    The share of the native distances below `radius` that the model keeps within each threshold, averaged over the
    thresholds. A distance to a point that the model lacks is not kept.

    Parameters
    ----------
    native, model: (N, 3) Angstrom, points in register (C-alphas, or all atoms); NaN where missing.
    residue_of_point: (N,) int, 0-based, for all atoms: distances within a residue do not count. Default: every point is
        a residue.
    """
    residue = np.arange(len(native)) if residue_of_point is None else np.asarray(residue_of_point)
    native, model = native.astype(np.float64), model.astype(np.float64)
    there = np.isfinite(native).all(axis=1)
    length = int(residue.max(initial=-1)) + 1
    kept, total = np.zeros(length), np.zeros(length)
    native, model, residue = native[there], model[there], residue[there]
    for start in range(0, len(native), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distance = distance_map(native[rows], native)
        near = (distance < radius) & (residue[rows, None] != residue)
        error = np.abs(distance_map(model[rows], model)[near] - distance[near])
        n_kept = sum(error < threshold for threshold in thresholds)  # NaN, a missing point, is never less
        row = residue[rows][near.nonzero()[0]]
        kept += np.bincount(row, n_kept / len(thresholds), minlength=length)
        total += np.bincount(row, minlength=length)
    share = np.divide(kept, total, out=np.full(length, np.nan), where=total > 0)
    return Lddt(share, float(kept.sum() / total.sum()) if total.any() else float("nan"))


def _both(native: np.ndarray, model: np.ndarray) -> np.ndarray:
    return np.isfinite(native).all(axis=1) & np.isfinite(model).all(axis=1)
