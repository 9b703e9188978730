"""Read pairs of T-cell receptor and peptide: TITAN's two ten-fold splits (Weber et al. 2021), and positives of VDJdb.

TITAN's negatives are shuffled pairs, not measured ones. The folds of the strict split are known for positives only: the
published strict split has negatives of its own, which are not among the pairs here (23,902 pairs have no strict fold,
23,452 of them negative; of the pairs with one 99.4 % are positive). `shuffled_negatives` makes them anew in each part.
Receptors with equal CDR3s and different genes count as different: by CDR3 alone some 40 recur between a fold and the
others, in both splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.data.tables import chain_of, one_of, read_rows
from tertia.errors import InputError
from tertia.structure.chain import Chain

N_FOLDS = 10
RECEPTORS = ("cdr3b", "full_beta")
"""What of a receptor is read: the third loop of its beta chain, or the whole variable domain."""
_TITAN = ("tcr_id", "epitope_id", "cdr3b", "epitope", "label", "source")
_VDJDB = ("cdr3_alpha", "cdr3_beta", "mhc_class", "antigen_epitope", "antigen_species", "reference_id")
_LABEL = {"0": 0.0, "1": 1.0}
_FOLDS = {str(fold): fold for fold in range(N_FOLDS)}
_TRIES = 1000


def read_tcr_split(folder: Path, fold: int, *, receptor: str = "cdr3b") -> dict[str, list[Example]]:
    """Return "train", "valid" and "test" of the split by receptor: test receptors are new, all peptides are known.

    Of 47,182 pairs those of `fold` are the test, those of the next fold validation, those of the other eight training
    (the published protocol trains on nine and has no validation set). `chains` are receptor and peptide, `target` (1,)
    is 1 for pairs that bind, `meta` holds `epitope` (score peptides one by one: few of them dominate) and `source`.

    Parameters
    ----------
    folder: with `titan_pairs.tsv.gz`; `titan_tcr_full_beta.tsv.gz` for whole domains.
    fold: 0 to 9.
    receptor: of `RECEPTORS`.

    Raises
    ------
    InputError: a table is missing or damaged, a receptor has no sequence, or there is no such fold.
    """
    found = _by_fold(folder, "tcr_split_test_fold", fold, receptor)
    del found["left_out"]  # every pair has a fold here, or `_by_fold` refuses it
    return found


def read_strict_split(folder: Path, fold: int, *, receptor: str = "cdr3b") -> dict[str, list[Example]]:
    """Return "train", "valid", "test" of the split by receptor and peptide, both new in the test, and "left_out".

    As `read_tcr_split`. "left_out" (23,902) are the pairs without a fold, nearly all negatives: in the parts themselves
    only 135 are left, so add `shuffled_negatives` to each part.

    Raises
    ------
    InputError: as `read_tcr_split`.
    """
    return _by_fold(folder, "strict_split_test_fold", fold, receptor)


def shuffled_negatives(examples: Sequence[Example], generator: np.random.Generator) -> list[Example]:
    """Return as many negatives as a part lacks to have one for each positive, made of its own receptors and peptides.

    A receptor of a positive pair is drawn, without repeats, with the peptide of another one, so that peptides come as
    often as among positives; pairs that the part has already, by sequence, are not made. `meta` says `shuffled`.

    Raises
    ------
    ValueError: no new pair can be made, as when all have the same peptide.
    """
    positives = [example for example in examples if example.target[0] == 1.0]
    n_wanted = 2 * len(positives) - len(examples)
    taken = {_sequences(example.chains) for example in examples}
    made = []
    for number in generator.permutation(len(positives))[: max(n_wanted, 0)]:
        receptor, _ = positives[number].chains
        for _ in range(_TRIES):
            donor = positives[generator.integers(len(positives))]
            pair = (receptor, donor.chains[1])
            if _sequences(pair) not in taken:
                break
        else:
            raise ValueError(f"{receptor.key}: every peptide of this part is paired with it already")
        taken.add(_sequences(pair))
        meta = {"epitope": donor.meta["epitope"], "source": "shuffled"}
        made.append(Example(f"{receptor.key}/{pair[1].key}", pair, np.zeros(1), meta=meta))
    return made


def read_vdjdb(folder: Path) -> dict[str, list[Example]]:
    """Return human positives of VDJdb (Goncharov et al. 2022): "beta" (38,757) and "alpha_only" (8,080).

    `chains` are the CDR3 of the beta chain (of the alpha chain, where only that is known) and the peptide. Use them as
    more positives, or for peptides that TITAN lacks; 7,894 of the beta pairs stand in TITAN too, so before mixing take
    those of the test away (`tasks.audit.without_shared_pairs`). Rows that repeat a pair stay. `meta` holds epitope,
    cdr3_alpha ("" unknown), mhc_class, species and reference.

    Parameters
    ----------
    folder: with `vdjdb_human_positives.tsv.gz`.

    Raises
    ------
    InputError: the table is missing or damaged, or a row has no CDR3 at all.
    """
    path = folder / "vdjdb_human_positives.tsv.gz"
    chains = _Chains(path)
    found: dict[str, list[Example]] = {"beta": [], "alpha_only": []}
    for number, row in enumerate(read_rows(path, _VDJDB)):
        name, part = f"vdjdb{number}", "beta" if row["cdr3_beta"] else "alpha_only"
        loop = row["cdr3_beta"] or row["cdr3_alpha"]
        meta = {"epitope": row["antigen_epitope"], "cdr3_alpha": row["cdr3_alpha"], "mhc_class": row["mhc_class"],
                "species": row["antigen_species"], "reference": row["reference_id"]}  # fmt: skip
        pair = (chains.named(loop or name, loop), chains.named(row["antigen_epitope"] or name, row["antigen_epitope"]))
        found[part].append(Example(name, pair, np.ones(1), meta=meta))
    return found


class _Chains:
    """One chain for each name of a table."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._chain_of: dict[str, Chain] = {}

    def named(self, name: str, sequence: str) -> Chain:
        """Return the chain of this name, or raise InputError where it had another sequence before."""
        if name not in self._chain_of:
            self._chain_of[name] = chain_of(name, sequence, self.path)
        if self._chain_of[name].sequence != sequence:
            allowed = self._chain_of[name].sequence
            raise InputError(str(self.path), name, found=f"is {sequence} here and {allowed} before")
        return self._chain_of[name]


