"""Let several ways to do one thing take turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

CLOCKS = ("wall", "cpu")


def stopwatch(name: str, device: str = "cpu") -> Callable[[], float]:
    """Return a clock: wall time once the device has done its work, or the processor time of all threads."""
    if name == "cpu":
        return time.process_time

    def wall() -> float:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return wall


def take_turns(
    sides: Mapping[str, Callable[[int], object]], rounds: int, *, clock: Callable[[], float], warm_up: int = 1
) -> dict[str, list[float]]:
    """Return the seconds of every side in every round; a side is called with the number of the round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-warm_up, rounds):
        for name, work in sides.items():
            begun = clock()
            work(number % rounds)
            if number >= 0:
                seconds[name].append(clock() - begun)
    return seconds


def ratio(slower: list[float], faster: list[float]) -> tuple[float, float, float]:
    """Return the median of the quotients of the rounds, the smallest and the largest."""
    quotients = [a / b for a, b in zip(slower, faster, strict=True)]
    return statistics.median(quotients), min(quotients), max(quotients)


def status(name: str) -> int:
    """Return a number of bytes that Linux keeps of this process: VmRSS now, VmHWM at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def growth(work: Callable[[], object], device: str = "cpu") -> int:
    """Return the bytes that work takes at most beyond what is there before: of the process, or on the GPU.

    A process keeps what it has freed, so without a GPU this tells something only of the first work of a process.
    """
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    work()
    return max(status("VmHWM") - before, 0)
