"""The verb `decoys`: files and tables that agree, the same bytes again, continued runs, names that lead nowhere."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tertia.decoys import LABELS, RESIDUES, SETTINGS, TABLE, decoys, folder_name
from tertia.errors import InputError
from tertia.structure.quality import global_quality, lddt
from tertia.structure.read import read_structure
from tests.structures import pdb_text, polymer

KINDS = ("register", "hinge")


@pytest.fixture
def natives(tmp_path: Path) -> Path:
    folder = tmp_path / "natives"
    folder.mkdir()
    for name, seed in (("one", 1), ("two", 2)):
        (folder / f"{name}.pdb").write_text(pdb_text([polymer(26, seed=seed)]))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_tables_say_what_the_files_hold(natives: Path, tmp_path: Path) -> None:
    report = decoys([str(natives)], tmp_path / "out", number=2, generators=KINDS)
    assert report.made == ("one_A", "two_A") and not report.failed
    with open(tmp_path / "out" / TABLE) as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    with gzip.open(tmp_path / "out" / RESIDUES, "rt") as file:
        residues = {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert len(rows) == 4 and {row["file"] for row in rows} == residues.keys()
    for row in rows:
        (native,) = read_structure(tmp_path / "out" / row["native"] / "native.pdb").chains
        (decoy,) = read_structure(tmp_path / "out" / row["file"]).chains
        fresh = global_quality(native.alpha, decoy.alpha)
        for measure in ("lddt", "tm_score", "gdt_ts", "gdt_ha", "rmsd"):
            assert float(row[measure]) == pytest.approx(getattr(fresh, measure), abs=0.005), measure
        local = np.array(residues[row["file"]]["lddt"].split(","), dtype=float)
        np.testing.assert_allclose(local, lddt(native.alpha, decoy.alpha).residue, atol=0.02)
        assert residues[row["file"]]["sequence"] == native.sequence == decoy.sequence
        assert row["generator"] in KINDS and row["file"].endswith(f"_{row['generator']}.pdb")
        assert json.loads(row["parameters"])["strength"] > 0
    assert {name: sum(bins) for name, bins in report.reached.items()} == {"one_A": 2, "two_A": 2}
    assert "one_A" in report.table()


def test_the_same_bytes_with_other_processes_and_after_a_broken_run(natives: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    decoys([str(natives)], first, number=1, generators=KINDS)
    whole = contents(first)
    decoys([str(natives / "two.pdb"), str(natives / "one.pdb")], second, number=1, generators=KINDS, jobs=2)
    assert contents(second) == whole
    shutil.rmtree(second / "two_A")  # as if killed while two_A was written
    (second / ".two_A.part").mkdir()
    (second / ".two_A.part" / "1_hinge.pdb").write_text("half")
    (second / TABLE).unlink()
    kept = (second / "one_A" / LABELS).stat().st_mtime_ns
    report = decoys([str(natives)], second, number=1, generators=KINDS)
    assert (report.made, report.present) == (("two_A",), ("one_A",))
    assert (second / "one_A" / LABELS).stat().st_mtime_ns == kept
    assert contents(second) == whole


def test_what_cannot_be_used_is_listed_and_the_rest_is_made(natives: Path, tmp_path: Path) -> None:
    (natives / "junk.pdb").write_bytes(bytes(range(256)))
    (natives / "short.pdb").write_text(pdb_text([polymer(8)]))
    (natives / "deeper").mkdir()
    shutil.copy(natives / "one.pdb", natives / "deeper" / "one.pdb")
    (natives / "two.pdb").unlink()
    report = decoys([str(natives)], tmp_path / "out", number=1, generators=("register",))
    assert report.made == ("one_A",)
    texts = "\n".join(map(str, report.failed))
    assert len(report.failed) == 3
    assert "junk.pdb" in texts and "has 8 residues" in texts and "second chain for the folder one_A" in texts


def test_names_lead_nowhere(tmp_path: Path) -> None:
    for key in ("../../x_A", "..", "/etc/passwd", ".hidden_A", "a b\n_A", "x_../../y", "", "-o_A", "ä_A"):
        name = folder_name(key)
        path = (tmp_path / name).resolve()
        assert path.parent == tmp_path.resolve() and not name.startswith((".", "-")), key


def test_a_link_in_the_place_of_a_folder_is_not_followed(natives: Path, tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "one_A").symlink_to(outside)
    report = decoys([str(natives / "one.pdb")], out, number=1, generators=("register",))
    assert not report.made and "holds something other" in str(report.failed[0])
    assert not list(outside.iterdir())


def test_another_structure_of_the_same_name_is_not_taken_for_finished(natives: Path, tmp_path: Path) -> None:
    decoys([str(natives / "one.pdb")], tmp_path / "out", number=1, generators=("register",))
    (natives / "one.pdb").write_text(pdb_text([polymer(26, seed=9)]))
    report = decoys([str(natives / "one.pdb")], tmp_path / "out", number=1, generators=("register",))
    assert not report.present and len(report.failed) == 1


def test_two_ways_do_not_mix_in_one_folder(natives: Path, tmp_path: Path) -> None:
    decoys([str(natives / "one.pdb")], tmp_path / "out", number=1, generators=("register",))
    with pytest.raises(InputError, match="another folder"):
        decoys([str(natives / "one.pdb")], tmp_path / "out", number=1, generators=("register",), seed=3)
    assert json.loads((tmp_path / "out" / SETTINGS).read_text())["seed"] == 0


def test_mistakes_are_told_before_anything_is_written(natives: Path, tmp_path: Path) -> None:
    for options in ({"generators": ("nonsense",)}, {"generators": ()}, {"number": 0}, {"seed": -1}):
        with pytest.raises(InputError):
            decoys([str(natives)], tmp_path / "out", **options)
    with pytest.raises(InputError, match="no native"):
        decoys([str(tmp_path / "absent.pdb")], tmp_path / "out")
    assert not (tmp_path / "out").exists()
