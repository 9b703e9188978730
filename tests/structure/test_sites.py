"""Accessible area and interfaces, on spheres whose areas are known and on real complexes."""

from __future__ import annotations

import gzip
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tertia.structure.chain import Atoms, Chain
from tertia.structure.read import read_structure
from tertia.structure.sites import area_lost, interface_by_area, interface_by_distance
from tertia.structure.solvent import LARGEST_AREA, PROBE, accessible_area, relative_area
from tertia.structure.sources import Source
from tests.structures import make_chain


def carbons(*places: float, name: str = "A", frame: str = "f#1") -> Chain:
    """Return residues of one carbon each, along an axis."""
    n = len(places)
    coord = np.zeros((n, 3), np.float32)
    coord[:, 0] = places
    atoms = Atoms(np.full(n, "CA"), np.full(n, "C"), coord, np.arange(n, dtype=np.int32),
                  np.ones(n, np.float32), np.zeros(n, np.float32))  # fmt: skip
    return Chain("test", name, "A" * n, tuple(map(str, range(n))), np.arange(1, n + 1, dtype=np.int32), atoms, frame)


def cap(distance: float, radius: float = 1.8 + PROBE) -> float:
    """Return the area of a sphere that an equal sphere leaves free."""
    return 4 * np.pi * radius**2 - 2 * np.pi * radius * (radius - distance / 2)


def test_area_of_spheres() -> None:
    far = accessible_area(carbons(0.0, 50.0))
    assert far == pytest.approx(4 * np.pi * 3.2**2, rel=1e-6)
    near = accessible_area(carbons(0.0, 3.0))
    assert near == pytest.approx(cap(3.0), rel=0.03)


def test_a_partner_covers_what_it_touches() -> None:
    chain, partner = carbons(0.0, 50.0), carbons(4.0, name="B")
    lost = area_lost(chain, [partner])
    assert lost[0] == pytest.approx(4 * np.pi * 3.2**2 - cap(4.0), rel=0.05)
    assert lost[1] == 0.0
    assert interface_by_area(chain, [partner]).tolist() == [1.0, 0.0]
    assert interface_by_distance(chain, [partner]).tolist() == [1.0, 0.0]
    assert interface_by_distance(chain, [partner], cutoff=3.9).tolist() == [0.0, 0.0]
    assert interface_by_area(chain, []).tolist() == [0.0, 0.0]


def test_residues_without_atoms_are_unknown() -> None:
    chain = make_chain(12, seed=0, missing=(3,))
    partner = replace(make_chain(12, seed=1), frame=chain.frame, id="B")
    for values in (
        accessible_area(chain),
        interface_by_area(chain, [partner]),
        interface_by_distance(chain, [partner]),
    ):
        assert np.flatnonzero(np.isnan(values)).tolist() == [3]
    assert np.isnan(accessible_area(replace(chain, atoms=None))).all()


@pytest.mark.parametrize("function", [area_lost, interface_by_distance])
def test_other_frames_are_refused(function) -> None:
    with pytest.raises(ValueError, match="frames"):
        function(carbons(0.0), [carbons(4.0, frame="other#1")])


def test_relative_area_is_a_share() -> None:
    area = np.array([LARGEST_AREA["A"] / 2, 500.0, 10.0])
    assert relative_area(area, "AGX")[:2].tolist() == [0.5, 1.0]
    assert np.isnan(relative_area(area, "AGX")[2])


def test_published_accessibility(shared_data: Path) -> None:
    """Relative accessibility that GraphPPIS took from DSSP, on chains that the corpus has as well."""
    found, published = [], []
    table = accessibility_table(shared_data / "ppi_sites" / "graphppis" / "Train_335_residues.tsv.gz")
    for chain in corpus_chains(shared_data / "structures", set(table)):
        sequence, values = table[chain.entry + chain.id]
        if sequence == chain.sequence and chain.seen.all():
            found.append(relative_area(accessible_area(chain), chain.sequence))
            published.append(values)
    ours, theirs = np.concatenate(found), np.concatenate(published)
    known = np.isfinite(ours)
    assert known.sum() > 200
    assert np.corrcoef(ours[known], theirs[known])[0, 1] > 0.97


def test_published_interfaces(shared_data: Path, name: str = "1acbI") -> None:
    """The labels of Dset_186 are exactly what the loss of area gives on the complex."""
    lines = (shared_data / "ppi_sites" / "graphppis" / "Train_335.fa").read_text().splitlines()
    place = lines.index(f">{name}")
    with tarfile.open(sorted((shared_data / "structures").glob("*.tar.xz"))[0]) as tar:
        chains = read_structure(Source(name, packed=tar.extractfile(f"{name[:4]}.pdb").read())).chains
    (chain,) = [chain for chain in chains if chain.id == name[4:]]
    found = interface_by_area(chain, [other for other in chains if other is not chain])[chain.seen]
    assert "".join(np.array(list(chain.sequence))[chain.seen]) == lines[place + 1]
    assert "".join(str(int(value)) for value in found) == lines[place + 2]


def accessibility_table(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    rows: dict[str, list[list[str]]] = {}
    with gzip.open(path, "rt") as file:
        for line in list(file)[1:]:
            cells = line.split("\t")
            rows.setdefault(cells[0], []).append(cells)
    return {
        name: ("".join(row[2] for row in cells), np.array([float(row[9]) for row in cells]))
        for name, cells in rows.items()
    }


def corpus_chains(folder: Path, wanted: set[str], most: int = 6) -> list[Chain]:
    chains: list[Chain] = []
    with tarfile.open(sorted(folder.glob("*.tar.xz"))[0]) as tar:
        for member in tar:
            stem = member.name.removesuffix(".pdb")
            if any(stem[:4] == name[:4] for name in wanted) and member.name.endswith(".pdb"):
                content = tar.extractfile(member).read()
                chains += [c for c in read_structure(Source(member.name, packed=content)).chains
                           if c.entry + c.id in wanted]  # fmt: skip
            if len(chains) >= most:
                break
    return chains
