"""How well a simple classifier tells decoys from models that structure prediction made, by local geometry alone."""

from __future__ import annotations

import csv
import tarfile
import zlib
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest

from tertia.structure.chain import Chain
from tertia.structure.decoys import GENERATORS, make_decoys
from tertia.structure.geometry import dihedrals, distance_map
from tertia.structure.read import read_structure
from tertia.structure.sources import Source

LONGEST = 140
"""Residues; longer targets would only cost time."""
N_MODELS = 5
"""Models of each target, so that no target has most of them."""
AIMS = (0.5, 0.65, 0.8)
SETS = ("af_cluster", "cfrandom_hits", "alphafold2_misc", "casp14_alphafold2")
HIGHEST_AUROC = {"torsion": 0.91, "elastic": 0.92, "register": 0.98, "template": 0.94, "fragment": 0.95, "hinge": 0.98}
"""Some 0.02-0.08 above what was measured; natives, refined against diffraction data, are told from models at 0.96."""


def features(alpha: np.ndarray) -> np.ndarray:
    """Return bond lengths, histograms of angles and dihedrals of C-alphas, and of neighbours within 10 and 6.5 A."""
    step = np.diff(alpha.astype(np.float64), axis=0)
    length = np.linalg.norm(step, axis=1)
    bonded = length < 4.5
    bond = np.clip(length[bonded], 3.5, 4.1)
    along = step / length[:, None]
    angle = np.degrees(np.arccos(np.clip(-np.einsum("ld,ld->l", along[:-1], along[1:]), -1, 1)))
    turn = np.degrees(dihedrals(alpha.astype(np.float64)))
    distance = distance_map(alpha.astype(np.float64))
    parts = [
        np.array([np.median(np.abs(bond - np.median(bond))), bond.std()]),
        shares(angle[bonded[:-1] & bonded[1:]], [70, 85, 90, 95, 105, 115, 125, 135, 150, 170]),
        shares(turn[bonded[:-2] & bonded[1:-1] & bonded[2:]], np.arange(-180, 181, 30)),
        shares((distance < 10.0).sum(axis=1) - 1, [0, 6, 10, 14, 18, 22, 26, 30, 50]),
        shares((distance < 6.5).sum(axis=1) - 1, [0, 2, 3, 4, 5, 6, 8, 20]),
    ]
    return np.concatenate(parts)


def shares(values: np.ndarray, edges: np.ndarray | list[int]) -> np.ndarray:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(len(values), 1)


def cross_validated_auroc(rows: np.ndarray, made: np.ndarray, target: list[str], n_folds: int = 6) -> float:
    """Return the AUROC of logistic regression; all rows of one target are in one fold."""
    names = sorted(set(target))
    fold = np.array([names.index(name) % n_folds for name in target])
    score = np.zeros(len(made))
    for k in range(n_folds):
        train = fold != k
        centre, spread = rows[train].mean(axis=0), rows[train].std(axis=0) + 1e-6
        scaled = np.concatenate([(rows - centre) / spread, np.ones((len(rows), 1))], axis=1)
        score[~train] = scaled[~train] @ logistic(scaled[train], made[train].astype(float))
    return auroc(score, made)


def logistic(rows: np.ndarray, made: np.ndarray, penalty: float = 3.0) -> np.ndarray:
    """Fit by Newton's method, both classes of equal weight."""
    weight = np.zeros(rows.shape[1])
    share = np.where(made > 0, 0.5 / made.mean(), 0.5 / (1.0 - made.mean()))
    for _ in range(25):
        chance = 1.0 / (1.0 + np.exp(-np.clip(rows @ weight, -30, 30)))
        slope = rows.T @ (share * (chance - made)) + penalty * weight
        curve = (rows.T * (share * chance * (1.0 - chance))) @ rows + penalty * np.eye(len(weight))
        weight -= np.linalg.solve(curve, slope)
    return weight


