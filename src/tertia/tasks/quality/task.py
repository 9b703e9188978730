"""The task: from a model of a protein to its quality, as GraphQA poses it (Baldassarre et al. 2021)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from tertia.data.example import Example
from tertia.nn.residue_graph import N_RESIDUE_VALUES, Graph, residue_graph
from tertia.nn.window_probe import WindowProbe
from tertia.tasks.metrics import global_agreement, local_agreement, statistics
from tertia.tasks.quality.graphqa import GLOBAL_SCORES, LOCAL_SCORES, SIZES, GraphQa, LengthOnly, WideQa, squared_error
from tertia.tasks.quality.tables import read_quality
from tertia.tasks.task import LEVELS, Batch, Figure, Item, Prediction, Vectors, Widths

NETWORKS = ("graphqa", "wide", "linear", "length")
SPREAD = 0.05
"""Between the best and the worst model of a target; of less, their true order is mostly error of the score."""


@dataclass(frozen=True)
class Quality:
    """How good a model of a protein is: lDDT and CAD-score of residues; TM-score, GDT, lDDT, CAD-score of the whole."""

    name: ClassVar[str] = "quality"
    level: ClassVar[str] = "residue, protein"
    kind: ClassVar[str] = "values"
    reads: ClassVar[str] = "structure"
    needs: ClassVar[tuple[str, ...]] = LEVELS
    citation: ClassVar[str] = "Baldassarre et al., Bioinformatics 37:360 (2021); Guo et al., AAAI 2022"
    residue_scores: ClassVar[tuple[str, ...]] = LOCAL_SCORES
    protein_scores: ClassVar[tuple[str, ...]] = GLOBAL_SCORES

    network_kind: str = "graphqa"  # of NETWORKS
    size: str = "published"  # of graphqa and wide, of SIZES
    cad: bool = False  # learn and score the CAD-score too, where models have side chains; needs voronotalt
    casp: str = ""  # folder of CASP models with their natives: one more test set
    local_weight: float = 5.0  # of the residues' error against that of the whole
    batch: int = 16
    models_per_target: int = 0  # of training targets at most so many, the first; 0 takes all
    generated: str = ""  # folder of `tertia decoys`: more training models

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        if self.network_kind not in NETWORKS:
            yield "network_kind", f"is {self.network_kind!r}", ", ".join(NETWORKS)
        if self.size not in SIZES:
            yield "size", f"is {self.size!r}", ", ".join(SIZES)
        if self.batch < 2:
            yield "batch", f"is {self.batch}", "2 or more"
        if self.models_per_target < 0:
            yield "models_per_target", f"is {self.models_per_target}", "0 or more"

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return the splits; targets (proteins), not models, were divided. What is refused or left out is said."""
        splits = read_quality(data, cad=self.cad)
        if self.models_per_target:
            members = by_target(splits["train"]).values()
            splits["train"] = [splits["train"][k] for part in members for k in part[: self.models_per_target]]
        if self.casp:
            from tertia.tasks.quality.casp import read_casp

            found = read_casp(Path(self.casp), cad=self.cad)
            for error in found.refused:
                print(f"refused: {error}", file=sys.stderr)
            splits["casp"] = list(found.examples)
        if self.generated:
            splits["train"] += self._generated(splits)
        return splits

    def _generated(self, splits: Mapping[str, list[Example]]) -> list[Example]:
        """Return decoys of natives that are no neighbours of what the other splits hold."""
        from tertia.tasks.quality.generated import read_generated

        held_out = [one.chains[0].sequence for split, part in splits.items() if split != "train" for one in part]
        made, leaks = read_generated(Path(self.generated), away_from=held_out)
        for leak in leaks:
            print(f"left out: {self.generated}: {leak.chain}: has {leak.identity:.0%} identity with a protein that "
                  "models are tried on", file=sys.stderr)  # fmt: skip
        return made

    def graph(self, example: Example) -> Graph:
        """Return the residue graph; B-factors of models never enter it, they may hold another program's estimate."""
        chain = example.chains[0]
        return residue_graph(chain.sequence, chain.alpha)

    def item(self, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
        """Put a model together."""
        whole = [float(example.meta.get(name, np.nan)) for name in GLOBAL_SCORES]
        local = np.full((len(example), len(LOCAL_SCORES)), np.nan) if example.target is None else example.target
        return Item(graph, vectors, local, np.array(whole))

    def network(self, widths: Widths) -> torch.nn.Module:
        """Build one of NETWORKS."""
        n_residue = widths.feature + widths.residue
        if self.network_kind == "length":
            return LengthOnly()
        if self.network_kind == "linear":
            n_values = N_RESIDUE_VALUES + n_residue
            return WindowProbe(n_values, n_residue=len(LOCAL_SCORES), n_protein=len(GLOBAL_SCORES))
        if self.network_kind == "wide":
            return WideQa(n_residue=n_residue, n_pair=widths.edge, n_protein=widths.residue, **SIZES[self.size])
        return GraphQa(n_residue=n_residue, n_pair=widths.edge, **SIZES[self.size])

    def epoch(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[list[int]]:
        """Yield batches of one random model of every target."""
        order = generator.permutation([generator.choice(members) for members in by_target(examples).values()])
        for start in range(0, len(order), self.batch):
            if len(part := order[start : start + self.batch]) > 1:  # batch norm needs two
                yield part.tolist()

    def scores(self, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores in 0-1."""
        if self.network_kind == "wide":
            return network(batch.graph, batch.protein)
        local, whole = network(batch.graph)
        return (torch.sigmoid(local), torch.sigmoid(whole)) if self.network_kind == "linear" else (local, whole)

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Return the squared errors of all scores, added up."""
        local, whole = self.scores(network, batch)
        return self.local_weight * squared_error(local, batch.residue_target) + squared_error(
            whole, batch.protein_target
        )

    def calibrate(self, examples: Sequence[Example], raw: Sequence[Prediction]) -> dict[str, float]:
        """Return nothing: squared errors are calibrated as they are."""
        return {}

    def decide(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return nothing: there are no calls."""
        return {}

    def finish(self, raw: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Return the scores as they are."""
        return raw

    def validation_score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
        """Return minus the weighted squared error of lDDT and GDT_TS."""
        truth, found, _ = _residues(examples, predictions)
        whole = GLOBAL_SCORES.index("gdt_ts")
        error = [(float(e.meta["gdt_ts"]) - p.protein[whole]) ** 2 for e, p in zip(examples, predictions, strict=True)]
        return -float(self.local_weight * np.square(truth - found).mean() + np.mean(error))

    def figures(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], calibration: Mapping[str, float]
    ) -> list[Figure]:
        """Return the figures of Guo et al., Table 1, with those of lDDT as global score.

        Means are over targets; the groups are clusters of them, for targets of one cluster are not independent.
        """
        target = np.array([f"{example.meta['set']}/{example.meta['target']}" for example in examples])
        cluster = np.array([str(example.meta["cluster"]) for example in examples])
        cluster_of = dict(zip(target, cluster, strict=True))
        out = []
        for score in ("gdt_ts", "lddt"):
            column = GLOBAL_SCORES.index(score)
            truth = np.array([float(example.meta[score]) for example in examples])
            found = np.array([float(prediction.protein[column]) for prediction in predictions])
            within = global_agreement(truth, found, target=target, fewest=2)
            out += [
                Figure(f"{score} R", statistics.PEARSON, cluster, (truth, found)),
                Figure(f"{score} RMSE", statistics.RMSE, cluster, (truth, found)),
            ]
            # With five models FRL_5 is 0 whatever is predicted.
            many = global_agreement(truth, found, target=target, fewest=6)
            groups = np.array([cluster_of[name] for name in within.groups])
            out += [
                Figure(f"{score} {name}", statistics.MEAN, groups, (agreement.by_group[name],))
                for name, agreement in (("R_target", within), ("z", within), ("FRL", within), ("FRL_5", many))
            ]
            spread = np.array([np.ptp(truth[target == name]) > SPREAD for name in within.groups])
            ranked = np.where(spread, within.by_group["R_target"], np.nan)
            out.append(Figure(f"{score} R_target, spread", statistics.MEAN, groups, (ranked,)))
        for k, score in enumerate(LOCAL_SCORES if self.cad else LOCAL_SCORES[:1]):
            out += _local(score, k, examples, predictions, cluster)
        return out


def by_target(examples: Sequence[Example]) -> dict[tuple[str, str], list[int]]:
    """Return the positions of the models of each target, (set, target)."""
    out: dict[tuple[str, str], list[int]] = {}
    for position, example in enumerate(examples):
        out.setdefault((str(example.meta["set"]), str(example.meta["target"])), []).append(position)
    return out


def _local(
    score: str, column: int, examples: Sequence[Example], predictions: Sequence[Prediction], cluster: np.ndarray
) -> list[Figure]:
    """Return rho of one local score over all residues, and within models; `cluster` (n,) of each model."""
    truth, found, model = _residues(examples, predictions, column)
    within = local_agreement(truth, found, decoy=model, fewest=3)
    return [
        Figure(f"local {score} rho", statistics.SPEARMAN, cluster[model], (truth, found)),
        Figure(f"local {score} RMSE", statistics.RMSE, cluster[model], (truth, found)),
        Figure(f"local {score} rho_decoy", statistics.MEAN, cluster[within.groups], (within.by_group["rho_decoy"],)),
    ]


def _residues(
    examples: Sequence[Example], predictions: Sequence[Prediction], column: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, prediction and position of the model for all residues of known quality."""
    truth = np.concatenate([example.target[:, column] for example in examples])
    found = np.concatenate([prediction.residue[:, column] for prediction in predictions])
    model = np.repeat(np.arange(len(examples)), [len(example) for example in examples])
    known = np.isfinite(truth)
    return truth[known], found[known].astype(np.float64), model[known]
