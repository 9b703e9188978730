"""`tertia pretrain`: train a family on a store, as a recipe says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from tertia.data.store import Store
    from tertia.errors import RecipeError
    from tertia.recipe import read_recipe
    from tertia.training.loop import fit

    wanted = read_recipe(recipe, overrides)
    if not wanted.data.store:
        hint = "add store=FOLDER; `tertia prepare` makes one"
        raise RecipeError(str(recipe), "data.store", found="no store is given", hint=hint)
    store = Store.open(wanted.data.store)
    text = wanted.text()
    return fit(wanted.family, store, wanted.training, Path(output), recipe=text, resume=resume, quiet=quiet)
