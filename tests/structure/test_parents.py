"""The table of modified residues is the chemical component dictionary's."""

from __future__ import annotations

import pytest

from tertia.residues import LETTER_OF_NAME, NAME_OF_LETTER
from tertia.structure.parents import LETTER_OF_COMPONENT


def test_the_table_equals_the_dictionary():
    info = pytest.importorskip("biotite.structure.info")
    components = info.get_ccd()["chem_comp"]
    keys = ("id", "mon_nstd_parent_comp_id", "type", "one_letter_code")
    columns = [components[key].as_array(str).tolist() for key in keys]
    expected = dict(LETTER_OF_NAME)
    for name, parent, kind, letter in zip(*columns, strict=True):
        kind = kind.upper()
        if "PEPTIDE" in kind and kind != "PEPTIDE-LIKE" and name not in LETTER_OF_NAME:
            of_d = letter if kind.startswith("D-") and letter in NAME_OF_LETTER and "," not in parent else "X"
            expected[name] = LETTER_OF_NAME.get(parent, of_d)
    common = expected.keys() & LETTER_OF_COMPONENT.keys()
    # Another release of the dictionary may know more components; it must not contradict.
    assert {name: expected[name] for name in common} == {name: LETTER_OF_COMPONENT[name] for name in common}
    assert len(common) > 0.9 * len(expected)
