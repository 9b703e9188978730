"""The shipped heads: complete, small, and better than nothing on structures they have never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tertia
from tertia.structure.sources import open_sources
from tertia.training.head import load_head

FOLDER = Path(tertia.__file__).parent / "weights" / "heads"
TASKS = ("quality", "interface")


@pytest.mark.parametrize("task", TASKS)
def test_a_head_has_a_card_and_needs_a_structure_only(task: str) -> None:
    assert {path.name for path in (FOLDER / task).iterdir()} >= {"README.md", "head.json", "head.safetensors"}
    assert max(path.stat().st_size for path in (FOLDER / task).iterdir()) < 16_000_000
    head = load_head(task)
    assert head.learnt.task.name == task
    assert head.learnt.widths.feature == 0
    assert head.meta["validation"]


@pytest.mark.parametrize("task", TASKS)
def test_every_residue_gets_a_score_between_0_and_1(task: str, real_chain) -> None:
    (found,) = tertia.predict(task, real_chain)
    assert np.isfinite(found.residue[found.chain.seen]).all()
    known = np.concatenate([found.residue[found.chain.seen].ravel(), found.protein])
    assert (known >= 0).all() and (known <= 1).all()


def test_errors_lower_the_quality(real_chain) -> None:
    """A model 3 Angstrom off at every residue is worse than the crystal structure, as a whole and nearly everywhere."""
    rng = np.random.default_rng(0)
    noise = 3.0 * rng.standard_normal(real_chain.atoms.coord.shape).astype(np.float32)
    good, bad = tertia.predict("quality", [real_chain, moved(real_chain, noise)])
    scores = load_head("quality").learnt.task.protein_scores
    for name in ("tm_score", "gdt_ts", "gdt_ha", "lddt"):
        assert good.protein[scores.index(name)] > bad.protein[scores.index(name)] + 0.3
    assert np.nanmean(good.residue[:, 0] > bad.residue[:, 0]) > 0.9


def moved(chain, shift: np.ndarray):
    """Return the chain with its atoms shifted."""
    from dataclasses import replace

    return replace(chain, atoms=replace(chain.atoms, coord=chain.atoms.coord + shift))


@pytest.fixture
def real_chain(shared_data: Path):
    """Return one chain of the corpus with all its residues."""
    for source in open_sources([str(shared_data / "structures" / "structures-002.tar.xz")]):
        if source.name.endswith(".pdb"):
            for chain in tertia.read_structure(source).chains:
                if 60 < len(chain) < 120 and chain.seen.all():
                    return chain
    raise AssertionError("no such chain in the archive")
