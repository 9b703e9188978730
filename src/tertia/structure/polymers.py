"""From columns to protein chains: heavy atoms, one conformer, parents, register; every step is reported."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from tertia.residues import LETTER_OF_NAME, NAME_OF_LETTER, UNKNOWN
from tertia.structure.chain import Atoms, Chain
from tertia.structure.columns import Columns, Header
from tertia.structure.conformers import repeated_names
from tertia.structure.parents import LETTER_OF_COMPONENT
from tertia.structure.read_columns import align
from tertia.structure.register import (
    BROKEN,
    Register,
    places_by_number,
    register_by_numbers,
    register_by_sequence,
    steps,
)
from tertia.structure.report import ChainReport, Change, change
from tertia.structure.tidy import Tidy

LARGEST_ALIGNMENT = 500_000_000
"""Residues of the full sequence times observed residues; titin has 35,000. Time and memory grow with it."""

_NO_LETTER = ord("-")
_STANDARD = frozenset(name.encode() for name in LETTER_OF_NAME)
_MULTIPLIER = np.uint64(0x91B7584A2265B1F5)  # any that gives the 20 standard names different places of 256
_WATERS = frozenset({b"HOH", b"DOD", b"WAT", b"H2O", b"TIP", b"SOL"})


@dataclass(frozen=True)
class Provenance:
    """Where the chains of one file come from."""

    file: str
    entry: str
    frame: str


def protein_chains(
    columns: Columns, header: Header, origin: Provenance
) -> tuple[list[tuple[Chain, ChainReport]], list[str]]:
    """Return the protein chains with their reports, and notes on everything else in the file."""
    tidy = Tidy(columns)
    letters = _letters(columns, header)
    amino = letters != _NO_LETTER
    found, notes, used = [], [], np.zeros(len(amino), dtype=bool)
    names = columns.chain.tolist()
    unique = dict.fromkeys(names)
    for name in unique:
        here = columns.chain == name if len(unique) > 1 else np.ones(len(amino), dtype=bool)
        changes: list[Change] = []
        residues = _protein_residues(tidy, here, amino, changes)
        if len(residues):
            used[residues] = True
            residues = tidy.one_residue_a_place(residues, changes)
            result = _build(tidy, residues, name, letters, header, origin, changes)
            if result is None:
                notes.append(
                    f"chain {_chain_id(name)}: no atom with finite coordinates is left, the chain was not read"
                )
            else:
                found.append(result)
    return found, notes + _other_molecules(columns, used, names)


def _letters(columns: Columns, header: Header) -> np.ndarray:
    """Return the letter of every residue, (R,) uint8 characters, "-" where it is no amino acid."""
    code = columns.residue_name.view(np.uint64)
    slot = _slot_of(code)
    letters = _LETTER_IN_SLOT.take(slot)
    other = np.flatnonzero(_CODE_IN_SLOT.take(slot) != code)
    if len(other):
        names = columns.residue_name.take(other).tolist()
        letter_of = {name: ord(_letter_of(name.decode("latin1"), header)) for name in set(names)}
        letters[other] = [letter_of[name] for name in names]
    return letters


def _letter_of(name: str, header: Header) -> str:
    return LETTER_OF_COMPONENT.get(name) or LETTER_OF_NAME.get(header.parents.get(name, ""), "-")


def _slot_of(code: np.ndarray) -> np.ndarray:
    """Return the place of packed residue names in a table in which no two standard ones share a place."""
    return (code * _MULTIPLIER >> np.uint64(56)).astype(np.intp)


def _in_slots(names: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Lay the names and their letters into the table."""
    codes = np.array([name.encode() for name in names], dtype="S8").view(np.uint64)
    slot = _slot_of(codes)
    code_in_slot, letter_in_slot = np.zeros(256, dtype=np.uint64), np.zeros(256, dtype=np.uint8)
    code_in_slot[slot], letter_in_slot[slot] = codes, np.frombuffer("".join(names.values()).encode(), dtype=np.uint8)
    return code_in_slot, letter_in_slot


_CODE_IN_SLOT, _LETTER_IN_SLOT = _in_slots(LETTER_OF_NAME)


def _protein_residues(tidy: Tidy, here: np.ndarray, amino: np.ndarray, changes: list[Change]) -> np.ndarray:
    """Return the residues of the protein part of one chain in order, none where it is no protein.

    TER records lie: extracts put them at every break, and modified residues (HETATM) behind the last one. So amino
    acids in ATOM records belong to the chain wherever they stand, and those in HETATM records where they touch, in
    space, the residue that their number says is their neighbour.
    """
    c = tidy.columns
    in_chain = here & (c.polymer | (amino & ~c.hetero))
    residues = np.flatnonzero(in_chain)
    if not len(residues) or 2 * np.count_nonzero(amino[residues]) < len(residues):
        return residues[:0]
    strays = np.flatnonzero(here & amino & ~in_chain)
    if len(strays):
        order = residues.tolist()
        for stray in strays.tolist():
            _rejoin(tidy, order, stray, changes)
        residues = np.array(order)
    return residues


