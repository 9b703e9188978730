"""Intake: what each oddity of a file becomes in the chain, and the line it leaves in the report."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.structure.read import read_structure
from tertia.structure.sources import Source
from tests.structures import (
    calcium,
    helix,
    ligand,
    mmcif_text,
    pdb_text,
    polymer,
    random_sequence,
    renamed,
    renumbered,
    water,
    with_altloc,
    with_hydrogens,
    without,
)

WRITERS = {"pdb": pdb_text, "mmcif": mmcif_text}


@pytest.fixture(params=sorted(WRITERS))
def write(request):
    return WRITERS[request.param]


def read(text: str | bytes, **options):
    content = text.encode() if isinstance(text, str) else text
    return read_structure(Source("made/test.pdb", packed=content), **options)


def only(structure):
    (chain,), (report,) = structure.chains, structure.report.chains
    return chain, report


def kinds(report) -> list[str]:
    return [change["kind"] for change in report.changes]


def test_a_plain_chain_comes_back_as_written(write):
    made = polymer(40, seed=3, first=7)
    chain, report = only(read(write([made])))
    assert chain.sequence == random_sequence(40, 3)
    assert chain.residue_id == tuple(str(n) for n in range(7, 47))
    assert chain.label_number.tolist() == list(range(1, 41))
    written = np.array([residue.atoms[1].xyz for residue in made.residues])
    np.testing.assert_allclose(chain.alpha, written, atol=6e-4)
    assert len(chain.atoms) == sum(len(residue.atoms) for residue in made.residues)
    assert (chain.key, chain.frame) == ("test_A", "made/test.pdb#1")
    assert (report.n_residues, report.n_with_coordinates, report.gaps, report.changes) == (40, 40, (), ())


def test_missing_residues_keep_the_register_of_the_full_sequence(write):
    made = without(polymer(30, seed=1), [0, 1, 9, 10, 11, 29])
    chain, report = only(read(write([made])))
    assert chain.sequence == random_sequence(30, 1)
    assert np.flatnonzero(~chain.seen).tolist() == [0, 1, 9, 10, 11, 29]
    assert [(gap.start, gap.n_missing, gap.after, gap.before) for gap in report.gaps] == [
        (0, 2, "", "3"), (9, 3, "9", "13"), (29, 1, "29", ""),
    ]  # fmt: skip
    assert {gap.evidence for gap in report.gaps} == {"sequence"}


def test_seqres_is_aligned_where_the_numbers_disagree_with_it():
    made = without(polymer(40, seed=8), [0, 1, 20, 21, 22])
    made = renumbered(made, [*range(101, 119), *range(500, 517)])
    chain, _ = only(read(pdb_text([made])))
    assert chain.sequence == random_sequence(40, 8)
    assert np.flatnonzero(~chain.seen).tolist() == [0, 1, 20, 21, 22]
    assert chain.residue_id[2] == "101"


def test_a_full_sequence_of_another_protein_is_refused():
    made = replace(polymer(30, seed=1), seqres=polymer(35, seed=77).seqres)
    chain, report = only(read(pdb_text([made])))
    assert chain.sequence == random_sequence(30, 1)
    assert kinds(report) == ["sequence_refused"]


def test_the_coordinates_decide_a_conflict_with_the_sequence(write):
    made = polymer(30, sequence="A" * 30)
    made = replace(made, seqres=(*made.seqres[:9], "TRP", *made.seqres[10:]))
    chain, report = only(read(write([made])))
    assert chain.sequence == "A" * 30
    assert report.changes == ({"kind": "sequence_conflict", "where": "10", "from": "W", "to": "A"},)


def test_numbers_that_jump_at_a_broken_bond_make_unknown_residues():
    made = without(polymer(30, seed=2, coord=helix(30)), [12, 13, 14, 15])
    chain, report = only(read(pdb_text([made], seqres=False)))
    whole = random_sequence(30, 2)
    assert chain.sequence == whole[:12] + "XXXX" + whole[16:]
    assert [(gap.start, gap.n_missing, gap.evidence) for gap in report.gaps] == [(12, 4, "numbering")]
    assert chain.residue_id[12:16] == ("",) * 4


def test_the_sequence_table_names_unobserved_residues_too():
    made = without(polymer(30, seed=2, first=101), [0, 12, 13, 29])
    chain, _ = only(read(mmcif_text([made])))
    assert chain.residue_id == tuple(str(number) for number in range(101, 131))
    assert np.flatnonzero(~chain.seen).tolist() == [0, 12, 13, 29]


@pytest.mark.parametrize("case", ["unbroken", "too many", "backwards"])
def test_other_jumps_are_flagged_and_nothing_is_inserted(case):
    whole = polymer(30, seed=2, coord=helix(30))
    if case == "unbroken":
        made, n_gaps = renumbered(whole, [*range(1, 16), *range(40, 55)]), 0
    else:
        made = without(whole, [12, 13, 14, 15])
        numbers = [*range(1, 13), *range(500, 514)] if case == "too many" else [*range(20, 32), *range(1, 15)]
        made, n_gaps = renumbered(made, numbers), 1
    chain, report = only(read(pdb_text([made], seqres=False)))
    assert len(chain) == len(made.residues)
    assert [gap.evidence for gap in report.gaps] == ["break"] * n_gaps


def test_a_broken_bond_without_a_jump_is_flagged(write):
    coord = helix(20)
    coord[10:] += 30
    _, report = only(read(write([polymer(20, coord=coord)])))
    assert [(gap.start, gap.n_missing, gap.evidence, gap.after) for gap in report.gaps] == [(10, 0, "break", "10")]


@pytest.mark.parametrize(
    ("name", "letter", "kind"),
    [("MSE", "M", "modified_residue"), ("SEP", "S", "modified_residue"), ("DAL", "A", "modified_residue"),
     ("CRO", "X", "unknown_residue"), ("UNK", "X", "unknown_residue"), ("HYP", "P", "modified_residue")],
)  # fmt: skip
def test_modified_residues_become_their_parent(write, name, letter, kind):
    chain, report = only(read(write([renamed(polymer(20, seed=4), 9, name)])))
    assert chain.sequence[9] == letter
    (change,) = report.changes
    assert (change["kind"], change["where"], change["from"]) == (kind, "10", name)
    assert report.n_with_coordinates == 20


def test_an_unlisted_residue_takes_the_parent_that_the_file_names():
    made = renamed(polymer(20, seed=4), 9, "QQ9")
    modres = "MODRES 1ABC QQ9 A   10  TYR"
    assert only(read(pdb_text([made], header=[modres])))[0].sequence[9] == "Y"
    assert only(read(pdb_text([made])))[0].sequence[9] == "X"


@pytest.mark.parametrize(
    ("occupancies", "kept"),
    [({"A": 0.4, "B": 0.6}, "B"), ({"A": 0.5, "B": 0.5}, "A"), ({"B": 0.5, "A": 0.5}, "B"), ({"B": 1.0}, "B")],
)
def test_the_conformer_of_highest_occupancy_is_kept_and_no_residue_lost(write, occupancies, kept):
    made = with_altloc(polymer(20, seed=5), 7, occupancies)
    chain, report = only(read(write([made])))
    assert chain.seen.all()
    chosen = [atom for atom in made.residues[7].atoms if atom.altloc == kept and atom.name == "CA"]
    np.testing.assert_allclose(chain.alpha[7], chosen[0].xyz, atol=6e-4)
    assert report.changes == ({"kind": "altloc", "where": "8", "from": ",".join(sorted(occupancies)), "to": kept},)
    assert (np.bincount(chain.atoms.residue_of_atom)[7]) == len({atom.name for atom in made.residues[7].atoms})


def test_an_atom_that_only_the_other_conformer_has_is_kept(write):
    made = with_altloc(polymer(20, seed=5, sequence="A" * 20), 7, {"A": 0.6, "B": 0.4})
    atoms = tuple(a for a in made.residues[7].atoms if not (a.name == "CB" and a.altloc == "A"))
    made = replace(made, residues=(*made.residues[:7], replace(made.residues[7], atoms=atoms), *made.residues[8:]))
    chain, _ = only(read(write([made])))
    names = chain.atoms.name[chain.atoms.residue_of_atom == 7].tolist()
    assert sorted(names) == ["C", "CA", "CB", "N", "O"]


def test_of_two_residues_at_one_place_the_fuller_is_kept(write):
    base = polymer(20, sequence="A" * 20)

    def as_code(residue, code, occupancy, name):
        atoms = tuple(replace(a, altloc=code, occupancy=occupancy) for a in residue.atoms)
        return replace(residue, name=name, atoms=atoms)

    both = [as_code(base.residues[9], "A", 0.3, "SER"), as_code(base.residues[9], "B", 0.7, "THR")]
    made = replace(base, residues=(*base.residues[:9], *both, *base.residues[10:]))
    made = replace(made, seqres=(*base.seqres[:9], "THR", *base.seqres[10:]))
    chain, report = only(read(write([made])))
    assert chain.sequence == "A" * 9 + "T" + "A" * 10
    assert len(chain) == 20
    assert "microheterogeneity" in kinds(report)


def test_insertion_codes_and_negative_numbers_are_labels(write):
    made = renumbered(polymer(6, seed=1), [-2, -1, 52, 52, 52, 53], ["", "", "", "A", "B", ""])
    chain, report = only(read(write([made])))
    assert chain.residue_id == ("-2", "-1", "52", "52A", "52B", "53")
    assert len(chain) == 6
    assert report.changes == ()


@pytest.mark.parametrize("element", ["H", "D"])
def test_hydrogens_are_dropped_and_counted(write, element):
    chain, report = only(read(write([with_hydrogens(polymer(12, seed=6), element=element)])))
    assert set(chain.atoms.element.tolist()) <= {"N", "C", "O"}
    assert report.changes == ({"kind": "hydrogens_dropped", "where": "", "from": "12", "to": "0"},)


def test_calcium_is_no_c_alpha_and_other_molecules_are_counted(write):
    others = {"A": [water(501), water(504), calcium(), ligand()]}
    chain, _ = only(structure := read(write([polymer(12, seed=6)], hetero=others)))
    assert chain.seen.sum() == len(chain) == 12
    assert "CA" not in chain.atoms.element
    assert structure.report.notes == ("2 waters set apart", "ligands and ions set apart: CA 1, GOL 1")


def test_nucleic_acids_are_noted_not_lost(write):
    dna = polymer(3, chain="B")
    for position, name in enumerate(("DA", "DG", "DC")):
        dna = renamed(dna, position, name, hetero=False)
    structure = read(write([polymer(12, seed=6), dna]))
    assert [chain.id for chain in structure.chains] == ["A"]
    assert any("chain B: 3 residues" in note for note in structure.report.notes)
    with pytest.raises(InputError, match="no protein chain with coordinates; chain B"):
        read(write([dna]))


def test_short_peptides_are_kept(write):
    assert [len(chain) for chain in read(write([polymer(20), polymer(2, chain="B")])).chains] == [20, 2]


def test_models_are_counted_from_one(write):
    text = write([polymer(10, seed=1)], n_models=3)
    first, third = read(text), read(text, model=3)
    np.testing.assert_allclose(third.chains[0].alpha - first.chains[0].alpha, np.tile([20.0, 0, 0], (10, 1)), atol=1e-3)
    assert first.report.notes == ("model 1 of 3 was read",)
    assert first.chains[0].frame != third.chains[0].frame
    for absent in (0, 4):
        with pytest.raises(InputError, match=f"model {absent} is absent; allowed: 1 to 3"):
            read(text, model=absent)


def test_an_assembly_copies_the_chain():
    remarks = [
        "REMARK 350 BIOMOLECULE: 1", "REMARK 350 APPLY THE FOLLOWING TO CHAINS: A",
        "REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000",
        "REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000",
        "REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000",
        "REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000        0.00000",
        "REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000",
        "REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000        5.00000",
    ]  # fmt: skip
    text = pdb_text([without(polymer(12, seed=2), [5])], header=remarks)
    one, two = read(text, assembly="1").chains
    assert one.sequence == two.sequence == random_sequence(12, 2)
    np.testing.assert_allclose(two.alpha, one.alpha * [-1, -1, 1] + [0, 0, 5], atol=1e-3)
    assert one.id != two.id
    assert one.frame == two.frame != read(text).chains[0].frame
    with pytest.raises(InputError, match="assembly '7' is absent; allowed: 1"):
        read(text, assembly="7")


@pytest.mark.parametrize("number", ["     nan", "     inf", "********", "  1x.345", " 12.3 5 ".rjust(8), "        "])
def test_an_atom_without_a_finite_coordinate_is_refused_and_named(number):
    lines = pdb_text([polymer(12, seed=2, sequence="A" * 12)]).splitlines()
    at = next(k for k, line in enumerate(lines) if line[12:16] == " CB " and line[22:26] == "   5")
    lines[at] = lines[at][:38] + number + lines[at][46:]
    chain, _ = only(structure := read("\n".join(lines) + "\n"))
    assert len(chain.atoms) == 12 * 5 - 1
    assert "1 atoms without a finite coordinate were refused: CB  ALA A   5" in structure.report.notes


def test_nan_in_mmcif_is_refused_too_and_all_nan_is_an_error():
    text = mmcif_text([polymer(12, seed=2, sequence="A" * 12)])
    row = next(line for line in text.splitlines() if " CB " in line and " 5 A " in line)
    x = row.split()[10]
    _, report = only(read(text.replace(row, row.replace(x, "nan"))))
    assert report.changes == (
        {"kind": "atom_refused", "where": "5", "from": "CB: no or an absurd coordinate", "to": ""},
    )
    rows = [r.split() for r in text.splitlines()]
    rows = [" ".join([*r[:10], "nan", "?", ".", *r[13:]] if r[0] == "ATOM" else r) for r in rows]
    with pytest.raises(InputError, match="no protein chain with coordinates"):
        read("\n".join(rows) + "\n")


def test_a_damaged_charge_column_is_blanked_and_noted():
    text = pdb_text([polymer(12, seed=2)])
    lines = [line[:78] + "6K" if line.startswith("ATOM") else line for line in text.splitlines()]
    structure = read("\n".join(lines) + "\n")
    assert len(structure.chains[0]) == 12
    assert "the charge columns 79-80 are damaged and were ignored" in structure.report.notes


def test_chain_parts_behind_a_ter_are_kept():
    lines = pdb_text([polymer(20, seed=2)], seqres=False).splitlines()
    middle = next(k for k, line in enumerate(lines) if line.startswith("ATOM") and line[22:26] == "  11")
    chain, report = only(read("\n".join([*lines[:middle], "TER", *lines[middle:]]) + "\n"))
    assert chain.sequence == random_sequence(20, 2)
    assert report.gaps == ()


def test_a_modified_residue_behind_the_ter_rejoins_its_neighbours():
    made = renamed(polymer(20, seed=2), 9, "MSE")
    lines = pdb_text([made], seqres=False).splitlines()
    moved = [line for line in lines if " MSE " in line]
    rest = [line for line in lines if " MSE " not in line]
    at = rest.index("TER") + 1
    chain, report = only(read("\n".join([*rest[:at], *moved, *rest[at:]]) + "\n"))
    assert chain.sequence == random_sequence(20, 2)[:9] + "M" + random_sequence(20, 2)[10:]
    assert chain.residue_id == tuple(str(k) for k in range(1, 21))
    assert kinds(report) == ["rejoined", "modified_residue"]
    assert (np.diff(chain.atoms.residue_of_atom) >= 0).all()


def test_a_blank_chain_name_gets_one_and_says_so():
    chain, report = only(read(pdb_text([polymer(12, chain=" ")], seqres=False)))
    assert chain.id == "_"
    assert kinds(report) == ["blank_chain_name"]


def test_method_and_resolution_are_read(write):
    if write is pdb_text:
        text = write([polymer(12)], header=["EXPDTA    X-RAY DIFFRACTION", "REMARK   2 RESOLUTION.    1.85 ANGSTROMS."])
    else:
        text = write([polymer(12)], extra="_exptl.method 'X-RAY DIFFRACTION'\n_refine.ls_d_res_high 1.85\n#\n")
    meta = only(read(text))[0].meta
    assert (meta["method"], meta["resolution"], meta["plddt"]) == ("X-RAY DIFFRACTION", 1.85, False)


AFDB_TITLE = "TITLE     ALPHAFOLD MONOMER V2.0 PREDICTION FOR SOME PROTEIN (P12345)"


@pytest.mark.parametrize(
    ("header", "plddt"),
    [
        ([AFDB_TITLE], True),
        (["EXPDTA    X-RAY DIFFRACTION", AFDB_TITLE], False),
        (["EXPDTA    X-RAY DIFFRACTION", "REMARK 200 STARTING MODEL: ALPHAFOLD PREDICTION"], False),
        (["TITLE     CRYSTAL STRUCTURE OF A PROTEIN THAT ALPHAFOLD COULD NOT PREDICT"], False),
        (["EXPDTA    THEORETICAL MODEL", "REMARK   1 B-FACTORS ARE PLDDT"], True),
        (["EXPDTA    THEORETICAL MODEL"], False),
        ([], False),
    ],
)
def test_plddt_is_decided_by_the_header_of_a_pdb_file(header, plddt):
    assert only(read(pdb_text([polymer(12)], header=header)))[0].meta["plddt"] is plddt


@pytest.mark.parametrize(
    ("extra", "plddt"),
    [
        ("loop_\n_ma_qa_metric.id\n_ma_qa_metric.mode\n_ma_qa_metric.name\n_ma_qa_metric.type\n"
         "1 global pLDDT pLDDT\n2 local pLDDT pLDDT\n#\n", True),
        ("loop_\n_ma_qa_metric.id\n_ma_qa_metric.mode\n_ma_qa_metric.type\n"
         "1 global pLDDT\n2 local 'contact probability'\n#\n", False),
        ("_exptl.method 'X-RAY DIFFRACTION'\n_struct.title 'solved with an alphafold prediction'\n#\n", False),
    ],
)  # fmt: skip
def test_plddt_is_decided_by_the_metrics_of_an_mmcif_file(extra, plddt):
    assert only(read(mmcif_text([polymer(12)], extra=extra)))[0].meta["plddt"] is plddt


def test_author_and_label_names_differ_in_mmcif():
    chain, _ = only(read(mmcif_text([renumbered(polymer(5), [11, 12, 13, 14, 15])], label={"A": "QQ"})))
    assert chain.id == "A"
    assert chain.residue_id[0] == "11"
    assert chain.label_number[0] == 1


def test_formats_are_told_by_content(tmp_path):
    for text in (pdb_text([polymer(12)]), mmcif_text([polymer(12)])):
        for name in ("x.pdb", "x.cif", "x.dat", "x.cif.gz"):
            packed = gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
            (tmp_path / name).write_bytes(packed)
            assert len(read_structure(tmp_path / name).chains[0]) == 12


def test_windows_line_ends_and_blank_lines_do_no_harm():
    text = pdb_text([polymer(12, seed=1)])
    plain, windows = only(read(text))[0], only(read(text.replace("\n", "\r\n")))[0]
    np.testing.assert_array_equal(plain.alpha, windows.alpha)
    assert plain.sequence == windows.sequence
    assert len(read("\n\n" + text).chains[0]) == 12
