"""Tokens of several residues: byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) by the `tokenizers` library.

A sequence is one word: nothing marks its start, and nothing inside it is split beforehand. Ids 0 to 4 are the special
tokens, 5 to 260 the 256 bytes (A is 37), and from 261 on come the merges, in the order in which they were learnt.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from tertia.errors import InputError
from tertia.sequence.fasta import capital_letters

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
START, PADDING, END, UNKNOWN, MASK = range(len(SPECIALS))
N_BYTES = 256
FEWEST = len(SPECIALS) + N_BYTES
"""Size of the vocabulary without any merge: every residue is a token."""

MIN_FREQUENCY = 2
MOST_RESIDUES = 20_000_000
"""Residues that merges are learnt from; the library takes about 100 bytes of memory for each."""
_AT_ONCE = 1024  # sequences handed to the library, whose own objects are far larger than what is kept of them


@dataclass(frozen=True)
class Tokens:
    """One sequence as tokens without the special ones; their spans tile the residues."""

    id: np.ndarray  # (T,) int32
    length: np.ndarray  # (T,) int32, residues of each token

    def __len__(self) -> int:
        return len(self.id)

    @property
    def n_residues(self) -> int:
        """Residues of the sequence, L."""
        return int(self.length.sum())

    @property
    def start(self) -> np.ndarray:
        """(T,) int32 position of the first residue of each token."""
        return np.cumsum(self.length, dtype=np.int32) - self.length

    @property
    def token_of_residue(self) -> np.ndarray:
        """(L,) int32 position of the token that covers each residue."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.length)

    @property
    def offset_of_residue(self) -> np.ndarray:
        """(L,) int32 place of each residue within its token, from 0."""
        return np.arange(self.n_residues, dtype=np.int32) - np.repeat(self.start, self.length)

    @property
    def span_of_residue(self) -> np.ndarray:
        """(L,) int32 residues of the token that covers each residue."""
        return np.repeat(self.length, self.length)


@dataclass(frozen=True)
class Layout:
    """What a model reads: one sequence as `<s> A </s>`, two as `<s> A </s> </s> B </s>`."""

    id: np.ndarray  # (N,) int32
    part: np.ndarray  # (N,) uint8, 0 at special tokens, k at those of the k-th sequence
    kept: tuple[int, ...]  # tokens of each sequence that are there; fewer than it has where it was cut


