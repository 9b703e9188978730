"""Who is shown with whom: degrees are kept, interactors and selves never arise, and the generator decides all."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tertia.data.pairs import Pairs
from tertia.data.partners import KINDS, Pairing, partners


def network(n_pairs: int, n_chains: int, *, n_organisms: int = 1, seed: int = 0) -> Pairs:
    """Return distinct pairs with hubs; the chains of an organism are consecutive, as are its pairs."""
    generator = np.random.default_rng(seed)
    found: set[tuple[int, int, int]] = set()
    size = n_chains // n_organisms
    while len(found) < n_pairs:
        organism = generator.integers(n_organisms, size=n_pairs)
        ends = np.sort((size * generator.random((2, n_pairs)) ** 2).astype(int) + organism * size, axis=0)
        found |= {row for row in zip(*ends.tolist(), organism.tolist(), strict=True) if row[0] != row[1]}
    first, second, organism = np.array(sorted(found)[:n_pairs]).T
    names = tuple(f"organism_{k}" for k in range(n_organisms))
    return Pairs(first.astype(np.int32), second.astype(np.int32), organism.astype(np.int16), names)


def drawn(pairs: Pairs, kind: str, *, seed: int = 0, epoch: int = 0, most: int = 0, rows: np.ndarray | None = None):
    rows = np.arange(len(pairs)) if rows is None else rows
    return partners(pairs, rows, kind=kind, most=most, generator=np.random.default_rng((seed, epoch)))


def sets(rows: np.ndarray) -> list[frozenset[int]]:
    return [frozenset(row) for row in rows.tolist()]


def degrees(rows: np.ndarray, n: int = 1000) -> np.ndarray:
    return np.bincount(rows.ravel(), minlength=n)


def test_binding_is_every_pair_once_in_random_order_of_its_chains() -> None:
    pairs = network(2000, 500)
    draw = drawn(pairs, "binding")
    assert draw.binds.all() and draw.n_dropped == draw.n_capped == 0
    assert set(sets(draw.rows)) == set(sets(np.stack([pairs.first, pairs.second], 1))) and len(draw.rows) == 2000
    assert 0.45 < (draw.rows[:, 0] < draw.rows[:, 1]).mean() < 0.55
    assert sets(draw.rows) != sorted(sets(draw.rows), key=sorted)


def test_random_pairs_keep_degrees_and_organisms_and_are_no_interactors() -> None:
    pairs = network(3000, 600, n_organisms=3)
    draw = drawn(pairs, "random")
    assert draw.n_dropped == 0 and not draw.binds.any()
    known = set(sets(np.stack([pairs.first, pairs.second], 1)))
    assert not known & set(sets(draw.rows)) and (draw.rows[:, 0] != draw.rows[:, 1]).all()
    assert (degrees(draw.rows) == degrees(np.stack([pairs.first, pairs.second], 1))).all()
    assert (draw.rows // 200 == draw.rows[:, :1] // 200).all()  # 200 consecutive chains an organism


def test_pairs_of_other_parts_count_as_known_too() -> None:
    """Rows of the first half of a bipartite clique: nearly all that could arise is listed in the other half."""
    left, right = (grid.ravel() for grid in np.meshgrid(np.arange(12), np.arange(12, 24), indexing="ij"))
    listed = (left + right) % 12 != 0
    first, second = left[listed].astype(np.int32), right[listed].astype(np.int32)
    pairs = Pairs(first, second, np.zeros(len(first), np.int16), ("",))
    rows = np.arange(0, len(pairs), 3)
    draw = drawn(pairs, "random", rows=rows)
    known = set(sets(np.stack([first, second], 1)))
    assert not known & set(sets(draw.rows))
    assert len(draw.rows) + draw.n_dropped == len(rows)


def test_what_cannot_be_repaired_is_dropped_and_counted() -> None:
    star = Pairs(np.zeros(6, np.int32), np.arange(1, 7, dtype=np.int32), np.zeros(6, np.int16), ("",))
    for seed in range(20):
        draw = drawn(star, "random", seed=seed)
        assert len(draw.rows) + draw.n_dropped == 6
        assert (draw.rows > 0).all() and (draw.rows[:, 0] != draw.rows[:, 1]).all()  # the hub knows them all
    triangle = Pairs(np.array([0, 0, 1], np.int32), np.array([1, 2, 2], np.int32), np.zeros(3, np.int16), ("",))
    draw = drawn(triangle, "half")
    assert len(draw.rows) == 0 and draw.n_dropped == 3


def test_half_is_one_random_pair_a_binding_one_in_mixed_order() -> None:
    pairs = network(2000, 500)
    draw = drawn(pairs, "half")
    known = set(sets(np.stack([pairs.first, pairs.second], 1)))
    assert draw.binds.sum() == (~draw.binds).sum() == 2000 - draw.n_dropped
    assert [pair in known for pair in sets(draw.rows)] == draw.binds.tolist()
    assert 0.4 < draw.binds[: len(draw.binds) // 2].mean() < 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_a_protein_has_at_most_so_many_pairs_and_not_always_the_same(kind: str) -> None:
    pairs = network(2000, 500)
    before = degrees(np.stack([pairs.first, pairs.second], 1))
    one, two = (drawn(pairs, kind, most=4, epoch=epoch) for epoch in (0, 1))
    for draw in (one, two):
        for binds in (True, False):
            assert degrees(draw.rows[draw.binds == binds]).max() <= 4 < before.max()
        assert draw.n_capped > 0
    assert set(sets(one.rows)) != set(sets(two.rows))


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_follows_from_the_generator_and_changes_with_the_epoch(kind: str) -> None:
    pairs = network(500, 200)
    one, again, next_epoch, other_seed = (
        drawn(pairs, kind, seed=seed, epoch=epoch).rows for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, next_epoch) and not np.array_equal(one, other_seed)
    if kind == "random":
        assert len(set(sets(one)) & set(sets(next_epoch))) < 0.2 * len(one)


def test_what_is_validated_on_is_fixed() -> None:
    pairs = network(300, 100)
    inside = np.arange(0, 100, 2)
    rows = Pairing(pairs, "random").fixed(inside)
    assert len(rows) and not (rows % 2).any()
    assert set(sets(rows)) == {pair for pair in sets(np.stack([pairs.first, pairs.second], 1))
                               if all(k % 2 == 0 for k in pair)}  # fmt: skip


def test_all_that_decides_the_draws_is_in_the_digest() -> None:
    pairs = network(100, 50)
    pairings = [Pairing(pairs, "half"), Pairing(pairs, "random"), Pairing(pairs, "half", most=3),
                Pairing(network(100, 50, seed=1), "half")]  # fmt: skip
    assert len({pairing.digest() for pairing in pairings}) == 4
    assert Pairing(network(100, 50), "half").digest() == pairings[0].digest()


def test_a_hundred_thousand_pairs_are_drawn_in_seconds_at_most() -> None:
    pairs = network(100_000, 12_000, n_organisms=3)
    start = time.process_time()
    drawn(pairs, "half", most=50)
    assert time.process_time() - start < 3  # 0.2 s on an idle core
