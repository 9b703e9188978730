"""A checkpoint: a folder with everything that is needed to use a network, and to tell what it was trained on.

    recipe.toml                  the recipe it was made with
    network.safetensors          the weights
    model.json                   family, hyper-parameters, SHA-256 of the weights, metrics
    (further files)              what the family needs beside the weights, such as a tokenizer.json
    training_chains.txt          keys of the training chains, one a line
    training_sequences.fasta.gz  their sequences

Files are replaced as a whole. The new model.json is written before the new weights and renamed after them, and `load`
takes the one whose SHA-256 is that of the weights: a kill between any two writes leaves a checkpoint that loads.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes

from tertia import __version__
from tertia.data.columns import replaced, write_json
from tertia.data.store import Store
from tertia.errors import CheckpointError, TertiaError
from tertia.models import FAMILIES
from tertia.models.family import Family
from tertia.residues import LETTERS, UNKNOWN

CARD, WEIGHTS, RECIPE = "model.json", "network.safetensors", "recipe.toml"
NEXT_CARD = "model.json.next"
CHAINS, SEQUENCES = "training_chains.txt", "training_sequences.fasta.gz"
FORMAT = {"format": "tertia-checkpoint", "version": 1}


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with what is known about it."""

    family: Family
    network: torch.nn.Module  # in evaluation mode, on the CPU
    meta: Mapping[str, Any]  # model.json
    folder: Path

    def training_chains(self) -> list[str]:
        """Return the keys of the chains it was trained on."""
        path = self.folder / CHAINS
        if not path.is_file():
            raise CheckpointError(str(self.folder), CHAINS, found="is missing")
        return path.read_text().split()


def checkpoint_folder(model: str | Path) -> Path:
    """Return the folder of a shipped model by name ("distmap"), or the folder itself."""
    if not str(model):
        raise CheckpointError("model", found="no name given", allowed=_shipped_names())
    shipped = Path(str(files("tertia"))) / "weights" / str(model)
    if Path(model).is_dir() or not (shipped / CARD).is_file():
        return Path(model)
    return shipped


def load(model: str | Path) -> Checkpoint:
    """Load a shipped model by name, or a checkpoint folder.

    Raises CheckpointError when the folder is absent, incomplete, damaged, or not one of ours.
    """
    folder = checkpoint_folder(model)
    if not folder.is_dir():
        raise CheckpointError(str(model), found="no such model", allowed=f"{_shipped_names()}, or a checkpoint folder")
    names = [name for name in (NEXT_CARD, CARD) if (folder / name).is_file()] or [CARD]
    cards = [read_card(folder, name) for name in names]
    try:
        raw = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise CheckpointError(str(folder), WEIGHTS, found=f"cannot be read ({error.strerror})") from None
    digest = hashlib.sha256(raw).hexdigest()
    meta = next((card for card in cards if card["sha256"] == digest), cards[-1])
    family = with_files(family_of(meta, where=str(folder)), meta, folder)
    if digest != meta["sha256"]:
        raise CheckpointError(
            str(folder), WEIGHTS, found=f"has the SHA-256 {digest[:16]}",
            allowed=f"{meta['sha256'][:16]}, as {CARD} says",
            hint="the file is damaged, or of another model",
        )  # fmt: skip
    network = family.network()
    fill(network, _tensors(raw, folder), where=str(folder))
    return Checkpoint(family, network.eval(), meta, folder)


def save(
    folder: Path, family: Family, network: torch.nn.Module, *, recipe: str, meta: Mapping[str, Any]
) -> dict[str, Any]:
    """Write recipe, weights and model.json; return the latter. The same network gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    raw = tensor_bytes(state)
    card = FORMAT | {
        "tertia": __version__,
        "family": family.name,
        **portable(family),
        "sha256": hashlib.sha256(raw).hexdigest(),
        **meta,
    }
    for name, content in files_of(family).items():
        write_bytes(folder / name, content)
    write_bytes(folder / RECIPE, recipe.encode())
    write_json(folder / NEXT_CARD, card)
    write_bytes(folder / WEIGHTS, raw)
    os.replace(folder / NEXT_CARD, folder / CARD)
    return card


def save_training_set(folder: Path, store: Store, positions: Sequence[int]) -> None:
    """Write the keys and the sequences of the training chains."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = store.keys
    letters = "-" + LETTERS + UNKNOWN
    write_bytes(folder / CHAINS, "".join(f"{keys[position]}\n" for position in positions).encode())
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as handle:  # no name, no time: same bytes again
        for position in positions:
            sequence = "".join(letters[index] for index in store.alpha(int(position))[1].tolist())
            handle.write(f">{keys[position]}\n{sequence}\n".encode())
    write_bytes(folder / SEQUENCES, packed.getvalue())