def _rejoin(tidy: Tidy, order: list[int], stray: int, changes: list[Change]) -> None:
    number, alpha = tidy.columns.number, tidy.alpha
    away = number[order].astype(np.int64) - int(number[stray])
    for place in np.flatnonzero(np.abs(away) == 1).tolist():
        if np.linalg.norm(alpha[stray] - alpha[order[place]]) <= BROKEN:
            order.insert(place + int(away[place] == -1), stray)
            changes.append(change("rejoined", tidy.id_of(stray), "behind the end of the chain", "in the chain"))
            return


def _build(tidy: Tidy, residues: np.ndarray, name: bytes, letters: np.ndarray, header: Header,
           origin: Provenance, changes: list[Change]) -> tuple[Chain, ChainReport] | None:  # fmt: skip
    all_rows = rows = tidy.rows_of(residues)
    kept = tidy.kept[rows]
    if not kept.all():
        rows = _listed(rows)[kept]
    if not tidy.all_kept:
        occupied = np.zeros(len(letters), dtype=bool)
        occupied[tidy.residue_of_atom[rows]] = True
        changes += _atom_changes(tidy, _listed(all_rows), residues, occupied)
        residues = residues[occupied[residues]]
        if not len(residues):
            return None
    if tidy.chosen:
        changes += [change("altloc", tidy.id_of(r), *tidy.chosen[r]) for r in residues.tolist() if r in tidy.chosen]
    ids = tidy.ids_of(residues)
    names = tidy.columns.residue_name.take(residues).tolist()
    observed = letters[residues].tobytes().decode().replace("-", UNKNOWN)
    if not _STANDARD.issuperset(names):
        changes += _name_changes(names, observed, ids)
    register = _register(tidy, residues, observed, ids, header, name.decode("latin1"), changes)
    rank = np.empty(len(letters), dtype=np.int32)
    rank[residues] = register.position
    atoms = _atoms(tidy.columns, rows, rank[tidy.residue_of_atom[rows]], ids, register.position, changes)
    chain = _chain(atoms, register, ids, name, header, origin, changes)
    unseen = np.flatnonzero(np.isnan(tidy.alpha[residues, 0])).tolist()
    changes += [change("no_alpha", ids[k], names[k].decode("latin1"), "kept without a C-alpha") for k in unseen]
    n_seen = len(residues) - len(unseen)
    report = ChainReport(origin.file, origin.entry, chain.id, chain.sequence, len(chain), n_seen, register.gaps,
                         tuple(changes), chain.meta)  # fmt: skip
    return chain, report


def _chain(atoms: Atoms, register: Register, ids: list[str], name: bytes, header: Header, origin: Provenance,
           changes: list[Change]) -> Chain:  # fmt: skip
    residue_id = ids
    if len(ids) < len(register.sequence):
        named = np.full(len(register.sequence), "", dtype=object)
        listed = header.author_ids.get(name.decode("latin1"), ())
        if len(listed) == len(named) == len(header.sequences.get(name.decode("latin1"), ())):
            named[:] = listed
        named[register.position] = ids
        residue_id = named.tolist()
    if not name.strip():
        changes.append(change("blank_chain_name", "", "", _chain_id(name)))
    meta = {"method": header.method, "resolution": header.resolution, "plddt": header.plddt, "format": header.format}
    return Chain(origin.entry, _chain_id(name), register.sequence, tuple(residue_id), register.label_number, atoms,
                 origin.frame, meta)  # fmt: skip


def _chain_id(name: bytes) -> str:
    return name.decode("latin1").strip() or "_"


def _atom_changes(tidy: Tidy, rows: np.ndarray, residues: np.ndarray, occupied: np.ndarray) -> list[Change]:
    changes = []
    n_hydrogens = int(tidy.is_hydrogen[rows].sum())
    if n_hydrogens:
        changes.append(change("hydrogens_dropped", "", str(n_hydrogens), "0"))
    for row in rows[~tidy.is_placed[rows]].tolist():
        atom = tidy.columns.name[row].decode("latin1")
        changes.append(
            change("atom_refused", tidy.id_of(tidy.residue_of_atom[row]), f"{atom}: no or an absurd coordinate", "")
        )
    for residue in residues[~occupied[residues]].tolist():
        changes.append(
            change("residue_without_atoms", tidy.id_of(residue), "no heavy atom with coordinates", "missing")
        )
    return changes


def _name_changes(names: list[bytes], observed: str, ids: list[str]) -> list[Change]:
    changes = []
    for name, letter, where in zip(names, observed, ids, strict=True):
        text = name.decode("latin1")
        if text not in LETTER_OF_NAME:
            kind = "unknown_residue" if letter == UNKNOWN else "modified_residue"
            changes.append(change(kind, where, text, NAME_OF_LETTER.get(letter, UNKNOWN)))
    return changes


