"""`Distmap`: the hyper-parameters of the family and the five methods that the rest of tertia calls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from tertia.models.distmap import objective
from tertia.models.distmap.corrupt import Target, add_noise, crop, draw_starts
from tertia.models.distmap.inputs import Inputs, inputs_of_chain, sigma_levels
from tertia.models.distmap.network import PaperNetwork, TertiaNetwork
from tertia.models.family import Loss
from tertia.structure.chain import Chain

FORCES = {"tertia": objective.force, "paper": objective.paper_force, "released": objective.released_force}

FOCUS_SPREAD = 0.8
"""Standard deviation of the logarithm of the noise about `focus_sigma` (a log-normal, as in Karras et al., 2022)."""


@dataclass(frozen=True)
class Distmap:
    """Hyper-parameters of a distance-map model.

    `mode` "paper" is Guo et al. as published (eq. 4 and 5), "released" the same network trained as their code does,
    "tertia" the improved default.
    """

    name: ClassVar[str] = "distmap"
    needs_coordinates: ClassVar[bool] = True

    mode: str = "tertia"
    width: int = 64
    bottleneck: int = 32
    n_blocks: int = 24
    dilations: tuple[int, ...] = (1, 2, 4, 8)  # cycled over the blocks
    n_levels: int = 32
    largest_sigma: float = 10.0  # Angstrom
    smallest_sigma: float = 0.01  # Angstrom
    embed_level: int = 19  # index of the noise level that embeddings are taken at
    crop: int = 32
    late_crop: int = 64  # width of the crops in the last `late_share` of the training
    late_share: float = 0.1
    diagonal_share: float = 0.5  # crops whose rows are their columns
    redundancy_weight: float = 0.5  # of 1 / effective dimension of the residue embedding in the loss
    focus_sigma: float = 2.0  # Angstrom, about where most is to be learnt: the fold shows, the details do not
    focus_share: float = 0.0  # examples with noise of about `focus_sigma`; the others are uniform over the levels
    near_share: float = 0.25  # crops whose rows and columns start at most 16 apart; the rest is uniform

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        if self.mode not in FORCES:
            yield "mode", f"is {self.mode!r}", ", ".join(FORCES)
        for key in ("width", "bottleneck", "n_blocks", "n_levels", "crop", "late_crop"):
            if getattr(self, key) < 1:
                yield key, f"is {getattr(self, key)}", "1 or more"
        if not self.dilations or min(self.dilations) < 1:
            yield "dilations", f"are {list(self.dilations)}", "one or more whole numbers above 0"
        if not 0 < self.smallest_sigma <= self.largest_sigma < math.inf:
            found = f"is {self.smallest_sigma} and largest_sigma is {self.largest_sigma}"
            yield "smallest_sigma", found, "numbers above 0, the smallest first"
        if not 0 < self.focus_sigma < math.inf:
            yield "focus_sigma", f"is {self.focus_sigma}", "a number above 0"
        if not 0 <= self.embed_level < self.n_levels:
            yield "embed_level", f"is {self.embed_level}", f"0 to {self.n_levels - 1}, as n_levels says"
        for key in ("late_share", "diagonal_share", "near_share", "focus_share"):
            if not 0 <= getattr(self, key) <= 1:
                yield key, f"is {getattr(self, key)}", "0 to 1"
        if self.diagonal_share + self.near_share > 1:
            found = f"is {self.near_share} and diagonal_share is {self.diagonal_share}"
            yield "near_share", found, "a sum of at most 1"
        if not 0 <= self.redundancy_weight < math.inf:
            yield "redundancy_weight", f"is {self.redundancy_weight}", "0 or more"

    @property
    def sigmas(self) -> torch.Tensor:
        """(K,) noise levels in Angstrom, largest first."""
        return sigma_levels(self.n_levels, self.largest_sigma, self.smallest_sigma)

    def featurise(self, chain: Chain) -> Inputs:
        """Return the whole chain at the level of embedding, without the batch axis."""
        return inputs_of_chain(chain, self.embed_level)

    def cost(self, n_residues: int) -> float:
        """Return the number of residue pairs."""
        return float(n_residues) ** 2

    def network(self) -> torch.nn.Module:
        """Build the network with fresh weights."""
        kind = TertiaNetwork if self.mode == "tertia" else PaperNetwork
        dilations = tuple(self.dilations[k % len(self.dilations)] for k in range(self.n_blocks))
        return kind(self.width, self.bottleneck, dilations, self.sigmas)

    def corrupt(
        self, inputs: Inputs, generator: np.random.Generator, *, progress: float = 0.0
    ) -> tuple[Inputs, Target]:
        """Draw a noise level and a crop with at least one residue in sight, and perturb its coordinates."""
        width = self.late_crop if progress >= 1.0 - self.late_share else self.crop
        level = self._draw_level(generator)
        length = inputs.letter.shape[-1]
        for _ in range(16):  # a crop may fall into a gap; chains without any coordinates never get here
            starts = draw_starts(length, width, generator, diagonal=self.diagonal_share, near=self.near_share)
            cut = crop(inputs, starts, width)
            if cut.seen.any(-1).all():
                break
        cut = replace(cut, level=torch.tensor(level))
        return add_noise(cut, float(self.sigmas[level]), generator)

    def _draw_level(self, generator: np.random.Generator) -> int:
        if not self.focus_share or generator.random() >= self.focus_share:
            return int(generator.integers(self.n_levels))
        sigma = self.focus_sigma * math.exp(FOCUS_SPREAD * generator.standard_normal())
        return int((self.sigmas.log() - math.log(sigma)).abs().argmin())

    def force(self, network: torch.nn.Module, noisy: Inputs) -> torch.Tensor:
        """Return sigma G, (B, 2, L, 3): the predicted score in units of 1/sigma, on row and column residues."""
        return FORCES[self.mode](network(noisy)[0], noisy)

    def loss(self, network: torch.nn.Module, noisy: Inputs, target: Target) -> Loss:
        """Score a padded batch; `value` is eq. 5 in the paper's modes, the normalised error in ours."""
        outputs, maps = network(noisy)
        # Differences of coordinates do not survive 8 bits: from here on in full precision, whatever the network ran in.
        with torch.autocast(maps.device.type, enabled=False):
            return self._score(outputs, maps.float(), noisy, target)

    def _score(self, outputs: torch.Tensor, maps: torch.Tensor, noisy: Inputs, target: Target) -> Loss:
        error = objective.squared_error(FORCES[self.mode](outputs, noisy), target.noise)
        weight = objective.residue_weight(noisy, once=self.mode == "paper")
        per_example = objective.normalised(error, weight)
        value = per_example.mean() if self.mode == "tertia" else objective.equation_5(error, weight).mean()
        if self.redundancy_weight:
            value = value + self.redundancy_weight * objective.redundancy(maps, noisy)
        return Loss(value=value, per_example=per_example.detach(), group=noisy.level)
