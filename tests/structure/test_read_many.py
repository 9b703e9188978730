"""Reading many files: damage is one InputError each, order is kept, processes give what one process gives."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.structure import read as read_module
from tertia.structure.read import read_inputs, read_structure
from tertia.structure.sources import Source
from tests.structures import mmcif_text, pdb_text, polymer, with_altloc, without

PDB = pdb_text([polymer(40, seed=1), polymer(30, seed=2, chain="B")])
CIF = mmcif_text([polymer(40, seed=1), polymer(30, seed=2, chain="B")])

DAMAGED = {
    "empty": b"",
    "blank": b" \n\n",
    "zeros": b"\0" * 500,
    "random": np.random.default_rng(0).bytes(5000),
    "text": b"hello, this is a letter\n" * 20,
    "html": b"<!DOCTYPE html><html><body>404</body></html>\n",
    "fasta": b">x\nMKV\n",
    "no atoms": b"HEADER    NOTHING\nEND\n",
    "pdb cut in a line": PDB[: PDB.rindex("ATOM") + 40].encode(),
    "cif cut in a line": CIF[:-60].encode(),
    "cif cut in the tables": CIF[:900].encode(),
    "reflections": b"data_r1abcsf\nloop_\n_refln.index_h\n_refln.index_k\n1 2\n#\n",
    "dictionary": b"data_ALA\n_chem_comp.id ALA\nloop_\n_chem_comp_atom.comp_id\n_chem_comp_atom.atom_id\nALA CA\n#\n",
    "half a table": b"data_x\nloop_\n_atom_site.id\n_atom_site.Cartn_x\n1 2.0\n#\n",
    "msgpack": b"\x83\xa7encoder\xa1x\xa7version\xa10\xaadataBlocks\x90",
    "msgpack cut": b"\x83\xa7encoder\xa1x\xa7version\xa10\xaadataBlocks\x91\x82",
    "gz cut": gzip.compress(PDB.encode())[:-50],
    "gz wrong sum": gzip.compress(PDB.encode())[:-8] + b"\0" * 8,
}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_damage_is_one_clear_input_error(name):
    with pytest.raises(InputError) as caught:
        read_structure(Source(f"{name}.pdb", packed=DAMAGED[name]))
    assert caught.value.where == f"{name}.pdb"
    assert caught.value.found
    assert "\n" not in caught.value.found


@pytest.mark.parametrize("text", [PDB, CIF], ids=["pdb", "mmcif"])
def test_random_damage_never_escapes_as_another_error(text):
    rng = np.random.default_rng(7)
    whole = text.encode()
    outcomes = {"read": 0, "refused": 0}
    for _ in range(80):
        content = bytearray(whole)
        kind = rng.integers(4)
        if kind == 0:
            content = content[: rng.integers(len(content))]
        elif kind == 1:
            for at in rng.integers(len(content), size=int(rng.integers(1, 4))):
                content[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            lines = bytes(content).split(b"\n")
            content = b"\n".join([lines[k] for k in rng.permutation(len(lines))])
        else:
            at = int(rng.integers(len(content)))
            content[at : at + 200] = rng.bytes(200)
        try:
            structure = read_structure(Source("damaged", packed=bytes(content)))
            assert all(np.isfinite(chain.atoms.coord).all() for chain in structure.chains)
            outcomes["read"] += 1
        except InputError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 3  # both happen, so both are tested


def test_a_sequence_number_of_a_billion_costs_nothing():
    row = next(line for line in CIF.splitlines() if line.startswith("ATOM") and " A 1 40 " in line)
    for text in (CIF, mmcif_text([polymer(40, seed=1)], scheme=False)):
        huge = text.replace(" A 1 40 ", " A 1 999999999 ")
        assert huge != text, row
        assert max(len(chain) for chain in read_structure(Source("x", packed=huge.encode())).chains) <= 140


@pytest.fixture
def folder(tmp_path):
    for k in range(20):
        (tmp_path / f"{k:02d}.pdb").write_text(pdb_text([polymer(12 + k, seed=k)]))
    (tmp_path / "05.pdb").write_bytes(b"junk")
    (tmp_path / "07.cif.gz").write_bytes(gzip.compress(CIF.encode()))
    return tmp_path


def summary(results) -> list:
    def short(result):
        if isinstance(result, InputError):
            return str(result)
        return [(chain.key, chain.sequence, chain.alpha.tobytes()) for chain in result.chains]

    return [short(result) for result in results]


def test_processes_give_the_same_in_the_same_order(folder):
    named: list[str] = []
    one = summary(read_inputs([str(folder), "absent.pdb"], progress=named.append))
    two = summary(read_inputs([str(folder), "absent.pdb"], jobs=2))
    assert one == two
    assert sum(isinstance(result, str) for result in one) == 2
    assert [name.rsplit("/", 1)[-1] for name in named][:3] == ["00.pdb", "01.pdb", "02.pdb"]
    assert len(named) == 22


def test_a_reader_that_dies_costs_only_its_file(folder, monkeypatch):
    real = read_module.read_structure

    def deadly(source, **options):
        if source.entry == "11":
            os._exit(1)
        return real(source, **options)

    monkeypatch.setattr(read_module, "read_source", deadly)
    monkeypatch.setattr(read_module, "_CHUNK", 2)
    results = summary(read_inputs([str(folder)], jobs=2))
    errors = [result for result in results if isinstance(result, str)]
    assert len(results) == 21
    assert sorted("crashed" in error for error in errors) == [False, True]


def test_a_defect_of_the_reader_becomes_an_input_error(folder, monkeypatch):
    def broken(source, **options):
        raise KeyError("surprise")

    monkeypatch.setattr(read_module, "read_source", broken)
    results = list(read_inputs([str(folder / "00.pdb")]))
    assert "KeyError" in str(results[0])


# ---------------------------------------------------------------- BinaryCIF
def bcif(text: str) -> bytes:
    """Pack mmCIF text as BinaryCIF, by biotite, column by column."""
    import io

    from biotite.structure.io import pdbx

    source = pdbx.CIFFile.read(io.StringIO(text))
    block = pdbx.BinaryCIFBlock()
    for name, category in source.block.items():
        columns = {}
        for key, column in category.items():
            mask = None if column.mask is None else pdbx.BinaryCIFData(column.mask.array)
            columns[key] = pdbx.BinaryCIFColumn(pdbx.BinaryCIFData(column.as_array(str)), mask)
        block[name] = pdbx.BinaryCIFCategory(columns)
    out = io.BytesIO()
    pdbx.BinaryCIFFile({"TEST": block}).write(out)
    return out.getvalue()


def test_binary_cif_reads_as_the_text_does():
    made = with_altloc(without(polymer(40, seed=1), [0, 8, 9]), 20, {"A": 0.3, "B": 0.7})
    text = mmcif_text([made, polymer(9, chain="B")])
    as_text, as_binary = (read_structure(Source("x.cif", packed=c)) for c in (text.encode(), bcif(text)))
    assert summary([as_text]) == summary([as_binary])
    for one, two in zip(as_text.report.chains, as_binary.report.chains, strict=True):
        assert (one.gaps, one.changes) == (two.gaps, two.changes)
        assert (one.meta["format"], two.meta["format"]) == ("mmcif", "bcif")
