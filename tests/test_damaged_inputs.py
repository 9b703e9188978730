"""300 damaged files through inspect, prepare and embed: one clear message each, bounded, and nothing else suffers."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tertia.data.store import Store
from tertia.embed import embed
from tertia.embedding.files import read
from tertia.errors import InputError
from tertia.models.distmap import Distmap
from tertia.prepare import prepare
from tertia.structure.read import read_inputs, read_structure
from tertia.structure.sources import Source, open_sources
from tertia.training import checkpoint
from tests.damage import (
    base_chains,
    cut,
    flipped_bits,
    missing_block,
    missing_lines,
    overwritten,
    packed,
    shuffled_lines,
)
from tests.damaged_files import damaged_files
from tests.distmap_networks import network_of
from tests.structures import mmcif_text, pdb_text, polymer, with_altloc, without

FAMILY = Distmap(width=16, bottleneck=8, n_blocks=1)
N_GOOD = 5


def good_files(folder: Path) -> None:
    """Write five sound files, one a format or packing, with sequences of their own."""
    made = [[polymer(40 + 3 * k, seed=900 + k), polymer(30, seed=950 + k, chain="B")] for k in range(N_GOOD)]
    made[0][0] = with_altloc(without(made[0][0], [5, 6]), 20, {"A": 0.4, "B": 0.6})
    (folder / "good0.pdb").write_text(pdb_text(made[0]))
    (folder / "good1.cif").write_text(mmcif_text(made[1]))
    (folder / "good2.bcif").write_bytes(packed(mmcif_text(made[2])))
    (folder / "good3.cif.gz").write_bytes(gzip.compress(mmcif_text(made[3]).encode()))
    (folder / "zgood4.pdb").write_text(pdb_text(made[4]))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of good files, the one with the damaged ones beside them, and what these are."""
    alone, mixed = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("mixed")
    good_files(alone)
    good_files(mixed)
    return alone, mixed, damaged_files(mixed)


@pytest.fixture(scope="module")
def results(folders) -> dict[str, list]:
    """What reading gives for each file, by its name; the members of an archive stand under its name."""
    found = defaultdict(list)
    names: list[str] = []
    for result in read_inputs([str(folders[1])], progress=names.append):
        found[Path(names[-1].split("!")[0]).name].append(result)
    return dict(found)


def is_good(name: str) -> bool:
    return name.lstrip("z").startswith("good")


def sound_chains(base: int):
    return read_structure(Source("x", packed=pdb_text(base_chains(base)).encode())).chains


def residues(chain) -> tuple:
    """What damage must not change unsaid: which residues there are, and where atoms are missing."""
    return chain.sequence, chain.residue_id, chain.seen.tolist(), chain.atoms.name[chain.atoms.element != "O"].tolist()


def facts(chain) -> tuple:
    """Everything that intake knows about a chain but the folder of its file."""
    return (chain.key, chain.sequence, chain.residue_id, chain.label_number.tobytes(), chain.alpha.tobytes(),
            chain.atoms.coord.tobytes(), tuple(chain.atoms.name), sorted(map(str, chain.meta.items())))  # fmt: skip


# ---------------------------------------------------------------- reading
def test_there_are_300_and_each_has_a_result(folders, results):
    damaged = folders[2]
    assert len(damaged) == 300
    assert len({one.kind for one in damaged}) > 25
    without_result = {one.path.name for one in damaged} - results.keys()
    assert without_result == {"folder.pdb"}  # an empty folder below the given one; the link in it leads back


def test_what_has_to_fail_fails_and_what_has_to_read_reads(folders, results):
    for one in folders[2]:
        failed = [isinstance(result, InputError) for result in results.get(one.path.name, [])]
        if one.outcome != "either":
            assert set(failed) == {one.outcome == "fails"}, one.path.name


def test_every_failure_says_where_and_what(folders, results):
    found = [error for some in results.values() for error in some if isinstance(error, InputError)]
    assert len(found) > 120
    for error in found:
        assert error.where.startswith(str(folders[1]))
        assert error.found
        assert len(str(error)) < len(error.where) + 500
        assert "\n" not in error.found
        assert "report this file" not in error.hint, str(error)  # that is what a defect of ours says


def test_no_loss_is_silent(folders, results):
    """A file that was read is what it was before the damage, or its report differs."""
    expected = {base: {c.id: residues(c) for c in sound_chains(base)} for base in range(3)}
    silent = []
    for one in folders[2]:
        for structure in results.get(one.path.name, []):
            if one.base < 0 or isinstance(structure, InputError):
                continue
            sound = expected[one.base]
            told = bool(structure.report.notes) or any(r.gaps or r.changes for r in structure.report.chains)
            same = {c.id: residues(c) for c in structure.chains} == sound
            if not (same or told):
                silent.append(one.path.name)
    assert silent == []


def test_every_number_that_was_read_is_finite_and_near(results):
    for structures in results.values():
        for structure in structures:
            if not isinstance(structure, InputError):
                with_atoms = [chain for chain in structure.chains if chain.atoms is not None]  # a FASTA file has none
                assert all(np.abs(chain.atoms.coord).max() < 1e5 for chain in with_atoms)
                assert structure.chains


