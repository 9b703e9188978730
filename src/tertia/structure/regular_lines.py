"""The atom lines of an ordinary PDB file as columns, whole columns at once by numpy.

This is what a regular line is, in full. `_regular_pdb.c` does the same in one pass where it was compiled, with the
tables and the list of records that stand here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

_LINE = np.dtype(
    {
        "names": ["record", "name", "altloc", "residue", "place", "residue_name", "chain", "number", "insertion",
                  "coord", "other", "segment", "element", "charge"],
        "formats": ["u1", "<u4", "u1", "<u8", "<u8", "<u4", "<u2", ("<u2", 2), "u1",
                    ("<u2", (3, 4)), ("<u2", (2, 3)), "<u4", "<u2", "<u2"],
        "offsets": [0, 12, 16, 17, 19, 17, 20, 22, 26, 30, 54, 72, 76, 78],
        "itemsize": 80,
    }
)  # fmt: skip
"""Fields of an atom line, text as little-endian numbers and numbers as pairs of characters. `residue` is the name,
chain and most of the number, `place` the end of the name, chain, number and insertion code; `residue_name` takes one
character too many."""

WIDTH = 80
_BLANK = ord(" ")


def _code(text: bytes) -> int:
    return int.from_bytes(text, "little")


_ATOM, _HETATM, _ANISOU, _HETNAM = (_code(word) for word in (b"ATOM", b"HETA", b"ANIS", b"HETN"))
_TER, _END = ([_code(word + end) for end in (b" ", b"\n")] for word in (b"TER", b"END"))
RECORDS = (
    b"HEAD", b"OBSL", b"TITL", b"SPLI", b"CAVE", b"COMP", b"SOUR", b"KEYW", b"EXPD", b"MDLT", b"AUTH", b"REVD", b"SPRS",
    b"JRNL", b"REMA", b"DBRE", b"SEQA", b"SEQR", b"MODR", b"HET ", b"HETN", b"HETS", b"FORM", b"HELI", b"SHEE", b"TURN",
    b"SSBO", b"LINK", b"CISP", b"SITE", b"CRYS", b"ORIG", b"SCAL", b"MTRI", b"CONE", b"MAST", b"ANIS",
    b"TER ", b"TER\n", b"END ", b"END\n",
)  # fmt: skip
"""Records that say nothing about which atoms there are, or are read below; a file with any other is not regular."""
_UNDERSTOOD = frozenset(_code(word) for word in RECORDS)

_SYMBOLS = """
H D HE LI BE B C N O F NE NA MG AL SI P S CL AR K CA SC TI V CR MN FE CO NI CU ZN GA GE AS SE BR KR RB SR Y ZR NB MO TC
RU RH PD AG CD IN SN SB TE I XE CS BA LA CE PR ND SM EU GD TB DY HO ER TM YB LU HF TA W RE OS IR PT AU HG TL PB BI U
"""
ELEMENT_OF = np.zeros(1 << 16, dtype="<u2")  # columns 77-78 -> symbol without blanks, 0: not known here
for _symbol in _SYMBOLS.split():
    for _written in (_symbol.rjust(2), _symbol.ljust(2)):
        ELEMENT_OF[_code(_written.encode())] = _code(_symbol.encode())


class Lines(NamedTuple):
    """A atoms in R residues, and where TER records stand."""

    columns: dict[str, np.ndarray]  # fields of `Columns`, without `polymer` and `label`
    place: np.ndarray  # (R,) uint64, eight characters: the end of the name, chain, number and insertion code
    n_residues_before_ter: list[int]  # for each TER record


def read_lines(content: bytes) -> Lines | None:
    """Return the atoms of a file, which ends with a newline; None where any line is not regular."""
    found = _find_lines(content)
    if found is None:
        return None
    lines, n_atoms_before_ter = found
    bounds = _residue_bounds(lines)
    element = ELEMENT_OF.take(lines["element"])
    if bounds is None or not element.all() or not _charges_are_plain(lines["charge"]):
        return None
    first = bounds[:-1]
    residues = lines.view(f"V{WIDTH}")[first].view(_LINE)  # numpy would copy field by field
    numbers = _numbers(lines, residues) if _are_spelt_one_way(residues) else None
    if numbers is None:
        return None
    altloc = lines["altloc"].copy()
    altloc *= altloc != _BLANK
    columns = {
        **numbers,
        "name": _as_text(_without_blanks_behind(_left_aligned(lines["name"].copy()))),
        "element": element.view("S2"),
        "altloc": altloc,
        "first_atom": bounds,
        "residue_name": _as_text(_left_aligned(residues["residue_name"] & np.uint32(0xFFFFFF))),
        "insertion": residues["insertion"].copy(),
        "chain": _as_text(_left_aligned(residues["chain"].astype(np.uint32))),
        "hetero": residues["record"] == ord("H"),
    }
    return Lines(columns, residues["place"].copy(), first.searchsorted(n_atoms_before_ter).tolist())


# ---------------------------------------------------------------- lines
def _find_lines(content: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the atom lines, (A,) `_LINE`, and behind how many atoms each TER record stands; None: not regular."""
    if len(content) <= WIDTH or b"\r" in content or b"\0" in content:
        return None
    starts = _line_starts(content)
    if starts[-1] > len(content) - 4:
        return None
    word = np.ndarray((len(content) - 3,), dtype="<u4", buffer=content, strides=(1,))[starts]
    is_atom = (word == _ATOM) | (word == _HETATM)
    atoms, others = np.flatnonzero(is_atom), np.flatnonzero(~is_atom)
    other_word = word[others]
    kinds = set(other_word.tolist())
    if not len(atoms) or not _UNDERSTOOD.issuperset(kinds) or _is_short(starts, is_atom, len(content)):
        return None
    if not kinds.isdisjoint(_END) and (others[_is_one_of(other_word, _END)] < atoms[-1]).any():
        return None
    if _ANISOU in kinds and not is_atom[np.maximum(others[other_word == _ANISOU] - 1, 0)].all():
        return None
    for start in starts[others[other_word == _HETNAM]].tolist() if _HETNAM in kinds else ():
        if content[start + 70 : start + 79].partition(b"\n")[0].strip():
            return None  # the long name of a component that stands abbreviated in the atom lines
    return _lines_at(content, starts[atoms]), atoms.searchsorted(others[_is_one_of(other_word, _TER)])


