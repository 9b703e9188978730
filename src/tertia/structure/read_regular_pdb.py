"""The ordinary PDB file, read by its columns: every atom line complete, every number plain, one model.

Whole columns are turned into numbers at once, which takes a third of the time of a reader that goes line by line. What
is not ordinary in any way is left to the general reader: `regular_columns` returns None, and nothing is guessed here.
"""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from tertia.residues import LETTER_OF_NAME
from tertia.structure.columns import Columns

_LINE = np.dtype(
    {
        "names": ["record", "name", "altloc", "residue", "place", "residue_name", "chain", "number", "insertion",
                  "numbers", "segment", "element", "charge"],
        "formats": ["u1", "<u4", "u1", "<u8", "<u8", "<u4", "<u2", ("<u2", 2), "u1",
                    ("<u2", 18), "<u4", "<u2", "<u2"],
        "offsets": [0, 12, 16, 17, 19, 17, 20, 22, 26, 30, 72, 76, 78],
        "itemsize": 80,
    }
)  # fmt: skip
"""Fields of an atom line, text as little-endian numbers and numbers as pairs of characters. `residue` is the name,
chain and most of the number, `place` the end of the name, chain, number and insertion code; `residue_name` takes one
character too many."""

_WIDTH = 80


def _code(text: bytes) -> int:
    return int.from_bytes(text, "little")


_ATOM, _HETATM, _ANISOU, _HETNAM = (_code(word) for word in (b"ATOM", b"HETA", b"ANIS", b"HETN"))
_TER, _END = ([_code(word + end) for end in (b" ", b"\n")] for word in (b"TER", b"END"))
_UNDERSTOOD = frozenset(_code(word) for word in (
    b"HEAD", b"OBSL", b"TITL", b"SPLI", b"CAVE", b"COMP", b"SOUR", b"KEYW", b"EXPD", b"MDLT", b"AUTH", b"REVD", b"SPRS",
    b"JRNL", b"REMA", b"DBRE", b"SEQA", b"SEQR", b"MODR", b"HET ", b"HETN", b"HETS", b"FORM", b"HELI", b"SHEE", b"TURN",
    b"SSBO", b"LINK", b"CISP", b"SITE", b"CRYS", b"ORIG", b"SCAL", b"MTRI", b"CONE", b"MAST", b"ANIS",
)).union(_TER, _END)  # fmt: skip
"""Records that say nothing about which atoms there are, or are read below; a file with any other is not regular."""

_SYMBOLS = """
H D HE LI BE B C N O F NE NA MG AL SI P S CL AR K CA SC TI V CR MN FE CO NI CU ZN GA GE AS SE BR KR RB SR Y ZR NB MO TC
RU RH PD AG CD IN SN SB TE I XE CS BA LA CE PR ND SM EU GD TB DY HO ER TM YB LU HF TA W RE OS IR PT AU HG TL PB BI U
"""
_ELEMENT_OF = np.zeros(1 << 16, dtype="<u2")  # columns 77-78 -> symbol without blanks, 0: not known here
for _symbol in _SYMBOLS.split():
    for _written in (_symbol.rjust(2), _symbol.ljust(2)):
        _ELEMENT_OF[_code(_written.encode())] = _code(_symbol.encode())

_STANDARD = frozenset(_code(name.encode()) for name in LETTER_OF_NAME)
_WATERS = frozenset(_code(name) for name in (b"HOH", b"DOD", b"WAT", b"H2O"))


def regular_columns(content: bytes) -> Columns | None:
    """Return the columns of the one model of a file that is regular throughout, None for any other.

    `Columns.polymer` is what the TER records say; in a chain without them, where every residue is a standard amino acid
    in ATOM records, it is set throughout.
    """
    found = _find_lines(content if content.endswith(b"\n") else content + b"\n")
    if found is None:
        return None
    lines, n_atoms_before_ter = found
    first = _residue_starts(lines)
    element = _ELEMENT_OF[lines["element"]]
    if first is None or not element.all() or not _charges_are_plain(lines["charge"]):
        return None
    residues = lines.view(f"V{_WIDTH}")[first].view(_LINE)  # numpy would copy field by field
    if not _are_spelt_one_way(residues):
        return None
    numbers = _numbers(lines, residues)
    polymer = _polymer(residues, np.searchsorted(first, n_atoms_before_ter).tolist())
    if numbers is None or polymer is None:
        return None
    altloc = lines["altloc"].copy()
    altloc[altloc == _BLANK] = 0
    return Columns(
        **numbers,
        name=_as_text(_without_blanks_behind(_left_aligned(lines["name"].copy()))),
        element=element.view("S2"),
        altloc=altloc,
        first_atom=np.append(first, len(lines)),
        residue_name=_as_text(_left_aligned(residues["residue_name"] & np.uint32(0xFFFFFF))),
        insertion=residues["insertion"].copy(),
        chain=_as_text(_left_aligned(residues["chain"].astype(np.uint32))),
        polymer=polymer,
        hetero=residues["record"] == ord("H"),
        label=None,
    )


