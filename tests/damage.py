"""What can happen to the bytes of a structure file: functions from sound content and a generator to damaged content."""

from __future__ import annotations

import gzip
import io
import lzma
import re
from collections.abc import Callable

import numpy as np

from tests.structures import Polymer, mmcif_text, pdb_text, polymer

Random = np.random.Generator


# ---------------------------------------------------------------- sound content
N_BASES = 3


def base_chains(base: int) -> list[Polymer]:
    """Return the two chains of one sound protein."""
    return [polymer(34 + 3 * base, seed=300 + base), polymer(26, seed=400 + base, chain="B")]


def bases() -> list[dict[str, bytes]]:
    """Return the sound files as format -> content."""
    made = []
    for base in range(N_BASES):
        chains = base_chains(base)
        text = mmcif_text(chains)
        made.append({"pdb": pdb_text(chains).encode(), "mmcif": text.encode(), "bcif": packed(text)})
    return made


def packed(text: str, change: Callable[[dict], None] = lambda tree: None) -> bytes:
    """Return mmCIF text as BinaryCIF, by biotite; `change` may spoil the tree before it is packed."""
    import msgpack
    from biotite.structure.io import pdbx

    source = pdbx.CIFFile.read(io.StringIO(text))
    block = pdbx.BinaryCIFBlock()
    for name, category in source.block.items():
        columns = {}
        for key, column in category.items():
            mask = None if column.mask is None else pdbx.BinaryCIFData(column.mask.array)
            columns[key] = pdbx.BinaryCIFColumn(pdbx.BinaryCIFData(column.as_array(str)), mask)
        block[name] = pdbx.BinaryCIFCategory(columns)
    out = io.BytesIO()
    pdbx.BinaryCIFFile({"TEST": block}).write(out)
    tree = msgpack.unpackb(out.getvalue(), raw=False)
    change(tree)
    return msgpack.packb(tree, use_bin_type=True)


# ---------------------------------------------------------------- damage to any content
def cut(content: bytes, rng: Random) -> bytes:
    return content[: int(rng.integers(1, len(content)))]


def flipped_bits(content: bytes, rng: Random) -> bytes:
    spoiled = bytearray(content)
    for at in rng.integers(len(content), size=int(rng.integers(1, 6))):
        spoiled[at] ^= 1 << int(rng.integers(8))
    return bytes(spoiled)


def overwritten(content: bytes, rng: Random) -> bytes:
    at = int(rng.integers(len(content)))
    return content[:at] + rng.bytes(200) + content[at + 200 :]


def missing_block(content: bytes, rng: Random) -> bytes:
    at = int(rng.integers(len(content)))
    return content[:at] + content[at + 700 :]


# ---------------------------------------------------------------- damage to text
def shuffled_lines(content: bytes, rng: Random) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join([lines[k] for k in rng.permutation(len(lines))])


def missing_lines(content: bytes, rng: Random) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join([line for line, kept in zip(lines, rng.random(len(lines)) < 0.9, strict=True) if kept])


def deleted_column(content: bytes, rng: Random) -> bytes:
    """Take one character column (PDB) or one value of each row (mmCIF) out of the atoms."""
    lines, at = content.split(b"\n"), int(rng.integers(1, 60))
    for k, line in enumerate(lines):
        if line.startswith((b"ATOM", b"HETATM")):
            words = line.split(b" ")
            is_table = len(words) == 18
            lines[k] = b" ".join(np.delete(words, at % 18).tolist()) if is_table else line[:at] + line[at + 1 :]
    return b"\n".join(lines)


def deleted_tag(content: bytes, rng: Random) -> bytes:
    """Take one tag out of the atom table of an mmCIF file, but not its values."""
    tags = re.findall(rb"_atom_site\.\w+\n", content)
    return content.replace(tags[int(rng.integers(len(tags)))], b"", 1) if tags else content[100:]


def _in_an_atom(content: bytes, rng: Random, change: Callable[[bytes], bytes], n_lines: int = 1) -> bytes:
    lines = content.split(b"\n")
    atoms = [k for k, line in enumerate(lines) if line.startswith(b"ATOM ")]
    for k in rng.choice(atoms, size=n_lines, replace=False).tolist():
        lines[k] = change(lines[k])
    return b"\n".join(lines)


ABSURD = (b"nan", b"NaN", b"inf", b"-inf", b"1e30", b"-1e38", b"9999999", b"*******", b"1e400", b"?", b"0x1p3", b"1,5")


def absurd_coordinates(content: bytes, rng: Random) -> bytes:
    word = ABSURD[int(rng.integers(len(ABSURD)))]
    axis = int(rng.integers(3))

    def change(line: bytes) -> bytes:
        words = line.split(b" ")
        if len(words) == 18:
            return b" ".join([*words[: 10 + axis], word, *words[11 + axis :]])
        return line[: 30 + 8 * axis] + word.rjust(8) + line[38 + 8 * axis :]

    return _in_an_atom(content, rng, change, n_lines=int(rng.integers(1, 30)))


def absurd_counts(content: bytes, rng: Random) -> bytes:
    """Give an atom a residue number, serial or model that nothing has; or announce a billion residues."""
    number = (b"999999999", b"2147483647", b"-2147483648", b"99999999999999999999", b"1e9", b"-1")[int(rng.integers(6))]

    def change(line: bytes) -> bytes:
        words = line.split(b" ")
        if len(words) == 18:
            at = (1, 8, 15, 17)[int(rng.integers(4))]
            return b" ".join([*words[:at], number, *words[at + 1 :]])
        return line[:22] + number[:4].rjust(4) + line[26:]

    spoiled = _in_an_atom(content, rng, change, n_lines=3)
    return b"MODEL " + number + b"\n" + spoiled if b"SEQRES" in spoiled and rng.random() < 0.5 else spoiled


