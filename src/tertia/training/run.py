"""One training run on disk: where it begins or goes on, and what it logs, validates and saves on the way."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tertia.data.partners import Pairing
from tertia.data.store import Store
from tertia.errors import CheckpointError, RecipeError
from tertia.models.family import Family
from tertia.training import checkpoint, curves
from tertia.training.examples import Examples, FeaturisedChains
from tertia.training.log import Display, Log
from tertia.training.processes import Crew
from tertia.training.settings import TrainingRecipe
from tertia.training.state import STATE, TrainingState, read_meta
from tertia.training.validation import Score, Validation

FREE = ("threads", "workers", "cache_megabytes", "device", "max_minutes", "compile", "log_every", "validate_every",
        "checkpoint_every", "n_valid", "valid_draws", "start")  # fmt: skip
"""Settings that may differ when a run is continued, without a word."""

SECONDS_BETWEEN_DRAWINGS = 60.0


class Run:
    """Everything the loop works with."""

    def __init__(
        self, family: Family, store: Store, settings: TrainingRecipe, folder: Path, crew: Crew, *,
        recipe: str, resume: bool, quiet: bool, pairing: Pairing | None = None,
    ) -> None:  # fmt: skip
        self.family, self.store, self.settings, self.folder, self.crew = family, store, settings, folder, crew
        self.recipe, self.pairing = recipe, pairing
        chains = FeaturisedChains(family, store, megabytes=settings.cache_megabytes)
        train, valid = (usable(store, part, coordinates=family.needs_coordinates) for part in ("train", "valid"))
        self.examples = Examples(chains, train, settings, pairing=pairing, rank=crew.rank, size=crew.size)
        self.steps = self.examples.steps
        self.validation = Validation(chains, valid if pairing is None else pairing.fixed(valid), settings, crew)
        self._check()
        self.names = group_names(family)
        self.state = TrainingState(family, settings, crew.device, self.names)
        self.store_hash = fingerprint(store, pairing)
        begun = read_meta(folder) if resume else None
        shown, first = crew.first and not quiet, begun["step"] if begun else 0
        self.display = Display(shown=shown, step=first, steps=self.steps, batch=settings.batch)
        if begun is not None:
            self._continue(begun)
        else:
            self._begin(resume)
        crew.wait()  # all have read what is there; now the first process may write
        self.log = self._open_log(begun) if crew.first else None
        self._drawn, self._noticed = time.monotonic(), False

    def __enter__(self) -> Run:
        self.display.__enter__()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self.log is not None:
            self.log.close()
            if kind is None:
                self.draw()
        self.display.__exit__()
        if kind is None:
            self.crew.wait()

    def due(self, stop: threading.Event) -> set[str]:
        """Return what is to be done after this step: "log", "validate", "save", "stop"."""
        step, settings = self.state.step, self.settings
        last = step >= self.steps
        every = {"log": settings.log_every, "validate": settings.validate_every, "save": settings.checkpoint_every}
        due = {name for name, n in every.items() if step % n == 0 or last}
        # Several processes must agree, which costs a round trip: they ask each other only when something is due anyway.
        if (due or self.crew.size == 1) and self.crew.any(stop.is_set()) and not last:
            due |= {"save", "stop"}
        return due

    def log_step(self, rate: float) -> None:
        """Write the mean losses since the last line."""
        found = self.state.tally.summary(self.crew)
        self.state.tally.clear()
        if self.log is not None:
            self.log.write("train", self.state.step, {"learning_rate": rate, **found})
            self.display.step(self.state.step, float(found["loss"]))

    def validate(self) -> None:
        """Score the fixed examples; weights that are the best so far become the checkpoint."""
        state = self.state
        if len(self.validation):
            score = self.validation.score(state.shown, self.names)
            best = state.best is None or score.loss < state.best
            state.best = score.loss if best else state.best
        else:
            score, best = None, True
        if self.log is None:
            return
        if score is not None:
            self.log.write("valid", state.step, asdict(score))
            text = f"step {state.step:,}  validation loss {score.loss:.4f}{' (best)' if best else ''}"
            dimension = score.effective_dimension
            self.display.say(text if dimension is None else f"{text}  effective dimension {dimension:.1f}")
        if best:
            checkpoint.save(self.folder, self.family, state.shown, recipe=self.recipe, meta=self.card(score))
        if time.monotonic() - self._drawn > SECONDS_BETWEEN_DRAWINGS:
            self._drawn = time.monotonic()
            self.draw()

    def save(self) -> None:
        """Write the state from which a run continues."""
        if self.log is not None:
            meta = {"family": checkpoint.portable(self.family), "name": self.family.name,
                    "training": asdict(self.settings),
                    "store": self.store_hash, "log_bytes": self.log.sync()}  # fmt: skip
            self.state.write(self.folder, meta)

    def draw(self) -> None:
        """Draw the loss curves into the run folder."""
        notice = curves.draw(self.folder)
        if notice and not self._noticed:
            self._noticed = True
            self.display.say(notice)

    def card(self, score: Score | None) -> dict[str, Any]:
        """Return what model.json says about this training."""
        return {
            "step": self.state.step,
            "steps": self.steps,
            "weights": "average" if self.state.average is not None else "raw",
            "groups": list(self.names),
            "metrics": asdict(score) if score is not None else {},
            "training": {
                "n_chains": len(self.examples.positions),
                "n_valid_chains": len(np.unique(self.validation.rows)),
                "store": self.store_hash,
                "seed": self.settings.seed,
                **self._pair_counts(),
            },
        }

    def _pair_counts(self) -> dict[str, Any]:
        """Return which pairs are shown, and how many in the first epoch; nothing where chains are shown alone."""
        if self.pairing is None:
            return {}
        draw = self.examples.draw(0)
        counts = {"binding": int(draw.binds.sum()), "random": int((~draw.binds).sum()), "capped": draw.n_capped,
                  "without_partner": draw.n_dropped, "valid": len(self.validation)}  # fmt: skip
        return {"pairs": {"kind": self.pairing.kind, "most_of_a_protein": self.pairing.most, **counts}}

    def _check(self) -> None:
        if self.family.needs_coordinates and not self.store.has_coordinates:
            raise RecipeError(str(self.store.path), found="holds sequences without coordinates",
                              allowed=f"structures, from which {self.family.name} learns",
                              hint="give `tertia prepare` structures, or choose a language model")  # fmt: skip
        if self.pairing is not None:
            self._check_pairs(self.pairing.kind)
        if not len(self.examples.positions):
            what = "training chains with coordinates" if self.family.needs_coordinates else "training chains"
            raise RecipeError(str(self.store.path), found=f"has no {what}",
                              hint="`tertia prepare` splits a store; see its report")  # fmt: skip
        if self.settings.batch % self.crew.size:
            raise RecipeError("recipe", "training.batch", found=f"is {self.settings.batch}",
                              allowed=f"a multiple of the number of processes, {self.crew.size}")  # fmt: skip

    def _check_pairs(self, kind: str) -> None:
        if not hasattr(self.family, "join"):
            found = f"is {kind}, and {self.family.name} takes one chain at a time"
            hint = "choose a family that joins two chains"
            raise RecipeError("recipe", "data.pairs", found=found, allowed="none", hint=hint)
        if self.settings.epoch_of == "clusters":
            found = "is clusters, and an epoch of pairs visits every pair"
            raise RecipeError("recipe", "training.epoch_of", found=found, allowed="chains")
        if not self.examples.n_epoch:
            raise RecipeError(str(self.store.path), "data.pairs", found=f"has no {kind} pairs of training chains",
                              hint="the report of `tertia prepare` counts the pairs of each part")  # fmt: skip

    def _begin(self, resume: bool) -> None:
        if resume and (self.folder / checkpoint.CARD).is_file() and not (self.folder / STATE.parent).is_dir():
            raise CheckpointError(
                str(self.folder), found="holds a checkpoint that is not a run to be continued",
                hint="train into another folder; training.start=FOLDER begins with the weights of this one",
            )  # fmt: skip
        if self.settings.start:
            self.state.begin_from(self.settings.start)

    def _continue(self, begun: dict[str, Any]) -> None:
        old, new = (told(one) for one in (begun["family"], checkpoint.portable(self.family)))
        changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        if begun["name"] != self.family.name or changed:
            raise CheckpointError(
                str(self.folder), "family", found=f"the run there has another {', '.join(changed) or 'family'}",
                hint="train into another folder, or begin anew (--anew)",
            )  # fmt: skip
        if begun["store"] != self.store_hash:
            raise CheckpointError(
                str(self.folder), "data", found="the run there was trained on another store or other pairs",
                hint="train into another folder; training.start=FOLDER begins with the weights of this one",
            )  # fmt: skip
        self.state.restore(self.folder)
        old, new = begun["training"], plain(asdict(self.settings))
        for key in sorted(set(new) - set(FREE)):
            if old.get(key) != new[key]:
                self.display.say(f"note: training.{key} was {old.get(key)} so far and is {new[key]} from now on")
        self.display.say(f"continuing {self.folder} at step {self.state.step:,} of {self.steps:,}")

    def _open_log(self, begun: dict[str, Any] | None) -> Log:
        if begun is None:
            for name in (STATE.parent, "tensorboard"):
                shutil.rmtree(self.folder / name, ignore_errors=True)
            for name in (checkpoint.CARD, checkpoint.NEXT_CARD, checkpoint.WEIGHTS):
                (self.folder / name).unlink(missing_ok=True)
            (self.folder / STATE.parent).mkdir(parents=True)  # from now on this is a run folder
            checkpoint.save_training_set(self.folder, self.store, self.examples.positions)
        log = Log(self.folder, n_bytes=begun["log_bytes"] if begun else 0, step=self.state.step)
        if begun is None:
            skipped = {part: int((self.store.n_seen[self.store.split(part)] == 0).sum()) for part in ("train", "valid")}
            counts = {"steps": self.steps, "chains": len(self.examples.positions), "without_coordinates": skipped}
            log.write("start", 0, {**counts, "store": self.store_hash, **self._pair_counts()})
        if not len(self.validation):
            self.display.say("note: no validation chains; the last weights are kept, not the best ones")
        return log


def usable(store: Store, part: str, *, coordinates: bool = True) -> np.ndarray:
    """Return the positions of the chains of one part, of those that have coordinates where these are needed."""
    positions = store.split(part)
    return positions[store.n_seen[positions] > 0] if coordinates else positions


def group_names(family: Family) -> tuple[str, ...]:
    """Return a name for each group that the family's losses are told apart by; for noise levels, their sigma."""
    sigmas = getattr(family, "sigmas", None)
    return ("all",) if sigmas is None else tuple(f"{sigma:.4g}" for sigma in sigmas.tolist())


def fingerprint(store: Store, pairing: Pairing | None = None) -> str:
    """Return a hash of which chains a store holds, how they are split and paired, the same for its compact copy."""
    digest = hashlib.sha256("\n".join(store.keys).encode())
    for part in ("train", "valid"):
        digest.update(store.split(part).astype("<i8").tobytes())
    digest.update(store.lengths.astype("<i8").tobytes())
    if pairing is not None:
        digest.update(pairing.digest().encode())
    return digest.hexdigest()


def told(portable: dict[str, Any]) -> dict[str, Any]:
    """Return hyper-parameters and hashes of files side by side; states without files hold the former alone."""
    return plain(portable.get("hyper_parameters", portable)) | portable.get("files", {})


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they come back from JSON."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
