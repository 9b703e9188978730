"""Make batches: pad with zeros and stack, and group examples so that every batch costs about the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T")


def collate(examples: Sequence[T]) -> T:
    """Pad every tensor field with zeros to the largest example and stack, which adds a leading batch axis.

    Fields may be tensors, nested dataclasses or None (in all examples); numbers become a tensor of one value an
    example. Index 0 means nothing in every alphabet, so zero is the right padding for all of them. Static fields
    (strings) must be equal and stay as they are.
    """
    if not examples:
        raise ValueError("collate needs at least one example")
    first = examples[0]
    if is_dataclass(first):
        values = {
            column.name: collate([getattr(example, column.name) for example in examples]) for column in fields(first)
        }  # fmt: skip
        return type(first)(**values)
    if isinstance(first, torch.Tensor):
        return _stack(examples)
    if isinstance(first, bool | int | float):
        return torch.tensor(examples)
    if any(example != first for example in examples[1:]):
        raise ValueError(f"collate cannot join differing values: {first!r} and others")
    return first


def _stack(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    first = tensors[0]
    if any(tensor.dtype != first.dtype or tensor.ndim != first.ndim for tensor in tensors):
        raise ValueError("collate needs one dtype and number of axes a field")
    if all(tensor.shape == first.shape for tensor in tensors):
        return torch.stack(list(tensors))
    shape = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    batch = first.new_zeros((len(tensors), *shape))
    for row, tensor in zip(batch, tensors, strict=True):
        row[tuple(slice(size) for size in tensor.shape)] = tensor
    return batch


def batches_by_cost(
    costs: Sequence[float], budget: float, *, generator: np.random.Generator | None = None, largest_first: bool = False
) -> Iterator[np.ndarray]:
    """Yield (n,) int64 positions so that padded batches stay within a budget; each position comes exactly once.

    A padded batch costs its number of examples times its dearest one, so examples of like cost go together. An
    example dearer than the budget gets a batch of its own: nothing is left out.

    Parameters
    ----------
    costs: one cost an example, any unit.
    budget: the most a batch may cost, same unit.
    generator: shuffles examples of like cost and the order of batches; without one the order is by cost.
    largest_first: without a generator, begin with the dearest batch, so that too little memory shows at once.
    """
    cost = np.asarray(costs, dtype=np.float64)
    if not budget > 0 or not np.all(np.isfinite(cost)):
        raise ValueError("costs must be finite and the budget positive")
    if generator is None:
        order = np.argsort(cost, kind="stable")
    else:
        # Costs are blurred by up to a tenth: batches differ from epoch to epoch at little padding.
        order = np.argsort(cost * generator.uniform(1.0, 1.1, len(cost)), kind="stable")
    batches: list[np.ndarray] = []
    start, dearest = 0, 0.0
    for stop, position in enumerate(order):
        now = max(dearest, cost[position])
        if stop > start and now * (stop - start + 1) > budget:
            batches.append(order[start:stop])
            start, now = stop, cost[position]
        dearest = now
    if len(order):
        batches.append(order[start:])
    if generator is not None:
        generator.shuffle(batches)
    elif largest_first:
        batches.reverse()
    yield from batches
