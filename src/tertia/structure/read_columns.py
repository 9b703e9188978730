"""From the bytes of one file to columns: one row an atom, and the few header facts that intake needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import gemmi
import numpy as np

from tertia.errors import InputError
from tertia.structure import read_pdb_header
from tertia.structure.columns import Columns, Header
from tertia.structure.read_regular_pdb import regular_columns

SAME_SEQUENCE = 0.9
"""Fraction of observed residues that a full sequence must name alike to be taken for theirs."""

POLYMER = 1  # gemmi's number of that entity type; waters and ligands have others


def parse(content: bytes, where: str, *, model: int, assembly: str | None) -> tuple[Columns, Header]:
    """Return the columns of one model and the header.

    Raises
    ------
    InputError: not a structure, damaged, cut, without atoms, or without the model or assembly asked for.
    """
    kind = detect(content, where)
    if kind == "pdb":
        _refuse_cut_pdb(content, where)
        columns = regular_columns(content) if model == 1 and assembly is None else None
        if columns is not None:
            return columns, read_pdb_header.read_header(content, n_models=1)
    structure, block, notes = _READERS[kind](content, where)
    n_models = _choose_model(structure, model, where, notes)
    structure.setup_entities()
    if assembly is not None:
        _assemble(structure, assembly, where)
    if kind == "pdb":
        header = read_pdb_header.read_header(content, n_models=n_models, notes=notes)
        if assembly is not None:  # the copies have new chain names
            header = replace(header, sequences=_sequences(structure))
    else:
        header = _cif_header(structure, block, kind, n_models=n_models, notes=notes)
    return _columns(structure, labelled=kind != "pdb"), header


def _choose_model(structure: gemmi.Structure, model: int, where: str, notes: tuple[str, ...]) -> int:
    """Leave only the model asked for; return how many there were."""
    n_models = len(structure)
    if not any(len(chain) for other in structure for chain in other):
        raise InputError(
            where,
            found="; ".join(("no atom coordinates", *notes)),
            allowed="a structure with ATOM records or an _atom_site table",
        )
    if not 1 <= model <= n_models:
        raise InputError(where, found=f"model {model} is absent", allowed=f"1 to {n_models}")
    for other in reversed(range(n_models)):
        if other != model - 1:
            del structure[other]
    return n_models


# ---------------------------------------------------------------- formats
def detect(content: bytes, where: str) -> str:
    """Tell the format by the content: "pdb", "mmcif" or "bcif"."""
    head = content[:4096].removeprefix(b"\xef\xbb\xbf")
    if not head.strip():
        raise InputError(where, found="an empty file")
    if head[0] & 0xF0 == 0x80 and any(key in head for key in (b"encoder", b"version", b"dataBlocks")):
        return "bcif"
    if b"\0" in head:
        raise InputError(
            where, found="binary data that are no BinaryCIF", allowed="PDB, mmCIF, BinaryCIF; gz or xz or not"
        )
    if _begins_a_line(content, b"ATOM  ", b"HETATM"):
        # An mmCIF table has such lines too, but only behind the line that opens its data block.
        return "mmcif" if _begins_a_line(head, b"data_") and _begins_a_line(content, b"_atom_site.") else "pdb"
    if _begins_a_line(content, b"data_", b"DATA_"):
        return "mmcif"
    raise InputError(where, found="neither ATOM records nor a data block", allowed="PDB, mmCIF or BinaryCIF")


def _begins_a_line(content: bytes, *words: bytes) -> bool:
    # Plain searches: a regular expression with "^" looks at every line and costs more than the parser. A search for a
    # word that ends with a blank is slow too, so it begins where the word without blanks is.
    for word in words:
        at = content.find(b"\n" + word.rstrip())
        if content.startswith(word) or (at >= 0 and content.find(b"\n" + word, at) >= 0):
            return True
    return False


def _read_pdb(content: bytes, where: str):
    sound, notes = (content, ()) if coordinates_are_plain(content) else _without_bad_numbers(content)
    try:
        structure = gemmi.read_pdb_string(sound)
    except (RuntimeError, ValueError, IndexError) as error:
        structure = _read_pdb_without_charges(sound)
        if structure is None:
            raise InputError(where, found=f"damaged PDB file ({_first_line(error)})") from error
        notes = (*notes, "the charge columns 79-80 are damaged and were ignored")
    return structure, None, notes


_NUMBER = re.compile(rb" *[-+]?(?:\d+\.?\d*|\.\d+) *")


def coordinates_are_plain(content: bytes) -> bool:
    """Tell at once whether every atom line has blanks, sign, digits, point, digits in its three coordinate columns.

    False asks for a closer look, line by line; True must be right: the parser reads "nan" as 0 and "1x.5" as 1.
    """
    text = np.frombuffer(content + b" " * 54, dtype=np.uint8)
    starts = np.append(0, np.flatnonzero(text == _NEWLINE) + 1)
    starts = starts[starts <= len(content)]
    word = np.ndarray((len(text) - 3,), dtype="<u4", buffer=text, strides=(1,))[starts]
    lines = starts[(word == _ATOM) | (word == _HETATM)]
    field = np.ndarray((len(content),), dtype="V24", buffer=text, offset=30, strides=(1,))[lines]
    field = field.view(np.uint8).reshape(-1, 24)
    blank = field == _SPACE
    gap = blank[:, 1:] & ~blank[:, :-1]  # a blank behind something else ...
    gap[:, 7::8] = False  # ... is right only where the next column begins
    odd = (field > ord("9")) | ((field - np.uint8(ord("!"))) < 12) | (field == ord("/"))
    return bool((field[:, 4::8] == ord(".")).all()) and not gap.any() and not odd.any()


_NEWLINE, _SPACE = ord("\n"), ord(" ")
_ATOM, _HETATM = (int.from_bytes(word, "little") for word in (b"ATOM", b"HETA"))


def _without_bad_numbers(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Take out atom lines whose coordinates are no numbers; the parser would read "nan" and "1x.5" as 0 and 1."""
    lines = content.split(b"\n")
    bad = [k for k, line in enumerate(lines) if line.startswith((b"ATOM  ", b"HETATM")) and not _has_coordinates(line)]
    if not bad:
        return content, ()
    listed = ", ".join(lines[k][12:27].decode("latin1").strip() for k in bad[:5])
    for k in bad:
        lines[k] = b"REMARK"
    more = ", ..." if len(bad) > 5 else ""
    return b"\n".join(lines), (f"{len(bad)} atoms without a finite coordinate were refused: {listed}{more}",)