def _lines_at(content: bytes, starts: np.ndarray) -> np.ndarray:
    begin, extent = int(starts[0]), (WIDTH + 1) * (len(starts) - 1)
    if starts[-1] - begin == extent:  # one block of lines of the usual length: a view is enough
        return np.ndarray(starts.shape, dtype=_LINE, buffer=content, offset=begin, strides=(WIDTH + 1,))
    every = np.ndarray((len(content) - WIDTH + 1,), dtype=f"V{WIDTH}", buffer=content, strides=(1,))
    return every[starts].view(_LINE)


def _is_short(starts: np.ndarray, is_atom: np.ndarray, end: int) -> bool:
    """Tell whether any atom line is."""
    short = np.flatnonzero(starts[1:] - starts[:-1] <= WIDTH)
    return bool(is_atom[short].any()) or bool(is_atom[-1] and end - starts[-1] <= WIDTH)


def _is_one_of(word: np.ndarray, two: list[int]) -> np.ndarray:
    return (word == two[0]) | (word == two[1])


def _line_starts(content: bytes) -> np.ndarray:
    text = np.frombuffer(content, dtype=np.uint8)
    is_newline = text == ord("\n")
    width = WIDTH + 1
    # The usual file has lines of one length, and is told by them much faster than by a search.
    if len(text) % width == 0 and is_newline[WIDTH::width].all() and np.count_nonzero(is_newline) * width == len(text):
        return np.arange(0, len(text), width)
    return np.append(0, np.flatnonzero(is_newline)[:-1] + 1)


# ---------------------------------------------------------------- numbers
_FLAG_BITS = 2
_POSITIVE, _BAD = 1 << 27, 1 << 29
"""A number is summed up as 4 times its magnitude, plus the flags of its pairs, plus `_POSITIVE` where it has no minus:
less than twice `_POSITIVE`. A bad pair makes it more, whatever the others are, and four of them negative."""
_HALF = _POSITIVE >> (_FLAG_BITS + 1)


def _table(worth: int, *forms: str, flag_unless: str = "", is_first: bool = False) -> np.ndarray:
    """Return what each pair of characters adds to a number, as a look-up table.

    Parameters
    ----------
    worth: what the last digit of the pair is worth.
    forms: the pairs that are right here, "0" stands for any digit.
    flag_unless: the form that says nothing about its neighbour; the others are flagged, for two flags make a field bad.
    is_first: the table of the first pair adds `_POSITIVE`, which a minus here or there takes away again.
    """
    table = np.full(_code(b"99") + 2, _BAD, dtype=np.int32)
    for pair in (a + b for a in " -.0123456789" for b in " -.0123456789"):
        form = "".join("0" if letter.isdigit() else letter for letter in pair)
        if form in forms:
            value = worth * int("".join(filter(str.isdigit, pair)) or 0)
            sign = _POSITIVE * (is_first - ("-" in pair))
            table[_code(pair.encode())] = (value << _FLAG_BITS) + bool(flag_unless and form != flag_unless) + sign
    return table


