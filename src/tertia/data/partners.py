"""Which chains are shown together in an epoch: pairs that bind, random pairs of the same proteins, or both."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from tertia.data.pairs import Pairs, pair_keys

KINDS = ("binding", "random", "half")
_PATIENCE = 100
"""Rounds of tried swaps, none of which helped, after which random pairs are given up."""


@dataclass(frozen=True, eq=False)
class Draw:
    """The pairs of one epoch, in random order."""

    rows: np.ndarray  # (n, 2) int64 positions in the store, the two chains of a pair in random order
    binds: np.ndarray  # (n,) bool, False for random pairs
    n_capped: int  # binding pairs that were left out because a protein of theirs had enough
    n_dropped: int  # random pairs for which no partner was left


@dataclass(frozen=True, eq=False)
class Pairing:
    """The pairs of a store, and what an epoch takes of them."""

    pairs: Pairs
    kind: str  # one of KINDS; "half" is one random pair a binding one
    most: int = 0  # binding pairs of one protein in an epoch; 0 = all

    def digest(self) -> str:
        """Return a hash of all that decides which pairs are drawn, other than the seed."""
        return hashlib.sha256(f"{self.pairs.digest()} {self.kind} {self.most}".encode()).hexdigest()

    def draw(self, rows: np.ndarray, generator: np.random.Generator) -> Draw:
        """Return an epoch of some of the pairs (`Pairs.among`), see `partners`."""
        return partners(self.pairs, rows, kind=self.kind, most=self.most, generator=generator)

    def fixed(self, positions: np.ndarray) -> np.ndarray:
        """Return (n, 2) the binding pairs among these positions, always in the same order, to validate on."""
        rows = self.pairs.among(positions)
        return np.stack([self.pairs.first[rows], self.pairs.second[rows]], axis=1)


def partners(
    pairs: Pairs, rows: np.ndarray, *, kind: str, generator: np.random.Generator, most: int = 0
) -> Draw:  # fmt: skip
    """Draw the pairs of one epoch.

    Random pairs are the binding ones with their second chains dealt out anew within each organism, so every protein
    has as many random partners as binding ones, and how often it comes tells nothing. A random pair is never one of
    `pairs`, in either order and whatever part of the split it is in, and never a chain with itself: where dealing
    makes such a pair, it swaps partners with another one, and is dropped when no swap helps.

    Parameters
    ----------
    rows: (n,) which of the pairs to draw from, those of one part of the split.
    kind: "binding", "random", or "half": as many of either.
    most: binding pairs of one protein, at most; 0 = all. Which ones is drawn. Random pairs are made from what is left.
    """
    chosen = _capped(pairs, rows, most, generator) if most else rows
    binding = _turned(pairs, chosen, generator)
    random, fits = binding[:0], np.ones(0, bool)
    if kind != "binding":
        random, fits = rematched(_turned(pairs, chosen, generator), pairs.organism[chosen], pairs.keys, generator)
        random = random[fits]
        binding = generator.permutation(binding)[: len(random) if kind == "half" else 0]
    order = generator.permutation(len(binding) + len(random))
    return Draw(
        np.concatenate([binding, random])[order], order < len(binding),
        n_capped=len(rows) - len(chosen), n_dropped=int((~fits).sum()),
    )  # fmt: skip


def rematched(
    rows: np.ndarray, group: np.ndarray, known: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Deal out the second chains anew within each group.

    Parameters
    ----------
    rows: (n, 2) positions.
    group: (n,) organism of each pair.
    known: sorted keys (`pair_keys`) of pairs that must not arise.

    Returns
    -------
    rows: (n, 2) the same first chains, and of each group the same second chains in another order.
    fits: (n,) bool, False where the pair is known or a chain with itself, and no swap was found.
    """
    first, second, n_rows = rows[:, 0], rows[:, 1].copy(), len(rows)
    # Two orders of the same groups, one behind the other: the second one shuffles within each of them.
    members = np.argsort(group, kind="stable")
    second[members] = rows[np.lexsort((generator.random(n_rows), group)), 1]
    _, code, size = np.unique(group, return_inverse=True, return_counts=True)
    start = np.cumsum(size) - size

    def fit(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        keys = pair_keys(one, two)
        place = np.searchsorted(known, keys)
        return (one != two) & (known[np.minimum(place, len(known) - 1)] != keys) if len(known) else one != two

    fits = fit(first, second)
    futile = 0
    while futile < _PATIENCE and not fits.all():
        wrong = generator.permutation(np.flatnonzero(~fits))
        draw = (generator.random(len(wrong)) * size[code[wrong]]).astype(np.int64)
        other = members[start[code[wrong]] + draw]
        apart = _apart(wrong, other)
        wrong, other = wrong[apart], other[apart]
        better = fit(first[wrong], second[other]) & fit(first[other], second[wrong])
        wrong, other = wrong[better], other[better]
        second[wrong], second[other] = second[other], second[wrong]
        fits[wrong] = fits[other] = True
        futile = 0 if len(wrong) else futile + 1
    return np.stack([first, second], axis=1), fits


def _apart(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return (n,) bool, which swaps touch no row that an earlier one of them touches."""
    touched = np.stack([one, two], axis=1).ravel()
    first_touch = np.zeros(len(touched), bool)
    first_touch[np.unique(touched, return_index=True)[1]] = True
    return first_touch.reshape(-1, 2).all(axis=1)


def _turned(pairs: Pairs, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return (n, 2) int64 positions, the chains of each pair in random order."""
    both = np.stack([pairs.first[rows], pairs.second[rows]], axis=1).astype(np.int64)
    turned = generator.random(len(rows)) < 0.5
    both[turned] = both[turned][:, ::-1]
    return both


def _capped(pairs: Pairs, rows: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """Return some of the rows, so that no chain is in more than `most` of them; which ones is drawn."""
    shuffled = generator.permutation(rows)
    ends = zip(pairs.first[shuffled].tolist(), pairs.second[shuffled].tolist(), strict=True)
    left: dict[int, int] = {}
    kept = np.zeros(len(shuffled), bool)
    for number, (one, two) in enumerate(ends):
        if left.get(one, most) > 0 and left.get(two, most) > 0:
            left[one], left[two] = left.get(one, most) - 1, left.get(two, most) - 1
            kept[number] = True
    return np.sort(shuffled[kept])
