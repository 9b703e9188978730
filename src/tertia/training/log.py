"""What a run says while it goes on: JSON lines always, TensorBoard where installed, a bar or plain lines on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LINES = "log.jsonl"
SECONDS_BETWEEN_LINES = 30.0
"""On a stderr that is no terminal a training line comes at most this often; validations always get theirs."""


class Log:
    """`log.jsonl` in the run folder: one object a line, the same bytes for the same run (so no times in it)."""

    def __init__(self, folder: Path, *, n_bytes: int = 0, step: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / LINES
        self._handle = open(self.path, "ab")  # noqa: SIM115 - open as long as the run goes on
        self._handle.truncate(n_bytes)  # what comes after was written later than the state that the run goes on from
        self._board = _tensorboard(folder, step)

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add one line; numbers also go to TensorBoard."""
        line = {"kind": kind, "step": step, **_rounded(values)}
        self._handle.write((json.dumps(line) + "\n").encode())
        self._handle.flush()
        if self._board is not None:
            for name, value in _flat(values):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def sync(self) -> int:
        """Flush to disk and return the bytes that are there."""
        self._handle.flush()
        os.fsync(self._handle.fileno())
        return self._handle.tell()

    def close(self) -> None:
        """Close the files."""
        self._handle.close()
        if self._board is not None:
            self._board.close()


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log; a last line that was cut off by a kill is left out."""
    text = (folder / LINES).read_text() if (folder / LINES).is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", value


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)


class Display:
    """Progress on stderr: a bar with speed and remaining time on a terminal, otherwise a line now and then."""

    def __init__(self, *, shown: bool, step: int, steps: int, batch: int) -> None:
        self.shown, self.steps, self.batch = shown, steps, batch
        self._bar = None
        self._begun = self._spoken = time.monotonic()
        self._first = step

    def __enter__(self) -> Display:
        if self.shown and sys.stderr.isatty():
            self._bar = _bar(self._first, self.steps)
        self._begun = time.monotonic()
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, step: int, loss: float | None = None) -> None:
        """Show that so many steps are done; the loss is given when it is known."""
        if not self.shown:
            return
        speed = (step - self._first) * self.batch / max(time.monotonic() - self._begun, 1e-9)
        if self._bar is not None:
            text = {} if loss is None else {"loss": f"{loss:.4f}"}
            self._bar.update(self._bar.task_ids[0], completed=step, speed=f"{speed:,.0f}", **text)
        elif loss is not None and time.monotonic() - self._spoken > SECONDS_BETWEEN_LINES:
            self._spoken = time.monotonic()
            left = (self.steps - step) * self.batch / max(speed, 1e-9)
            self.say(f"step {step:,}/{self.steps:,}  loss {loss:.4f}  {speed:,.0f} crops/s  {left / 60:,.0f} min left")

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif self.shown:
            print(text, file=sys.stderr, flush=True)


def _bar(step: int, steps: int) -> Any:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:  # plain lines then
        return None
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]}"),
               TextColumn("{task.fields[speed]} crops/s"), TimeRemainingColumn())  # fmt: skip
    bar = Progress(*columns, console=Console(file=sys.stderr))
    bar.add_task("training", total=steps, completed=step, loss="-", speed="-")
    bar.start()
    return bar
