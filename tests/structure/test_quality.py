"""Model quality: hand-worked cases, biotite as a second implementation, and values that were published."""

from __future__ import annotations

import csv
import gzip
import tarfile
from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest
from biotite.structure import AtomArray
from biotite.structure import lddt as biotite_lddt
from biotite.structure import tm_score as biotite_tm_score

from tertia.structure.chain import Chain
from tertia.structure.geometry import superpose
from tertia.structure.quality import global_quality, lddt, tm_scale
from tertia.structure.read import read_structure
from tertia.structure.sources import Source
from tests.structures import make_chain


def trace(length: int = 80, seed: int = 0) -> np.ndarray:
    return make_chain(length, seed=seed).alpha.astype(np.float64)


def shaken(coord: np.ndarray, sigma: float, seed: int = 1) -> np.ndarray:
    return coord + sigma * np.random.default_rng(seed).standard_normal(coord.shape)


def turned(coord: np.ndarray, seed: int = 2) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    return coord @ (q * np.sign(np.linalg.det(q))).T + 25.0


def atom_array(coord: np.ndarray, residue: np.ndarray) -> AtomArray:
    array = AtomArray(len(coord))
    array.coord = coord.astype(np.float32)
    array.res_id, array.chain_id = residue + 1, np.full(len(coord), "A")
    array.res_name, array.atom_name = np.full(len(coord), "ALA"), np.full(len(coord), "CA")
    return array


# ---------------------------------------------------------------- lDDT
def test_lddt_of_three_points_by_hand() -> None:
    """Distances 3, 4 and 7 become 3, 4.7 and 7.7: two errors of 0.7 pass three of the four thresholds."""
    native = np.array([[0.0, 0, 0], [3, 0, 0], [7, 0, 0]])
    model = np.array([[0.0, 0, 0], [3, 0, 0], [7.7, 0, 0]])
    found = lddt(native, model)
    assert found.residue.tolist() == pytest.approx([(1 + 0.75) / 2, (1 + 0.75) / 2, 0.75])
    assert found.whole == pytest.approx((1 + 0.75 + 0.75) / 3)


def test_lddt_counts_only_native_distances_below_the_radius() -> None:
    native = np.array([[0.0, 0, 0], [10, 0, 0], [24.9, 0, 0], [60, 0, 0]])
    model = native + np.array([0, 0, 100.0])[None] * np.array([0, 0, 0, 1])[:, None]  # nobody misses the last one
    found = lddt(native, model)
    assert found.residue[:3].tolist() == [1.0, 1.0, 1.0]
    assert np.isnan(found.residue[3])
    assert found.whole == 1.0


def test_what_a_model_lacks_is_not_kept_and_what_the_native_lacks_does_not_count() -> None:
    native, model = trace(), trace()
    model[40] = np.nan
    native[10] = np.nan
    found = lddt(native, model).residue
    assert np.isnan(found[10])
    assert found[40] == 0.0
    assert found[70] == 1.0
    assert 0.0 < found[41] < 1.0


@pytest.mark.parametrize("sigma", [0.2, 1.0, 4.0])
def test_lddt_equals_biotite(sigma: float) -> None:
    native = trace(90).astype(np.float32)
    model = shaken(native, sigma).astype(np.float32)
    alphas = np.arange(len(native))
    chain = make_chain(40, seed=5)
    atoms, residue = chain.atoms.coord, chain.atoms.residue_of_atom
    for one, other, owner in ((native, model, alphas), (atoms, shaken(atoms, sigma).astype(np.float32), residue)):
        arrays = atom_array(one, owner), atom_array(other, owner)
        ours = lddt(one, other, residue_of_point=owner)
        # biotite computes distances in single precision, which may turn one at a threshold.
        assert ours.residue == pytest.approx(biotite_lddt(*arrays, aggregation="residue"), abs=2e-3)
        assert ours.whole == pytest.approx(biotite_lddt(*arrays), abs=2e-4)


def test_lddt_is_blind_to_motion_and_to_mirrors() -> None:
    native, model = trace(), shaken(trace(), 1.0)
    expected = lddt(native, model).residue
    assert lddt(native, turned(model)).residue == pytest.approx(expected, abs=1e-12)
    assert lddt(native, model * [1, 1, -1]).residue == pytest.approx(expected, abs=1e-12)


