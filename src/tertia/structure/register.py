"""The register of a chain: where each observed residue lies in the full sequence, and where residues are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from tertia.residues import UNKNOWN
from tertia.structure.report import Gap

BROKEN = 4.5
"""CA-CA distance in Angstrom above which no peptide bond joins two residues (trans 3.8, cis 2.9)."""

LONGEST_INSERTION = 100
"""Most residues that a jump of the numbers is believed to stand for; beyond it the gap is only flagged."""


@dataclass(frozen=True)
class Register:
    """Where the n observed residues of a chain lie among its L positions."""

    sequence: str  # (L,) letters
    position: np.ndarray  # (n,) int64, 0-based position of each observed residue, ascending
    label_number: np.ndarray  # (L,) int32, 1-based number in the full sequence
    gaps: tuple[Gap, ...]


def steps(alpha: np.ndarray) -> np.ndarray:
    """Return the distance of each residue to the next, (n - 1,) Angstrom; NaN where a CA is missing."""
    bond = alpha[1:] - alpha[:-1]
    return np.sqrt(np.einsum("nd,nd->n", bond, bond))


def places_by_number(full: Sequence[str], observed: Sequence[str], number: np.ndarray) -> np.ndarray | None:
    """Return the 1-based place of each observed residue where one shift of the author numbers makes every name agree.

    None where no shift does (insertion codes, jumps of the numbering, other residues): an alignment decides then.
    """
    place = number.astype(np.int64) - int(number[0])
    slack = len(full) - int(place[-1]) - 1
    if slack < 0 or (place[1:] <= place[:-1]).any():
        return None
    last, wanted = int(place[-1]), tuple(observed)
    chosen = itemgetter(*place.tolist(), last)  # the last one twice, for of one place it would return no tuple
    for shift in range(slack + 1):
        ends_agree = full[shift] == wanted[0] and full[shift + last] == wanted[-1]
        if ends_agree and chosen(full[shift:]) == (*wanted, wanted[-1]):
            return place + shift + 1
    return None


def register_by_sequence(
    full: str, observed: str, label: np.ndarray, alpha: np.ndarray, ids: Sequence[str]
) -> Register:
    """Lay the observed residues on a known full sequence; at observed positions the coordinates decide the letter.

    Parameters
    ----------
    full: (L,) letters of the full sequence.
    observed: (n,) letters of the residues with coordinates.
    label: (n,) 1-based numbers in `full`, ascending.
    alpha: (n, 3) Angstrom, NaN where there is no CA.
    ids: (n,) author residue ids.
    """
    position = label - 1
    letters = np.array(bytearray(full.encode()))
    letters[position] = np.frombuffer(observed.encode(), dtype=np.uint8)
    gaps = _sequence_gaps(position, len(full), ids) + _breaks(position, alpha, ids)
    numbers = np.arange(1, len(full) + 1, dtype=np.int32)
    gaps.sort(key=lambda gap: gap.start)
    return Register(letters.tobytes().decode(), position, numbers, tuple(gaps))


def register_by_numbers(
    observed: str, number: np.ndarray, alpha: np.ndarray, ids: Sequence[str], *, is_label: bool
) -> Register:
    """Find missing residues from jumps of the residue numbers, where no full sequence is known.

    Unknown residues (X) are inserted only where the numbers jump, no peptide bond joins the two sides, and the jump is
    at most `LONGEST_INSERTION`; any other break or jump is flagged and nothing is inserted, for numbers are labels:
    they jump in unbroken chains and restart in engineered ones.

    Parameters
    ----------
    observed: (n,) letters.
    number: (n,) residue numbers (author's, or those of the file's own sequence when `is_label`).
    alpha: (n, 3) Angstrom, NaN where there is no CA.
    ids: (n,) author residue ids.
    is_label: numbers of a sequence table are believed without a broken bond.
    """
    n = len(observed)
    jump = number[1:] - number[:-1] - 1
    step = steps(alpha)
    broken = ~(step <= BROKEN)  # a distance that is not known counts as broken
    first = int(number[0]) if is_label and n else 1
    if not jump.any() and not broken.any():
        return Register(observed, np.arange(n), np.arange(first, first + n, dtype=np.int32), ())
    inserted = np.where((jump > 0) & (jump <= LONGEST_INSERTION) & (broken | is_label), jump, 0)
    shift = np.concatenate([[0], np.cumsum(inserted)])
    position = np.arange(n) + shift
    letters = np.full(n + int(shift[-1]), ord(UNKNOWN), dtype=np.uint8)
    letters[position] = np.frombuffer(observed.encode(), dtype=np.uint8)
    gaps = []
    for k in np.flatnonzero((inserted > 0) | (step > BROKEN)).tolist():
        evidence = "numbering" if inserted[k] else "break"
        gaps.append(Gap(int(position[k]) + 1, int(inserted[k]), ids[k], ids[k + 1], evidence))
    numbers = np.arange(first, first + len(letters), dtype=np.int32)
    return Register(letters.tobytes().decode(), position, numbers, tuple(gaps))


def _sequence_gaps(position: np.ndarray, length: int, ids: Sequence[str]) -> list[Gap]:
    bounds = np.empty(len(position) + 2, dtype=np.int64)
    bounds[0], bounds[1:-1], bounds[-1] = -1, position, length
    missing = bounds[1:] - bounds[:-1] - 1
    named = ["", *ids, ""]
    return [
        Gap(int(bounds[k]) + 1, int(missing[k]), named[k], named[k + 1], "sequence") for k in np.flatnonzero(missing)
    ]


def _breaks(position: np.ndarray, alpha: np.ndarray, ids: Sequence[str]) -> list[Gap]:
    """Neighbours in the sequence that no bond joins."""
    apart = np.flatnonzero(steps(alpha) > BROKEN)
    apart = apart[position[apart + 1] - position[apart] == 1]
    return [Gap(int(position[k]) + 1, 0, ids[k], ids[k + 1], "break") for k in apart.tolist()]
