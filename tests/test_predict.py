"""The verb: structures in, scores out, in order and with nothing lost."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import tertia
from tertia import cli
from tertia.errors import CheckpointError
from tertia.finetune import finetune
from tertia.predict import predict
from tertia.structure.write_pdb import pdb_text
from tertia.training.head import CARD, load_head, save_head
from tertia.training.learning import Learnt, make_items
from tests.structures import make_chain, mmcif_text, polymer, sequence_chain, without
from tests.structures import pdb_text as pdb_of_polymers

SHORT = ("epochs=1", "batch=4")


@pytest.fixture(scope="module")
def quality(quality_data: Path, tiny_model: Path, tmp_path_factory) -> Path:
    """A head of the graph network on embeddings."""
    folder = tmp_path_factory.mktemp("heads") / "quality"
    return finetune("quality", quality_data, output=folder, models=str(tiny_model), overrides=(*SHORT, "size=compact"),
                    ).folder  # fmt: skip


@pytest.fixture(scope="module")
def sites(sites_data: Path, tmp_path_factory) -> Path:
    """A head without embeddings."""
    folder = tmp_path_factory.mktemp("heads") / "sites"
    options = (*SHORT, "features=computed", "benchmark=graphppis", "width=8", "n_rounds=1")
    return finetune("interface", sites_data, output=folder, models="", overrides=options).folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Structures of several lengths; the names are not in the order of the lengths."""
    folder = tmp_path / "structures"
    folder.mkdir()
    for k, length in enumerate((30, 61, 12, 45)):
        (folder / f"s{k}.pdb").write_text(pdb_text(make_chain(length, seed=k, missing=(4, 5))))
    return folder


def rows_of(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_a_chain_gets_what_the_network_says(quality: Path) -> None:
    from tertia.encoders import open_side_by_side

    head, chain = load_head(quality), make_chain(25, seed=3, missing=(0, 9))
    (found,) = predict(quality, chain)
    example = tertia.data.example.Example("", (chain,), meta={"set": "", "target": ""})
    (direct,) = head.learnt.predict(make_items(head.learnt.task, [example], open_side_by_side(head.models)))
    assert np.array_equal(found.residue[chain.seen], direct.residue[chain.seen])
    assert np.array_equal(found.protein, direct.protein)
    assert np.isnan(found.residue[~chain.seen]).all()
    assert found.chain is chain


def test_order_is_that_of_the_inputs_for_any_number_of_threads(quality: Path, files: Path) -> None:
    given = [files / f"s{k}.pdb" for k in (3, 0, 2, 1)]
    one, two = (predict(quality, given, threads=threads) for threads in (1, 2))
    assert [p.chain.key for p in one] == [p.chain.key for p in two] == ["s3_A", "s0_A", "s2_A", "s1_A"]
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.residue, b.residue, equal_nan=True)
        assert np.array_equal(a.protein, b.protein)
    alone = [next(iter(predict(quality, path))) for path in given]
    for a, b in zip(one, alone, strict=True):
        assert np.array_equal(a.residue, b.residue, equal_nan=True)


def test_tables_have_a_line_a_residue_and_a_line_a_chain(quality: Path, files: Path) -> None:
    found, residues, proteins = predict(quality, files), io.StringIO(), io.StringIO()
    found.write_residues(residues)
    found.write_proteins(proteins)
    head, *rows = rows_of(residues.getvalue())
    assert head == ["file", "chain", "position", "residue_id", "letter", "lddt", "cad"]
    assert len(rows) == 30 + 61 + 12 + 45
    values = iter(rows)
    for one in found:
        for k, letter in enumerate(one.chain.sequence):
            row = next(values)
            assert row[:5] == [one.chain.frame, one.chain.key, str(k + 1), one.chain.residue_id[k] or "NA", letter]
            wanted = ["NA", "NA"] if k in (4, 5) else [f"{value:.4f}" for value in one.residue[k]]
            assert row[5:] == wanted
    head, *rows = rows_of(proteins.getvalue())
    assert head == ["file", "chain", "n_residues", "tm_score", "gdt_ts", "gdt_ha", "lddt", "cad"]
    assert [row[1:3] for row in rows] == [["s0_A", "28"], ["s1_A", "59"], ["s2_A", "10"], ["s3_A", "43"]]


