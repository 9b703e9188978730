"""The benchmarks of windowed attention and of embedding sequences run, and compare what they say they compare."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import longformer_curves, sequence_embedding
from tertia.data.batch import collate
from tertia.sequence.tokens import train
from tests.structures import random_sequence

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder with a corpus of 24 proteins, and a tokenizer.json beside it."""
    folder = tmp_path_factory.mktemp("data")
    sequences = [random_sequence(20 + 9 * k, seed=k) for k in range(24)]
    (folder / "sequences").mkdir()
    text = "".join(f">p{k}\n{sequence}\n" for k, sequence in enumerate(sequences))
    (folder / "sequences" / "refseq_68proteomes_sample.fa.gz").write_text(text)  # plain text is read as well
    train(sequences, merges=30).save(folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def network(data):
    return sequence_embedding.model("tiny", str(data / "tokenizer.json"), "cpu")


def test_every_way_embeds_every_protein_once(data, network) -> None:
    chains = sequence_embedding.chains_of(data, 24)
    for batches, _ in sequence_embedding.ways(network[0], chains).values():
        assert sorted(np.concatenate(batches).tolist()) == list(range(24))


def test_ways_that_compute_no_padding_agree(data, network) -> None:
    chains = sequence_embedding.chains_of(data, 24)
    found = {name: sequence_embedding.embed(*network, chains, *way, "cpu")
             for name, way in sequence_embedding.ways(network[0], chains).items()}  # fmt: skip
    for name in ("one by one", "arrival, packed"):
        for one, two in zip(found["tertia"], found[name], strict=True):
            np.testing.assert_allclose(one, two, atol=1e-5)


def test_without_padding_the_padded_way_gives_the_same_stream(data, network) -> None:
    family, model = network
    inputs, ways = collate([family.featurise(sequence_embedding.chains_of(data, 1)[0])]), ("padded", "packed")
    with torch.inference_mode():
        (one, mean), (two, other) = (getattr(sequence_embedding, way)(model, inputs) for way in ways)
    torch.testing.assert_close(one, two[..., : model.width], atol=1e-5, rtol=0)
    torch.testing.assert_close(mean, other[..., : model.width], atol=1e-5, rtol=0)


def test_memory_that_is_taken_is_counted() -> None:
    n_bytes = 200 << 20
    work = f"print(growth(lambda: np.ones({n_bytes // 8})))"
    program = f"import numpy as np; from benchmarks.rounds import growth; {work}"  # what this process freed would count
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0.9 * n_bytes < int(told.stdout) < 1.5 * n_bytes


def test_the_page_of_embedding_can_be_made(data, monkeypatch) -> None:
    monkeypatch.setattr(sequence_embedding, "peak", lambda *_: 1 << 20)
    options = "--size tiny --rounds 2 --number 9"
    files = ["--data", str(data), "--tokenizer", str(data / "tokenizer.json")]
    text = sequence_embedding.main([*options.split(), *files])
    assert text.count("| 1 |") == 4 and "times the proteins of one by one" in text


def test_the_page_and_drawing_of_windows_can_be_made(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(longformer_curves, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(longformer_curves, "peak", lambda name, work, length, _: longformer_curves.child(
        name, work, length, "tiny", 64, 32, 8))  # fmt: skip
    options = "--lengths 8 32 --tokens 64 --size tiny --window 8 --rounds 2 --write --drawing"
    text = longformer_curves.main([*options.split(), str(tmp_path / "page.svg")])
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| training", "| forward"))]
    assert [row[1] for row in rows] == ["8", "8", "32", "32"]
    assert (tmp_path / "page.md").read_text() == text and "<svg" in (tmp_path / "page.svg").read_text()
