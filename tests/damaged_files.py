"""300 damaged structure files, by kind and from a seed, made from synthetic proteins that are sound.

    for damaged in damaged_files(folder, seed=0):
        ...  # .path, .kind, .outcome: "fails", "reads" (nothing of worth is lost) or "either"
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.damage import (
    N_BASES,
    TREES,
    absurd_coordinates,
    absurd_counts,
    base_chains,
    bases,
    bomb,
    cut,
    deleted_column,
    deleted_tag,
    flipped_bits,
    line_ends,
    long_lines,
    missing_block,
    missing_lines,
    open_quote,
    other_alphabet,
    overwritten,
    packed,
    repeated_atoms,
    repeated_chains,
    shuffled_lines,
    strange_bytes,
    wrong_gzip,
    wrong_loop,
    wrong_xz,
)
from tests.structures import mmcif_text

SUFFIX = {"pdb": ".pdb", "mmcif": ".cif", "bcif": ".bcif"}


@dataclass(frozen=True)
class Damaged:
    """One damaged file: what was done to it, to which sound content, and what has to come of it."""

    path: Path
    kind: str
    base: int  # which sound protein it was made from, -1 for none
    outcome: str  # "fails", "reads", or "either" where chance decides


KINDS = (
    (cut, {"pdb": 8, "mmcif": 6, "bcif": 6}, "either"),
    (flipped_bits, {"pdb": 12, "mmcif": 10, "bcif": 10}, "either"),
    (overwritten, {"pdb": 6, "mmcif": 6, "bcif": 6}, "either"),
    (missing_block, {"pdb": 6, "mmcif": 6, "bcif": 6}, "either"),
    (shuffled_lines, {"pdb": 8, "mmcif": 4}, "either"),
    (missing_lines, {"pdb": 6, "mmcif": 4}, "either"),
    (deleted_column, {"pdb": 12, "mmcif": 8}, "either"),
    (deleted_tag, {"mmcif": 6}, "fails"),
    (absurd_coordinates, {"pdb": 12, "mmcif": 12}, "either"),
    (absurd_counts, {"pdb": 10, "mmcif": 10}, "either"),
    (wrong_loop, {"mmcif": 6}, "fails"),
    (open_quote, {"mmcif": 6}, "either"),
    (strange_bytes, {"pdb": 8, "mmcif": 4}, "either"),
    (long_lines, {"pdb": 5, "mmcif": 5}, "either"),
    (line_ends, {"pdb": 3, "mmcif": 3}, "reads"),
    (repeated_atoms, {"pdb": 3, "mmcif": 3}, "reads"),
    (repeated_chains, {"pdb": 3, "mmcif": 3}, "reads"),
    (other_alphabet, {"pdb": 2, "mmcif": 2}, "fails"),
    (wrong_gzip, {"pdb": 4, "mmcif": 4, "bcif": 2}, "fails"),
    (wrong_xz, {"pdb": 4, "mmcif": 2, "bcif": 2}, "fails"),
    (bomb, {"pdb": 1, "mmcif": 1}, "fails"),
)
"""What is done to sound content: function, how often to which format, and what has to come of it."""

MISNAMED = (("pdb", ".cif"), ("pdb", ".bcif"), ("mmcif", ".pdb"), ("mmcif", ".ent"), ("bcif", ".pdb"), ("bcif", ".cif"))

JUNK = {
    "empty.pdb": b"",
    "blank.cif": b" \n\n",
    "mark_only.pdb": b"\xef\xbb\xbf",
    "end_only.pdb": b"END\n",
    "empty.pdb.gz": gzip.compress(b"", mtime=0),
    "zeros.bcif": bytes(3000),
    "random.cif": np.random.default_rng(1).bytes(3000),
    "magic.pdb.gz": b"\x1f\x8b" + np.random.default_rng(2).bytes(300),
    "magic.cif.xz": b"\xfd7zXZ\x00" + np.random.default_rng(3).bytes(300),
    "magic.bcif": b"\x83\xa7encoder\xa1x\xa7version" + np.random.default_rng(4).bytes(300),
    "deep.bcif": b"\x83\xa7encoder" + b"\x91" * 100_000,
    "large_array.bcif": b"\x83\xa7encoder\xa1x\xa7version\xa10\xaadataBlocks\xdd\xff\xff\xff\xff",
    "program.pdb": b"\x7fELF\x02\x01\x01" + bytes(64),
    "page.cif": b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
    "fasta.pdb": b">x\nMKVLAAGIT\n",
    "letter.ent": b"Dear data_ ATOM,\n" * 30,
}


def damaged_files(folder: Path, seed: int = 0) -> list[Damaged]:
    """Write all damaged files to a folder and return what they are; a folder in it and links make up the last ones."""
    sound = bases()
    made = list(_spoiled(folder, sound, seed))
    made += list(_junk(folder))
    made += list(_misnamed(folder, sound))
    for k, change in enumerate(TREES):
        path = folder / f"tree{k}_{change.__name__.strip('_')}.bcif"
        path.write_bytes(packed(mmcif_text(base_chains(0)), change))
        made.append(Damaged(path, "tree", -1, "fails"))
    return made + list(_archives(folder, sound)) + list(_no_files(folder, sound))


def _spoiled(folder: Path, sound: list[dict[str, bytes]], seed: int) -> Iterator[Damaged]:
    for kind, (change, counts, outcome) in enumerate(KINDS):
        for column, (form, count) in enumerate(counts.items()):
            for k in range(count):
                rng = np.random.default_rng([seed, kind, column, k])
                path = folder / f"{change.__name__}{k:02d}_{form}{SUFFIX[form]}"
                path.write_bytes(change(sound[k % N_BASES][form], rng))
                yield Damaged(path, change.__name__, k % N_BASES, outcome)


def _junk(folder: Path) -> Iterator[Damaged]:
    for name, content in JUNK.items():
        (folder / f"junk_{name}").write_bytes(content)
        # The content decides, not the name: sequences without a structure are read as such.
        yield Damaged(folder / f"junk_{name}", "junk", -1, "reads" if name.startswith("fasta") else "fails")


def _misnamed(folder: Path, sound: list[dict[str, bytes]]) -> Iterator[Damaged]:
    contents = [(f"{form}_as{suffix}", sound[1][form]) for form, suffix in MISNAMED]
    contents.append(("gz_as.pdb", gzip.compress(sound[1]["pdb"], mtime=0)))
    contents.append(("xz_as.cif.gz", lzma.compress(sound[1]["mmcif"], preset=0)))
    contents.append(("pdb_as.bcif.gz", sound[1]["pdb"]))
    for name, content in contents:
        (folder / f"misnamed_{name}").write_bytes(content)
        yield Damaged(folder / f"misnamed_{name}", "misnamed", 1, "reads")


def _archives(folder: Path, sound: list[dict[str, bytes]]) -> Iterator[Damaged]:
    outside = _tar([("../../outside.pdb", sound[2]["pdb"]), ("/etc/absolute.cif", sound[0]["mmcif"])])
    odd = tarfile.TarInfo("longname")
    odd.type, odd.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    contents = {
        "tar_cut.tar": (outside[:9000], "either"),
        "tar_nested.tar.gz": (gzip.compress(_tar([("inner.tar", outside)]), mtime=0), "fails"),
        "tar_as.pdb.gz": (gzip.compress(outside, mtime=0), "fails"),
        "tar_header.tar.gz": (gzip.compress(odd.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20), mtime=0), "fails"),
        "tar_empty.tgz": (gzip.compress(bytes(10240), mtime=0), "fails"),
        "tar_outside.tar": (outside, "either"),
    }
    for name, (content, outcome) in contents.items():
        (folder / name).write_bytes(content)
        yield Damaged(folder / name, "tar", -1, outcome)


def _tar(members: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link.pdb")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return out.getvalue()


def _no_files(folder: Path, sound: list[dict[str, bytes]]) -> Iterator[Damaged]:
    """What is named like a structure, but is a pipe, a link to nothing, a folder or has a name that is no text."""
    os.mkfifo(folder / "pipe.pdb")
    (folder / "dangling.pdb").symlink_to(folder / "nothing.pdb")
    (folder / "folder.pdb").mkdir()
    (folder / "folder.pdb" / "loop").symlink_to(folder)
    strange = Path(os.fsdecode(os.fsencode(folder) + b"/n\xe9_\xff.pdb"))
    strange.write_bytes(sound[0]["pdb"])
    slash = folder / "slash.pdb"
    slash.write_bytes(sound[0]["pdb"].replace(b" A ", b" / "))
    yield Damaged(folder / "pipe.pdb", "pipe", -1, "fails")
    yield Damaged(folder / "dangling.pdb", "link", -1, "fails")
    yield Damaged(folder / "folder.pdb", "folder", -1, "either")
    yield Damaged(strange, "name", 0, "reads")
    yield Damaged(slash, "name", -1, "reads")