def test_sites_are_called_above_the_threshold(sites: Path, files: Path) -> None:
    found, text = predict(sites, files / "s1.pdb"), io.StringIO()
    assert found.threshold == load_head(sites).learnt.calibration["threshold"]
    found.write_residues(text)
    head, *rows = rows_of(text.getvalue())
    assert head[5:] == ["interface", "called"]
    (one,) = found
    for value, row in zip(one.residue[:, 0], rows, strict=True):
        assert row[6] == ("NA" if np.isnan(value) else str(int(value > found.threshold)))


def test_structures_carry_the_score_for_viewers(quality: Path, files: Path, tmp_path: Path) -> None:
    found = predict(quality, files)
    paths, refused = found.write_structures(tmp_path / "shown")
    assert refused == []
    assert [path.name for path in paths] == [f"s{k}_A.pdb" for k in range(4)]
    for one, path in zip(found, paths, strict=True):
        (read,) = tertia.read_structure(path).chains
        assert read.sequence == one.chain.sequence
        assert np.allclose(read.coord_of("CA", element="C"), one.chain.alpha, atol=2e-3, equal_nan=True)
        shown = np.full(len(read), np.nan)
        shown[read.atoms.residue_of_atom] = read.atoms.b_factor
        assert np.allclose(shown, 100 * one.residue[:, 0], atol=0.006, equal_nan=True)


def test_names_of_structures_are_kept_apart(sites: Path, tmp_path: Path) -> None:
    """Two chains of one file, one name in two folders, chain names that no file can have, and no room in a PDB file."""
    chains = [make_chain(9, seed=k, entry=entry, id=name) for k, (entry, name) in enumerate(
        (("one", "A"), ("one", "B"), ("one", "A"), ("ONE", "A"), ("a.b", "A"), ("a.c", "A"), ("up", "../x"))
    )]  # fmt: skip
    far = make_chain(9, seed=9, entry="far")
    atoms = replace(far.atoms, coord=far.atoms.coord + np.float32(20_000))
    found = predict(sites, [*chains, replace(far, atoms=atoms)])
    paths, refused = found.write_structures(tmp_path / "shown")
    names = ["one_A.pdb", "one_B.pdb", "one_A.2.pdb", "ONE_A.3.pdb", "a.b_A.pdb", "a.c_A.pdb", "up_..-x.pdb"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "shown").iterdir()) == sorted(names)
    assert [error.entry for error in refused] == ["far_A"]


