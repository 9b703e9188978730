"""Small synthetic proteins for tests: backbones with ideal geometry, and PDB / mmCIF writers without a library.

    text = pdb_text([polymer(30, seed=1, chain="A")])
    chain = make_chain(64, seed=3)

Every builder returns new objects; `dataclasses.replace` and the functions `without`, `renamed`, `with_altloc`,
`renumbered` and `with_hydrogens` change one thing at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import cos, pi, radians, sin, sqrt

import numpy as np

from tertia.residues import LETTERS, NAME_OF_LETTER
from tertia.structure.chain import Atoms, Chain

BACKBONE = ("N", "CA", "C", "O", "CB")
NAME_OF = {**NAME_OF_LETTER, "X": "UNK"}


# ---------------------------------------------------------------- coordinates
def _place(a: tuple, b: tuple, c: tuple, length: float, angle: float, dihedral: float) -> tuple:
    """Return the point at `length` from c, with the given angle (b, c, d) and dihedral (a, b, c, d) in radians."""
    bc = _unit(tuple(c[k] - b[k] for k in range(3)))
    normal = _unit(_cross(tuple(b[k] - a[k] for k in range(3)), bc))
    side = _cross(normal, bc)
    along = -length * cos(angle)
    up, out = length * sin(angle) * cos(dihedral), length * sin(angle) * sin(dihedral)
    return tuple(c[k] + along * bc[k] + up * side[k] + out * normal[k] for k in range(3))


def _unit(v: tuple) -> tuple:
    norm = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    return (v[0] / norm, v[1] / norm, v[2] / norm)


def _cross(a: tuple, b: tuple) -> tuple:
    # numpy's cross costs 20 times more on single vectors.
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def backbone(phi: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """Return (L, 5, 3) Angstrom coordinates of N, CA, C, O, CB with ideal bonds, from dihedrals in degrees."""
    phi, psi = np.radians(phi), np.radians(psi)
    phi, psi = phi.tolist(), psi.tolist()
    n, ca, c = (0.0, 0.0, 0.0), (1.458, 0.0, 0.0), (2.004, 1.424, 0.0)
    out = np.empty((len(phi), 5, 3))
    for k in range(len(phi)):
        if k:
            next_n = _place(n, ca, c, 1.329, radians(116.6), psi[k - 1])
            next_ca = _place(ca, c, next_n, 1.458, radians(121.7), pi)
            n, ca, c = next_n, next_ca, _place(c, next_n, next_ca, 1.525, radians(111.0), phi[k])
        oxygen = _place(n, ca, c, 1.231, radians(120.1), psi[k] + pi)
        beta = _place(c, n, ca, 1.530, radians(110.5), radians(-122.5))  # this sign makes an L amino acid
        out[k] = n, ca, c, oxygen, beta
    return out


def helix(n: int) -> np.ndarray:
    """Return (n, 5, 3) coordinates of an alpha helix."""
    return backbone(np.full(n, -57.0), np.full(n, -47.0))


def random_walk_chain(n: int, seed: int = 0) -> np.ndarray:
    """Return (n, 5, 3) coordinates of a chain that mixes helix, strand and turn; CA-CA is 3.8 Angstrom everywhere."""
    rng = np.random.default_rng(seed)
    basins = np.array([[-62.0, -42.0], [-120.0, 130.0], [-70.0, 145.0], [57.0, 40.0]])
    runs = rng.choice(4, size=n, p=[0.4, 0.35, 0.2, 0.05])
    keep = rng.random(n) < 0.7  # secondary structure comes in runs
    for k in range(1, n):
        if keep[k]:
            runs[k] = runs[k - 1]
    angles = basins[runs] + rng.normal(0, 10, size=(n, 2))
    return backbone(angles[:, 0], angles[:, 1])


def random_sequence(n: int, seed: int = 0) -> str:
    """Return n random letters of the 20."""
    return "".join(np.random.default_rng(seed + 7919).choice(list(LETTERS), size=n))


# ---------------------------------------------------------------- what stands in a file
@dataclass(frozen=True)
class AtomRow:
    """One ATOM or HETATM row."""

    name: str
    element: str
    xyz: tuple[float, float, float]
    altloc: str = ""
    occupancy: float = 1.0
    b_factor: float = 20.0


@dataclass(frozen=True)
class ResidueRows:
    """All rows of one residue, ligand, ion or water."""

    name: str
    number: int
    atoms: tuple[AtomRow, ...]
    insertion: str = ""
    hetero: bool = False
    position: int | None = None  # 1-based in the full sequence; None outside a polymer


@dataclass(frozen=True)
class Polymer:
    """One chain of a file: what has coordinates, and the full sequence as residue names."""

    chain: str
    residues: tuple[ResidueRows, ...]
    seqres: tuple[str, ...] = field(default=())


def polymer(n: int = 30, *, seed: int = 0, chain: str = "A", sequence: str | None = None, first: int = 1,
            coord: np.ndarray | None = None) -> Polymer:  # fmt: skip
    """Return a chain of n residues numbered from `first`, with coordinates of `random_walk_chain` unless given."""
    coord = random_walk_chain(n, seed) if coord is None else coord
    sequence = random_sequence(n, seed) if sequence is None else sequence
    names = tuple(NAME_OF[letter] for letter in sequence)
    rows = [_residue_rows(names[k], first + k, k + 1, coord[k]) for k in range(n)]
    return Polymer(chain, tuple(rows), names)


def _residue_rows(name: str, number: int, position: int, xyz: np.ndarray) -> ResidueRows:
    kept = [k for k in range(5) if not (name == "GLY" and BACKBONE[k] == "CB")]
    atoms = [AtomRow(BACKBONE[k], BACKBONE[k][0], tuple(xyz[k])) for k in kept]
    return ResidueRows(name, number, tuple(atoms), position=position)


def without(chain: Polymer, positions: Iterable[int]) -> Polymer:
    """Return the chain with the residues at these 0-based positions unobserved (SEQRES keeps them)."""
    missing = {position + 1 for position in positions}
    return replace(chain, residues=tuple(r for r in chain.residues if r.position not in missing))


def renamed(chain: Polymer, position: int, name: str, *, hetero: bool = True) -> Polymer:
    """Return the chain with another residue name at a 0-based position, as HETATM, in SEQRES too."""
    rows = tuple(replace(r, name=name, hetero=hetero) if r.position == position + 1 else r for r in chain.residues)
    seqres = tuple(name if k == position else old for k, old in enumerate(chain.seqres))
    return replace(chain, residues=rows, seqres=seqres)


def renumbered(chain: Polymer, numbers: Sequence[int], insertions: Sequence[str] | None = None) -> Polymer:
    """Return the chain with other author numbers (and insertion codes), one for each observed residue."""
    insertions = insertions or [""] * len(numbers)
    triples = zip(chain.residues, numbers, insertions, strict=True)
    return replace(chain, residues=tuple(replace(r, number=n, insertion=i) for r, n, i in triples))


def with_altloc(chain: Polymer, position: int, occupancies: dict[str, float], *, shift: float = 1.0) -> Polymer:
    """Return the chain with several conformers of one residue; the k-th is shifted by k * `shift` along x."""

    def split(atom: AtomRow) -> list[AtomRow]:
        x, y, z = atom.xyz
        return [replace(atom, altloc=code, occupancy=occupancy, xyz=(x + k * shift, y, z))
                for k, (code, occupancy) in enumerate(occupancies.items())]  # fmt: skip

    rows = tuple(
        replace(r, atoms=tuple(new for atom in r.atoms for new in split(atom))) if r.position == position + 1 else r
        for r in chain.residues
    )
    return replace(chain, residues=rows)


def with_hydrogens(chain: Polymer, *, element: str = "H") -> Polymer:
    """Return the chain with one hydrogen (or deuterium, "D") on each backbone nitrogen."""

    def add(residue: ResidueRows) -> ResidueRows:
        x, y, z = residue.atoms[0].xyz
        return replace(residue, atoms=(*residue.atoms, AtomRow(element, element, (x, y, z + 1.01))))

    return replace(chain, residues=tuple(add(r) for r in chain.residues))


def water(number: int = 501, xyz: tuple[float, float, float] = (30.0, 30.0, 30.0)) -> ResidueRows:
    """Return one water."""
    return ResidueRows("HOH", number, (AtomRow("O", "O", xyz),), hetero=True)


def calcium(number: int = 502, xyz: tuple[float, float, float] = (31.0, 30.0, 30.0)) -> ResidueRows:
    """Return one calcium ion, whose atom is named CA."""
    return ResidueRows("CA", number, (AtomRow("CA", "CA", xyz),), hetero=True)


def ligand(number: int = 503, xyz: tuple[float, float, float] = (32.0, 30.0, 30.0)) -> ResidueRows:
    """Return glycerol cut to two atoms."""
    x, y, z = xyz
    return ResidueRows("GOL", number, (AtomRow("C1", "C", xyz), AtomRow("O1", "O", (x + 1.4, y, z))), hetero=True)


# ---------------------------------------------------------------- PDB
def pdb_text(chains: Sequence[Polymer], *, hetero: dict[str, Sequence[ResidueRows]] | None = None, n_models: int = 1,
             seqres: bool = True, header: Sequence[str] = (), end: bool = True) -> str:  # fmt: skip
    """Return a PDB file; `hetero` maps chain names to what follows TER; model k is shifted by 10 (k - 1) along x."""
    lines = [line.ljust(80) for line in header]
    if seqres:
        lines += [line for chain in chains for line in _seqres_lines(chain)]
    for model in range(1, n_models + 1):
        if n_models > 1:
            lines.append(f"MODEL     {model:4d}")
        lines += _model_lines(chains, hetero or {}, 10.0 * (model - 1))
        if n_models > 1:
            lines.append("ENDMDL")
    return "\n".join(lines + (["END"] if end else [])) + "\n"


def _seqres_lines(chain: Polymer) -> list[str]:
    names = chain.seqres
    blocks = [names[k : k + 13] for k in range(0, len(names), 13)]
    return [f"SEQRES {k:3d} {chain.chain:1s} {len(names):4d}  {' '.join(block)}" for k, block in enumerate(blocks, 1)]


def _model_lines(chains: Sequence[Polymer], hetero: dict, shift: float) -> list[str]:
    lines: list[str] = []
    for chain in chains:
        for residue in chain.residues:
            lines += _atom_lines(chain.chain, residue, shift, len(lines))
        lines.append("TER")
    for name, residues in hetero.items():
        for residue in residues:
            lines += _atom_lines(name, residue, shift, len(lines))
    return lines


def _atom_lines(chain: str, residue: ResidueRows, shift: float, serial: int) -> list[str]:
    record = "HETATM" if residue.hetero else "ATOM"
    lines = []
    for k, atom in enumerate(residue.atoms, 1):
        name = atom.name.ljust(4) if len(atom.element) == 2 or len(atom.name) == 4 else f" {atom.name:<3s}"
        x, y, z = atom.xyz
        lines.append(
            f"{record:<6s}{(serial + k) % 100000:5d} {name}{atom.altloc or ' '}{residue.name:>3s} {chain:1s}"
            f"{residue.number:4d}{residue.insertion or ' '}   {x + shift:8.3f}{y:8.3f}{z:8.3f}"
            f"{atom.occupancy:6.2f}{atom.b_factor:6.2f}          {atom.element:>2s}  "
        )
    return lines


# ---------------------------------------------------------------- mmCIF
_ATOM_TAGS = (
    "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id",
    "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy",
    "B_iso_or_equiv", "auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num",
)  # fmt: skip


def mmcif_text(chains: Sequence[Polymer], *, entry: str = "TEST",
               hetero: dict[str, Sequence[ResidueRows]] | None = None, n_models: int = 1,
               scheme: bool = True, label: dict[str, str] | None = None, extra: str = "") -> str:  # fmt: skip
    """Return an mmCIF file; `label` maps author to label chain names; `extra` is put before the atoms verbatim."""
    label = label or {}
    parts = [f"data_{entry}\n#\n_entry.id {entry}\n#\n", extra]
    if scheme:
        parts.append(_sequence_tables(chains, label))
    rows = []
    for model in range(1, n_models + 1):
        for entity, chain in enumerate(chains, 1):
            asym = label.get(chain.chain, chain.chain)
            for residue in chain.residues:
                rows += _cif_rows(residue, asym, entity, chain.chain, model)
        for name, residues in (hetero or {}).items():
            for k, residue in enumerate(residues):
                rows += _cif_rows(residue, f"{name}x{k}", len(chains) + 1 + k, name, model)
    table = "\n".join(row.format(serial=k) for k, row in enumerate(rows, 1))
    tags = "\n".join(f"_atom_site.{tag}" for tag in _ATOM_TAGS)
    return "".join(parts) + f"loop_\n{tags}\n{table}\n#\n"


def _cif_rows(residue: ResidueRows, asym: str, entity: int, chain: str, model: int) -> list[str]:
    group = "HETATM" if residue.hetero else "ATOM"
    rows = []
    for atom in residue.atoms:
        x, y, z = atom.xyz
        rows.append(
            f"{group} {{serial}} {atom.element} {atom.name} {atom.altloc or '.'} {residue.name} {asym} {entity} "
            f"{residue.position or '.'} {residue.insertion or '?'} {x + 10.0 * (model - 1):.3f} {y:.3f} {z:.3f} "
            f"{atom.occupancy:.2f} {atom.b_factor:.2f} {residue.number} {chain} {model}"
        )
    return rows


def _sequence_tables(chains: Sequence[Polymer], label: dict[str, str]) -> str:
    entities = "\n".join(f"{k} polymer" for k, _ in enumerate(chains, 1))
    kinds = "\n".join(f"{k} 'polypeptide(L)' no no" for k, _ in enumerate(chains, 1))
    names = "\n".join(f"{k} {n} {name} n" for k, c in enumerate(chains, 1) for n, name in enumerate(c.seqres, 1))
    asyms = "\n".join(f"{label.get(c.chain, c.chain)} {k}" for k, c in enumerate(chains, 1))
    scheme = "\n".join(row for k, c in enumerate(chains, 1) for row in _scheme_rows(c, label.get(c.chain, c.chain), k))
    return (
        f"loop_\n_entity.id\n_entity.type\n{entities}\n#\n"
        f"loop_\n_struct_asym.id\n_struct_asym.entity_id\n{asyms}\n#\n"
        "loop_\n_entity_poly.entity_id\n_entity_poly.type\n_entity_poly.nstd_linkage\n_entity_poly.nstd_monomer\n"
        f"{kinds}\n#\n"
        "loop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n_entity_poly_seq.hetero\n"
        f"{names}\n#\n"
        "loop_\n_pdbx_poly_seq_scheme.asym_id\n_pdbx_poly_seq_scheme.entity_id\n_pdbx_poly_seq_scheme.seq_id\n"
        "_pdbx_poly_seq_scheme.mon_id\n_pdbx_poly_seq_scheme.pdb_seq_num\n_pdbx_poly_seq_scheme.auth_seq_num\n"
        "_pdbx_poly_seq_scheme.pdb_strand_id\n_pdbx_poly_seq_scheme.pdb_ins_code\n"
        f"{scheme}\n#\n"
    )


def _scheme_rows(chain: Polymer, asym: str, entity: int) -> list[str]:
    seen = {residue.position: residue for residue in chain.residues}
    offset = chain.residues[0].number - chain.residues[0].position if chain.residues else 0
    rows = []
    for n, name in enumerate(chain.seqres, 1):
        residue = seen.get(n)
        author = residue.number if residue else n + offset
        observed = residue.number if residue else "?"
        insertion = residue.insertion if residue and residue.insertion else "."
        rows.append(f"{asym} {entity} {n} {name} {author} {observed} {chain.chain} {insertion}")
    return rows


# ---------------------------------------------------------------- tertia's own containers
def make_chain(n: int, seed: int = 0, *, entry: str = "made", id: str = "A", sequence: str | None = None,
               missing: Iterable[int] = (), coord: np.ndarray | None = None) -> Chain:  # fmt: skip
    """Return a Chain of n residues with backbone and CB atoms; the positions in `missing` have no atoms."""
    coord = random_walk_chain(n, seed) if coord is None else coord
    sequence = random_sequence(n, seed) if sequence is None else sequence
    absent = set(missing)
    kept = [(k, a) for k in range(n) if k not in absent for a in range(5) if not (sequence[k] == "G" and a == 4)]
    residue, atom = np.array(kept, dtype=np.int32).reshape(-1, 2).T
    names = np.array(BACKBONE)[atom]
    atoms = Atoms(
        name=names,
        element=np.array([name[0] for name in names], dtype="U2"),
        coord=coord[residue, atom].astype(np.float32),
        residue_of_atom=residue.astype(np.int32),
        occupancy=np.ones(len(kept), dtype=np.float32),
        b_factor=np.full(len(kept), 20.0, dtype=np.float32),
    )
    numbers = np.arange(1, n + 1, dtype=np.int32)
    return Chain(entry, id, sequence, tuple(map(str, numbers)), numbers, atoms, frame=f"{entry}.pdb#1")


def sequence_chain(sequence: str, *, entry: str = "some") -> Chain:
    """Return a chain without coordinates, as from FASTA."""
    number = np.arange(1, len(sequence) + 1, dtype=np.int32)
    return Chain(entry, "", sequence, ("",) * len(sequence), number, None, "some.fa")
