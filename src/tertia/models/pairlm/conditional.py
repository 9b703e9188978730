"""What one chain tells about another: likelihoods of hidden tokens given a partner, beside those given random ones.

A pair that binds can be told from one that does not, without any label, if a language model on pairs has learnt what
partners have in common. What a chain alone is like, and how long its partner is, must not count: the same tokens are
hidden whatever the partner, and a random partner shows as many tokens as the one in question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tertia.data.batch import collate
from tertia.errors import InputError
from tertia.models.pairlm.encode import AT_ONCE
from tertia.models.pairlm.inputs import Line, line_of
from tertia.models.pairlm.network import LanguageModel
from tertia.sequence.tokens import MASK

HIDDEN_SHARE = 0.15
"""Of the tokens that are shown of a chain, at least one; as in training."""
N_SPECIAL = 4
"""Special tokens of a line with two chains."""
N_ALIKE = 64
"""Random partners are drawn from so many chains, shorter and longer than the partner alike: neither is cut more."""
ALONE, PARTNER, RANDOM = range(3)


@dataclass(frozen=True)
class Likelihoods:
    """Mean log likelihoods of hidden tokens, nats a residue; the columns are the first and the second of each pair."""

    alone: np.ndarray  # (P, 2) float64, no other chain in the line
    partner: np.ndarray  # (P, 2) float64, the other chain of the pair in the line
    random: np.ndarray  # (P, 2) float64, mean over random partners in its place

    @property
    def score(self) -> np.ndarray:
        """(P,) by how much the two chains tell more of each other than random partners do, mean of both directions."""
        return (self.partner - self.random).mean(axis=1)


@dataclass(frozen=True)
class _View:
    """One line to be scored."""

    line: Line  # (T,), hidden tokens are MASK
    token: np.ndarray  # (n,) ids that are hidden, in the order of the line
    n_residues: int  # of these
    place: tuple[int, int, int]  # pair; which of its chains is told; ALONE, PARTNER or RANDOM


def likelihoods(
    network: LanguageModel, pairs: Sequence[tuple[str, str]], *, partners: Sequence[str],
    generator: np.random.Generator, longest: int, n_views: int = 2, n_random: int = 2,
) -> Likelihoods:  # fmt: skip
    """Return how well hidden tokens of the chains of each pair are told: alone, by the other one, by random partners.

    The pseudo-log-likelihood of a chain (Salazar et al., 2020), with 15 % of the tokens hidden at a time instead of
    one. Each view of a chain hides other tokens, and of a long chain shows another window; both follow from its
    sequence and the generator alone. A line is read with the chain first, and with the chain second; the mean over
    both and all views counts. The pair (B, A) so has the likelihoods of (A, B), turned.

    Parameters
    ----------
    network: a language model; its tokenizer splits the sequences.
    pairs: two sequences each.
    partners: sequences that random partners are drawn from, other than the two of the pair.
    generator: a number is drawn from it, which all other draws follow from.
    longest: tokens of a line, as in training; each of the two chains has half of it.
    n_views: hidden sets a chain.
    n_random: random partners of each chain in each pair.

    Raises
    ------
    InputError: a sequence cannot be read, or there are too few partners.
    """
    draw = _Draws(network, [*(one for pair in pairs for one in pair), *partners], partners, longest,
                  seed=int(generator.integers(2**63)), n_views=n_views, n_random=n_random)  # fmt: skip
    views = (
        view
        for number, pair in enumerate(pairs)
        for side, (target, other) in enumerate((pair, pair[::-1]))
        for view in draw.views(target, other, place=(number, side))
    )
    total, n_residues = np.zeros((2, len(pairs), 2, 3))
    training = network.training
    network.eval()
    for batch in _batches(views):
        place = tuple(np.array([view.place for view in batch]).T)
        np.add.at(total, place, _log_likelihood(network, batch))
        np.add.at(n_residues, place, [view.n_residues for view in batch])
    network.train(training)
    mean = total / n_residues
    return Likelihoods(mean[..., ALONE], mean[..., PARTNER], mean[..., RANDOM])


class _Draws:
    """Which windows, hidden tokens and random partners belong to a chain: by its sequence and a seed."""

    def __init__(
        self, network: LanguageModel, sequences: Sequence[str], partners: Sequence[str], longest: int, *,
        seed: int, n_views: int, n_random: int,
    ) -> None:  # fmt: skip
        distinct = list(dict.fromkeys(sequences))
        ids = [tokens.id for tokens in network.tokenizer.encode(distinct)]
        self.ids = dict(zip(distinct, ids, strict=True))
        self.length_of_id = network.tokenizer.length_of_id
        self.seed, self.n_views, self.n_random = seed, n_views, n_random
        self.room = (longest - N_SPECIAL) // 2
        self.partners = sorted(set(partners), key=lambda one: (self._shown(one), one))
        self.lengths = np.array([self._shown(one) for one in self.partners], dtype=int)

    def _shown(self, sequence: str) -> int:
        """Return how many tokens of a chain fit into a line."""
        return min(len(self.ids[sequence]), self.room)

    def _generator(self, *sequences: str, view: int = 0) -> np.random.Generator:
        digest = hashlib.blake2b("\n".join(sequences).encode(), digest_size=8).digest()
        return np.random.default_rng((self.seed, int.from_bytes(digest, "big"), view))

    def _like(self, target: str, partner: str) -> list[str]:
        """Return random partners for the target, about as long as the partner."""
        length = self._shown(partner)
        first, last = np.searchsorted(self.lengths, [length, length + 1]).tolist()
        first = max(min(first, (first + last - N_ALIKE) // 2, len(self.partners) - N_ALIKE), 0)
        last = max(last, first + N_ALIKE)
        drawn_from = [one for one in self.partners[first:last] if one not in (target, partner)]
        if len(drawn_from) < self.n_random:
            raise InputError("partners", found=f"{len(drawn_from)} chains beside those of a pair",
                             allowed=f"{self.n_random} or more")  # fmt: skip
        chosen = self._generator(target, partner).choice(len(drawn_from), self.n_random, replace=False)
        return [drawn_from[k] for k in chosen.tolist()]

    def _window(self, sequence: str, length: int, view: int) -> np.ndarray:
        """Return `length` ids; the windows of the views lie evenly spread over the chain."""
        ids = self.ids[sequence]
        first = round((len(ids) - length) * (view + 0.5) / self.n_views)
        return ids[first : first + length]

    def views(self, target: str, partner: str, *, place: tuple[int, int]) -> Iterator[_View]:
        """Yield all lines in which hidden tokens of the target are told, in the context of the partner and without."""
        others = [partner, *self._like(target, partner)]
        length = min(map(self._shown, others))  # the same for all: positions and numbers of tokens tell nothing
        for view in range(self.n_views):
            ids = self._window(target, self._shown(target), view).copy()
            n_hidden = max(round(HIDDEN_SHARE * len(ids)), 1)
            hidden = np.sort(self._generator(target, view=view).choice(len(ids), n_hidden, replace=False))
            token = ids[hidden]
            ids[hidden] = MASK
            n_residues = int(self.length_of_id[token].sum())
            yield _View(line_of(ids), token, n_residues, (*place, ALONE))
            for number, other in enumerate(others):
                shown, kind = self._window(other, length, view), RANDOM if number else PARTNER
                for chains in ((ids, shown), (shown, ids)):
                    yield _View(line_of(*chains), token, n_residues, (*place, kind))


def _batches(views: Iterator[_View]) -> Iterator[list[_View]]:
    """Yield views in batches of about so many tokens as are computed together."""
    batch, n_tokens = [], 0
    for view in views:
        batch.append(view)
        n_tokens += len(view.line.token)
        if n_tokens >= AT_ONCE:
            yield batch
            batch, n_tokens = [], 0
    if batch:
        yield batch


@torch.inference_mode()
def _log_likelihood(network: LanguageModel, views: Sequence[_View]) -> np.ndarray:
    """Return (n,) float64 nats, the sum of each view over its hidden tokens."""
    device = network.standard.mean.device
    line = collate([view.line for view in views])
    line = Line(line.token.to(device), line.part.to(device))
    logits = network(line, line.token == MASK + 1)
    token = torch.from_numpy(np.concatenate([view.token for view in views])).long()
    nats = torch.log_softmax(logits.double(), -1).gather(1, token.to(device)[:, None])[:, 0].cpu().numpy()
    row = np.repeat(np.arange(len(views)), [len(view.token) for view in views])
    return np.bincount(row, nats, minlength=len(views))
