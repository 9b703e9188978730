"""An encoder that learns with the network of a task: embeddings with gradients, then by the weights reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from tertia.data.batch import collate
from tertia.embedding.side_by_side import Encoding, SideBySide, batches_of
from tertia.errors import InputError
from tertia.tasks.task import Item, Vectors, together

if TYPE_CHECKING:
    from tertia.data.example import Example
    from tertia.nn.encoded import Encoded
    from tertia.structure.chain import Chain
    from tertia.tasks.task import Task

HELD = 16_384
"""Residues of a training step whose intermediate values are held for the gradient; those of further ones are computed
a second time, so that memory does not grow with the batch."""


class LiveEncoder:
    """A pre-trained network that learns together with the network of a task.

    Parameters
    ----------
    family, network: of a checkpoint; embeddings are taken at the level of the family, with gradients.
    task: on sequences, which puts items together itself; None for tasks on structures.
    longest_chain: residues of a chain that a training step reads, of longer ones a random window, drawn with the
        generator of torch; 0 reads whole chains, as do tasks that need residues and everything but training.

    Raises
    ------
    InputError: the family reads structures, the task only sequences.
    """

    def __init__(
        self, family: Any, network: torch.nn.Module, task: Task | None = None, *, longest_chain: int = 0
    ) -> None:
        self.family, self.network = family, network
        self.task = task if task is not None and task.reads == "sequence" else None
        if self.task is not None and family.needs_coordinates:
            found = f"{family.name} reads structures, {self.task.name} only sequences"
            raise InputError("models", found=found, hint="name a model of sequences")
        by_protein = self.task is not None and "residue" not in self.task.needs
        self.longest_chain = longest_chain if by_protein else 0

    def encode(self, inputs: Any) -> Encoded:
        """Return the embeddings of a padded batch."""
        return self.network.encode(inputs)

    def embedded(self, items: Sequence[Item], examples: Sequence[Example]) -> list[Item]:
        """Return the items of a training step with embeddings, with gradients; each different chain is read once."""
        if self.task is None:
            return [replace(item, vectors=self._of_structure(item, e)) for item, e in zip(items, examples, strict=True)]
        chains = dict.fromkeys(chain for example in examples for chain in example.chains)
        return self._put_together(items, examples, dict(self._of_sequences(chains)))

    @torch.no_grad()
    def fixed(self, items: Sequence[Item], examples: Sequence[Example], at_a_time: int) -> Iterator[list[Item]]:
        """Yield all items, so many at a time, with embeddings by the weights as they are, without gradients.

        Each different chain of sequences is read once, whole, in the batches that any embedding is made in, and its
        rows are held in half precision; of structures only those of the items that are yielded.
        """
        self.network.eval()
        of_chain: Mapping[Chain, Vectors] = {}
        if self.task is not None:
            encoder = SideBySide([Encoding(self.family, self, identity="")])
            of_chain = encoder.of_sequences([chain for one in examples for chain in one.chains], self.task.needs)
        for start in range(0, len(items), at_a_time):
            part, rows = items[start : start + at_a_time], examples[start : start + at_a_time]
            yield self.embedded(part, rows) if self.task is None else self._put_together(part, rows, of_chain)

    def _put_together(
        self, items: Sequence[Item], examples: Sequence[Example], of_chain: Mapping[Chain, Vectors]
    ) -> list[Item]:
        return [
            self.task.item(example, item.graph, together([of_chain[chain] for chain in example.chains]))
            for item, example in zip(items, examples, strict=True)
        ]

    def _of_structure(self, item: Item, example: Example) -> Vectors:
        encoded = self.network.encode(collate([self.family.featurise(example.chains[0])]), pair=True)
        edge = encoded.residue.new_zeros(len(item.graph.source), 0)
        if encoded.pair is not None:
            edge = encoded.pair[0, item.graph.source, item.graph.sink]
        return Vectors(encoded.protein[0], encoded.residue[0], edge)

    def _of_sequences(self, chains: Iterable[Chain]) -> Iterator[tuple[Chain, Vectors]]:
        """Yield each chain with its rows."""
        whole_of_piece = {self._piece(chain): chain for chain in chains}
        n_residues = 0
        for batch in batches_of(self.family, list(whole_of_piece)):
            inputs = collate([self.family.featurise(piece) for piece in batch])
            n_residues += len(batch) * max(map(len, batch))
            if n_residues <= HELD or not torch.is_grad_enabled():
                encoded = self.encode(inputs)
            else:
                encoded = checkpoint(self.encode, inputs, use_reentrant=False)
            nothing = encoded.residue.new_zeros(0, 0)
            for row, piece in enumerate(batch):
                protein = (encoded.protein[row],) if "protein" in self.task.needs else ()
                residue = encoded.residue[row, : len(piece)] if "residue" in self.task.needs else nothing
                yield whole_of_piece[piece], Vectors(protein, residue, nothing)

    def _piece(self, chain: Chain) -> Chain:
        """Return what is read of a chain: all of it, or in training a window."""
        if not (self.network.training and 0 < self.longest_chain < len(chain)):
            return chain
        start = int(torch.randint(len(chain) - self.longest_chain + 1, ()))
        rows = slice(start, start + self.longest_chain)
        return replace(chain, sequence=chain.sequence[rows], residue_id=chain.residue_id[rows],
                       label_number=chain.label_number[rows], atoms=None)  # fmt: skip
