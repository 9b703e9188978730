"""FASTA that is damaged or strange, through prepare, embed and tokens: exact handling, or one clear message."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tertia.data.store import Store
from tertia.embed import embed
from tertia.embedding.files import read
from tertia.errors import InputError
from tertia.models.pairlm import Pairlm
from tertia.prepare import prepare
from tertia.sequence.tokens import Tokenizer
from tertia.structure.read import read_inputs
from tertia.tokens import train_tokenizer
from tertia.training import checkpoint
from tests.structures import make_chain, random_sequence
from tests.test_cli import run

GIANT = 40_000
OUTSIDE = ("../../x", "/tmp/absolute", "..", ".", "a/../../b", "nul\0l")
SOUND = {f"p{k}": random_sequence(60 + k, seed=k) for k in range(4)}
STRANGE = {name: random_sequence(90 + k, seed=50 + k) for k, name in enumerate(OUTSIDE)}
REFUSED = {"empty": "has no sequence", "last": "has no sequence", "odd": "'1' at position 3"}


def fasta(records: dict[str, str]) -> str:
    return "".join(f">{name}\n{sequence}\n" for name, sequence in records.items())


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """A file with every damage that leaves other records readable."""
    path = tmp_path_factory.mktemp("inputs") / "damaged.fasta"
    path.write_text(
        fasta(SOUND)
        + fasta({"one": "M", "giant": random_sequence(GIANT, seed=7)})
        + ">empty\n\n"
        + fasta({"p0": random_sequence(70, seed=8)})  # its name was there before
        + fasta({"again": SOUND["p1"]})  # its sequence was
        + ">odd\nMK1LV\n"
        + fasta(STRANGE)
        + f">\n{random_sequence(80, seed=9)}\n>last"
    )
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Checkpoint of a language model with random weights."""
    folder, family = tmp_path_factory.mktemp("model"), Pairlm(width=16, n_layers=1, n_heads=2)
    torch.manual_seed(0)
    checkpoint.save(folder, family, family.network(), recipe="", meta={})
    return folder


