"""Make decoys of a chain whose lDDT spreads evenly, and label each by comparing it with the native."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tertia.structure.chain import Chain
from tertia.structure.decoys import elastic, fragments, hinge, shift, template, torsion
from tertia.structure.decoys.settle import settle, settle_alpha, squared_distances
from tertia.structure.decoys.texture import BOND, Texture
from tertia.structure.decoys.trace import Move, Trace, along
from tertia.structure.quality import GlobalQuality, global_quality, lddt

GENERATORS: Mapping[str, Callable[[Trace, list[Trace], np.random.Generator], Move | None]] = {
    "torsion": torsion.draw, "elastic": elastic.draw, "register": shift.draw, "template": template.draw,
    "fragment": fragments.draw, "hinge": hinge.draw,
}  # fmt: skip

FEWEST = 20
"""Residues with a C-alpha that a native needs."""
LOWEST, HIGHEST = 0.20, 0.95
_NEAR_ENOUGH = 0.015
_TOLERATED = 0.05
_STRENGTHS = (0.08, 0.2, 0.35, 0.55, 0.75, 1.0)
_N_TRIES = 4
_REACH = {"torsion": 0.45, "elastic": 0.42, "register": 0.40, "hinge": 0.42, "template": 0.0, "fragment": 0.30}
"""lDDT below which a generator seldom comes: it is not tried there."""
_LARGEST_BOND_ERROR = 0.18  # Angstrom, around 3.82
_INSIDE = 3.2  # Angstrom, CA-CA of residues three or more apart, which no protein has


@dataclass(frozen=True, eq=False)
class Decoy:
    """A chain with an error, and how far it is from its native by every measure."""

    chain: Chain
    generator: str
    parameters: Mapping[str, object]  # JSON-able
    lddt: np.ndarray  # (L,) float64, 0-1, of each residue; NaN where the native has no C-alpha
    quality: GlobalQuality  # lddt, tm_score, gdt_ts, gdt_ha, rmsd


def evenly(n: int, generator: np.random.Generator) -> np.ndarray:
    """Return n values of lDDT in random order, one from each of n equal parts of 0.2-0.95."""
    parts = (generator.permutation(n) + generator.random(n)) / max(n, 1)
    return LOWEST + (HIGHEST - LOWEST) * parts


def make_decoys(
    native: Chain, others: Sequence[Chain], *, n: int, generator: np.random.Generator,
    wanted: np.ndarray | None = None, generators: Sequence[str] = tuple(GENERATORS),
) -> list[Decoy]:  # fmt: skip
    """Make decoys of one chain, its generators in turn, each as wrong as wanted.

    Parameters
    ----------
    native: at least 20 residues with a C-alpha; gaps, and C-alphas alone, are welcome.
    others: natives that fragments and templates are taken from; without any, fragments come from the native itself
        and there are no templates.
    n: how many.
    generator: the only source of randomness.
    wanted: (n,) lDDT to aim at, 0-1; by default even over 0.2-0.95 (`evenly`). What a generator cannot reach is tried
        with others, and the nearest is taken.
    generators: names from GENERATORS.

    Raises ValueError when the native is too short.
    """
    trace = Trace.of(native)
    if len(trace) < FEWEST:
        raise ValueError(f"decoys need at least {FEWEST} residues with a C-alpha, not {len(trace)}")
    sources = [Trace.of(other) for other in others]
    sources = [source for source in sources if len(source) >= FEWEST]
    aims = evenly(n, generator) if wanted is None else np.asarray(wanted, dtype=np.float64)
    maker = _Maker(native, trace, sources, generator)
    names = [name for name in generators if name != "template" or sources]
    return [decoy for k, aim in enumerate(aims) if (decoy := maker.make(names, k, float(aim))) is not None]


@dataclass(frozen=True, eq=False)
class _Candidate:
    error: float
    name: str
    strength: float
    move: Move
    texture: Texture


@dataclass(frozen=True, eq=False)
class _Maker:
    native: Chain
    trace: Trace
    sources: list[Trace]
    generator: np.random.Generator

    def make(self, names: Sequence[str], turn: int, aim: float) -> Decoy | None:
        """Return the decoy nearest to the lDDT aimed at, of the generator whose turn it is if that comes near."""
        able = [name for name in names if _REACH[name] <= aim] or list(names)
        best: _Candidate | None = None
        for attempt in range(_N_TRIES):
            name = able[(turn + max(attempt - 1, 0)) % len(able)]  # twice the same, then the next ones
            found = self._try(name, aim)
            if found is not None and (best is None or found.error < best.error):
                best = found
            if best is not None and best.error <= _TOLERATED:
                break
        return None if best is None else self._decoy(best, aim)

    def _try(self, name: str, aim: float) -> _Candidate | None:
        """Draw a move and search its strength: first all over, then around the best."""
        move = GENERATORS[name](self.trace, self.sources, self.generator)
        if move is None:
            return None
        texture = Texture.draw(self.trace, self.sources, self.generator, aim=aim)
        best: _Candidate | None = None
        strengths = _STRENGTHS
        for _ in range(2):
            shapes = [move.at(strength) for strength in strengths]
            reached = np.ones(len(strengths))
            for k, alpha in enumerate(settle_alpha(shapes, self.trace, texture)):
                reached[k] = lddt(self.trace.alpha, alpha).whole
                error = abs(reached[k] - aim)
                if (best is None or error < best.error) and is_sane(alpha, self.trace):
                    best = _Candidate(error, name, strengths[k], move, texture)
            if best is not None and best.error < _NEAR_ENOUGH:
                break
            strengths = _between(strengths, reached, aim)
        return best

    def _decoy(self, found: _Candidate, aim: float) -> Decoy:
        shape = found.move.at(found.strength)
        chain = settle(shape, self.trace, found.texture).chain(self.native)
        chain = replace(chain, frame=f"{self.native.frame}/decoy")
        parameters = {"strength": round(found.strength, 6), "aim": round(aim, 4), **shape.details}
        residue = lddt(self.native.alpha, chain.alpha).residue
        return Decoy(chain, found.name, parameters, residue, global_quality(self.native.alpha, chain.alpha))


def _between(strengths: Sequence[float], reached: np.ndarray, aim: float) -> tuple[float, ...]:
    """Return strengths between the last that is too weak and the first that is too strong."""
    strong = np.flatnonzero(reached < aim)
    first = int(strong[0]) if len(strong) else len(strengths) - 1
    low, high = (strengths[first - 1] if first else 0.0), strengths[first]
    return tuple(low + (high - low) * part for part in (0.2, 0.4, 0.6, 0.8))


def is_sane(alpha: np.ndarray, native: Trace) -> bool:
    """Tell whether all bonds are whole, (M, 3) Angstrom, and no residues inside each other that were not so before."""
    bond = along(alpha, 1)[native.bonded]
    before = along(native.alpha, 1)[native.bonded]
    whole = np.minimum(np.abs(bond - BOND), np.abs(bond - before)) < _LARGEST_BOND_ERROR
    return bool(whole.all()) and n_inside(alpha) <= n_inside(native.alpha)


def n_inside(alpha: np.ndarray) -> int:
    """Count pairs of residues, three or more apart along the chain, that are nearer than any protein has them."""
    return int(np.count_nonzero(np.triu(squared_distances(alpha) < _INSIDE**2, 3)))
