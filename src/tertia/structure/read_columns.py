"""From the bytes of one file to columns: one row an atom, and the few header facts that intake needs (through gemmi)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import gemmi
import numpy as np

from tertia.errors import InputError

POLYMER = 1  # gemmi's number of that entity type; waters and ligands have others


@dataclass(frozen=True, eq=False)
class Columns:
    """One model of one file: A atoms, R residues as they are listed (microheterogeneity still apart)."""

    # atoms
    name: np.ndarray  # (A,) S8
    element: np.ndarray  # (A,) S2, capitals
    altloc: np.ndarray  # (A,) int8, 0 where there is none
    coord: np.ndarray  # (A, 3) float64, Angstrom
    occupancy: np.ndarray  # (A,) float32
    b_factor: np.ndarray  # (A,) float32
    # residues
    first_atom: np.ndarray  # (R + 1,) int64, atoms of residue r are first_atom[r] : first_atom[r + 1]
    residue_name: np.ndarray  # (R,) S8
    number: np.ndarray  # (R,) int32, author number
    insertion: np.ndarray  # (R,) int8, 32 (blank) where there is none
    chain: np.ndarray  # (R,) S8, author chain name
    polymer: np.ndarray  # (R,) bool
    hetero: np.ndarray  # (R,) bool, HETATM
    label: np.ndarray | None  # (R,) int32, number in the full sequence, -1 where unknown; None: nowhere known


@dataclass(frozen=True)
class Header:
    """What the file says about itself."""

    format: str  # "pdb", "mmcif" or "bcif"
    method: str = ""
    resolution: float | None = None
    plddt: bool = False  # the B-factor column holds a confidence of 0-100
    n_models: int = 1
    sequences: dict[str, tuple[str, ...]] = field(default_factory=dict)  # author chain -> full sequence, residue names
    parents: dict[str, str] = field(default_factory=dict)  # modified residue -> parent, as this file itself says
    notes: tuple[str, ...] = ()


def parse(content: bytes, where: str, *, model: int, assembly: str | None) -> tuple[Columns, Header]:
    """Return the columns of one model and the header.

    Raises
    ------
    InputError: not a structure, damaged, cut, without atoms, or without the model or assembly asked for.
    """
    kind = detect(content, where)
    structure, block, notes = _READERS[kind](content, where)
    n_models = len(structure)
    if not n_models or not any(len(chain) for chain in structure[0]):
        raise InputError(
            where, found="no atom coordinates", allowed="a structure with ATOM records or an _atom_site table"
        )
    if not 1 <= model <= n_models:
        raise InputError(where, found=f"model {model} is absent", allowed=f"1 to {n_models}")
    for other in reversed(range(n_models)):
        if other != model - 1:
            del structure[other]
    structure.setup_entities()
    structure.assign_label_seq_id()
    if assembly is not None:
        _assemble(structure, assembly, where)
    header = Header(
        format=kind,
        method=_method(structure, block),
        resolution=structure.resolution or None,
        plddt=_holds_plddt(structure, block),
        n_models=n_models,
        sequences=_sequences(structure),
        parents={m.res_id.name: m.parent_comp_id for m in structure.mod_residues},
        notes=notes,
    )
    return _columns(structure), header


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
    # Plain searches: a regular expression with "^" looks at every line and costs more than the parser.
    return any(content.startswith(word) or b"\n" + word in content for word in words)


def _read_pdb(content: bytes, where: str):
    _refuse_cut_pdb(content, where)
    notes: tuple[str, ...] = ()
    try:
        structure = gemmi.read_pdb_string(content)
    except (RuntimeError, ValueError, IndexError) as error:
        structure = _read_pdb_without_charges(content)
        if structure is None:
            raise InputError(where, found=f"damaged PDB file ({_first_line(error)})") from error
        notes = ("the charge columns 79-80 are damaged and were ignored",)
    return structure, None, notes


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


def align(full: Sequence[str], observed: Sequence[str]) -> np.ndarray | None:
    """Return the 1-based place in `full` of each observed residue name, (n,) int64; None where they do not fit."""
    result = gemmi.align_string_sequences(list(full), list(observed), [])
    places, at = [], 0
    for count, operation in re.findall(r"(\d+)([MID])", result.cigar_str()):
        if operation == "M":
            places += range(at + 1, at + 1 + int(count))
        elif operation == "D":
            return None  # an observed residue that the sequence has no place for
        at += int(count)
    same = sum(full[place - 1] == name for place, name in zip(places, observed, strict=False))
    return np.array(places) if len(places) == len(observed) and same >= 0.9 * len(observed) else None


def _method(structure: gemmi.Structure, block) -> str:
    if "_exptl.method" in structure.info:
        return structure.info["_exptl.method"]
    return "; ".join(experiment.method for experiment in structure.meta.experiments if experiment.method)


_PREDICTED_TITLE = re.compile(
    r"\b(ALPHAFOLD|ESMFOLD|COLABFOLD|OPENFOLD|ROSETTAFOLD|OMEGAFOLD)\b.*\b(PREDICTION|MODEL)", re.I
)


def _holds_plddt(structure: gemmi.Structure, block) -> bool:
    """Decide from metadata alone whether the B-factor column is a pLDDT.

    mmCIF: the file declares a local quality metric of type pLDDT. PDB: no experiment is named, and the title says
    "<predictor> ... prediction", or the method is THEORETICAL MODEL and a remark or cross reference names the predictor.
    """
    if block is not None:
        kinds = [value.strip("'\"").lower() for value in block.find_values("_ma_qa_metric.type")]
        modes = [value.strip("'\"").lower() for value in block.find_values("_ma_qa_metric.mode")]
        return any(kind == "plddt" and mode == "local" for kind, mode in zip(kinds, modes, strict=False))
    method = structure.info["_exptl.method"].upper() if "_exptl.method" in structure.info else ""
    if method and "THEORETICAL" not in method:
        return False
    title = structure.info["_struct.title"] if "_struct.title" in structure.info else ""
    if _PREDICTED_TITLE.search(title):
        return True
    return bool(method) and any(re.search(r"\bpLDDT\b", remark, re.I) for remark in structure.raw_remarks)


def _assemble(structure: gemmi.Structure, assembly: str, where: str) -> None:
    names = [known.name for known in structure.assemblies]
    if assembly not in names:
        raise InputError(
            where, found=f"assembly '{assembly}' is absent", allowed=", ".join(names) or "the file lists none"
        )
    structure.transform_to_assembly(assembly, gemmi.HowToNameCopiedChain.AddNumber)


# ---------------------------------------------------------------- columns
def _columns(structure: gemmi.Structure) -> Columns:
    flat = gemmi.FlatStructure(structure)
    sizes = [len(residue) for chain in structure[0] for residue in chain]
    first = np.concatenate([[0], np.cumsum(sizes)])
    start = first[:-1][np.diff(first) > 0]
    label = None
    if any(entity.full_sequence for entity in structure.entities) or structure.input_format != gemmi.CoorFormat.Pdb:
        labels = [residue.label_seq or -1 for chain in structure[0] for residue in chain]
        label = np.array(labels, dtype=np.int64)[np.diff(first) > 0]
    return Columns(
        name=_text(flat.atom_names),
        element=(flat.element_names.view(np.uint8) & 0xDF).view("S2"),  # clearing this bit makes capitals
        altloc=flat.altlocs,
        coord=flat.pos,
        occupancy=flat.occ,
        b_factor=flat.b_iso,
        first_atom=np.append(start, first[-1]),
        residue_name=_text(flat.residue_names)[start],
        number=flat.resnums[start],
        insertion=flat.icodes[start],
        chain=_text(flat.chain_ids)[start],
        polymer=flat.entity_type[start] == POLYMER,
        hetero=flat.het_flags[start] == ord("H"),
        label=label,
    )


def _text(rows: np.ndarray) -> np.ndarray:
    """View (n, 8) characters as (n,) S8."""
    return np.ascontiguousarray(rows).view("S8")[:, 0]
