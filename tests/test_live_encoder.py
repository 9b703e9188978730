"""An encoder that learns: batches say what single chains do, gradients arrive, memory and reading are bounded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tertia.data.batch import collate
from tertia.embedding import live
from tertia.embedding.live import LiveEncoder
from tertia.errors import InputError
from tertia.models import FAMILIES
from tertia.tasks import TASKS
from tertia.tasks.task import batch_of
from tertia.training.learning import learn, make_items
from tertia.training.supervised import Supervision
from tests.distmap_networks import TINY, network_of
from tests.sequence_benchmarks import FOLDER, write_sequence_benchmarks

PAIRLM = FAMILIES["pairlm"](width=16, n_layers=2, n_heads=2, dropout=0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_sequence_benchmarks(tmp_path_factory.mktemp("data") / "sequence_tasks")


def live_encoder(task, **options) -> LiveEncoder:
    torch.manual_seed(0)
    return LiveEncoder(PAIRLM, PAIRLM.network().eval(), task, **options)


def read(name: str, data: Path, **options):
    task = TASKS[name](**options)
    examples = task.read(data / FOLDER[name])
    return task, examples, {split: make_items(task, part) for split, part in examples.items()}


@pytest.mark.parametrize("name", FOLDER)
def test_a_batch_says_what_each_chain_alone_says(name: str, data: Path, monkeypatch) -> None:
    task, examples, items = read(name, data)
    encoder = live_encoder(task)
    sizes, encode = [], encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda inputs: sizes.append(len(inputs.token)) or encode(inputs))
    found = encoder.embedded(items["train"][:20], examples["train"][:20])
    chains = [chain for one in examples["train"][:20] for chain in one.chains]
    assert sum(sizes) == len(set(chains)) and max(sizes) > 1  # each different chain once, several at a time
    for item, example in zip(found, examples["train"], strict=False):
        alone = [encode(collate([PAIRLM.featurise(chain)])) for chain in example.chains]
        if "protein" in task.needs:
            for row, one in zip(item.vectors.protein, alone, strict=True):
                assert torch.allclose(row, one.protein[0], atol=1e-5)
        else:
            assert torch.allclose(item.vectors.residue, torch.cat([one.residue[0] for one in alone]), atol=1e-5)
    # What is read without gradients is the same, in half precision.
    sizes.clear()
    parts = list(encoder.fixed(items["valid"], examples["valid"], 7))
    assert all(len(part) == 7 for part in parts[:-1])
    assert sum(sizes) == len({chain for one in examples["valid"] for chain in one.chains})
    again = [row for part in encoder.fixed(items["train"][:20], examples["train"][:20], 7) for row in part]
    for item, wanted in zip(again, found, strict=True):
        one, other = (batch_of([each]) for each in (item, wanted))
        assert torch.allclose(one.protein, other.protein, atol=5e-3)
        assert torch.allclose(one.graph.values, other.graph.values, atol=5e-3)
        assert not (one.protein.requires_grad or one.graph.values.requires_grad)


def gradients(task, encoder: LiveEncoder, items, examples) -> dict[str, torch.Tensor]:
    """Return the gradients of the encoder in one training step, dropout included."""
    head = task.network(encoder.embedded(items[:1], examples[:1])[0].widths)
    encoder.network.train().zero_grad()
    torch.manual_seed(3)
    task.loss(head.eval(), batch_of(encoder.embedded(items, examples))).backward()
    return {
        name: one.grad.clone() for name, one in encoder.network.body.named_parameters() if one.grad is not None
    }  # fmt: skip


def test_gradients_reach_every_layer_also_where_nothing_is_held(data: Path, monkeypatch) -> None:
    task, examples, items = read("localisation", data)
    given = items["train"][:12], examples["train"][:12]
    held = gradients(task, live_encoder(task), *given)
    assert {name.split(".")[1] for name in held if name.startswith("blocks")} == {"0", "1"}
    assert all(grad.abs().max() > 0 for name, grad in held.items() if name.endswith("weight"))
    recomputed, checkpoint = [], live.checkpoint
    monkeypatch.setattr(live, "HELD", 0)
    monkeypatch.setattr(live, "checkpoint", lambda *given, **more: recomputed.append(1) or checkpoint(*given, **more))
    again = gradients(task, live_encoder(task), *given)
    assert recomputed and held.keys() == again.keys()
    for name, grad in held.items():
        assert torch.allclose(grad, again[name], atol=1e-6), name


def test_a_training_step_reads_a_window_that_a_seed_decides(data: Path, monkeypatch) -> None:
    task, examples, items = read("localisation", data)
    part = items["train"][:10], examples["train"][:10]  # 25 residues and more
    encoder = live_encoder(task, longest_chain=20)
    read_of, featurise = [], type(PAIRLM).featurise
    monkeypatch.setattr(
        type(PAIRLM), "featurise", lambda family, chain: read_of.append(chain.sequence) or featurise(family, chain)
    )
    whole = sorted(example.sequence for example in part[1])

    def pieces(seed: int) -> list[str]:
        read_of.clear()
        torch.manual_seed(seed)
        encoder.embedded(*part)
        return sorted(read_of)

    assert pieces(1) == whole  # in evaluation mode
    encoder.network.train()
    first, again, other = pieces(1), pieces(1), pieces(2)
    assert first == again != other
    assert all(len(piece) == 20 and any(piece in sequence for sequence in whole) for piece in [*first, *other])
    read_of.clear()
    list(encoder.fixed(*part, 4))
    assert sorted(read_of) == whole
    states, of_states, plain = read("secondary_structure", data)  # every residue has an answer there
    encoder = live_encoder(states, longest_chain=5)
    encoder.network.train()
    found = encoder.embedded(plain["train"][:3], of_states["train"][:3])
    assert [len(one.vectors.residue) for one in found] == [len(one) for one in of_states["train"][:3]]


def test_it_trains_in_training_mode_and_reads_in_evaluation_mode(data: Path, monkeypatch) -> None:
    task, examples, items = read("homology", data, batch=16)
    encoder = live_encoder(task)
    modes, encode = [], encoder.encode
    monkeypatch.setattr(
        encoder, "encode",
        lambda inputs: modes.append((encoder.network.training, torch.is_grad_enabled())) or encode(inputs),
    )  # fmt: skip
    before = {name: one.clone() for name, one in encoder.network.state_dict().items()}
    learnt = learn(task, examples, items, settings=Supervision(epochs=2, learning_rate=1e-3), encoder=encoder)
    assert set(modes) == {(True, True), (False, False)} and modes[0] == modes[-1] == (False, False)
    n_read = len(modes)
    after = encoder.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("body.blocks.0") for name in moved)
    assert not any(name.startswith("standard") for name in moved)
    assert not encoder.network.training
    # The predictions that chose the epoch are those of the weights that were kept.
    for one, two in zip(learnt.on_valid, learnt.predict(items["valid"], examples["valid"]), strict=True):
        assert np.allclose(one.protein, two.protein, atol=1e-6)
    assert len(modes) > n_read


def test_an_encoder_learns_what_order_says_where_frozen_ones_cannot(data: Path) -> None:
    """Proteins of the same letters, sorted one way or the other: the composition tells nothing."""
    examples = TASKS["localisation"]().read(data / FOLDER["localisation"])
    generator = np.random.default_rng(1)

    def turned(one, number: int):
        letters = "".join(sorted(generator.choice(list("AKLE"), 24), reverse=bool(number % 2)))
        chain = replace(one.chains[0], sequence=letters, residue_id=("",) * 24, label_number=np.arange(24))
        return replace(one, chains=(chain,), target=np.array([float(number % 2)]))

    one = examples["train"][0]
    examples = {split: [turned(one, k) for k in range(n)] for split, n in (("train", 96), ("valid", 32))}
    task = TASKS["localisation"](labels="membrane", batch=16, network_kind="linear", dropout=0.0)
    items = {split: make_items(task, part) for split, part in examples.items()}
    settings = Supervision(epochs=6, learning_rate=5e-3)
    frozen = live_encoder(task)
    frozen.network.requires_grad_(False)
    scores = [
        learn(task, examples, items, settings=settings, encoder=encoder).history.best_score
        for encoder in (frozen, live_encoder(task))
    ]
    assert scores[1] > 0.95 and scores[1] > scores[0] + 0.1, scores


def test_structures_are_no_sequences() -> None:
    with pytest.raises(InputError, match="reads structures, homology only sequences"):
        LiveEncoder(TINY, network_of(TINY), TASKS["homology"]())
