"""Folders in the layout of transformers: the same outputs there, the same network back, and clear refusals."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tertia.errors import CheckpointError
from tertia.models.pairlm.export import CONFIG, WEIGHTS, read_folder, write_folder
from tertia.models.pairlm.longformer import Longformer, lengthen
from tertia.models.pairlm.packing import PAD, pack, pack_padded
from tests.models.pairlm.encoders import N_TOKENS, sequences, tiny_longformer, tiny_roberta

NETWORKS = {"roberta": tiny_roberta, "longformer": tiny_longformer}


@pytest.fixture(scope="module")
def transformers():
    """The library itself: nothing but these tests imports it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip(
            "transformers", reason="not installed, so exported folders are NOT compared: pip install 'tertia[pairlm]'"
        )
        from transformers import LongformerForMaskedLM, RobertaForMaskedLM  # noqa: F401  (imported lazily there)
    module.utils.logging.set_verbosity_error()
    module.utils.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return module


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    """Return (B, T) token ids with pads, and lengths that are no multiple of the window."""
    token = torch.full((4, 27), PAD)
    for row, part in zip(token, sequences(27, 3, 16, 11, seed=6), strict=True):
        row[: len(part)] = part
    return token


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return NETWORKS[request.param](seed=1)


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "deep" / "folder"
    write_folder(path, network)
    return path


@torch.no_grad()
def test_transformers_gives_the_same_outputs(network, folder, batch, transformers) -> None:
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    assert type(theirs).__name__ == f"{type(network).__name__}ForMaskedLM"
    real = batch != PAD
    logits = theirs(batch, attention_mask=real.long()).logits[real]
    assert torch.allclose(network(pack_padded(batch)), logits, atol=1e-4)
    assert float(logits.std()) > 0.5  # far from where everything agrees
    body = transformers.AutoModel.from_pretrained(folder).eval()
    rows = body(batch, attention_mask=real.long()).last_hidden_state[real]
    assert torch.allclose(network.rows(pack_padded(batch)), rows, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("places", [(0,), (0, 5, 10), (2,)])
def test_global_tokens_are_those_of_transformers(batch, places, tmp_path, transformers) -> None:
    network = tiny_longformer(seed=2)
    write_folder(tmp_path, network)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    real = batch != PAD
    mark = torch.zeros_like(real)
    mark[:, list(places)] = True
    mark &= real
    logits = theirs(batch, attention_mask=real.long(), global_attention_mask=mark.long()).logits[real]
    found = network(pack_padded(batch), everywhere=mark[real])
    assert torch.allclose(found, logits, atol=1e-4)
    assert float((network(pack_padded(batch)) - logits).abs().max()) > 1e-2


@torch.no_grad()
def test_attended_padding_is_the_missing_mask_of_transformers(batch, tmp_path, transformers) -> None:
    network = tiny_roberta(seed=3)
    write_folder(tmp_path, network)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    logits = theirs(batch, attention_mask=torch.ones_like(batch)).logits.flatten(0, 1)
    assert torch.allclose(network(pack_padded(batch, attend_padding=True)), logits, atol=1e-4)


def test_names_are_those_of_transformers_one_to_one(network, folder, transformers) -> None:
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    shapes = {name: parameter.shape for name, parameter in theirs.named_parameters()}
    assert shapes == {name: tensor.shape for name, tensor in network.state_dict().items()}
    words = theirs.get_input_embeddings().weight
    assert theirs.lm_head.decoder.weight.data_ptr() == words.data_ptr()


@torch.no_grad()
def test_what_transformers_writes_is_read(network, folder, batch, tmp_path, transformers) -> None:
    """Also when it wrote the pooler, or the tied matrix once more."""
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    theirs.save_pretrained(tmp_path)
    expected = network(pack_padded(batch))
    assert torch.equal(read_folder(tmp_path)(pack_padded(batch)), expected)
    tensors = load_file(tmp_path / WEIGHTS)
    kind = json.loads((tmp_path / CONFIG).read_text())["model_type"]
    tensors[f"{kind}.pooler.dense.weight"] = torch.zeros(16, 16)
    tensors["lm_head.decoder.weight"] = tensors[f"{kind}.embeddings.word_embeddings.weight"].clone()
    save_file(tensors, tmp_path / WEIGHTS)
    assert torch.equal(read_folder(tmp_path)(pack_padded(batch)), expected)
    tensors["lm_head.decoder.weight"] += 1.0
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"decoder\.weight is not"):
        read_folder(tmp_path)


def test_the_same_network_comes_back_and_the_same_bytes_again(network, folder, tmp_path) -> None:
    back = read_folder(folder)
    assert type(back) is type(network) and not back.training
    own = network.state_dict()
    assert own.keys() == back.state_dict().keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in back.state_dict().items())
    packed = pack(sequences(20, 3))
    with torch.no_grad():
        assert torch.equal(network(packed), back(packed))
    write_folder(tmp_path, back)
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]


def test_sizes_and_precision_come_back(tmp_path) -> None:
    network = lengthen(tiny_roberta(n_layers=3, dropout=0.1), n_positions=100, window=20).bfloat16()
    write_folder(tmp_path, network)
    back = read_folder(tmp_path)
    assert isinstance(back, Longformer) and (back.window, back.dropout, back.inner) == (20, 0.1, 24)
    assert {parameter.dtype for parameter in back.parameters()} == {torch.bfloat16}
    assert back.longformer["embeddings"].position_embeddings.num_embeddings == 100


def damaged_config(folder: Path, **changes) -> None:
    config = json.loads((folder / CONFIG).read_text()) | changes
    (folder / CONFIG).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "another kind"),
        ({"is_decoder": True}, "another kind"),
        ({"layer_norm_eps": 1e-12}, "layer_norm_eps is 1e-12"),
        ({"type_vocab_size": 2}, "type_vocab_size is 2"),
        ({"hidden_act": "relu"}, "hidden_act is relu"),
        ({"hidden_size": "wide"}, "describes no network"),
        ({"num_attention_heads": 3}, "describes no network"),
        ({"num_hidden_layers": 3}, "model.safetensors.*layer.2"),
        ({"vocab_size": N_TOKENS + 1}, "model.safetensors"),
        ({"max_position_embeddings": 10**15}, "model.safetensors"),
        ({"attention_window": [8, 6]}, "not the same in all layers"),
        ({"attention_window": 7}, "not an even number"),
    ],
)
def test_other_networks_are_refused(tmp_path, changes, message) -> None:
    write_folder(tmp_path, tiny_longformer())
    damaged_config(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        read_folder(tmp_path)


def test_damaged_folders_are_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json.*cannot be read"):
        read_folder(tmp_path)
    write_folder(tmp_path, tiny_roberta())
    raw, text = (tmp_path / WEIGHTS).read_bytes(), (tmp_path / CONFIG).read_text()
    for damage, message in ((raw[:100], "is damaged"), (raw[:-40], "is damaged"), (b"", "is damaged")):
        (tmp_path / WEIGHTS).write_bytes(damage)
        with pytest.raises(CheckpointError, match=message):
            read_folder(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*cannot be read"):
        read_folder(tmp_path)
    (tmp_path / CONFIG).write_text(text[:40])
    with pytest.raises(CheckpointError, match="is no JSON"):
        read_folder(tmp_path)
    network = tiny_roberta()
    with torch.no_grad():
        network.lm_head.bias[3] = float("nan")
    write_folder(tmp_path, network)
    with pytest.raises(CheckpointError, match=r"no finite numbers: lm_head\.bias"):
        read_folder(tmp_path)
