"""`LanguageModel`: any of the encoders with its vocabulary, in training and as an encoder of chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.models.pairlm import encode
from tertia.models.pairlm.inputs import SPECIAL, Inputs, Line
from tertia.models.pairlm.longformer import Longformer, lengthened
from tertia.models.pairlm.packing import PAD, Packed, apart, pack_where, positions
from tertia.models.pairlm.roberta import Roberta
from tertia.models.pairlm.rotary import Rotary
from tertia.models.pairlm.windows import groups, overlapping
from tertia.nn.encoded import Encoded
from tertia.sequence.tokens import Tokenizer
from tertia.structure.chain import Chain


class LanguageModel(nn.Module):
    """Lines of tokens in, a guess at every token out; the last stream is the embedding. Padding is not computed.

    Hyper-parameters: body, an encoder of packed tokens; tokenizer, which made the lines; limit, tokens that the body
    reads at once (longer lines are read in windows when they are encoded), 0 where it reads any number; padded_to,
    tokens up to which lines are filled with padding that is computed and attended to in training, as the reference
    does, 0 for none; cross, whether the two chains of a line attend to each other.
    """

    def __init__(
        self,
        body: Roberta | Longformer | Rotary,
        tokenizer: Tokenizer,
        *,
        limit: int = 0,
        padded_to: int = 0,
        cross: bool = True,
    ) -> None:
        super().__init__()
        self.body, self.tokenizer = body, tokenizer
        self.limit, self.padded_to, self.cross = limit, padded_to, cross
        self.width = body.width
        self.standard = encode.Standard(body.width)
        if isinstance(body, Longformer):  # pre-training has no global tokens, and so no gradient for these
            for name, parameter in body.named_parameters():
                parameter.requires_grad_("_global." not in name)

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers of the body."""
        return self.body.blocks

    @property
    def channels(self) -> int:
        """Channels of an embedding: those of the stream, and where tokens cover several residues, some that tell these
        apart."""
        return self.width + (encode.N_PLACE if self.tokenizer.n_merges else 0)

    def forward(self, line: Line, chosen: torch.Tensor) -> torch.Tensor:
        """Return logits (n, V) of the tokens that are chosen, (B, T) bool, in the order of the batch."""
        token, part = line.token, line.part
        if self.padded_to:
            fill = (0, max(self.padded_to - token.shape[1], 0))
            token, part, chosen = (F.pad(column, fill) for column in (token, part, chosen))
        packed, real = self._packed(token, part, padding=bool(self.padded_to))
        return self.body(packed, chosen[real])

    def rows(self, line: Line | Inputs) -> torch.Tensor:
        """Return the last stream (N, D), a row for each token of the batch that is no padding, special ones too.

        Lines longer than the limit are read in overlapping windows, positions counted from the start of each; a row
        is that of the window where its token lies most central.
        """
        longest = int((line.token > 0).sum(1).max())
        if not self.limit or longest <= self.limit:
            return self.body.rows(self._packed(line.token, line.part)[0])
        whole, real = self._packed(line.token, line.part, together=True)
        windows = overlapping(whole.segment, self.limit)
        token = whole.token[windows.place]
        packed = Packed(token, positions(token, windows.segment), windows.segment)
        packed = self._separated(packed, line.part[real][windows.place])
        return torch.cat([self.body.rows(group) for group in groups(packed, encode.AT_ONCE)])[windows.chosen]

    def _packed(
        self, token: torch.Tensor, part: torch.Tensor, *, padding: bool = False, together: bool = False
    ) -> tuple[Packed, torch.Tensor]:
        """Return a padded batch (B, T) packed, and which of its places (B, T) are there.

        Parameters
        ----------
        padding: keep the padding as tokens.
        together: keep the chains of a line in one segment, also where they do not attend to each other.
        """
        real = torch.ones_like(token, dtype=torch.bool) if padding else token > 0
        packed = pack_where(torch.where(token > 0, token - 1, PAD), real)
        return (packed if together else self._separated(packed, part[real])), real

    def _separated(self, packed: Packed, part: torch.Tensor) -> Packed:
        """Return the same tokens at the same positions, in a segment a chain where chains do not attend to each other.

        `part` (N,) is that of the packed tokens.
        """
        return packed if self.cross else replace(packed, segment=apart(packed.segment, part % SPECIAL))

    def encode(self, inputs: Inputs, *, pair: bool = False) -> Encoded:
        """Encode a padded batch of whole chains, one or two a line; there is no pair level."""
        return encode.encode(self, inputs)

    def calibrate(self, chains: Sequence[Chain]) -> None:
        """Fit the standardisation of the embeddings, in place; training is over, so global projections follow."""
        if isinstance(self.body, Longformer):
            self.body.renew_globals()
        encode.calibrate(self, chains)

    def begin_from(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the weights of another network of the family as this one takes them: a RoBERTa lengthened."""
        if not isinstance(self.body, Longformer):
            return dict(weights)
        return lengthened(weights, n_positions=self.body.longformer["embeddings"].position_embeddings.num_embeddings)

    def memory(self, n_residues: int, *, pair: bool = False) -> int:
        """Return how many bytes it takes at most to encode a chain, beside the weights; see `encode.memory`."""
        return encode.memory(self, n_residues)
