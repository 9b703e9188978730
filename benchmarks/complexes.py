"""Complexes of two different chains from structure files, with the contacts between them, none alike to another."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tertia.errors import InputError
from tertia.sequence.clusters import clusters
from tertia.structure.chain import Chain
from tertia.structure.read import read_inputs

SHORTEST, LONGEST = 30, 500  # residues of a chain
NEAR = 8.0  # Angstrom between C-betas of residues in contact, C-alphas where there is no C-beta
LEAST_CONTACTS = 10
RULE = (
    f"two chains of {SHORTEST} to {LONGEST} residues each in one file (as deposited, no assembly built), with at least "
    f"{LEAST_CONTACTS} contacts between them: C-betas less than {NEAR:g} Å apart, C-alphas where there is no C-beta. The "
    "chains are of different clusters at 30 % identity, and no cluster occurs in two complexes"
)


@dataclass(frozen=True)
class Complex:
    """Two chains that touch."""

    chains: tuple[Chain, Chain]
    contact: np.ndarray  # (L_A, L_B) bool
    seen: np.ndarray  # (L_A, L_B) bool, cells of residues that both have coordinates

    @property
    def name(self) -> str:
        """Entry and names of the chains, "1abc A B"."""
        return f"{self.chains[0].entry} {self.chains[0].id} {self.chains[1].id}"

    @property
    def base_rate(self) -> float:
        """Share of contacts among the cells that are seen."""
        return float(self.contact.sum() / self.seen.sum())


def contacts(first: Chain, second: Chain) -> tuple[np.ndarray, np.ndarray]:
    """Return which residues are in contact and which cells are known, (L_A, L_B) bool each."""
    one, two = (_centres(chain) for chain in (first, second))
    square = np.square(one).sum(1)[:, None] + np.square(two).sum(1) - 2.0 * one @ two.T
    return square < NEAR**2, np.isfinite(square)  # NaN is no contact


def _centres(chain: Chain) -> np.ndarray:
    """Return (L, 3) float64 Angstrom, C-betas or C-alphas, NaN where a residue has neither."""
    beta = chain.coord_of("CB", element="C")
    return np.where(np.isfinite(beta), beta, chain.alpha).astype(np.float64)


def touching(inputs: Sequence[str], *, jobs: int = 1) -> tuple[list[Complex], Counter]:
    """Return all pairs of chains that touch, and how many files and pairs there were of each other kind."""
    found, count = [], Counter()
    for result in read_inputs(inputs, jobs=jobs):
        if isinstance(result, InputError):
            print(result, file=sys.stderr)
            count["files that cannot be read"] += 1
            continue
        count["files"] += 1
        for first, second in combinations(result.chains, 2):
            kind, one = _judged(first, second)
            count[kind] += 1
            found += [one] if one else []
    return found, count


def _judged(first: Chain, second: Chain) -> tuple[str, Complex | None]:
    """Return what kind of pair two chains of a file are, and the complex where they are one."""
    if first.sequence == second.sequence:
        return "pairs of equal chains", None
    if not all(SHORTEST <= len(chain) <= LONGEST for chain in (first, second)):
        return "pairs with a chain too short or too long", None
    contact, seen = contacts(first, second)
    if contact.sum() < LEAST_CONTACTS:
        return "pairs with too few contacts", None
    return "pairs that touch", Complex((first, second), contact, seen)


def unlike(pairs: Sequence[Complex], *, threads: int = 1) -> tuple[list[Complex], Counter, str]:
    """Return pairs of two clusters, by name, of which each is in one pair only; why others were not taken; the tool."""
    sequences = list(dict.fromkeys(chain.sequence for one in pairs for chain in one.chains))
    groups = clusters(sequences, identity=0.3, threads=threads)
    cluster = dict(zip(sequences, groups.cluster.tolist(), strict=True))
    kept, used, count = [], set(), Counter()
    for one in sorted(pairs, key=lambda one: one.name):
        both = {cluster[chain.sequence] for chain in one.chains}
        if len(both) < 2:
            count["pairs that touch, of one cluster"] += 1
        elif both & used:
            count["pairs that touch, with a cluster that was taken before"] += 1
        else:
            used |= both
            kept.append(one)
    return kept, count, groups.tool
