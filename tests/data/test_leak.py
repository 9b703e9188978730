"""Excluded proteins: every neighbour is found and written down with the nearest reason."""

from __future__ import annotations

import pytest

from tertia.data.leak import find_leaks, ledger, read_excluded
from tertia.data.writer import StoreWriter
from tertia.errors import InputError
from tertia.sequence import search
from tertia.sequence.fasta import Record, write_fasta
from tertia.sequence.search import Hit
from tests.structures import make_chain, random_sequence


def test_planted_neighbours_are_found_with_the_nearest_first():
    head = random_sequence(120, 1)
    near = "".join("A" if k % 5 == 0 else letter for k, letter in enumerate(head))
    excluded = [Record("far", near, "a.fa"), Record("equal", head, "b.fa"), Record("again", head, "c.fa")]
    keys, sequences = ["stranger", "leak", "part"], [random_sequence(150, 2), head, head[40:]]
    found = find_leaks(keys, sequences, excluded, tool="builtin")
    assert [(leak.chain, leak.excluded, leak.source, leak.identity) for leak in found] == [
        ("leak", "equal", "b.fa", 1.0), ("part", "equal", "b.fa", 1.0),
    ]  # fmt: skip
    assert [leak.n_hits for leak in found] == [3, 3]
    assert found[1].chain_coverage == 1.0
    assert found[1].excluded_coverage == pytest.approx(80 / 120, abs=1e-3)
    kept = ledger(excluded, found, identity=0.3, tool="builtin")
    assert [row["chain"] for row in kept["refused"]] == ["leak", "part"]
    assert len(kept["excluded"]) == 3
    assert "30%" in kept["rule"]


def test_what_any_search_finds_counts(monkeypatch):
    """MMseqs2 finds other pairs in each direction, and the built-in way some that neither does."""
    queries, targets = ["AAAA", "CCCC"], ["DDDD", "EEEE", "FFFF"]
    found = {
        ("mmseqs", 2): [Hit(0, 1, 0.31, 80, 0.5, 0.6, 1e-9)],
        ("mmseqs", 3): [Hit(1, 0, 0.35, 90, 0.7, 0.4, 1e-9), Hit(2, 1, 0.30, 70, 0.2, 0.3, 1e-5)],  # turned round
        ("builtin", 2): [Hit(1, 0, 0.33, 60, 1.0, 1.0, 1e-4)],
    }
    monkeypatch.setattr(search, "chosen_tool", lambda tool: None if tool == "builtin" else "/bin/mmseqs")
    monkeypatch.setattr(search, "neighbours", lambda asked, _, tool, **limits: found[tool, len(asked)])
    assert search.near_either_way(queries, targets) == [
        Hit(0, 1, 0.35, 90, 0.4, 0.7, 1e-9), Hit(1, 0, 0.33, 60, 1.0, 1.0, 1e-4), Hit(1, 2, 0.30, 70, 0.3, 0.2, 1e-5),
    ]  # fmt: skip
    assert len(search.near_either_way(queries, targets, tool="mmseqs")) == 2
    assert search.near_either_way(queries, targets, tool="builtin") == found["builtin", 2]


def test_the_built_in_search_asks_from_the_smaller_side():
    head = random_sequence(120, 1)
    near = "".join("A" if k % 5 == 0 else letter for k, letter in enumerate(head))
    strangers = [random_sequence(90, seed) for seed in range(3, 6)]
    few, many = [head[:100]], [*strangers, near]
    (hit,) = search.near_either_way(few, many, tool="builtin")
    (turned,) = search.near_either_way(many, few, tool="builtin")
    assert (hit.query, hit.target, turned.query, turned.target) == (0, 3, 3, 0)
    assert (hit.identity, hit.query_coverage, hit.target_coverage) == (
        turned.identity, turned.target_coverage, turned.query_coverage,
    )  # fmt: skip


def test_the_identity_limit_decides():
    head = random_sequence(200, 1)
    half = "".join(letter if k % 2 else "G" for k, letter in enumerate(head))
    excluded = [Record("half", half)]
    assert find_leaks(["c"], [head], excluded, identity=0.4, tool="builtin")
    assert not find_leaks(["c"], [head], excluded, identity=0.7, tool="builtin")


def test_excluded_may_be_fasta_or_store(tmp_path):
    chain = make_chain(40, 3)
    with StoreWriter(tmp_path / "store") as writer:
        writer.append(chain)
        writer.seal()
    write_fasta(tmp_path / "a.fa", [Record("x", "MKVLA")])
    found = read_excluded([tmp_path / "a.fa", tmp_path / "store"])
    assert [(r.name, r.sequence, r.source) for r in found] == [
        ("x", "MKVLA", "a.fa"), (chain.key, chain.sequence, "store"),
    ]  # fmt: skip


@pytest.mark.parametrize("content", [None, b"", b"\x00junk", b"MKV\n"])
def test_useless_exclusions_are_refused(tmp_path, content):
    path = tmp_path / "excluded"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="excluded"):
        read_excluded([path])