def _has_coordinates(line: bytes) -> bool:
    return all(_NUMBER.fullmatch(line[k : k + 8]) for k in (30, 38, 46))


def _read_pdb_without_charges(content: bytes):
    """Blank columns 79-80: a damaged charge makes the parser give up on an otherwise sound file."""
    blanked = re.sub(rb"(?m)^((?:ATOM  |HETATM)[^\r\n]{72})[^\r\n]{1,2}", rb"\1  ", content)
    try:
        return gemmi.read_pdb_string(blanked)
    except (RuntimeError, ValueError, IndexError):
        return None


def _refuse_cut_pdb(content: bytes, where: str) -> None:
    """A last line without line end that is shorter than the atom lines before it was cut."""
    if content.endswith(b"\n"):
        return
    lines = content[-4000:].split(b"\n")
    last = lines[-1].rstrip()
    rows = [len(line.rstrip()) for line in lines[1:-1] if line.startswith((b"ATOM  ", b"HETATM"))]
    if last.startswith((b"ATOM", b"HETA")) and (len(last) < 54 or (rows and len(last) < min(rows))):
        raise InputError(where, found=f"the file ends in the middle of a line ('{last[:30].decode('latin1')}...')",
                         hint="download or copy it again")  # fmt: skip


def _read_mmcif(content: bytes, where: str):
    if content.count(b"\n#") > 2 and not content.rstrip().endswith(b"#"):
        raise InputError(where, found="the file ends in the middle of a table", hint="download or copy it again")
    try:
        document = gemmi.cif.read_string(content)
        blocks = [block for block in document if block.find_loop("_atom_site.Cartn_x")]
        if not blocks:
            raise InputError(
                where, found="no _atom_site table", allowed="a coordinate file, not reflections or a dictionary"
            )
        return gemmi.make_structure_from_block(blocks[0]), blocks[0], _ignored_blocks(blocks)
    except (RuntimeError, ValueError, IndexError) as error:
        raise InputError(where, found=f"damaged mmCIF file ({_first_line(error)})") from error


