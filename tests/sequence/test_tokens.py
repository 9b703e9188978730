"""Tokens: round trip, tiling, ids, order, sampling, dropout, layouts, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.sequence.fasta import parse_fasta
from tertia.sequence.tokens import END, FEWEST, SPECIALS, START, Tokenizer, Tokens, draw, lay_out, train

LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
SHARES = np.array([8, 0.2, 1.5, 5, 6, 4, 7, 2, 6, 5.5, 9.5, 2.4, 4, 0.2, 4.5, 4, 5, 6.5, 5.5, 0.2, 7, 1.1, 1, 3, 0.2])


def proteins(n: int, seed: int) -> list[str]:
    """Return sequences of all 25 letters, some frequent and some rare, of 1 to 400 residues."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(LETTERS), int(rng.integers(1, 400)), p=SHARES / SHARES.sum())) for _ in range(n)]


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return proteins(150, seed=1)


@pytest.fixture(scope="module")
def tokenizer(corpus) -> Tokenizer:
    return train(corpus, merges=200)


@pytest.fixture(scope="module", params=[0, 200])
def any_tokenizer(request, corpus, tokenizer) -> Tokenizer:
    return tokenizer if request.param else train(corpus, merges=0)


def test_decoding_gives_every_sequence_back(any_tokenizer):
    sequences = [*proteins(60, seed=2), LETTERS, "M", "L" * 3000]
    for sequence, tokens in zip(sequences, any_tokenizer.encode(sequences), strict=True):
        assert any_tokenizer.decode(tokens.id) == sequence
        assert any_tokenizer.decode(lay_out(tokens, tokens).id) == 2 * sequence


def test_spans_tile_the_sequence_and_nothing_is_unknown(any_tokenizer):
    sequences = proteins(60, seed=3)
    for sequence, tokens in zip(sequences, any_tokenizer.encode(sequences), strict=True):
        assert tokens.n_residues == len(sequence) and tokens.id.min() >= len(SPECIALS)
        spans = [sequence[a : a + n] for a, n in zip(tokens.start, tokens.length, strict=True)]
        assert "".join(spans) == sequence
        assert spans == [any_tokenizer.vocabulary[k] for k in tokens.id]


def test_the_spans_are_those_of_the_library(tokenizer):
    sequence = proteins(1, seed=4)[0]
    tokens, reference = tokenizer.encode([sequence])[0], tokenizer.engine.encode(sequence, add_special_tokens=False)
    assert tokens.id.tolist() == reference.ids
    stop = tokens.start + tokens.length
    assert list(zip(tokens.start.tolist(), stop.tolist(), strict=True)) == reference.offsets


def test_residues_know_their_token():
    tokens = Tokens(np.array([261, 37, 300], np.int32), np.array([2, 1, 4], np.int32))
    assert tokens.token_of_residue.tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert tokens.offset_of_residue.tolist() == [0, 1, 0, 0, 1, 2, 3]
    assert tokens.span_of_residue.tolist() == [2, 2, 1, 4, 4, 4, 4]
    assert tokens.start.tolist() == [0, 2, 3]


def test_ids_are_those_of_the_paper(tokenizer):
    assert len(tokenizer) == 5 + 256 + 200 and tokenizer.n_merges == 200
    assert tokenizer.vocabulary[:5] == ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    assert tokenizer.vocabulary[37:41] == ("A", "B", "C", "D")
    assert all(len(token) > 1 for token in tokenizer.vocabulary[FEWEST:])
    assert tokenizer.length_of_id[: len(SPECIALS)].tolist() == [0] * len(SPECIALS)


def test_the_first_merge_is_the_most_frequent_pair():
    assert train(["MKLLLL", "AKLA", "GKLG"], merges=1).vocabulary[FEWEST] in ("KL", "LL")
    assert train(["MKLWKLA", "AKLA", "GKLG"], merges=1).vocabulary[FEWEST:] == ("KL",)


def test_merges_do_not_depend_on_the_order_of_the_sequences(corpus):
    some = corpus[:50]
    reference, shuffled = train(some, merges=100), np.random.default_rng(5).permutation(some).tolist()
    assert train(iter(some), merges=100) == train(some[::-1], merges=100) == train(shuffled, merges=100) == reference
    assert train(some[:-10], merges=100) != reference


def test_more_merges_are_begun_by_the_fewer_and_make_longer_tokens(corpus, tokenizer):
    few = train(corpus, merges=50)
    assert tokenizer.vocabulary[: len(few)] == few.vocabulary
    held_out = proteins(60, seed=6)
    rates = [rate(one, held_out) for one in (train([], merges=0), few, tokenizer)]
    assert rates == sorted(rates) and rates[0] == 1.0 < rates[1] < rates[2]


