"""An append-only file of checked records: whatever was written before a kill is there after it, and nothing else."""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from tertia.errors import InputError

_HEAD = struct.Struct("<4scxxxQI")  # mark, kind, payload bytes, CRC-32 of kind and payload
_MARK = b"TRJ1"
_SYNC_BYTES = 64 << 20


class Journal:
    """Records of bytes, each with a one-letter kind; opening it cuts off a torn last record.

    One process at a time holds a journal: a second one is refused by a file lock, which dies with its holder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._handle = open(self.path, "a+b")  # noqa: SIM115 - held until close
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._handle.close()
            raise InputError(
                str(self.path), found="is being written by another run", hint="wait for it, or choose another output"
            ) from None
        self._unsynced = 0
        self._records = list(self._scan())

    def _scan(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield (kind, payload offset, payload bytes) of the sound records and cut the file behind the last one."""
        size = self._handle.seek(0, os.SEEK_END)
        sound = 0
        while sound < size:
            self._handle.seek(sound)
            head = self._handle.read(_HEAD.size)
            if len(head) < _HEAD.size:
                break
            mark, kind, length, checksum = _HEAD.unpack(head)
            start = sound + _HEAD.size
            if mark != _MARK or start + length > size:
                break
            if zlib.crc32(self._handle.read(length), zlib.crc32(kind)) != checksum:
                break
            yield kind, start, length
            sound = start + length
        self._handle.truncate(sound)
        self._handle.seek(sound)

    def append(self, kind: bytes, payload: bytes) -> int:
        """Add one record and return its number; after this a kill of the process cannot lose it."""
        head = _HEAD.pack(_MARK, kind, len(payload), zlib.crc32(payload, zlib.crc32(kind)))
        start = self._handle.seek(0, os.SEEK_END) + _HEAD.size
        self._handle.write(head + payload)
        self._handle.flush()
        self._unsynced += len(payload)
        if self._unsynced > _SYNC_BYTES:
            self.sync()
        self._records.append((kind, start, len(payload)))
        return len(self._records) - 1

    def sync(self) -> None:
        """Force what was appended onto the disk, against power loss."""
        os.fsync(self._handle.fileno())
        self._unsynced = 0

    def __len__(self) -> int:
        return len(self._records)

    def kind(self, number: int) -> bytes:
        """Return the kind of a record."""
        return self._records[number][0]

    def read(self, number: int) -> bytes:
        """Return the payload of a record."""
        _, start, length = self._records[number]
        return os.pread(self._handle.fileno(), length, start)

    def cut(self, n_records: int) -> None:
        """Forget all records from the n-th on."""
        if n_records < len(self._records):
            self._handle.truncate(self._records[n_records][1] - _HEAD.size)
            del self._records[n_records:]

    def close(self) -> None:
        """Flush and release the file."""
        if not self._handle.closed:
            self.sync()
            self._handle.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        self.close()
