"""The processes of one training run: one alone, or several started by `torchrun`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from tertia.errors import TrainingError


@dataclass(frozen=True)
class Crew:
    """Which process this is, how many there are, and where it computes."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(int(flag), device=self.device)))

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def crew(device: str = "auto") -> Iterator[Crew]:
    """Join the processes that `torchrun` started (gloo on CPU, nccl on CUDA); alone without it.

    Raises TrainingError when CUDA is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("training.device", found="is cuda, but torch sees no CUDA device", allowed="auto, cpu")
    on_cuda = device != "cpu" and torch.cuda.is_available()
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if on_cuda else torch.device("cpu")
    if on_cuda:
        torch.cuda.set_device(place)
        torch.set_float32_matmul_precision("high")  # TF32
    size = int(os.environ.get("WORLD_SIZE", 1))
    joined = size > 1 and not dist.is_initialized()
    if joined:
        dist.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield Crew(int(os.environ.get("RANK", 0)) if size > 1 else 0, size, place)
    finally:
        if joined:
            dist.destroy_process_group()