def test_a_chain_that_the_family_cannot_read_does_not_end_the_run(model) -> None:
    sound = make_chain(30, seed=1, entry="sound")
    odd = replace(make_chain(30, seed=2, entry="odd"), sequence="J" + sound.sequence[1:])
    found = embed([odd, sound], model=model)
    assert [one.key for one in found] == [sound.key]
    assert len(found.failed) == 1 and "'J' at position 1" in str(found.failed[0])


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# ---------------------------------------------------------------- prepare
def test_prepare_keeps_the_sound_records_and_names_the_rest(damaged, tmp_path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    report = prepare([str(damaged)], inside / "store", progress=False, tool="builtin", max_length=2 * GIANT)
    store = Store.open(inside / "store")
    rules = {(refusal.chain, refusal.rule) for refusal in report.refused}
    expected = {("one", "min_length"), ("p0", "key"), ("p1", "duplicate")}  # "again" stays: the first key in order
    assert rules == expected | {(name, "record") for name in REFUSED}
    assert len(store) + len(report.refused) == report.n_chains == 18
    unnamed = next(key for key in store.keys if key.startswith("record_at_line_"))
    assert set(store.keys) == {"p0", "p2", "p3", "again", "giant", *OUTSIDE, unnamed}
    for key, sequence in {**STRANGE, "p0": SOUND["p0"], "giant": random_sequence(GIANT, seed=7)}.items():
        assert store[key].sequence == sequence
    assert {name.split("/")[0] for name in files_in(tmp_path)} == {"a"}
    assert {name.split("/")[2] for name in files_in(tmp_path) if name.count("/") > 1} == {"store"}


def test_prepare_refuses_giants_by_default(damaged, tmp_path) -> None:
    report = prepare([str(damaged)], tmp_path / "store", progress=False, tool="builtin")
    found = {refusal.chain: refusal.found for refusal in report.refused if refusal.rule == "max_length"}
    assert found.keys() == {"giant"} and "40000" in found["giant"].replace(",", "")


# ---------------------------------------------------------------- embed
def test_embed_gives_a_row_for_every_residue_and_names_the_rest(damaged, model) -> None:
    found = embed(str(damaged), model=model)
    assert {error.entry: str(error) for error in found.failed}.keys() == REFUSED.keys()
    for error in found.failed:
        assert error.where == str(damaged) and error.found.startswith(REFUSED[error.entry])
    of_key = {one.key: one for one in found}
    assert len(of_key) == len(found) == 15
    assert of_key["giant"].residue.shape[0] == GIANT and of_key["one"].residue.shape[0] == 1
    assert all(np.isfinite(one.residue).all() and np.isfinite(one.protein).all() for one in found)
    assert of_key["p0"].sequence == SOUND["p0"] and of_key["p0.2"].sequence == random_sequence(70, seed=8)
    np.testing.assert_allclose(of_key["again"].residue, of_key["p1"].residue, atol=2e-5)
    assert any("p0 is named p0.2" in note for note in found.notes)


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_no_id_leads_out_of_the_output(damaged, model, tmp_path, suffix) -> None:
    small, inside = tmp_path / "small.fa", tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    small.write_text(fasta(STRANGE | {"._x": random_sequence(50, seed=1)}))
    done = embed(str(small), inside / f"out{suffix}", model=model, levels=("protein",))
    assert done.failed == () and done.n_chains == len(STRANGE) + 1
    assert files_in(tmp_path) == ["a", "a/b", f"a/b/out{suffix}", "small.fa"]
    back = {one.key: one.sequence for one in read(inside / f"out{suffix}")}
    assert list(back.values()) == [*STRANGE.values(), random_sequence(50, seed=1)]
    assert list(back) == [".._.._x", "_tmp_absolute", "__", "_", "a_.._.._b", "nul_l", "._x"]
    if suffix == ".npz":
        assert all(".." not in Path(name).parts for name in zipfile.ZipFile(inside / "out.npz").namelist())


# ---------------------------------------------------------------- tokens
def test_tokens_learn_from_every_sound_record_and_name_the_rest(damaged, tmp_path) -> None:
    report = train_tokenizer(damaged, tmp_path / "tokenizer.json", merges=20, progress=False)
    assert {error.entry for error in report.refused} == REFUSED.keys()
    assert report.n_sequences == report.n_used == 15
    tokenizer = Tokenizer.load(report.path)
    for sequence in ("M", random_sequence(GIANT, seed=7)):
        assert tokenizer.decode(tokenizer.encode([sequence])[0].id) == sequence
    assert files_in(tmp_path) == ["tokenizer.json"]


# ---------------------------------------------------------------- no record at all
NO_HEADER = {"plain": "MKVLAAGIVLL\nMKLLLAA\n", "late": "MKVLAAGIV\n>b\nMKLLLAA\n", "comment": ";old\n>b\nMKLLLAA\n"}


@pytest.mark.parametrize("text", NO_HEADER.values(), ids=NO_HEADER)
@pytest.mark.parametrize("name", ["x.fa", "x.fasta", "x.FAA"])
def test_a_missing_header_is_told_by_every_reader(text, name, tmp_path) -> None:
    path = tmp_path / name
    path.write_text(text)
    (error,) = read_inputs([str(path)])
    assert isinstance(error, InputError)
    with pytest.raises(InputError) as raised:
        train_tokenizer(path, tmp_path / "tokenizer.json", merges=0, progress=False)
    for message in (str(error), str(raised.value)):
        assert f"{path}: line 1 stands before the first '>'" in message and "a FASTA file" in message
    assert files_in(tmp_path) == [name]


def test_the_verbs_say_so_in_one_message(model, tmp_path) -> None:
    path = tmp_path / "x.fa"
    path.write_text(NO_HEADER["plain"])
    outputs = {"prepare": "store", "embed": "x.h5", "tokens": "x.json"}
    for verb, output in outputs.items():
        done = run(verb, path, "-o", tmp_path / output, *(["--model", model] if verb == "embed" else []))
        assert done.returncode == 1 and "line 1 stands before the first '>'" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.h5").exists() and not (tmp_path / "x.json").exists()


def test_an_empty_file_is_told(tmp_path) -> None:
    (tmp_path / "x.fa").write_text("\n \n")
    (error,) = read_inputs([str(tmp_path / "x.fa")])
    assert isinstance(error, InputError)
    assert "empty" in error.found or "neither" in error.found, json.dumps(error.found)
