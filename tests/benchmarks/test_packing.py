"""The benchmark of packing gives every way the same lines, and runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import packing
from benchmarks.rounds import ratio, take_turns
from tertia.sequence.tokens import END, MASK, START, train
from tests.structures import random_sequence


@pytest.fixture
def batch(generator) -> packing.Batch:
    lengths = generator.integers(4, 60, 20).tolist()
    lines = [torch.tensor([START, *generator.integers(5, 40, n).tolist(), END]) for n in lengths]
    return packing.draw_batch(lines, 8, generator)


def test_ends_are_never_masked_and_the_rest_at_the_stated_rate(generator) -> None:
    lines = [torch.tensor([START, *range(10, 400), END])]
    batch = packing.draw_batch(lines, 100, generator)
    masked = torch.stack(batch.noisy) == MASK
    assert torch.equal(masked, torch.stack(batch.chosen)) and not masked[:, [0, -1]].any()
    assert abs(masked[:, 1:-1].float().mean() - packing.MASKED_SHARE) < 0.01
    assert torch.equal(batch.token, torch.stack([lines[0]] * 100)[masked])


def test_all_ways_step_on_the_same_tokens(batch) -> None:
    for layout in packing.LAYOUTS.values():
        lines, chosen = layout(batch)
        real = lines.token != packing.PAD
        assert torch.equal(lines.token[real], torch.cat(batch.noisy))
        assert torch.equal(chosen[real], torch.cat(batch.chosen)) and not chosen[~real].any()
    assert len(packing.LAYOUTS["reference"](batch)[0].token) == 8 * packing.LONGEST
    assert len(packing.LAYOUTS["longest"](batch)[0].token) == 8 * max(map(len, batch.noisy))


def test_packed_lines_give_the_loss_of_padded_ones_that_do_not_attend_to_pads(batch) -> None:
    unattended = lambda one: packing.padded(one, 100, attend_padding=False)  # noqa: E731
    ways = (packing.packed, unattended, packing.LAYOUTS["longest"])
    first, second, third = (packing.stepper(way, [batch], 40, "tiny", "cpu")(0) for way in ways)
    assert first == pytest.approx(second, abs=1e-6)
    assert first != pytest.approx(third, abs=1e-6)


def test_sides_take_turns_and_are_compared_round_by_round() -> None:
    calls, ticks = [], iter(range(100))
    sides = {name: lambda number, name=name: calls.append((name, number)) for name in "ab"}
    seconds = take_turns(sides, 2, clock=lambda: float(next(ticks)))
    assert calls == [("a", 1), ("b", 1), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}
    assert ratio([2.0, 9.0, 8.0], [1.0, 3.0, 2.0]) == (3.0, 2.0, 4.0)


def test_the_page_can_be_made(tmp_path) -> None:
    sequences = [random_sequence(30 + 5 * k, seed=k) for k in range(20)]
    train(sequences, merges=20).save(tmp_path / "tokenizer.json")
    (tmp_path / "sequences").mkdir()
    text = "".join(f">p{k}\n{sequence}\n" for k, sequence in enumerate(sequences))
    (tmp_path / "sequences" / "refseq_68proteomes_sample.fa.gz").write_text(text)  # plain text is read as well
    options = ["--data", tmp_path, "--tokenizer", tmp_path / "tokenizer.json", "--size", "tiny", "--rounds", "2"]
    text = packing.main([*map(str, options), "--lines", "3"])
    assert "281 ids" in text and "Goal: 1.8 times the reference" in text
    assert np.array([name in text for name in ("| packed |", "| reference |", "| longest |")]).all()
