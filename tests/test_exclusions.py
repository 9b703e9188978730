"""The example that writes what a corpus must not neighbour."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

from tertia.sequence.fasta import read_fasta


def test_all_test_proteins_are_written(shared_data, repository, tmp_path):
    done = subprocess.run(
        [sys.executable, repository / "examples" / "exclusions.py", tmp_path / "out.fa"],
        env=os.environ | {"TERTIA_DATA": str(shared_data)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kinds = Counter(record.name.split("_")[0] for record in read_fasta(tmp_path / "out.fa"))
    assert kinds["graphppis"] == 60 + 315 + 31
    assert kinds["deepppisp"] == 70
    assert kinds["quality"] >= 2 * 74  # targets, and at least one native each
