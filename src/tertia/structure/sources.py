"""Where structures come from: files, folders, globs, tar archives and lists, one bounded stream of bytes each.

Nothing is ever extracted to disk, so a member named "../../x" is only a name. Everything is read through a limit, so a
file that unpacks to terabytes costs no more than the limit.
"""

from __future__ import annotations

import glob
import io
import lzma
import os
import re
import stat
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tertia.errors import InputError

try:
    from isal import isal_zlib as inflate  # the same functions, more than twice as fast
except ImportError:  # no wheel for this machine
    import zlib as inflate

MAX_BYTES = 1 << 30
"""Largest file, after unpacking, that is read: 1 GiB (the largest entries of the PDB have about 0.5)."""


_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"
_XZ_MEMORY = 256 << 20  # a dictionary that a file asks for; the strongest preset of xz takes 65 MiB
_BOMB_RATIO, _BOMB_FLOOR = 200, 64 << 20
"""What unpacks to more than 200 times its size (structures: 4 to 20 times), and to more than 64 MiB, is a bomb."""
_HEADER_BYTES = 1 << 20  # longest name or table of attributes in a tar archive; tarfile itself has no limit
_ZEROS = re.compile(rb"\0*")
_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif", ".bcif", ".pdb1", ".brk")
_NOT_A_PATTERN_HINT = "give files, folders, globs in quotes, tar archives, or - for a list on stdin"


@dataclass(frozen=True)
class Source:
    """One structure file, or the error that stands in its place."""

    name: str  # path, or "archive.tar!member"
    error: InputError | None = None
    packed: bytes | None = None  # bytes as they lie in the archive; None: the file `name` is read on demand
    max_bytes: int = MAX_BYTES

    def read(self) -> bytes:
        """Return the content, decompressed where it is gzip or xz.

        Raises
        ------
        InputError: absent, unreadable, damaged or truncated compression, or larger than the limit.
        """
        if self.error is not None:
            raise self.error
        packed = _read_file(self.name, self.max_bytes) if self.packed is None else self.packed
        return decompress(packed, self.name, max_bytes=self.max_bytes)

    @property
    def entry(self) -> str:
        """Name of the entry: the file name without folders and known suffixes, "1abc"."""
        member = self.name if self.packed is None else self.name.rsplit("!", 1)[-1]  # a file may be named "wow!.pdb"
        stem = member.replace("\\", "/").rsplit("/", 1)[-1]
        for suffix in (".gz", ".xz", *_SUFFIXES):
            if stem.lower().endswith(suffix) and len(stem) > len(suffix):
                stem = stem[: -len(suffix)]
        return as_text(stem)


def as_text(name: str) -> str:
    """Return a file name whose bytes are no UTF-8 as text that can be written anywhere, "caf\\xe9.pdb"."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def open_sources(inputs: Sequence[str | os.PathLike], *, max_bytes: int = MAX_BYTES,
                 stdin: io.TextIOBase | None = None) -> Iterator[Source]:  # fmt: skip
    """Yield every structure file that the inputs name, in a fixed order; what fails is a Source with an error.

    Parameters
    ----------
    inputs: files, folders (searched below, by suffix), globs, tar archives (plain, gz, xz), or "-": a list on stdin.
    max_bytes: largest content after unpacking.
    stdin: where "-" reads from; the standard input by default.
    """
    for given in inputs:
        if os.fspath(given) == "-":
            lines = (line.strip() for line in (stdin or sys.stdin))
            yield from open_sources([line for line in lines if line and line != "-"], max_bytes=max_bytes)
        else:
            yield from _expand(os.fspath(given), max_bytes)


def _expand(given: str, max_bytes: int) -> Iterator[Source]:
    if "\0" in given:
        yield _failed(given, "a name with a zero byte", max_bytes)
    elif os.path.isdir(given):
        yield from _folder(given, max_bytes)
    elif os.path.exists(given):
        yield from _file_or_archive(given, max_bytes)
    elif glob.has_magic(given):
        matches = sorted(glob.glob(given, recursive=True))
        if not matches:
            yield _failed(given, "no file matches this pattern", max_bytes)
        for match in matches:
            yield from _folder(match, max_bytes) if os.path.isdir(match) else _file_or_archive(match, max_bytes)
    else:
        yield _failed(given, "there is no such file or folder", max_bytes)


def _folder(folder: str, max_bytes: int) -> Iterator[Source]:
    closed: list[OSError] = []
    paths = [path for path in _walk(folder, closed) if looks_like_structure(path.name) or is_archive_name(path.name)]
    for path in sorted(paths):
        yield from _file_or_archive(str(path), max_bytes)
    for error in closed:
        yield _failed(str(error.filename), f"the folder cannot be read ({error.strerror})", max_bytes)
    if not paths and not closed:
        yield _failed(folder, "the folder holds no structure file or tar archive", max_bytes)


def _walk(folder: str, closed: list[OSError]) -> Iterator[Path]:
    """Yield all files below a folder; links to folders are followed, but no folder is entered twice."""
    entered: set[str] = set()
    for here, folders, files in os.walk(folder, onerror=closed.append, followlinks=True):
        real = os.path.realpath(here)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        yield from (Path(here, name) for name in files)


def looks_like_structure(name: str) -> bool:
    """Tell by its suffix whether a file in a folder is taken for a structure."""
    name = name.lower().removesuffix(".gz").removesuffix(".xz")
    return name.endswith(_SUFFIXES)


def is_archive_name(name: str) -> bool:
    """Tell by its suffix whether a file is a tar archive."""
    return name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz"))


def _file_or_archive(path: str, max_bytes: int) -> Iterator[Source]:
    try:
        with _opened(path) as file:
            head = file.read(512)
    except OSError as error:
        yield _failed(path, f"cannot be read ({error.strerror})", max_bytes)
        return
    if is_archive_name(path) or _is_tar_header(head):
        yield from _archive(path, max_bytes)
    else:
        yield Source(path, max_bytes=max_bytes)


def _opened(path: str) -> io.BufferedReader:
    """Open a regular file; reading from a pipe may wait for ever, and a device may never end."""
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
        raise OSError(0, "it is a pipe, socket or device", path)
    return open(path, "rb")


def _is_tar_header(head: bytes) -> bool:
    return len(head) == 512 and head[257:262] == b"ustar"


class _Header(tarfile.TarInfo):
    """A header of a tar archive whose size has been looked at before anything of that size is read."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _READ_WHOLE and header.size > _HEADER_BYTES):
            raise tarfile.ReadError(f"a header that asks for {header.size:,} bytes")
        return header


