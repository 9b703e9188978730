"""The verb: files, chains and stores in, embeddings out, continued after a kill, nothing lost without a word."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tertia
from tertia.data.batch import collate
from tertia.embedding import read
from tertia.embedding.unfinished import Unfinished
from tertia.errors import InputError
from tertia.training import checkpoint
from tests.distmap_networks import FAMILIES, network_of
from tests.structures import make_chain, pdb_text, polymer

FAMILY = FAMILIES["tertia"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    checkpoint.save(folder, FAMILY, network_of(FAMILY), recipe="", meta={})
    return folder


@pytest.fixture
def files(tmp_path) -> Path:
    folder = tmp_path / "structures"
    folder.mkdir()
    for k, n in enumerate((30, 61, 12, 45)):
        (folder / f"s{k}.pdb").write_text(pdb_text([polymer(n, seed=k)]))
    return folder


def expected(chain, level: int | None = None):
    """Return the dense encoding of one chain."""
    inputs = collate([FAMILY.featurise(chain)])
    if level is not None:
        inputs.level.fill_(level)
    with torch.no_grad():
        return network_of(FAMILY).encode(inputs, pair=True)


def assert_near(one, two) -> None:
    assert np.linalg.norm(np.asarray(one, np.float64) - np.asarray(two)) < 1e-5 * np.linalg.norm(two)


def test_one_file(files: Path, model: Path) -> None:
    (embedding,) = tertia.embed(files / "s0.pdb", model=model)
    (chain,) = tertia.read_structure(files / "s0.pdb").chains
    assert embedding.key == "s0_A" and embedding.sequence == chain.sequence
    assert embedding.residue_id == tuple(chain.residue_id)
    assert_near(embedding.residue, expected(chain).residue[0])
    assert_near(embedding.protein, expected(chain).protein[0])
    assert embedding.pair is None
    assert embedding.provenance["sigmas"] == [pytest.approx(float(FAMILY.sigmas[FAMILY.embed_level]), abs=1e-6)]
    assert embedding.provenance["sha256"] == checkpoint.load(model).meta["sha256"]


def test_order_is_that_of_the_inputs(files: Path, model: Path) -> None:
    given = [files / name for name in ("s3.pdb", "s0.pdb", "s2.pdb", "s1.pdb")]
    assert [one.key for one in tertia.embed(given, model=model)] == ["s3_A", "s0_A", "s2_A", "s1_A"]


def test_chains_with_gaps_and_of_any_length(model: Path) -> None:
    chains = [make_chain(n, seed=n, entry=f"e{n}", missing=m) for n, m in ((1, ()), (3, (1,)), (50, (0, 20, 21, 49)))]
    found = tertia.embed(chains, model=tertia.load(model), levels=("residue",))
    for embedding, chain in zip(found, chains, strict=True):
        assert np.array_equal(embedding.seen, chain.seen)
        assert not embedding.residue[~chain.seen].any()
        assert_near(embedding.residue, expected(chain).residue[0])
        assert embedding.protein is None


def test_pair_level_and_several_noise_levels(model: Path) -> None:
    chain = make_chain(25, seed=2, missing=(3,))
    sigmas = [float(FAMILY.sigmas[level]) for level in (25, 10)]
    (found,) = tertia.embed(chain, model=model, levels=("pair", "protein"), sigmas=sigmas)
    assert found.pair.shape == (25, 25, 128) and found.pair.dtype == np.float16
    wanted = torch.cat([expected(chain, level).pair[0] for level in (25, 10)], -1).numpy()
    assert np.abs(found.pair - wanted).max() < 2e-3 * np.abs(wanted).max()
    assert_near(found.protein, torch.cat([expected(chain, level).protein[0] for level in (25, 10)]))


def test_bad_inputs_are_reported_and_the_rest_is_embedded(files: Path, model: Path) -> None:
    (files / "bad.pdb").write_text("no structure at all\n")
    given = [files, "nowhere.cif"]
    found = tertia.embed(given, model=model)
    assert [one.key for one in found] == ["s0_A", "s1_A", "s2_A", "s3_A"]
    assert len(found.failed) == 2
    assert "bad.pdb" in str(found.failed[0]) and "nowhere.cif" in str(found.failed[1])


def test_nothing_at_all_raises(model: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        tertia.embed("nowhere.cif", model=model)
    with pytest.raises(InputError, match="no residue has a C-alpha"):
        tertia.embed(make_chain(2, missing=(0, 1)), model=model)


def test_too_little_memory_refuses_the_chain_only(model: Path) -> None:
    chains = [make_chain(10, seed=1, entry="short"), make_chain(300, seed=2, entry="long")]
    limit = tertia.load(model).network.encoder([0]).memory(100)
    found = tertia.embed(chains, model=model, memory=limit)
    assert [one.key for one in found] == ["short_A"]
    assert [error.entry for error in found.failed] == ["long_A"]


def test_chains_of_one_name_are_kept_apart_and_told(files: Path, model: Path, tmp_path) -> None:
    found = tertia.embed([files / "s0.pdb"] * 2, tmp_path / "out.h5", model=model)
    assert [one.key for one in read(tmp_path / "out.h5")] == ["s0_A", "s0_A.2"]
    assert any("s0_A.2" in note for note in found.notes)


def test_a_noise_level_between_two_is_rounded_and_told(model: Path) -> None:
    found = tertia.embed(make_chain(5), model=model, sigmas=[0.9])
    assert any("0.9" in note for note in found.notes)
    with pytest.raises(InputError, match="outside"):
        tertia.embed(make_chain(5), model=model, sigmas=[50.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": ("atom",)}, "allowed: protein, residue, pair"),
        ({"levels": ()}, "levels"),
        ({"precision": "fp8"}, "fp32, bf16"),
        ({"device": "abacus"}, "cannot be used"),
        ({"sigmas": [1.0, 1.0]}, "the same level"),
        ({"output": "folder/that/is/not/there/out.h5"}, "does not exist"),
        ({"output": "out.txt"}, "names no format"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str, model: Path) -> None:
    with pytest.raises(InputError, match=message):
        tertia.embed(make_chain(5), model=model, **options)


def test_an_output_is_never_replaced_silently(model: Path, tmp_path) -> None:
    path = tmp_path / "out.npz"
    tertia.embed(make_chain(5, entry="one"), path, model=model)
    with pytest.raises(InputError, match="exists already"):
        tertia.embed(make_chain(5, entry="two"), path, model=model)
    assert [one.key for one in read(path)] == ["one_A"]
    tertia.embed(make_chain(5, entry="two"), path, model=model, overwrite=True)
    assert [one.key for one in read(path)] == ["two_A"]


def test_a_dry_run_plans_and_writes_nothing(files: Path, model: Path, tmp_path, capsys) -> None:
    result = tertia.embed(files, tmp_path / "out.h5", model=model, dry_run=True, progress=True)
    assert result.n_chains == 4 and not (tmp_path / "out.h5").exists()
    assert sorted(result.plans[0].lengths.tolist()) == [12, 30, 45, 61]
    one, both = (tertia.embed(files, model=model, levels=levels, dry_run=True).plans[0].size
                 for levels in (["protein"], ["protein", "residue"]))  # fmt: skip
    assert one > 0 and both == one + one // 4 * 148
    printed = capsys.readouterr()
    assert "residues" in printed.err and "148" in printed.err and printed.out == ""


def test_what_is_written_is_what_is_returned(files: Path, model: Path, tmp_path) -> None:
    levels = ("protein", "residue", "pair")
    returned = tertia.embed(files, model=model, levels=levels)
    written = tertia.embed(files, tmp_path / "out.h5", model=model, levels=levels)
    assert len(written) == 0 and written.n_chains == 4 and written.path == tmp_path / "out.h5"
    for one, two in zip(returned, read(tmp_path / "out.h5"), strict=True):
        assert one.key == two.key
        assert all(np.array_equal(one.levels[name], two.levels[name]) for name in levels)


def test_companions_change_nothing(files: Path, model: Path) -> None:
    together = tertia.embed(files, model=model)
    for k, one in enumerate(together):
        (alone,) = tertia.embed(files / f"s{k}.pdb", model=model)
        assert_near(one.residue, alone.residue)


PROGRAM = """
import sys, time
import torch
import tertia
from tertia.embedding.unfinished import Unfinished
torch.set_num_threads(1)
add, kept = Unfinished.add, []
def slowly(self, digest, embedding):
    add(self, digest, embedding)
    kept.append(embedding.key)
    if len(kept) == 2:
        print(*kept, flush=True)
        time.sleep(60)
Unfinished.add = slowly
tertia.embed(sys.argv[1], sys.argv[2], model=sys.argv[3], levels=("protein", "residue", "pair"))
"""


def test_a_killed_run_is_continued_to_the_same_bytes(files: Path, model: Path, tmp_path, monkeypatch) -> None:
    command = [sys.executable, "-c", PROGRAM, str(files), str(tmp_path / "cut.h5"), str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline().split()
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "cut.h5").exists()
    kept: list[str] = []
    add = Unfinished.add
    monkeypatch.setattr(Unfinished, "add", lambda self, digest, one: (kept.append(one.key), add(self, digest, one)))
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in ("cut.h5", "whole.h5"):
            tertia.embed(files, tmp_path / name, model=model, levels=("protein", "residue", "pair"))
    finally:
        torch.set_num_threads(n_threads)
    assert len(first) == 2 and len(kept) == 2 + 4  # two were left by the killed run
    assert not set(first) & set(kept[:2])
    assert (tmp_path / "cut.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not (tmp_path / "cut.h5.parts").exists()
