"""The task: from two sequences to whether the proteins bind (Bernett's gold standard; yeast)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from tertia.data.example import Example
from tertia.nn.residue_graph import Graph
from tertia.nn.vector_probe import PairProbe
from tertia.tasks import labels as shared
from tertia.tasks.audit import cut_by_protein
from tertia.tasks.pair_binding.tables import read_bernett, read_dscript_yeast, read_guo
from tertia.tasks.task import Batch, Figure, Item, Prediction, Vectors, Widths

NETWORKS = ("linear", "mlp")
BENCHMARKS = ("bernett", "guo")


@dataclass(frozen=True)
class PairBinding:
    """Whether two proteins bind, the same in either order; two sequences are read."""

    name: ClassVar[str] = "pair_binding"
    level: ClassVar[str] = "pair"
    kind: ClassVar[str] = "labels"
    reads: ClassVar[str] = "sequence"
    needs: ClassVar[tuple[str, ...]] = ("protein",)
    citation: ClassVar[str] = (
        "Bernett et al., Brief. Bioinform. 25:bbae076 (2024); Guo et al., Nucleic Acids Res. 36:3025 (2008); "
        "Sledzieski et al., Cell Syst. 12:969 (2021)"
    )
    residue_scores: ClassVar[tuple[str, ...]] = ()
    protein_scores: ClassVar[tuple[str, ...]] = ("bound",)

    benchmark: str = "bernett"  # of BENCHMARKS
    network_kind: str = "mlp"  # of NETWORKS
    width: int = 128  # of mlp
    dropout: float = 0.3
    batch: int = 512
    most_train: int = 0  # training pairs are thinned out to so many (seeded); 0 takes all
    class_weights: bool = False  # draw both classes alike

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        for key, allowed in (("network_kind", NETWORKS), ("benchmark", BENCHMARKS)):
            if getattr(self, key) not in allowed:
                yield key, f"is {getattr(self, key)!r}", ", ".join(allowed)
        for key, least in (("batch", 2), ("width", 1), ("most_train", 0)):
            if getattr(self, key) < least:
                yield key, f"is {getattr(self, key)}", f"{least} or more"
        if not 0 <= self.dropout < 1:
            yield "dropout", f"is {self.dropout}", "0 up to, not including, 1"

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return the published splits; for guo validation pairs are cut from the training ones, by protein (seeded).

        What learns from Bernett's pairs, all human, is tried on D-SCRIPT's of yeast too, where their table is there.
        """
        if self.benchmark == "guo":
            splits = read_guo(data)
            splits["train"], valid = cut_by_protein(splits["train"])
            splits = {"train": splits["train"], "valid": valid} | {
                name: part for name, part in splits.items() if name != "train"
            }
        else:
            splits = read_bernett(data)
            if (data / "dscript_yeast_pairs.tsv.gz").is_file():
                splits["dscript_yeast"] = read_dscript_yeast(data)
        splits["train"] = shared.thinned(splits["train"], self.most_train)
        return splits

    def graph(self, example: Example) -> Graph:
        """Return no residues: pairs are known by the vectors of their proteins."""
        return shared.no_graph()

    def item(self, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
        """Put a pair together."""
        return Item(graph, vectors, shared.NOTHING, shared.class_target(example), shared.protein_values(example))

    def network(self, widths: Widths) -> torch.nn.Module:
        """Build one of NETWORKS."""
        width = self.width if self.network_kind == "mlp" else 0
        return PairProbe((widths.protein + widths.whole) // 2, symmetric=True, width=width, dropout=self.dropout)

    def epoch(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[list[int]]:
        """Yield all pairs in random order."""
        return shared.shuffled(examples, self.batch, generator, balanced=self.class_weights)

    def scores(self, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of the pairs."""
        return batch.protein.new_zeros(0, 0), network(*shared.two_sides(batch))

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Return the cross entropy."""
        return shared.cross_entropy(self.scores(network, batch)[1], batch.protein_target)

    def calibrate(self, examples: Sequence[Example], raw: Sequence[Prediction]) -> dict[str, float]:
        """Return scale, offset, and the threshold with the largest MCC."""
        return shared.fitted(*shared.of_proteins(examples, raw))

    def decide(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return the threshold with the largest MCC."""
        return shared.decided(*shared.of_proteins(examples, predictions))

    def finish(self, raw: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Turn logits into probabilities."""
        return Prediction(raw.residue, shared.probabilities(raw.protein[None], calibration)[0])

    def validation_score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
        """Return AUROC."""
        return shared.validation_score(*shared.of_proteins(examples, predictions))

    def figures(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], calibration: Mapping[str, float]
    ) -> list[Figure]:
        """Return the figures over pairs; pairs of one hub are resampled together."""
        truth, probability = shared.of_proteins(examples, predictions)
        return shared.figures_of_two(truth, probability, hubs(examples), calibration)


def hubs(pairs: Sequence[Example]) -> np.ndarray:
    """Return (n,) for each pair the sequence of that of its proteins which is in more pairs, the first of equals.

    Pairs depend on each other through both proteins; most of that goes through the few that are in many.
    """
    n_pairs = Counter(chain.sequence for pair in pairs for chain in pair.chains)
    number = {sequence: k for k, sequence in enumerate(n_pairs)}
    return np.array(
        [number[max((chain.sequence for chain in pair.chains), key=n_pairs.__getitem__)] for pair in pairs], dtype=int
    )
