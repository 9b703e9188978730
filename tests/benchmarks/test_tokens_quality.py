"""Tokens on every shared set: there and back; and the page about them can be made."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from benchmarks.shared_sequences import COLUMNS, corpus, sequences_of
from benchmarks.tokens_quality import controls, first_merges, main, there_and_back
from tertia.sequence.tokens import FEWEST, SPECIALS, Tokenizer, train
from tests.structures import random_sequence


@pytest.fixture(scope="module")
def tokenizer(shared_data) -> Tokenizer:
    return train(corpus(shared_data, 1000), merges=300)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_shared_sequence_comes_back(name: str, shared_data, tokenizer) -> None:
    """Of each file the first 2,000 sequences; `benchmarks/tokens_quality.py` takes all."""
    sequences = list(islice(sequences_of(shared_data, name), 2000))
    assert len(sequences) >= 20
    assert there_and_back(tokenizer, sequences) > 1.2


def test_ids_of_special_tokens_and_bytes_are_as_specified(tokenizer) -> None:
    assert SPECIALS == ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    assert [tokenizer.engine.token_to_id(name) for name in SPECIALS] == [0, 1, 2, 3, 4]
    assert [tokenizer.engine.token_to_id(letter) for letter in "ABCD"] == [37, 38, 39, 40]
    assert len(tokenizer) == FEWEST + 300 == 561


def test_every_file_with_sequences_is_named(shared_data) -> None:
    folders = {name.split("/")[0] for name in COLUMNS}
    found = [path for folder in folders for path in (shared_data / folder).glob("*.fa.gz")]
    known = {name for name, columns in COLUMNS.items() if not columns}
    assert {str(path.relative_to(shared_data)) for path in found} == known


def test_a_sequence_that_does_not_come_back_is_noticed(tokenizer) -> None:
    class Forgetful(Tokenizer):
        def decode(self, ids) -> str:
            return super().decode(ids)[1:]

    with pytest.raises(SystemExit, match="ACD does not come back"):
        there_and_back(Forgetful(tokenizer.text), ["ACD"])


def test_fewer_merges_are_the_first_of_more() -> None:
    sequences = [random_sequence(200, seed=k) for k in range(30)]
    cut, learnt = first_merges(train(sequences, merges=80), 30), train(sequences, merges=30)
    assert cut.vocabulary == learnt.vocabulary
    found, expected = (one.encode(sequences) for one in (cut, learnt))
    assert [one.id.tolist() for one in found] == [one.id.tolist() for one in expected]


def test_controls_keep_lengths_and_composition() -> None:
    sequences = [random_sequence(50 + k, seed=k) for k in range(10)]
    made = controls(sequences, np.random.default_rng(0))
    assert all([len(one) for one in some] == [len(one) for one in sequences] for some in made.values())
    assert [sorted(one) for one in made["residues shuffled"]] == [sorted(one) for one in sequences]
    assert made["residues shuffled"] != sequences


def test_the_page_can_be_made(shared_data, tmp_path) -> None:
    train(corpus(shared_data, 300), merges=60).save(tmp_path / "60.json")  # what is there is not learnt again
    text = main(["--data", str(shared_data), "--tokenizers", str(tmp_path), "--merges", "20", "60", "--number", "30"])
    for title in ("Residues a token", "Length of the tokens", "Proteins longer than", "controls", "There and back"):
        assert title in text
    assert Tokenizer.load(tmp_path / "20.json").n_merges == 20
