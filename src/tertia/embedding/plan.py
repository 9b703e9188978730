"""What an embedding run is going to cost, said before it begins."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Plan:
    """Number and length of the chains of a run, and an estimate of what it takes."""

    lengths: np.ndarray  # (n,) int64 residues a chain
    n_done: int  # chains that an earlier run has left
    memory: int  # bytes, of the dearest batch beside program and weights
    size: int  # bytes of the output
    seconds: float | None  # None: too little work to be worth an estimate

    def lines(self) -> list[tuple[str, str]]:
        """Return the plan as pairs of a name and a value."""
        n, total = len(self.lengths), int(self.lengths.sum())
        longest = int(self.lengths.max(initial=0))
        rows = [("chains", f"{n:,}" + (f" ({self.n_done:,} are done)" if self.n_done else ""))]
        rows.append(("residues", f"{total:,} (longest {longest:,})"))
        if n > 1:
            rows.append(("lengths", f"{sparkline(self.lengths)}  {int(self.lengths.min())} … {longest}"))
        rows += [("memory", f"about {readable(self.memory)}"), ("output", f"about {readable(self.size)}")]
        if self.seconds is not None:
            rows.append(("time", f"about {duration(self.seconds)}"))
        return rows

    def show(self) -> None:
        """Print the plan to stderr."""
        from rich.console import Console
        from rich.table import Table

        table = Table(show_header=False, box=None, padding=(0, 2))
        for name, value in self.lines():
            table.add_row(name, value)
        Console(file=sys.stderr).print(table)


def sparkline(lengths: np.ndarray, n_bins: int = 24) -> str:
    """Return a histogram in one line; the bins are equal on a logarithmic scale."""
    counts, _ = np.histogram(np.log(np.maximum(lengths, 1)), bins=n_bins)
    top = max(int(counts.max()), 1)
    return "".join(BARS[-(-count * (len(BARS) - 1) // top)] if count else " " for count in counts.tolist())


def readable(n_bytes: float) -> str:
    """Return a number of bytes with a unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def duration(seconds: float) -> str:
    """Return seconds as a time that people say."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
