"""One chain as flat columns, and back: what a journal record and a row of a shard have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from tertia.errors import InputError
from tertia.residues import letter_indices
from tertia.structure.chain import Atoms, Chain

RESIDUE_COLUMNS = {"alpha": np.float32, "letter": np.uint8, "sequence": np.uint8, "atoms_of_residue": np.uint16}
ATOM_COLUMNS = {"coord": np.float32, "atom_code": np.uint16, "occupancy": np.float32, "b_factor": np.float32}
WIDTH = {"alpha": 3, "coord": 3}
"""Values a row; every other column has one."""
MOST_ATOMS = np.iinfo(np.uint16).max

Vocabulary = list[tuple[str, str]]
"""(atom name, element) pairs; `atom_code` points into it."""


def chain_columns(chain: Chain) -> tuple[dict[str, np.ndarray], Vocabulary]:
    """Return the columns of one chain and the (name, element) pairs its atom codes point to, sorted.

    Raises InputError for a residue of more atoms than a store can count.
    """
    columns = {
        "alpha": np.asarray(chain.alpha, np.float32),
        "letter": letter_indices(chain.sequence),
        "sequence": np.frombuffer(chain.sequence.encode("ascii"), np.uint8),
        "text": np.frombuffer(_text(chain), np.uint8),
    }
    atoms = chain.atoms
    if atoms is None or not len(atoms):
        columns["atoms_of_residue"] = np.zeros(len(chain), np.uint16)
        columns |= {name: np.zeros((0, 3) if name in WIDTH else 0, dtype) for name, dtype in ATOM_COLUMNS.items()}
        return columns, []
    n_atoms = np.bincount(atoms.residue_of_atom, minlength=len(chain))
    if n_atoms.max() > MOST_ATOMS:
        found = f"residue {int(n_atoms.argmax()) + 1} has {n_atoms.max():,} atoms"
        raise InputError(chain.frame, chain.key, found=found, allowed=f"at most {MOST_ATOMS:,}")
    pairs = list(zip(np.asarray(atoms.name, str).tolist(), np.asarray(atoms.element, str).tolist(), strict=True))
    vocabulary = sorted(set(pairs))  # a dictionary of a few dozen pairs beats sorting thousands of strings
    code_of_pair = {pair: code for code, pair in enumerate(vocabulary)}
    columns |= {
        "atoms_of_residue": n_atoms.astype(np.uint16),
        "coord": np.asarray(atoms.coord, np.float32),
        "atom_code": np.fromiter(map(code_of_pair.__getitem__, pairs), np.uint16, len(pairs)),
        "occupancy": np.asarray(atoms.occupancy, np.float32),
        "b_factor": np.asarray(atoms.b_factor, np.float32),
    }
    return columns, vocabulary


def columns_chain(columns: dict[str, np.ndarray], vocabulary: Vocabulary) -> Chain:
    """Return the chain that `chain_columns` took apart; without atom columns it has its C-alphas only."""
    text = json.loads(columns["text"].tobytes())
    length = len(columns["sequence"])
    if "coord" in columns:
        name = np.array([pair[0] for pair in vocabulary] or [""])[columns["atom_code"]]
        element = np.array([pair[1] for pair in vocabulary] or [""])[columns["atom_code"]]
        residue_of_atom = np.repeat(np.arange(length, dtype=np.int32), columns["atoms_of_residue"])
        atoms = Atoms(
            name, element, columns["coord"], residue_of_atom, columns["occupancy"], columns["b_factor"]
        )  # fmt: skip
    else:
        atoms = _alpha_atoms(columns["alpha"])
    return Chain(
        entry=text["entry"],
        id=text["id"],
        sequence=columns["sequence"].tobytes().decode("ascii"),
        residue_id=tuple(unfold_runs(text["residue_id"])),
        label_number=np.array(unfold_runs(text["label_number"]), np.int32),
        atoms=None if text.get("no_atoms") else atoms,
        frame=text["frame"],
        meta=text["meta"],
    )


def _alpha_atoms(alpha: np.ndarray) -> Atoms:
    seen = np.flatnonzero(np.isfinite(alpha[:, 0])).astype(np.int32)
    n_seen = len(seen)
    return Atoms(
        np.full(n_seen, "CA"), np.full(n_seen, "C"), alpha[seen], seen,
        np.ones(n_seen, np.float32), np.zeros(n_seen, np.float32),
    )  # fmt: skip


def _text(chain: Chain) -> bytes:
    values: dict[str, object] = {
        "entry": chain.entry,
        "id": chain.id,
        "frame": chain.frame,
        "meta": dict(chain.meta),
        "residue_id": fold_runs(chain.residue_id),
        "label_number": fold_runs([str(number) for number in np.asarray(chain.label_number).tolist()]),
    }
    if chain.atoms is None:
        values["no_atoms"] = True
    return json.dumps(values, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> object:
    """Turn numpy values of a chain's meta into what JSON knows."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"meta holds a {type(value).__name__}, which JSON cannot")


def fold_runs(labels: Sequence[str]) -> str | list[str]:
    """Return labels with runs of counting numbers folded: "5:120 120A 121:300"; "~3" are three empty labels.

    Labels that would not come back unchanged (blanks, colons) are returned as a plain list.
    """
    labels = list(labels)
    tokens: list[str] = []
    i = 0
    while i < len(labels):
        j = i + 1
        if labels[i] == "":
            while j < len(labels) and labels[j] == "":
                j += 1
            tokens.append(f"~{j - i}")
        elif _is_number(labels[i]):
            first = int(labels[i])
            while j < len(labels) and labels[j] == str(first + j - i):
                j += 1
            tokens.append(labels[i] if j == i + 1 else f"{first}:{first + j - i - 1}")
        else:
            tokens.append(labels[i])
        i = j
    folded = " ".join(tokens)
    try:
        return folded if unfold_runs(folded) == labels else labels
    except ValueError:
        return labels


def unfold_runs(folded: str | list[str]) -> list[str]:
    """Return the labels that `fold_runs` folded."""
    if isinstance(folded, list):
        return folded
    labels: list[str] = []
    for token in folded.split(" ") if folded else []:
        if token.startswith("~"):
            labels += [""] * int(token[1:])
        elif ":" in token:
            first, last = map(int, token.split(":"))
            labels += map(str, range(first, last + 1))
        else:
            labels.append(token)
    return labels


def _is_number(label: str) -> bool:
    digits = label[1:] if label[:1] == "-" else label
    return digits.isascii() and digits.isdigit() and str(int(label)) == label
