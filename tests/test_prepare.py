"""prepare: what is kept, what is refused and why, and the same bytes after any kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from tertia.data.store import Store
from tertia.errors import InputError
from tertia.prepare import prepare
from tests.structures import make_chain, mmcif_text, pdb_text, polymer, random_sequence, without

QUIET = {"progress": False, "tool": "builtin"}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Twelve good files of one or two chains, a repeated sequence, a short chain, a gappy one, a broken file."""
    folder = tmp_path_factory.mktemp("files")
    for k in range(12):
        chains = [polymer(40 + 5 * k, seed=k, chain="A")] + (
            [polymer(35, seed=50 + k, chain="B")] if k % 3 == 0 else []
        )
        (folder / f"p{k:02d}.pdb").write_text(pdb_text(chains))
    extra = "_refine.entry_id TEST\n_refine.pdbx_refine_id X-RAY\n_refine.ls_d_res_high 1.2\n#\n"
    (folder / "q_sharp.cif").write_text(mmcif_text([polymer(45, seed=1)], extra=extra))
    (folder / "q_short.pdb").write_text(pdb_text([polymer(12, seed=90)]))
    (folder / "q_gappy.pdb").write_text(pdb_text([without(polymer(60, seed=91), range(20, 50))]))
    (folder / "r_broken.pdb").write_text("not a structure\n")
    return folder


