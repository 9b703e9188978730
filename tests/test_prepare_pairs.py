"""prepare with tables of pairs: beside the chains, every pair kept or counted, and the same bytes after any kill."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tertia.cli import app
from tertia.data.pairs import Pairs
from tertia.data.preparation import PrepareReport
from tertia.data.store import Store
from tertia.errors import InputError
from tertia.prepare import prepare
from tertia.pretrain import pretrain
from tests.structures import random_sequence

QUIET = {"progress": False, "tool": "builtin", "fractions": (0.6, 0.4, 0.0)}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """Ten sound proteins, a copy of the first one, a short one and one near the excluded one; two tables."""
    folder = tmp_path_factory.mktemp("given")
    records = [(f"p{k}", random_sequence(40 + k, seed=k)) for k in range(10)]
    records += [("copy", records[0][1]), ("short", "MKVLA"), ("leak", random_sequence(90, seed=50))]
    (folder / "proteins.fa").write_text("".join(f">{name}\n{sequence}\n" for name, sequence in records))
    (folder / "test.fa").write_text(f">known\n{random_sequence(90, seed=50)}\n")
    rows = [f"p{a}\tp{b}" for a in range(10) for b in range(a)] + ["copy\tp1", "p3\tshort", "leak\tp4", "p5\tunknown"]
    (folder / "pairs.tsv").write_text("\n".join(["protein_a\tprotein_b", *rows]) + "\n")
    (folder / "more.tsv").write_text("protein_a\tprotein_b\tlabel\torganism\np1\tp0\t1\tyeast\np2\tp0\t0\tyeast\n")
    return folder


def make(given: Path, output: Path, **options) -> PrepareReport:
    pairs = [given / "pairs.tsv", given / "more.tsv"]
    return prepare(given / "proteins.fa", output, exclude=given / "test.fa", **({"pairs": pairs} | QUIET | options))


@pytest.fixture(scope="module")
def made(given, tmp_path_factory) -> tuple[Path, PrepareReport]:
    folder = tmp_path_factory.mktemp("made") / "store"
    return folder, make(given, folder)


def test_every_pair_is_kept_or_counted(made) -> None:
    folder, report = made
    pairs, found = Pairs.of(Store.open(folder)), report.pairs
    assert len(pairs) == found.n_kept == 45
    assert (found.n_rows, found.n_negative, found.n_repeated) == (51, 1, 2)  # copy-p1 and p1-p0 repeat p1-p0
    assert [(r.protein, r.rule, r.n_pairs) for r in found.refused] == [
        ("leak", "excluded", 1), ("short", "min_length", 1), ("unknown", "absent", 1),
    ]  # fmt: skip
    assert found.n_across + sum(found.parts.values()) == 45 and found.n_across > 0 < found.parts["train"]
    for words in ("pairs kept", "pairs refused: absent", "pairs: across parts", "pairs: not binding"):
        assert words in report.table()
    assert PrepareReport.from_dict(json.loads((folder / "report.json").read_text())) == report


def test_the_chains_are_those_of_a_store_without_pairs_and_pairs_may_come_later(made, given, tmp_path) -> None:
    plain = make(given, tmp_path / "store", pairs=())
    assert plain.pairs is None and "pairs" not in json.loads((tmp_path / "store" / "report.json").read_text())
    with_pairs = tree(made[0])
    assert {name: content for name, content in tree(tmp_path / "store").items() if name != "report.json"} == {
        name: content for name, content in with_pairs.items() if name not in ("report.json", "pairs.safetensors")
    }
    assert make(given, tmp_path / "store") == made[1]
    assert tree(tmp_path / "store") == with_pairs
    assert make(given, tmp_path / "store", pairs=()) == made[1]  # asked for nothing, and nothing is lost
    fewer = make(given, tmp_path / "store", pairs=given / "more.tsv")
    assert fewer.pairs.n_kept == len(Pairs.of(Store.open(tmp_path / "store"))) == 1
    assert Pairs.of(Store.open(tmp_path / "store")).names == ("yeast",)


@pytest.mark.parametrize("moment", ["placed", "write_json"])
def test_a_killed_run_is_continued(moment: str, made, given, tmp_path, monkeypatch) -> None:
    """Killed before the pairs are mapped, and between the two files that tell of them."""
    make(given, tmp_path / "store", pairs=given / "more.tsv")  # an older table, which must not be taken for the new one

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sys.modules["tertia.prepare"], moment, killed)
        make(given, tmp_path / "store")
    assert make(given, tmp_path / "store") == made[1]
    assert tree(tmp_path / "store") == tree(made[0])


def test_a_bad_table_is_told_before_anything_is_read(given, tmp_path) -> None:
    (tmp_path / "bad.tsv").write_text("one\ttwo\na\tb\n")
    with pytest.raises(InputError, match="protein_a"):
        make(given, tmp_path / "store", pairs=tmp_path / "bad.tsv")
    assert not (tmp_path / "store").exists()


def test_the_command_lists_refused_pairs_and_ends_with_1(given, tmp_path) -> None:
    sound = tmp_path / "sound.fa"
    sound.write_text("".join(f">p{k}\n{random_sequence(40, seed=k)}\n" for k in range(4)))
    (tmp_path / "good.tsv").write_text("protein_a\tprotein_b\np0\tp1\n")
    command = ["prepare", str(sound), "-o", str(tmp_path / "store"), "--tool", "builtin"]
    good = CliRunner().invoke(app, [*command, "--pairs", str(tmp_path / "good.tsv")])
    assert good.exit_code == 0 and "pairs kept" in good.stdout
    tables = [tmp_path / "good.tsv", given / "more.tsv", given / "pairs.tsv"]
    both = CliRunner().invoke(app, [*command, *(f"--pairs={path}" for path in tables)])
    assert both.exit_code == 1 and "short: 1 pairs refused, absent" in both.stderr


def test_a_recipe_for_pairs_needs_a_store_with_pairs(given, tmp_path) -> None:
    make(given, tmp_path / "store", pairs=())
    with pytest.raises(InputError, match="--pairs TABLE"):
        pretrain("distmap_tiny", [f"store={tmp_path / 'store'}", "pairs=half"], output=tmp_path / "run", quiet=True)


def test_the_language_model_trains_on_pairs_and_continues_bit_for_bit(given, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tertia.training.curves.draw", lambda folder: "")
    rows = [f"p{a}\tp{b}" for a in range(10) for b in range(a) if (a + b) % 2]
    (tmp_path / "some.tsv").write_text("\n".join(["protein_a\tprotein_b", *rows]) + "\n")
    report = make(given, tmp_path / "store", pairs=tmp_path / "some.tsv")
    overrides = [f"store={tmp_path / 'store'}", "pairs=half", "most_pairs_of_a_protein=2", "width=16", "n_layers=1",
                 "steps=3", "batch=4", "validate_every=2", "n_valid=2", "checkpoint_every=2", "threads=1"]  # fmt: skip

    def run(folder: str, *more: str):
        return pretrain("pairlm_tiny", [*overrides, *more], output=tmp_path / folder, quiet=True)

    assert run("whole").finished
    while not run("parts", "max_minutes=1e-9").finished:
        pass
    for name in ("network.safetensors", "log.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    counts = json.loads((tmp_path / "whole" / "model.json").read_text())["training"]["pairs"]
    assert counts["kind"] == "half" and counts["random"] == counts["binding"] > 0
    assert counts["binding"] + counts["without_partner"] + counts["capped"] == report.pairs.parts["train"]
