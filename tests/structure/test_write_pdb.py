"""The PDB writer: read back, it is the same chain; what the format cannot hold is refused or remarked on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.structure.chain import Chain
from tertia.structure.read import read_structure
from tertia.structure.sources import Source
from tertia.structure.write_pdb import pdb_text
from tests.structures import make_chain


def read_back(text: str) -> Chain:
    (chain,) = read_structure(Source("made.pdb", packed=text.encode())).chains
    return chain


def test_a_chain_read_back_is_the_same() -> None:
    chain = make_chain(
        40, seed=3, entry="made", missing=[11, 12], sequence="ACDEFGHIKLMNPQRSTVWYXACDEFGHIKLMNPQRSTVWYW"[:40]
    )
    back = read_back(pdb_text(chain))
    assert (back.sequence, back.id, back.key) == (chain.sequence, chain.id, chain.key)
    assert [one for one, seen in zip(back.residue_id, back.seen, strict=True) if seen] == [
        one for one, seen in zip(chain.residue_id, chain.seen, strict=True) if seen
    ]
    assert back.atoms.name.tolist() == chain.atoms.name.tolist()
    assert back.atoms.element.tolist() == chain.atoms.element.tolist()
    assert back.atoms.residue_of_atom.tolist() == chain.atoms.residue_of_atom.tolist()
    np.testing.assert_allclose(back.atoms.coord, chain.atoms.coord, atol=0.00051)


def test_scores_go_into_the_b_factor_column() -> None:
    chain = make_chain(12, seed=1)
    score = np.linspace(0.0, 99.0, 12)
    score[4] = np.nan
    back = read_back(pdb_text(chain, b_factor=score))
    expected = np.nan_to_num(score, nan=0.0)[back.atoms.residue_of_atom]
    np.testing.assert_allclose(back.atoms.b_factor, expected, atol=0.0051)


def test_author_numbers_with_insertion_codes_stay() -> None:
    ids = ("-2", "-1", "1", "1A", "1B", *map(str, range(2, 17)))
    chain = replace(make_chain(20, seed=2), residue_id=ids)
    assert read_back(pdb_text(chain)).residue_id == ids


@pytest.mark.parametrize("ids", [("x7", *map(str, range(2, 13))), ("5", "5", *map(str, range(6, 16)))], ids=str)
def test_numbers_that_do_not_fit_are_counted_anew_and_remarked_on(ids: tuple[str, ...]) -> None:
    text = pdb_text(replace(make_chain(12, seed=2), residue_id=ids))
    assert "REMARK   1 residues are numbered along the full sequence" in text
    assert read_back(text).residue_id == tuple(map(str, range(1, 13)))


def test_a_long_chain_name_is_remarked_on() -> None:
    text = pdb_text(replace(make_chain(12), id="AB-2"))
    assert "REMARK   1 chain AB-2 is written as A" in text
    assert read_back(text).id == "A"


def test_every_row_has_its_columns() -> None:
    for line in pdb_text(make_chain(30), remarks=("a remark é " + 90 * "x",)).splitlines():
        assert len(line) <= 80 and line.isascii()
        if line.startswith("ATOM"):
            assert len(line) == 78 and line[12] == " " and line[76:78].strip() == line[13]


def test_what_columns_cannot_hold_is_refused() -> None:
    chain = make_chain(12)
    far = replace(chain, atoms=replace(chain.atoms, coord=chain.atoms.coord + np.float32(99999.0)))
    with pytest.raises(InputError, match="coordinate"):
        pdb_text(far)
    with pytest.raises(InputError, match="B-factor"):
        pdb_text(chain, b_factor=np.full(12, 1000.0))
    with pytest.raises(InputError, match="no atoms"):
        pdb_text(replace(chain, atoms=None))
    with pytest.raises(ValueError, match="3 values for 12 residues"):
        pdb_text(chain, b_factor=np.zeros(3))
    many = replace(chain, residue_id=("",) * 12, label_number=np.arange(9995, 10007, dtype=np.int32))
    with pytest.raises(InputError, match="cannot number"):
        pdb_text(many)
