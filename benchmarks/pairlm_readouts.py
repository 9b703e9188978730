"""What the networks of `pairlm_ablation.py` know: of hidden residues, of unseen pairs, and of three tasks as they stand.

Everything is kept as the columns that figures are made of, one file for a network and a read-out, so that networks can
be compared on the same resampled proteins.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.pairlm_arms import Size
from tertia.data.example import Example
from tertia.data.store import Store
from tertia.encoders import FRESH, open_side_by_side
from tertia.evaluate.rows import rows_of
from tertia.models.pairlm.conditional import likelihoods
from tertia.models.pairlm.inputs import Line
from tertia.models.pairlm.network import LanguageModel
from tertia.recipe import read_task
from tertia.tasks.labels import thinned
from tertia.tasks.metrics.many_classes import accuracy_of_classes
from tertia.tasks.metrics.statistics import AUROC, MEAN, Statistic
from tertia.tasks.pair_binding.tables import read_bernett
from tertia.tasks.pair_binding.task import hubs
from tertia.tasks.task import Figure
from tertia.training import checkpoint
from tertia.training.learning import learn, make_items

PAIRS_FOLDER = "protein_pairs"
SEED = 11
"""Of all samples: the same pairs, hidden tokens and random partners for every network."""
PAIRS_READ_OUT = "pairs"


@dataclass(frozen=True)
class Probe:
    """A task as a read-out: a linear or small network on frozen embeddings, as in `tertia evaluate`."""

    folder: str  # of the data
    test: str  # test set
    figure: str  # that is shown


PROBES = {
    "localisation": Probe("localization", "test", "ACC"),
    "homology": Probe("remote_homology", "test_fold", "ACC"),
    "pair_binding": Probe(PAIRS_FOLDER, "test", "AUROC"),
}
READ_OUTS = (PAIRS_READ_OUT, *PROBES)


def read_out(
    name: str, model: Path, data: Path, *, size: Size, seed: int, path: Path, fresh: bool = False,
    frequencies: Store | None = None,
) -> None:  # fmt: skip
    """Write the columns of one read-out of a network; what is there already is left alone.

    Parameters
    ----------
    name: one of READ_OUTS.
    model: checkpoint folder.
    seed: of the probe.
    path: npz file.
    fresh: of the same network with weights that were never trained.
    frequencies: in place of the network its tokens are told by how often they stand in these chains.
    """
    if path.is_file():
        return
    if name == PAIRS_READ_OUT:
        trained = checkpoint.load(model)
        network = trained.network.to("cuda" if torch.cuda.is_available() else "cpu")
        if frequencies is not None:
            network = Frequencies(network, [chain.sequence for chain in frequencies])
        arrays = pair_columns(network, labelled_pairs(data, size.n_pairs), size, longest=trained.family.longest)
    else:
        arrays = probe_columns(name, f"{FRESH if fresh else ''}{model}", data, size=size, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}.npz")  # renamed when complete
    np.savez_compressed(half, **arrays)
    half.replace(path)


def labelled_pairs(data: Path, number: int) -> list[Example]:
    """Return so many test pairs of Bernett et al. (2024), half of which bind (seeded)."""
    test = read_bernett(data / PAIRS_FOLDER)["test"]
    kinds = [[one for one in test if one.target[0] == label] for label in (1.0, 0.0)]
    return [one for kind in kinds for one in thinned(kind, number // 2, seed=SEED)]


class Frequencies(torch.nn.Module):
    """Stands where a network could, and knows of each token only how often it stands in the training chains."""

    def __init__(self, network: LanguageModel, sequences: Sequence[str]) -> None:
        super().__init__()
        self.tokenizer, self.standard = network.tokenizer, network.standard
        ids = np.concatenate([tokens.id for tokens in network.tokenizer.encode(sequences)])
        counts = np.bincount(ids, minlength=len(network.tokenizer.length_of_id)) + 1.0
        self.logits = torch.from_numpy(np.log(counts)).to(network.standard.mean.device)

    def forward(self, _: Line, chosen: torch.Tensor) -> torch.Tensor:
        """Return the same logits for every chosen token, (n, V)."""
        return self.logits.expand(int(chosen.sum()), -1)


def pair_columns(
    network: torch.nn.Module, examples: Sequence[Example], size: Size, *, longest: int
) -> dict[str, np.ndarray]:
    """Return the log likelihoods of both proteins of each pair, the labels, and the groups of dependent pairs."""
    pairs = [(one.chains[0].sequence, one.chains[1].sequence) for one in examples]
    found = likelihoods(
        network, pairs, partners=[one for pair in pairs for one in pair], longest=longest,
        generator=np.random.default_rng(SEED), n_views=size.views, n_random=size.random,
    )  # fmt: skip
    return {"label": np.array([one.target[0] for one in examples]), "group": hubs(examples),
            **{name: getattr(found, name) for name in ("alone", "partner", "random")}}  # fmt: skip


def probe_columns(task: str, models: str, data: Path, *, size: Size, seed: int) -> dict[str, np.ndarray]:
    """Return the truth, what a probe on embeddings says, and the groups of dependent examples, of the test set."""
    probe = PROBES[task]
    row = next(row for row in rows_of(task, structure=models) if row.name == "probe-model")
    limit = [f"most_train={size.n_examples}"] if task == "pair_binding" else []
    chosen, settings = read_task(task, limit, defaults=row.options)
    splits = chosen.read(data / probe.folder)
    examples = {name: thinned(splits[name], size.n_examples, seed=SEED) for name in ("train", "valid", probe.test)}
    embed = open_side_by_side(row.models, calibration=[one.chains[0] for one in examples["train"]])
    items = {name: make_items(chosen, part, embed) for name, part in examples.items()}
    learnt = learn(chosen, examples, items, settings=settings, seed=seed)
    made = chosen.figures(examples[probe.test], learnt.predict(items[probe.test]), learnt.calibration)
    figure = next(one for one in made if one.name == probe.figure)
    return {"truth": figure.columns[0], "said": figure.columns[1], "group": np.asarray(figure.groups)}


# --- figures -------------------------------------------------------------------------------------------------------

FIGURES = {
    "alone": "cross entropy alone",
    "partner": "cross entropy, partner",
    "random": "cross entropy, random",
    "gain": "gain by the partner",
    "zero-shot": "AUROC, no training",
    **{task: f"{task}, {probe.figure}" for task, probe in PROBES.items()},
}
"""Short names and titles. Cross entropies are of one protein of an unseen binding pair, alone in its line, with the
other one, and with random proteins in its place, nats a residue; the gain is the last but one less the last."""
DECIMALS = 6
"""Of nats; what is less is rounding, and no gain of chains that do not attend to each other."""
SMALLER_IS_BETTER = ("alone", "partner", "random")


def figure_of(name: str, folder: Path) -> Figure | None:
    """Return a figure of the network whose read-outs are in a folder; None where it was not read out."""
    path = folder / f"{name if name in PROBES else PAIRS_READ_OUT}.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    if name in PROBES:
        return Figure(name, _statistic(name), arrays["group"], (arrays["truth"], arrays["said"]))
    score = (arrays["partner"] - arrays["random"]).mean(axis=1).round(DECIMALS)
    if name == "zero-shot":
        return Figure(name, AUROC, arrays["group"], (arrays["label"], score))
    binds = arrays["label"] == 1
    column = score if name == "gain" else (-arrays[name].mean(axis=1)).round(DECIMALS)
    return Figure(name, MEAN, arrays["group"][binds], (column[binds],))


def _statistic(task: str) -> Statistic:
    return AUROC if PROBES[task].figure == "AUROC" else accuracy_of_classes()


def known_proteins(store: Store, pairs: Sequence[Example]) -> tuple[int, int]:
    """Return how many proteins the pairs have, and how many of them stand in a store by their very sequence."""
    proteins = {chain.sequence for pair in pairs for chain in pair.chains}
    return len(proteins), len(proteins & {chain.sequence for chain in store})
