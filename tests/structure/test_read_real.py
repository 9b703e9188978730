"""Real files, read a second time by a few lines of fixed-column Python: the same residues, letters and places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tertia.structure.parents import LETTER_OF_COMPONENT
from tertia.structure.read import read_structure
from tertia.structure.sources import Source, open_sources

N_FILES = 40


@pytest.fixture(scope="module")
def sources(shared_data: Path) -> list[Source]:
    """Every fifth member of one archive, the first of them PDB files without a header and whole entries mixed."""
    archive = shared_data / "structures" / "structures-002.tar.xz"
    chosen = []
    for k, source in enumerate(open_sources([str(archive)])):
        if k % 5 == 0 and source.name.endswith(".pdb"):
            chosen.append(source)
        if len(chosen) == N_FILES:
            break
    return chosen


def by_columns(text: str) -> dict[tuple[str, str], tuple[str, list[float]]]:
    """C-alpha atoms of the ATOM records of the first model: (chain, residue id) -> letter, best conformer's place."""
    found: dict = {}
    for line in text.split("\n"):
        if line.startswith("ENDMDL"):
            break
        if line.startswith("ATOM") and line[12:16] == " CA " and line[76:78].strip() in ("C", ""):
            key = (line[21].strip() or "_", line[22:27].strip())
            occupancy = float(line[54:60])
            if key not in found or occupancy > found[key][0]:
                place = [float(line[a : a + 8]) for a in (30, 38, 46)]
                found[key] = (occupancy, LETTER_OF_COMPONENT[line[17:20].strip()], place)
    return {key: (letter, place) for key, (_, letter, place) in found.items()}


def test_residues_letters_and_places_equal_a_second_reading(sources):
    n_compared = n_conformers = 0
    for source in sources:
        structure = read_structure(source)
        ours = {
            (chain.id, residue): (letter, place)
            for chain in structure.chains
            for residue, letter, place in zip(chain.residue_id, chain.sequence, chain.alpha, strict=True)
            if residue
        }
        for key, (letter, place) in by_columns(source.read().decode("latin1")).items():
            assert ours[key][0] == letter, (source.name, key)
            if np.allclose(ours[key][1], place, atol=1e-3):
                n_compared += 1
            else:
                n_conformers += 1  # a whole conformer is chosen by its mean occupancy, here it is the atom's own
    assert n_compared > 5000
    assert n_conformers < 0.002 * n_compared


def test_full_sequences_of_entries_hold_the_observed_residues_in_register(sources):
    n_with_gaps = 0
    for source in sources:
        for report in read_structure(source).report.chains:
            assert report.n_residues == report.n_with_coordinates + sum(gap.n_missing for gap in report.gaps) + sum(
                change["kind"] == "no_alpha" for change in report.changes
            )
            n_with_gaps += bool(report.gaps)
    assert n_with_gaps > 5