_READ_WHOLE = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
               tarfile.SOLARIS_XHDTYPE)  # fmt: skip


def _archive(path: str, max_bytes: int) -> Iterator[Source]:
    seen: set[str] = set()
    n_members = 0
    try:
        # "r|*" reads forward only: no seeking in compressed data, no list of members in memory.
        with tarfile.open(path, "r|*", tarinfo=_Header) as archive:
            max_bytes = _bomb_limit(os.path.getsize(path), max_bytes)
            for member in archive:
                if member.isdir():
                    continue
                n_members += 1
                yield _member(archive, member, f"{path}!{member.name}", seen, max_bytes)
                archive.members = []  # tarfile keeps every header otherwise
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error, ValueError) as error:
        yield _failed(path, f"damaged or truncated tar archive after {n_members} members ({error})", max_bytes)
        return
    if not n_members:
        yield _failed(path, "the archive is empty", max_bytes)


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, seen: set[str], max_bytes: int) -> Source:
    if not member.isfile():
        return _failed(name, "the member is a link or device, not a file", max_bytes)
    if member.name in seen:
        return _failed(name, "the archive holds a second member of this name; the first was read", max_bytes)
    seen.add(member.name)
    if member.size > max_bytes:
        return Source(name, _too_large(name, max_bytes))
    content = archive.extractfile(member).read(max_bytes + 1)
    if len(content) < member.size:
        raise EOFError(f"member {member.name} is cut")
    return Source(name, packed=content, max_bytes=max_bytes)


def _read_file(path: str, max_bytes: int) -> bytes:
    try:
        with _opened(path) as file:
            # A read of up to the limit would set aside that much memory each time; a file may still grow meanwhile.
            size = os.fstat(file.fileno()).st_size
            content = file.read(min(size, max_bytes) + 1)
            if size < len(content) <= max_bytes:
                content += file.read(max_bytes + 1 - len(content))
    except OSError as error:
        raise InputError(path, found=f"cannot be read ({error.strerror})") from error
    if len(content) > max_bytes:
        raise _too_large(path, max_bytes)
    return content


def decompress(packed: bytes, name: str, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of gzip or xz bytes (several gzip members are joined), other bytes unchanged."""
    try:
        if packed[:2] == _GZIP:
            return _unpack(packed, name, max_bytes, lambda: inflate.decompressobj(31))
        if packed[:6] == _XZ:
            return _unpack(packed, name, max_bytes, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY))
    except (inflate.error, lzma.LZMAError, MemoryError) as error:
        raise InputError(
            name, found=f"damaged compression ({error})", hint="download or pack the file again"
        ) from error
    if len(packed) > max_bytes:
        raise _too_large(name, max_bytes)
    return packed


def _unpack(packed: bytes, name: str, max_bytes: int, engine: Callable) -> bytes:
    limit = _bomb_limit(len(packed), max_bytes)
    parts: list[bytes] = []
    size = at = 0
    while at < len(packed):
        decompressor = engine()
        # The usual file is one member, so all of it in one call; in a file of thousands, handing on the rest each
        # time would copy it thousands of times.
        window = len(packed) if at == 0 else 1024
        while not decompressor.eof:
            if at >= len(packed):
                raise InputError(
                    name, found="the compressed data end too early", hint="download or pack the file again"
                )
            piece = packed[at : at + window]
            at += len(piece)
            window *= 2
            parts.append(decompressor.decompress(piece, limit - size + 1))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(name, max_bytes) if limit == max_bytes else _bomb(name, len(packed), limit)
        at = _ZEROS.match(packed, at - len(decompressor.unused_data)).end()
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _bomb_limit(n_packed: int, max_bytes: int) -> int:
    return min(max_bytes, max(_BOMB_FLOOR, _BOMB_RATIO * n_packed))


def _bomb(name: str, n_packed: int, limit: int) -> InputError:
    found = f"{n_packed:,} bytes that unpack to more than {limit:,}"
    return InputError(name, found=found, allowed=f"{_BOMB_RATIO} times as many", hint="unpack it if it is meant so")


def _too_large(name: str, max_bytes: int) -> InputError:
    return InputError(name, found=f"larger than {max_bytes:,} bytes after unpacking", allowed=f"at most {max_bytes:,}",
                      hint="raise the limit if the file is meant to be that large")  # fmt: skip


def _failed(name: str, found: str, max_bytes: int) -> Source:
    return Source(name, InputError(name, found=found, hint=_NOT_A_PATTERN_HINT), max_bytes=max_bytes)
