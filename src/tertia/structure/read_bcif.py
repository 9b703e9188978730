"""BinaryCIF: decoded by biotite, handed on as an ordinary CIF block so that one path reads both."""

from __future__ import annotations

import io

import gemmi

from tertia.errors import InputError

_CATEGORIES = (
    "entry", "entity", "struct_asym", "entity_poly", "entity_poly_seq", "pdbx_poly_seq_scheme", "atom_site", "exptl",
    "refine", "em_3d_reconstruction", "reflns", "struct", "software", "ma_qa_metric", "cell", "symmetry",
    "pdbx_struct_assembly", "pdbx_struct_assembly_gen", "pdbx_struct_oper_list", "pdbx_struct_mod_residue",
)  # fmt: skip
"""What intake reads; everything else (bonds, references, validation) stays packed."""


def block_of_bcif(content: bytes) -> gemmi.cif.Block:
    """Return the first block with atoms, reduced to the categories that intake reads.

    Raises
    ------
    InputError: no block holds atoms.
    """
    from biotite.structure.io.pdbx import BinaryCIFFile

    file = BinaryCIFFile.read(io.BytesIO(content))
    name = next((name for name in file if "atom_site" in file[name]), None)
    if name is None:
        raise InputError("BinaryCIF", found="no _atom_site table", allowed="a coordinate file")
    packed = file[name]
    block = gemmi.cif.Block(name)
    for category in _CATEGORIES:
        if category in packed:
            columns = {key: _strings(column) for key, column in packed[category].items()}
            block.set_mmcif_category(f"_{category}.", columns, raw=True)
    return block


def _strings(column) -> list[str]:
    # "." and "?" stand for masked values; everything else is quoted where CIF asks for it.
    values = column.as_array(str).tolist()
    quoted = {value: value if value in ".?" and value else gemmi.cif.quote(value) for value in set(values)}
    return [quoted[value] for value in values]