def wrong_loop(content: bytes, rng: Random) -> bytes:
    """Give one row of atoms a value too few or too many."""
    extra = rng.random() < 0.5

    def change(line: bytes) -> bytes:
        return line + b" 7" if extra else line.rsplit(b" ", 1)[0]

    return _in_an_atom(content, rng, change)


def open_quote(content: bytes, rng: Random) -> bytes:
    mark = (b"'", b'"', b"\n;", b"#")[int(rng.integers(4))]
    return _in_an_atom(content, rng, lambda line: line[:20] + b" " + mark + line[21:])


def strange_bytes(content: bytes, rng: Random) -> bytes:
    """Put bytes that are no UTF-8 into names of chains, residues and atoms."""
    def change(line: bytes) -> bytes:
        words = line.split(b" ")
        if len(words) == 18:
            at = (3, 5, 6, 16)[int(rng.integers(4))]
            return b" ".join([*words[:at], b"\xff\xfe\xc3", *words[at + 1 :]])
        at = (13, 17, 21, 26)[int(rng.integers(4))]
        return line[:at] + b"\xe9" + line[at + 1 :]

    return _in_an_atom(content, rng, change, n_lines=4)


def long_lines(content: bytes, rng: Random) -> bytes:
    filler = (b" ", b"X", b"'", b"9")[int(rng.integers(4))] * 300_000
    return _in_an_atom(content, rng, lambda line: line + filler)


def line_ends(content: bytes, rng: Random) -> bytes:
    return content.replace(b"\n", b"\r\n")


def repeated_atoms(content: bytes, rng: Random) -> bytes:
    return _in_an_atom(content, rng, lambda line: line + b"\n" + line, n_lines=6)


def repeated_chains(content: bytes, rng: Random) -> bytes:
    lines = content.split(b"\n")
    atoms = [line for line in lines if line.startswith(b"ATOM ")]
    last = max(k for k, line in enumerate(lines) if line.startswith(b"ATOM "))
    return b"\n".join(lines[: last + 1] + atoms + lines[last + 1 :])


def other_alphabet(content: bytes, rng: Random) -> bytes:
    return content.decode().encode("utf-16")


# ---------------------------------------------------------------- damage to packing
def wrong_gzip(content: bytes, rng: Random) -> bytes:
    return _wrong_packing(gzip.compress(content, mtime=0), rng)


def wrong_xz(content: bytes, rng: Random) -> bytes:
    return _wrong_packing(lzma.compress(content, preset=0), rng)


def _wrong_packing(whole: bytes, rng: Random) -> bytes:
    way = int(rng.integers(4))
    at = int(rng.integers(30, len(whole) - 12))
    if way == 0:
        return whole[:at]
    if way == 1:
        return whole[:at] + rng.bytes(9) + whole[at + 9 :]
    if way == 2:
        return whole + b"and something behind it"
    return whole[:-8] + rng.bytes(8)


def bomb(content: bytes, rng: Random) -> bytes:
    """A gigabyte of zeros, or of remarks behind a sound file, in one or two megabytes."""
    filler = b"\0" * (1 << 24) if rng.random() < 0.5 else b"REMARK 999 \n" * (1 << 20)
    return gzip.compress(content, mtime=0) + gzip.compress(filler, 9, mtime=0) * 64


# ---------------------------------------------------------------- damage inside BinaryCIF
def _columns(tree: dict) -> list[dict]:
    categories = {category["name"]: category for category in tree["dataBlocks"][0]["categories"]}
    return categories["_atom_site"]["columns"]


def _claims_a_billion_rows(tree: dict) -> None:
    for column in _columns(tree):
        column["data"] = {
            "data": np.array([7, 10**9], np.int32).tobytes(),
            "encoding": [{"kind": "RunLength", "srcType": 3, "srcSize": 10**9}, {"kind": "ByteArray", "type": 3}],
        }


def _claims_long_text(tree: dict) -> None:
    text = _columns(tree)[3]["data"]["encoding"][0]
    text["stringData"] = "A" * 3_000_000
    text["offsets"] = np.array([0, *[3_000_000] * 5], np.int32).tobytes()


def _cuts_a_column(tree: dict) -> None:
    data = _columns(tree)[10]["data"]
    data["encoding"][0]["dataEncoding"] = [{"kind": "ByteArray", "type": 3}]
    data["data"] = data["data"][:40]


def _forgets_the_atoms(tree: dict) -> None:
    categories = tree["dataBlocks"][0]["categories"]
    categories[:] = [category for category in categories if category["name"] != "_atom_site"]


def _names_no_type(tree: dict) -> None:
    _columns(tree)[3]["data"]["encoding"][0]["dataEncoding"][-1]["type"] = 77


def _loses_a_key(tree: dict) -> None:
    del _columns(tree)[2]["data"]["encoding"]


def _has_no_blocks(tree: dict) -> None:
    tree["dataBlocks"] = 17


def _knows_another_encoding(tree: dict) -> None:
    _columns(tree)[2]["data"]["encoding"][0]["kind"] = "Zip"


TREES = (_claims_a_billion_rows, _claims_long_text, _cuts_a_column, _forgets_the_atoms, _names_no_type, _loses_a_key,
         _has_no_blocks, _knows_another_encoding)  # fmt: skip
