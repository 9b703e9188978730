"""Decoys: exact labels, sane geometry, a change by every generator, the sequence untouched, an even spread."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tertia.structure.chain import Chain
from tertia.structure.decoys import GENERATORS, Decoy, make_decoys
from tertia.structure.decoys.settle import settle_alpha
from tertia.structure.decoys.texture import Texture
from tertia.structure.decoys.torsion import turn_bonds
from tertia.structure.decoys.trace import Trace
from tertia.structure.geometry import dihedrals, distance_map
from tertia.structure.quality import global_quality, lddt
from tertia.structure.read import read_structure
from tertia.structure.sources import Source
from tertia.structure.write_pdb import pdb_text
from tests.structures import backbone, make_chain

GAP = (20, 21, 22, 23)
AIMS = np.array([0.55, 0.75, 0.9])


def alphas_only(chain: Chain) -> Chain:
    kept = chain.atoms.name == "CA"
    columns = {name: getattr(chain.atoms, name)[kept] for name in chain.atoms.__dataclass_fields__}
    return replace(chain, atoms=replace(chain.atoms, **columns))


def bundle(seed: int) -> np.ndarray:
    """Return (62, 5, 3) coordinates of four helices joined by loops; these seeds give compact ones without clashes."""
    generator = np.random.default_rng(seed)
    phi, psi = np.full(62, -62.0), np.full(62, -42.0)
    for start in (14, 30, 46):
        phi[start : start + 4] = generator.uniform(-150, -50, 4)
        psi[start : start + 4] = generator.uniform(-60, 170, 4)
    return backbone(phi, psi)


NATIVE = make_chain(62, seed=5, entry="native", missing=GAP, coord=bundle(1282))
OTHERS = [make_chain(62, seed=seed, entry=f"other{seed}", coord=bundle(seed)) for seed in (1986, 794)]
OTHERS.append(make_chain(70, seed=11, entry="other11"))


@pytest.fixture(scope="module")
def made() -> dict[str, list[Decoy]]:
    """Three decoys of each generator."""
    return {name: decoys_of(NATIVE, name) for name in GENERATORS}


def decoys_of(native: Chain, name: str, seed: int = 4, n: int = 3) -> list[Decoy]:
    generator = np.random.default_rng(seed)
    return make_decoys(native, OTHERS, n=n, generator=generator, wanted=AIMS[:n], generators=[name])


def read_back(chain: Chain) -> Chain:
    (back,) = read_structure(Source("native.pdb", packed=pdb_text(chain).encode())).chains
    return back


@pytest.mark.parametrize("name", GENERATORS)
def test_labels_are_those_of_the_written_file(made: dict[str, list[Decoy]], name: str) -> None:
    native = read_back(NATIVE)
    for decoy in made[name]:
        back = read_back(decoy.chain)
        assert back.sequence == native.sequence
        fresh, residue = global_quality(native.alpha, back.alpha), lddt(native.alpha, back.alpha).residue
        for measure in ("n_native", "n_aligned", "lddt", "tm_score", "gdt_ts", "gdt_ha", "rmsd"):
            # The native of the labels is not rounded to the 0.001 Angstrom of a file.
            assert getattr(decoy.quality, measure) == pytest.approx(getattr(fresh, measure), abs=0.005), measure
        np.testing.assert_allclose(decoy.lddt, residue, atol=0.04)
        np.testing.assert_array_equal(np.isnan(decoy.lddt), ~NATIVE.seen)


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_changes_coordinates_and_nothing_else(made: dict[str, list[Decoy]], name: str) -> None:
    assert len(made[name]) == len(AIMS)
    for decoy in made[name]:
        assert decoy.generator == name and decoy.quality.lddt < 0.97
        assert decoy.chain.sequence == NATIVE.sequence and decoy.chain.residue_id == NATIVE.residue_id
        assert decoy.chain.key == NATIVE.key and decoy.chain.frame != NATIVE.frame
        np.testing.assert_array_equal(decoy.chain.seen, NATIVE.seen)
        assert json.loads(json.dumps(decoy.parameters)) == decoy.parameters
    first, second = (distance_map(decoy.chain.alpha[decoy.chain.seen]) for decoy in made[name][:2])
    assert np.abs(first - second).max() > 0.5


@pytest.mark.parametrize("name", GENERATORS)
def test_the_geometry_is_that_of_a_protein(made: dict[str, list[Decoy]], name: str) -> None:
    for decoy in made[name]:
        check_geometry(decoy.chain)


def check_geometry(chain: Chain) -> None:
    """Fail unless bonds, angles, planes and hands are right and no residues lie inside each other."""
    alpha = chain.alpha.astype(np.float64)
    bond = np.linalg.norm(np.diff(alpha, axis=0), axis=1)
    assert np.nanmax(np.abs(bond - 3.8)) < 0.2
    distance = distance_map(alpha[chain.seen])
    assert distance[np.triu_indices(len(distance), 3)].min() > 3.0
    n, c, o, beta = (chain.coord_of(name, element=name[0]).astype(np.float64) for name in ("N", "C", "O", "CB"))
    bonds = {"N-CA": (n, alpha, 1.458), "CA-C": (alpha, c, 1.525), "C-N": (c[:-1], n[1:], 1.329), "C-O": (c, o, 1.231),
             "CA-CB": (alpha, beta, 1.53)}  # fmt: skip
    for kind, (left, right, ideal) in bonds.items():
        error = np.abs(np.linalg.norm(left - right, axis=1) - ideal)
        assert np.nanmedian(error) < 0.03 and np.nanmax(error) < 0.25, kind
    hand = np.einsum("ld,ld->l", np.cross(n - alpha, c - alpha), beta - alpha)
    native_hand = np.einsum("ld,ld->l", *_normal_and_beta(NATIVE))
    assert np.nanmin(hand * np.sign(np.nanmedian(native_hand))) > 0.0, "a residue is a D amino acid"
    letters = np.array(list(chain.sequence))
    np.testing.assert_array_equal(np.isfinite(beta[:, 0]), chain.seen & (letters != "G"))


def _normal_and_beta(chain: Chain) -> tuple[np.ndarray, np.ndarray]:
    n, c, beta = (chain.coord_of(name, element=name[0]) for name in ("N", "C", "CB"))
    return np.cross(n - chain.alpha, c - chain.alpha), beta - chain.alpha


@pytest.mark.parametrize("name", GENERATORS)
def test_a_chain_of_alphas_stays_one(name: str) -> None:
    native = alphas_only(NATIVE)
    for decoy in decoys_of(native, name, n=1):
        assert set(decoy.chain.atoms.name.tolist()) == {"CA"}
        bond = np.linalg.norm(np.diff(decoy.chain.alpha, axis=0), axis=1)
        assert np.nanmax(np.abs(bond - 3.8)) < 0.2
        assert decoy.quality.lddt < 0.97


def test_a_seed_gives_the_same_decoys_and_another_one_others() -> None:
    native = make_chain(30, seed=8)
    first, again, other = (
        make_decoys(native, OTHERS, n=3, generator=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    texts = [[pdb_text(decoy.chain) for decoy in decoys] for decoys in (first, again, other)]
    assert texts[0] == texts[1]
    assert not set(texts[0]) & set(texts[2])


def test_the_lddt_spreads_evenly() -> None:
    native = make_chain(62, seed=21, coord=bundle(1282))
    decoys = make_decoys(native, OTHERS, n=30, generator=np.random.default_rng(0))
    assert len(decoys) == 30
    missed = [abs(decoy.quality.lddt - decoy.parameters["aim"]) for decoy in decoys]
    counts = np.histogram([decoy.quality.lddt for decoy in decoys], np.arange(0.2, 1.0, 0.15))[0]
    print(f"decoys in 0.15 wide bins of lDDT from 0.2: {counts.tolist()}, largest miss {max(missed):.3f}")
    assert counts.min() >= 4 and counts.max() <= 9
    assert np.quantile(missed, 0.8) < 0.05
    assert len({decoy.generator for decoy in decoys}) == len(GENERATORS)


def test_labels_of_a_wanted_lddt_come_near_it(made: dict[str, list[Decoy]]) -> None:
    for name, decoys in made.items():
        missed = [abs(decoy.quality.lddt - aim) for decoy, aim in zip(decoys, AIMS, strict=True)]
        assert np.median(missed) < 0.06, name


def test_no_strength_leaves_a_native_nearly_as_it_is() -> None:
    trace = Trace.of(NATIVE)
    sources = [Trace.of(other) for other in OTHERS]
    for name, draw in GENERATORS.items():
        generator = np.random.default_rng(3)
        shape = draw(trace, sources, generator).at(0.0)
        (alpha,) = settle_alpha([shape], trace, Texture.draw(trace, sources, generator, aim=0.9))
        assert lddt(trace.alpha, alpha).whole > 0.97, name


def test_shapes_settled_together_are_those_settled_alone() -> None:
    trace = Trace.of(NATIVE)
    texture = Texture.draw(trace, [], np.random.default_rng(1), aim=0.5)
    move = GENERATORS["elastic"](trace, [], np.random.default_rng(2))
    shapes = [move.at(strength) for strength in (0.2, 0.5, 0.9)]
    together = settle_alpha(shapes, trace, texture)
    for shape, alpha in zip(shapes, together, strict=True):
        np.testing.assert_allclose(settle_alpha([shape], trace, texture)[0], alpha, atol=1e-6)


def test_turned_bonds_keep_lengths_and_angles_and_change_the_dihedral() -> None:
    trace = Trace.of(make_chain(20, seed=2))
    angle = np.zeros((20, 2))
    angle[9] = 0.3, -0.8
    turned = turn_bonds(trace, angle)
    flat, new = (np.stack([one.n, one.alpha, one.c], axis=1).reshape(-1, 3) for one in (trace, turned))
    for step in (1, 2):
        np.testing.assert_allclose(
            np.linalg.norm(new[step:] - new[:-step], axis=1), np.linalg.norm(flat[step:] - flat[:-step], axis=1)
        )
    change = np.angle(np.exp(1j * (dihedrals(new) - dihedrals(flat))))
    expected = np.zeros(len(change))
    expected[3 * 9 - 1], expected[3 * 9] = 0.3, -0.8  # phi and psi of residue 9
    np.testing.assert_allclose(change, expected, atol=1e-9)


def test_without_others_there_are_no_templates() -> None:
    decoys = make_decoys(make_chain(30, seed=8), [], n=6, generator=np.random.default_rng(0))
    assert decoys and "template" not in {decoy.generator for decoy in decoys}


def test_a_short_chain_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 20"):
        make_decoys(make_chain(19), OTHERS, n=2, generator=np.random.default_rng(0))
