"""`tertia finetune`: learn a task from labelled examples, on the embeddings of any model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tertia.errors import InputError
from tertia.progress import Progress

if TYPE_CHECKING:
    from tertia.training.learning import Learnt

DEFAULT_MODELS = "distmap@3.28+0.552"
"""Of structures; two noise levels side by side: one at which only the fold shows, one at which its details do."""
SEQUENCE_MODEL = "pairlm"
"""Of sequences."""


@dataclass(frozen=True)
class Finetuned:
    """What `finetune` made."""

    folder: Path
    validation: dict[str, float]  # figures on the validation examples; they chose the epoch
    test: dict[str, dict[str, float]]  # of each test set, empty unless asked for
    n_examples: dict[str, int]

    def table(self) -> str:
        """Return the figures as aligned text."""
        sets = {"validation": self.validation, **self.test}
        names = list(self.validation)
        lines = [" " * 24 + " ".join(f"{name:>12}" for name in sets)]
        lines += [f"{name:<24}" + " ".join(f"{figures[name]:12.3f}" for figures in sets.values()) for name in names]
        return "\n".join(lines)


def default_models(task: str) -> str:
    """Return the models that a task takes unless others are named."""
    from tertia.tasks import TASKS

    return SEQUENCE_MODEL if task in TASKS and TASKS[task].reads == "sequence" else DEFAULT_MODELS


def finetune(
    task: str, data: str | Path, *, output: str | Path, models: str | None = None, overrides: Sequence[str] = (),
    full: bool = False, test: bool = False, seed: int = 0, cache: str | Path | None = None, progress: bool = False,
) -> Finetuned:  # fmt: skip
    """Learn a task and write a head that `tertia predict` takes.

    The models stay as they are, only the network of the task learns; `network_kind=linear` makes that a linear probe.

    Parameters
    ----------
    task: one of `tasks.TASKS`.
    data: folder of the benchmark.
    output: folder of the head.
    models: whose embeddings are taken, as in `encoders.parse_models`; "" for none, None for `default_models`.
    overrides: options of the task and of `learning`: "benchmark=graphppis", "epochs=20".
    full: let the model learn too; one model at its own noise level, written beside the head.
    test: score the test sets too. Do that once, at the end.
    cache: folder in which embeddings are kept between runs.

    Raises
    ------
    RecipeError: an option is wrong; InputError: the data are missing or the output exists; CheckpointError: no model.
    """
    from tertia.encoders import hashes_of
    from tertia.recipe import read_task
    from tertia.training.head import ENCODER, MODEL_HASHES, save_head
    from tertia.training.learning import learn, make_items, n_steps

    models = default_models(task) if models is None else models
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(str(folder), found="is there already and not empty", hint="choose another output")
    chosen, settings = read_task(task, overrides)
    examples = chosen.read(Path(data))
    splits = list(examples) if test else ["train", "valid"]
    with Progress(progress) as bar:
        encoder, embed = None, None
        if full:
            encoder = _live_encoder(models, chosen)
        elif models:
            embed = _embedder(models, examples["train"], cache)
        bar.step("graphs and embeddings", total=sum(n_steps(chosen, examples[split]) for split in splits))
        items = {split: make_items(chosen, examples[split], embed, bar.advance) for split in splits}
        bar.step("learning")
        learnt = learn(chosen, examples, items, settings=settings, seed=seed, encoder=encoder)
    figures = {split: _figures(learnt, split, examples[split], items[split]) for split in splits if split != "train"}
    counts = {split: len(rows) for split, rows in items.items()}
    if encoder is not None:
        _save_encoder(folder / ENCODER, encoder, models)
    save_head(
        folder, learnt, models=ENCODER if full else models,
        meta={MODEL_HASHES: [] if full else hashes_of(models), "validation": _defined(figures["valid"]),
              "n_examples": counts, "seed": seed, "learning": asdict(settings),
              "best_epoch": learnt.history.best_epoch, "loss": learnt.history.loss},
    )  # fmt: skip
    test_figures = {split: values for split, values in figures.items() if split != "valid"}
    return Finetuned(folder, figures["valid"], test_figures, counts)


def _embedder(models: str, examples: Sequence[Any], cache: str | Path | None) -> Any:
    from tertia.encoders import open_side_by_side

    chains = [example.chains[0] for example in examples]
    return open_side_by_side(models, calibration=chains, cache=Path(cache) if cache else None)


def _live_encoder(models: str, task: Any) -> Any:
    from tertia.embedding.live import LiveEncoder
    from tertia.encoders import parse_models
    from tertia.training import checkpoint

    names = parse_models(models)
    if len(names) != 1 or names[0][1] is not None:
        hint = "to learn a model too (full), name it alone: distmap"
        raise InputError("models", found=models, allowed="one model without noise levels", hint=hint)
    trained = checkpoint.load(names[0][0])
    return LiveEncoder(trained.family, trained.network, task)


def _save_encoder(folder: Path, encoder: Any, models: str) -> None:
    from tertia.training import checkpoint

    trained = checkpoint.load(models)
    recipe = (trained.folder / checkpoint.RECIPE).read_text()
    meta = {key: value for key, value in trained.meta.items() if key in ("groups", "training", "calibrated")}
    checkpoint.save(folder, encoder.family, encoder.network, recipe=recipe, meta=meta | {"fine_tuned_from": models})
    for name in (checkpoint.CHAINS, checkpoint.SEQUENCES):  # what the model has seen, for the check of leaks
        if (trained.folder / name).is_file():
            checkpoint.write_bytes(folder / name, (trained.folder / name).read_bytes())


def _defined(figures: dict[str, float]) -> dict[str, float | None]:
    """Return figures as JSON has them: None where one is undefined."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _figures(learnt: Learnt, split: str, examples: Sequence[Any], items: Sequence[Any]) -> dict[str, float]:
    made = learnt.on_valid if split == "valid" else learnt.predict(items, examples)
    figures = learnt.task.figures(examples, made, learnt.calibration)
    return {figure.name: float(figure.statistic(*figure.columns)) for figure in figures}
