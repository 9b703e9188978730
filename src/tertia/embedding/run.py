"""One call of `embed`: which chains are accepted under which key, in which batches they are embedded, what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tertia.embedding.chain_embedding import Embedding
from tertia.embedding.files import write
from tertia.embedding.plan import Plan
from tertia.embedding.unfinished import Unfinished, digest_of
from tertia.errors import InputError

if TYPE_CHECKING:
    from tertia.structure.chain import Chain

Accepted = tuple["Chain", str, str]  # the chain, its key in the output, its digest


class Run:
    """What is embedded with, and what has come of it so far.

    Parameters
    ----------
    encoder: `encode(inputs) -> Encoded`, `memory(n_residues, pair=)`, and `encode_pairs` where there is a pair level.
    provenance: stored with every embedding.
    memory: bytes; chains that need more are refused. None: no limit.
    """

    def __init__(
        self, family: Any, encoder: Any, *, provenance: dict[str, object], levels: Sequence[str],
        memory: int | None = None, progress: bool = False,
    ) -> None:  # fmt: skip
        self.family, self.encoder, self.provenance, self.levels = family, encoder, provenance, levels
        self.memory, self.progress = memory, progress
        self.notes: list[str] = []
        self.failed: list[InputError] = []
        self.plans: list[Plan] = []
        self.n_chains = 0
        self._keys: set[str] = set()

    def fail(self, error: InputError) -> None:
        """Keep an error for the end."""
        self.failed.append(error)

    def raise_if_nothing(self, n_embedded: int) -> None:
        """Raise the first error when there is nothing else to return."""
        if not n_embedded:
            raise self.failed[0] if self.failed else InputError("inputs", found="no chain")

    def in_memory(self, window: list[Chain]) -> list[Embedding]:
        """Return the embeddings of the chains that can be embedded, in their order."""
        accepted = self._accepted(window)
        found: dict[str, Embedding] = {}
        self._embed(accepted, found.__contains__, found.__setitem__, None)
        return [found[name] for _, _, name in accepted if name in found]

    def to_file(self, path: Path, windows: Iterable[list[Chain]]) -> int:
        """Write the embeddings of all windows and return their number."""
        parts = Unfinished(path, self.provenance | {"levels": self.levels})
        order: list[str] = []
        try:
            for window in windows:
                accepted = self._accepted(window)
                self._embed(accepted, parts.__contains__, parts.add, parts)
                order += [name for _, _, name in accepted if name in parts]
            self.raise_if_nothing(len(order))
            write(path, (parts.get(name) for name in order))
        except BaseException:
            parts.close()
            raise
        parts.remove()
        return len(order)

    def plan(self, window: list[Chain]) -> Plan:
        """Return, and show, the plan of a window without embedding it."""
        return self._planned(self._accepted(window), set())

    def _accepted(self, window: list[Chain]) -> list[Accepted]:
        """Return (chain, its key in the output, its digest) of what can be embedded, in order."""
        accepted = []
        for chain in window:
            error = self._refusal(chain)
            if error is not None:
                self.fail(error)
                continue
            key = self._key(chain)
            accepted.append((chain, key, digest_of(key, chain.sequence, chain.alpha)))
        self.n_chains += len(accepted)
        return accepted

    def _refusal(self, chain: Chain) -> InputError | None:
        where = chain.frame or chain.entry
        if not self._seen(chain).any():
            hint = "for sequences name a language model: pairlm" if chain.atoms is None else ""
            return InputError(where, chain.key, found="no residue has a C-alpha", hint=hint)
        need = self.encoder.memory(len(chain), pair="pair" in self.levels)
        if self.memory is not None and need > self.memory:
            hint = "allow more memory, or leave out the pair level"
            return InputError(where, chain.key, found=f"needs about {need:,} bytes of memory",
                              allowed=f"at most {self.memory:,}", hint=hint)  # fmt: skip
        try:
            self.family.featurise(chain)  # cheap beside encoding, and what a family cannot read must not end the run
        except InputError as error:
            return error
        return None

    def _key(self, chain: Chain) -> str:
        key = wanted = _as_name(chain.key)
        number = 1
        while key in self._keys:
            number += 1
            key = f"{wanted}.{number}"
        self._keys.add(key)
        if key != chain.key:
            self.notes.append(f"{chain.frame}: the chain {chain.key} is named {key} in the output")
        return key

    def _embed(
        self, accepted: list[Accepted], contains: Callable[[str], bool], keep: Callable[[str, Embedding], None],
        parts: Unfinished | None,
    ) -> None:  # fmt: skip
        """Embed what is not there yet, in batches of like length, the longest chains first."""
        from tertia.data.batch import batches_by_cost
        from tertia.progress import Progress

        done = {name for _, _, name in accepted if contains(name)}
        self.plans.append(self._planned(accepted, done))
        budget = getattr(self.encoder, "batch_cost", self.family.cost(64))
        # Pairs are written chain by chain, and a batch is always made of the same chains, also when a run is
        # continued: its numbers may depend on the company in the last digit.
        budget = 1e-9 if "pair" in self.levels else budget
        costs = [self.family.cost(len(chain)) for chain, _, _ in accepted]
        with Progress(self.progress) as bar:
            bar.step("embedding", total=len(accepted))
            for batch in batches_by_cost(costs, budget, largest_first=True):
                members = [accepted[position] for position in batch]
                if any(name not in done for _, _, name in members):
                    for embedding, (_, _, name) in zip(self._encoded(members, parts), members, strict=True):
                        if embedding is not None and name not in done:
                            keep(name, embedding)
                bar.advance(len(members))

    def _encoded(self, members: list[Accepted], parts: Unfinished | None) -> list[Embedding | None]:
        """Return the embeddings of one batch; on an error None for each chain, which is reported."""
        try:
            if "pair" in self.levels:
                return [self._with_pairs(*members[0], parts)]
            return self._batch(members)
        except (MemoryError, RuntimeError) as error:
            for chain, key, _ in members:
                found = f"could not be embedded ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
                self.fail(InputError(chain.frame or chain.entry, key, found=found))
            return [None] * len(members)

    def _batch(self, members: list[Accepted]) -> list[Embedding]:
        from tertia.data.batch import collate

        encoded = self.encoder.encode(collate([self.family.featurise(chain) for chain, _, _ in members]))
        residues, proteins = encoded.residue.cpu().numpy(), encoded.protein.cpu().numpy()
        return [
            self._embedding(chain, key, residues[row, : len(chain)].copy(), proteins[row].copy())
            for row, (chain, key, _) in enumerate(members)
        ]

    def _with_pairs(self, chain: Chain, key: str, name: str, parts: Unfinished | None) -> Embedding:
        from tertia.data.batch import collate

        inputs = collate([self.family.featurise(chain)])
        encoded, pairs = self.encoder.encode_pairs(inputs, folder=parts.folder if parts else None)
        residue, protein = encoded.residue[0].numpy(), encoded.protein[0].numpy()
        if parts is not None:
            parts.add_pair(name, pairs.shape, pairs.rows())
            pair = None
        else:
            pair = np.concatenate([rows.astype(np.float16) for rows in pairs.rows()])
        pairs.close()
        return self._embedding(chain, key, residue, protein, pair)

    def _embedding(self, chain: Chain, key: str, residue, protein, pair=None) -> Embedding:
        wanted = {"residue": residue, "protein": protein}
        wanted = {level: values for level, values in wanted.items() if level in self.levels}
        provenance = self.provenance | {"file": chain.frame}
        return Embedding(
            key, chain.sequence, tuple(chain.residue_id), self._seen(chain), **wanted, pair=pair,
            provenance=provenance,
        )  # fmt: skip

    def _seen(self, chain: Chain) -> np.ndarray:
        """Return (L,) bool, the residues that the family sees."""
        return chain.seen if self.family.needs_coordinates else np.ones(len(chain), bool)

    def _planned(self, accepted: list[Accepted], done: set[str]) -> Plan:
        lengths = np.array([len(chain) for chain, _, _ in accepted], dtype=np.int64)
        pair = "pair" in self.levels
        rows = {"protein": 4 * len(lengths), "residue": 4 * int(lengths.sum()), "pair": 2 * int((lengths**2).sum())}
        size = getattr(self.encoder, "width", 0) * sum(rows[level] for level in self.levels)  # bytes
        memory = max((self.encoder.memory(int(length), pair=pair) for length in set(lengths.tolist())), default=0)
        waiting = [chain for chain, _, name in accepted if name not in done]
        seconds = self._seconds(waiting) if self.progress and len(waiting) >= 8 else None
        plan = Plan(lengths, len(done), memory, size, seconds)
        if self.progress:
            plan.show()
        return plan

    def _seconds(self, chains: list[Chain]) -> float:
        """Estimate the time of a run from one of its chains of about 100 residues."""
        from tertia.data.batch import collate

        sample = min(chains, key=lambda chain: abs(len(chain) - 100))
        inputs = collate([self.family.featurise(sample)])
        self.encoder.encode(inputs)  # the first time is longer
        start = time.perf_counter()
        self.encoder.encode(inputs)
        spent = time.perf_counter() - start
        return spent * sum(self.family.cost(len(chain)) for chain in chains) / self.family.cost(len(sample))


def _as_name(key: str) -> str:
    """Return a key that can name a group of a file: without slashes and invisible letters, and not of dots alone."""
    name = "".join("_" if letter == "/" or not letter.isprintable() else letter for letter in key)
    return name if name.strip(".") else "_" * len(name)
