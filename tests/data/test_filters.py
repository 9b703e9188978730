"""Each filter refuses what breaks it and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tertia.data.filters import Filters, bond_lengths
from tertia.errors import InputError
from tests.structures import make_chain


def chain(n: int = 60, **changes):
    made = make_chain(n, 1, missing=changes.pop("missing", ()), sequence=changes.pop("sequence", None))
    return replace(made, **changes)


def shifted(n: int, broken: int):
    """Return a chain whose last residues lie 5 Angstrom off after each of the first `broken` positions."""
    made = make_chain(n, 1)
    offset = np.minimum(made.atoms.residue_of_atom, broken)[:, None] * np.array([[50.0, 0, 0]], np.float32)
    return replace(made, atoms=replace(made.atoms, coord=made.atoms.coord + offset))


@pytest.mark.parametrize(
    ("made", "limits", "rule"),
    [
        (chain(60), {}, None),
        (chain(19), {}, "min_length"),
        (chain(25, missing=range(6)), {}, "min_length"),
        (chain(19), {"min_length": 5}, None),
        (chain(60), {"max_length": 59}, "max_length"),
        (chain(60, missing=range(10, 28)), {}, None),
        (chain(60, missing=range(10, 29)), {}, "max_missing_fraction"),
        (chain(60, sequence="X" * 31 + "A" * 29), {}, "max_unknown_fraction"),
        (chain(60, sequence="X" * 30 + "A" * 30), {}, None),
        (chain(60, meta={"resolution": 9.5}), {}, "max_resolution"),
        (chain(60, meta={"resolution": 2.5}), {"max_resolution": 2.0}, "max_resolution"),
        (chain(60, meta={"resolution": None}), {"max_resolution": 2.0}, None),
        (chain(60, meta={"method": "X-RAY DIFFRACTION"}), {"methods": ["x-ray"]}, None),
        (chain(60, meta={"method": "SOLUTION NMR"}), {"methods": ["x-ray", "electron"]}, "methods"),
        (chain(60), {"methods": "x-ray"}, "methods"),
        (shifted(61, 3), {}, None),
        (shifted(61, 4), {}, "ca_distance"),
        (shifted(61, 4), {"max_odd_bonds": 0.5}, None),
        (shifted(61, 4), {"ca_distance": (2.8, 100.0)}, None),
        (chain(60, atoms=None), {}, None),  # a mere sequence
        (chain(19, atoms=None), {}, "min_length"),
        (chain(60, atoms=None), {"max_length": 59}, "max_length"),
    ],
)
def test_the_first_broken_rule_is_named(made, limits, rule):
    refusal = Filters(**limits).refusal(made)
    assert (refusal and refusal[0]) == rule


def test_bonds_are_between_neighbours_in_sequence_only():
    made = make_chain(30, 2, missing=[4, 5])
    lengths = bond_lengths(made)
    assert len(lengths) == 29 - 3
    np.testing.assert_allclose(lengths, 3.8, atol=0.06)
    jump = replace(made, label_number=np.concatenate([np.arange(1, 16), np.arange(40, 55)]).astype(np.int32))
    assert len(bond_lengths(jump)) == 29 - 3 - 1


@pytest.mark.parametrize("limits", [{"min_length": 50, "max_length": 40}, {"ca_distance": (4, 3)}, {"min_length": 0}])
def test_impossible_limits_are_refused(limits):
    with pytest.raises(InputError):
        Filters(**limits)
