"""The ordinary PDB file, read by its columns: every atom line complete, every number plain, one model.

What is not ordinary in any way is left to the general reader: `regular_columns` returns None, and nothing is guessed
here. The lines are read by `_regular_pdb.c` where it was compiled, else by numpy (`regular_lines`), which takes three
times as long; what their order means is decided here.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tertia.residues import LETTER_OF_NAME
from tertia.structure import regular_lines
from tertia.structure.columns import Columns
from tertia.structure.regular_lines import ELEMENT_OF, NUMBERS, RECORDS, WIDTH, Lines

_INTERFACE = 1  # of the compiled reader; an older build than this file is not used

try:
    from tertia.structure import _regular_pdb as _kernel

    if _kernel.INTERFACE != _INTERFACE:
        _kernel = None
except ImportError:  # there was no compiler
    _kernel = None

_OF_ATOMS = {"name": "S8", "element": "S2", "altloc": "u1", "coord": "3f4", "occupancy": "f4", "b_factor": "f4"}
_OF_RESIDUES = {"first_atom": np.intp, "residue_name": "S8", "chain": "S8", "number": "i4", "insertion": "u1",
                "hetero": "?", "place": "u8"}  # fmt: skip
"""What the compiled reader fills, in the order in which it knows them."""
_KINDS = tuple((name, np.dtype(kind)) for name, kind in (_OF_ATOMS | _OF_RESIDUES).items())
_RECORDS = b"".join(RECORDS)


def _code(text: bytes) -> int:
    return int.from_bytes(text, "little")


_STANDARD = frozenset(_code(name.encode()) for name in LETTER_OF_NAME)
_WATERS = frozenset(_code(name) for name in (b"HOH", b"DOD", b"WAT", b"H2O"))
LIGANDS = """
ACT ATP BGC BMA BR CA CD CL CO CU EDO FAD FE FMN FMT FUC GAL GLC GOL HEM HG IOD K MAN MES MG MN MPD NA NAG NDG
NI PEG PLP PO4 SO4 TRS XYP ZN
"""
_LIGANDS = _WATERS | {_code(name.encode()) for name in LIGANDS.split()}
"""The commonest of those that never are links of a chain."""


def regular_columns(content: bytes) -> Columns | None:
    """Return the columns of the one model of a file that is regular throughout, None for any other.

    `Columns.polymer` is what the TER records say; in a chain without them, where every residue is a standard amino acid
    in ATOM records, it is set throughout.
    """
    whole = content if content.endswith(b"\n") else content + b"\n"
    lines = regular_lines.read_lines(whole) if _kernel is None else _read_lines(whole)
    if lines is None or not _come_once(lines):
        return None
    polymer = _polymer(lines.columns, lines.n_residues_before_ter)
    return None if polymer is None else Columns(**lines.columns, polymer=polymer, label=None)


def is_compiled() -> bool:
    """Tell whether the compiled reader is used."""
    return _kernel is not None


def _read_lines(content: bytes) -> Lines | None:
    """Do what `regular_lines.read_lines` does by the compiled reader."""
    n_rows = len(content) // (WIDTH + 1) + 1  # one more than there can be atoms: first_atom ends with their number
    columns = {name: np.empty(n_rows, dtype=kind) for name, kind in _KINDS}
    found = _kernel.read(content, ELEMENT_OF, NUMBERS, _RECORDS, tuple(columns.values()))
    if found is None:
        return None
    n_atoms, n_residues, n_residues_before_ter = found
    for name in _OF_ATOMS:
        columns[name] = columns[name][:n_atoms]
    for name in _OF_RESIDUES:
        columns[name] = columns[name][: n_residues + (name == "first_atom")]
    return Lines(columns, columns.pop("place"), n_residues_before_ter)


def _come_once(lines: Lines) -> bool:
    """Tell whether no residue comes in pieces."""
    number = lines.columns["number"]
    if (number[1:] > number[:-1]).all():
        return True
    place = np.sort(lines.place)
    if (place[1:] != place[:-1]).all():
        return True
    residues = set(zip(lines.columns["residue_name"].tolist(), lines.place.tolist(), strict=True))
    return len(residues) == len(place)


def _polymer(columns: dict[str, np.ndarray], n_residues_before_ter: list[int]) -> np.ndarray | None:
    """Tell what belongs to a polymer: all that stands before the one TER record of its chain.

    A chain without one is a polymer as far as it is standard amino acids in ATOM records, if what follows can only be a
    ligand. None where all that is not clear: waters before a TER record, two of them in a chain, other chains without.
    """
    # Compared as numbers: numpy compares strings ten times more slowly.
    chain, name, hetero = columns["chain"].view("<u8"), columns["residue_name"].view("<u8"), columns["hetero"]
    if not n_residues_before_ter and not hetero.any() and _STANDARD.issuperset(name.tolist()):
        return np.ones(len(name), dtype=bool)
    bounds = [0, *(np.flatnonzero(chain[1:] != chain[:-1]) + 1).tolist(), len(name)]
    polymer, known = np.zeros(len(name), dtype=bool), np.zeros(len(name), dtype=bool)
    first_part: dict[int, int] = {}
    for start, end in pairwise(bounds):
        ended_before = polymer[first_part.setdefault(int(chain[start]), start)]
        ends = [n for n in n_residues_before_ter if start < n <= end]
        if len(ends) + ended_before > 1:
            known[:] = False
            break
        known[start:end] = bool(ended_before or ends)
        polymer[start : max(ends, default=start)] = True
    if not _WATERS.isdisjoint(name[polymer].tolist()):
        known[:] = False
    if known.all():
        return polymer
    doubtful = ~known
    polymer[doubtful] = False
    if known.any() and np.isin(chain[doubtful], chain[known]).any():
        return None
    for one in set(chain[doubtful].tolist()):
        part = np.flatnonzero(doubtful & (chain == one))
        listed = name[part].tolist()
        is_hetero = hetero[part].tolist()
        end = next((k for k, n in enumerate(listed) if is_hetero[k] or n not in _STANDARD), len(listed))
        if end < len(listed) and listed[end] not in _LIGANDS:
            return None
        polymer[part[:end]] = True
    return polymer