_START = ("  ", " -", " 0", "-0", "00")
_MIDDLE = (" 0", "-0", "00")
# Two flags are bad: where the first pair is not blank, the second must be two digits.
_COORD = (_table(100_000, *_START, flag_unless="  ", is_first=True), _table(1000, *_MIDDLE, flag_unless="00"),
          _table(100, ".0"), _table(1, "00"))  # fmt: skip
_SHORT = (_table(1000, *_START, is_first=True), _table(100, "0."), _table(1, "00"))
_INTEGER = (_table(100, *_START, flag_unless="  ", is_first=True), _table(1, *_MIDDLE, flag_unless="00"))


def _numbers(lines: np.ndarray, residues: np.ndarray) -> dict[str, np.ndarray] | None:
    """Return coord, occupancy, b_factor and number; None where a field is no plain number."""
    coord = _looked_up(lines["coord"], _COORD)
    other = _looked_up(lines["other"], _SHORT)
    number = _looked_up(residues["number"], _INTEGER)
    if coord is None or other is None or number is None:
        return None
    # All these integers are exact in 32 bits, so that the quotient is the nearest number to the decimal one.
    occupancy, b_factor = other.astype(np.float32) / np.float32(100)
    coord = np.divide(coord.T, np.float32(1000), dtype=np.float32, order="C", casting="unsafe")
    return {"coord": coord, "occupancy": occupancy, "b_factor": b_factor, "number": number}


NUMBERS = np.stack([*_COORD, *_SHORT, *_INTEGER])  # for the compiled reader


def _looked_up(pairs: np.ndarray, tables: tuple[np.ndarray, ...]) -> np.ndarray | None:
    """Return the integers, (..., N), that pairs of characters, (N, ..., P), make up by P tables; None where not."""
    # One dense block a table: numpy walks long rows several times faster than short ones.
    by_table = np.array(pairs.T, dtype=np.intp, order="C")
    total = tables[0].take(by_table[0], mode="clip")  # clipped to the last entry, which is bad
    for table, pair in zip(tables[1:], by_table[1:], strict=True):
        total += table.take(pair, mode="clip")
    seen = int(np.bitwise_or.reduce(total, axis=None))
    if not 0 <= seen < 2 * _POSITIVE or seen & 2:
        return None
    total >>= _FLAG_BITS
    total -= _HALF  # now half + magnitude, or magnitude - half where there is a minus
    np.abs(total, out=total)
    total -= _HALF
    return total


_CHARGES = frozenset(_code(pair) for a in b"0123456789" for b in b" +-" for pair in (bytes([a, b]), bytes([b, a])))


def _charges_are_plain(charge: np.ndarray) -> bool:
    """Tell whether columns 79-80 are blank or a digit and a sign; a damaged charge makes the general reader speak."""
    is_blank = charge == _code(b"  ")
    return bool(is_blank.all()) or _CHARGES.issuperset(charge[~is_blank].tolist())


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


def _residue_bounds(lines: np.ndarray) -> np.ndarray | None:
    """Return the first atom of each residue and the end, (R + 1,); None where the segment changes inside a residue."""
    residue, place, segment = lines["residue"].copy(), lines["place"].copy(), lines["segment"].copy()
    new = (residue[1:] != residue[:-1]) | (place[1:] != place[:-1])
    if ((segment[1:] != segment[:-1]) > new).any():
        return None
    inner = np.flatnonzero(new)
    bounds = np.empty(len(inner) + 2, dtype=np.intp)
    bounds[0], bounds[-1] = 0, len(lines)
    np.add(inner, 1, out=bounds[1:-1])
    return bounds


def _are_spelt_one_way(residues: np.ndarray) -> bool:
    """Tell whether names are aligned to the right and numbers no needless zero, so that only equal text is equal."""
    text = residues.view(np.uint8).reshape(-1, WIDTH)
    if (text[:, 19] == _BLANK).any() or ((text[:, 21] == _BLANK) > (text[:, 20] == _BLANK)).any():
        return False
    number = text[:, 22:26]
    # Hardly a number begins with a zero, so the exact look at each is seldom needed.
    if not ((number[:, 1:] == _ZERO) & (number[:, :-1] < _ZERO)).any() and not (number[:, 0] == _ZERO).any():
        return True
    padded = np.full((len(residues), 6), _BLANK, dtype=np.uint8)
    padded[:, 2:] = number
    return _ODD_ZERO.search(padded.tobytes()) is None


_ZERO = ord("0")
_ODD_ZERO = re.compile(rb"[ -]0\d|-0")