def _ignored_blocks(blocks: list) -> tuple[str, ...]:
    return (f"{len(blocks) - 1} further data blocks with atoms were ignored",) if len(blocks) > 1 else ()


def _read_bcif(content: bytes, where: str):
    from tertia.structure.read_bcif import block_of_bcif

    try:
        block = block_of_bcif(content)
        return gemmi.make_structure_from_block(block), block, ()
    except InputError as error:
        raise InputError(where, found=error.found, allowed=error.allowed) from error
    except Exception as error:  # damaged binary data fail in many ways inside the decoder
        raise InputError(
            where, found=f"damaged BinaryCIF file ({type(error).__name__}: {_first_line(error)})"
        ) from error


_READERS = {"pdb": _read_pdb, "mmcif": _read_mmcif, "bcif": _read_bcif}


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


# ---------------------------------------------------------------- header
def _sequences(structure: gemmi.Structure) -> dict[str, tuple[str, ...]]:
    full = {
        sub: entity.full_sequence for entity in structure.entities if entity.full_sequence for sub in entity.subchains
    }
    out = {}
    for chain in structure[0] if full else ():
        subchain = next((part.subchain_id() for part in chain.subchains() if part.subchain_id() in full), None)
        if subchain is not None:
            out[chain.name] = tuple([name.partition(",")[0] for name in full[subchain]])
    return out


def align(full: Sequence[str], observed: Sequence[str], broken: np.ndarray) -> np.ndarray | None:
    """Return the 1-based place in `full` of each observed residue, (n,) int64; None where they do not fit.

    Parameters
    ----------
    full, observed: residue names.
    broken: (n - 1,) bool, no bond joins the residues k and k + 1: where gaps are cheap.
    """
    scoring = gemmi.AlignmentScoring()
    cheap = [scoring.good_gapo, *np.where(broken, scoring.good_gapo, scoring.bad_gapo).tolist(), scoring.good_gapo]
    result = gemmi.align_string_sequences(list(full), list(observed), cheap, scoring)
    places, at = [], 0
    for count, operation in re.findall(r"(\d+)([MID])", result.cigar_str()):
        if operation == "D":
            return None  # an observed residue that the sequence has no place for
        if operation == "M":
            places += range(at + 1, at + 1 + int(count))
        at += int(count)
    same = sum(full[place - 1] == name for place, name in zip(places, observed, strict=False))
    return np.array(places) if len(places) == len(observed) and same >= SAME_SEQUENCE * len(observed) else None


def _cif_header(structure: gemmi.Structure, block, kind: str, *, n_models: int, notes: tuple[str, ...]) -> Header:
    return Header(
        format=kind,
        method=structure.info["_exptl.method"] if "_exptl.method" in structure.info else "",  # noqa: SIM401
        resolution=_resolution(block),
        plddt=_holds_plddt(block),
        n_models=n_models,
        sequences=_sequences(structure),
        author_ids=_author_ids(block),
        parents={m.res_id.name: m.parent_comp_id for m in structure.mod_residues},
        notes=notes,
    )