@pytest.mark.parametrize("name", ["two words.pdb", "wow!.pdb", "r#1.pdb", "Übung.pdb", "no suffix", ".hidden.pdb"])
def test_names_with_odd_characters(name: str, sites: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text(pdb_text(make_chain(12)))
    found = predict(sites, tmp_path / name)
    assert [one.chain.entry for one in found] == [name.removesuffix(".pdb")]
    (path,) = found.write_structures(tmp_path / "shown")[0]
    assert path.is_file()
    assert path.parent == tmp_path / "shown"


def test_tabs_in_a_name_do_not_make_columns(sites: Path, tmp_path: Path) -> None:
    (tmp_path / "one\ttwo\n.pdb").write_text(pdb_text(make_chain(6)))
    text = io.StringIO()
    predict(sites, tmp_path / "one\ttwo\n.pdb").write_residues(text)
    assert [len(row) for row in rows_of(text.getvalue())] == [7] * 7


def test_all_chains_of_a_file_and_of_archives(sites: Path, tmp_path: Path) -> None:
    chains = [polymer(20, seed=1, chain="A"), polymer(15, seed=2, chain="B")]
    (tmp_path / "two.cif").write_text(mmcif_text(chains, entry="TWO"))
    with tarfile.open(tmp_path / "more.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "two.cif", "inner/three.cif")
    found = predict(sites, [tmp_path / "two.cif", tmp_path / "more.tar.gz"])
    assert [one.chain.key for one in found] == ["two_A", "two_B", "three_A", "three_B"]
    first, second = list(found)[:2], list(found)[2:]
    assert all(np.array_equal(a.residue, b.residue) for a, b in zip(first, second, strict=True))
    (alone,) = predict(sites, make_chain(15, seed=2, sequence=first[1].chain.sequence))
    assert np.allclose(alone.residue, first[1].residue, atol=1e-2)  # partners are not looked at


def test_what_cannot_be_predicted_is_told_beside_what_can(sites: Path, files: Path, tmp_path: Path) -> None:
    (files / "bad.pdb").write_text("no structure at all\n")
    (files / "x.fa").write_text(">named\nACDEFGHIKL\n>wrong\nACJ\n")
    bare = replace(make_chain(5, entry="bare"), atoms=None)
    found = predict(sites, [files, files / "x.fa", bare, sequence_chain("ACDE"), "nowhere.cif"])
    assert [one.chain.key for one in found] == [f"s{k}_A" for k in range(4)]
    told = "\n".join(map(str, found.failed))
    assert all(name in told for name in ("bad.pdb", "bare_A", "some", "nowhere.cif", "named", "wrong"))
    assert "has no C-alpha" in told


def test_other_weights_than_those_of_the_head_are_refused(quality: Path, tmp_path: Path) -> None:
    shutil.copytree(quality, tmp_path / "head")
    card = json.loads((quality / CARD).read_text())
    assert len(card["models_sha256"]) == 1
    (tmp_path / "head" / CARD).write_text(json.dumps(card | {"models_sha256": ["0" * 64]}))
    with pytest.raises(CheckpointError, match="embeddings of other weights"):
        predict(tmp_path / "head", make_chain(9))


def test_a_head_of_another_task_is_refused(sites: Path) -> None:
    assert len(predict("interface", make_chain(9), head=sites)) == 1
    with pytest.raises(CheckpointError, match="is a head of the task interface; allowed: quality"):
        predict("quality", make_chain(9), head=sites)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_short_chains(length: int, sites: Path, quality: Path) -> None:
    for head in (sites, quality):
        found = predict(head, [make_chain(length, entry="short"), make_chain(6, missing=range(1, 6), entry="one_seen")])
        assert not found.failed
        assert all(np.isfinite(one.residue[one.chain.seen]).all() for one in found)


def test_one_chain_that_fails_does_not_end_the_run(sites: Path, monkeypatch) -> None:
    real = Learnt.predict

    def sometimes(self, items):
        if len(items[0].graph.letter) == 7:
            raise ValueError("seven\nis too much")
        return real(self, items)

    monkeypatch.setattr(Learnt, "predict", sometimes)
    found = predict(sites, [make_chain(length, entry=f"n{length}") for length in (6, 7, 8)])
    assert [one.chain.key for one in found] == ["n6_A", "n8_A"]
    assert [error.entry for error in found.failed] == ["n7_A"]
    assert "ValueError: seven)" in str(found.failed[0])


def test_heads_that_a_structure_cannot_feed_are_refused(sites_data: Path, sites: Path, tmp_path: Path) -> None:
    folder = finetune("interface", sites_data, output=tmp_path / "profiles", models="",
                      overrides=("network_kind=linear", "epochs=1")).folder  # fmt: skip
    with pytest.raises(CheckpointError, match="features=computed"):
        predict(folder, make_chain(9))
    save_head(tmp_path / "fresh", load_head(sites).learnt, models="fresh:distmap", meta={})
    with pytest.raises(CheckpointError, match="untrained weights"):
        predict(tmp_path / "fresh", make_chain(9))
    (folder / CARD).unlink()
    with pytest.raises(CheckpointError, match=r"head\.json"):
        predict(folder, make_chain(9))


# ---------------------------------------------------------------- command line
def invoke(*words: object):
    return CliRunner().invoke(cli.app, ["predict", *map(str, words)])


def test_on_the_command_line(quality: Path, files: Path, tmp_path: Path) -> None:
    table, shown = tmp_path / "residues.tsv", tmp_path / "shown"
    done = invoke("quality", files, "--head", quality, "-o", table, "--structures", shown)
    assert done.exit_code == 0, done.output
    assert [row[1] for row in rows_of(done.stdout)] == ["chain", "s0_A", "s1_A", "s2_A", "s3_A"]
    assert len(table.read_text().splitlines()) == 1 + 30 + 61 + 12 + 45
    assert len(list(shown.iterdir())) == 4
    printed = invoke("quality", files, "--head", quality, "-o", "-")
    assert printed.stdout == table.read_text()


def test_a_damaged_file_beside_a_good_one_is_1(sites: Path, files: Path) -> None:
    (files / "s0.pdb").write_bytes(bytes(range(256)))
    done = invoke("interface", files, "--head", sites)
    assert done.exit_code == 1
    assert {row[1] for row in rows_of(done.stdout)[1:]} == {"s1_A", "s2_A", "s3_A"}
    assert "s0.pdb" in done.stderr
    (files / "cut.pdb").write_text(pdb_of_polymers([without(polymer(8), range(8))]))
    nothing = invoke("interface", files / "cut.pdb", "--head", sites)
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "cut.pdb" in nothing.stderr
