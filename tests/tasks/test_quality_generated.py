"""Decoys as training models: scores as their labels say, natives that are perfect, relatives left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tertia.decoys import decoys
from tertia.errors import InputError
from tertia.structure.quality import global_quality, lddt
from tertia.structure.read import read_structure
from tertia.tasks.quality.generated import SET, read_generated
from tertia.tasks.quality.tables import GLOBAL_SCORES
from tests.structures import pdb_text, polymer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    natives = tmp_path_factory.mktemp("natives")
    for name, seed in (("one", 1), ("two", 2)):
        (natives / f"{name}.pdb").write_text(pdb_text([polymer(26, seed=seed)]))
    decoys([str(natives)], natives.parent / "made", number=2, generators=("register", "hinge"))
    return natives.parent / "made"


def test_every_model_has_the_scores_that_its_coordinates_give(folder: Path) -> None:
    examples, leaks = read_generated(folder, away_from=())
    assert len(examples) == 6 and not leaks
    native_of = {one.meta["target"]: one.chains[0] for one in examples if one.meta["decoy"] == "native.pdb"}
    assert set(native_of) == {"one_A", "two_A"}
    for one in examples:
        native, chain = native_of[one.meta["target"]], one.chains[0]
        np.testing.assert_allclose(one.target[:, 0], lddt(native.alpha, chain.alpha).residue, atol=0.02)
        assert np.isnan(one.target[:, 1]).all() and np.isnan(one.meta["cad"])
        fresh = global_quality(native.alpha, chain.alpha)
        for score in ("lddt", "tm_score", "gdt_ts", "gdt_ha"):
            assert score in GLOBAL_SCORES and one.meta[score] == pytest.approx(getattr(fresh, score), abs=0.005)
        assert one.meta["set"] == SET and one.id == f"{SET}/{one.meta['target']}/{one.meta['decoy']}"


def test_relatives_of_what_models_are_tried_on_are_left_out(folder: Path) -> None:
    (native,) = read_structure(folder / "two_A" / "native.pdb").chains
    examples, leaks = read_generated(folder, away_from=[native.sequence])
    assert {one.meta["target"] for one in examples} == {"one_A"}
    assert [leak.chain for leak in leaks] == ["two_A"]


def test_a_folder_of_other_things_and_labels_of_another_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no decoys"):
        read_generated(tmp_path, away_from=())
    path = folder / "one_A" / "labels.json"
    labels = path.read_text()
    changed = json.loads(labels)
    changed["decoys"][0]["sequence"] = "A" * 26
    path.write_text(json.dumps(changed))
    try:
        with pytest.raises(InputError, match="another sequence than its labels"):
            read_generated(folder, away_from=())
    finally:
        path.write_text(labels)
