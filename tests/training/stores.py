"""A small store and a small model for the tests of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tertia.data.store import Store
from tertia.data.writer import Placement, StoreWriter
from tertia.models import Distmap
from tertia.training.settings import TrainingRecipe
from tests.structures import make_chain

PAPER = {"mode": "paper", "redundancy_weight": 0.0}


def small_store(folder: Path, n_chains: int = 12) -> Store:
    """Return chains of 14 to 40 residues, two a cluster, every fourth for validation; one has no coordinates."""
    with StoreWriter(folder) as writer:
        placements = []
        for k in range(n_chains):
            chain = make_chain(14 + 26 * k // n_chains, seed=k, entry=f"m{k:02d}", missing=(3, 4))
            chain = replace(chain, atoms=None) if k == 1 else chain
            placements.append(Placement(writer.append(chain), cluster=k // 2, split="valid" if k % 4 == 0 else "train"))
        writer.seal(placements)
    return Store.open(folder)


def small_family(**changes: object) -> Distmap:
    """Return the smallest network that has all its parts."""
    small = {"width": 16, "bottleneck": 8, "n_blocks": 2, "crop": 8, "late_crop": 12, "n_levels": 8, "embed_level": 4}
    return Distmap(**(small | changes))


def small_settings(**changes: object) -> TrainingRecipe:
    """Return a run of a second or two."""
    short = {"steps": 8, "batch": 4, "learning_rate": 2e-3, "ema_decay": 0.9, "log_every": 1, "validate_every": 4,
             "checkpoint_every": 2, "n_valid": 3, "valid_draws": 4, "threads": 1, "device": "cpu"}  # fmt: skip
    return TrainingRecipe(**(short | changes))
