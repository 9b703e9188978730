"""A folder that `transformers.AutoModelForMaskedLM.from_pretrained` reads, and back; transformers itself is not needed.

config.json says what the network is, model.safetensors holds its parameters under their own names; the tied matrix
stands there once. `AutoModel` reads the same folder; the pooler that it adds has fresh weights, for there is none here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes

from tertia.data.columns import replaced, write_json
from tertia.errors import CheckpointError
from tertia.models.pairlm.longformer import Longformer
from tertia.models.pairlm.packing import FIRST_POSITION, PAD
from tertia.models.pairlm.roberta import DEVIATION, EPSILON, Roberta
from tertia.sequence.tokens import SPECIALS, Tokenizer

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
ARCHITECTURES = {"roberta": "RobertaForMaskedLM", "longformer": "LongformerForMaskedLM"}

FIXED = {
    "hidden_act": "gelu",
    "initializer_range": DEVIATION,
    "layer_norm_eps": EPSILON,
    "pad_token_id": PAD,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "tie_word_embeddings": True,
    "type_vocab_size": 1,
}
"""What all encoders of the family have in common."""

DECISIVE = ("hidden_act", "layer_norm_eps", "pad_token_id", "tie_word_embeddings", "type_vocab_size")
"""Those of them on which the output depends."""

SIZES = {
    "vocab_size": "n_tokens",
    "hidden_size": "width",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "inner",
    "max_position_embeddings": "n_positions",
}
"""Keys of config.json and the hyper-parameters that they are."""


def write_folder(folder: str | Path, network: Roberta | Longformer, tokenizer: Tokenizer | None = None) -> None:
    """Write config.json and model.safetensors into a folder; both atomically, the same network gives the same bytes.

    With a tokenizer, the folder also holds the two files that `AutoTokenizer` reads; it splits what `<s> A </s>` has
    to hold, and sequences have to come in capital letters.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replaced(folder / WEIGHTS) as handle:
        handle.write(tensor_bytes(state, metadata={"format": "pt"}))
    write_json(folder / CONFIG, config_of(network))
    if tokenizer is not None:
        with replaced(folder / TOKENIZER) as handle:
            handle.write(tokenizer.text.encode())
        write_json(folder / TOKENIZER_CONFIG, tokenizer_config(config_of(network)["max_position_embeddings"]))


def tokenizer_config(n_positions: int) -> dict[str, Any]:
    """Return what tokenizer_config.json says: which token plays which part."""
    start, pad, end, unknown, mask = SPECIALS
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": n_positions - FIRST_POSITION,
        "bos_token": start,
        "cls_token": start,
        "pad_token": pad,
        "eos_token": end,
        "sep_token": end,
        "unk_token": unknown,
        "mask_token": mask,
    }


def config_of(network: Roberta | Longformer) -> dict[str, Any]:
    """Return what config.json says of a network."""
    kind = "longformer" if isinstance(network, Longformer) else "roberta"
    body = getattr(network, kind)
    embeddings, n_layers = body["embeddings"], len(body["encoder"]["layer"])
    sizes = {
        "n_tokens": embeddings.word_embeddings.num_embeddings,
        "width": network.width,
        "n_layers": n_layers,
        "n_heads": network.n_heads,
        "inner": network.inner,
        "n_positions": embeddings.position_embeddings.num_embeddings,
    }
    config = FIXED | {key: sizes[name] for key, name in SIZES.items()}
    config |= {"model_type": kind, "architectures": [ARCHITECTURES[kind]]}
    config |= {"dtype": str(embeddings.word_embeddings.weight.dtype).removeprefix("torch.")}
    config |= {"hidden_dropout_prob": network.dropout, "attention_probs_dropout_prob": network.dropout}
    if kind == "longformer":
        config |= {"attention_window": [network.window] * n_layers, "sep_token_id": 2}
    return config


def read_folder(folder: str | Path) -> Roberta | Longformer:
    """Return the network of a folder, in evaluation mode on the CPU.

    Folders that transformers wrote are read as well, when they hold such a network: a pooler, which is no part of it,
    and copies of the tied matrix are left out.

    Raises CheckpointError when a file is absent or damaged, or the network is another one.
    """
    folder = Path(folder)
    config = _read_config(folder)
    tensors = _read_weights(folder, config["model_type"])
    try:
        with torch.device("meta"):  # a damaged config.json takes no memory
            network = _build(config)
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise CheckpointError(str(folder), CONFIG, found=f"describes no network ({error!r})") from None
    own = network.state_dict()
    wrong = sorted(set(own) ^ set(tensors)) + [n for n in own if n in tensors and own[n].shape != tensors[n].shape]
    bad = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if wrong or bad:
        found = f"lacks, misshapes or has one too many: {wrong[0]}" if wrong else f"holds no finite numbers: {bad[0]}"
        raise CheckpointError(str(folder), WEIGHTS, found=found, allowed=f"the tensors that {CONFIG} tells of")
    network = network.to_empty(device="cpu").to(tensors[next(iter(own))].dtype)
    network.load_state_dict(tensors)
    return network.eval()


def _build(config: Mapping[str, Any]) -> Roberta | Longformer:
    """Return a network with fresh weights for a config.json."""
    sizes = {name: config[key] for key, name in SIZES.items()}
    n_tokens, width = sizes.pop("n_tokens"), sizes.pop("width")
    if width % sizes["n_heads"]:
        raise ValueError(f"hidden_size {width} is no multiple of num_attention_heads {sizes['n_heads']}")
    dropout = config.get("hidden_dropout_prob", 0.0)
    if config["model_type"] == "roberta":
        return Roberta(n_tokens, width, **sizes, dropout=dropout)
    window = config["attention_window"]
    windows = {window} if isinstance(window, int) else set(window)
    if len(windows) != 1:
        raise ValueError(f"attention_window is {window}, not the same in all layers")
    return Longformer(n_tokens, width, **sizes, dropout=dropout, window=windows.pop())


def _read_config(folder: Path) -> dict[str, Any]:
    """Return config.json once it is known to be that of an encoder of the family."""
    try:
        config = json.loads((folder / CONFIG).read_text())
    except OSError as error:
        raise CheckpointError(str(folder), CONFIG, found=f"cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise CheckpointError(str(folder), CONFIG, found=f"is no JSON ({error})") from None
    if not isinstance(config, dict) or config.get("model_type") not in ARCHITECTURES or config.get("is_decoder"):
        raise CheckpointError(
            str(folder), CONFIG, found="is of another kind of network", allowed=f"model_type {', '.join(ARCHITECTURES)}"
        )
    for key in DECISIVE:
        if config.get(key) != FIXED[key]:
            raise CheckpointError(str(folder), CONFIG, found=f"{key} is {config.get(key)}", allowed=str(FIXED[key]))
    return config


def _read_weights(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    """Return model.safetensors without the tensors that repeat others or are no part of the network."""
    try:
        tensors = read_tensors((folder / WEIGHTS).read_bytes())
    except OSError as error:
        raise CheckpointError(str(folder), WEIGHTS, found=f"cannot be read ({error.strerror})") from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(str(folder), WEIGHTS, found=f"is damaged ({error})") from None
    tied = {
        "lm_head.decoder.weight": f"{kind}.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    }
    for copy, name in tied.items():
        if copy in tensors and not torch.equal(tensors.pop(copy), tensors.get(name, torch.empty(0))):
            raise CheckpointError(str(folder), WEIGHTS, found=f"{copy} is not {name}", allowed="tied matrices")
    left_out = (f"{kind}.pooler.", f"{kind}.embeddings.position_ids")
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(left_out)}
