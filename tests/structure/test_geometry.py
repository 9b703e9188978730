"""Geometry: invariances under rigid motion, signs under reflection, and a second implementation by loops."""

from __future__ import annotations

import numpy as np
import pytest

from tertia.structure.geometry import dihedrals, distance_map, local_frames, neighbours, superpose
from tests.structures import helix, random_walk_chain


def motion(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q)), rng.normal(size=3) * 50


@pytest.fixture
def trace() -> np.ndarray:
    return random_walk_chain(40, seed=5)[:, 1]


def test_distances_equal_the_loop_and_do_not_move(trace):
    rotation, shift = motion(0)
    looped = np.array([[np.linalg.norm(a - b) for b in trace] for a in trace])
    np.testing.assert_allclose(distance_map(trace), looped, atol=1e-12)
    np.testing.assert_allclose(distance_map(trace @ rotation.T + shift), looped, atol=1e-9)
    np.testing.assert_allclose(distance_map(trace[:7], trace), looped[:7], atol=1e-12)


def test_far_from_the_origin_float32_distances_stay_good(trace):
    moved = (trace + 2000).astype(np.float32)
    np.testing.assert_allclose(np.diagonal(distance_map(moved), 1), 3.8, atol=0.02)


def test_a_missing_point_makes_its_row_and_column_nan(trace):
    trace[3] = np.nan
    missing = np.isnan(distance_map(trace))
    assert missing[3].all()
    assert missing[:, 3].all()
    assert missing.sum() == 2 * len(trace) - 1


def test_dihedrals_of_an_alpha_helix_are_50_degrees_and_a_mirror_turns_the_sign(trace):
    np.testing.assert_allclose(np.degrees(dihedrals(helix(12)[:, 1])), 50, atol=3)
    mirrored = trace * np.array([1, 1, -1])
    np.testing.assert_allclose(dihedrals(mirrored), -dihedrals(trace), atol=1e-9)
    rotation, shift = motion(1)
    np.testing.assert_allclose(dihedrals(trace @ rotation.T + shift), dihedrals(trace), atol=1e-9)
    assert len(dihedrals(trace[:3])) == 0


def test_dihedrals_by_hand():
    quarter = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]])
    # Seen from the second to the third point (along +z), from +x to +y is counter-clockwise from behind: IUPAC -90 ...
    viewed = np.degrees(dihedrals(quarter))
    np.testing.assert_allclose(np.abs(viewed), 90)
    gemmi = pytest.importorskip("gemmi")
    expected = gemmi.calculate_dihedral(*[gemmi.Position(*p) for p in quarter])
    np.testing.assert_allclose(dihedrals(quarter), expected)


def test_neighbours_equal_a_sort_and_missing_points_have_none(trace):
    trace[[0, 9]] = np.nan
    near, distance = neighbours(trace, 5)
    full = distance_map(trace)
    for k in range(len(trace)):
        others = sorted((full[k, j], j) for j in range(len(trace)) if j != k and np.isfinite(full[k, j]))[:5]
        assert near[k].tolist() == ([j for _, j in others] if others else [-1] * 5)
    assert np.isnan(distance[0]).all()
    near, _ = neighbours(trace[1:4], 5)
    assert (near == -1).sum(axis=1).tolist() == [3, 3, 3]


def test_frames_are_right_handed_orthonormal_and_turn_with_the_chain():
    coord = random_walk_chain(20, seed=2)
    frames = local_frames(coord[:, 0], coord[:, 1], coord[:, 2])
    np.testing.assert_allclose(frames @ frames.transpose(0, 2, 1), np.eye(3)[None].repeat(20, 0), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(frames), 1)
    rotation, shift = motion(3)
    moved = coord @ rotation.T + shift
    np.testing.assert_allclose(local_frames(moved[:, 0], moved[:, 1], moved[:, 2]), frames @ rotation.T, atol=1e-9)
    beta = np.einsum("lij,lj->li", frames, coord[:, 4] - coord[:, 1])
    assert np.ptp(beta, axis=0).max() < 0.05  # an L amino acid has its CB at one place in this frame


def test_superposition_undoes_a_motion_but_never_reflects(trace):
    rotation, shift = motion(4)
    found, offset, rmsd = superpose(trace, trace @ rotation.T + shift)
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    np.testing.assert_allclose(offset, shift, atol=1e-8)
    assert rmsd < 1e-9
    found, _, rmsd = superpose(trace, -trace)
    assert np.linalg.det(found) == pytest.approx(1)
    assert rmsd > 1


def test_superposition_leaves_out_missing_points_and_is_least(trace):
    rng = np.random.default_rng(0)
    fixed = trace + rng.normal(size=trace.shape)
    mobile = trace.copy()
    mobile[::7] = np.nan
    rotation, shift, rmsd = superpose(mobile, fixed)
    for seed in range(20):
        nudge, _ = motion(seed)
        blend, _ = np.linalg.qr(np.eye(3) + 0.01 * nudge)
        turned = rotation @ (blend * np.sign(np.diag(blend)))
        centre = np.nanmean(mobile, axis=0)
        moved = (mobile - centre) @ turned.T + (rotation @ centre + shift)
        assert np.sqrt(np.nanmean(((moved - fixed) ** 2).sum(axis=1))) >= rmsd - 1e-9
    with pytest.raises(ValueError, match="at least 3 points"):
        superpose(trace[:2], trace[:2])
