"""The networks that the distance-map network is compared with do turn with the chain; their benchmark runs."""

from __future__ import annotations

import argparse

import pytest
import torch

from benchmarks import equivariant
from benchmarks.equivariant_networks import N_FEATURES, Egnn, Se3Transformer, TensorField, nearest
from benchmarks.equivariant_page import page

NETWORKS = {
    "egnn": (None, lambda: Egnn(width=16, n_layers=3, n_neighbours=6)),
    "tensor field, vectors": ("e3nn", lambda: TensorField(width=8, n_layers=3, rank=1, n_neighbours=6)),
    "tensor field, rank 2": ("e3nn", lambda: TensorField(width=8, n_layers=3, rank=2, n_neighbours=6)),
    "se3-transformer": ("se3_transformer_pytorch", lambda: Se3Transformer(width=8, n_layers=1, n_neighbours=6)),
}
# Both packages are older than the torch they run on and call what it calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore")


def chains(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return residue channels (2, 20, F) and coordinates (2, 20, 3) of random walks."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 20, N_FEATURES, generator=generator)
    return features, (3.8 * torch.randn(2, 20, 3, generator=generator)).cumsum(1)


def rotation(seed: int = 1) -> torch.Tensor:
    """Return a proper rotation."""
    matrix = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)))[0]
    return matrix * torch.linalg.det(matrix).sign()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_turned_chain_gives_turned_noise(name: str) -> None:
    package, build = NETWORKS[name]
    if package:
        pytest.importorskip(package, reason=f"{package} comes with the extra 'bench'")
    torch.manual_seed(0)
    network = build().eval()
    features, coord = chains()
    turn = rotation()
    with torch.no_grad():
        before = network(features, coord)
        after = network(features, coord @ turn.T + 5.0)
    size = before.square().mean().sqrt()
    assert before.shape == coord.shape and size > 1e-4
    assert (before @ turn.T - before).square().mean().sqrt() > 0.1 * size  # or the next line would show nothing
    assert (after - before @ turn.T).abs().max() <= 1e-4 * size


def test_neighbours_are_the_nearest_of_the_same_chain() -> None:
    _, coord = chains()
    flat = coord.flatten(0, 1)
    found = nearest(coord, 6)
    for i in (0, 19, 20, 39):
        first = i // 20 * 20
        distance = (flat[first : first + 20] - flat[i]).norm(dim=-1)
        assert sorted(found[i].tolist()) == sorted((distance.argsort()[1:7] + first).tolist())


def test_the_benchmark_runs_without_the_extra_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equivariant, "TURNING", {"EGNN": equivariant.TURNING["EGNN"], "none": ("", "no_such", None, 1)})
    found, missing = equivariant.entrants(2, [30], tiny=True)
    equivariant.measure(found, 2, repeats=1, clock=equivariant.CLOCKS["wall"])
    assert missing == ["no_such"]
    assert [one.name for one in found if "30" in one.seconds] == [*equivariant.MAPS, "EGNN"]
    assert all(one.median("step") > 0 and one.gflop > 0 for one in found)
    text = page(found, [30], argparse.Namespace(crops=2, repeats=1, lengths="30", clock="wall", threads=1))
    assert "- EGNN: a training step costs" in text