def test_the_good_files_read_as_they_do_alone(folders, results):
    alone = {Path(s.report.file).name: [facts(c) for c in s.chains] for s in read_inputs([str(folders[0])])}
    assert len(alone) == N_GOOD
    beside = {name: [facts(c) for c in some[0].chains] for name, some in results.items() if is_good(name)}
    assert beside == alone


# ---------------------------------------------------------------- the three verbs
MIB = 1 << 20
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(done.returncode)
"""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    output: str
    messages: str
    peak: int  # bytes


def run(folder: Path, *arguments: str, text: bytes = b"") -> Done:
    """Run tertia in a process of its own; a hang ends in an exception."""
    peak = folder / "peak"
    command = [sys.executable, "-c", MEASURE, str(peak), sys.executable, "-m", "tertia.cli", *arguments]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, input=text, capture_output=True, timeout=250, env=environment)
    assert b"Traceback" not in done.stderr, done.stderr.decode()[-2000:]
    assert b"Warning" not in done.stderr, done.stderr.decode()[-2000:]
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode(), int(peak.read_text()) * 1024)


def errors(results: dict[str, list]) -> list[str]:
    return [str(result) for some in results.values() for result in some if isinstance(result, InputError)]


def n_chains(results: dict[str, list]) -> int:
    return sum(len(s.chains) for some in results.values() for s in some if not isinstance(s, InputError))


@pytest.mark.timeout(300)
def test_inspect_goes_on_and_leaves_with_1(folders, results, tmp_path):
    done = run(tmp_path, "inspect", str(folders[1]), "--json", "--jobs", "2")
    assert done.code == 1
    assert done.peak < 1000 * MIB
    assert [message for message in errors(results) if message not in done.messages] == []
    assert len([json.loads(line) for line in done.output.splitlines()]) == n_chains(results)
    table = run(tmp_path, "inspect", *map(str, sorted(folders[1].glob("n*.pdb"))))
    assert (table.code, table.messages) == (0, "")
    assert r"n\xe9_\xff" in table.output


@pytest.mark.timeout(300)
def test_names_on_standard_input_need_not_be_text(folders, tmp_path):
    names = sorted(os.fsencode(path) for path in folders[1].glob("n*.pdb"))
    done = run(tmp_path, "inspect", "-", text=b"\n".join([*names, b"\xff\xfe", b"x" * 5000, b"zero\0byte", b""]))
    assert done.code == 1
    assert done.messages.count("error: ") == 3
    assert r"n\xe9_\xff" in done.output


@pytest.mark.timeout(300)
def test_prepare_keeps_the_good_and_names_the_rest(folders, results, tmp_path):
    alone, mixed, _ = folders
    done = run(tmp_path, "prepare", str(mixed), "-o", str(tmp_path / "mixed"), "--tool", "builtin")
    assert done.code == 1
    assert done.peak < 1000 * MIB
    report = json.loads((tmp_path / "mixed" / "report.json").read_text())
    assert sorted(failure["found"] for failure in report["failed"]) == sorted(errors(results))
    found, expected = Store.open(tmp_path / "mixed"), Store.open(_store_of(alone, tmp_path / "alone"))
    assert report["n_chains"] == n_chains(results) == len(found) + len(report["refused"])
    assert len(expected) == 2 * N_GOOD
    chains = {chain.key: facts(chain) for chain in found}
    assert [chain.key for chain in expected if facts(chain) != chains[chain.key]] == []


def _store_of(folder: Path, output: Path) -> Path:
    prepare([str(folder)], output, progress=False, tool="builtin")
    return output


@pytest.mark.timeout(300)
def test_embed_embeds_the_good_and_names_the_rest(folders, results, tmp_path):
    alone, mixed, _ = folders
    model = tmp_path / "model"
    checkpoint.save(model, FAMILY, network_of(FAMILY), recipe="", meta={})
    done = run(tmp_path, "embed", str(mixed), "-o", str(tmp_path / "mixed.h5"), "--model", str(model))
    assert done.code == 1
    assert done.peak < 1500 * MIB
    assert [message for message in errors(results) if message not in done.messages] == []
    found = {one.key: one for one in read(tmp_path / "mixed.h5")}
    n_failed = done.messages.count("error: ")
    assert len(found) + n_failed == n_chains(results) + len(errors(results))
    assert [key for key, one in found.items() if not np.isfinite([*one.protein, *one.residue.flat]).all()] == []
    for one in embed([str(alone)], model=model):
        np.testing.assert_allclose(found[one.key].residue, one.residue, atol=2e-4)


def test_damaged_real_files_are_read_or_named(shared_data):
    """Twenty real files, six kinds of damage: an InputError, or chains whose numbers can be used."""
    changes = (flipped_bits, overwritten, missing_block, missing_lines, shuffled_lines, cut)
    real = (source for source in open_sources([str(shared_data / "structures")]) if source.packed is not None)
    outcomes = {"read": 0, "refused": 0}
    for k, source in enumerate(itertools.islice((s for s in real if len(s.packed) < 60_000), 20)):
        content = source.read()
        for kind, change in enumerate(changes):
            spoiled = change(content, np.random.default_rng([k, kind]))
            try:
                chains = read_structure(Source(source.name, packed=spoiled)).chains
            except InputError as error:
                assert error.found
                outcomes["refused"] += 1
            else:
                assert all(np.abs(chain.atoms.coord).max() < 1e5 for chain in chains)
                outcomes["read"] += 1
    assert min(outcomes.values()) > 10
