"""Tiny benchmarks of sequence tasks on disk, in the layouts that `tasks/*/tables.py` read; there is something to learn.

folder = write_sequence_benchmarks(tmp_path)  # protein_pairs, tcr_epitope, localization, ...
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from tertia.models import FAMILIES
from tertia.residues import LETTERS
from tertia.tasks.localisation.tables import PLACES
from tertia.training import checkpoint

N_PAIRED, N_PLACED, N_DOMAINS, N_CHAINS = 24, 60, 60, 30
FOLDER = {"pair_binding": "protein_pairs", "tcr_epitope": "tcr_epitope", "localisation": "localization",
          "homology": "remote_homology", "secondary_structure": "secondary_structure"}  # fmt: skip
"""Of each task, as the shared data name it."""
HELIX, STRAND = "AEKLMQR", "FITVWY"
"""Letters that say the state of their residue."""


def made(generator: np.random.Generator, length: int, favourites: str = "") -> str:
    """Return a random sequence; half of the letters are favourites, if there are any."""
    letters = generator.choice(list(LETTERS), length)
    chosen = generator.random(length) < 0.5
    return "".join(np.where(chosen, generator.choice(list(favourites), length), letters) if favourites else letters)


def write_sequence_benchmarks(folder: Path) -> Path:
    """Write a folder for each task and return the folder above them."""
    generator = np.random.default_rng(7)
    for name in FOLDER.values():
        (folder / name).mkdir(parents=True)
    _pairs(folder / "protein_pairs", generator)
    _receptors(folder / "tcr_epitope", generator)
    _places(folder / "localization", generator)
    _folds(folder / "remote_homology", generator)
    _states(folder / "secondary_structure", generator)
    return folder


def write_table(path: Path, header: str, rows: Iterable[Iterable[object]]) -> None:
    """Write a tab-separated table."""
    lines = [header.split(), *rows]
    with gzip.open(path, "wt") as file:
        file.write("".join("\t".join(map(str, row)) + "\n" for row in lines))


def _fasta(path: Path, sequences: dict[str, str]) -> None:
    with gzip.open(path, "wt") as file:
        file.write("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()))


def _pairs(folder: Path, generator: np.random.Generator) -> None:
    """Proteins of one kind bind each other, those of two kinds do not."""
    kinds = ("KRH", "DEN")
    for name, columns, splits in (
        ("bernett", "split", ("train", "valid", "test")),
        ("yeast_guo", "protein_disjoint_split", ("train", "test_both_new", "test_one_new")),
        ("dscript_yeast", "", ("",)),
    ):
        proteins, rows = {}, []
        for split in splits:
            kind_of = {f"{split}{k}": k % 2 for k in range(N_PAIRED)}
            proteins |= {one: made(generator, 20 + k, kinds[kind_of[one]]) for k, one in enumerate(kind_of)}
            for _ in range(4 * N_PAIRED):
                one, two = generator.choice(list(kind_of), 2, replace=False)
                row = [one, two, int(kind_of[one] == kind_of[two])]
                rows.append([*row, split] if columns else row)
        write_table(folder / f"{name}_pairs.tsv.gz", f"protein_a protein_b label {columns}", rows)
        _fasta(folder / f"{name}_sequences.fa.gz", proteins)


def _receptors(folder: Path, generator: np.random.Generator) -> None:
    """Twenty peptides, two of each fold of the strict split; half of the pairs with a fold of the other one bind."""
    peptides = [made(generator, 9) for _ in range(20)]
    rows, whole = [], []
    for k in range(200):
        strict, bound = k % 10, k % 3 > 0
        peptide = 2 * strict + k // 10 % 2
        loop = "CASS" + made(generator, 6, "KRH" if bound else "DEN") + "F"
        rows.append([k, peptide, loop, peptides[peptide], int(bound), "made", k // 20, strict if bound else "NA"])
        whole.append([k, loop, "MKTAYIAK" + loop])
    write_table(
        folder / "titan_pairs.tsv.gz",
        "tcr_id epitope_id cdr3b epitope label source tcr_split_test_fold strict_split_test_fold", rows,
    )  # fmt: skip
    write_table(folder / "titan_tcr_full_beta.tsv.gz", "tcr_id cdr3b full_variable_beta", whole)


def _places(folder: Path, generator: np.random.Generator) -> None:
    rows = []
    for split, number in (("train", N_PLACED), ("val", 20), ("test", 20), ("setHARD", 10)):
        for k in range(number):
            place = k % 3
            sequence = made(generator, 25 + k, ("KRH", "DEN", "FLI")[place])
            membrane = "" if split == "train" else "MS"[k % 2] if split != "setHARD" else "U"
            row = [f"{split}{k}", split, PLACES[place], membrane, "made", len(sequence), sequence]
            rows.append(row)
    rows.append(["twice", "train", PLACES[0], "", "made", *rows[N_PLACED][5:]])  # the first of validation
    write_table(folder / "deeploc1.tsv.gz", "accession split label membrane sequence_source length sequence", rows)


def _folds(folder: Path, generator: np.random.Generator) -> None:
    rows = []
    for split, number in (("train", N_DOMAINS), ("valid", 12), ("test_fold", 12)):
        for k in range(number):
            fold = (3, 700, 1194)[k % 3]
            sequence = made(generator, 20 + k, ("KRH", "DEN", "FLI")[k % 3])
            rows.append([split, fold, "a.1", len(sequence), sequence])
    write_table(folder / "tape_fold.tsv.gz", "split label fold length sequence", rows)


def states_of(sequence: str) -> str:
    """Return the state of each residue as its letter says."""
    return "".join("H" if one in HELIX else "E" if one in STRAND else "C" for one in sequence)


def _states(folder: Path, generator: np.random.Generator) -> None:
    rows = []
    for split, number in (("train", N_CHAINS), ("val", 6), ("test_newpisces", 6)):
        for k in range(number):
            sequence = made(generator, 20 + k)
            mask = "0" + "1" * (len(sequence) - 1)
            rows.append([f"{split}{k}", split, len(sequence), sequence, states_of(sequence), mask])
    write_table(folder / "netsurfp2_3state.tsv.gz", "id split length sequence ss3 resolved_mask", rows)
    known = rows[0][3]  # a training protein that CB513 has too
    sequences = [known, *(made(generator, 22 + k) for k in range(5))]
    cb513 = [[f"cb{k}", len(s), s, states_of(s), "1" * len(s)] for k, s in enumerate([*sequences, sequences[1]])]
    write_table(folder / "cb513_3state.tsv.gz", "id length sequence ss3 observed_mask", cb513)
    casp = [[f"T{k}", len(s), s, states_of(s), states_of(s), "1" * len(s)]
            for k, s in enumerate(made(generator, 24 + k) for k in range(5))]  # fmt: skip
    write_table(folder / "casp12_8state.tsv.gz", "id length sequence ss8 ss3 observed_mask", casp)


def write_language_model(folder: Path, *, seed: int = 0) -> Path:
    """Write a checkpoint of a language model with random weights and return its folder."""
    family = FAMILIES["pairlm"](width=16, n_layers=1, n_heads=2)
    torch.manual_seed(seed)
    checkpoint.save(folder, family, family.network().eval(), recipe="", meta={})
    return folder
