"""`inspect` reports every chain and every refused file; JSON and table say the same."""

from __future__ import annotations

import io
import json

from tertia.errors import InputError
from tertia.inspect import inspect, print_table, to_json
from tests.structures import pdb_text, polymer, renamed, water, with_hydrogens, without


def test_one_json_object_a_chain_and_an_error_a_bad_file(tmp_path):
    made = with_hydrogens(renamed(without(polymer(20, seed=1), [5, 6]), 9, "MSE"))
    (tmp_path / "a.pdb").write_text(pdb_text([made, polymer(8, chain="B")], hetero={"A": [water()]}))
    (tmp_path / "b.pdb").write_text("junk")
    report, error = inspect([str(tmp_path)])
    assert isinstance(error, InputError)
    first, second = (json.loads(line) for line in to_json(report).splitlines())
    assert {"file", "entry", "chain", "sequence", "n_residues", "n_with_coordinates", "gaps", "changes"} <= first.keys()
    assert (first["entry"], first["chain"], first["n_residues"], first["n_with_coordinates"]) == ("a", "A", 20, 18)
    assert first["gaps"][0]["n_missing"] == 2
    assert {"kind": "modified_residue", "where": "10", "from": "MSE", "to": "MET"} in first["changes"]
    assert (second["chain"], second["changes"], second["notes"]) == ("B", [], ["1 waters set apart"])


def test_the_table_has_a_line_a_chain(tmp_path):
    made = renamed(renamed(polymer(20, seed=1), 9, "MSE"), 3, "MSE")
    (tmp_path / "a.pdb").write_text(pdb_text([with_hydrogens(made), polymer(8, chain="B")]))
    out = io.StringIO()
    print_table(inspect(str(tmp_path / "a.pdb")), out)
    header, first, second = out.getvalue().splitlines()
    assert header.split()[:4] == ["entry", "chain", "residues", "seen"]
    assert first.split()[:6] == ["a", "A", "20", "20", "0", "0"]
    assert "MSE->MET 2, hydrogens_dropped 20" in first
    assert second.endswith("none")
