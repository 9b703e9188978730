"""The network of DeepPPISP: sizes as published, windows, padding, learning."""

from __future__ import annotations

from dataclasses import replace

import torch

from tertia.tasks.interface.deepppisp import LONGEST, DeepPppisp, Residues, side_by_side, windows


def protein(length: int, *, n_profile: int = 29, n_embedding: int = 0, seed: int = 0) -> Residues:
    generator = torch.Generator().manual_seed(seed)
    letters = torch.eye(20)[torch.randint(20, (length,), generator=generator)]
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return Residues(letters, draw(length, n_profile), draw(length, n_embedding), draw(n_embedding),
                    torch.ones(length, dtype=torch.int64))  # fmt: skip


def network(**changes) -> DeepPppisp:
    torch.manual_seed(0)
    return DeepPppisp(**({"n_profile": 29} | changes)).eval()


def test_sizes_as_published() -> None:
    """343 values of a window, 684 of the convolutions; 791 + 684 + 64 with embeddings of 64."""
    assert network().dense[0].in_features == 343 + 684
    assert network(n_embedding=64).dense[0].in_features == 1_539
    assert [tuple(c.weight.shape) for c in network().convolutions] == [(228, 1, h, 49) for h in (13, 15, 17)]


def test_a_window_holds_the_neighbours_and_zeros_outside() -> None:
    values = torch.arange(1.0, 6.0)[None, :, None]
    found = windows(values, reach=2)[0]
    assert found[0].tolist() == [0.0, 0.0, 1.0, 2.0, 3.0]
    assert found[2].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_protein_does_not_depend_on_its_batch() -> None:
    net = network(n_embedding=4)
    proteins = [protein(30, n_embedding=4, seed=1), protein(47, n_embedding=4, seed=2)]
    alone = [net(side_by_side([one]))[0] for one in proteins]
    together = net(side_by_side(proteins))
    for row, one in zip(together, alone, strict=True):
        assert torch.allclose(row[: len(one)], one, atol=1e-5)


def test_the_published_network_always_sees_500_residues(monkeypatch) -> None:
    monkeypatch.setattr("tertia.tasks.interface.deepppisp.LONGEST", 40)  # 10^8 weights are not for a test
    net = network(faithful=True)
    assert net.sequence.in_features == 800
    proteins = [protein(20, seed=1), protein(33, seed=2)]
    alone, together = net(side_by_side(proteins[:1]))[0], net(side_by_side(proteins))[0]
    assert torch.allclose(together[:20], alone, atol=1e-5)
    long = protein(60, seed=3)
    changed = replace(long, profile=torch.cat([long.profile[:40], -long.profile[40:]]))
    one, two = (net(side_by_side([of]))[0] for of in (long, changed))
    assert one.shape == (60,)
    assert torch.equal(one[:37], two[:37])  # the image ends at 40, windows reach 3 further
    assert (one[37:] != two[37:]).all()
    assert LONGEST == 500


def test_it_learns_a_site_of_the_sequence() -> None:
    net = network(n_profile=2).train()
    batch = side_by_side([protein(25, n_profile=2, seed=seed) for seed in range(6)])
    wanted = batch.letters[..., 3]
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(40):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(batch), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
