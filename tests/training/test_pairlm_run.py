"""From FASTA to embeddings: prepare, pretrain with a kill in the middle, embed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import tertia
from tertia.errors import CheckpointError, InputError
from tertia.models.pairlm.encode import N_PLACE
from tertia.training.log import read_lines
from tests.models.pairlm.encoders import some_merges
from tests.structures import make_chain, random_sequence

TINY = ["width=16", "n_layers=1", "n_heads=2", "longest=24", "steps=12", "batch=8", "validate_every=6", "n_valid=4",
        "checkpoint_every=4", "log_every=3", "threads=1"]  # fmt: skip
BYTES = ("network.safetensors", "model.json", "log.jsonl", "recipe.toml", "training_sequences.fasta.gz")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sequences")
    records = [f">s{k:02d}\n{random_sequence(22 + 2 * k, seed=k)}\n" for k in range(24)]
    (folder / "some.fa").write_text("".join(records))
    tertia.prepare(str(folder / "some.fa"), folder / "store", fractions=(0.7, 0.3, 0.0), tool="builtin", progress=False)
    return folder / "store"


def pretrain(store: Path, output: Path, *more: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tertia.training.curves.draw", lambda folder: "")
        return tertia.pretrain(
            "pairlm_tiny", [f"store={store}", *TINY, *more], output=output, quiet=True
        )  # fmt: skip


@pytest.fixture(scope="module")
def run(store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    assert pretrain(store, folder).finished
    return folder


def test_stopped_and_continued_is_bit_for_bit_uninterrupted(store, run, tmp_path) -> None:
    stops = 0
    while not pretrain(store, tmp_path, "max_minutes=1e-6").finished:
        stops += 1
    assert stops >= 2
    one, two = (load_file(folder / "network.safetensors") for folder in (run, tmp_path))
    assert all((one[name] == two[name]).all() for name in one)
    assert (run / "log.jsonl").read_bytes() == (tmp_path / "log.jsonl").read_bytes()


def test_a_run_with_merges_continues_bit_for_bit_with_its_own_tokenizer_only(store, tmp_path) -> None:
    for seed in (0, 1):
        some_merges(seed=seed).save(tmp_path / f"{seed}.json")
    options = [f"tokenizer={tmp_path / '0.json'}", "architecture=roberta", "dropout=0.1", "token_dropout=0.1"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert pretrain(store, whole, *options).finished
    assert not pretrain(store, parts, *options, "max_minutes=1e-6").finished
    with pytest.raises(CheckpointError, match=r"another tokenizer\.json"):
        pretrain(store, parts, f"tokenizer={tmp_path / '1.json'}", *options[1:])
    (tmp_path / "0.json").rename(tmp_path / "moved.json")  # where it lies does not matter
    moved = [f"tokenizer={tmp_path / 'moved.json'}", *options[1:]]
    while not pretrain(store, parts, *moved, "max_minutes=1e-6").finished:
        pass
    for name in ("network.safetensors", "model.json", "log.jsonl", "tokenizer.json"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    chain = make_chain(70, sequence=random_sequence(70, seed=1))
    assert tertia.embed(chain, model=parts)[0].residue.shape == (70, 16 + N_PLACE)


def test_it_learns_a_composition(tmp_path) -> None:
    """Chains of two letters only: soon far below the entropy of proteins."""
    letters = np.array(list("AL"))
    text = [f">t{k}\n{''.join(np.random.default_rng(k).choice(letters, 40))}\n" for k in range(12)]
    (tmp_path / "two.fa").write_text("".join(text))
    tertia.prepare(str(tmp_path / "two.fa"), tmp_path / "store", fractions=(0.7, 0.3, 0.0), split_by="", tool="builtin",
                   progress=False)  # fmt: skip
    pretrain(tmp_path / "store", tmp_path / "run", "steps=60", "validate_every=30", "learning_rate=1e-2")
    losses = [line["loss"] for line in read_lines(tmp_path / "run") if line["kind"] == "train"]
    assert losses[0] > 0.8 and losses[-1] < 0.4


def test_a_fasta_file_is_embedded(run, tmp_path) -> None:
    sequences = {"one": random_sequence(70, seed=1), "two": random_sequence(8, seed=2), "odd": "MKXBUVLLA"}
    path = tmp_path / "query.fa"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()))
    embedded = tertia.embed(path, model=run)
    assert [one.key for one in embedded] == list(sequences) and not embedded.failed
    for one in embedded:
        assert one.sequence == sequences[one.key] and one.seen.all()
        assert one.residue.shape == (len(one.sequence), 16) and np.isfinite(one.residue).all()
    alone = tertia.embed(make_chain(70, sequence=sequences["one"], missing=(3, 4)), model=run)[0]
    assert np.allclose(alone.residue, embedded[0].residue, atol=1e-5)  # coordinates, or their absence, do not count
    written = tertia.embed(path, tmp_path / "query.h5", model=run)
    assert written.n_chains == 3


def test_a_bad_record_is_reported_and_the_others_are_embedded(run, tmp_path) -> None:
    (tmp_path / "query.fa").write_text(">good\nMKVLLA\n>bad\nMK1\n")
    embedded = tertia.embed(tmp_path / "query.fa", model=run)
    assert [one.key for one in embedded] == ["good"]
    assert [error.entry for error in embedded.failed] == ["bad"]


def test_sequences_have_no_structure_to_embed(tmp_path) -> None:
    (tmp_path / "query.fa").write_text(f">good\n{random_sequence(30)}\n")
    with pytest.raises(InputError, match=r"no residue has a C-alpha\nhint: .*pairlm"):
        tertia.embed(tmp_path / "query.fa", model="distmap")
