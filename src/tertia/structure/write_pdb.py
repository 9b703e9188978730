"""Write a chain as a PDB file, with the B-factor column for whatever is to be shown on the structure."""

from __future__ import annotations

import re

import numpy as np

from tertia.errors import InputError
from tertia.residues import NAME_OF_LETTER
from tertia.structure.chain import Chain

_UNKNOWN_NAME = "UNK"
_RESIDUE_ID = re.compile(r"(-?\d+)([A-Za-z]?)")
_LOWEST_NUMBER, _HIGHEST_NUMBER = -999, 9999
_FARTHEST_LEFT, _FARTHEST_RIGHT = -999.999, 9999.999  # Angstrom, what eight columns hold
_LOWEST_B, _HIGHEST_B = -99.99, 999.99


def pdb_text(chain: Chain, *, b_factor: np.ndarray | None = None, remarks: tuple[str, ...] = ()) -> str:
    """Return a chain as PDB text: SEQRES of the whole sequence, one ATOM row an atom, TER, END.

    Residues keep their author numbers where these fit into the columns, and are all numbered along the full sequence
    where one does not (a remark says so). A chain name longer than one letter is written as A (a remark says so).
    Residues have the standard name of their letter, UNK for X.

    Parameters
    ----------
    b_factor: (L,) one value a residue for the B-factor column, -99.99 to 999.99; NaN is written as 0. Default: the
        atoms' own.
    remarks: lines for REMARK 1, cut at 68 letters each.

    Raises
    ------
    InputError: coordinates, B-factors or residue numbers that the columns of the format cannot hold, or no atoms.
    ValueError: when `b_factor` has another length than the chain.
    """
    atoms = chain.atoms
    if atoms is None or not len(atoms):
        raise InputError(chain.frame, chain.key, found="has no atoms to write")
    if b_factor is not None and len(b_factor) != len(chain):
        raise ValueError(f"b_factor has {len(b_factor)} values for {len(chain)} residues")
    values = atoms.b_factor if b_factor is None else np.asarray(b_factor, dtype=np.float64)[atoms.residue_of_atom]
    values = np.where(np.isnan(values), 0.0, values)
    _check(chain, atoms.coord, _FARTHEST_LEFT, _FARTHEST_RIGHT, "a coordinate")
    _check(chain, values, _LOWEST_B, _HIGHEST_B, "a B-factor")
    letter, notes = _chain_letter(chain)
    numbers, more = _numbers(chain)
    names = [NAME_OF_LETTER.get(one, _UNKNOWN_NAME) for one in chain.sequence]
    lines = [f"REMARK   1 {_ascii(text)[:68]}".rstrip() for text in (*remarks, *notes, *more)]
    lines += _seqres(names, letter)
    columns = (atoms.name.tolist(), atoms.element.tolist(), atoms.residue_of_atom.tolist(), atoms.coord.tolist(),
               atoms.occupancy.tolist(), values.tolist())  # fmt: skip
    serial = 0
    for serial, (name, element, k, (x, y, z), occupancy, value) in enumerate(zip(*columns, strict=True), 1):
        padded = name if len(name) > 3 or len(element) > 1 else f" {name}"
        lines.append(
            f"ATOM  {serial % 100000:5d} {padded:<4.4s} {names[k]:>3s} {letter}{numbers[k]}   "
            f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{value:6.2f}          {element:>2s}"
        )
    last = int(atoms.residue_of_atom[-1])
    lines += [f"TER   {(serial + 1) % 100000:5d}      {names[last]:>3s} {letter}{numbers[last]}".rstrip(), "END"]
    return "\n".join(lines) + "\n"


def _check(chain: Chain, values: np.ndarray, low: float, high: float, what: str) -> None:
    wrong = ~((values >= low) & (values <= high))
    if wrong.any():
        found = f"{what} of {float(values[wrong].flat[0]):g}, which a PDB file cannot hold"
        raise InputError(chain.frame, chain.key, found=found, allowed=f"{low:g} to {high:g}")


def _chain_letter(chain: Chain) -> tuple[str, list[str]]:
    if len(chain.id) == 1 and chain.id.isascii() and chain.id.isalnum():
        return chain.id, []
    return "A", [f"chain {chain.id or '(blank)'} is written as A"]


def _numbers(chain: Chain) -> tuple[list[str], list[str]]:
    """Return five columns a residue, number and insertion code, and what there is to remark."""
    known = [_RESIDUE_ID.fullmatch(text) for text in chain.residue_id]
    labels = chain.label_number.tolist()
    seen = sorted(set(chain.atoms.residue_of_atom.tolist()))
    parts = [(int(match[1]), match[2]) if match else None for match in known]
    used = [parts[k] for k in seen]
    fits = all(part is not None and _LOWEST_NUMBER <= part[0] <= _HIGHEST_NUMBER for part in used)
    if fits and len(set(used)) == len(used):
        return [f"{part[0]:4d}{part[1]:1s}" if part else "     " for part in parts], []
    if max(labels) > _HIGHEST_NUMBER:
        found = f"{max(labels):,} residues, which a PDB file cannot number"
        raise InputError(chain.frame, chain.key, found=found, allowed=f"at most {_HIGHEST_NUMBER:,}")
    return [f"{label:4d} " for label in labels], ["residues are numbered along the full sequence"]


def _seqres(names: list[str], letter: str) -> list[str]:
    rows = [names[k : k + 13] for k in range(0, len(names), 13)]
    return [f"SEQRES {k % 1000:3d} {letter} {len(names):4d}  {' '.join(row)}" for k, row in enumerate(rows, 1)]


def _ascii(text: str) -> str:
    return "".join(one if " " <= one <= "~" else "?" for one in text)
