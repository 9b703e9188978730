"""Write and read embedding files: HDF5 (one group a chain), npz, parquet (protein level only).

The same embeddings in the same order give the same bytes: no times are stored. A file is written beside its place and
moved there when it is whole.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np

from tertia.embedding.chain_embedding import LEVELS, Embedding
from tertia.errors import InputError

SUFFIXES = (".h5", ".hdf5", ".npz", ".parquet")
FORMAT = "tertia-embeddings"
ROWS = 64  # rows of the pair level that are copied at a time


def write(path: str | Path, embeddings: Iterable[Embedding]) -> Path:
    """Write embeddings in the given order; the suffix decides the format.

    Raises InputError for another suffix, two chains of one key, or parquet without pyarrow.
    """
    path = Path(path)
    writer = {".npz": _write_npz, ".parquet": _write_parquet}.get(checked_suffix(path), _write_hdf5)
    part = path.with_name(path.name + ".part")
    writer(part, _unique(embeddings, path))
    with open(part, "rb") as handle:
        os.fsync(handle.fileno())
    os.replace(part, path)
    return path


def read(path: str | Path, *, keys: Collection[str] | None = None) -> Iterator[Embedding]:
    """Yield the embeddings of an HDF5 or npz file, all of them or those of some keys, in the order of the file.

    Raises InputError when it is none of ours or lacks a key.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(str(path), found="there is no such file")
    reader = _read_npz if checked_suffix(path, parquet=False) == ".npz" else _read_hdf5
    found = set()
    for embedding in reader(path, keys):
        found.add(embedding.key)
        yield embedding
    if keys is not None and set(keys) - found:
        raise InputError(str(path), sorted(set(keys) - found)[0], found="is not in this file")


def checked_suffix(path: Path, *, parquet: bool = True) -> str:
    """Return the suffix of an embedding file; raises InputError when there is no format for it."""
    allowed = SUFFIXES if parquet else SUFFIXES[:-1]
    if path.suffix not in allowed:
        raise InputError(str(path), found=f"the suffix {path.suffix!r} names no format", allowed=", ".join(allowed))
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            hint = "pip install 'tertia[parquet]', or choose .h5"
            raise InputError(str(path), found="parquet files need pyarrow", hint=hint) from None
    return path.suffix


def _unique(embeddings: Iterable[Embedding], path: Path) -> Iterator[Embedding]:
    seen: set[str] = set()
    for embedding in embeddings:
        if embedding.key in seen:
            raise InputError(str(path), embedding.key, found="two chains have this key", hint="rename one of the files")
        seen.add(embedding.key)
        yield embedding


def _facts(embedding: Embedding) -> dict[str, object]:
    """Return what is stored beside the arrays, as JSON values."""
    return {
        "sequence": embedding.sequence,
        "residue_id": list(embedding.residue_id),
        "seen": [int(x) for x in embedding.seen],
        "provenance": dict(embedding.provenance),
    }


# --- HDF5 ----------------------------------------------------------------------------------------------------------


def _write_hdf5(path: Path, embeddings: Iterable[Embedding]) -> None:
    import h5py

    # From version 1.8 on attributes may be larger than 64 kB, which those of giant chains are.
    with h5py.File(path, "w", libver=("v108", "v110"), track_order=True) as file:
        file.attrs["format"] = FORMAT
        for embedding in embeddings:
            group = file.create_group(embedding.key, track_order=True)
            group.attrs["sequence"] = embedding.sequence
            group.attrs["residue_id"] = json.dumps(embedding.residue_id)
            group.attrs["seen"] = embedding.seen.astype(np.uint8)
            for name, value in sorted(embedding.provenance.items()):
                group.attrs[name] = value
            for name, values in embedding.levels.items():
                data = group.create_dataset(name, values.shape, values.dtype, track_times=False)
                step = len(values) if values.ndim < 3 else ROWS
                for start in range(0, len(values), max(step, 1)):
                    data[start : start + step] = values[start : start + step]


def _read_hdf5(path: Path, keys: Collection[str] | None) -> Iterator[Embedding]:
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(str(path), found=f"is no HDF5 file, or a damaged one ({error})") from None
    with file:
        if file.attrs.get("format") != FORMAT:
            raise InputError(str(path), found="is an HDF5 file, but not one of embeddings")
        for key, group in file.items():
            if keys is None or key in keys:
                facts = {name: _plain(value) for name, value in group.attrs.items()}
                yield Embedding(
                    key, facts.pop("sequence"), tuple(json.loads(facts.pop("residue_id"))),
                    np.asarray(facts.pop("seen"), dtype=bool),
                    **{name: group[name][()] for name in LEVELS if name in group}, provenance=facts,
                )  # fmt: skip


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


# --- npz -----------------------------------------------------------------------------------------------------------


def _write_npz(path: Path, embeddings: Iterable[Embedding]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for embedding in embeddings:
            text = json.dumps(_facts(embedding), sort_keys=True)
            arrays = {"facts": np.frombuffer(text.encode(), np.uint8), **embedding.levels}
            for name, values in arrays.items():
                # A ZipInfo made by hand carries the year 1980 instead of now.
                with archive.open(zipfile.ZipInfo(f"{embedding.key}/{name}.npy"), "w", force_zip64=True) as handle:
                    np.lib.format.write_array(handle, np.ascontiguousarray(values), allow_pickle=False)


def _read_npz(path: Path, keys: Collection[str] | None) -> Iterator[Embedding]:
    if not zipfile.is_zipfile(path):
        raise InputError(str(path), found="is no npz file, or a damaged one")
    archive = np.load(path, allow_pickle=False)
    names = [name.removesuffix("/facts") for name in archive.files if name.endswith("/facts")]
    with archive:
        for key in names:
            if keys is None or key in keys:
                facts = json.loads(archive[f"{key}/facts"].tobytes())
                levels = {name: archive[f"{key}/{name}"] for name in LEVELS if f"{key}/{name}" in archive.files}
                yield Embedding(
                    key, facts["sequence"], tuple(facts["residue_id"]), np.array(facts["seen"], dtype=bool),
                    **levels, provenance=facts["provenance"],
                )  # fmt: skip


# --- parquet -------------------------------------------------------------------------------------------------------


def _write_parquet(path: Path, embeddings: Iterable[Embedding]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([
        ("key", pa.string()), ("sequence", pa.string()), ("n_residues", pa.int32()), ("n_seen", pa.int32()),
        ("protein", pa.list_(pa.float32())), ("provenance", pa.string()),
    ])  # fmt: skip
    with pq.ParquetWriter(path, schema) as writer:
        for batch in _batched(embeddings, 10_000):
            rows = [
                {
                    "key": one.key,
                    "sequence": one.sequence,
                    "n_residues": len(one),
                    "n_seen": int(one.seen.sum()),
                    "protein": one.protein,
                    "provenance": json.dumps(dict(one.provenance), sort_keys=True),
                }
                for one in batch
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _batched(embeddings: Iterable[Embedding], size: int) -> Iterator[list[Embedding]]:
    batch: list[Embedding] = []
    for embedding in embeddings:
        batch.append(embedding)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
