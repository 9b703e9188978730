"""Pairing of a model with its native: numbers, letters, gaps, and what must never be paired."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from tertia.structure.alignment import residue_pairs
from tertia.structure.chain import Chain
from tests.structures import make_chain, random_sequence, random_walk_chain

SEQUENCE = random_sequence(60, seed=4)


def part(start: int, stop: int, *, sequence: str = SEQUENCE, missing: tuple[int, ...] = ()) -> Chain:
    """Return residues start..stop of one structure as a chain of its own, numbered from 1."""
    coord = random_walk_chain(len(sequence), seed=3)[start:stop]
    return make_chain(stop - start, sequence=sequence[start:stop], coord=coord, missing=missing)


def numbered(chain: Chain, numbers: list[int]) -> Chain:
    return replace(chain, residue_id=tuple(map(str, numbers)))


def test_the_same_sequence_pairs_with_itself() -> None:
    assert residue_pairs(part(0, 60), part(0, 60)).tolist() == [[k, k] for k in range(60)]


def test_other_numbers_and_missing_ends() -> None:
    native, model = numbered(part(5, 50), list(range(100, 145))), part(0, 60)
    assert residue_pairs(native, model).tolist() == [[k, k + 5] for k in range(45)]
    assert residue_pairs(model, native).tolist() == [[k + 5, k] for k in range(45)]


def test_unseen_residues_are_paired_with_nothing() -> None:
    native, model = part(0, 60, missing=(10, 11, 30)), part(0, 60, missing=(40,))
    assert residue_pairs(native, model).tolist() == [[k, k] for k in range(60) if k not in (10, 11, 30, 40)]


@pytest.mark.parametrize("numbers", [True, False])
def test_a_gap_lies_where_the_native_is_broken(numbers: bool) -> None:
    """Residues 20-29 are missing, 19 and 29 are both A: letters alone cannot tell on which side of the gap A is."""
    sequence = SEQUENCE[:19] + "A" + SEQUENCE[20:29] + "A" + SEQUENCE[30:]
    kept = [*range(20), *range(30, 60)]
    coord = random_walk_chain(60, seed=3)[kept]
    native = make_chain(50, sequence="".join(sequence[k] for k in kept), coord=coord)
    native = numbered(native, [k + 1 for k in kept] if numbers else [500 + k for k in range(50)])
    assert residue_pairs(native, part(0, 60, sequence=sequence)).tolist() == [[k, at] for k, at in enumerate(kept)]


def test_only_equal_letters_are_paired_and_never_unknown_ones() -> None:
    changed = "".join("W" if k in (7, 8) else "X" if k == 20 else letter for k, letter in enumerate(SEQUENCE))
    unlike = {k for k in range(60) if changed[k] != SEQUENCE[k] or changed[k] == "X"}
    pairs = residue_pairs(part(0, 60), part(0, 60, sequence=changed))
    assert pairs.tolist() == [[k, k] for k in range(60) if k not in unlike]
    both = residue_pairs(part(0, 60, sequence=changed), part(0, 60, sequence=changed))
    assert both.tolist() == [[k, k] for k in range(60) if k != 20]


def test_numbers_that_fit_by_chance_do_not_win() -> None:
    """The model is renumbered by 3: some residues still agree in number and letter, most do not."""
    assert len(residue_pairs(part(0, 60), numbered(part(0, 60), list(range(4, 64))))) == 60


def test_nothing_in_common() -> None:
    native = make_chain(5, sequence="AAAAA")
    for model in (make_chain(5, sequence="WWWWW"), make_chain(5, sequence="AAAAA", missing=range(5))):
        assert residue_pairs(native, model).shape == (0, 2)


@pytest.mark.parametrize("seed", range(8))
def test_no_other_alignment_pairs_more_of_a_short_sequence(seed: int) -> None:
    """Against the longest common subsequence, where the price of gaps cannot matter: one deletion."""
    rng = np.random.default_rng(seed)
    start, length = int(rng.integers(5, 40)), int(rng.integers(1, 12))
    kept = [k for k in range(60) if not start <= k < start + length]
    sequence, coord = "".join(SEQUENCE[k] for k in kept), random_walk_chain(60, seed=3)[kept]
    native = make_chain(len(kept), sequence=sequence, coord=coord)
    pairs = residue_pairs(numbered(native, list(range(300, 300 + len(kept)))), part(0, 60))
    assert len(pairs) == len(kept)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in combinations(pairs.tolist(), 2))