def _by_fold(folder: Path, column: str, fold: int, receptor: str) -> dict[str, list[Example]]:
    if fold not in range(N_FOLDS):
        raise InputError(str(folder), found=f"no fold {fold}", allowed=f"0 to {N_FOLDS - 1}")
    part_of = dict.fromkeys(range(N_FOLDS), "train") | {(fold + 1) % N_FOLDS: "valid", fold: "test", None: "left_out"}
    allowed = _FOLDS | ({"NA": None} if column.startswith("strict") else {})
    found: dict[str, list[Example]] = {name: [] for name in ("train", "valid", "test", "left_out")}
    path = folder / "titan_pairs.tsv.gz"
    for example, row in _titan(folder, path, column, receptor):
        # A pair that its fold lists twice has the fold twice, "1,1".
        row[column] = "/".join(sorted(set(row[column].split(","))))
        found[part_of[one_of(row, column, allowed, path=path, entry=example.id)]].append(example)
    return found


def _titan(folder: Path, path: Path, column: str, receptor: str) -> Iterator[tuple[Example, dict[str, str]]]:
    whole = _whole_domains(folder, receptor)
    chains = _Chains(path)
    for row in read_rows(path, (*_TITAN, column)):
        tcr, peptide = f"tcr{row['tcr_id']}", f"epitope{row['epitope_id']}"
        name = f"{tcr}/{peptide}"
        if whole and row["tcr_id"] not in whole:
            raise InputError(str(path), name, found="the receptor has no whole domain", hint="take receptor cdr3b")
        first = chains.named(tcr, whole.get(row["tcr_id"], row["cdr3b"]))
        target = np.array([one_of(row, "label", _LABEL, path=path, entry=name)])
        meta = {"epitope": row["epitope"], "source": row["source"]}
        yield Example(name, (first, chains.named(peptide, row["epitope"])), target, meta=meta), row


def _whole_domains(folder: Path, receptor: str) -> dict[str, str]:
    """Return the variable domain of each receptor, nothing where loops are asked for."""
    if receptor not in RECEPTORS:
        raise InputError(str(folder), found=f"no receptor {receptor!r}", allowed=", ".join(RECEPTORS))
    if receptor == "cdr3b":
        return {}
    rows = read_rows(folder / "titan_tcr_full_beta.tsv.gz", ("tcr_id", "full_variable_beta"))
    return {row["tcr_id"]: row["full_variable_beta"] for row in rows}


def _sequences(pair: tuple[Chain, ...]) -> tuple[str, ...]:
    return tuple(chain.sequence for chain in pair)
