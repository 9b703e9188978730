"""Write docs/results/embed_level.md: which noise level embeddings should be taken at, judged by frozen probes.

    python benchmarks/embed_level.py STORE --model distmap --write

Ridge regressions on the standardised residue embeddings of training chains, scored on validation chains (other clusters
at 30 % identity): a choice that is made here does not spend the test chains. Targets are properties that C-alpha distances do not state: relative side-chain accessibility from all
heavy atoms, three-state secondary structure (P-SEA). Controls: a network with fresh weights, and the amino acid alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from biotite.structure import AtomArray, annotate_sse, apply_residue_wise, sasa

from tertia.data.batch import collate
from tertia.data.store import Store
from tertia.residues import N_INDICES, letter_indices
from tertia.structure.chain import Chain
from tertia.training import checkpoint
from tertia.training.validation import effective_dimension

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SIGMAS = (10.0, 3.2, 1.7, 1.0, 0.55, 0.28, 0.145, 0.06, 0.01)
LONGEST, N_CHAINS = 220, 90  # residues, and chains of each split: what fits a laptop's patience
PENALTIES = (1.0, 10.0, 100.0, 1000.0)


def atom_array(chain: Chain) -> AtomArray:
    """Return the heavy atoms of a chain for biotite."""
    atoms = chain.atoms
    array = AtomArray(len(atoms))
    array.coord = atoms.coord.copy()
    array.atom_name, array.element = atoms.name.copy(), atoms.element.copy()
    array.res_id = atoms.residue_of_atom + 1
    array.res_name = np.full(len(atoms), "ALA")
    array.chain_id = np.full(len(atoms), "A")
    return array


def targets(chain: Chain) -> tuple[np.ndarray, np.ndarray]:
    """Return solvent-accessible area a residue (L,), Angstrom^2, and secondary structure (L,) 0 coil 1 helix 2 strand."""
    array = atom_array(chain)
    area = sasa(array, vdw_radii="Single", point_number=100)
    by_residue = np.zeros(len(chain))
    numbers = np.unique(array.res_id)
    by_residue[numbers - 1] = apply_residue_wise(array, np.nan_to_num(area), np.sum)
    state = np.zeros(len(chain), dtype=int)
    # Residues without a C-alpha have no state and are left out below.
    with_alpha = array[np.isin(array.res_id, np.flatnonzero(chain.seen) + 1)]
    state[np.unique(with_alpha.res_id) - 1] = ["cab".index(letter) for letter in annotate_sse(with_alpha)]
    return by_residue, state


class Probe:
    """Frozen features of two sets of chains, and what they are to predict."""

    def __init__(self, fit: Sequence[Chain], score: Sequence[Chain]) -> None:
        self.sets = (fit, score)
        self.seen = [np.concatenate([chain.seen for chain in chains]) for chains in self.sets]
        values = [[targets(chain) for chain in chains] for chains in self.sets]
        self.area = [
            np.concatenate([area for area, _ in one])[seen] for one, seen in zip(values, self.seen, strict=True)
        ]
        self.state = [np.concatenate([s for _, s in one])[seen] for one, seen in zip(values, self.seen, strict=True)]
        letters = [np.concatenate([letter_indices(c.sequence) for c in chains]) for chains in self.sets]
        self.letter = [np.eye(N_INDICES)[one[seen]] for one, seen in zip(letters, self.seen, strict=True)]

    def score(self, features: list[np.ndarray]) -> tuple[float, float]:
        """Return R^2 of the accessibility and accuracy of the secondary structure on the second set."""
        x, y = (np.concatenate([one, letter], axis=1) for one, letter in zip(features, self.letter, strict=True))
        area = ridge(x, self.area[0][:, None], y)[:, 0]
        residual = np.square(area - self.area[1]).sum() / np.square(self.area[1] - self.area[1].mean()).sum()
        state = ridge(x, np.eye(3)[self.state[0]], y).argmax(1)
        return 1.0 - residual, float((state == self.state[1]).mean())

    def embed(self, trained: checkpoint.Checkpoint, level: int) -> list[np.ndarray]:
        """Return the residue embeddings of both sets at one noise level."""
        encoder = trained.network.encoder([level])
        rows = [[encoder.encode(collate([trained.family.featurise(c)])).residue[0].numpy() for c in chains]
                for chains in self.sets]  # fmt: skip
        return [np.concatenate(one)[seen] for one, seen in zip(rows, self.seen, strict=True)]


def ridge(x: np.ndarray, target: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fit on x, with the penalty that is best on a held-out fifth of x, and predict for y."""
    mean, std, centre = x.mean(0), x.std(0) + 1e-6, target.mean(0)
    x, y = (x - mean) / std, (y - mean) / std
    part = np.arange(len(x)) // 200 % 5 == 0  # whole stretches, so that neighbours do not tell on each other

    def weights(rows: np.ndarray, penalty: float) -> np.ndarray:
        return np.linalg.solve(x[rows].T @ x[rows] + penalty * np.eye(x.shape[1]), x[rows].T @ (target[rows] - centre))

    errors = [np.square(x[part] @ weights(~part, p) + centre - target[part]).mean() for p in PENALTIES]
    return y @ weights(np.ones(len(x), dtype=bool), PENALTIES[int(np.argmin(errors))]) + centre


