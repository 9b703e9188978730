"""Score a model on its own objective: the denoising loss at every noise level, beside analytic baselines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tertia.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from tertia.structure.chain import Chain

N_DIMENSION_RESIDUES = 4000


@dataclass(frozen=True)
class DenoisingReport:
    """What `evaluate_denoising` found; `levels` has one row a noise level, largest first."""

    model: str
    n_chains: int
    n_residues: int
    levels: tuple[dict[str, float | None], ...]
    effective_dimension: float | None
    effective_dimension_raw: float | None
    embed_sigma: float  # Angstrom
    failed: tuple[InputError, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        values = {name: value for name, value in vars(self).items() if name != "failed"}
        return values | {"levels": list(self.levels), "failed": [str(error) for error in self.failed]}

    def print_json(self, out: IO[str]) -> None:
        """Write one JSON object."""
        out.write(json.dumps(self.as_dict(), indent=1) + "\n")

    def print_table(self, out: IO[str]) -> None:
        """Write the losses as a table; baselines are those of the diagonal crops."""
        names = ("diagonal", "offdiagonal", "whole", "constant", "position_only", "bond_springs")
        out.write(f"model {self.model}: {self.n_chains} chains, {self.n_residues} residues; 1 = predicting nothing\n")
        out.write(f"{'sigma/A':>8} {'diagonal':>9} {'off-diag':>9} {'whole':>9}   baselines on diagonal crops:\n")
        out.write(f"{'':8} {'':9} {'':9} {'':9} {'constant':>9} {'position':>9} {'bonds':>9}\n")
        for row in self.levels:
            cells = ("-" if row[name] is None else f"{row[name]:.3f}" for name in names)
            out.write(f"{row['sigma']:8.4g} " + " ".join(f"{cell:>9}" for cell in cells) + "\n")
        if self.effective_dimension is not None:
            out.write(
                f"effective dimension of the residue embeddings at sigma {self.embed_sigma:.3g}: "
                f"{self.effective_dimension:.1f} standardised, {self.effective_dimension_raw:.1f} raw\n"
            )


def evaluate_denoising(
    inputs: Sequence[str] | str, *, model: str | Path = "distmap", split: str = "test", max_chains: int = 0,
    draws: int = 2, whole_chains: int = 12, seed: int = 0, jobs: int = 1, progress: bool = True,
) -> DenoisingReport:  # fmt: skip
    """Return the normalised loss of each noise level on structures or on one split of a store.

    Parameters
    ----------
    inputs: structures (files, folders, archives, ...), or one store.
    model: a checkpoint folder or the name of a shipped model.
    split: which chains of a store: train, valid or test.
    max_chains: thin the chains out evenly to so many; 0 = all.
    draws: crops a chain and geometry. whole_chains: how many are scored whole.

    Raises
    ------
    InputError: no chain at all; CheckpointError: the model cannot be loaded, or has no noise levels.
    """
    from tertia.models.distmap.denoising import Settings, level_losses
    from tertia.progress import Progress
    from tertia.training import checkpoint

    trained = checkpoint.load(model)
    if trained.family.name != "distmap":
        raise CheckpointError(str(model), found=f"is of the family {trained.family.name}", allowed="distmap")
    inputs = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    failed: list[InputError] = []
    chains = [chain for chain in _chains([str(one) for one in inputs], split, failed, jobs) if chain.seen.sum() >= 2]
    if not chains:
        raise failed[0] if failed else InputError(str(inputs[0]), found="no chain with coordinates")
    if max_chains and len(chains) > max_chains:
        chains = chains[:: -(-len(chains) // max_chains)]
    examples = [trained.family.featurise(chain) for chain in chains]
    settings = Settings(draws=draws, n_whole=whole_chains, seed=seed)
    with Progress(progress) as bar:
        bar.step("noise levels", total=trained.family.n_levels)
        rows = level_losses(trained.family, trained.network, examples, settings=settings, done=bar.advance)
    standard, raw = _dimensions(trained.network, examples)
    return DenoisingReport(
        model=str(model), n_chains=len(chains), n_residues=sum(map(len, chains)), levels=tuple(rows),
        effective_dimension=standard, effective_dimension_raw=raw,
        embed_sigma=float(trained.family.sigmas[trained.family.embed_level]), failed=tuple(failed),
    )  # fmt: skip


def _chains(inputs: list[str], split: str, failed: list[InputError], jobs: int) -> Iterator[Chain]:
    from tertia.data.store import INDEX, Store

    if len(inputs) == 1 and ((Path(inputs[0]) / INDEX).is_file() or inputs[0].endswith(".safetensors")):
        store = Store.open(inputs[0])
        for position in store.split(split):
            yield store[int(position)]
        return
    from tertia.structure.read import read_inputs

    for found in read_inputs(inputs, jobs=jobs):
        if isinstance(found, InputError):
            failed.append(found)
        else:
            yield from found.chains


def _dimensions(network, examples: Sequence[Any]) -> tuple[float | None, float | None]:
    """Return the effective dimension of unperturbed residue embeddings: standardised per channel, and as they are."""
    import torch

    from tertia.data.batch import collate
    from tertia.training.validation import effective_dimension

    rows: list[torch.Tensor] = []
    with torch.no_grad():
        for example in sorted(examples, key=lambda one: one.letter.shape[-1])[len(examples) // 4 :]:
            inputs = collate([example])
            rows.append(network.encode(inputs).residue[0][inputs.seen[0, 0]])
            if sum(map(len, rows)) >= N_DIMENSION_RESIDUES:
                break
    values = torch.cat(rows)
    if len(values) < 2:
        return None, None
    level = int(examples[0].level)
    std = network.standard.std[level, 1]  # kind 1 = residue
    return effective_dimension((values - values.mean(0)) / values.std(0).clamp_min(1e-9)), effective_dimension(
        values * std
    )
