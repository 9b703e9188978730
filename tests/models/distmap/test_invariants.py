"""The 16 invariants of the method: eq. 4, the loss, symmetry, cropping, padding. Numbered as in the specification."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tertia.data.batch import collate
from tertia.models.distmap import Distmap, objective
from tertia.models.distmap.corrupt import add_noise, crop
from tertia.models.distmap.inputs import PAPER_ANCHORS, distance_encoding, position_encoding, sigma_levels
from tests.models.distmap.examples import SMALL, double, moved, network_of, noisy, rotation, whole

MODES = ("tertia", "paper")


def points(n: int, seed: int = 0) -> torch.Tensor:
    return 5.0 * torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def equation_4(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The sum as it is written: g_i = sum_j 2 (h_ij + h_ji)(x_i - x_j)."""
    return torch.einsum("ij,ijk->ik", 2.0 * (h + h.T), x[:, None] - x[None, :])


def random_h(rows: int, columns: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_1_chain_rule_equals_autograd():
    x = points(9).requires_grad_()
    squared = (x[:, None] - x[None, :]).square().sum(-1)
    weight = random_h(9, 9)
    energy = (weight * torch.sin(squared / 50.0)).sum() + (weight.T * squared.square() / 900.0).sum()
    (h,) = torch.autograd.grad(energy, squared, retain_graph=True)
    (gradient,) = torch.autograd.grad(energy, x)
    rows, columns = objective.chain_rule(h, x.detach(), x.detach())
    torch.testing.assert_close(rows + columns, gradient, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(equation_4(h, x.detach()), gradient, atol=1e-9, rtol=1e-9)


def test_2_sign_factor_and_the_loss_of_predicting_nothing():
    x, sigma = points(50), 1.7
    noise = points(50, seed=3) / 5.0
    perturbed = (x + sigma * noise).requires_grad_()
    log_density = -(perturbed - x).square().sum() / (2.0 * sigma**2)
    (score,) = torch.autograd.grad(log_density, perturbed)
    torch.testing.assert_close(sigma * score, -noise)

    inputs, target = noisy(400, level=5)
    error = objective.squared_error(torch.zeros_like(target.noise), target.noise)
    once = objective.residue_weight(inputs, once=True)
    assert float(error.mean()) == pytest.approx(3.0, abs=0.25)
    assert float(objective.equation_5(error, once)) == pytest.approx(0.5 * 3 * 400, rel=0.1)
    assert float(objective.normalised(error, once)) == pytest.approx(1.0, abs=0.1)


def test_3_force_and_torque_are_conserved_for_a_symmetric_h_only():
    x, h = points(12), random_h(12, 12)
    g = equation_4(h, x)
    assert g.sum(0).abs().max() < 1e-10
    assert torch.linalg.cross(x, g).sum(0).abs().max() < 1e-9
    symmetric, _ = objective.chain_rule((h + h.T) / 2, x, x)
    assert symmetric.sum(0).abs().max() < 1e-10
    one_half, _ = objective.chain_rule(h, x, x)
    assert one_half.sum(0).abs().max() > 1.0

    inputs, _ = noisy(20)
    for mode in MODES:
        force = SMALL[mode].force(network_of(mode), inputs)[0, 0]
        assert force.abs().max() > 1e-3
        assert force.sum(0).abs().max() < 1e-3 * force.abs().sum()
        torque = torch.linalg.cross(inputs.coord[0, 0], force)
        assert torque.sum(0).abs().max() < 1e-3 * torque.abs().sum()


def test_4_diagonal_and_antisymmetric_part_do_not_matter():
    x, h = points(10), random_h(10, 10)
    other = h + torch.diag(points(10)[:, 0]) + (random_h(10, 10, seed=7) - random_h(10, 10, seed=7).T)
    torch.testing.assert_close(equation_4(h, x), equation_4(other, x), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_5_the_force_turns_with_the_chain(mode, mirror):
    inputs, _ = noisy(24, missing=(7,))
    network, matrix = network_of(mode).double(), rotation(2, mirror=mirror)
    before = SMALL[mode].force(network, double(inputs))
    turned = moved(double(inputs), matrix)
    if mirror and mode == "tertia":
        assert (SMALL[mode].force(network, turned) - before @ matrix.T).abs().max() > 1e-3  # chiral on purpose
        return
    torch.testing.assert_close(SMALL[mode].force(network, turned), before @ matrix.T, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network(turned)[0], network(double(inputs))[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network.maps(turned), network.maps(double(inputs)), atol=1e-5, rtol=1e-5)


def jacobian_rank(rows: torch.Tensor, columns: torch.Tensor | None, allowed: torch.Tensor) -> int:
    """Rank of the linear map H -> G over the allowed entries of H; one node set when columns is None."""
    basis = []
    for i, j in allowed.nonzero().tolist():
        h = torch.zeros_like(allowed, dtype=torch.float64)
        h[i, j] = 1.0
        if columns is None:
            basis.append(equation_4(h, rows).flatten())
        else:
            basis.append(torch.cat(objective.chain_rule(h, rows, columns)).flatten())
    return int(torch.linalg.matrix_rank(torch.stack(basis)))


@pytest.mark.parametrize("n", [3, 6, 10])
def test_6_rank_of_the_complete_graph(n):
    assert jacobian_rank(points(n), None, torch.ones(n, n, dtype=torch.bool)) == 3 * n - 6


@pytest.mark.parametrize(("n", "rank"), [(5, 24), (16, 90), (32, 186)])
def test_6_rank_of_the_bipartite_graph(n, rank):
    assert jacobian_rank(points(n), points(n, seed=1), torch.ones(n, n, dtype=torch.bool)) == rank


@pytest.mark.parametrize(("width", "rank"), [(3, 90), (2, 61)])
def test_6_rank_of_a_band(width, rank):
    offset = (torch.arange(32)[:, None] - torch.arange(32)[None, :]).abs()
    assert jacobian_rank(points(32), None, (offset > 0) & (offset <= width)) == rank


def test_7_no_output_no_force_and_no_gradient_of_the_antisymmetric_part():
    inputs, target = noisy(14)
    for force, n_out in ((objective.force, 2), (objective.paper_force, 1)):
        assert force(torch.zeros(1, 14, 14, n_out), inputs).abs().max() == 0
        h = torch.randn(1, 14, 14, n_out, requires_grad=True)
        objective.squared_error(force(h, inputs), target.noise).sum().backward()
        assert h.grad.abs().max() > 0
        torch.testing.assert_close(h.grad, h.grad.transpose(1, 2), atol=1e-3, rtol=1e-3)


def test_8_twice_the_noise_halves_the_score():
    x, noise = points(30), points(30, seed=5) / 5.0
    scores = []
    for sigma in (0.5, 1.0):
        perturbed = x + sigma * noise
        scores.append((x - perturbed) / sigma**2)
    torch.testing.assert_close(scores[1], scores[0] / 2.0)
    torch.testing.assert_close(0.5 * scores[0], 1.0 * scores[1])  # sigma times the score: what the network learns


def test_9_repeating_every_column_changes_nothing():
    """The averaged coefficients only; those near in sequence count each pair once and are zero here."""
    inputs, _ = noisy(12)
    far = replace(inputs, position=torch.stack([inputs.position[:, 0], inputs.position[:, 1] + 100], dim=1))
    u = torch.randn(1, 12, 12, 2)
    once = objective.force(u, far)[:, 0]

    def repeated(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0], x[:, 1]], dim=1).repeat_interleave(2, dim=2)

    twice = replace(far, **{name: repeated(x) for name, x in vars(far).items() if name != "level"})
    wide = objective.force(u.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2), twice)[:, 0, ::2]
    torch.testing.assert_close(wide, once, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_10_padding_and_missing_residues_change_no_valid_output(mode):
    alone, padded = whole(20, missing=(4, 5)), None
    inputs = [SMALL[mode].featurise(chain) for chain in _chains((20, 33))]
    padded = collate([replace(x, level=torch.tensor(12)) for x in inputs])
    network = network_of(mode)
    with torch.no_grad():
        here = network.maps(padded)[0, :20, :20]
        torch.testing.assert_close(here, network.maps(alone)[0], atol=2e-5, rtol=2e-5)
        assert here[4].abs().max() == 0 and here[:, 5].abs().max() == 0
        force = SMALL[mode].force(network, padded)
        torch.testing.assert_close(force[0, :, :20], SMALL[mode].force(network, alone)[0], atol=2e-4, rtol=2e-4)
        assert force[0, :, 20:].abs().max() == 0


def _chains(lengths):
    from tests.structures import make_chain

    return [make_chain(lengths[0], 0, missing=(4, 5)), make_chain(lengths[1], 1)]


def test_11_the_target_of_a_crop_is_the_crop_of_the_target():
    inputs = SMALL["tertia"].featurise(_chains((40, 9))[0])
    inputs = replace(inputs, level=torch.tensor(3))
    cut = crop(inputs, (0, 20), 16)
    small, target = add_noise(cut, 0.5, np.random.default_rng(4))
    everything, whole_target = add_noise(inputs, 0.5, np.random.default_rng(4))
    torch.testing.assert_close(target.noise[0], whole_target.noise[0, :16])
    torch.testing.assert_close(target.noise[1], whole_target.noise[1, 20:36])
    torch.testing.assert_close(small.coord[1], everything.coord[1, 20:36])


def test_11_a_residue_on_both_sides_moves_once():
    inputs = SMALL["tertia"].featurise(_chains((40, 9))[0])
    cut = crop(replace(inputs, level=torch.tensor(3)), (6, 10), 16)
    moved_cut, target = add_noise(cut, 2.0, np.random.default_rng(0))
    torch.testing.assert_close(target.noise[0, 4:], target.noise[1, :12])
    torch.testing.assert_close(moved_cut.coord[0, 4:], moved_cut.coord[1, :12])


def test_12_noise_levels():
    sigmas = sigma_levels(32)
    assert float(sigmas[0]) == pytest.approx(10.0)
    assert float(sigmas[-1]) == pytest.approx(0.01)
    ratio = sigmas[1:] / sigmas[:-1]
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.80025), atol=2e-5, rtol=0)


