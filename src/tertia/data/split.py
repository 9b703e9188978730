"""Part chains into train, valid and test, whole clusters at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from tertia.errors import InputError

PARTS = ("train", "valid", "test")
FRACTIONS = (0.90, 0.05, 0.05)


def split_clusters(
    cluster: Sequence[int], names: Sequence[str], *, fractions: Sequence[float] = FRACTIONS, seed: int = 0
) -> list[str]:
    """Return the part of each chain; all chains of a cluster go to the same one.

    A cluster's part follows from a hash of its name, so it stays when other clusters come or go. Only where a part
    would be empty does it get the cluster whose hash is nearest (as far as there are clusters enough).

    Parameters
    ----------
    cluster: (n,) cluster number of each chain.
    names: (n,) what the cluster of each chain is named by, the same for all its chains: its representative's sequence.
    fractions: of clusters, for train, valid and test; they add up to 1.
    seed: another number gives another split.
    """
    if len(fractions) != len(PARTS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError("split", found=f"fractions {tuple(fractions)}", allowed="three numbers >= 0 that add up to 1")
    place = {number: _place(name, seed) for number, name in zip(cluster, names, strict=True)}
    part = {number: _part(value, fractions) for number, value in place.items()}
    for wanted, fraction in zip(PARTS, fractions, strict=True):
        if fraction > 0 and len(place) >= sum(f > 0 for f in fractions) and wanted not in part.values():
            part[_nearest(wanted, place, part, fractions)] = wanted
    return [part[number] for number in cluster]


def _place(name: str, seed: int) -> float:
    """Return a number in [0, 1) that looks random but follows from the name."""
    digest = blake2b(name.encode(), digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(digest, "big") / 2**64


def _bounds(fractions: Sequence[float]) -> list[tuple[float, float]]:
    starts = [sum(fractions[:k]) for k in range(len(fractions))]
    return [(start, start + fraction) for start, fraction in zip(starts, fractions, strict=True)]


def _part(value: float, fractions: Sequence[float]) -> str:
    # Sums of fractions may end just below 1.
    inside = [name for name, (low, high) in zip(PARTS, _bounds(fractions), strict=True) if low <= value < high]
    return inside[0] if inside else [name for name, fraction in zip(PARTS, fractions, strict=True) if fraction > 0][-1]


def _nearest(wanted: str, place: dict[int, float], part: dict[int, str], fractions: Sequence[float]) -> int:
    """Return the cluster nearest to the interval of a part, out of the largest of the other parts."""
    low, high = _bounds(fractions)[PARTS.index(wanted)]
    largest = Counter(part.values()).most_common(1)[0][0]
    distance = {k: max(low - place[k], place[k] - high, 0.0) for k in place if part[k] == largest}
    return min(distance, key=lambda k: (distance[k], place[k]))
