"""The arms of `pairlm_ablation.py`: language models that differ in what stands beside a chain, and in nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tertia.data.columns import write_json
from tertia.data.pairs import Pairs, tables_of
from tertia.data.partners import Pairing
from tertia.data.split import PARTS
from tertia.data.store import Store
from tertia.data.writer import Placement, StoreWriter
from tertia.errors import InputError
from tertia.models.pairlm.inputs import line_of
from tertia.pretrain import pretrain
from tertia.recipe import Recipe, read_recipe
from tertia.training.examples import Examples, FeaturisedChains
from tertia.training.run import usable

RECIPE = "pairlm"
TOLERANCE = 0.03
"""Largest relative difference of the tokens that two arms see."""
MOST_LINES = 32
"""By so many lines a batch may grow until the arms see alike many tokens."""


@dataclass(frozen=True)
class Arm:
    """What one network is trained on."""

    label: str
    pairs: str  # as `data.pairs` of a recipe
    cross: bool = True  # as of the family


ARMS = {
    "single": Arm("one chain a line", "none"),
    "apart": Arm("two random chains a line that do not attend to each other", "random", cross=False),
    "random": Arm("two random chains a line", "random"),
    "binding": Arm("two chains that bind a line", "binding"),
    "half": Arm("as many lines of either, as published", "half"),
}


@dataclass(frozen=True)
class Size:
    """How much is computed; the rest of the recipe is `RECIPE`."""

    width: int
    n_layers: int
    n_heads: int
    longest: int  # tokens of a line
    batch: int  # lines of a step with pairs, a few more where that matches tokens
    steps: int
    warmup: int
    n_pairs: int  # labelled pairs that are scored without training
    n_examples: int  # of each split of each task that probes learn from and are tried on; 0 = all
    views: int = 2  # hidden sets a chain when pairs are scored
    random: int = 2  # random partners
    most_pairs: int = 20  # binding pairs of one protein in an epoch, so that hubs are not most of it


SIZES = {
    "tiny": Size(16, 1, 2, 32, 8, 3, 1, 24, 0, views=1, random=1),
    "small": Size(128, 3, 4, 256, 10, 500, 40, 600, 600, views=1),
    "base": Size(256, 6, 8, 256, 128, 6000, 100, 4000, 0),
}


def overrides(arm: Arm, size: Size, seed: int, more: Sequence[str] = ()) -> list[str]:
    """Return what the recipe of an arm changes, but store and batch; `more` is the same for all arms."""
    capped = [f"most_pairs_of_a_protein={size.most_pairs}"] if arm.pairs != "none" else []
    return [
        f"width={size.width}", f"n_layers={size.n_layers}", f"n_heads={size.n_heads}", f"longest={size.longest}",
        f"cross={str(arm.cross).lower()}", f"pairs={arm.pairs}", f"steps={size.steps}", f"warmup_steps={size.warmup}",
        f"seed={seed}", "n_valid=128", "valid_draws=1", f"checkpoint_every={max(size.steps // 8, 1)}", *capped, *more,
        f"validate_every={size.steps}",  # once, at the end: no arm picks its weights by a validation of its own
    ]  # fmt: skip


# --- data ----------------------------------------------------------------------------------------------------------


def paired_store(source: Path, folder: Path) -> Store:
    """Return a store of those chains only that stand in a pair of their part of the split, with these pairs.

    So a network on single chains sees the proteins that the others see. Made once, by whichever process is first.
    """
    if not folder.is_dir():
        temporary = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        _write_paired(Store.open(source), temporary)
        try:
            temporary.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(temporary)
    return Store.open(folder)


def _write_paired(store: Store, folder: Path) -> None:
    pairs = Pairs.of(store)
    rows = np.sort(np.concatenate([pairs.among(store.split(part)) for part in PARTS]))
    if not len(rows):
        raise InputError(str(store.path), found="no pair has both chains in one part of the split")
    positions = np.unique(np.concatenate([pairs.first[rows], pairs.second[rows]]))
    part_of = {int(position): part for part in PARTS for position in store.split(part)}
    with StoreWriter(folder) as writer:
        writer.seal([
            Placement(writer.append(store[int(position)]), int(store.cluster[position]), part_of[int(position)])
            for position in positions
        ])  # fmt: skip
    first, second = (np.searchsorted(positions, column[rows]) for column in (pairs.first, pairs.second))
    kept = Pairs(first.astype(np.int32), second.astype(np.int32), pairs.organism[rows], pairs.names)
    kept.write(Store.open(folder), tables=tables_of(store))


# --- equal tokens --------------------------------------------------------------------------------------------------


class Lines:
    """What lines of chains of a store hold: counted as the training cuts them."""

    def __init__(self, store: Store, recipe: Recipe) -> None:
        self.store, self.recipe = store, recipe
        tokens = recipe.family.tokens.encode([chain.sequence for chain in store])
        self.n_tokens = np.array([len(one) for one in tokens])  # (n,) of each chain
        self.special = {n: len(line_of(*(np.zeros(0, int),) * n).token) for n in (1, 2)}

    def examples(self, recipe: Recipe) -> Examples:
        """Return the training examples of an arm."""
        chains = FeaturisedChains(recipe.family, self.store, megabytes=0)
        pairing = None
        if recipe.data.pairs != "none":
            pairing = Pairing(Pairs.of(self.store), recipe.data.pairs, most=recipe.data.most_pairs_of_a_protein)
        return Examples(chains, usable(self.store, "train", coordinates=False), recipe.training, pairing=pairing)

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """Return (n,) tokens without padding of lines of chains at these positions, (n, 1 or 2)."""
        whole = self.n_tokens[rows].sum(axis=1) + self.special[rows.shape[1]]
        return np.minimum(whole, self.recipe.family.longest)

    def seen(self, examples: Examples) -> dict[str, float]:
        """Count what a whole run sees, line by line."""
        settings = examples.settings
        rows = np.array(
            [examples.row(step, place) for step in range(examples.steps) for place in range(settings.batch)]
        )
        n_tokens, used = self.tokens(rows), np.bincount(rows.ravel(), minlength=len(self.n_tokens))
        return {"steps": examples.steps, "batch": settings.batch, "lines": len(rows), "tokens": int(n_tokens.sum()),
                "chains": int((used > 0).sum()), "most of a chain": int(used.max()),
                "epochs": len(rows) / examples.n_epoch}  # fmt: skip


def matched_batches(means: Mapping[str, float], batch: int) -> dict[str, int]:
    """Return lines of a step for each arm, so that the tokens agree within `TOLERANCE`; the smallest ones that do.

    Parameters
    ----------
    means: tokens of a line of each arm.
    batch: lines of a step, at least, of the arm with the longest lines.

    Raises
    ------
    InputError: no batch up to MOST_LINES larger will do.
    """
    longest = max(means.values())
    for lines in range(batch, batch + MOST_LINES + 1):
        found = {name: round(lines * longest / mean) for name, mean in means.items()}
        sums = [found[name] * mean for name, mean in means.items()]
        if max(sums) <= (1 + 0.8 * TOLERANCE) * min(sums):  # the rest is for the draw of a run
            return found
    raise InputError("batch", found=f"{batch} lines cannot be matched", allowed="a larger batch, or shorter lines",
                     hint=f"tokens a line: {dict(means)}")  # fmt: skip


# --- training ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """All runs of one ablation."""

    work: Path
    size: Size
    more: tuple[str, ...]  # overrides of all arms, the tokenizer among them
    batches: Mapping[str, int]  # of each arm

    @property
    def store(self) -> Path:
        """The store that all arms learn from."""
        return self.work / "store"

    def folder(self, arm: str, seed: int) -> Path:
        """Return the run folder of an arm and a seed."""
        return self.work / f"{arm}-{seed}"

    def overrides(self, arm: str, seed: int) -> list[str]:
        """Return what the recipe of a run changes."""
        own = [f"store={self.store}", f"batch={self.batches[arm]}"]
        return overrides(ARMS[arm], self.size, seed, [*self.more, *own])


def plan(source: Path, work: Path, size: Size, more: Sequence[str]) -> Plan:
    """Make the store and match the batches, by the lines of an epoch of every arm.

    Raises InputError when the folder holds runs of another plan.
    """
    work.mkdir(parents=True, exist_ok=True)
    told, path = {"size": dataclasses.asdict(size), "overrides": list(more)}, work / "plan.json"
    if not path.is_file():
        write_json(path, told)
    elif json.loads(path.read_text()) != told:
        raise InputError(str(work), found="holds an ablation of other settings", hint="name another folder by --work")
    unmatched = Plan(work, size, tuple(more), dict.fromkeys(ARMS, size.batch))
    store = paired_store(source, unmatched.store)
    recipes = {name: read_recipe(RECIPE, unmatched.overrides(name, 0)) for name in ARMS}
    lines = Lines(store, recipes["single"])
    means = {name: float(lines.tokens(lines.examples(one).order(0)).mean()) for name, one in recipes.items()}
    return dataclasses.replace(unmatched, batches=matched_batches(means, size.batch))


def train(plan: Plan, arm: str, seed: int) -> Path:
    """Train one network, or go on with it, and write beside it what it saw; a finished one is left alone."""
    folder = plan.folder(arm, seed)
    if (folder / "seen.json").is_file():
        return folder
    changes = plan.overrides(arm, seed)
    outcome = pretrain(RECIPE, changes, output=folder)
    if not outcome.finished:
        raise SystemExit(f"{folder} was stopped at step {outcome.step}; the same command continues")
    recipe = read_recipe(RECIPE, changes)
    lines = Lines(Store.open(plan.store), recipe)
    write_json(folder / "seen.json", lines.seen(lines.examples(recipe)))
    return folder


def seen(plan: Plan, arms: Sequence[str], seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return what the networks of each arm saw, the mean over those seeds that are finished."""
    out = {}
    for arm in arms:
        paths = [plan.folder(arm, seed) / "seen.json" for seed in seeds]
        found = [json.loads(path.read_text()) for path in paths if path.is_file()]
        out[arm] = {name: float(np.mean([one[name] for one in found])) for name in (found[0] if found else ())}
    return out
