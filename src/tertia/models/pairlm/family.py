"""`Pairlm`: the hyper-parameters of the family, and the methods that the rest of tertia calls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch

from tertia.errors import CheckpointError, InputError, RecipeError
from tertia.models.family import Loss
from tertia.models.pairlm import corrupt, export, inputs, objective
from tertia.models.pairlm.encode import BATCH_RESIDUES
from tertia.models.pairlm.inputs import Inputs, Line
from tertia.models.pairlm.longformer import Longformer
from tertia.models.pairlm.network import LanguageModel
from tertia.models.pairlm.packing import FIRST_POSITION
from tertia.models.pairlm.roberta import Roberta
from tertia.models.pairlm.rotary import Rotary
from tertia.sequence.tokens import Tokenizer
from tertia.structure.chain import Chain

TOKENIZER = "tokenizer.json"
SHORTEST_LINE = 8
"""The 4 special tokens of a line with two chains, and two tokens of each."""


@dataclass(frozen=True)
class Pairlm:
    """Hyper-parameters of a masked language model on one chain a line, or two."""

    name: ClassVar[str] = "pairlm"
    needs_coordinates: ClassVar[bool] = False

    architecture: Literal["roberta", "longformer", "rotary"] = "rotary"
    tokenizer: str = ""  # path of a tokenizer.json; "" = every residue is a token
    width: int = 256
    n_layers: int = 4
    n_heads: int = 4
    inner: int = 0  # width of the layer on each token; 0 = 4 times the width
    longest: int = 256  # tokens of the longest line in training, special ones too; roberta, longformer: and of a window
    window: int = 512  # longformer: a token sees half of it on each side
    dropout: float = 0.0
    cross: bool = True  # the two chains of a line attend to each other
    masked_share: float = 0.15
    replacement: Literal["used", "all"] = "used"  # random tokens: letters and merges, or the whole vocabulary
    token_dropout: float = 0.0  # share of the bonds that are closed to merges, anew in every training example
    attend_padding: bool = False  # fill lines up to `longest` with padding that is attended to, as the reference does

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        least = {"width": 1, "n_layers": 1, "n_heads": 1, "inner": 0, "longest": SHORTEST_LINE, "window": 2}
        for key, value in least.items():
            if getattr(self, key) < value:
                yield key, f"is {getattr(self, key)}", f"{value} or more"
        multiple = self.n_heads * (2 if self.architecture == "rotary" else 1)
        if self.n_heads > 0 and self.width % multiple:
            yield "width", f"is {self.width}", f"a multiple of {multiple}"
        if self.window % 2:
            yield "window", f"is {self.window}", "an even number"
        if not 0 < self.masked_share < 1 or math.isnan(self.masked_share):
            yield "masked_share", f"is {self.masked_share}", "between 0 and 1"
        for key in ("dropout", "token_dropout"):
            if not 0 <= getattr(self, key) < 1:
                yield key, f"is {getattr(self, key)}", "0 up to, not including, 1"

    @cached_property
    def tokens(self) -> Tokenizer:
        """The tokenizer itself; raises RecipeError when its file cannot be used."""
        if not self.tokenizer:
            return inputs.single_residues()
        try:
            return Tokenizer.load(self.tokenizer)
        except InputError as error:
            raise RecipeError("recipe", "family.tokenizer", found=f"{self.tokenizer} {error.found}",
                              allowed=error.allowed, hint="`tertia tokens` makes one from FASTA") from None  # fmt: skip

    def files(self) -> dict[str, bytes]:
        """Return the files that a checkpoint needs beside the weights."""
        return {TOKENIZER: self.tokens.text.encode()} if self.tokenizer else {}

    def at(self, folder: str | Path) -> Pairlm:
        """Return the same family with its files in a folder."""
        return replace(self, tokenizer=str(Path(folder) / TOKENIZER)) if self.tokenizer else self

    @property
    def batch_cost(self) -> float:
        """The cost of a batch that computes fast."""
        return BATCH_RESIDUES / 256 * self.cost(256)

    def featurise(self, chain: Chain) -> Inputs:
        """Return the whole chain, without the batch axis."""
        return inputs.inputs_of_chain(chain, self.tokens)

    def join(self, first: Inputs, second: Inputs) -> Inputs:
        """Return two chains as one line, without the batch axis; the order counts."""
        return inputs.join(first, second)

    def cost(self, n_residues: int) -> float:
        """Return the multiplications of a block, divided by the width: layers on each token, and attention."""
        seen = {"roberta": self.longest, "longformer": 3 * self.window // 2, "rotary": 3 * self.longest}
        each = 4 * self.width + 2 * (self.inner or 4 * self.width)
        return float(n_residues) * (each + 2 * min(n_residues, seen[self.architecture]))

    def network(self) -> torch.nn.Module:
        """Build the network with fresh weights."""
        sizes = {"n_layers": self.n_layers, "n_heads": self.n_heads, "inner": self.inner or 4 * self.width}
        sizes |= {"dropout": self.dropout}
        n_tokens, n_positions, limit = len(self.tokens), self.longest + FIRST_POSITION, self.longest
        if self.architecture == "roberta":
            body = Roberta(n_tokens, self.width, n_positions=n_positions, **sizes)
        elif self.architecture == "longformer":
            body = Longformer(n_tokens, self.width, n_positions=n_positions, window=self.window, **sizes)
        else:
            body, limit = Rotary(n_tokens, self.width, longest=self.longest, **sizes), 0
        padded_to = self.longest if self.attend_padding else 0
        return LanguageModel(body, self.tokens, limit=limit, padded_to=padded_to, cross=self.cross)

    @cached_property
    def _substitutes(self) -> np.ndarray:
        """Ids (n,) that random tokens are drawn from."""
        return np.arange(len(self.tokens)) if self.replacement == "all" else corrupt.used_ids(self.tokens)

    def corrupt(
        self, inputs: Inputs, generator: np.random.Generator, *, progress: float = 0.0
    ) -> tuple[Line, corrupt.Target]:
        """Draw a piece of the line and hide some of its tokens; nothing else of the inputs goes along."""
        line = inputs.line
        if self.token_dropout:
            line = corrupt.split_anew(line, self.tokens, dropout=self.token_dropout, generator=generator)
        piece = corrupt.draw_piece(line, self.longest, generator)
        return corrupt.hide(
            piece, self.masked_share, generator, substitutes=self._substitutes, length_of_id=self.tokens.length_of_id
        )

    def loss(self, network: torch.nn.Module, noisy: Line, target: corrupt.Target) -> Loss:
        """Score a padded batch by the cross entropy of the tokens that were chosen."""
        return objective.score(network(noisy, target.token > 0), target)

    def export(self, network: torch.nn.Module, folder: str | Path) -> None:
        """Write a folder that `transformers` loads; raises CheckpointError for an encoder that it does not have."""
        if self.architecture == "rotary":
            raise CheckpointError(
                self.name, "architecture", found="rotary has no counterpart in transformers",
                allowed="roberta, longformer",
            )  # fmt: skip
        export.write_folder(folder, network.body, self.tokens)
