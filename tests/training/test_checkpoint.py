"""A checkpoint comes back as it was saved; a damaged or foreign one gives one clear error."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tertia.errors import CheckpointError
from tertia.sequence.fasta import read_fasta
from tertia.training import checkpoint
from tertia.training.run import usable
from tests.training.stores import small_family


@pytest.fixture(scope="module")
def saved(store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    checkpoint.save(folder, small_family(), small_family().network(), recipe="a = 1\n", meta={"metrics": {"loss": 0.5}})
    checkpoint.save_training_set(folder, store, usable(store, "train"))
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_what_was_saved_comes_back(saved: Path) -> None:
    torch.manual_seed(0)
    network = small_family().network()
    loaded = checkpoint.load(saved)
    assert loaded.family == small_family()
    assert loaded.meta["metrics"] == {"loss": 0.5}
    assert not loaded.network.training
    state = loaded.network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_saving_again_gives_the_same_bytes(saved: Path, store, tmp_path: Path) -> None:
    loaded = checkpoint.load(saved)
    meta = {"metrics": {"loss": 0.5}}
    checkpoint.save(tmp_path, loaded.family, loaded.network, recipe="a = 1\n", meta=meta)
    checkpoint.save_training_set(tmp_path, store, usable(store, "train"))
    names = sorted(path.name for path in saved.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in names if (saved / name).read_bytes() != (tmp_path / name).read_bytes()] == []


def test_the_training_chains_are_told_by_key_and_sequence(saved: Path, store) -> None:
    positions = usable(store, "train").tolist()
    assert checkpoint.load(saved).training_chains() == [store.keys[position] for position in positions]
    text = gzip.decompress((saved / checkpoint.SEQUENCES).read_bytes()).decode()
    pairs = [record.split("\n") for record in text.strip(">\n").split("\n>")]
    assert pairs == [[store.keys[position], store[position].sequence] for position in positions]


def test_the_sequences_can_be_read_as_fasta(saved: Path) -> None:
    records = read_fasta(saved / checkpoint.SEQUENCES)
    assert [record.name for record in records] == checkpoint.load(saved).training_chains()


@pytest.mark.parametrize("fatal", ["model.json.next", "network.safetensors", "rename"])
def test_killed_while_saving_it_is_the_old_or_the_new_one(copy: Path, monkeypatch, fatal: str) -> None:
    """Every write but the fatal one is done; what is there loads, and saving again finishes."""
    network = small_family().network()  # other weights
    old = checkpoint.load(copy).meta["sha256"]
    writers = {"model.json.next": "write_json", "network.safetensors": "write_bytes"}
    original = checkpoint.write_bytes

    def killed(path: Path, *rest: object) -> None:
        if fatal != "network.safetensors" or path.name == fatal:
            raise KeyboardInterrupt
        original(path, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if fatal == "rename":
            patch.setattr(checkpoint, "os", type("os", (), {"replace": killed}))
        else:
            patch.setattr(checkpoint, writers[fatal], killed)
        checkpoint.save(copy, small_family(), network, recipe="a = 1\n", meta={})
    loaded = checkpoint.load(copy)
    assert (loaded.meta["sha256"] == old) is (fatal != "rename")
    checkpoint.save(copy, small_family(), network, recipe="a = 1\n", meta={})
    assert checkpoint.load(copy).meta["sha256"] != old
    assert not (copy / checkpoint.NEXT_CARD).exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(bytes(raw))


def edited(path: Path, **changes: object) -> None:
    card = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (card | changes).items() if v is not None}))


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("model.json", Path.unlink, "cannot be read"),
        ("model.json", cut, "is no JSON"),
        ("model.json", lambda path: path.write_text("[]"), "not of a tertia checkpoint"),
        ("model.json", lambda path: path.write_bytes(b"\xff\x00"), "is no JSON"),
        ("model.json", lambda path: edited(path, format="other"), "not of a tertia checkpoint"),
        ("model.json", lambda path: edited(path, version=99), "has version 99"),
        ("model.json", lambda path: edited(path, sha256=None), "has no sha256"),
        ("model.json", lambda path: edited(path, family="unheard"), "of the family 'unheard'; allowed: "),
        ("model.json", lambda path: edited(path, hyper_parameters={"height": 3}), "does not know"),
        ("network.safetensors", Path.unlink, "cannot be read"),
        ("network.safetensors", cut, "has the SHA-256"),
        ("network.safetensors", flip, "has the SHA-256"),
    ],
)
def test_damage_is_told(copy: Path, name: str, damage, words: str) -> None:
    damage(copy / name)
    with pytest.raises(CheckpointError, match=words) as error:
        checkpoint.load(copy)
    assert str(copy) in str(error.value)


def test_weights_of_other_hyper_parameters_are_told(copy: Path) -> None:
    card = json.loads((copy / "model.json").read_text())
    edited(copy / "model.json", hyper_parameters=card["hyper_parameters"] | {"n_blocks": 3})
    with pytest.raises(CheckpointError, match=r"lacks \d+, has 0 unknown and \d+ misshapen"):
        checkpoint.load(copy)


def test_weights_that_are_not_finite_are_told(copy: Path) -> None:
    tensors = load_file(copy / "network.safetensors")
    name = next(iter(tensors))
    tensors[name].view(-1)[0] = torch.nan
    save_file(tensors, copy / "network.safetensors")
    digest = checkpoint.hashlib.sha256((copy / "network.safetensors").read_bytes()).hexdigest()
    edited(copy / "model.json", sha256=digest)
    with pytest.raises(CheckpointError, match=f"not finite .first: {name}"):
        checkpoint.load(copy)


def test_a_name_that_is_no_model_is_told() -> None:
    with pytest.raises(CheckpointError, match="no such model"):
        checkpoint.load("no-such-model")
    with pytest.raises(CheckpointError, match="no name given"):
        checkpoint.load("")


def test_pickles_are_not_read(copy: Path) -> None:
    """A file that begins like a pickle (or anything else) is compared with its hash before anything reads it."""
    (copy / "network.safetensors").write_bytes(b"\x80\x04\x95 not weights")
    with pytest.raises(CheckpointError):
        checkpoint.load(copy)
