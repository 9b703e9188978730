"""What stands in every table of a task: trivial baselines, controls, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tertia.evaluate.trivial import BASELINES, CONSTANT

AVERAGED = "-averaged"
"""Behind the name of a row: its seeds predict together."""
LONGEST_CHAIN = 400
"""Residues of a chain that a step of fine-tuning reads where whole proteins are told apart: of longer ones a window."""


@dataclass(frozen=True)
class Row:
    """One method of a table."""

    name: str
    label: str
    models: str = ""  # as in `encoders.parse_models`; "" = no embeddings
    options: tuple[str, ...] = ()  # key=value for the task and for learning, or one of BASELINES alone
    role: str = ""  # "features" and "fresh" are what the others are compared with
    averaged: bool = False  # one row of the mean of what all seeds predict, not the mean figure of the seeds
    full: bool = False  # the model learns too
    first: tuple[str, ...] = ()  # options with which the network of the task learns before it does

    @property
    def trained(self) -> str:
        """Name of the row whose networks these are."""
        return self.name.removesuffix(AVERAGED)

    @property
    def baseline(self) -> str:
        """What stands in place of a network, one of BASELINES; "" for a network."""
        return self.options[0] if self.options and self.options[0] in BASELINES else ""


_GRAPHQA = ("size=compact", "epochs=10", "learning_rate=0.003")
_WIDE = ("network_kind=wide", "size=compact", "epochs=12", "learning_rate=0.001")
_DEEPPPISP = ("network_kind=deepppisp", "batch=32", "epochs=8", "learning_rate=0.001")
_GRAPH = ("width=64", "n_rounds=4", "epochs=12", "learning_rate=0.001", "batch=3")
_LENGTH = ("network_kind=length", "epochs=20", "learning_rate=0.03")
_LINEAR = ("network_kind=linear", "epochs=12", "learning_rate=0.003")
_PAIRS = ("network_kind=mlp", "epochs=10", "learning_rate=0.001", "weight_decay=0.001")
_PEPTIDES = ("network_kind=mlp", "epochs=15", "learning_rate=0.001", "weight_decay=0.001")
_PROTEINS = ("network_kind=linear", "epochs=20", "learning_rate=0.003", "weight_decay=0.01")
_PLACES_CNN = ("network_kind=cnn", "longest=400", "epochs=5", "learning_rate=0.002")
_FOLDS_CNN = ("network_kind=cnn", "width=128", "epochs=5", "learning_rate=0.002")
_WINDOW = ("network_kind=linear", "epochs=6", "learning_rate=0.002")
_STATES_CNN = ("network_kind=cnn", "width=64", "epochs=4", "learning_rate=0.002")

# Of the model itself, once its network has learnt as above: one pass over few proteins, all layers deep.
_LEARNING_TOO = ("epochs=1", "learning_rate=0.0002")
_PAIRS_FULL = ("network_kind=mlp", "batch=32", "most_train=600", *_LEARNING_TOO)
_PEPTIDES_FULL = ("network_kind=mlp", "batch=64", "most_train=4000", *_LEARNING_TOO)
_PLACES_FULL = ("network_kind=linear", "batch=32", "most_train=1000", *_LEARNING_TOO)
_FOLDS_FULL = ("network_kind=linear", "batch=32", "most_train=3000", *_LEARNING_TOO)
_WINDOW_FULL = ("network_kind=linear", "residues=6000", "most_train=1500", *_LEARNING_TOO)


def rows_of(task: str, *, structure: str, sequence: str = "", paper: str = "") -> tuple[Row, ...]:
    """Return the rows of a task.

    Parameters
    ----------
    structure: the model under test; its untrained twin is added as control. "": only rows without embeddings.
    sequence, paper: for tasks on structures a model of sequences alone and one of the paper's mode, where there are
        such; for tasks on sequences two models more.
    """
    make = {
        "quality": _quality, "interface": _interface, "pair_binding": _pair_binding, "tcr_epitope": _tcr_epitope,
        "localisation": _localisation, "homology": _homology, "secondary_structure": _secondary_structure,
    }[task]  # fmt: skip
    return make(structure, sequence, paper)


def fresh_of(models: str) -> str:
    """Return the untrained twins of models."""
    return ",".join(f"fresh:{part}" for part in models.split(","))


def _with_embeddings(
    prefix: str, options: tuple[str, ...], structure: str, sequence: str, paper: str, *, suffix: str = ""
) -> list[Row]:
    """Return one network on features alone and with each kind of embedding."""
    rows = [Row(f"{prefix}features", f"{suffix}features alone", options=options, role="features")]
    if structure:
        rows.append(Row(f"{prefix}fresh", f"{suffix}+ untrained weights", fresh_of(structure), options, role="fresh"))
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
        Row("linear-fresh", "linear + untrained weights", fresh_of(structure), _LINEAR, role="fresh"),
        Row("linear-structure", f"linear + {structure} (frozen probe)", structure, _LINEAR),
    )
    return (
        Row("constant", "mean of the training targets", options=(CONSTANT,)),
        Row("length", "length of the protein alone", options=_LENGTH),
        Row("linear", "linear, features of a window", options=_LINEAR, role="features"),
        *(probes if structure else ()),
        *_with_embeddings("graphqa-", _GRAPHQA, structure, sequence, paper, suffix="GraphQA, "),
        *_and_averaged(_with_embeddings("wide-", _WIDE, structure, sequence, paper, suffix="ours, ")),
    )


def _interface(structure: str, sequence: str, paper: str) -> tuple[Row, ...]:
    return (
        Row("constant", "share of sites in training", options=(CONSTANT,)),
        Row("linear", "logistic regression, window", options=_LINEAR),
        *_with_embeddings("deepppisp-", _DEEPPPISP, structure, sequence, paper, suffix="DeepPPISP, "),
        *_and_averaged(_with_embeddings("graph-", _GRAPH, structure, sequence, paper, suffix="graph, ")),
        *_with_embeddings(
            "computed-", (*_GRAPH, "features=computed"), structure, "", "", suffix="graph, no profiles, "
        ),
    )


# --- sequences -----------------------------------------------------------------------------------------------------


def _probes(
    prefix: str, label: str, options: tuple[str, ...], given: tuple[str, str, str], *, alone: str
) -> list[Row]:  # fmt: skip
    """Return one network without embeddings (`alone` says on what), on untrained weights, and on each model given."""
    models, *others = given
    rows = [Row(f"{prefix}-features", f"{label}, {alone}", options=options, role="features")]
    if models:
        rows.append(Row(f"{prefix}-fresh", f"{label} + untrained weights", fresh_of(models), options, role="fresh"))
    for name, other in zip(("sequence", "paper"), others, strict=True):
        rows += [Row(f"{prefix}-{name}", f"{label} + {other}", other, options)] if other else []
    return [*rows, Row(f"{prefix}-model", f"{label} + {models}", models, options)] if models else rows


def _fine_tuned(
    first: tuple[str, ...], options: tuple[str, ...], given: tuple[str, str, str], *, of: str
) -> list[Row]:  # fmt: skip
    """Return the rows in which the model learns too, from untrained and from its own weights; of one model only.

    Parameters
    ----------
    first: options with which the network of the task has learnt on the model as it was, from all examples.
    of: what training examples are called.
    """
    models = given[0]
    if not models or "," in models or "@" in models:
        return []
    most = next(int(one.partition("=")[2]) for one in options if one.startswith("most_train="))
    thinned = f", on at most {most:,} training {of}"
    return [
        Row("full-fresh", f"untrained weights fine-tuned{thinned}", fresh_of(models), options, role="fresh", full=True,
            first=first),
        Row("full-model", f"{models} fine-tuned{thinned}", models, options, full=True, first=first),
    ]  # fmt: skip


def _trivial(*named: tuple[str, str]) -> list[Row]:
    return [Row(name, label, options=(name,)) for name, label in named]


_SHARES = (CONSTANT, "the most frequent class")
_COMPOSITION = ("composition", "logistic regression on composition and length")
_NEAREST = ("neighbours", "nearest by shared words of three letters")
_DEGREE = ("degree", "degrees of the two in training pairs")


def _pair_binding(*given: str) -> tuple[Row, ...]:
    trivial = _trivial(_SHARES, _COMPOSITION, _NEAREST, _DEGREE)
    probes = _probes("probe", "symmetric network", _PAIRS, given, alone="composition and length alone")
    return (*trivial, *probes, *_fine_tuned(_PAIRS, _PAIRS_FULL, given, of="pairs"))


def _tcr_epitope(*given: str) -> tuple[Row, ...]:
    trivial = _trivial(_SHARES, _COMPOSITION, _NEAREST, _DEGREE)
    probes = _probes("probe", "network", _PEPTIDES, given, alone="composition and length alone")
    return (*trivial, *probes, *_fine_tuned(_PEPTIDES, _PEPTIDES_FULL, given, of="pairs"))


def _localisation(*given: str) -> tuple[Row, ...]:
    cnn = Row("cnn", "convolution over one-hot letters", options=_PLACES_CNN)
    probes = _probes("probe", "linear probe", _PROTEINS, given, alone="composition and length alone")
    full = _fine_tuned(_PROTEINS, _PLACES_FULL, given, of="proteins")
    return (*_trivial(_SHARES, _COMPOSITION, _NEAREST), cnn, *probes, *full)


def _homology(*given: str) -> tuple[Row, ...]:
    cnn = Row("cnn", "convolution over one-hot letters", options=_FOLDS_CNN)
    probes = _probes("probe", "linear probe", _PROTEINS, given, alone="composition and length alone")
    full = _fine_tuned(_PROTEINS, _FOLDS_FULL, given, of="domains")
    return (*_trivial(_SHARES, _COMPOSITION, _NEAREST), cnn, *probes, *full)


def _secondary_structure(*given: str) -> tuple[Row, ...]:
    return (
        *_trivial(_SHARES, ("letters", "what the letter of a residue mostly is")),
        *_probes("probe", "linear, window", _WINDOW, given, alone="one-hot letters"),
        *_probes("cnn", "convolution", _STATES_CNN, given, alone="one-hot letters"),
        *_fine_tuned(_WINDOW, _WINDOW_FULL, given, of="proteins"),
    )
