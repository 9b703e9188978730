"""Tiny benchmarks on disk, made of generated chains, in the layouts that `tasks/*/tables.py` read.

    folder = write_quality(tmp_path)  # models of made proteins with their true quality
    folder = write_sites(tmp_path)  # chains with interaction sites: deepppisp/ and graphppis/
"""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tertia.structure.chain import Chain
from tertia.structure.quality import global_quality, lddt
from tertia.structure.write_pdb import pdb_text
from tertia.tasks.interface.tables import GRAPHPPIS_SETS, SECONDARY
from tests.structures import make_chain

N_TARGETS, N_MODELS, N_PROTEINS = 8, 2, 10
SPLIT_OF_TARGET = ("train", "train", "valid", "test") * (N_TARGETS // 4)
BLURS = (0.4, 2.5)  # Angstrom, of the models of a target: one good, one bad
STICKY = "FILMVWY"
"""Letters that are sites, so that there is something to learn."""
LETTERS_OF_PSSM, LETTERS_OF_HMM = "ARNDCQEGHILKMFPSTWYV", "ACDEFGHIKLMNPQRSTVWY"


# ---------------------------------------------------------------- quality
def write_quality(folder: Path) -> Path:
    """Write `N_TARGETS` proteins of 30 to 58 residues with `N_MODELS` models each, half of them of a second set."""
    targets, scores, residues, members = [], [], [], {}
    for k in range(N_TARGETS):
        source, name = ("casp_made" if k < N_TARGETS // 2 else "other_made"), f"T{k:02d}"
        native = make_chain(30 + 4 * k, seed=k, entry=f"native{k}", missing=(5,) if k % 2 else ())
        members[f"natives/n{k}.pdb"] = native
        for number in range(N_MODELS):
            made, where = blurred(native, BLURS[number], seed=100 * k + number), {"set": source, "target": name}
            where |= {"native": f"n{k}", "decoy": f"m{number}"}
            members[f"decoys/{source}/{name}/m{number}.pdb"] = made
            scores.append(where | _scores(native, made))
            residues.append(where | _residues(native, made))
        targets.append({"set": source, "target": name, "natives": f"n{k}", "cluster": f"c{k}",
                        "split": SPLIT_OF_TARGET[k], "sequence": native.sequence})  # fmt: skip
    _write(folder / "targets.tsv", targets)
    _write(folder / "decoy_scores.tsv.gz", scores)
    _write(folder / "per_residue_lddt.tsv.gz", residues)
    with tarfile.open(folder / "structures.tar.gz", "w:gz") as tar:
        for path, chain in members.items():
            text = pdb_text(chain).encode()
            member = tarfile.TarInfo(path)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return folder


def blurred(chain: Chain, size: float, *, seed: int) -> Chain:
    """Return the chain, complete, with every residue moved by normal noise that grows along the sequence."""
    whole = make_chain(len(chain), seed=int(chain.entry.removeprefix("native") or 0), sequence=chain.sequence)
    moves = np.random.default_rng(seed).normal(0.0, size, (len(chain), 3)) * np.linspace(0.2, 1.8, len(chain))[:, None]
    atoms = replace(whole.atoms, coord=(whole.atoms.coord + moves[whole.atoms.residue_of_atom]).astype(np.float32))
    return replace(whole, atoms=atoms)


def _scores(native: Chain, made: Chain) -> dict[str, str]:
    found = global_quality(native.alpha, made.alpha)
    columns = {"gdt_ts": found.gdt_ts, "gdt_ha": found.gdt_ha, "tm_score": found.tm_score, "lddt_ca": found.lddt}
    return {name: f"{value:.4f}" for name, value in columns.items()}


def _residues(native: Chain, made: Chain) -> dict[str, str]:
    values = lddt(native.alpha, made.alpha).residue
    return {"decoy_sequence": made.sequence, "lddt_ca_per_decoy_residue": ",".join(f"{v:.3f}" for v in values)}


# ---------------------------------------------------------------- interaction sites
def write_sites(folder: Path) -> Path:
    """Write `N_PROTEINS` of every set of GraphPPIS, and as many to train on and to test of DeepPPISP.

    Half of the proteins of DeepPPISP have a twin with coordinates in GraphPPIS; the first of both splits has rows of
    DSSP that do not fit its sequence.
    """
    (folder / "graphppis").mkdir(parents=True)
    (folder / "deepppisp").mkdir()
    twins = {}
    for number, name in enumerate(GRAPHPPIS_SETS):
        chains = [_site_chain(100 * number + k) for k in range(N_PROTEINS)]
        rows = [row for chain in chains for row in _graphppis_rows(chain)]
        _write(folder / "graphppis" / f"{name}_residues.tsv.gz", rows)
        twins[name] = chains
    proteins, residues = [], []
    for split, source in (("train", "Train_335"), ("test", "Test_60")):
        for k, chain in enumerate(twins[source]):
            index = len(proteins)
            proteins.append({
                "index": index, "dataset": "made", "protein_id": f"{split}{k}", "pdb_id": chain.entry, "chain": "A",
                "length": len(chain), "split": split, "dssp_rows": len(chain) - (k == 0),
                "graphppis_id": chain.key.replace("_", "") if k % 2 else "",
            })  # fmt: skip
            residues += _deepppisp_rows(chain, index, f"{split}{k}")
    _write(folder / "deepppisp" / "proteins.tsv", proteins)
    _write(folder / "deepppisp" / "residues.tsv.gz", residues)
    return folder


def _site_chain(seed: int) -> Chain:
    return make_chain(30 + seed % 10 * 3, seed=seed, entry=f"{seed:04d}", missing=(7,) if seed % 3 else ())


def sites_of(sequence: str) -> list[int]:
    """Return (L,) the label of every residue."""
    return [int(letter in STICKY) for letter in sequence]


def _graphppis_rows(chain: Chain) -> Iterable[dict[str, object]]:
    rng, length = np.random.default_rng(int(chain.entry)), len(chain)
    torsion = rng.uniform(-180, 180, (length, 2)).round(1).tolist()
    accessibility, state = rng.random(length).round(3).tolist(), rng.integers(len(SECONDARY) + 1, size=length).tolist()
    pssm = rng.integers(-6, 10, (length, 20)).tolist()
    hmm = np.where(rng.random((length, 20)) < 0.3, 9999, rng.integers(0, 8000, (length, 20))).tolist()
    alpha, sites = chain.alpha.round(2).tolist(), sites_of(chain.sequence)
    for k, letter in enumerate(chain.sequence):
        row = {"chain_id": f"{chain.entry}{chain.id}", "pos": k + 1, "aa": letter, "label": sites[k]}
        row |= {f"ca_{axis}": "NA" if value != value else value for axis, value in zip("xyz", alpha[k], strict=True)}
        row |= {"phi": torsion[k][0], "psi": torsion[k][1], "rasa": accessibility[k], "ss": f"{SECONDARY}?"[state[k]]}
        row |= {f"pssm_{one}": value for one, value in zip(LETTERS_OF_PSSM, pssm[k], strict=True)}
        yield row | {f"hmm_{one}": value for one, value in zip(LETTERS_OF_HMM, hmm[k], strict=True)}


def _deepppisp_rows(chain: Chain, index: int, name: str) -> Iterable[dict[str, object]]:
    rng, length = np.random.default_rng(1000 + index), len(chain)
    states = [["NA"] * 9, *np.eye(9, dtype=int)[rng.integers(9, size=length - 1)].tolist()]
    pssm, sites = rng.integers(-6, 10, (length, 20)).tolist(), sites_of(chain.sequence)
    for k, letter in enumerate(chain.sequence):
        row = {"index": index, "protein_id": name, "pos": k + 1, "aa": letter, "label": sites[k]}
        row |= {f"dssp_{one}": value for one, value in enumerate(states[k])}
        yield row | {f"pssm_{one}": value for one, value in zip(LETTERS_OF_PSSM, pssm[k], strict=True)}


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
