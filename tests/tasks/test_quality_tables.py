"""The shared models and their quality: counts, splits, and labels that tertia computes again."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tertia.errors import InputError
from tertia.structure.contact_area import cad_score
from tertia.tasks.quality import tables
from tertia.tasks.quality.tables import GLOBAL_SCORES, read_quality
from tests.structure.test_quality import read_members


@pytest.fixture(scope="module")
def splits(shared_data: Path):
    return read_quality(shared_data / "quality_assessment")


@pytest.fixture(scope="module")
def part(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables and structures of three targets: with side chains, C-alpha traces, and a fold switcher."""
    source, folder = shared_data / "quality_assessment", tmp_path_factory.mktemp("quality")
    wanted = {("casp12_server", "T0865"), ("eigenfold_cameo2022", "7dz2_C"), ("cfrandom_hits", "4tsy_D")}
    natives = set()
    for name in ("targets.tsv", "decoy_scores.tsv.gz", "per_residue_lddt.tsv.gz"):
        read, write = (gzip.open, gzip.open) if name.endswith(".gz") else (open, open)
        with read(source / name, "rt") as file, write(folder / name, "wt") as out:
            rows = csv.DictReader(file, delimiter="\t")
            writer = csv.DictWriter(out, rows.fieldnames, delimiter="\t")
            writer.writeheader()
            for row in rows:
                if (row["set"], row["target"]) in wanted:
                    writer.writerow(row)
                    natives |= set(row.get("natives", row.get("native")).split("|"))
    with tarfile.open(source / "structures.tar.gz") as tar, tarfile.open(folder / "structures.tar.gz", "w:gz") as out:
        for member in tar:
            parts = member.name.removesuffix(".pdb").split("/")
            if member.isfile() and (tuple(parts[1:3]) in wanted or (parts[0] == "natives" and parts[1] in natives)):
                out.addfile(member, io.BytesIO(tar.extractfile(member).read()))
    return folder


def test_counts(splits) -> None:
    targets = {name: {(e.meta["set"], e.meta["target"]) for e in examples} for name, examples in splits.items()}
    assert {name: len(found) for name, found in targets.items()} == {"train": 250, "valid": 25, "test": 74}
    assert sum(len(examples) for examples in splits.values()) == 1_928


def test_no_cluster_is_in_two_splits(splits) -> None:
    clusters = [{example.meta["cluster"] for example in examples} for examples in splits.values()]
    assert not (clusters[0] & clusters[1] or clusters[0] & clusters[2] or clusters[1] & clusters[2])


def test_labels_are_shares_and_fit_the_global_ones(splits) -> None:
    for example in splits["test"]:
        assert example.target.shape == (len(example), 2)
        lddt, cad = example.target.T
        known = lddt[np.isfinite(lddt)]
        assert known.min() >= 0.0
        assert known.max() <= 1.0
        assert abs(known.mean() - example.meta["lddt"]) < 0.1  # that one is over distances, not residues
        assert all(0.0 <= example.meta[name] <= 1.0 for name in GLOBAL_SCORES if name != "cad")
        assert not np.isfinite(lddt[~example.chains[0].seen]).any()
        assert np.isnan(cad).all()  # nobody asked for it
        assert np.isnan(example.meta["cad"])


def test_cad_scores_of_models_with_side_chains(part: Path) -> None:
    examples = [example for split in read_quality(part, cad=True).values() for example in split]
    names = ("T0865", "4tsy_D", "7dz2_C")
    whole = {name: [e.meta["cad"] for e in examples if e.meta["target"] == name] for name in names}
    assert [len(scores) for scores in whole.values()] == [20, 5, 5]
    assert np.isfinite(whole["T0865"] + whole["4tsy_D"]).all()
    assert np.isnan(whole["7dz2_C"]).all()  # C-alpha traces
    for example in examples:
        lddt, cad = example.target.T
        if example.meta["target"] == "7dz2_C":
            assert np.isnan(cad).all()
        else:
            assert np.array_equal(np.isfinite(lddt), np.isfinite(cad))
            assert 0.0 <= np.nanmin(cad) < example.meta["cad"] < np.nanmax(cad) <= 1.0
    lddt = [example.meta["lddt"] for example in examples if example.meta["target"] == "T0865"]
    assert np.corrcoef(lddt, whole["T0865"])[0, 1] > 0.8


def test_a_fold_switcher_is_scored_against_the_nearer_native(part: Path) -> None:
    found = next(e for e in read_quality(part, cad=True)["train"] if e.meta["target"] == "4tsy_D")
    with gzip.open(part / "decoy_scores.tsv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["decoy"] == found.meta["decoy"]]
    near, far = sorted(rows, key=lambda row: -float(row["lddt_ca"]))
    natives = read_members(part / "structures.tar.gz", [f"natives/{row['native']}.pdb" for row in rows])
    scores = [cad_score(natives[f"natives/{row['native']}.pdb"], found.chains[0]).whole for row in (near, far)]
    assert found.meta["cad"] == scores[0] != scores[1]


def test_cad_scores_are_computed_once(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_quality(part, cad=True)
    monkeypatch.setattr(tables, "contact_areas", lambda *_: pytest.fail("computed again"))
    after = read_quality(part, cad=True)
    for name in before:
        assert [e.meta["cad"] for e in before[name]] == pytest.approx([e.meta["cad"] for e in after[name]], nan_ok=True)


def test_only_cad_scores_need_the_library(part: Path, without_voronotalt: None) -> None:
    tables._cad_scores.cache_clear()
    read_quality(part)
    with pytest.raises(InputError, match="voronotalt, which is not installed"):
        read_quality(part, cad=True)


def test_a_missing_table_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"targets\.tsv.*no such file"):
        read_quality(tmp_path)
