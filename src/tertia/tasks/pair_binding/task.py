"""The task: from two sequences to whether the proteins bind (Bernett's gold standard; yeast)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tertia.data.example import Example
from tertia.tasks import label_methods as methods
from tertia.tasks import labels as shared
from tertia.tasks.audit import cut_by_protein
from tertia.tasks.pair_binding.tables import read_bernett, read_dscript_yeast, read_guo
from tertia.tasks.task import Figure, Prediction

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
    symmetric: ClassVar[bool] = True
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
        if self.benchmark not in BENCHMARKS:
            yield "benchmark", f"is {self.benchmark!r}", ", ".join(BENCHMARKS)
        yield from methods.problems_of_network(self, NETWORKS, batch=2, width=1, most_train=0)

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

    graph = methods.pair_graph
    item = methods.pair_item
    network = methods.pair_network
    scores = methods.pair_scores
    epoch = methods.epoch
    loss = methods.loss
    calibrate = methods.calibrate
    decide = methods.decide
    finish = methods.finish
    validation_score = methods.validation_score

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
