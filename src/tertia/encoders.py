"""Open models as encoders: by name, at chosen noise levels, one or several side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tertia.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from tertia.embedding.side_by_side import SideBySide
    from tertia.structure.chain import Chain
    from tertia.training.checkpoint import Checkpoint

PRECISIONS = ("fp32", "bf16", "fp16")
FRESH = "fresh:"
"""Before a name: the same network with weights that were never trained, the control of every experiment."""
N_CALIBRATION_CHAINS = 24


@dataclass(frozen=True)
class Opened:
    """A model that is ready to encode."""

    family: Any
    encoder: Any
    provenance: dict[str, object]
    notes: tuple[str, ...]  # noise levels that were rounded


def open_encoder(
    model: str | Path | Checkpoint | None, *, sigmas: Sequence[float] | None = None, precision: str = "fp32",
    device: str | None = None,
) -> Opened:  # fmt: skip
    """Open one model.

    Parameters
    ----------
    model: name of a shipped model, checkpoint folder, or a loaded checkpoint; None is "distmap".
    sigmas: noise levels in Angstrom, for families that have them; None takes the model's own.
    precision: one of PRECISIONS.
    device: "cpu", "cuda", ...; by default what is there.

    Raises
    ------
    InputError: an option is wrong; CheckpointError: no such model, or it has no noise levels.
    """
    import torch

    from tertia import __version__
    from tertia.training import checkpoint

    if precision not in PRECISIONS:
        raise InputError("precision", found=repr(precision), allowed=", ".join(PRECISIONS))
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError("device", found=f"{device!r} cannot be used ({str(error).splitlines()[0]})") from None
    trained = checkpoint.load(model or "distmap") if isinstance(model, str | Path | None) else model
    family, network = trained.family, trained.network
    provenance = {"model": family.name, "sha256": str(trained.meta.get("sha256", "")), "precision": precision,
                  "tertia": __version__}  # fmt: skip
    if not hasattr(network, "encoder"):
        if sigmas is not None:
            raise CheckpointError(trained.folder.name, found=f"the family {family.name} has no noise levels")
        if precision != "fp32":
            raise CheckpointError(trained.folder.name, found=f"the family {family.name} computes in fp32 only")
        return Opened(family, Dense(family, network.to(device), device), provenance, ())
    chosen, notes = _chosen_levels(family, sigmas)
    provenance["sigmas"] = [round(float(family.sigmas[level]), 6) for level in chosen]
    return Opened(family, network.encoder(chosen, precision=precision, device=device), provenance, tuple(notes))


def open_side_by_side(
    models: str, *, calibration: Sequence[Chain] = (), cache: Path | None = None, device: str | None = None
) -> SideBySide:
    """Open models for a task.

    Parameters
    ----------
    models: names joined by commas, each with noise levels if wanted: "distmap@3.28+0.55,pairlm"; "fresh:" before a name
        takes the network with untrained weights, standardised on `calibration`.
    cache: folder in which embeddings are kept.
    """
    from tertia.embedding.side_by_side import Encoding, SideBySide

    encodings = []
    for name, sigmas in parse_models(models):
        trained = load_model(name, sigmas=sigmas, calibration=calibration)
        opened = open_encoder(trained, sigmas=sigmas, device=device)
        identity = hashlib.sha256(repr(sorted(opened.provenance.items())).encode()).hexdigest()[:16]
        encodings.append(Encoding(opened.family, opened.encoder, identity))
    return SideBySide(encodings, cache=cache)


def parse_models(models: str) -> list[tuple[str, list[float] | None]]:
    """Split "distmap@3.28+0.55,pairlm" into names and noise levels, None where none are given."""
    out = []
    for part in models.split(","):
        name, given, levels = part.strip().partition("@")
        try:
            sigmas = [float(level) for level in levels.split("+")] if given else None
        except ValueError:
            raise InputError(
                "models", part, found=f"{levels!r} are no noise levels", allowed="NAME@3.28+0.55"
            ) from None
        if not name.removeprefix(FRESH):
            raise InputError("models", found=f"no name in {models!r}", allowed="names joined by commas")
        out.append((name, sigmas))
    return out


def hashes_of(models: str) -> list[str]:
    """Return the SHA-256 of the weights of each model, as their cards have it; "" names none."""
    from tertia.training import checkpoint

    names = [name.removeprefix(FRESH) for name, _ in parse_models(models)] if models else []
    return [str(checkpoint.read_card(checkpoint.checkpoint_folder(name))["sha256"]) for name in names]


def load_model(name: str, *, sigmas: Sequence[float] | None = None, calibration: Sequence[Chain] = ()) -> Checkpoint:
    """Return a model that nobody else holds, as `open_side_by_side` takes its name.

    Parameters
    ----------
    sigmas, calibration: for "fresh:", the noise levels and chains that the untrained weights are standardised on.
    """
    from tertia.training import checkpoint

    if name.startswith(FRESH):
        return _fresh(name.removeprefix(FRESH), sigmas, calibration)
    return checkpoint.load(name)


def _fresh(name: str, sigmas: Sequence[float] | None, calibration: Sequence[Chain]) -> Checkpoint:
    """Return a model with untrained weights, always the same ones, standardised on `calibration`."""
    import torch

    from tertia.training import checkpoint

    trained = checkpoint.load(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = trained.family.network().eval()
    usable = [one for one in calibration if not trained.family.needs_coordinates or one.seen.any()]
    distinct = {chain.sequence: chain for chain in reversed(usable)}  # the first of each
    chains = list(reversed(distinct.values()))[:N_CALIBRATION_CHAINS]
    if chains and hasattr(network, "encoder"):
        network.calibrate(chains, levels=_chosen_levels(trained.family, sigmas)[0])
    elif chains:
        network.calibrate(chains)
    told = "".join(chain.sequence for chain in chains)
    digest = hashlib.sha256(f"fresh {trained.meta['sha256']} {told}".encode()).hexdigest()
    return checkpoint.Checkpoint(trained.family, network, {"sha256": digest}, trained.folder)


def _chosen_levels(family: Any, sigmas: Sequence[float] | None) -> tuple[list[int], list[str]]:
    """Return the noise levels that are nearest to the given ones, and what was rounded."""
    if sigmas is None:
        return [family.embed_level], []
    table = family.sigmas.numpy()
    sigmas = [sigmas] if isinstance(sigmas, int | float) else list(sigmas)
    chosen, notes = [], []
    for sigma in sigmas:
        if not table[-1] / 1.2 <= sigma <= table[0] * 1.2:
            allowed = f"{table[-1]:g} to {table[0]:g} Angstrom"
            raise InputError("sigmas", found=f"{sigma:g} is outside of what the model was trained on", allowed=allowed)
        level = int(np.abs(np.log(table / sigma)).argmin())
        chosen.append(level)
        if abs(table[level] / sigma - 1) > 0.01:
            notes.append(f"noise level {sigma:g} Angstrom: the nearest one of the model, {table[level]:.3g}, was taken")
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError("sigmas", found="none given" if not chosen else "two of them are the same level of the model")
    return chosen, notes


class Dense:
    """The encoder of a family that has no other: the network itself."""

    def __init__(self, family: Any, network: Any, device: str) -> None:
        self.network, self.device = network, device
        self.width = getattr(network, "channels", 0)
        self.batch_cost = getattr(family, "batch_cost", family.cost(64))

    def encode(self, inputs: Any) -> Any:
        """Return the embeddings of a padded batch."""
        import torch

        with torch.inference_mode():
            moved = type(inputs)(**{name: value.to(self.device) for name, value in vars(inputs).items()})
            return self.network.encode(moved)

    def memory(self, n_residues: int, *, pair: bool = False) -> int:
        """Return how many bytes it takes to encode a chain; nothing of networks that do not say."""
        return self.network.memory(n_residues, pair=pair) if hasattr(self.network, "memory") else 0
