"""How well a network denoises given chains: the normalised loss of each noise level, beside the analytic baselines.

Three geometries: `diagonal` crops (rows are columns), `offdiagonal` crops (two windows that do not overlap, where the
chain is long enough), `whole` chains. 1 = predicting nothing. Crops and noise come from fixed seeds, so two models see
the same examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from tertia.data.batch import collate
from tertia.models.distmap import objective
from tertia.models.distmap.baselines import NAMES
from tertia.models.distmap.corrupt import Target, add_noise, crop
from tertia.models.distmap.family import Distmap
from tertia.models.distmap.inputs import Inputs

GEOMETRIES = ("diagonal", "offdiagonal", "whole")
BATCH_PAIRS = 64 * 32 * 32


@dataclass(frozen=True)
class Settings:
    """How many examples are drawn, and how large."""

    width: int = 32  # residues on each side of a crop
    draws: int = 2  # crops a chain and geometry
    n_whole: int = 12  # chains that are scored whole, evenly thinned out; 0 = none
    longest_whole: int = 400  # residues; longer chains are scored by crops only
    seed: int = 0


def level_losses(
    family: Distmap, network: torch.nn.Module, chains: Sequence[Inputs], *, settings: Settings = Settings(),
    done: Callable[[], None] = lambda: None,
) -> list[dict[str, float | None]]:  # fmt: skip
    """Return one row a noise level: sigma, the loss of each geometry (None: no example) with the standard error of its
    mean over examples, and the loss of each baseline.

    Parameters
    ----------
    chains: featurised whole chains without batch axis.
    done: called after each level.
    """
    short = [chain for chain in chains if chain.letter.shape[-1] <= settings.longest_whole]
    step = -(-len(short) // settings.n_whole) if settings.n_whole and short else 1
    rows = []
    for level, sigma in enumerate(family.sigmas.tolist()):
        drawn = {
            "diagonal": _crops(chains, level, sigma, settings, apart=False),
            "offdiagonal": _crops(chains, level, sigma, settings, apart=True),
            "whole": _whole(short[::step] if settings.n_whole else [], level, sigma, settings),
        }
        row: dict[str, float | None] = {"sigma": sigma}
        for geometry, examples in drawn.items():
            examples = list(examples)
            found = _network_losses(family, network, examples)
            row[geometry], row[f"{geometry}_error"] = _mean(found), _standard_error(found)
            for name, losses in _baseline_losses(network, examples, sigma).items():
                row[name if geometry == "diagonal" else f"{geometry}_{name}"] = _mean(losses)
        rows.append(row)
        done()
    return rows


def _crops(
    chains: Sequence[Inputs], level: int, sigma: float, settings: Settings, *, apart: bool
) -> Iterator[tuple[Inputs, Target]]:
    width = settings.width
    for number, chain in enumerate(chains):
        generator = np.random.default_rng((settings.seed, level, number, int(apart)))
        length = chain.letter.shape[-1]
        for _ in range(settings.draws):
            if apart:
                if length < 2 * width:
                    break
                first, second = np.sort(generator.integers(0, length - 2 * width + 1, 2)) + (0, width)
                starts = (int(first), int(second))
            else:
                starts = (int(generator.integers(max(length - width, 0) + 1)),) * 2
            cut = crop(chain, starts, width)
            if cut.seen.sum(-1).min() >= 2:
                yield add_noise(replace(cut, level=torch.tensor(level)), sigma, generator)


def _whole(chains: Sequence[Inputs], level: int, sigma: float, settings: Settings) -> Iterator[tuple[Inputs, Target]]:
    for number, chain in enumerate(chains):
        generator = np.random.default_rng((settings.seed, level, number, 2))
        yield add_noise(replace(chain, level=torch.tensor(level)), sigma, generator)


@torch.no_grad()
def _network_losses(family: Distmap, network: torch.nn.Module, examples: list[tuple[Inputs, Target]]) -> list[float]:
    losses: list[float] = []
    batch: list[tuple[Inputs, Target]] = []
    examples = sorted(examples, key=lambda example: example[0].letter.shape[-1])
    for position, example in enumerate(examples):
        batch.append(example)
        if position + 1 == len(examples) or (len(batch) + 1) * example[0].letter.shape[-1] ** 2 > BATCH_PAIRS:
            noisy, target = (collate(column) for column in zip(*batch, strict=True))
            device = network.sigmas.device
            noisy, target = (type(x)(**{k: v.to(device) for k, v in vars(x).items()}) for x in (noisy, target))
            losses += family.loss(network, noisy, target).per_example.tolist()
            batch = []
    return losses


def _baseline_losses(
    network: torch.nn.Module, examples: list[tuple[Inputs, Target]], sigma: float
) -> dict[str, list[float]]:
    losses: dict[str, list[float]] = {name: [] for name in NAMES}
    baselines = network.baselines
    if not bool(baselines.mean_square.any()):
        return losses  # a network that was never calibrated
    for noisy, target in examples:
        for name, force in baselines.forces(noisy, sigma).items():
            error = objective.squared_error(force, target.noise)[None]
            losses[name].append(float(objective.normalised(error, noisy.seen[None].float())[0]))
    return losses


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _standard_error(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
