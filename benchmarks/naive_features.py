"""The straightforward way to features of a model, for comparison: Biopython's objects, NumPy, and loops over residues.

The same edges as `tertia.nn.residue_graph`, so that it is also a second implementation, and features of the same kind:
half-sphere exposure, torsion and angle of C-alphas, and for each edge the distance and the cosines of the side-chain
directions. It goes without secondary structure, which Biopython leaves to an outside program.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

CUTOFF = 12.0
REACH = 5
EXPOSURE_RADIUS = 13.0
SEPARATIONS = (1, 2, 3, 4, 5, 10, 15)


def read_naive(path: str) -> Any:
    """Return the first model."""
    from Bio.PDB import PDBParser

    return PDBParser(QUIET=True).get_structure("x", path)[0]


def naive_features(model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features of residues (L, 6), pairs (E, 2) of source and sink, and features of these (E, 5)."""
    from Bio.PDB.Polypeptide import is_aa

    residues = [residue for residue in model.get_residues() if is_aa(residue) and "CA" in residue]
    coord = np.array([residue["CA"].coord for residue in residues])
    distance = np.sqrt(((coord[:, None] - coord[None]) ** 2).sum(-1))
    pairs = naive_pairs(residues)
    direction = naive_directions(coord)
    edge = []
    for source, sink in pairs:
        towards = (coord[sink] - coord[source]) / max(distance[source, sink], 1e-6)
        kind = next((k for k, end in enumerate(SEPARATIONS) if abs(source - sink) <= end), len(SEPARATIONS))
        edge.append([
            distance[source, sink] / 10.0, np.dot(direction[source], towards), -np.dot(direction[sink], towards),
            np.dot(direction[source], direction[sink]), kind,
        ])  # fmt: skip
    return naive_residues(model, residues), np.array(pairs), np.array(edge)


def naive_pairs(residues: list[Any]) -> list[tuple[int, int]]:
    """Return the pairs of residues that are near in space or in sequence, in both directions, in order."""
    from Bio.PDB import NeighborSearch

    atoms = [residue["CA"] for residue in residues]
    place = {id(atom): k for k, atom in enumerate(atoms)}
    found = set()
    for one, two in NeighborSearch(atoms).search_all(CUTOFF):
        found |= {(place[id(one)], place[id(two)]), (place[id(two)], place[id(one)])}
    for k in range(len(residues)):
        for other in range(max(0, k - REACH), min(len(residues), k + REACH + 1)):
            if other != k:
                found.add((k, other))
    return sorted(found)


def naive_residues(model: Any, residues: list[Any]) -> np.ndarray:
    """Return exposure on both sides, cosine and sine of the torsion, the angle, and the place in the chain."""
    from Bio.PDB import CaPPBuilder, HSExposureCA

    exposure = HSExposureCA(model, radius=EXPOSURE_RADIUS)
    torsion, angle = {}, {}
    for peptide in CaPPBuilder().build_peptides(model):
        for k, value in enumerate(peptide.get_tau_list()):
            torsion[peptide[k + 1].get_full_id()] = value
        for k, value in enumerate(peptide.get_theta_list()):
            angle[peptide[k + 1].get_full_id()] = value
    rows = []
    for k, residue in enumerate(residues):
        name = residue.get_full_id()
        key = (name[2], name[3])
        up, down = exposure[key][:2] if key in exposure else (0, 0)
        turn = torsion.get(name)
        bend = angle.get(name)
        rows.append([
            up / 20.0, down / 20.0, math.cos(turn) if turn is not None else 0.0,
            math.sin(turn) if turn is not None else 0.0, math.cos(bend) if bend is not None else 0.0, k / len(residues),
        ])  # fmt: skip
    return np.array(rows)


def naive_directions(coord: np.ndarray) -> list[np.ndarray]:
    """Return the direction of each side chain from three C-alphas, as Hamelryck (2005) has it; 0 at the ends."""
    out = [np.zeros(3) for _ in coord]
    for k in range(1, len(coord) - 1):
        before, after = coord[k] - coord[k - 1], coord[k] - coord[k + 1]
        outwards = before / np.linalg.norm(before) + after / np.linalg.norm(after)
        out[k] = outwards / max(np.linalg.norm(outwards), 1e-6)
    return out