def some_chains(store: Store, split: str) -> list[Chain]:
    """Return chains that are not too long, evenly thinned out."""
    short = [int(k) for k in store.split(split) if store.lengths[k] <= LONGEST]
    return [store[k] for k in short[:: -(-len(short) // N_CHAINS)]]


def main() -> None:
    """Probe every level, print, and write when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--model", default="distmap")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    store, trained = Store.open(chosen.store), checkpoint.load(chosen.model)
    probe = Probe(*(some_chains(store, part) for part in ("train", "valid")))
    torch.manual_seed(0)
    fresh = checkpoint.Checkpoint(trained.family, trained.family.network().eval(), {}, trained.folder)

    alone = probe.score([letter[:, :0] for letter in probe.letter])
    lines = [f"| amino acid alone | - | {alone[0]:.3f} | {alone[1]:.3f} | - |"]
    sigmas, features = trained.family.sigmas.numpy(), {}
    for sigma in SIGMAS:
        level = int(np.abs(np.log(sigmas / sigma)).argmin())
        features[level] = probe.embed(trained, level)
        scores = probe.score(features[level])
        dimension = effective_dimension(torch.from_numpy(features[level][1]))
        lines.append(f"| trained | {sigmas[level]:.3g} | {scores[0]:.3f} | {scores[1]:.3f} | {dimension:.1f} |")
    middle = trained.family.embed_level
    control = probe.embed(fresh, middle)
    scores = probe.score(control)
    dimension = effective_dimension(torch.from_numpy(control[1]))
    lines.append(f"| fresh weights | {sigmas[middle]:.3g} | {scores[0]:.3f} | {scores[1]:.3f} | {dimension:.1f} |")
    three = [int(np.abs(np.log(sigmas / sigma)).argmin()) for sigma in (3.2, 0.55, 0.145)]
    both = [np.concatenate([features[k][part] for k in three], axis=1) for part in (0, 1)]
    scores = probe.score(both)
    lines.append(f"| trained, three levels side by side | {', '.join(f'{sigmas[k]:.3g}' for k in three)} "
                 f"| {scores[0]:.3f} | {scores[1]:.3f} | {effective_dimension(torch.from_numpy(both[1])):.1f} |")  # fmt: skip
    text = [
        "# The noise level of the embeddings", "",
        f"Ridge probes on frozen residue embeddings ({chosen.model}) beside the amino acid, fitted on"
        f" {len(probe.sets[0])} training chains ({len(probe.area[0]):,} residues), scored on {len(probe.sets[1])} validation"
        f" chains ({len(probe.area[1]):,} residues) of other clusters; chains of at most {LONGEST} residues.", "",
        "| embedding | sigma / Å | accessibility, R² | secondary structure, accuracy | effective dimension |",
        "|---|---|---|---|---|", *lines, "",
        f"The default of this model is sigma = {sigmas[middle]:.3g} Å. Written by"
        " `python benchmarks/embed_level.py STORE --model distmap --write`.", "",
    ]  # fmt: skip
    print("\n".join(text))
    if chosen.write:
        (RESULTS / "embed_level.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
