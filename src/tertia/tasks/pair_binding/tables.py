"""Read pairs of proteins that bind or do not: Bernett's split, two sets of yeast, and positives to learn from.

Each protein is one `Chain`, however many pairs it is in. Pairs stand as the tables have them, repeats and
contradictions included (Guo repeats 24 pairs; D-SCRIPT has 32 in both orders, 4 of them with both labels, and 5 of a
protein with itself): `tasks.audit` counts them. `id` is "<a>/<b>", with "#2" and so on for a pair that comes again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tertia.data.example import Example
from tertia.data.tables import one_of, read_chains, read_rows
from tertia.errors import InputError
from tertia.structure.chain import Chain

SPLITS = ("train", "valid", "test")
GUO_SPLITS = ("train", "test_both_new", "test_one_new")
INTERACTIONS = ("reaction", "binding", "ptmod", "activation", "inhibition", "catalysis", "expression")
_LABEL = {"0": 0.0, "1": 1.0}


def read_bernett(folder: Path) -> dict[str, list[Example]]:
    """Return "train" (163,192), "valid" (59,260) and "test" (52,048) of the gold standard (Bernett et al. 2024).

    Human, half of the pairs of each split positive; no protein is in two splits, and negatives keep the degrees of the
    positives. `target` (1,) is 1 for pairs that bind, else 0; `meta` holds set and organism.

    Parameters
    ----------
    folder: with `bernett_pairs.tsv.gz` and `bernett_sequences.fa.gz`.

    Raises
    ------
    InputError: a table is missing or damaged, or a protein has no sequence.
    """
    chains, path = read_chains(folder / "bernett_sequences.fa.gz"), folder / "bernett_pairs.tsv.gz"
    return _by_split(path, chains, "split", SPLITS, {"set": "bernett", "organism": "human"})


def read_guo(folder: Path) -> dict[str, list[Example]]:
    """Return "train" (5,396), "test_both_new" (1,028) and "test_one_new" (4,764) pairs of yeast (Guo et al. 2008).

    Proteins are either for training or for testing, by a hash of their names: both of a training pair are the first,
    both or one of a test pair the second. The negatives come from different compartments, which is an easy cue. There
    is no validation set: cut one from the training pairs.

    Parameters
    ----------
    folder: with `yeast_guo_pairs.tsv.gz` and `yeast_guo_sequences.fa.gz`.

    Raises
    ------
    InputError: as `read_bernett`.
    """
    chains, path = read_chains(folder / "yeast_guo_sequences.fa.gz"), folder / "yeast_guo_pairs.tsv.gz"
    return _by_split(path, chains, "protein_disjoint_split", GUO_SPLITS, {"set": "guo", "organism": "yeast"})


def read_dscript_yeast(folder: Path) -> list[Example]:
    """Return the 55,000 pairs of yeast, 1 in 11 positive, that D-SCRIPT is tested on (Sledzieski et al. 2021).

    The set is for models that were trained on another species; the published training pairs are not among the tables.

    Parameters
    ----------
    folder: with `dscript_yeast_pairs.tsv.gz` and `dscript_yeast_sequences.fa.gz`.

    Raises
    ------
    InputError: as `read_bernett`.
    """
    chains, path = read_chains(folder / "dscript_yeast_sequences.fa.gz"), folder / "dscript_yeast_pairs.tsv.gz"
    meta = {"set": "dscript", "organism": "yeast"}
    return [
        Example(name, pair, np.array([one_of(row, "label", _LABEL, path=path, entry=name)]), meta=meta)
        for name, pair, row in _pairs(path, chains, ("label",))
    ]


def read_positives(folder: Path) -> dict[str, list[Example]]:
    """Return pairs that bind, to pre-train on: "pring" (39,505) and "shs27k" (7,624).

    They are from Zheng et al. 2025 and, out of STRING, from Chen et al. 2019.
    `meta` holds set and organism (yeast, arath, human); of shs27k also `interactions`, some of `INTERACTIONS` (not all
    of them are binding), and `score`, STRING's, 0-1000. All targets are 1. shs27k is human like Bernett's pairs and
    shares proteins with its test set: part them with `tasks.audit.without_shared_sequences`.

    Parameters
    ----------
    folder: with `pring_positive_pairs.tsv.gz`, `shs27k_pairs.tsv.gz`, and `pring_sequences.fa.gz`,
        `shs27k_sequences.fa.gz`.

    Raises
    ------
    InputError: as `read_bernett`.
    """
    chains, path = read_chains(folder / "pring_sequences.fa.gz"), folder / "pring_positive_pairs.tsv.gz"
    metas = {organism: {"set": "pring", "organism": organism} for organism in ("yeast", "arath")}
    pring = [
        Example(name, pair, np.ones(1), meta=one_of(row, "organism", metas, path=path, entry=name))
        for name, pair, row in _pairs(path, chains, ("organism",))
    ]
    return {"pring": pring, "shs27k": list(_shs27k(folder))}


def _shs27k(folder: Path) -> Iterator[Example]:
    chains, path = read_chains(folder / "shs27k_sequences.fa.gz"), folder / "shs27k_pairs.tsv.gz"
    for name, pair, row in _pairs(path, chains, ("interaction_types", "string_score")):
        interactions = tuple(row["interaction_types"].split("|"))
        if not set(interactions) <= set(INTERACTIONS):
            found = f"interaction_types is {row['interaction_types']!r}"
            raise InputError(str(path), name, found=found, allowed=", ".join(INTERACTIONS))
        if not row["string_score"].isdecimal():
            raise InputError(str(path), name, found=f"string_score is {row['string_score']!r}", allowed="0 to 1000")
        meta = {"set": "shs27k", "organism": "human", "interactions": interactions, "score": int(row["string_score"])}
        yield Example(name, pair, np.ones(1), meta=meta)


def _by_split(
    path: Path, chains: Mapping[str, Chain], column: str, splits: tuple[str, ...], meta: Mapping[str, str]
) -> dict[str, list[Example]]:
    """Return the labelled pairs of a table by what one of its columns says."""
    found: dict[str, list[Example]] = {name: [] for name in splits}
    for name, pair, row in _pairs(path, chains, ("label", column)):
        label = one_of(row, "label", _LABEL, path=path, entry=name)
        one_of(row, column, found, path=path, entry=name).append(Example(name, pair, np.array([label]), meta=meta))
    return found


def _pairs(
    path: Path, chains: Mapping[str, Chain], columns: tuple[str, ...]
) -> Iterator[tuple[str, tuple[Chain, Chain], dict[str, str]]]:
    """Yield name, chains and row of each pair of a table."""
    n_seen: Counter[str] = Counter()
    for row in read_rows(path, ("protein_a", "protein_b", *columns)):
        name = f"{row['protein_a']}/{row['protein_b']}"
        n_seen[name] += 1
        name = name if n_seen[name] == 1 else f"{name}#{n_seen[name]}"
        for protein in (row["protein_a"], row["protein_b"]):
            if protein not in chains:
                raise InputError(
                    str(path), name, found=f"{protein} has no sequence", hint="use the FASTA file beside it"
                )
        yield name, (chains[row["protein_a"]], chains[row["protein_b"]]), row
