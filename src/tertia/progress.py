"""Progress of long work on stderr; silent where stderr is no terminal or nobody asked."""

from __future__ import annotations

import sys


class Progress:
    """A bar for one step at a time, with count and speed.

    >>> with Progress(False) as bar:
    ...     bar.step("reading", total=2)
    ...     bar.advance()
    """

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown
        self._bar = None
        self._task = None

    def __enter__(self) -> Progress:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (SpinnerColumn(), TextColumn("{task.description:<30}"), BarColumn(), MofNCompleteColumn())
            self._bar = Bar(*columns, TimeElapsedColumn(), console=Console(file=sys.stderr))
            self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._complete()
            self._bar.stop()

    def step(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        """Begin the next step; without a total only the count runs."""
        if self._bar is not None:
            self._complete()
            self._task = self._bar.add_task(name, total=total, completed=done)

    def advance(self, count: int = 1) -> None:
        """Count what was done."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, count)

    def _complete(self) -> None:
        if self._task is not None:
            task = self._bar.tasks[self._task]
            self._bar.update(self._task, total=max(task.completed, 1), completed=max(task.completed, 1))
