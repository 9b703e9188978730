"""What stands in every table of a task: trivial baselines, controls, embeddings, and the published figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

CONSTANT = "constant"
"""In place of a network: the mean of the training targets."""
AVERAGED = "-averaged"
"""Behind the name of a row: its seeds predict together."""


@dataclass(frozen=True)
class Row:
    """One method of a table."""

    name: str
    label: str
    models: str = ""  # as in `encoders.parse_models`; "" = no embeddings
    options: tuple[str, ...] = ()  # key=value for the task and for learning, or CONSTANT alone
    role: str = ""  # "features" and "fresh" are what the others are compared with
    averaged: bool = False  # one row of the mean of what all seeds predict, not the mean figure of the seeds

    @property
    def trained(self) -> str:
        """Name of the row whose networks these are."""
        return self.name.removesuffix(AVERAGED)


_GRAPHQA = ("size=compact", "epochs=10", "learning_rate=0.003")
_WIDE = ("network_kind=wide", "size=compact", "epochs=12", "learning_rate=0.001")
_DEEPPPISP = ("network_kind=deepppisp", "batch=32", "epochs=8", "learning_rate=0.001")
_GRAPH = ("width=64", "n_rounds=4", "epochs=12", "learning_rate=0.001", "batch=3")
_LENGTH = ("network_kind=length", "epochs=20", "learning_rate=0.03")
_LINEAR = ("network_kind=linear", "epochs=12", "learning_rate=0.003")


def rows_of(task: str, *, structure: str, sequence: str = "", paper: str = "") -> tuple[Row, ...]:
    """Return the rows of a task.

    Parameters
    ----------
    structure: the model under test; its untrained twin is added as control. "": only rows without embeddings.
    sequence, paper: a model of sequences alone and one of the paper's mode, where there are such.
    """
    make = {"quality": _quality, "interface": _interface}[task]
    return make(structure, sequence, paper)


def _fresh(models: str) -> str:
    return ",".join(f"fresh:{part}" for part in models.split(","))


def _with_embeddings(
    prefix: str, options: tuple[str, ...], structure: str, sequence: str, paper: str, *, suffix: str = ""
) -> list[Row]:
    """Return one network on features alone and with each kind of embedding."""
    rows = [Row(f"{prefix}features", f"{suffix}features alone", options=options, role="features")]
    if structure:
        rows.append(Row(f"{prefix}fresh", f"{suffix}+ untrained weights", _fresh(structure), options, role="fresh"))
    if sequence:
        rows.append(Row(f"{prefix}sequence", f"{suffix}+ sequence (substitute for TAPE)", sequence, options))
    if paper:
        rows.append(Row(f"{prefix}paper", f"{suffix}+ paper mode", paper, options))
    if structure:
        rows.append(Row(f"{prefix}structure", f"{suffix}+ {structure}", structure, options))
    if structure and sequence:
        rows.append(Row(f"{prefix}both", f"{suffix}+ both", f"{structure},{sequence}", options))
    return rows


def _and_averaged(rows: Sequence[Row]) -> list[Row]:
    """Return rows, and behind them those of features, of untrained weights and of structure once more, averaged."""
    kinds = ("features", "fresh", "structure")
    return [*rows, *(replace(row, name=row.name + AVERAGED, label=f"{row.label}; seeds averaged", averaged=True)
                     for row in rows if row.name.rpartition("-")[2] in kinds)]  # fmt: skip


def _quality(structure: str, sequence: str, paper: str) -> tuple[Row, ...]:
    probes = (
        Row("linear-fresh", "linear + untrained weights", _fresh(structure), _LINEAR, role="fresh"),
        Row("linear-structure", f"linear + {structure} (frozen probe)", structure, _LINEAR),
    )
    return (
        Row("constant", "mean of the training targets", options=(CONSTANT,)),
        Row("length", "length of the protein alone", options=_LENGTH),
        Row("linear", "linear, features of a window", options=_LINEAR, role="features"),
        *(probes if structure else ()),
        *_with_embeddings("graphqa-", _GRAPHQA, structure, sequence, paper, suffix="GraphQA, "),
        *_and_averaged(_with_embeddings("wide-", _WIDE, structure, sequence, "", suffix="ours, ")),
    )


def _interface(structure: str, sequence: str, paper: str) -> tuple[Row, ...]:
    return (
        Row("constant", "share of sites in training", options=(CONSTANT,)),
        Row("linear", "logistic regression, window", options=_LINEAR),
        *_with_embeddings("deepppisp-", _DEEPPPISP, structure, sequence, paper, suffix="DeepPPISP, "),
        *_and_averaged(_with_embeddings("graph-", _GRAPH, structure, sequence, "", suffix="graph, ")),
        *_with_embeddings(
            "computed-", (*_GRAPH, "features=computed"), structure, "", "", suffix="graph, no profiles, "
        ),
    )


PUBLISHED: dict[tuple[str, str], Sequence[tuple[str, dict[str, float]]]] = {
    ("quality", "test"): (
        ("Guo et al. 2022, GraphQA alone (CASP13)", {"gdt_ts R": 0.793, "gdt_ts RMSE": 0.201, "gdt_ts R_target": 0.751,
         "gdt_ts z": 1.026, "gdt_ts FRL_5": 0.045, "local lddt rho": 0.774, "local lddt rho_decoy": 0.510,
         "local cad rho": 0.637, "local cad rho_decoy": 0.390}),
        ("Guo et al. 2022, + sequence (CASP13)", {"gdt_ts R": 0.799, "gdt_ts RMSE": 0.158, "gdt_ts R_target": 0.772,
         "gdt_ts z": 1.101, "gdt_ts FRL_5": 0.037, "local lddt rho": 0.754, "local lddt rho_decoy": 0.502,
         "local cad rho": 0.624, "local cad rho_decoy": 0.387}),
        ("Guo et al. 2022, + structure (CASP13)", {"gdt_ts R": 0.848, "gdt_ts RMSE": 0.133, "gdt_ts R_target": 0.787,
         "gdt_ts z": 1.345, "gdt_ts FRL_5": 0.031, "local lddt rho": 0.800, "local lddt rho_decoy": 0.534,
         "local cad rho": 0.667, "local cad rho_decoy": 0.424}),
        ("GraphQA (Baldassarre et al. 2021, CASP13)", {"gdt_ts R": 0.855, "gdt_ts RMSE": 0.130,
         "gdt_ts R_target": 0.779, "gdt_ts z": 1.274, "gdt_ts FRL": 0.081, "gdt_ts FRL_5": 0.030,
         "local lddt rho": 0.797, "local lddt rho_decoy": 0.527}),
    ),
    ("interface", "test_70"): (
        ("Guo et al. 2022, DeepPPISP alone", {"oracle ACC": 0.589, "oracle P": 0.270, "oracle R": 0.623,
         "oracle F": 0.377, "oracle MCC": 0.163}),
        ("Guo et al. 2022, + sequence", {"oracle ACC": 0.592, "oracle P": 0.274, "oracle R": 0.635,
         "oracle F": 0.382, "oracle MCC": 0.174}),
        ("Guo et al. 2022, + structure", {"oracle ACC": 0.621, "oracle P": 0.285, "oracle R": 0.601,
         "oracle F": 0.386, "oracle MCC": 0.185}),
        ("DeepPPISP (Zeng et al. 2020)", {"AUROC": 0.671, "AUPRC": 0.320, "oracle ACC": 0.655, "oracle P": 0.303,
         "oracle R": 0.577, "oracle F": 0.397, "oracle MCC": 0.206}),
    ),
    ("interface", "Test_60"): (
        ("GraphPPIS (Yuan et al. 2022)", {"AUROC": 0.786, "AUPRC": 0.429, "oracle F": 0.451, "oracle MCC": 0.333}),
        ("AGAT-PPIS (Zhou et al. 2023)", {"AUROC": 0.867, "AUPRC": 0.574, "oracle F": 0.569, "oracle MCC": 0.484}),
    ),
    ("interface", "Test_315"): (
        ("GraphPPIS (Yuan et al. 2022)", {"AUPRC": 0.423, "oracle MCC": 0.336}),
    ),
}  # fmt: skip
"""Figures as printed; those of quality are of other models (CASP13), so only their differences compare."""