# ---------------------------------------------------------------- lines
def _find_lines(content: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the atom lines, (A,) `_LINE`, and behind how many atoms each TER record stands; None: not regular."""
    if len(content) <= _WIDTH or b"\r" in content or b"\0" in content:
        return None
    starts = _line_starts(content)
    if starts[-1] > len(content) - 4:
        return None
    word = np.ndarray((len(content) - 3,), dtype="<u4", buffer=content, strides=(1,))[starts]
    is_atom = (word == _ATOM) | (word == _HETATM)
    atoms, others = np.flatnonzero(is_atom), np.flatnonzero(~is_atom)
    other_word = word[others]
    if not len(atoms) or not _UNDERSTOOD.issuperset(other_word.tolist()):
        return None
    if not _are_long(starts, atoms, len(content)):
        return None
    if (others[_is_one_of(other_word, _END)] < atoms[-1]).any():
        return None
    if not is_atom[np.maximum(others[other_word == _ANISOU] - 1, 0)].all():
        return None
    for start in starts[others[other_word == _HETNAM]].tolist():
        if content[start + 70 : start + 79].partition(b"\n")[0].strip():
            return None  # the long name of a component that stands abbreviated in the atom lines
    lines = np.ndarray((len(content) - _WIDTH + 1,), dtype=f"V{_WIDTH}", buffer=content, strides=(1,))[starts[atoms]]
    return lines.view(_LINE), np.searchsorted(atoms, others[_is_one_of(other_word, _TER)])


def _are_long(starts: np.ndarray, atoms: np.ndarray, end: int) -> bool:
    following = np.append(starts[1:], end)[atoms]
    return bool((following - starts[atoms] > _WIDTH).all())


def _is_one_of(word: np.ndarray, two: list[int]) -> np.ndarray:
    return (word == two[0]) | (word == two[1])


def _line_starts(content: bytes) -> np.ndarray:
    text = np.frombuffer(content, dtype=np.uint8)
    is_newline = text == ord("\n")
    width = _WIDTH + 1
    # The usual file has lines of one length, and is told by them much faster than by a search.
    if len(text) % width == 0 and is_newline[_WIDTH::width].all() and np.count_nonzero(is_newline) * width == len(text):
        return np.arange(0, len(text), width)
    return np.append(0, np.flatnonzero(is_newline)[:-1] + 1)


# ---------------------------------------------------------------- numbers
_BLANK = ord(" ")
_NEGATIVE, _LEADING, _BAD = 1 << 25, 1 << 27, 1 << 28  # flags above the largest number, 9,999,999


def _table(worth: int, *forms: str, flag_unless: str = "") -> np.ndarray:
    """Return what each pair of characters adds to a number, as a look-up table.

    Parameters
    ----------
    worth: what the last digit of the pair is worth.
    forms: the pairs that are right here, "0" stands for any digit.
    flag_unless: the form that says nothing about its neighbour; the others are flagged, for two flags make a field bad.
    """
    table = np.full(_code(b"99") + 2, _BAD, dtype=np.uint32)
    for pair in (a + b for a in " -.0123456789" for b in " -.0123456789"):
        form = "".join("0" if letter.isdigit() else letter for letter in pair)
        if form in forms:
            value = worth * int("".join(filter(str.isdigit, pair)) or 0)
            flags = _NEGATIVE * ("-" in pair) + _LEADING * bool(flag_unless and form != flag_unless)
            table[_code(pair.encode())] = value + flags
    return table


_START = ("  ", " -", " 0", "-0", "00")
_MIDDLE = (" 0", "-0", "00")
# Two flags add up to _BAD: where the first pair is not blank, the second must be two digits.
_COORD = (_table(100_000, *_START, flag_unless="  "), _table(1000, *_MIDDLE, flag_unless="00"),
          _table(100, ".0"), _table(1, "00"))  # fmt: skip
_SHORT = (_table(1000, *_START), _table(100, "0."), _table(1, "00"))
_INTEGER = (_table(100, *_START, flag_unless="  "), _table(1, *_MIDDLE, flag_unless="00"))


def _numbers(lines: np.ndarray, residues: np.ndarray) -> dict[str, np.ndarray] | None:
    """Return coord, occupancy, b_factor and number; None where a field is no plain number."""
    # One row a pair of columns: numpy walks long rows several times faster than short ones.
    pairs = np.array(lines["numbers"].T, dtype=np.intp, order="C")  # (18, A): 4 each of x, y, z, 3 of the other two
    coord = _looked_up(pairs[:12].reshape(3, 4, -1), _COORD)
    other = _looked_up(pairs[12:].reshape(2, 3, -1), _SHORT)
    number = _looked_up(residues["number"].T, _INTEGER)
    if coord is None or other is None or number is None:
        return None
    occupancy, b_factor = (other / 100.0).astype(np.float32)
    coord = np.divide(coord.T, 1000.0, order="C").astype(np.float32)
    return {"coord": coord, "occupancy": occupancy, "b_factor": b_factor, "number": number}


def _looked_up(pairs: np.ndarray, tables: tuple[np.ndarray, ...]) -> np.ndarray | None:
    """Return the integers, (..., N), that pairs of characters, (..., P, N), make up by P tables; None where not."""
    total = tables[0].take(pairs[..., 0, :], mode="clip")  # clipped to the last entry, which is bad
    for k in range(1, len(tables)):
        total += tables[k].take(pairs[..., k, :], mode="clip")
    if total.max() >= _BAD:
        return None
    value = (total & np.uint32(_NEGATIVE - 1)).view(np.int32)
    return np.negative(value, out=value, where=(total & np.uint32(_NEGATIVE)) != 0)


_CHARGES = frozenset(_code(pair) for a in b"0123456789" for b in b" +-" for pair in (bytes([a, b]), bytes([b, a])))


def _charges_are_plain(charge: np.ndarray) -> bool:
    """Tell whether columns 79-80 are blank or a digit and a sign; a damaged charge makes the general reader speak."""
    written = charge[charge != _code(b"  ")]
    return not len(written) or _CHARGES.issuperset(written.tolist())


# ---------------------------------------------------------------- text
def _left_aligned(words: np.ndarray) -> np.ndarray:
    """Take blanks in front out of up to four characters, uint32, in place."""
    while (leading := (words & np.uint32(0xFF)) == _BLANK).any():
        words >>= leading * np.uint32(8)
    return words


def _without_blanks_behind(words: np.ndarray) -> np.ndarray:
    for shift in (24, 16, 8):
        words ^= ((words >> np.uint32(shift)) == _BLANK) * np.uint32(_BLANK << shift)
    return words


def _as_text(words: np.ndarray) -> np.ndarray:
    return words.astype(np.uint64).view("S8")


def _residue_starts(lines: np.ndarray) -> np.ndarray | None:
    """Return the first atom of each residue; None where a residue comes in pieces."""
    residue, place, segment = lines["residue"].copy(), lines["place"].copy(), lines["segment"].copy()
    new = (residue[1:] != residue[:-1]) | (place[1:] != place[:-1])
    if ((segment[1:] != segment[:-1]) & ~new).any():
        return None
    first = np.append(0, np.flatnonzero(new) + 1)
    listed = place[first].tolist()
    if len(set(listed)) < len(first) and len(set(zip(residue[first].tolist(), listed, strict=True))) < len(first):
        return None
    return first


def _are_spelt_one_way(residues: np.ndarray) -> bool:
    """Tell whether names are aligned to the right and numbers no needless zero, so that only equal text is equal."""
    last_of_name, chain = residues["residue_name"] >> np.uint32(16) & np.uint32(0xFF), residues["chain"]
    if (last_of_name == _BLANK).any() or ((chain >> 8 == _BLANK) & (chain & 0xFF != _BLANK)).any():
        return False
    number = np.full((len(residues), 3), _code(b"  "), dtype="<u2")
    number[:, 1:] = residues["number"]
    return _ODD_ZERO.search(number.tobytes()) is None


_ODD_ZERO = re.compile(rb"[ -]0\d|-0")


def _polymer(residues: np.ndarray, n_residues_before_ter: list[int]) -> np.ndarray | None:
    """Tell what belongs to a polymer: all that stands before the one TER record of its chain.

    A chain without one is a polymer where it is standard amino acids in ATOM records, and none where it is waters. None
    where all that is not clear: waters before a TER record, two of them in a chain, other chains without one.
    """
    chain, name = residues["chain"], (residues["residue_name"] & np.uint32(0xFFFFFF))
    bounds = [0, *(np.flatnonzero(chain[1:] != chain[:-1]) + 1).tolist(), len(residues)]
    polymer, known = np.zeros(len(residues), dtype=bool), np.zeros(len(residues), dtype=bool)
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
    if known.any() and np.isin(chain[doubtful], chain[known]).any():
        return None
    for one in set(chain[doubtful].tolist()):
        part = doubtful & (chain == one)
        names = set(name[part].tolist())
        if _STANDARD.issuperset(names) and not (residues["record"][part] == ord("H")).any():
            polymer[part] = True
        elif not _WATERS.issuperset(names):
            return None
    return polymer