@dataclass(frozen=True)
class Tokenizer:
    """Splits sequences into tokens and joins them again.

    Letters are those of `read_fasta`: the 20 and X, U, B, Z, O; lower case is raised and a final `*` dropped. Anything
    else, gaps too, is refused: a token map with fewer residues than the caller's sequence would be out of register.
    """

    text: str = field(repr=False)  # content of the tokenizer.json

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a tokenizer.json.

        Raises InputError where it cannot be read, or would not tile protein sequences with the ids of this module.
        """
        allowed, hint = "the tokenizer.json of a byte-level BPE with the special tokens 0 to 4", "make one from FASTA"
        try:
            text = Path(path).read_text(encoding="utf-8")
            found = _oddity(json.loads(text))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(str(path), found=f"cannot be read ({error})", allowed=allowed, hint=hint) from None
        if found:
            raise InputError(str(path), found=found, allowed=allowed, hint=hint)
        tokenizer = cls(text)
        try:
            tokenizer.engine.get_vocab_size()
        except Exception as error:  # the library raises nothing more special
            raise InputError(str(path), found=f"damaged ({error})", allowed=allowed, hint=hint) from None
        return tokenizer

    def save(self, path: str | Path) -> None:
        """Write the tokenizer.json, which `tokenizers` and `transformers` read as well; whole or not at all."""
        temporary = Path(path).with_name(Path(path).name + ".part")
        temporary.write_text(self.text, encoding="utf-8")
        os.replace(temporary, path)

    @cached_property
    def engine(self):
        """The `tokenizers.Tokenizer` that does the work."""
        from tokenizers import Tokenizer as Engine

        return Engine.from_str(self.text)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens in the order of their ids; letters stand for themselves."""
        ids = self.engine.get_vocab()
        return tuple(sorted(ids, key=ids.__getitem__))

    def __len__(self) -> int:
        return len(self.vocabulary)

    @property
    def n_merges(self) -> int:
        """Tokens beyond the special ones and the bytes."""
        return len(self) - FEWEST

    @cached_property
    def length_of_id(self) -> np.ndarray:
        """(V,) int32 residues that the token of each id covers; 0 for special tokens."""
        lengths = [0] * len(SPECIALS) + [len(token) for token in self.vocabulary[len(SPECIALS) :]]
        return np.array(lengths, dtype=np.int32)

    def encode(
        self, sequences: Sequence[str], *, names: Sequence[str] = (), where: str = "sequences", dropout: float = 0.0,
        generator: np.random.Generator | None = None,
    ) -> list[Tokens]:  # fmt: skip
        """Split sequences into tokens, on all cores.

        Dropout, for training only, closes each bond between two residues to merges with this probability, so that
        the same sequence is split differently every time; 1 gives single residues. The draw is ours and repeats with
        the generator. The dropout of the library (Provilkov et al. 2020) cannot be seeded, and draws a merge anew
        after every other one of the word: in words as long as proteins a dropped merge is tried until it is taken,
        and next to nothing changes.

        Parameters
        ----------
        names: of the sequences, for messages; their numbers from 1 where there are none.
        where: what the sequences come from, for messages.
        dropout: 0 to 1.
        generator: draws the bonds; needed where dropout is above 0.

        Raises
        ------
        InputError: a sequence is empty or holds anything that is no amino-acid letter.
        """
        if not 0.0 <= dropout <= 1.0 or (dropout and generator is None):
            raise ValueError(f"dropout {dropout} is not between 0 and 1, or there is no generator for it")
        labels = names or range(1, len(sequences) + 1)
        words: list = [capital_letters(s, where=where, entry=str(n)) for s, n in zip(sequences, labels, strict=True)]
        if dropout:
            words = [_pieces(word, dropout, generator) for word in words]
        tokens = []
        for first in range(0, len(words), _AT_ONCE):
            group = words[first : first + _AT_ONCE]
            done = self._split(group, pieces=bool(dropout))
            ids = (np.array(one.ids, dtype=np.int32) for one in done)
            tokens += [Tokens(id, self.length_of_id[id]) for id in ids]
        return tokens

    def _split(self, words: list, *, pieces: bool) -> list:
        """Return what the library makes of words, or of lists of pieces.

        One word is done in this thread: no pool of threads starts, which processes forked later could not use.
        """
        if len(words) == 1:
            return [self.engine.encode(words[0], is_pretokenized=pieces, add_special_tokens=False)]
        return self.engine.encode_batch_fast(words, is_pretokenized=pieces, add_special_tokens=False)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Return the sequence of tokens, or of a layout; special tokens are left out."""
        return self.engine.decode(np.asarray(ids).tolist(), skip_special_tokens=True)

    def __repr__(self) -> str:
        return f"Tokenizer({self.n_merges:,} merges)"


def train(sequences: Iterable[str], *, merges: int = 10_000) -> Tokenizer:
    """Learn merges of the most frequent neighbours, until the vocabulary has 261 + `merges` tokens.

    The result depends on which sequences there are and how often, not on their order. All of them are held in memory;
    `draw` takes a sample of a stream of any length.

    Raises
    ------
    InputError: a sequence with anything but letters, or too few sequences for so many merges that occur twice.
    """
    if merges < 0:
        raise InputError("tokenizer", "merges", found=f"is {merges}", allowed="0 (single residues) or more")
    from tokenizers import Tokenizer as Engine
    from tokenizers.decoders import ByteLevel as Join
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import RobertaProcessing
    from tokenizers.trainers import BpeTrainer

    engine = Engine(BPE())
    engine.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    engine.decoder = Join()
    engine.post_processor = RobertaProcessing(
        (SPECIALS[END], END), (SPECIALS[START], START), trim_offsets=False, add_prefix_space=False
    )
    trainer = BpeTrainer(vocab_size=FEWEST + merges, min_frequency=MIN_FREQUENCY, special_tokens=list(SPECIALS),
                         initial_alphabet=ByteLevel.alphabet(), show_progress=False)  # fmt: skip
    words = (capital_letters(one, where="sequences", entry=str(k)) for k, one in enumerate(sequences, start=1))
    engine.train_from_iterator(words, trainer)
    n_found = engine.get_vocab_size() - FEWEST
    if n_found < merges:
        raise InputError(
            "tokenizer", "merges", found=f"the sequences give {n_found:,} merges, not {merges:,}",
            allowed=f"merges that occur {MIN_FREQUENCY} times", hint="give more sequences or ask for fewer merges",
        )  # fmt: skip
    return Tokenizer(engine.to_str())


def draw(sequences: Iterable[str], *, most_residues: int = MOST_RESIDUES) -> list[str]:
    """Return all sequences of a stream, or where they have more residues than this, a sample of about so many.

    The sample is those with the smallest digests, so it is the same in any order of the stream, and no more than the
    sample is ever in memory.
    """
    heap: list[tuple[int, str]] = []  # largest digest first
    n_residues = 0
    for sequence in sequences:
        digest = int.from_bytes(hashlib.blake2b(sequence.encode(), digest_size=8).digest(), "big")
        if n_residues >= most_residues and heap and digest > -heap[0][0]:
            continue
        heapq.heappush(heap, (-digest, sequence))
        n_residues += len(sequence)
        while n_residues - len(heap[0][1]) >= most_residues:
            n_residues -= len(heapq.heappop(heap)[1])
    return [sequence for _, sequence in sorted(heap)]


def lay_out(*parts: Tokens, longest: int | None = None) -> Layout:
    """Put special tokens around one sequence or two: `[0, A, 2]` or `[0, A, 2, 2, B, 2]`.

    Where this is longer than `longest` ids, tokens are cut from the end of the longer sequence until both are equally
    long, then from both; special tokens are never cut.

    >>> one = Tokens(np.array([37, 38], np.int32), np.ones(2, np.int32))
    >>> lay_out(one, one, longest=7).id.tolist()
    [0, 37, 38, 2, 2, 37, 2]
    """
    n_special = 2 * len(parts)
    if len(parts) not in (1, 2) or (longest is not None and longest < n_special + len(parts)):
        raise ValueError(f"{len(parts)} sequences do not fit into {longest} ids")
    kept = [len(part) for part in parts]
    if longest is not None and sum(kept) > longest - n_special:
        kept = shares(kept, longest - n_special)
    ids, owner = [START], [0]
    for number, (part, n) in enumerate(zip(parts, kept, strict=True), start=1):
        between = [END] * (1 + (number < len(parts)))
        ids += [*part.id[:n].tolist(), *between]
        owner += [number] * n + [0] * len(between)
    return Layout(np.array(ids, np.int32), np.array(owner, np.uint8), tuple(kept))


def shares(lengths: Sequence[int], room: int) -> list[int]:
    """Return how many tokens of each sequence fit where not all do: all of the shorter one if that is half at most."""
    if len(lengths) == 1:
        return [room]
    first, second = lengths
    if first <= room // 2:
        return [first, room - first]
    if second <= room // 2:
        return [room - second, second]
    return [room - room // 2, room // 2]


def _pieces(sequence: str, share: float, generator: np.random.Generator) -> list[str]:
    """Cut a sequence at a random share of its bonds."""
    cuts = np.flatnonzero(generator.random(len(sequence) - 1) < share) + 1
    return [sequence[a:b] for a, b in pairwise((0, *cuts.tolist(), len(sequence)))]


def _oddity(content: object) -> str:
    """Return why the content of a tokenizer.json is not one of ours, "" where it is."""
    parts = content if isinstance(content, dict) else {}
    model, splitter = parts.get("model"), parts.get("pre_tokenizer")
    if not isinstance(model, dict) or model.get("type") != "BPE" or not isinstance(model.get("vocab"), dict):
        return "is no BPE tokenizer"
    if not isinstance(splitter, dict) or splitter.get("type") != "ByteLevel" or splitter.get("add_prefix_space"):
        return "does not split bytes, or marks the start of words"
    for name, value in (("normalizer", parts), ("truncation", parts), ("padding", parts), ("dropout", model)):
        if value.get(name):
            return f"has a setting for {name}"
    vocabulary = model["vocab"]
    special = [one.get("content") for one in parts.get("added_tokens", ()) if one.get("special")]
    if special != list(SPECIALS) or [vocabulary.get(name) for name in SPECIALS] != list(range(len(SPECIALS))):
        return f"has the special tokens {special}"
    letters = [vocabulary.get(chr(code)) for code in range(ord("A"), ord("Z") + 1)]
    ids = sorted(value for value in vocabulary.values() if isinstance(value, int))
    if letters != list(range(37, 37 + 26)) or ids != list(range(len(vocabulary))):
        return "has other ids for the letters A to Z, or gaps among its ids"
    return ""
