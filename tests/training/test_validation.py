"""Fixed examples give fixed losses; the effective dimension is what it says."""

from __future__ import annotations

import pytest
import torch

from tertia.models.family import Loss
from tertia.training.examples import FeaturisedChains
from tertia.training.processes import Crew
from tertia.training.run import group_names, usable
from tertia.training.tally import Tally
from tertia.training.validation import Validation, effective_dimension
from tests.training.stores import small_family, small_settings

ALONE = Crew(0, 1, torch.device("cpu"))


def validation(store, *, rank: int = 0, size: int = 1, **changes) -> Validation:
    chains = FeaturisedChains(small_family(), store, megabytes=16)
    return Validation(chains, usable(store, "valid"), small_settings(**changes), Crew(rank, size, torch.device("cpu")))


def test_the_same_network_gets_the_same_score(store) -> None:
    network, names = small_family().network(), group_names(small_family())
    torch.manual_seed(1)
    one = validation(store).score(network, names)
    torch.manual_seed(2)
    two = validation(store, batch=3).score(network, names)  # other batches, same examples
    assert one.loss == pytest.approx(two.loss, abs=1e-6)
    assert one.loss == pytest.approx(1.0, abs=0.3)  # a fresh network predicts nothing
    assert validation(store, seed=5).score(network, names).loss != pytest.approx(one.loss, abs=1e-6)


def test_every_group_counts_the_same(store) -> None:
    score = validation(store).score(small_family().network(), group_names(small_family()))
    assert score.loss == pytest.approx(sum(score.groups.values()) / len(score.groups))
    assert set(score.groups) <= set(group_names(small_family()))


def test_scoring_leaves_the_network_as_it_was(store) -> None:
    network = small_family(mode="paper").network().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    validation(store).score(network, group_names(small_family()))
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_processes_score_disjoint_shares(store) -> None:
    whole = validation(store).batches()
    shares = [validation(store, rank=rank, size=2).batches() for rank in (0, 1)]
    levels = [sorted(level for noisy, _ in batches for level in noisy.level.tolist()) for batches in (whole, *shares)]
    assert sorted(levels[1] + levels[2]) == levels[0]
    assert len(levels[0]) == 3 * 4


def test_the_effective_dimension_of_known_clouds() -> None:
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(20000, 8, generator=generator)
    assert effective_dimension(cloud) == pytest.approx(8.0, abs=0.1)
    assert effective_dimension(cloud[:, :1] * torch.ones(8) + 5.0) == pytest.approx(1.0)
    stretched = cloud * torch.tensor([1.0, 1.0, 0, 0, 0, 0, 0, 0])
    assert effective_dimension(stretched) == pytest.approx(2.0, abs=0.05)
    assert effective_dimension(stretched + 100.0) == pytest.approx(effective_dimension(stretched))


def test_the_tally_keeps_groups_apart() -> None:
    tally = Tally(("a", "b", "c"), ALONE.device)
    tally.add(Loss(torch.tensor(0.0), torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2])), torch.tensor(2.0))
    tally.add(Loss(torch.tensor(0.0), torch.tensor([2.0]), torch.tensor([0])), torch.tensor(4.0))
    assert tally.summary(ALONE) == {"loss": 2.75, "groups": {"a": 2.0, "c": 5.0}, "gradient": 3.0}
    tally.clear()
    assert tally.summary(ALONE)["groups"] == {}
