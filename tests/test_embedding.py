"""Embedding files: what is written is read again, the same bytes come twice, nothing is replaced silently."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tertia.embedding import Embedding, read, write
from tertia.embedding.plan import duration, readable, sparkline
from tertia.embedding.unfinished import Unfinished, digest_of
from tertia.errors import InputError

PROVENANCE = {"model": "distmap", "sha256": "ab" * 32, "sigmas": [0.1, 1.08], "precision": "fp32", "tertia": "0.1.0",
              "file": "1abc.cif#1"}  # fmt: skip


def made(key: str = "1abc_A", length: int = 7, *, pair: bool = True, seed: int = 0) -> Embedding:
    rng = np.random.default_rng(seed)
    seen = np.ones(length, dtype=bool)
    seen[length // 2] = False
    return Embedding(
        key, "ACDEFGHIKL" * (length // 10) + "ACDEFGHIKL"[: length % 10], tuple(f"{k}A" for k in range(length)), seen,
        protein=rng.standard_normal(4).astype(np.float32),
        residue=rng.standard_normal((length, 4)).astype(np.float32),
        pair=rng.standard_normal((length, length, 4)).astype(np.float16) if pair else None,
        provenance=PROVENANCE,
    )  # fmt: skip


def assert_equal(one: Embedding, two: Embedding) -> None:
    assert (one.key, one.sequence, one.residue_id) == (two.key, two.sequence, two.residue_id)
    assert dict(one.provenance) == dict(two.provenance)
    assert np.array_equal(one.seen, two.seen) and two.seen.dtype == bool
    assert one.levels.keys() == two.levels.keys()
    for name, values in one.levels.items():
        assert values.dtype == two.levels[name].dtype
        assert np.array_equal(values, two.levels[name])


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".npz"])
def test_what_is_written_is_read(suffix: str, tmp_path) -> None:
    written = [made("2xyz_B", 5), made("1abc_A", 130, seed=1), made("1abc_C", 1, pair=False)]
    found = list(read(write(tmp_path / f"out{suffix}", written)))
    assert len(found) == 3
    for one, two in zip(written, found, strict=True):
        assert_equal(one, two)
    assert [path.name for path in tmp_path.iterdir()] == [f"out{suffix}"]


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_the_same_embeddings_give_the_same_bytes(suffix: str, tmp_path) -> None:
    files = [write(tmp_path / f"{name}{suffix}", [made(), made("b_B")]) for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_some_keys_only(suffix: str, tmp_path) -> None:
    path = write(tmp_path / f"out{suffix}", [made("a_A"), made("b_B"), made("c_C")])
    assert [one.key for one in read(path, keys=["c_C", "a_A"])] == ["a_A", "c_C"]
    with pytest.raises(InputError, match="'d_D': is not in this file"):
        list(read(path, keys=["d_D"]))


def test_the_layout_that_is_documented(tmp_path) -> None:
    with h5py.File(write(tmp_path / "out.h5", [made()])) as file:
        group = file["1abc_A"]
        assert group["protein"].shape == (4,)
        assert group["residue"].shape == (7, 4)
        assert group["pair"].shape == (7, 7, 4)
        assert group.attrs["sequence"] == "ACDEFGH"
        assert {"residue_id", "seen", "sha256", "sigmas", "precision", "tertia"} <= set(group.attrs)


def test_a_chain_of_giant_length(tmp_path) -> None:
    """The attributes of 30,000 residues are larger than what HDF5 keeps in a header."""
    giant = made("giant_A", 30_000, pair=False)
    assert_equal(giant, next(read(write(tmp_path / "out.h5", [giant]))))


def test_two_chains_of_one_key_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="two chains have this key"):
        write(tmp_path / "out.h5", [made(), made()])
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("name", ["out", "out.csv", "out.h5.gz"])
def test_unknown_suffixes_are_refused(name: str, tmp_path) -> None:
    with pytest.raises(InputError, match="names no format"):
        write(tmp_path / name, [made()])


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
@pytest.mark.parametrize(
    "content", [b"", b"no such thing", b"\x89HDF\r\n\x1a\n" + bytes(90), b"PK\x03\x04" + bytes(90)]
)
def test_damaged_files_are_refused(suffix: str, content: bytes, tmp_path) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_bytes(content + bytes(90 if content else 0))
    with pytest.raises(InputError):
        list(read(path))


def test_foreign_hdf5_files_are_refused(tmp_path) -> None:
    with h5py.File(tmp_path / "out.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="not one of embeddings"):
        list(read(tmp_path / "out.h5"))


def test_parquet_holds_the_protein_level(tmp_path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(write(tmp_path / "out.parquet", [made(), made("b_B", seed=2)])).to_pydict()
    assert table["key"] == ["1abc_A", "b_B"]
    assert np.array_equal(np.array(table["protein"][1], np.float32), made("b_B", seed=2).protein)
    assert table["n_seen"] == [6, 6]


def test_unfinished_parts_survive_and_are_removed(tmp_path) -> None:
    chain = made(pair=False)
    digest = digest_of(chain.key, chain.sequence, np.zeros((7, 3)))
    parts = Unfinished(tmp_path / "out.h5", {"model": 1})
    parts.add_pair(digest, (7, 7, 4), [made().pair[:3], made().pair[3:]])
    parts.add(digest, chain)
    parts.close()
    again = Unfinished(tmp_path / "out.h5", {"model": 1})
    assert digest in again and "0" * 64 not in again
    assert_equal(again.get(digest), made())
    again.remove()
    assert not list(tmp_path.iterdir())


def test_unfinished_parts_of_other_settings_are_refused(tmp_path) -> None:
    Unfinished(tmp_path / "out.h5", {"model": 1}).close()
    with pytest.raises(InputError, match="other settings"):
        Unfinished(tmp_path / "out.h5", {"model": 2})


def test_a_digest_depends_on_all_that_is_embedded() -> None:
    coord = np.zeros((3, 3), np.float32)
    digests = [digest_of("a", "ACD", coord), digest_of("b", "ACD", coord), digest_of("a", "ACE", coord),
               digest_of("a", "ACD", coord + 1)]  # fmt: skip
    assert len(set(digests)) == 4
    assert digest_of("a", "ACD", coord) == digests[0]


def test_numbers_for_people() -> None:
    assert readable(1_234_567) == "1.23 MB"
    assert [duration(seconds) for seconds in (0.2, 61, 600, 7200)] == ["1 s", "61 s", "10 min", "2.0 h"]
    line = sparkline(np.array([10] * 8 + [100]), n_bins=5)
    assert len(line) == 5 and line[0] == "█" and line[4] != " " and line[1:4] == "   "
