"""`tertia verify`: check the guarantees on the user's own structures, with the user's own weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tertia.embed import embed
from tertia.errors import InputError

if TYPE_CHECKING:
    from tertia.embedding import Embedding
    from tertia.structure.chain import Chain

TOLERANCE = 1e-4
"""Largest difference of two embeddings of a chain, relative to the largest value of the chain, in fp32."""

MOTION_TOLERANCE = 2e-3
"""The same after a rigid motion: in float32, moved coordinates themselves are off by 1e-5 Angstrom."""

MOST_CHAINS, MOST_RESIDUES = 8, 1000


@dataclass(frozen=True)
class Check:
    """One guarantee and what was found of it."""

    guarantee: str
    difference: float  # largest difference relative to the largest value; number of differences for what is counted
    allowed: float | None  # None: nothing is promised
    good: bool
    note: str = ""


def verify(inputs: Sequence[str] | str, *, model: str | Path = "distmap", jobs: int = 1) -> list[Check]:
    """Return the guarantees that can be checked on a few chains, and what was found.

    Parameters
    ----------
    inputs: files, folders, globs, tar archives, "-". The first chains of at most 1,000 residues are taken, 8 at most.
    model: name of a shipped model, or a checkpoint folder.

    Raises
    ------
    InputError: no input holds such a chain. CheckpointError: no such model.
    """
    from tertia.training import checkpoint

    chains = _chains([inputs] if isinstance(inputs, str) else inputs, jobs)
    trained = checkpoint.load(model)

    def embedded(some: Sequence[Chain]) -> list[Embedding]:
        return list(embed(some, model=trained, device="cpu"))

    together = embedded(chains)
    alone = [embedded([chain])[0] for chain in chains]
    companions = [_extended(chain) for chain in chains]
    padded = [embedded([chain, companion])[0] for chain, companion in zip(chains, companions, strict=True)]
    again = embedded(chains)
    moved, mirrored = (embedded([_moved(chain, determinant=sign) for chain in chains]) for sign in (1, -1))

    batch = max(_difference(together, alone), _difference(padded, alone))
    motion, mirror = _difference(moved, together), _difference(mirrored, together)
    rows = sum(len(one.residue) != len(chain) for one, chain in zip(together, chains, strict=True))
    flags = sum(not np.array_equal(one.seen, chain.seen) for one, chain in zip(together, chains, strict=True))
    changed = sum(one.residue.tobytes() != two.residue.tobytes() for one, two in zip(together, again, strict=True))
    of = f"{len(chains)} chains"
    return [
        Check("batch invariance", batch, TOLERANCE, batch <= TOLERANCE, f"{of}, alone, together and padded"),
        Check("rigid motion", motion, MOTION_TOLERANCE, motion <= MOTION_TOLERANCE, f"{of}, turned and moved"),
        Check("mirror image", mirror, None, True, "differs where the model tells left from right"),
        Check("one row a residue", rows, 0, rows == 0, f"{sum(map(len, chains)):,} residues"),
        Check("missing flagged", flags, 0, flags == 0, f"{sum(int((~c.seen).sum()) for c in chains):,} missing"),
        Check("determinism", changed, 0, changed == 0, f"{of} twice, bytes compared"),
    ]


def _chains(inputs: Sequence[str], jobs: int) -> list[Chain]:
    from tertia.structure.read import read_inputs

    chains: list[Chain] = []
    failed: list[InputError] = []
    for found in read_inputs(inputs, jobs=jobs):
        if isinstance(found, InputError):
            failed.append(found)
        else:
            chains += [chain for chain in found.chains if len(chain) <= MOST_RESIDUES and chain.seen.any()]
        if len(chains) >= MOST_CHAINS:
            break
    if not chains:
        raise failed[0] if failed else InputError(
            str(inputs[0]), found="no chain to check", allowed=f"chains of at most {MOST_RESIDUES} residues"
        )  # fmt: skip
    # Names may repeat between files; embeddings of one call need different ones.
    return [replace(chain, entry=f"{chain.entry}.{k}") for k, chain in enumerate(chains[:MOST_CHAINS])]


def _extended(chain: Chain) -> Chain:
    """Return the chain with unseen residues at its end: a longer companion that makes the batch pad the first one."""
    n_more = 5 + len(chain) // 8
    number = np.concatenate([chain.label_number, chain.label_number[-1] + np.arange(1, n_more + 1, dtype=np.int32)])
    return replace(
        chain, entry=f"{chain.entry}.longer", sequence=chain.sequence + "A" * n_more,
        residue_id=(*chain.residue_id, *[""] * n_more), label_number=number.astype(np.int32),
    )  # fmt: skip


def _moved(chain: Chain, *, determinant: int) -> Chain:
    """Return the chain turned (or, with determinant -1, mirrored and turned) and moved by some Angstrom."""
    matrix, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    matrix[0] *= np.sign(np.linalg.det(matrix)) * determinant
    coord = chain.atoms.coord.astype(np.float64)
    centre = coord.mean(0)
    coord = (coord - centre) @ matrix.T + centre + np.array([7.0, -3.0, 11.0])
    return replace(chain, atoms=replace(chain.atoms, coord=coord.astype(np.float32)))


def _difference(some: Sequence[Embedding], others: Sequence[Embedding]) -> float:
    """Return the largest difference over all chains and levels, each relative to the largest value of the chain."""
    worst = 0.0
    for one, other in zip(some, others, strict=True):
        for a, b in ((one.residue, other.residue), (one.protein, other.protein)):
            worst = max(worst, float(np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-12)))
    return worst


def table(checks: Sequence[Check]) -> str:
    """Return the checks as aligned text."""
    lines = []
    for check in checks:
        verdict = "ok    " if check.good else "BROKEN"
        bound = "" if check.allowed is None else f"(allowed {check.allowed:g})"
        lines.append(f"{verdict} {check.guarantee:<18} {check.difference:<10.3g} {bound:<16} {check.note}")
    return "\n".join(lines)