@pytest.fixture(scope="module")
def made(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "store"
    return folder, prepare([str(files)], folder, **QUIET)


def test_everything_is_kept_or_named(made):
    folder, report = made
    store = Store.open(folder)
    assert report.n_files == 16
    assert report.n_chains == len(store) + len(report.refused)
    assert [Path(failure.source).name for failure in report.failed] == ["r_broken.pdb"]
    refused = {refusal.chain: refusal.rule for refusal in report.refused}
    # The repeated sequence stays in the file with the better resolution.
    assert refused == {"p01_A": "duplicate", "q_short_A": "min_length", "q_gappy_A": "max_missing_fraction"}
    assert store.keys == sorted(store.keys)
    assert "q_sharp_A" in store
    assert report.n_kept == len(store) == 16
    assert report.rules == {"duplicate": 1, "max_missing_fraction": 1, "min_length": 1, "failed": 1}
    assert "r_broken" in json.loads((folder / "report.json").read_text())["failed"][0]["source"]
    for word in ("duplicate", "min_length", "failed", "valid", "built-in words"):
        assert word in report.table()


def test_atoms_and_register_reach_the_store(made):
    chain = Store.open(made[0])["p03_A"]
    expected = make_chain(55, 3)
    assert chain.sequence == expected.sequence
    np.testing.assert_allclose(chain.alpha, expected.alpha, atol=1e-3)
    assert len(chain.atoms) == len(expected.atoms)
    assert chain.frame == "p03.pdb#1"


def test_splits_are_whole_clusters_and_none_is_empty(made):
    store = Store.open(made[0])
    parts = [set(store.cluster[store.split(name)].tolist()) for name in ("train", "valid", "test")]
    assert all(parts)
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert sum(len(store.split(name)) for name in ("train", "valid", "test")) == len(store)


def test_a_finished_store_answers_at_once_and_only_to_the_same_settings(made, files):
    folder, report = made
    before = tree(folder)
    assert prepare([str(files)], folder, **QUIET) == report
    assert tree(folder) == before
    with pytest.raises(InputError, match="other inputs or settings"):
        prepare([str(files)], folder, min_length=30, **QUIET)
    assert tree(folder) == before


def test_excluded_neighbours_are_refused_and_in_the_ledger(files, tmp_path):
    (tmp_path / "test.fa").write_text(f">target\n{random_sequence(60, 4)}\n{'01' * 30}\n")
    report = prepare(str(files / "*.pdb"), tmp_path / "store", exclude=tmp_path / "test.fa", **QUIET)
    assert [(r.chain, r.rule) for r in report.refused if r.rule == "excluded"] == [("p04_A", "excluded")]
    store = Store.open(tmp_path / "store")
    assert "p04_A" not in store
    assert [row["chain"] for row in store.ledger()["refused"]] == ["p04_A"]
    assert store.ledger()["excluded"] == [{"name": "target", "source": "test.fa", "length": 60}]
    compact = Store.open(store.compact(tmp_path / "compact.safetensors"))
    assert compact.ledger() == store.ledger()


def test_the_same_chain_from_two_files_is_named(files, tmp_path):
    other = tmp_path / "in"
    other.mkdir()
    (other / "p02.pdb").write_text(pdb_text([polymer(70, seed=70)]))
    report = prepare([str(files / "p02.pdb"), str(other)], tmp_path / "store", **QUIET)
    assert [(r.chain, r.rule) for r in report.refused] == [("p02_A", "key")]


def test_the_bytes_depend_neither_on_the_folder_nor_on_the_jobs(made, files, tmp_path):
    prepare([str(files)], tmp_path / "store", jobs=2, **QUIET)
    assert tree(tmp_path / "store") == tree(made[0])
    assert str(tmp_path).encode() not in b"".join(tree(tmp_path / "store").values())
    frames = [Store.open(tmp_path / "store").meta(k)["frame"] for k in range(16)]
    assert not any(str(files) in frame for frame in frames)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"min_len": 3}, "min_len"), ({"fractions": (1, 1, 1)}, "fractions"), ({"tool": "blast"}, "not known")],
)
def test_wrong_options_are_refused_before_reading(files, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        prepare([str(files)], tmp_path / "store", **{**QUIET, **options})


def test_a_folder_without_anything_usable_makes_an_empty_store(tmp_path):
    report = prepare([str(tmp_path / "absent")], tmp_path / "store", **QUIET)
    assert (report.n_kept, len(report.failed)) == (0, 1)
    store = Store.open(tmp_path / "store")
    assert len(store) == 0
    assert list(store) == store.keys == []
    assert len(Store.open(store.compact(tmp_path / "compact.safetensors"))) == 0


# ---------------------------------------------------------------- kill -9
@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A tar archive of 60 files, enough that reading takes a while."""
    path = tmp_path_factory.mktemp("many") / "many.tar"
    with tarfile.open(path, "w") as archive:
        for k in range(60):
            text = path.with_name(f"m{k:03d}.pdb")
            text.write_text(pdb_text([polymer(60 + k, seed=200 + k // 2 if k % 7 == 0 else k)]))
            archive.add(text, text.name)
            text.unlink()
    return path


def start(archive: Path, output: Path) -> subprocess.Popen:
    code = "import sys, tertia; tertia.prepare([sys.argv[1]], sys.argv[2], progress=False, tool='builtin')"
    return subprocess.Popen([sys.executable, "-c", code, str(archive), str(output)], start_new_session=True)


def kill_when(process: subprocess.Popen, condition) -> None:
    deadline = time.monotonic() + 60
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_runs_continue_to_the_same_bytes(many, tmp_path):
    prepare([str(many)], tmp_path / "whole", **QUIET)
    output = tmp_path / "cut"
    journal = output / "journal.bin"

    def journal_holds(n_bytes: int):
        return lambda: journal.is_file() and journal.stat().st_size > n_bytes

    sizes = []
    for n_bytes in (1, 60_000, 200_000):
        kill_when(start(many, output), journal_holds(n_bytes))
        assert not (output / "index.safetensors").exists()
        sizes.append(journal.stat().st_size)
    assert sizes == sorted(set(sizes)), "each run must have gone on where the last one was killed"
    with open(journal, "ab") as handle:
        handle.write(b"TRJ1C torn record")  # what a kill in the middle of a write leaves
    kill_when(start(many, output), lambda: (output / "report.json").exists())
    report = prepare([str(many)], output, **QUIET)
    assert tree(output) == tree(tmp_path / "whole")
    assert report.n_files == 60


def test_a_store_begun_otherwise_is_not_continued(many, tmp_path):
    kill_when(start(many, tmp_path / "cut"), lambda: (tmp_path / "cut" / "journal.bin").is_file()
              and (tmp_path / "cut" / "journal.bin").stat().st_size > 30_000)  # fmt: skip
    with pytest.raises(InputError, match="unfinished"):
        prepare([str(many)], tmp_path / "cut", seed=1, **QUIET)