def rate(tokenizer: Tokenizer, sequences: list[str]) -> float:
    """Return residues per token."""
    return sum(map(len, sequences)) / sum(map(len, tokenizer.encode(sequences)))


def test_merges_that_occur_once_are_no_merges():
    with pytest.raises(InputError, match=r"give 1 merges, not 9.*occur 2 times"):
        train(["MKMKW"], merges=9)
    with pytest.raises(InputError, match="is -1"):
        train([], merges=-1)


def test_a_file_brings_the_same_tokenizer_back(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json") == tokenizer
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_the_bare_library_lays_pairs_out_as_we_do(tokenizer):
    pair = proteins(2, seed=7)
    assert tokenizer.engine.encode(*pair).ids == lay_out(*tokenizer.encode(pair)).id.tolist()
    assert tokenizer.engine.encode(pair[0]).ids == lay_out(*tokenizer.encode(pair[:1])).id.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["model"].update(type="WordPiece"), "no BPE"),
        (lambda content: content["model"].update(dropout=0.1), "dropout"),
        (lambda content: content.update(truncation={"max_length": 8}), "truncation"),
        (lambda content: content["pre_tokenizer"].update(add_prefix_space=True), "start of words"),
        (lambda content: content["model"]["vocab"].update({"A": 38, "B": 37}), "other ids"),
        (lambda content: content["model"]["vocab"].update(QQQQQQ=100_000), "gaps among"),
        (lambda content: content["added_tokens"].pop(), "special tokens"),
        (lambda content: content["model"]["merges"].append(["A", "</w>"]), "damaged"),
        (lambda content: content.update(added_tokens=7), "cannot be read"),
    ],
)
def test_a_foreign_or_damaged_file_is_refused(tokenizer, tmp_path, change, message):
    content = json.loads(tokenizer.text)
    change(content)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        Tokenizer.load(path)
    path.write_text(tokenizer.text[:999])
    with pytest.raises(InputError, match="cannot be read"):
        Tokenizer.load(path)


def test_lower_case_and_a_final_stop_are_read(tokenizer):
    plain, lower, stopped = tokenizer.encode(["MKVXUBZO", "mkvxubzo", "MKVxubzo*"])
    assert plain.id.tolist() == lower.id.tolist() == stopped.id.tolist()


@pytest.mark.parametrize("wrong", ["*", "-", ".", " ", "J", "1", "\n", "<", "é", "ſ"])
def test_anything_else_is_refused_by_name_and_place(tokenizer, wrong):
    message = r"chains.fa, entry 'b': .* at position 3 is not an amino-acid letter"
    with pytest.raises(InputError, match=message) as error:
        tokenizer.encode(["MK", f"MK{wrong}V"], names=["a", "b"], where="chains.fa")
    assert repr(wrong) in error.value.found and error.value.allowed == LETTERS and error.value.hint


def test_no_markup_becomes_a_special_token(tokenizer):
    with pytest.raises(InputError, match="'<' at position 3"):
        tokenizer.encode(["MK</s>"])


@pytest.mark.parametrize("empty", ["", "*"])
def test_an_empty_sequence_is_refused(tokenizer, empty):
    with pytest.raises(InputError, match="entry '2': has no sequence"):
        tokenizer.encode(["M", empty])
    assert tokenizer.encode([]) == []


@pytest.mark.parametrize("sequence", ["mkv*", "MJV", "M*V", "*", "M1V", "MKUXBZO"])
def test_the_rules_are_those_of_the_reader(tokenizer, sequence):
    (record,) = parse_fasta(f">a\n{sequence}\n", where="x")
    try:
        decoded = tokenizer.decode(tokenizer.encode([sequence], names=["a"], where="x")[0].id)
    except InputError as error:
        assert str(error) == str(record)
    else:
        assert decoded == record.sequence