def read_card(folder: Path, name: str = CARD) -> dict[str, Any]:
    """Return model.json; raises CheckpointError when it is absent, damaged or of another program."""
    path = folder / name
    try:
        meta = json.loads(path.read_text())
    except OSError as error:
        raise CheckpointError(
            str(folder), CARD, found=f"cannot be read ({error.strerror})", allowed="a checkpoint folder",
            hint="a training run writes it at its first validation",
        ) from None  # fmt: skip
    except ValueError as error:
        raise CheckpointError(str(folder), CARD, found=f"is no JSON ({error})") from None
    wanted = {"format": str, "version": int, "family": str, "hyper_parameters": dict, "sha256": str}
    if not isinstance(meta, dict) or meta.get("format") != FORMAT["format"]:
        raise CheckpointError(str(folder), CARD, found="is not of a tertia checkpoint")
    missing = [name for name, kind in wanted.items() if not isinstance(meta.get(name), kind)]
    if missing or meta["version"] != FORMAT["version"]:
        found = f"has no {', '.join(missing)}" if missing else f"has version {meta['version']}"
        raise CheckpointError(str(folder), CARD, found=found, allowed=f"version {FORMAT['version']}, complete")
    return meta


def family_of(meta: Mapping[str, Any], *, where: str) -> Family:
    """Return the family with the hyper-parameters of a model.json."""
    kind = FAMILIES.get(meta["family"])
    if kind is None:
        raise CheckpointError(where, CARD, found=f"is of the family {meta['family']!r}", allowed=", ".join(FAMILIES))
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in meta["hyper_parameters"].items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise CheckpointError(
            where, CARD, found=f"has hyper-parameters that this version does not know ({error})",
            hint=f"it was written by tertia {meta.get('tertia', '?')}, this is {__version__}",
        ) from None  # fmt: skip


def files_of(family: Family) -> dict[str, bytes]:
    """Return what a family needs beside its weights, by file name."""
    return family.files() if hasattr(family, "files") else {}


def portable(family: Family) -> dict[str, Any]:
    """Return the hyper-parameters with files named as in a checkpoint, wherever they lie, and the files' SHA-256."""
    files = {name: hashlib.sha256(content).hexdigest() for name, content in files_of(family).items()}
    told = {"hyper_parameters": asdict(family.at(Path()) if files else family)}
    return told | ({"files": files} if files else {})


def with_files(family: Family, meta: Mapping[str, Any], folder: Path) -> Family:
    """Return the family reading its files from the folder of a checkpoint.

    Raises CheckpointError when one is missing, or not the one that model.json tells of.
    """
    family = family.at(folder) if hasattr(family, "at") else family
    try:
        found = portable(family).get("files", {})
    except TertiaError as error:
        raise CheckpointError(str(folder), found=str(error), hint="a file is missing or damaged") from None
    for name, digest in found.items():
        if meta.get("files", {}).get(name) != digest:
            raise CheckpointError(
                str(folder), name, found=f"has the SHA-256 {digest[:16]}", allowed=f"the file that {CARD} tells of",
                hint="the file is damaged, or of another model",
            )  # fmt: skip
    return family


def fill(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Put weights into a network; raises CheckpointError unless names and shapes agree and all values are finite."""
    own = network.state_dict()
    absent, foreign = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    wrong = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if absent or foreign or wrong:
        first = (absent + foreign + wrong)[0]
        found = f"lacks {len(absent)}, has {len(foreign)} unknown and {len(wrong)} misshapen tensors (first: {first})"
        raise CheckpointError(
            where, WEIGHTS, found=found, allowed="the tensors of the family",
            hint="the weights belong to other hyper-parameters or another version",
        )  # fmt: skip
    bad = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise CheckpointError(where, WEIGHTS, found=f"holds values that are not finite (first: {bad[0]})")
    network.load_state_dict(dict(tensors))


def write_bytes(path: Path, raw: bytes) -> None:
    """Write a file atomically."""
    with replaced(path) as handle:
        handle.write(raw)


def _tensors(raw: bytes, folder: Path) -> dict[str, torch.Tensor]:
    try:
        return read_tensors(raw)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(str(folder), WEIGHTS, found=f"is damaged ({error})") from None


def _shipped_names() -> str:
    folder = Path(str(files("tertia"))) / "weights"
    return ", ".join(sorted(path.parent.name for path in folder.glob(f"*/{CARD}"))) or "(no shipped model)"
