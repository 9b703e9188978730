"""Features of a C-alpha trace, against full atoms and hand-made shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tertia.structure.exposure import (
    COIL,
    HELIX,
    STRAND,
    alpha_angle,
    alpha_torsion,
    half_sphere_exposure,
    secondary_structure,
    side_directions,
)
from tertia.structure.geometry import dihedrals, distance_map
from tertia.structure.read import read_inputs
from tests.structures import backbone, make_chain


def ideal(phi: float, psi: float, length: int = 16) -> np.ndarray:
    """Return (L, 5, 3) of one repeated pair of torsions."""
    return backbone(np.full(length, phi), np.full(length, psi))


@pytest.mark.parametrize(("phi", "psi"), [(-57.0, -47.0), (-120.0, 130.0), (-75.0, 145.0)])
def test_the_side_chain_points_to_the_beta_carbon(phi: float, psi: float) -> None:
    atoms = ideal(phi, psi)
    true = atoms[:, 4] - atoms[:, 1]
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    found = side_directions(atoms[:, 1])
    assert np.isnan(found[[0, -1]]).all()
    assert np.linalg.norm(found[1:-1], axis=1) == pytest.approx(1.0)
    assert (found * true).sum(axis=1)[1:-1].min() > np.cos(np.radians(35))  # its mirror image is over 100 degrees off


def test_helix_and_strand_are_told() -> None:
    assert (secondary_structure(ideal(-57.0, -47.0)[:, 1])[1:-1] == HELIX).all()
    assert (secondary_structure(ideal(-120.0, 130.0)[:, 1])[3:-3] == STRAND).all()
    assert (secondary_structure(np.full((9, 3), np.nan)) == COIL).all()


def test_neighbours_are_counted_on_both_sides() -> None:
    """Residues 0-2 make an arc whose side chain points along -y: one far neighbour lies there, two opposite."""
    alpha = np.array([[-3.0, 2.3, 0], [0, 0, 0], [3.0, 2.3, 0], [0, -9, 0], [0, 9, 0], [0, 11, 0], [0, 50, 0]])
    up, down = half_sphere_exposure(alpha)[1]
    assert (up, down) == (1.0, 4.0)  # the two bonded ones lie on the other side as well
    alpha[5] = np.nan
    assert half_sphere_exposure(alpha)[1].tolist() == [1.0, 3.0]
    assert np.isnan(half_sphere_exposure(alpha)[5]).all()


def test_exposure_is_that_of_a_plain_loop() -> None:
    alpha = make_chain(60, seed=2, missing=(20, 21)).alpha
    direction, counts = side_directions(alpha), half_sphere_exposure(alpha)
    assert np.array_equal(counts, half_sphere_exposure(alpha, distance=distance_map(alpha)), equal_nan=True)
    for i in range(1, 59):
        near = [j for j in range(60) if j != i and np.linalg.norm(alpha[j] - alpha[i]) < 13.0]
        up = sum(float(direction[i] @ (alpha[j] - alpha[i])) > 0 for j in near)
        if np.isfinite(direction[i]).all():
            assert counts[i].tolist() == [up, len(near) - up]
        elif np.isfinite(alpha[i]).all():
            assert counts[i].tolist() == [len(near) / 2.0] * 2


def test_angles_turn_with_nothing_and_mirror_in_sign() -> None:
    alpha = make_chain(30, seed=1).alpha
    torsion = alpha_torsion(alpha)
    assert np.arctan2(torsion[1:-2, 1], torsion[1:-2, 0]) == pytest.approx(dihedrals(alpha.astype(float)), abs=1e-5)
    mirrored = alpha_torsion(alpha * [1, 1, -1])
    assert mirrored[:, 0] == pytest.approx(torsion[:, 0], abs=1e-6)
    assert mirrored[:, 1] == pytest.approx(-torsion[:, 1], abs=1e-6)
    assert alpha_angle(np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0]])).tolist() == pytest.approx([0.0, 0.0, 0.0])


def test_real_side_chains(shared_data: Path) -> None:
    """On real chains the direction is right for nine residues of ten within 30 degrees."""
    cosines = []
    for structure in read_inputs([str(sorted((shared_data / "structures").glob("*.tar.xz"))[0])]):
        for chain in structure.chains if hasattr(structure, "chains") else ():
            beta = chain.coord_of("CB", element="C") - chain.alpha
            beta = beta / np.linalg.norm(beta, axis=1, keepdims=True)
            cosines.append((beta * side_directions(chain.alpha)).sum(axis=1))
        if len(cosines) >= 20:
            break
    cosines = np.concatenate(cosines)
    cosines = cosines[np.isfinite(cosines)]
    assert len(cosines) > 1000
    assert np.quantile(cosines, 0.1) > np.cos(np.radians(30))
