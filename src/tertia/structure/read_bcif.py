"""BinaryCIF: decoded by biotite, handed on as an ordinary CIF block so that one path reads both."""

from __future__ import annotations

import gemmi
import numpy as np

from tertia.errors import InputError

_CATEGORIES = (
    "entry", "entity", "struct_asym", "entity_poly", "entity_poly_seq", "pdbx_poly_seq_scheme", "atom_site", "exptl",
    "refine", "em_3d_reconstruction", "reflns", "struct", "software", "ma_qa_metric", "cell", "symmetry",
    "pdbx_struct_assembly", "pdbx_struct_assembly_gen", "pdbx_struct_oper_list", "pdbx_struct_mod_residue",
)  # fmt: skip
"""What intake reads; everything else (bonds, references, validation) stays packed."""

_LARGEST_TEXT = 1 << 28
"""Bytes that a column of text may take unpacked: every row costs as much as its longest value."""


def block_of_bcif(content: bytes) -> gemmi.cif.Block:
    """Return the first block with atoms, reduced to the categories that intake reads.

    Raises
    ------
    InputError: no block holds atoms, or a table claims more than a file of this size can hold.
    """
    import msgpack
    from biotite.structure.io.pdbx import BinaryCIFFile

    tree = msgpack.unpackb(content, use_list=True, raw=False)
    for block in tree["dataBlocks"]:
        for category in block["categories"]:
            if category["name"].lstrip("_") in _CATEGORIES:
                _refuse_bombs(category, 2 * len(content))
    file = BinaryCIFFile.deserialize(tree)
    name = next((name for name in file if "atom_site" in file[name]), None)
    if name is None:
        raise InputError("BinaryCIF", found="no _atom_site table", allowed="a coordinate file")
    packed = file[name]
    block = gemmi.cif.Block(name)
    for category in _CATEGORIES:
        if category in packed:
            columns = {key: _strings(column) for key, column in packed[category].items()}
            if len({len(values) for values in columns.values()}) > 1:
                raise InputError("BinaryCIF", found=f"the columns of _{category} differ in length")
            block.set_mmcif_category(f"_{category}.", columns, raw=True)
    return block


def _refuse_bombs(category: dict, most: int) -> None:
    """Refuse numbers of rows that nothing in the file stands behind, before memory is taken for them.

    Coordinates do not shrink below a byte a row, so even run lengths are bounded by the size of the file.
    """
    name = category["name"]
    for column in category["columns"]:
        for data in filter(None, (column["data"], column.get("mask"))):
            for encoding in data["encoding"]:
                for step in (encoding, *encoding.get("dataEncoding", ()), *encoding.get("offsetEncoding", ())):
                    claimed = step.get("srcSize") if step["kind"] in _SIZED else 0
                    if claimed is None or not 0 <= claimed <= most:
                        raise InputError("BinaryCIF", found=f"a column of {name} claims {claimed} values",
                                         allowed=f"at most {most:,} in a file of this size")  # fmt: skip
                if 4 * len(encoding.get("stringData", "")) * category["rowCount"] > _LARGEST_TEXT:
                    _refuse_long_text(encoding, category["rowCount"], max(_LARGEST_TEXT, 64 * most))


_SIZED = ("RunLength", "IntegerPacking")


def _refuse_long_text(encoding: dict, n_rows: int, most: int) -> None:
    from biotite.structure.io.pdbx.encoding import decode_stepwise, deserialize_encoding

    steps = [deserialize_encoding(step) for step in encoding["offsetEncoding"]]
    offsets = decode_stepwise(encoding["offsets"], steps)
    longest = int(np.diff(offsets).max(initial=0))
    if 4 * longest * max(n_rows, len(offsets)) > most:
        raise InputError("BinaryCIF", found=f"a text of {longest:,} characters in a table of many rows")


def _strings(column) -> list[str]:
    # "." and "?" stand for masked values; everything else is quoted where CIF asks for it.
    values = column.as_array(str).tolist()
    quoted = {value: value if value in ".?" and value else gemmi.cif.quote(value) for value in set(values)}
    return [quoted[value] for value in values]