def test_dropout_splits_more_finely_and_repeats_with_the_generator(tokenizer):
    sequences = proteins(40, seed=8)
    rates, plain = [], tokenizer.encode(sequences)
    for dropout in (0.0, 0.1, 0.5, 1.0):
        first, again = (
            tokenizer.encode(sequences, dropout=dropout, generator=np.random.default_rng(9)) for _ in range(2)
        )
        assert [tokens.id.tolist() for tokens in first] == [tokens.id.tolist() for tokens in again]
        assert [tokenizer.decode(tokens.id) for tokens in first] == sequences
        rates.append(sum(map(len, sequences)) / sum(map(len, first)))
    assert rates[0] == sum(map(len, sequences)) / sum(map(len, plain)) > rates[1] > rates[2] > rates[3] == 1.0
    other = tokenizer.encode(sequences, dropout=0.1, generator=np.random.default_rng(10))
    assert [tokens.id.tolist() for tokens in tokenizer.encode(sequences)] == [tokens.id.tolist() for tokens in plain]
    assert [tokens.id.tolist() for tokens in other] != [tokens.id.tolist() for tokens in first]


def test_dropout_needs_a_generator(tokenizer):
    with pytest.raises(ValueError, match="generator"):
        tokenizer.encode(["MK"], dropout=0.1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        tokenizer.encode(["MK"], dropout=1.5, generator=np.random.default_rng(0))


def tokens_of(n: int, *, first: int = 100) -> Tokens:
    return Tokens(np.arange(first, first + n, dtype=np.int32), np.ones(n, np.int32))


def longest_first(n_first: int, n_second: int, room: int) -> tuple[int, int]:
    """Take one token after the other from the longer sequence, at a tie from the second."""
    while n_first + n_second > room:
        n_first, n_second = (n_first - 1, n_second) if n_first > n_second else (n_first, n_second - 1)
    return n_first, n_second


def test_pairs_are_laid_out_and_cut_longest_first(generator):
    for _ in range(300):
        n_first, n_second = (int(n) for n in generator.integers(1, 60, 2))
        longest = int(generator.integers(6, 130))
        layout = lay_out(tokens_of(n_first), tokens_of(n_second, first=500), longest=longest)
        assert layout.kept == longest_first(n_first, n_second, longest - 4)
        a, b = (list(range(first, first + n)) for first, n in zip((100, 500), layout.kept, strict=True))
        assert layout.id.tolist() == [START, *a, END, END, *b, END]
        assert layout.part.tolist() == [0, *[1] * len(a), 0, 0, *[2] * len(b), 0]
        assert len(layout.id) == min(longest, n_first + n_second + 4)


def test_a_single_sequence_is_laid_out():
    assert lay_out(tokens_of(2)).id.tolist() == [START, 100, 101, END]
    assert lay_out(tokens_of(9), longest=4).kept == (2,)
    with pytest.raises(ValueError, match="do not fit"):
        lay_out(tokens_of(2), tokens_of(2), longest=5)


def test_swapping_a_pair_keeps_its_tokens():
    pair = tokens_of(9), tokens_of(30, first=500)
    assert sorted(lay_out(*pair, longest=20).id) == sorted(lay_out(*pair[::-1], longest=20).id)


def test_a_small_stream_is_drawn_whole(corpus):
    assert sorted(draw(iter(corpus))) == sorted(corpus)


def test_a_sample_has_the_asked_size_and_does_not_depend_on_the_order(corpus):
    sequences = [*corpus, *corpus[:20]]
    sample = draw(sequences, most_residues=5000)
    assert sample == draw(sequences[::-1], most_residues=5000)
    assert 5000 <= sum(map(len, sample)) < 5000 + 400
    assert set(sample) <= set(sequences)
    larger = draw(sequences, most_residues=9000)
    assert larger[-len(sample) :] == sample, "a larger sample holds the smaller one"


def test_importing_the_module_does_not_load_the_library():
    program = "import sys, tertia.sequence.tokens; sys.exit('tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_natural_sequences_are_easier_than_shuffled_and_random_ones(shared_data, generator):
    text = [record.sequence for record in first_records(shared_data / "sequences", 3600)]
    tokenizer = train(text[:3000], merges=1000)
    natural = text[3000:]
    shuffled = ["".join(generator.permutation(list(sequence))) for sequence in natural]
    uniform = ["".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), len(sequence))) for sequence in natural]
    rates = [rate(tokenizer, sequences) for sequences in (natural, shuffled, uniform)]
    assert 1.9 < rates[0] < 2.1
    assert rates[0] > rates[1] > rates[2] > 1.5
    doublets = set(tokenizer.vocabulary[FEWEST : FEWEST + 12])
    assert "LL" in doublets and {"AA", "AL", "SS", "EE"} & doublets
    assert [tokenizer.decode(tokens.id) for tokens in tokenizer.encode(natural)] == natural


def first_records(folder, n: int):
    from itertools import islice

    from tertia.sequence.fasta import stream_fasta

    return islice(stream_fasta(folder / "refseq_68proteomes_sample.fa.gz"), n)
