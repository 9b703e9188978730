"""`tertia pretrain`: train a family on a store, as a recipe says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tertia.data.store import Store
    from tertia.training.loop import Outcome


def pretrain(
    recipe: str | Path, overrides: Sequence[str] = (), *, output: str | Path, resume: bool = True, quiet: bool = False
) -> Outcome:
    """Train a model and write it to a folder that `tertia.load` and `tertia.embed` take as a model.

    The same call continues a run that was killed or stopped, bit for bit. Under `torchrun` the batch is shared by the
    processes.

    Parameters
    ----------
    recipe: name of a shipped recipe ("distmap"), a TOML file, or a run folder.
    overrides: "steps=100", "training.learning_rate=3e-4", "store=path/to/store".
    output: run folder; it is made, and is the checkpoint itself.
    resume: False begins anew in a folder that holds a run.
    quiet: say nothing on stderr.

    Returns
    -------
    Outcome with the folder, the steps done and asked for, and the best validation loss.

    Raises
    ------
    RecipeError, InputError, CheckpointError, TrainingError: see their texts.
    """
    from tertia.data.pairs import Pairs
    from tertia.data.partners import Pairing
    from tertia.data.store import Store
    from tertia.errors import RecipeError
    from tertia.recipe import read_recipe
    from tertia.training.loop import fit

    wanted = read_recipe(recipe, overrides)
    if not wanted.data.store:
        hint = "add store=FOLDER; `tertia prepare` makes one"
        raise RecipeError(str(recipe), "data.store", found="no store is given", hint=hint)
    store = Store.open(wanted.data.store)
    pairing = None
    if wanted.data.pairs != "none":
        pairing = Pairing(Pairs.of(store), wanted.data.pairs, most=wanted.data.most_pairs_of_a_protein)
    outcome = fit(
        wanted.family, store, wanted.training, Path(output), recipe=wanted.text(), pairing=pairing, resume=resume,
        quiet=quiet,
    )  # fmt: skip
    if outcome.finished and int(os.environ.get("RANK", "0")) == 0:
        finish(outcome.folder, store)
    return outcome


N_CALIBRATION_CHAINS = 256


def finish(folder: Path, store: Store) -> None:
    """Calibrate the best network on its training chains and write it back; a finished checkpoint is left alone.

    The standardisation of the embeddings and the analytic baselines are fitted once, when training is over.
    """
    from tertia.training import checkpoint

    trained = checkpoint.load(folder)
    if trained.meta.get("calibrated"):
        return
    keys = trained.training_chains()
    trained.network.calibrate([store[key] for key in keys[:: -(-len(keys) // N_CALIBRATION_CHAINS)]])
    kept = ("step", "steps", "weights", "groups", "metrics", "training")
    meta = {name: trained.meta[name] for name in kept} | {"calibrated": True}
    recipe = (folder / checkpoint.RECIPE).read_text()
    checkpoint.save(folder, trained.family, trained.network, recipe=recipe, meta=meta)