def auroc(score: np.ndarray, made: np.ndarray) -> float:
    above = score[made][:, None] - score[~made][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def test_auroc_by_hand() -> None:
    made = np.array([True, True, False, False])
    assert auroc(np.array([3.0, 1.0, 2.0, 0.0]), made) == 0.75
    assert auroc(np.zeros(4), made) == 0.5


def test_the_classifier_sees_what_is_wrong(generator: np.random.Generator) -> None:
    rows = generator.standard_normal((60, 4))
    made = np.arange(60) % 2 == 0
    target = [str(k // 4) for k in range(60)]
    assert cross_validated_auroc(rows, made, target) < 0.75
    rows[made, 2] += 4.0
    assert cross_validated_auroc(rows, made, target) > 0.95


@pytest.fixture(scope="module")
def models_and_natives(shared_data: Path) -> tuple[dict[str, Chain], dict[str, list[Chain]]]:
    """Return the native and some models of each short target whose models have all atoms."""
    folder = shared_data / "quality_assessment"
    with open(folder / "targets.tsv") as file:
        targets = [row for row in csv.DictReader(file, delimiter="\t") if row["set"] in SETS]
    targets = [row for row in targets if int(row["length"]) <= LONGEST]
    native_of = {row["target"]: f"natives/{row['natives'].split('|')[0]}.pdb" for row in targets}
    place_of = {f"decoys/{row['set']}/{row['target']}": row["target"] for row in targets}
    natives: dict[str, Chain] = {}
    models: dict[str, list[Chain]] = {}
    with tarfile.open(folder / "structures.tar.gz") as archive:
        for member in archive:
            target = place_of.get(member.name.rpartition("/")[0])
            wanted = member.name in native_of.values() or (target and len(models.get(target, ())) < N_MODELS)
            if not member.isfile() or not wanted:
                continue
            chain = read_structure(Source(member.name, packed=archive.extractfile(member).read())).chains[0]
            if target:
                models.setdefault(target, []).append(chain)
            else:
                natives.update({name: chain for name, path in native_of.items() if path == member.name})
    return natives, models


def common(model: Chain, native: Chain) -> np.ndarray:
    """Return the C-alphas of the model that the native has as well: what is disordered has no native."""
    blocks = SequenceMatcher(None, model.sequence, native.sequence, autojunk=False).get_matching_blocks()
    pairs = np.array([(block.a + k, block.b + k) for block in blocks for k in range(block.size)])
    seen = model.seen[pairs[:, 0]] & native.seen[pairs[:, 1]]
    return model.alpha[pairs[seen, 0]]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_decoys_are_told_from_models_hardly_better_than_natives_are(models_and_natives) -> None:
    natives, models = models_and_natives
    target = [name for name, chains in models.items() for _ in chains]
    real = np.array([features(common(chain, natives[name])) for name, chains in models.items() for chain in chains])
    names = sorted(natives)
    measured = {"natives": told(real, target, [features(natives[n].alpha[natives[n].seen]) for n in names], names)}
    reached: list[float] = []
    for kind in GENERATORS:
        rows = []
        for k, name in enumerate(names):
            others = [natives[other] for other in names if natives[other] is not natives[name]]
            generator = np.random.default_rng(zlib.crc32(f"{kind} {name}".encode()))
            (decoy,) = make_decoys(natives[name], others, n=1, generator=generator, generators=[kind],
                                   wanted=np.array([AIMS[k % len(AIMS)]]))  # fmt: skip
            rows.append(features(decoy.chain.alpha[decoy.chain.seen]))
            reached.append(abs(decoy.quality.lddt - AIMS[k % len(AIMS)]))
        measured[kind] = told(real, target, rows, names)
    text = ", ".join(f"{kind} {value:.3f}" for kind, value in measured.items())
    print(f"AUROC against {len(real)} models of {len(names)} targets: {text}; median miss {np.median(reached):.3f}")
    assert all(measured[kind] < highest for kind, highest in HIGHEST_AUROC.items()), text
    assert np.median(reached) < 0.03


def told(real: np.ndarray, target: list[str], rows: list[np.ndarray], names: list[str]) -> float:
    made = np.arange(len(real) + len(rows)) >= len(real)
    return cross_validated_auroc(np.concatenate([real, np.array(rows)]), made, target + names)
