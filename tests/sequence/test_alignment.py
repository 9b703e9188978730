"""Local alignment against a slow second implementation, and the table it scores with against another program's."""

from __future__ import annotations

import numpy as np
import pytest

from tertia.residues import LETTERS
from tertia.sequence.alignment import GAP_EXTEND, GAP_OPEN, SCORES, align
from tests.structures import random_sequence


def slow_score(query: str, target: str) -> int:
    """Smith-Waterman by three plain loops over every gap length."""
    index = {letter: k + 1 for k, letter in enumerate(LETTERS)}
    table = np.zeros((len(query) + 1, len(target) + 1), int)
    for i in range(1, len(query) + 1):
        for j in range(1, len(target) + 1):
            table[i, j] = max(
                0,
                table[i - 1, j - 1] + SCORES[index.get(query[i - 1], 21), index.get(target[j - 1], 21)],
                *(table[i - k, j] - GAP_OPEN - GAP_EXTEND * (k - 1) for k in range(1, i + 1)),
                *(table[i, j - k] - GAP_OPEN - GAP_EXTEND * (k - 1) for k in range(1, j + 1)),
            )
    return int(table.max())


def mutated(sequence: str, rng: np.random.Generator, *, rate: float) -> str:
    letters = list(sequence)
    for k in np.flatnonzero(rng.random(len(letters)) < rate):
        letters[k] = LETTERS[rng.integers(20)]
    cut = int(rng.integers(len(letters) - 6))
    return "".join(letters[:cut] + letters[cut + int(rng.integers(5)) :])


def test_scores_equal_the_plain_recurrence():
    rng = np.random.default_rng(1)
    query = random_sequence(40, 1)
    targets = [mutated(query, rng, rate=rate) for rate in (0.1, 0.4, 0.6, 0.8)]
    targets += [random_sequence(n, n) for n in (1, 5, 33)] + ["X" * 9, query[5:30] + "WWWWWW" + query[30:]]
    assert align(query, targets).score.tolist() == [slow_score(query, target) for target in targets]


def test_identity_and_coverage_by_hand():
    query = "MKWVTFISLLHACDEF"
    found = align(query, [query, query[2:12], "GG" + query[:8], query.replace("FIS", "FAS")])
    assert found.identity.tolist() == [1.0, 1.0, 1.0, 15 / 16]
    assert found.query_coverage.tolist() == [1.0, 10 / 16, 8 / 16, 1.0]
    assert found.target_coverage.tolist() == [1.0, 1.0, 8 / 10, 1.0]
    assert found.columns.tolist() == [16, 10, 8, 16]


def test_a_gap_counts_as_a_column():
    query = random_sequence(60, 4)
    found = align(query, [query[:30] + query[34:]])
    assert found.columns[0] == 60
    assert found.identity[0] == pytest.approx(56 / 60)


def test_random_sequences_are_not_significant_and_relatives_are():
    rng = np.random.default_rng(0)
    query = random_sequence(200, 1)
    strangers = align(query, [random_sequence(200, k) for k in range(2, 22)])
    assert strangers.e_value(200, 200 * 1000).min() > 1e-3
    relatives = align(query, [mutated(query, rng, rate=0.55) for _ in range(5)])
    assert relatives.e_value(200, 200 * 1000).max() < 1e-6


def test_the_table_is_blosum62():
    from biotite.sequence.align import SubstitutionMatrix

    other = SubstitutionMatrix.std_protein_matrix()
    for a, row in enumerate(LETTERS, start=1):
        for b, column in enumerate(LETTERS, start=1):
            assert SCORES[a, b] == other.get_score(row, column)
