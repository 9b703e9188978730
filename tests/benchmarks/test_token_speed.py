"""The benchmark of tokens runs: both sides agree, and a long file is read as a stream."""

from __future__ import annotations

from benchmarks import token_speed
from tests.structures import random_sequence


def test_the_page_can_be_made(tmp_path) -> None:
    (tmp_path / "sequences").mkdir()
    text = "".join(f">p{k}\n{random_sequence(200 + k, seed=k)}\n" for k in range(60))
    (tmp_path / "sequences" / "refseq_68proteomes_sample.fa.gz").write_text(text)  # plain text is read as well
    made = token_speed.main(["--data", str(tmp_path), "--merges", "30", "--rounds", "1", "--stream", "1"])
    assert "60 proteins" in made and "| training |" in made and "| encoding |" in made
    assert "A file of 1 MB (1 million residues)" in made and "MB of memory at most" in made
