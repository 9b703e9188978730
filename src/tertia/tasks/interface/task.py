"""The task: from a chain to the residues that touch a protein partner (DeepPPISP, GraphPPIS)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from tertia.data.example import Example
from tertia.nn.residue_graph import N_RESIDUE_VALUES, Graph, extend, residue_graph
from tertia.nn.window_probe import WindowProbe
from tertia.residues import LETTERS, N_INDICES
from tertia.tasks.interface.deepppisp import LONGEST, DeepPppisp, Residues, side_by_side
from tertia.tasks.interface.network import InterfaceNetwork, site_loss
from tertia.tasks.interface.tables import GRAPHPPIS_SETS, read_deepppisp, read_graphppis
from tertia.tasks.metrics import average_precision, best_threshold, statistics
from tertia.tasks.metrics.calibration import logistic, platt
from tertia.tasks.task import LEVELS, Batch, Figure, Item, Prediction, Vectors, Widths

NETWORKS = ("graph", "deepppisp", "deepppisp_faithful", "linear")
BENCHMARKS = {"deepppisp": 50, "graphppis": 35}
"""Proteins of the training set that are kept for validation: 50 as the text of DeepPPISP says, a tenth of Train_335;
of a smaller set than the published ones at most a fifth."""
FEATURES = ("profiles", "computed")


@dataclass(frozen=True)
class Interface:
    """Which residues of a protein touch a protein partner: the probability of every residue."""

    name: ClassVar[str] = "interface"
    level: ClassVar[str] = "residue"
    kind: ClassVar[str] = "labels"
    reads: ClassVar[str] = "structure"
    needs: ClassVar[tuple[str, ...]] = LEVELS
    citation: ClassVar[str] = (
        "Zeng et al., Bioinformatics 36:1114 (2020); Yuan et al., Bioinformatics 38:125 (2022); Guo et al., AAAI 2022"
    )
    residue_scores: ClassVar[tuple[str, ...]] = ("interface",)
    protein_scores: ClassVar[tuple[str, ...]] = ()

    network_kind: str = "graph"  # of NETWORKS
    benchmark: str = "deepppisp"  # of BENCHMARKS
    features: str = "profiles"  # profiles and DSSP of the benchmark, or only what is computed from the C-alphas
    width: int = 64  # channels of the graph network
    n_rounds: int = 3  # how far its residues hear, in edges
    batch: int = 8

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        for key, allowed in (("network_kind", NETWORKS), ("benchmark", BENCHMARKS), ("features", FEATURES)):
            if getattr(self, key) not in allowed:
                yield key, f"is {getattr(self, key)!r}", ", ".join(allowed)
        for key in ("batch", "width", "n_rounds"):
            if getattr(self, key) < 1:
                yield key, f"is {getattr(self, key)}", "1 or more"

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return the official splits, "valid" drawn from the training proteins (seeded)."""
        if self.benchmark == "deepppisp":
            splits = read_deepppisp(data / "deepppisp", data / "graphppis")
            seen = [example for example in splits["test"] if example.chains[0].seen.any()]
            training, tests = splits["train"], {f"test_{len(splits['test'])}": splits["test"]}
            if seen:
                tests[f"test_{len(seen)}"] = seen
        else:
            training = read_graphppis(data / "graphppis", GRAPHPPIS_SETS[0])
            tests = {name: read_graphppis(data / "graphppis", name) for name in GRAPHPPIS_SETS[1:]}
        order = np.random.default_rng(0).permutation(len(training))
        n_valid = min(BENCHMARKS[self.benchmark], len(training) // 5)
        chosen = {"train": order[n_valid:], "valid": order[:n_valid]}
        return {name: [training[k] for k in sorted(rows)] for name, rows in chosen.items()} | tests

    def graph(self, example: Example) -> Graph:
        """Return the residue graph."""
        chain = example.chains[0]
        return residue_graph(chain.sequence, chain.alpha)

    def item(self, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
        """Put a chain together, with the features of the benchmark where these are wanted."""
        if self.features == "profiles":
            published = self.network_kind.startswith("deepppisp")
            graph = extend(graph, residue=_published(example) if published else _profiles(example))
        label = np.full(len(example), np.nan) if example.target is None else example.target
        return Item(graph, vectors, label[:, None], np.zeros(0))

    def network(self, widths: Widths) -> torch.nn.Module:
        """Build one of NETWORKS."""
        if self.network_kind == "graph":
            n_residue = widths.feature + widths.residue
            return InterfaceNetwork(n_residue=n_residue, n_pair=widths.edge, width=self.width, n_rounds=self.n_rounds)
        if self.network_kind == "linear":
            return WindowProbe(N_RESIDUE_VALUES + widths.feature + widths.residue, n_residue=1, n_protein=0)
        faithful = self.network_kind == "deepppisp_faithful"
        return DeepPppisp(widths.feature, n_embedding=widths.residue, faithful=faithful)

    def epoch(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[list[int]]:
        """Yield all proteins in random order; the published 10^8 weights never saw more than 500 residues."""
        fits = [k for k, one in enumerate(examples) if self.network_kind != "deepppisp_faithful" or len(one) <= LONGEST]
        order = generator.permutation(fits)
        yield from (order[start : start + self.batch].tolist() for start in range(0, len(order), self.batch))

    def scores(self, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits."""
        if self.network_kind == "graph":
            logit = network(batch.graph)[:, None]
        elif self.network_kind == "linear":
            logit = network(batch.graph)[0]
        else:
            padded = network(side_by_side(_proteins(batch)))
            logit = torch.cat([row[:length] for row, length in zip(padded, batch.lengths, strict=True)])[:, None]
        return logit, logit.new_zeros(len(batch.lengths), 0)

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Return the cross entropy of all residues with a label."""
        return site_loss(self.scores(network, batch)[0], batch.residue_target)

    def calibrate(self, examples: Sequence[Example], raw: Sequence[Prediction]) -> dict[str, float]:
        """Return scale and offset of the logits, and the threshold with the best F."""
        label, logit, _ = _residues(examples, raw)
        fitted = platt(label, logit)
        return fitted | self.decide(examples, [self.finish(one, fitted) for one in raw])

    def decide(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return the threshold of the probabilities with the best F."""
        label, probability, _ = _residues(examples, predictions)
        threshold = best_threshold(label, probability)
        return {"threshold": threshold if np.isfinite(threshold) else 0.5}

    def finish(self, raw: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Turn logits into probabilities."""
        z = calibration["scale"] * raw.residue.astype(np.float64) + calibration["offset"]
        return Prediction(logistic(z), raw.protein)

    def validation_score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
        """Return the average precision; any rising function of the probabilities gives the same."""
        label, score, _ = _residues(examples, predictions)
        return average_precision(label, score)

    def figures(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], calibration: Mapping[str, float]
    ) -> list[Figure]:
        """Return areas, then figures at the validation threshold, then those at the test set's own (an oracle)."""
        label, score, protein = _residues(examples, predictions)
        out = [
            Figure(name, statistic, protein, (label, score))
            for name, statistic in (
                ("AUROC", statistics.AUROC),
                ("AUPRC", statistics.AUPRC),
                ("AP", statistics.AVERAGE_PRECISION),
            )
        ]
        calls = {"ACC": statistics.ACCURACY, "P": statistics.PRECISION, "R": statistics.RECALL, "F": statistics.F,
                 "MCC": statistics.MCC}  # fmt: skip
        for prefix, threshold in (("", calibration["threshold"]), ("oracle ", best_threshold(label, score))):
            called = (score > threshold).astype(np.float64)
            out += [Figure(prefix + name, statistic, protein, (label, called)) for name, statistic in calls.items()]
        return out


def _published(example: Example) -> np.ndarray:
    """Return what DeepPPISP takes beside the letters: DSSP one-hot and the profile as raw integers."""
    dssp = example.features.get("dssp_mended", example.features["dssp"])
    return np.concatenate([dssp, example.features["pssm"]], axis=1)


def _profiles(example: Example) -> np.ndarray:
    """Return the same at unit size, with what GraphPPIS has beyond: HMM profile, accessibility, torsion angles."""
    found = example.features
    columns = [found.get("dssp_mended", found["dssp"]), found["pssm"] / 5.0]
    if "hmm" in found:
        # HMM files hold -1000 log2 of a frequency, 9999 where there is none.
        angle = np.radians(found["torsion"])
        columns += [np.exp2(-found["hmm"] / 1000.0), found["accessibility"], np.sin(angle), np.cos(angle)]
    return np.concatenate(columns, axis=1)


def _proteins(batch: Batch) -> list[Residues]:
    """Return the padded form that DeepPPISP takes."""
    out, start = [], 0
    for k, length in enumerate(batch.lengths):
        rows = slice(start, start + length)
        letters = F.one_hot(batch.graph.letter[rows], N_INDICES)[:, 1 : 1 + len(LETTERS)].float()
        feature, embedding = batch.graph.values[rows, N_RESIDUE_VALUES:].split(
            [batch.widths.feature, batch.widths.residue], dim=1
        )
        chain = torch.ones(length, dtype=torch.int64)
        out.append(Residues(letters, feature, embedding, batch.protein[k], chain))
        start += length
    return out


def _residues(
    examples: Sequence[Example], predictions: Sequence[Prediction]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return label, prediction and protein of all residues with a label."""
    label = np.concatenate([example.target for example in examples])
    score = np.concatenate([prediction.residue[:, 0] for prediction in predictions]).astype(np.float64)
    protein = np.repeat([example.id for example in examples], [len(example) for example in examples])
    known = np.isfinite(label)
    return label[known], score[known], protein[known]
