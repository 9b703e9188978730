"""Tokens of several residues end to end: embeddings of residues, checkpoints with a tokenizer, starts, exports."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import tertia
from tertia.data.batch import collate
from tertia.errors import CheckpointError, InputError, RecipeError
from tertia.models import Pairlm
from tertia.models.pairlm.encode import N_PLACE
from tertia.residues import LETTERS
from tertia.training import checkpoint
from tertia.training.settings import TrainingRecipe
from tertia.training.state import TrainingState
from tests.models.pairlm.encoders import loud, some_merges
from tests.structures import random_sequence, sequence_chain

SIZES = {"width": 32, "n_layers": 2, "n_heads": 2}


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "mine.json"
    some_merges().save(path)
    return path


def family_of(path: Path, **more) -> Pairlm:
    return Pairlm(**(SIZES | {"architecture": "roberta", "tokenizer": str(path), "longest": 40} | more))


def network_of(family: Pairlm, seed: int = 0) -> torch.nn.Module:
    network = family.network().eval()
    loud(network.body, seed)
    return network


def state_of(family: Pairlm) -> TrainingState:
    return TrainingState(family, TrainingRecipe(steps=1), torch.device("cpu"), ("all",))


@torch.no_grad()
def test_residues_of_one_token_have_rows_of_their_own(path) -> None:
    family = family_of(path)
    sequence = random_sequence(90, seed=4) + "X"
    inputs = family.featurise(sequence_chain(sequence))
    network = network_of(family)
    encoded = network.encode(collate([inputs]))
    assert encoded.residue.shape == (1, 91, 32 + N_PLACE) and network.channels == 32 + N_PLACE
    stream, place = encoded.residue[0].split([32, N_PLACE], dim=-1)
    same = inputs.token_of_residue.diff() == 0
    assert bool(same.any()) and torch.equal(stream[1:][same], stream[:-1][same])
    assert bool(((place[1:] - place[:-1])[same].abs().amax(-1) > 0).all())
    letters = ["".join(LETTERS[k] for k in row.nonzero()[:, 0].tolist()) or "X" for row in place[:, :20]]
    assert "".join(letters) == sequence  # nothing that is said of residues is limited by the tokens
    span = 1.0 / place[:, 21]
    assert torch.allclose(span, inputs.span.float())
    assert torch.allclose(place[:, 20] * span - 0.5, inputs.offset.float(), atol=1e-5)
    assert torch.allclose(encoded.protein[0], encoded.residue[0].mean(0), atol=1e-5)


@torch.no_grad()
def test_companions_change_nothing_with_merges(path) -> None:
    family = family_of(path)
    network = network_of(family)
    inputs = [family.featurise(sequence_chain(random_sequence(n, seed=n))) for n in (9, 160, 30)]
    together = network.encode(collate(inputs))
    for row, one in enumerate(inputs):
        alone = network.encode(collate([one]))
        assert torch.allclose(together.residue[row, : len(one.letter)], alone.residue[0], atol=1e-5)
        assert torch.allclose(together.protein[row], alone.protein[0], atol=1e-5)
        assert not bool(together.residue[row, len(one.letter) :].any())


def test_a_checkpoint_carries_its_tokenizer(path, tmp_path) -> None:
    family = family_of(path)
    network = network_of(family)
    card = checkpoint.save(tmp_path / "run", family, network, recipe="", meta={})
    assert card["hyper_parameters"]["tokenizer"] == "tokenizer.json" and set(card["files"]) == {"tokenizer.json"}
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    loaded = checkpoint.load(moved)
    assert loaded.family == family.at(moved) != family and loaded.family.files() == family.files()
    chain = sequence_chain(random_sequence(70, seed=1))
    with torch.no_grad():
        one, two = (n.encode(collate([f.featurise(chain)])).residue for f, n in ((family, network), (loaded.family,
                    loaded.network)))  # fmt: skip
    assert torch.equal(one, two)
    checkpoint.save(tmp_path / "again", loaded.family, loaded.network, recipe="", meta={})
    for name in ("model.json", "tokenizer.json", "network.safetensors"):
        assert (moved / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    plain = checkpoint.save(tmp_path / "plain", Pairlm(**SIZES), Pairlm(**SIZES).network(), recipe="", meta={})
    assert "files" not in plain and not (tmp_path / "plain" / "tokenizer.json").exists()


@pytest.mark.parametrize("damage", ["absent", "broken", "another"])
def test_a_checkpoint_without_its_own_tokenizer_is_refused(path, tmp_path, damage: str) -> None:
    family = family_of(path)
    checkpoint.save(tmp_path, family, family.network(), recipe="", meta={})
    if damage == "another":
        some_merges(seed=3).save(tmp_path / "tokenizer.json")
    elif damage == "broken":
        (tmp_path / "tokenizer.json").write_text(path.read_text()[:500])
    else:
        (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        checkpoint.load(tmp_path)


def test_a_missing_tokenizer_is_a_mistake_in_the_recipe(tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.json cannot be read(.|\n)*tertia tokens"):
        family_of(tmp_path / "nowhere.json").network()


def test_a_longformer_begins_as_its_roberta_and_reads_short_lines_alike(path, tmp_path) -> None:
    short = family_of(path)
    source = network_of(short)
    source.calibrate([sequence_chain(random_sequence(40, seed=k)) for k in range(4)])
    checkpoint.save(tmp_path, short, source, recipe="", meta={})
    long = family_of(path, architecture="longformer", longest=100, window=76)
    state = state_of(long)
    state.begin_from(str(tmp_path))
    network = state.network.eval()
    with torch.no_grad():
        for n in (20, 37):  # up to 39 tokens: everything within half a window
            inputs = collate([short.featurise(sequence_chain(random_sequence(n, seed=n)))])
            assert inputs.token.shape[1] <= 39
            one, two = source.encode(inputs), network.encode(inputs)
            assert torch.allclose(one.residue, two.residue, atol=1e-5)
            assert torch.allclose(one.protein, two.protein, atol=1e-5)
    table = network.body.longformer["embeddings"].position_embeddings.weight
    assert len(table) == 102 and torch.equal(table[2:42], table[42:82])
    assert torch.equal(state.average.body.blocks[0].attention["self"].key_global.weight,
                       source.body.blocks[0].attention["self"].key.weight)  # fmt: skip


def test_a_start_with_another_tokenizer_or_encoder_is_refused(path, tmp_path) -> None:
    family = family_of(path)
    checkpoint.save(tmp_path / "run", family, family.network(), recipe="", meta={})
    some_merges(seed=3).save(tmp_path / "other.json")
    with pytest.raises(CheckpointError, match=r"another tokenizer\.json"):
        state_of(family_of(tmp_path / "other.json")).begin_from(str(tmp_path / "run"))
    with pytest.raises(CheckpointError, match="tensors"):
        state_of(family_of(path, architecture="rotary")).begin_from(str(tmp_path / "run"))


def test_global_projections_follow_when_training_is_over(path) -> None:
    family = family_of(path, architecture="longformer", window=16)
    network = network_of(family)
    attention = network.body.blocks[1].attention["self"]
    assert not torch.equal(attention.query_global.weight, attention.query.weight)
    assert not attention.query_global.weight.requires_grad and attention.query.weight.requires_grad
    network.calibrate([sequence_chain(random_sequence(30))])
    assert torch.equal(attention.query_global.weight, attention.query.weight)


@pytest.mark.parametrize("architecture", ["roberta", "longformer"])
def test_transformers_loads_the_exported_folder_with_its_tokenizer(path, tmp_path, architecture: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers", reason="not installed, so exports are NOT compared")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    family = family_of(path, architecture=architecture, window=16, longest=64)
    network = network_of(family)
    family.export(network, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    body = transformers.AutoModel.from_pretrained(tmp_path).eval()
    sequences = random_sequence(60, seed=1), random_sequence(45, seed=2)
    inputs = [family.featurise(sequence_chain(sequence)) for sequence in sequences]
    pair = family.join(*inputs)
    assert tokenizer(*sequences)["input_ids"] == (pair.token - 1).tolist()
    told = tokenizer(list(sequences), return_tensors="pt", padding=True)
    with torch.no_grad():
        theirs = body(**{name: told[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
        ours = network.rows(collate(inputs))
    assert torch.allclose(theirs[told["attention_mask"].bool()], ours, atol=1e-4)
    assert (tokenizer.model_max_length, tokenizer.mask_token_id, tokenizer.pad_token_id) == (64, 4, 1)


def test_a_checkpoint_is_exported_to_a_new_folder_only(path, tmp_path) -> None:
    family = family_of(path)
    checkpoint.save(tmp_path / "run", family, family.network(), recipe="", meta={})
    folder = tertia.export(tmp_path / "run", tmp_path / "out")
    names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(file.name for file in folder.iterdir()) == names
    with pytest.raises(InputError, match="is there already"):
        tertia.export(tmp_path / "run", folder)
    with pytest.raises(CheckpointError, match="no other library"):
        tertia.export("distmap", tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_rotary_has_no_counterpart_to_export_to(tmp_path) -> None:
    family = Pairlm(**SIZES)
    with pytest.raises(CheckpointError, match="rotary"):
        family.export(family.network(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_training_with_dropout_of_merges_shows_other_tokens_every_time(path) -> None:
    family = dataclasses.replace(family_of(path), token_dropout=0.2, longest=200)
    inputs = family.featurise(sequence_chain(random_sequence(80)))
    lengths = {len(family.corrupt(inputs, np.random.default_rng(seed))[0].token) for seed in range(8)}
    assert len(lengths) > 1 and min(lengths) > len(inputs.token)