def test_13_encodings():
    inside = crop(SMALL["paper"].featurise(_chains((40, 9))[0]), (11, 11), 16)
    everywhere = position_encoding(torch.arange(40))
    torch.testing.assert_close(position_encoding(inside.position[0]), everywhere[11:27])
    assert everywhere.shape[-1] == 24
    encoded = distance_encoding(torch.linspace(0.0, 100.0, 500, dtype=torch.float64))
    torch.testing.assert_close(encoded.sum(-1), torch.ones(500, dtype=torch.float64), atol=1e-6, rtol=0)
    expected = (encoded * torch.tensor(PAPER_ANCHORS, dtype=torch.float64)).sum(-1)
    assert (expected.diff() > 0).all()


@pytest.mark.parametrize(("n_levels", "count"), [(32, 429_505), (61, 611_393)])
def test_14_parameter_counts_of_the_published_network(n_levels, count):
    family = Distmap(mode="paper", bottleneck=16, n_blocks=32, dilations=(1, 3, 5, 9), n_levels=n_levels)
    assert sum(parameter.numel() for parameter in family.network().parameters()) == count


@pytest.mark.parametrize("mode", MODES)
def test_15_embeddings_are_deterministic_and_do_not_depend_on_the_batch(mode):
    network = network_of(mode)
    chains = [SMALL[mode].featurise(chain) for chain in _chains((20, 33))]
    with torch.no_grad():
        together = network.encode(collate(chains), pair=True)
        again = network.encode(collate(chains), pair=True)
        alone = network.encode(collate(chains[:1]), pair=True)
    assert torch.equal(together.residue, again.residue) and torch.equal(together.pair, again.pair)
    torch.testing.assert_close(together.residue[0, :20], alone.residue[0], atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(together.pair[0, :20, :20], alone.pair[0], atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(together.protein[:1], alone.protein, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("mode", MODES)
def test_16_mirror_images(mode):
    inputs, network = whole(24), network_of(mode)
    mirrored = moved(inputs, rotation(3, mirror=True), shift=0.0)
    with torch.no_grad():
        here, there = network.encode(inputs).residue, network.encode(mirrored).residue
    if mode == "tertia":
        assert (here - there).abs().max() > 1e-3
    else:
        torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)