def _author_ids(block) -> dict[str, tuple[str, ...]]:
    """Return author number and insertion code of every residue of each chain, observed or not."""
    columns = ("pdb_strand_id", "seq_id", "pdb_seq_num", "pdb_ins_code")
    ids: dict[str, dict[str, str]] = {}
    for strand, place, number, insertion in block.find("_pdbx_poly_seq_scheme.", list(columns)):
        code = "" if insertion in (".", "?") else insertion
        ids.setdefault(strand.strip("'\""), {}).setdefault(place, "" if number in (".", "?") else number + code)
    return {strand: tuple(of_place.values()) for strand, of_place in ids.items()}


_RESOLUTION_TAGS = ("_refine.ls_d_res_high", "_em_3d_reconstruction.resolution", "_reflns.d_resolution_high")


def _resolution(block) -> float | None:
    for tag in _RESOLUTION_TAGS:
        for value in block.find_values(tag):
            number = gemmi.cif.as_number(value)
            if number > 0:  # NaN is not
                return number
    return None


def _holds_plddt(block) -> bool:
    """Tell whether the file declares a local quality metric of type pLDDT, which then stands in the B-factor column."""
    kinds = [value.strip("'\"").lower() for value in block.find_values("_ma_qa_metric.type")]
    modes = [value.strip("'\"").lower() for value in block.find_values("_ma_qa_metric.mode")]
    return any(kind == "plddt" and mode == "local" for kind, mode in zip(kinds, modes, strict=False))


def _assemble(structure: gemmi.Structure, assembly: str, where: str) -> None:
    names = [known.name for known in structure.assemblies]
    if assembly not in names:
        raise InputError(
            where, found=f"assembly '{assembly}' is absent", allowed=", ".join(names) or "the file lists none"
        )
    structure.transform_to_assembly(assembly, gemmi.HowToNameCopiedChain.AddNumber)


# ---------------------------------------------------------------- columns
def _columns(structure: gemmi.Structure, *, labelled: bool) -> Columns:
    flat = gemmi.FlatStructure(structure)
    # The parser's columns are views into 128-byte rows: one copy each, and what follows runs on dense memory.
    residue_name, chain = _text(flat.residue_names), _text(flat.chain_ids)
    number, insertion = flat.resnums.copy(), flat.icodes.copy().view(np.uint8)
    if labelled:
        start, label = _listed_residues(structure)
    else:
        start, label = _residue_starts(residue_name.view(np.uint64), chain.view(np.uint64), number, insertion), None
    return Columns(
        name=_text(flat.atom_names),
        element=(flat.element_names.view(np.uint8) & 0xDF).view("S2"),  # clearing this bit makes capitals
        altloc=flat.altlocs.copy().view(np.uint8),
        coord=flat.pos.astype(np.float32),
        occupancy=flat.occ.copy(),
        b_factor=flat.b_iso.copy(),
        first_atom=np.append(start, len(number)),
        residue_name=residue_name[start],
        number=number[start],
        insertion=insertion[start],
        chain=chain[start],
        polymer=flat.entity_type[start] == POLYMER,
        hetero=flat.het_flags[start] == ord("H"),
        label=label,
    )


def _listed_residues(structure: gemmi.Structure) -> tuple[np.ndarray, np.ndarray]:
    """Return the first atom and the label number (-1: none) of each residue that has atoms."""
    sizes = np.array([len(residue) for chain in structure[0] for residue in chain])
    label = np.array([residue.label_seq or -1 for chain in structure[0] for residue in chain], dtype=np.int64)
    return (np.cumsum(sizes) - sizes)[sizes > 0], label[sizes > 0]


def _residue_starts(name: np.ndarray, chain: np.ndarray, number: np.ndarray, insertion: np.ndarray) -> np.ndarray:
    """Find residues from the columns themselves: a loop over residue objects costs as much as the parsing."""
    new = (name[1:] != name[:-1]) | (number[1:] != number[:-1])
    new |= (chain[1:] != chain[:-1]) | (insertion[1:] != insertion[:-1])
    return np.append(0, np.flatnonzero(new) + 1)


def _text(rows: np.ndarray) -> np.ndarray:
    """View (n, 8) characters as (n,) S8."""
    return np.ascontiguousarray(rows).view("S8")[:, 0]
