"""The one training loop: schedule, step, clip, log, evaluate, save, stop. It knows no family."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from tertia.data.partners import Pairing
from tertia.data.store import Store
from tertia.models.family import Family
from tertia.training.optim import learning_rate, set_learning_rate, update_average
from tertia.training.processes import Crew, crew
from tertia.training.run import Run
from tertia.training.settings import TrainingRecipe
from tertia.training.tally import check_finite
from tertia.training.validation import autocast


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    folder: Path
    step: int
    steps: int
    valid_loss: float | None  # best so far; None without validation chains

    @property
    def finished(self) -> bool:
        """Whether all steps are done; otherwise the same call continues."""
        return self.step >= self.steps


def fit(
    family: Family, store: Store, settings: TrainingRecipe, folder: Path, *, recipe: str, resume: bool, quiet: bool,
    pairing: Pairing | None = None,
) -> Outcome:  # fmt: skip
    """Train a family on a store; write a checkpoint folder that grows better with every validation.

    Parameters
    ----------
    recipe: text that is kept in the checkpoint.
    resume: continue, bit for bit, when the folder holds a run; otherwise begin anew.
    quiet: say nothing on stderr.
    pairing: which pairs of the store are shown together; single chains by default.

    Raises
    ------
    TrainingError: when the loss is not finite any more; RecipeError, CheckpointError: when this run cannot begin.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with crew(settings.device) as processes, stop_signal(settings.max_minutes) as stop:
        with Run(
            family, store, settings, Path(folder), processes, recipe=recipe, resume=resume, quiet=quiet, pairing=pairing
        ) as run:
            train(run, processes, stop)
        return Outcome(run.folder, run.state.step, run.steps, run.state.best)


def train(run: Run, processes: Crew, stop: threading.Event) -> None:
    """Do the steps that are left."""
    settings, state, steps = run.settings, run.state, run.steps
    network = engine(state.network, settings, processes).train()
    parameters = [parameter for parameter in state.network.parameters() if parameter.requires_grad]

    for noisy, target in run.examples.from_step(state.step, processes.device):
        torch.manual_seed(seed_of(settings.seed, state.step, processes.rank))  # for networks that draw, as dropout does
        rate = learning_rate(state.step, steps, settings)
        set_learning_rate(state.optimisers, rate, settings)

        with autocast(settings, processes.device):
            loss = run.family.loss(network, noisy, target)
        state.network.zero_grad(set_to_none=True)
        loss.value.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm or float("inf"))
        state.tally.add(loss, norm)
        state.step += 1
        due = run.due(stop)
        if due or processes.device.type == "cpu":  # on a device, asking would wait for it
            check_finite(state.tally, processes, where=str(run.folder), step=state.step, rate=rate)
        for optimiser in state.optimisers:
            optimiser.step()
        if state.average is not None:
            update_average(state.average, state.network, step=state.step, decay=settings.ema_decay)

        if "log" in due:
            run.log_step(rate)
        if "validate" in due:
            run.validate()
        if "save" in due:
            run.save()
        run.display.step(state.step)
        if "stop" in due:
            break


def engine(network: torch.nn.Module, settings: TrainingRecipe, processes: Crew) -> torch.nn.Module:
    """Return the network as it is called in training: compiled, and sharing gradients, where asked."""
    if settings.compile:
        network.compile()
    if processes.size > 1:
        return DistributedDataParallel(network, broadcast_buffers=False)
    return network


def seed_of(*numbers: int) -> int:
    """Return one seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


@contextmanager
def stop_signal(max_minutes: float) -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C, SIGTERM or the end of the time sets; a second Ctrl-C interrupts at once."""
    stop = threading.Event()
    old = {}

    def ask(number: int, _frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is threading.main_thread():
        old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    timer = threading.Timer(max_minutes * 60.0, stop.set) if max_minutes else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield stop
    finally:
        if timer is not None:
            timer.cancel()
        for number, handler in old.items():
            signal.signal(number, handler)
