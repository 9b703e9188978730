"""The backbone that decoys are made of: the residues with a C-alpha, in the order of the chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from tertia.structure.chain import Atoms, Chain
from tertia.structure.geometry import distance_map

FARTHEST_BOND = 4.5
"""CA-CA distance in Angstrom above which two residues that follow each other count as the two sides of a gap."""
CONTACT = 10.0
"""CA-CA distance in Angstrom below which two residues are neighbours."""


@dataclass(frozen=True, eq=False)
class Trace:
    """M residues with a C-alpha; N and C with them, or nothing but C-alphas."""

    name: str  # key of the chain
    letters: str  # (M,) one letter a residue
    residue: np.ndarray  # (M,) int, position in the chain
    alpha: np.ndarray  # (M, 3) float64, Angstrom
    n: np.ndarray | None  # (M, 3) float64, Angstrom; None: C-alphas only
    c: np.ndarray | None  # (M, 3) float64, Angstrom; None: C-alphas only

    @classmethod
    def of(cls, chain: Chain) -> Trace:
        """Take the backbone of a chain; residues that lack N or C get them from their C-alphas, if others have both."""
        residue = np.flatnonzero(chain.seen)
        alpha = chain.alpha[residue].astype(np.float64)
        n, c = (chain.coord_of(name, element=name)[residue].astype(np.float64) for name in ("N", "C"))
        letters = "".join(chain.sequence[k] for k in residue)
        whole = np.isfinite(n[:, 0]) & np.isfinite(c[:, 0])
        if 2 * np.count_nonzero(whole) < len(residue):
            return cls(chain.key, letters, residue, alpha, None, None)
        made_n, made_c = between(alpha)
        there = whole[:, None]
        return cls(chain.key, letters, residue, alpha, np.where(there, n, made_n), np.where(there, c, made_c))

    def __len__(self) -> int:
        return len(self.residue)

    @cached_property
    def bonded(self) -> np.ndarray:
        """(M - 1,) bool, whether a residue and the next are bonded."""
        near = np.linalg.norm(np.diff(self.alpha, axis=0), axis=1) < FARTHEST_BOND
        return near & (np.diff(self.residue) == 1)

    @cached_property
    def regular(self) -> np.ndarray:
        """(M,) bool, residues of helices and strands, told by CA distances along the chain."""
        second, third = along(self.alpha, 2), along(self.alpha, 3)
        second, fourth = second[: len(third)], along(self.alpha, 4)
        helix = (np.abs(second - 5.5) < 0.45) & (np.abs(third - 5.2) < 0.7)
        helix[: len(fourth)] &= np.abs(fourth - 6.2) < 1.0
        strand = (second > 6.1) & (third > 9.0)
        found = np.zeros(len(self), dtype=bool)
        for start in np.flatnonzero(helix | strand):
            found[start : start + 4] = True
        return found

    @cached_property
    def looseness(self) -> np.ndarray:
        """(M,) float64 in 0.1-1: low in helices, strands and where neighbours are many, high in loops and at ends."""
        neighbours = (distance_map(self.alpha) < CONTACT).sum(axis=1)
        exposed = 1.0 - np.argsort(np.argsort(neighbours, kind="stable"), kind="stable") / max(len(self), 1)
        value = np.where(self.regular, 0.0, 0.6) + 0.4 * exposed
        padded = np.pad(value, 1, mode="edge")
        return np.clip((padded[:-2] + 2.0 * value + padded[2:]) / 4.0, 0.1, 1.0)

    def moved(self, rotation: np.ndarray, translation: np.ndarray) -> Trace:
        """Return the trace turned, one rotation for all (3, 3) or one a residue (M, 3, 3)."""

        def place(coord: np.ndarray | None) -> np.ndarray | None:
            return None if coord is None else np.einsum("...ij,...j->...i", rotation, coord) + translation

        return replace(self, alpha=place(self.alpha), n=place(self.n), c=place(self.c))

    def taking(self, places: np.ndarray) -> Trace:
        """Return the residues at `places`, (N,) int."""
        n, c = (None if part is None else part[places] for part in (self.n, self.c))
        letters = "".join(self.letters[k] for k in places)
        return Trace(self.name, letters, self.residue[places], self.alpha[places], n, c)

    def chain(self, native: Chain) -> Chain:
        """Return the trace as a chain in the register of `native`, with N, CA, C, O, CB, or CA alone.

        Coordinates are rounded to 0.001 Angstrom, as a PDB file holds them. B-factors are 0.
        """
        columns = {"CA": self.alpha}
        if self.n is not None:
            oxygen, beta = self._oxygen(), self._beta()
            columns = {"N": self.n, "CA": self.alpha, "C": self.c, "O": oxygen, "CB": beta}
        names = np.array(list(columns))
        kept = np.ones((len(self), len(names)), dtype=bool)
        kept[:, names == "CB"] = np.array([letter != "G" for letter in self.letters])[:, None]
        row, column = np.nonzero(kept)
        coord = np.stack(list(columns.values()), axis=1)[row, column]
        name = names[column].astype("U4")
        atoms = Atoms(name, np.array([one[0] for one in name], dtype="U2"), np.round(coord, 3).astype(np.float32),
                      self.residue[row].astype(np.int32), np.ones(len(row), np.float32),
                      np.zeros(len(row), np.float32))  # fmt: skip
        return replace(native, atoms=atoms, meta={})

    def _oxygen(self) -> np.ndarray:
        """Place O in the plane of CA, C and the next N; at the end of a stretch as in an extended chain."""
        inward = unit(self.alpha - self.c)
        towards_n = self.n - self.alpha
        extended = -unit(towards_n - inward * np.einsum("ld,ld->l", towards_n, inward)[:, None])
        onward = np.concatenate([self.n[1:] - self.c[:-1], np.zeros((1, 3))])
        end = np.concatenate([~self.bonded, [True]])
        onward[end] = extended[end]
        side = unit(onward - inward * np.einsum("ld,ld->l", onward, inward)[:, None])
        angle = np.radians(120.1)
        return self.c + 1.231 * (np.cos(angle) * inward - np.sin(angle) * side)

    def _beta(self) -> np.ndarray:
        """Place CB of an L amino acid, tetrahedral on N, CA and C (1.53 Angstrom)."""
        first, second = self.alpha - self.n, self.c - self.alpha
        outward = 0.5680 * first - 0.5407 * second - 0.5827 * np.cross(first, second)
        return self.alpha + 1.53 * unit(outward)


@dataclass(frozen=True, eq=False)
class Shape:
    """What a move wants: where the residues should go, and what their surroundings along the chain should look like."""

    trace: Trace  # each residue as a rigid body; its place may still be that of the native
    alpha: np.ndarray  # (M, 3) float64, Angstrom, where the C-alphas should go
    local: np.ndarray  # (M, 3) float64, Angstrom, in which distances to the next few C-alphas are right
    loose: np.ndarray  # (M,) bool, residues around which `local` says nothing
    details: Mapping[str, object] = field(default_factory=dict)  # JSON-able, what was done at this strength


class Move(Protocol):
    """A random error of a kind, drawn but for its strength."""

    def at(self, strength: float) -> Shape:
        """Return the shape for a strength in 0-1: 0 leaves the native as it is."""


def along(alpha: np.ndarray, step: int) -> np.ndarray:
    """Return the distances of each point to the one `step` places on, (M - step,) Angstrom."""
    return np.linalg.norm(alpha[step:] - alpha[:-step], axis=1)


def between(alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Guess N and C of each residue, (M, 3) Angstrom each, from the C-alphas before and after it."""
    before = np.concatenate([2.0 * alpha[:1] - alpha[1:2], alpha[:-1]])
    after = np.concatenate([alpha[1:], 2.0 * alpha[-1:] - alpha[-2:-1]])
    back, on = unit(before - alpha), unit(after - alpha)
    out = unit(np.cross(back, on))
    return alpha + 1.458 * unit(back + 0.25 * out), alpha + 1.525 * unit(on - 0.25 * out)


def unit(vector: np.ndarray) -> np.ndarray:
    """Return vectors of length 1; a vector of length 0 becomes the x axis."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    axis = np.zeros_like(vector)
    axis[..., 0] = 1.0
    return np.where(length > 1e-9, vector / np.maximum(length, 1e-9), axis)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
