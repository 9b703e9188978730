"""The header of a PDB file: sequences, method, resolution, modified residues, and whether B-factors are confidences."""

from __future__ import annotations

import re

from tertia.structure.columns import Header

_PREDICTION = re.compile(rb"\b(ALPHAFOLD|ESMFOLD|COLABFOLD|OPENFOLD|ROSETTAFOLD|OMEGAFOLD)\b.*\b(PREDICTION|MODEL)")
_RESOLUTION = re.compile(rb"^REMARK   2 RESOLUTION\. +([0-9.]+) +ANGSTROM", re.MULTILINE)


def read_header(content: bytes, *, n_models: int, notes: tuple[str, ...] = ()) -> Header:
    """Return what stands above the first atom."""
    end = content.find(b"\nATOM")  # a search that ends with a blank takes four times as long
    end = content.find(b"\nATOM  ", end) if end >= 0 else end
    head = content[: end + 1] if end >= 0 else content
    head = head[: head.find(b"\nHETATM") + 1 or None]
    if not head or head.startswith((b"ATOM", b"HETATM")):
        return Header(format="pdb", n_models=n_models, notes=notes)
    remark = head.find(b"REMARK   2 RESOLUTION")
    found = _RESOLUTION.search(head, remark) if remark >= 0 else None
    method = _joined(head, b"EXPDTA").strip().decode("latin1")
    return Header(
        format="pdb",
        method=method,
        resolution=_positive(found[1]) if found else None,
        plddt=holds_plddt(head, method),
        n_models=n_models,
        sequences=_sequences(head),
        parents=_parents(head),
        notes=notes,
    )


def holds_plddt(head: bytes, method: str) -> bool:
    """Decide from the metadata alone whether the B-factor column is a pLDDT.

    No experiment is named, and either the title says "<predictor> ... prediction", or the method is THEORETICAL MODEL
    and a remark says that the column holds pLDDT. The name of a predictor anywhere else says nothing: many crystal
    structures were solved with its help.
    """
    if method and "THEORETICAL" not in method.upper():
        return False
    if _PREDICTION.search(_joined(head, b"TITLE ").upper()):
        return True
    return bool(method) and b"PLDDT" in _joined(head, b"REMARK").upper()


def _lines(head: bytes, record: bytes) -> list[bytes]:
    """Return the lines of one record type, which stand together or at least between its first and last occurrence."""
    if not head.startswith(record) and b"\n" + record not in head:
        return []
    first = 0 if head.startswith(record) else head.find(b"\n" + record) + 1
    last = head.find(b"\n", max(head.rfind(b"\n" + record) + 1, first))
    return [line for line in head[first : last if last >= 0 else None].split(b"\n") if line.startswith(record)]


def _joined(head: bytes, record: bytes) -> bytes:
    return b" ".join([line[10:80].strip() for line in _lines(head, record)])


def _sequences(head: bytes) -> dict[str, tuple[str, ...]]:
    names: dict[bytes, list[bytes]] = {}
    for line in _lines(head, b"SEQRES"):
        names.setdefault(line[11:12].strip(), []).append(line[19:70])
    listed = {chain.decode("latin1"): b" ".join(part).decode("latin1").split() for chain, part in names.items()}
    return {chain: tuple(sequence) for chain, sequence in listed.items() if sequence}


def _parents(head: bytes) -> dict[str, str]:
    pairs = [(line[12:15].strip().decode("latin1"), line[24:27].strip().decode("latin1"))
             for line in _lines(head, b"MODRES")]  # fmt: skip
    return {name: parent for name, parent in pairs if name and parent}


def _positive(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value > 0 else None
