"""Flat columns in one safetensors file: written in a fixed byte order, read as views on a memory map."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tertia.errors import InputError

_CODE_OF_DTYPE = {
    "float32": "F32", "float64": "F64", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "int16": "I16", "int32": "I32", "int64": "I64",
}  # fmt: skip
_DTYPE_OF_CODE = {code: np.dtype(name) for name, code in _CODE_OF_DTYPE.items()}
_MAX_HEADER = 100_000_000
"""Bytes; the safetensors format sets the same limit."""


@dataclass(frozen=True)
class Column:
    """A column to be written, given as chunks so that no second copy of it is ever in memory."""

    dtype: np.dtype
    shape: tuple[int, ...]  # rows first
    chunks: Iterable[np.ndarray]

    @classmethod
    def whole(cls, values: np.ndarray) -> Column:
        """Return a column of one chunk."""
        return cls(values.dtype, values.shape, (values,))


def write_columns(path: Path, columns: Mapping[str, Column | np.ndarray], *, meta: Mapping[str, str]) -> None:
    """Write columns as one safetensors file, atomically: the file is either whole or not there.

    The same columns give the same bytes (the safetensors library orders its metadata at random: not used).
    """
    columns = {name: column if isinstance(column, Column) else Column.whole(column) for name, column in columns.items()}
    # Wide types first keeps every column aligned to its own item size.
    names = sorted(columns, key=lambda name: (-columns[name].dtype.itemsize, name))
    header: dict[str, object] = {"__metadata__": dict(sorted(meta.items()))}
    start = 0
    for name in names:
        column = columns[name]
        stop = start + int(np.prod(column.shape, dtype=np.int64)) * column.dtype.itemsize
        header[name] = {
            "dtype": _CODE_OF_DTYPE[column.dtype.name],
            "shape": list(column.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % 8)

    with replaced(path) as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            before = handle.tell()
            for chunk in columns[name].chunks:
                handle.write(np.ascontiguousarray(chunk, dtype=columns[name].dtype).data)
            low, high = header[name]["data_offsets"]
            if handle.tell() - before != high - low:
                raise ValueError(f"column {name}: chunks hold {handle.tell() - before} bytes, not {high - low}")


class replaced:
    """Open a temporary neighbour of a file for writing; on success flush it to disk and move it into place."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.temporary = self.path.with_name(self.path.name + ".part")

    def __enter__(self):
        self.handle = open(self.temporary, "wb")
        return self.handle

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.handle.flush()
            os.fsync(self.handle.fileno())
        self.handle.close()
        if kind is None:
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink(missing_ok=True)


def write_json(path: Path, values: object) -> None:
    """Write JSON atomically, keys in order, one final newline."""
    with replaced(path) as handle:
        handle.write((json.dumps(values, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode())


class Columns:
    """The columns of one safetensors file as read-only views on its memory map.

    Nothing is read until it is touched, worker processes share the pages, and a fork may inherit the map.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            with open(self.path, "rb") as handle:
                self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InputError(str(self.path), found=f"cannot be opened ({error})", allowed="a store file") from None
        try:
            self.meta, self._columns = self._parse()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                str(self.path), found=f"is damaged ({error})", allowed="a whole safetensors file",
                hint="make the store again with `tertia prepare`",
            ) from None  # fmt: skip

    def _parse(self) -> tuple[dict[str, str], dict[str, np.ndarray]]:
        size = len(self._map)
        n_header = int.from_bytes(self._map[:8], "little")
        if size < 8 or n_header > min(size - 8, _MAX_HEADER):
            raise ValueError("the header is longer than the file")
        header = json.loads(self._map[8 : 8 + n_header])
        meta = header.pop("__metadata__", {})
        base = 8 + n_header
        return meta, {name: self._view(entry, base) for name, entry in header.items()}

    def _view(self, entry: dict, base: int) -> np.ndarray:
        dtype, shape = _DTYPE_OF_CODE[entry["dtype"]], tuple(entry["shape"])
        start, stop = entry["data_offsets"]
        count = int(np.prod(shape, dtype=np.int64))
        if min(shape, default=0) < 0 or stop - start != count * dtype.itemsize or base + stop > len(self._map):
            raise ValueError("a column lies outside the file")
        if count == 0:
            return np.empty(shape, dtype)
        return np.frombuffer(self._map, dtype, count, base + start).reshape(shape)

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self._columns[name]
        except KeyError:
            raise InputError(str(self.path), name, found="has no such column", allowed=", ".join(self)) from None

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)
