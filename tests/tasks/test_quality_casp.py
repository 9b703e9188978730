"""CASP as its archive and as GraphQA lay it down, in small: every file is read or refused, none is lost."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.structure.contact_area import cad_score
from tertia.structure.quality import global_quality, lddt
from tertia.structure.read import read_structure
from tertia.tasks.quality.casp import CaspModels, read_casp
from tertia.tasks.quality.tables import GLOBAL_SCORES
from tests.structures import Polymer, pdb_text, polymer, random_sequence, random_walk_chain, without

LENGTH = 40
COORD = random_walk_chain(LENGTH, seed=5)
SEQUENCE = random_sequence(LENGTH, seed=5)


def native(missing: Sequence[int] = ()) -> str:
    return pdb_text([without(protein(), missing)], seqres=False)


def protein(sigma: float = 0.0, seed: int = 0) -> Polymer:
    noise = sigma * np.random.default_rng(seed).standard_normal(COORD.shape)
    return polymer(LENGTH, sequence=SEQUENCE, coord=COORD + noise, chain="A")


def server(sigma: float, *, n_models: int = 1, target: str = "T0950") -> str:
    """Return a file as servers submit it: header records, a blank chain, no elements, END after each MODEL."""
    lines = ["PFRMAT TS", f"TARGET {target}", "AUTHOR 1234-5678-9012", "REMARK seven servers", "METHOD threading"]
    for model in range(1, n_models + 1):
        atoms = pdb_text([protein(sigma + 3.0 * (model - 1))], seqres=False, end=False).splitlines()
        atoms = [line[:21] + " " + line[22:66] for line in atoms if line.startswith("ATOM")]
        lines += [f"MODEL  {model}", "PARENT 1abc_A 2xyz_B", *atoms, "TER", "END"]
    return "\n".join(lines) + "\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def summary(found: CaspModels) -> tuple[list[str], list[str]]:
    return [example.id for example in found.examples], [str(error) for error in found.refused]


ARCHIVE = {
    "natives/T0950.pdb": native(missing=[3, 4, 20]), "natives/T0951.pdb": native(),
    "models/T0950/Zhang-Server_TS1": server(0.3), "models/T0950/RaptorX.v2_TS2": server(1.0),
    "models/T0951/QUARK_TS1.pdb": server(0.3, target="T0951"),
}  # fmt: skip


# ---------------------------------------------------------------- layouts
def test_the_layout_of_the_archive(tmp_path: Path) -> None:
    ids, refused = summary(read_casp(write(tmp_path, ARCHIVE)))
    assert ids == ["casp/T0950/RaptorX.v2_TS2", "casp/T0950/Zhang-Server_TS1", "casp/T0951/QUARK_TS1"]
    assert refused == []


def test_the_layout_of_graphqa(tmp_path: Path) -> None:
    write(tmp_path, {
        "CASP13/native/T0950.pdb": native(), "CASP13/decoys/T0950/QUARK_TS1.pdb": server(0.3),
        "CASP13/decoys/T0950/QUARK_TS1.dssp": "a table", "CASP13/decoys/T0950.cad.npz": "an archive",
        "CASP12/native/T0859.pdb": native(), "CASP12/decoys/T0859/QUARK_TS2.pdb": server(0.3, target="T0859"),
        "decoys.csv": "casp_ed,target_id,decoy_id,stage1,stage2\n9,T0515,ProQ_TS1,False,False\n"
                      "12,T0859,QUARK_TS2,True,True\n13,T0950,QUARK_TS1,True,False\n13,T0950,gone_TS1,True,False\n",
    })  # fmt: skip
    found = read_casp(tmp_path)
    ids, refused = summary(found)
    assert ids == ["casp12/T0859/QUARK_TS2", "casp13/T0950/QUARK_TS1"]
    assert len(refused) == 1
    assert "entry 'gone_TS1': is in the table, but there is no such file" in refused[0]
    assert [example.meta["set"] for example in found.examples] == ["casp12", "casp13"]
    assert summary(read_casp(tmp_path / "CASP13"))[0] == ["casp13/T0950/QUARK_TS1"]


def test_natives_beside_folders_and_a_tar_archive(tmp_path: Path) -> None:
    write(tmp_path, {"T0950.pdb": native(), "T0950/QUARK_TS1": server(0.3), "T0951.pdb": native(), "notes/a": "b"})
    with tarfile.open(tmp_path / "T0951.3D.srv.tar.gz", "w:gz") as tar:
        content = server(0.5, target="T0951").encode()
        member = tarfile.TarInfo("T0951/MULTICOM_TS3")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    assert summary(read_casp(tmp_path)) == (["casp/T0950/QUARK_TS1", "casp/T0951/MULTICOM_TS3"], [])


def test_one_native_may_lie_apart_from_the_others(tmp_path: Path) -> None:
    files = {**ARCHIVE, "T0951.pdb": native()}
    del files["natives/T0951.pdb"]
    assert len(read_casp(write(tmp_path, files)).examples) == 3


# ---------------------------------------------------------------- labels
def test_labels_are_those_of_structure_quality(tmp_path: Path) -> None:
    found = read_casp(write(tmp_path, ARCHIVE), cad=True)
    example = next(example for example in found.examples if example.meta["decoy"] == "RaptorX.v2_TS2")
    true = read_structure(tmp_path / "natives/T0950.pdb").chains[0]
    (model,) = example.chains
    rows = np.array([k for k in range(LENGTH) if k not in (3, 4, 20)])
    assert len(true) == len(model) == LENGTH  # the numbers show what the native lacks
    quality = global_quality(true.alpha, model.alpha)
    cad = cad_score(true, model)
    assert example.target[rows, 0] == pytest.approx(lddt(true.alpha, model.alpha).residue[rows])
    assert example.target[rows, 1] == pytest.approx(cad.residue[rows], nan_ok=True)
    assert np.isnan(example.target[[3, 4, 20]]).all()
    meta = {name: getattr(quality, name) for name in GLOBAL_SCORES if name != "cad"} | {"cad": cad.whole}
    assert {name: example.meta[name] for name in GLOBAL_SCORES} == pytest.approx(meta)
    assert (example.meta["target"], example.meta["set"], example.meta["cluster"]) == ("T0950", "casp", "T0950")
    better = next(example for example in found.examples if example.meta["decoy"] == "Zhang-Server_TS1")
    assert all(better.meta[name] > example.meta[name] for name in GLOBAL_SCORES)


def test_without_cad_its_column_is_unknown(tmp_path: Path) -> None:
    for example in read_casp(write(tmp_path, ARCHIVE)).examples:
        assert example.target.shape == (LENGTH, 2)
        assert np.isnan(example.target[:, 1]).all()
        assert np.isnan(example.meta["cad"])


def test_only_the_first_model_of_a_file_counts(tmp_path: Path) -> None:
    files = {
        "natives/T0950.pdb": native(),
        "models/T0950/one": server(0.4),
        "models/T0950/many": server(0.4, n_models=3),
    }
    many, one = read_casp(write(tmp_path, files)).examples
    assert (many.meta["decoy"], one.meta["decoy"]) == ("many", "one")
    assert many.meta["gdt_ts"] == one.meta["gdt_ts"]
    assert np.array_equal(many.target, one.target, equal_nan=True)


def test_scores_of_the_table_win_and_percent_is_understood(tmp_path: Path) -> None:
    table = "target,model,GDT_TS,lddt\nT0950,Zhang-Server_TS1,71.5,0.61\nT0950,RaptorX.v2_TS2,33.25,NA\n"
    found = read_casp(write(tmp_path, {**ARCHIVE, "scores.csv": table}))
    computed = {example.id: example.meta for example in read_casp(write(tmp_path / "bare", ARCHIVE)).examples}
    first, second = (example.meta for example in found.examples if example.meta["target"] == "T0950")
    assert (second["gdt_ts"], second["lddt"], first["gdt_ts"]) == (0.715, 0.61, 0.3325)
    assert first["lddt"] == computed["casp/T0950/RaptorX.v2_TS2"]["lddt"]
    assert second["tm_score"] == computed["casp/T0950/Zhang-Server_TS1"]["tm_score"]


# ---------------------------------------------------------------- what cannot be used
def test_every_file_is_read_or_refused(tmp_path: Path) -> None:
    other = polymer(LENGTH, seed=9, sequence=random_sequence(LENGTH, seed=77))
    refused = {
        "empty_TS1": ("", "empty"),
        "SAM-T02-server_AL3": ("PFRMAT AL\nTARGET T0950\nMODEL 1\nPARENT 1abc\nM 1 K 12\nTER\nEND\n", ""),
        "other_TS1": (pdb_text([other], seqres=False), "residues with the native structure"),
        "two_TS1.pdb": (server(0.3), "second model named two_TS1"),
    }
    files = {f"models/T0950/{name}": text for name, (text, _) in refused.items()}
    files |= {"natives/T0950.pdb": native(), "models/T0950/good_TS1": server(0.3), "models/T0950/two_TS1": server(0.4)}
    ids, messages = summary(read_casp(write(tmp_path, files)))
    assert ids == ["casp/T0950/good_TS1", "casp/T0950/two_TS1"]
    assert len(messages) == len(refused)
    for name, (_, found) in refused.items():
        assert sum(name.removesuffix(".pdb") in message and found in message for message in messages) == 1


def test_targets_without_native_or_models_are_told(tmp_path: Path) -> None:
    files = {
        "natives/T0950.pdb": native(), "models/T0951/a_TS1": server(0.3), "natives/T0952.pdb": "no structure",
        "models/T0952/a_TS1": server(0.3), "natives/T0953s1.pdb": native(), "models/T0953s1/.hidden": "",
        "scores.csv": "target,model\nT0999,a_TS1\nT0999,b_TS1\n",
    }  # fmt: skip
    found = read_casp(write(tmp_path, files))
    assert found.examples == ()
    told = {error.entry: error.found for error in found.refused}
    assert told["T0950"] == "has no models"
    assert told["T0951"] == "has no native structure"
    assert told["T0952"].startswith("its models were not read")
    assert told["T0953s1"] == "has no models"
    assert told["T0999"] == "2 models are in the table, none in the folder"
    assert len(told) == len(found.refused) == 5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,gdt_ts\nT0950,0.5\n", "has the columns name, gdt_ts"),
        ("target,model,gdt_ts\nT0950,a,high\n", "row 2.*gdt_ts is 'high'"),
        ("target,model,gdt_ts\nT0950,a,-1\n", "outside 0-100"),
    ],
)
def test_a_bad_table_is_one_clear_error(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_casp(write(tmp_path, {**ARCHIVE, "scores.csv": table}))


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither natives nor models"):
        read_casp(write(tmp_path, {"readme.txt": "hello"}))


def test_progress_is_told_after_every_model(tmp_path: Path) -> None:
    told: list[str] = []
    read_casp(write(tmp_path, ARCHIVE), progress=told.append)
    assert told == ["casp/T0950", "casp/T0950", "casp/T0951"]


def test_a_native_of_other_numbers_is_aligned(tmp_path: Path) -> None:
    moved = replace(protein(), residues=tuple(replace(r, number=r.number + 700) for r in protein().residues))
    files = {"natives/T0950.pdb": pdb_text([moved], seqres=False), "models/T0950/a_TS1": server(0.0)}
    (example,) = read_casp(write(tmp_path, files)).examples
    assert example.meta["gdt_ha"] == 1.0
    assert example.target[:, 0].min() == 1.0