# ---------------------------------------------------------------- scores of a superposition
def test_a_native_structure_is_perfect_wherever_it_lies() -> None:
    found = global_quality(trace(), turned(trace()))
    assert (found.tm_score, found.gdt_ts, found.gdt_ha) == pytest.approx((1.0, 1.0, 1.0), abs=1e-9)
    assert found.rmsd == pytest.approx(0.0, abs=1e-6)
    assert global_quality(trace(), trace() * [1, 1, -1]).tm_score < 0.5  # a mirror image is no model


def test_half_of_a_broken_chain_is_found() -> None:
    native = trace(100)
    model = native.copy()
    model[60:] = turned(native[60:]) + 200.0
    found = global_quality(native, model)
    assert found.gdt_ts == pytest.approx(0.6, abs=0.02)
    assert 0.6 <= found.tm_score < 0.63
    assert found.rmsd > 20.0


def test_missing_residues_lower_every_score() -> None:
    native, model = trace(100), trace(100)
    model[80:] = np.nan
    found = global_quality(native, model)
    assert (found.n_native, found.n_aligned) == (100, 80)
    assert (found.tm_score, found.gdt_ts, found.gdt_ha) == pytest.approx((0.8, 0.8, 0.8))
    native[:20] = np.nan
    assert global_quality(native, model).tm_score == pytest.approx(0.75)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 6.0])
def test_no_single_superposition_is_better(sigma: float) -> None:
    native, model = trace(70), shaken(trace(70), sigma)
    found = global_quality(native, model)
    residue = np.arange(len(native))
    for start, end in ((0, 70), (0, 35), (35, 70), (10, 20), (50, 62)):
        rotation, shift, _ = superpose(model[start:end], native[start:end])
        placed = model @ rotation.T + shift
        score = biotite_tm_score(
            atom_array(native, residue), atom_array(placed, residue), residue, residue, len(native)
        )  # fmt: skip
        distance = np.linalg.norm(placed - native, axis=1)
        assert found.tm_score >= score - 1e-5
        assert found.gdt_ts >= np.mean([(distance <= cutoff).mean() for cutoff in (1, 2, 4, 8)]) - 1e-9


def test_the_scale_of_the_tm_score() -> None:
    assert tm_scale(150) == pytest.approx(1.24 * 135 ** (1 / 3) - 1.8)
    assert tm_scale(16) == tm_scale(5) == 0.5


def test_two_points_are_too_few() -> None:
    native = np.full((10, 3), np.nan)
    native[:2] = 1.0
    with pytest.raises(ValueError, match="at least 3 points"):
        global_quality(native, native)


# ---------------------------------------------------------------- published values
def test_against_the_values_published_with_eigenfold(shared_data: Path) -> None:
    """Medians over 60 real models: 0.001 for lDDT and TM-score, 0.006 for GDT_TS."""
    folder = shared_data / "quality_assessment"
    with gzip.open(folder / "decoy_scores.tsv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["pub_tm"] != "NA"][::30]
    paths = [f"decoys/{row['set']}/{row['target']}/{row['decoy']}.pdb" for row in rows]
    chains = read_members(folder / "structures.tar.gz", [*paths, *(f"natives/{row['native']}.pdb" for row in rows)])
    errors = []
    for row, path in zip(rows, paths, strict=True):
        found = global_quality(*in_register(chains[f"natives/{row['native']}.pdb"], chains[path]))
        pairs = (found.lddt, "pub_lddt"), (found.tm_score, "pub_tm"), (found.gdt_ts, "pub_gdt_ts")
        errors.append([abs(value - float(row[name])) for value, name in pairs])
    assert len(errors) > 50
    assert (np.median(errors, axis=0) < [0.001, 0.001, 0.006]).all()


def read_members(archive: Path, names: Iterable[str]) -> dict[str, Chain]:
    wanted = set(names)
    with tarfile.open(archive) as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar if member.name in wanted}
    return {name: read_structure(Source(name, packed=content)).chains[0] for name, content in contents.items()}


def in_register(native: Chain, model: Chain) -> tuple[np.ndarray, np.ndarray]:
    """Return the native C-alphas and those of the same residues of the model."""
    letters = ["".join(np.array(list(chain.sequence))[chain.seen]) for chain in (native, model)]
    fixed, mobile = native.alpha[native.seen], model.alpha[model.seen]
    placed = np.full_like(fixed, np.nan)
    for block in SequenceMatcher(None, *letters, autojunk=False).get_matching_blocks():
        placed[block.a : block.a + block.size] = mobile[block.b : block.b + block.size]
    return fixed, placed