def _register(tidy: Tidy, residues: np.ndarray, observed: str, ids: list[str], header: Header, chain: str,
              changes: list[Change]) -> Register:  # fmt: skip
    alpha = tidy.alpha[residues]
    full = header.sequences.get(chain)
    label = tidy.columns.label[residues] if tidy.columns.label is not None else None
    if full and not _in_order(label, len(full)):
        names = tidy.columns.residue_name[residues].tolist()
        text_of = {name: name.decode("latin1") for name in set(names)}
        names = [text_of[name] for name in names]
        label = _places(full, names, tidy, residues)
        if label is None:
            changes.append(change("sequence_refused", "", f"full sequence of {len(full)} residues", "author numbers"))
            full = None
    if full:
        letter_of = {name: LETTER_OF_COMPONENT.get(name) or _own_parent(header, name) for name in set(full)}
        letters = "".join([letter_of[name] for name in full])
        named = np.frombuffer(letters.encode(), dtype=np.uint8)[label - 1].tobytes().decode()
        if named != observed:
            changes += [
                change("sequence_conflict", where, before, after)
                for where, before, after in zip(ids, named, observed, strict=True)
                if before != after
            ]
        return register_by_sequence(letters, observed, label, alpha, ids)
    if _in_order(label, None):
        return register_by_numbers(observed, label, alpha, ids, is_label=True)
    return register_by_numbers(observed, tidy.columns.number[residues].astype(np.int64), alpha, ids, is_label=False)


def _places(full: tuple[str, ...], names: list[str], tidy: Tidy, residues: np.ndarray) -> np.ndarray | None:
    """Find the observed residues in the full sequence: by their numbers where these agree, else by alignment."""
    if len(full) * len(names) > LARGEST_ALIGNMENT:
        return None
    by_number = places_by_number(full, names, tidy.columns.number[residues])
    if by_number is not None:
        return by_number
    return align(full, names, ~(steps(tidy.alpha[residues]) <= BROKEN))


def _in_order(label: np.ndarray | None, length: int | None) -> bool:
    if label is None or label[0] < 1 or (length is not None and label[-1] > length):
        return False
    return bool((label[1:] > label[:-1]).all())


def _own_parent(header: Header, name: str) -> str:
    return LETTER_OF_NAME.get(header.parents.get(name, ""), UNKNOWN)


def _atoms(c: Columns, rows: np.ndarray | slice, residue_of_atom: np.ndarray, ids: list[str], position: np.ndarray,
           changes: list[Change]) -> Atoms:  # fmt: skip
    again = repeated_names(c.name[rows], residue_of_atom)
    if len(again):
        rows = _listed(rows)
        for row in again.tolist():
            residue = ids[int(np.searchsorted(position, residue_of_atom[row]))]
            changes.append(change("repeated_atom", residue, c.name[rows[row]].decode("latin1"), "first kept"))
        rows, residue_of_atom = np.delete(rows, again), np.delete(residue_of_atom, again)
    if not isinstance(rows, slice) and (rows[1:] - rows[:-1] == 1).all():
        rows = slice(rows[0], rows[-1] + 1)  # a view instead of a copy
    return Atoms(
        name=_wide(c.name[rows], 4),
        element=_wide(c.element[rows], 2),
        coord=c.coord[rows],
        residue_of_atom=residue_of_atom,
        occupancy=c.occupancy[rows],
        b_factor=c.b_factor[rows],
    )


def _listed(rows: np.ndarray | slice) -> np.ndarray:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def _wide(text: np.ndarray, width: int) -> np.ndarray:
    """Return (n,) bytes as (n,) str of the given width; numpy's own conversion is 20 times slower."""
    if text.itemsize == 2 * width:  # what is dense is widened several times faster
        text = text.view(f"S{width}")[::2].copy()
    letters = text.view(np.uint8).reshape(len(text), -1)[:, :width]
    return np.ascontiguousarray(letters, dtype=np.uint32).view(f"U{width}")[:, 0]


def _other_molecules(columns: Columns, used: np.ndarray, chains: list[bytes]) -> list[str]:
    """Count what is no protein: waters, ligands and ions by name, other polymers by chain."""
    notes = []
    others = np.flatnonzero(~used)
    if not len(others):
        return notes
    polymer = columns.polymer[others]
    waters_and_ligands = Counter(columns.residue_name[others[~polymer]].tolist())
    n_waters = sum(waters_and_ligands.pop(name, 0) for name in _WATERS)
    if n_waters:
        notes.append(f"{n_waters} waters set apart")
    if waters_and_ligands:
        listed = ", ".join(f"{name.decode('latin1')} {n}" for name, n in sorted(waters_and_ligands.items()))
        notes.append(f"ligands and ions set apart: {listed}")
    for name, n in Counter([chains[residue] for residue in others[polymer].tolist()]).items():
        notes.append(f"chain {_chain_id(name)}: {n} residues of a polymer that is no protein set apart")
    return notes
