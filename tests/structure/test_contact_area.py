"""CAD-score: the program voronota-cadscore as a reference, a slow second computation, and invariants."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.structure.alignment import residue_pairs
from tertia.structure.chain import Chain
from tertia.structure.contact_area import KINDS, atom_share, cad_score, contact_areas, without_empty_space
from tests.structure.test_quality import read_members, turned
from tests.structures import make_chain

MAIN_CHAIN = {"N", "CA", "C", "O", "OXT"}
# voronota-cadscore 1.22.3149 (--contacts-query-by-code AS, then AA), residues renumbered by `residue_pairs`.
REFERENCE = {
    ("af_cluster/RfaH/RFAH_189", "6c6s_D"): (0.401638, 0.506328),
    ("af_cluster/KaiB/2QKEE_U10-225", "2qke_E"): (0.315894, 0.396588),
    ("af_cluster/selecase/4QHF_013", "4qhh_A"): (0.574651, 0.658874),
    ("af_cluster/lymphotactin/2JP1_028", "2jp1_A"): (0.219494, 0.395627),
    ("cfrandom_hits/2vfx_L/17_008_17_008_rank_003_model_2", "3gmh_L"): (0.469197, 0.548672),
    ("cfrandom_hits/5jyt_A/2_131_2_131_unrank_002_model_4", "2qke_E"): (0.458032, 0.522249),
    ("itasser_nepre/nepre_itasser1/decoy1_1", "nepre_itasser1"): (0.726317, 0.786375),
    ("itasser_nepre/nepre_itasser1/decoy1_38", "nepre_itasser1"): (0.646675, 0.715954),
    ("alphafold2_misc/6w77_K/decoy_model", "6w77_K"): (0.588798, 0.690612),
}


def moved(chain: Chain, coord: np.ndarray) -> Chain:
    return replace(chain, atoms=replace(chain.atoms, coord=coord.astype(np.float32)))


def shaken(chain: Chain, sigma: float, seed: int = 1) -> Chain:
    return moved(chain, chain.atoms.coord + sigma * np.random.default_rng(seed).standard_normal((len(chain.atoms), 3)))


# ---------------------------------------------------------------- against the reference
def test_against_voronota(shared_data: Path) -> None:
    names = {name for pair in REFERENCE for name in (f"decoys/{pair[0]}.pdb", f"natives/{pair[1]}.pdb")}
    chains = read_members(shared_data / "quality_assessment" / "structures.tar.gz", names)
    errors = []
    for (model, native), expected in REFERENCE.items():
        pair = chains[f"natives/{native}.pdb"], chains[f"decoys/{model}.pdb"]
        errors.append([cad_score(*pair, kind=kind).whole - value for kind, value in zip(KINDS, expected, strict=True)])
    assert np.abs(errors).max(axis=0) == pytest.approx(0.0, abs=0.02)
    assert (np.median(np.abs(errors), axis=0) < [0.004, 0.010]).all()


# ---------------------------------------------------------------- against a second computation
def slow_areas(chain: Chain, kind: str) -> dict[tuple[int, int], float]:
    """Add up the raw faces between atoms, known by index, with the radii that the library reports."""
    import voronotalt

    atoms = chain.atoms
    names = [(k, name) for k, name in zip(atoms.residue_of_atom.tolist(), atoms.name.tolist(), strict=True)]
    balls = [voronotalt.MolecularAtomBall("A", k, "", "ALA", name, *xyz)
             for (k, name), xyz in zip(names, atoms.coord.tolist(), strict=True)]  # fmt: skip
    molecule = voronotalt.MolecularRadicalTessellation.from_atoms(
        balls, record_everything_possible=False, record_atom_balls=True
    )
    radius = {(ball.ID_residue_seq_number, ball.ID_atom_name): ball.r for ball in molecule.atom_balls}
    plain = [voronotalt.Ball(*xyz, radius[name]) for name, xyz in zip(names, atoms.coord.tolist(), strict=True)]
    tessellation = voronotalt.RadicalTessellation(plain, 1.4)
    total: dict[tuple[int, int], float] = {}
    for face in tessellation.contacts:
        (i, one), (j, other) = names[face.index_a], names[face.index_b]
        if kind == "AS" and {one, other} <= MAIN_CHAIN:
            continue
        bonded = math.dist(atoms.coord[face.index_a], atoms.coord[face.index_b]) <= 1.6 and {one, other} == {"C", "N"}
        if i != j and not bonded:
            total[min(i, j), max(i, j)] = total.get((min(i, j), max(i, j)), 0.0) + face.area
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_definition_written_out(kind: str) -> None:
    native = make_chain(40, seed=3, sequence="A" * 40, missing=(5,))
    model = replace(shaken(make_chain(38, seed=3, sequence="A" * 38), 0.8), entry="model")
    shift = 2  # residue k of the model is residue k + 2 of the native
    pairs = np.array([(k + shift, k) for k in range(38) if k + shift != 5])
    true, other = slow_areas(native, kind), slow_areas(model, kind)
    lost = {ij: min(abs(area - other.get((ij[0] - shift, ij[1] - shift), 0.0)), area) for ij, area in true.items()}
    found = cad_score(native, model, pairs, kind=kind)
    assert found.whole == pytest.approx(1 - sum(lost.values()) / sum(true.values()), abs=1e-9)
    for k in range(40):
        mine = [ij for ij in true if k in ij]
        if mine:
            expected = 1 - sum(lost[ij] for ij in mine) / sum(true[ij] for ij in mine)
            assert found.residue[k] == pytest.approx(expected, abs=1e-9)
        else:
            assert np.isnan(found.residue[k])
    assert np.isnan(found.residue[5])
    assert np.nan_to_num(found.residue[:2]).max() == 0.0  # the model lacks them


# ---------------------------------------------------------------- invariants
@pytest.mark.parametrize("kind", KINDS)
def test_a_native_keeps_all_its_contacts_wherever_it_lies(kind: str) -> None:
    native = make_chain(60, seed=1)
    assert cad_score(native, native, kind=kind).whole == 1.0
    found = cad_score(native, moved(native, turned(native.atoms.coord)), kind=kind)
    assert found.whole == pytest.approx(1.0, abs=1e-4)  # single precision of the coordinates
    assert np.nanmin(found.residue) > 0.999


def test_motion_of_a_model_changes_nothing() -> None:
    native, model = make_chain(60, seed=1), shaken(make_chain(60, seed=1), 0.7)
    expected = cad_score(native, model)
    found = cad_score(native, moved(model, turned(model.atoms.coord)))
    assert found.whole == pytest.approx(expected.whole, abs=1e-4)
    assert found.residue == pytest.approx(expected.residue, abs=1e-3, nan_ok=True)


def test_more_damage_is_a_lower_score() -> None:
    native = make_chain(80, seed=6)
    scores = [cad_score(native, shaken(native, sigma)).whole for sigma in (0.0, 0.1, 0.3, 0.8, 2.0, 6.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1.0
    assert scores[-1] < 0.25


def test_a_missing_half_costs_its_contacts_and_those_with_the_rest() -> None:
    native = make_chain(60, seed=2)
    model = make_chain(60, seed=2, missing=range(30, 60))
    found = cad_score(native, model)
    assert np.nanmax(found.residue[30:]) == 0.0
    assert np.nanmean(found.residue[:25]) > 0.9
    areas = contact_areas(native)
    inside = areas.area[(areas.first < 30) & (areas.second < 30)].sum() / areas.area.sum()
    assert found.whole <= inside


def test_areas_are_a_list_of_different_pairs() -> None:
    areas = contact_areas(make_chain(50, seed=9))
    key = areas.first * 50 + areas.second
    assert (np.diff(key) > 0).all()
    assert (areas.first < areas.second).all()
    assert (areas.area > 0).all()


# ---------------------------------------------------------------- where there is no score
def test_a_trace_has_no_score() -> None:
    native = make_chain(30, seed=1)
    keep = native.atoms.name == "CA"
    columns = {field.name: getattr(native.atoms, field.name)[keep] for field in fields(native.atoms)}
    trace = replace(native, atoms=replace(native.atoms, **columns))
    assert atom_share(trace) < 0.25
    for pair in ((native, trace), (trace, native), (native, replace(native, atoms=None))):
        found = cad_score(*pair)
        assert np.isnan(found.whole)
        assert found.residue.shape == (30,)
        assert np.isnan(found.residue).all()


def test_atoms_without_a_place_do_not_end_the_process() -> None:
    """The library would set up a grid up to 9999 Angstrom, and abort."""
    native = make_chain(60, seed=1)
    coord = native.atoms.coord.copy()
    coord[5::50] = 9999.0
    assert 0.9 < cad_score(native, moved(native, coord)).whole < 1.0
    assert np.isnan(cad_score(native, moved(native, native.atoms.coord * 1e4)).whole)
    assert cad_score(native, moved(native, native.atoms.coord * 0)).whole < 0.05


def test_closing_empty_space_moves_nothing_that_touches(generator: np.random.Generator) -> None:
    coord = generator.uniform(0, 5, (40, 3)) + 1000.0 * generator.integers(0, 3, (40, 1))
    closed = without_empty_space(coord)
    before, after = (np.linalg.norm(x[:, None] - x, axis=-1) for x in (coord, closed))
    assert after[before < 10] == pytest.approx(before[before < 10], abs=1e-9)
    assert after[before > 10].min() >= 10.0 - 1e-9
    assert np.ptp(closed, axis=0).max() < 40


def test_without_the_library_it_says_what_to_install(without_voronotalt: None) -> None:
    with pytest.raises(InputError, match=r"voronotalt, which is not installed\nhint: .*tertia\[quality\]"):
        cad_score(make_chain(5), make_chain(5))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="SS"):
        contact_areas(make_chain(5), kind="SS")


def test_pairs_default_to_the_alignment() -> None:
    native, model = make_chain(40, seed=5), shaken(make_chain(40, seed=5), 0.5)
    assert cad_score(native, model).whole == cad_score(native, model, residue_pairs(native, model)).whole
