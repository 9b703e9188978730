"""What an embedding run has done so far: a journal beside the output, and one file a chain for the pair level.

Every chain is whole or absent, also after a kill; the output is put together from here in one pass at the end, so its
bytes do not depend on where a run was interrupted.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from tertia.data.journal import Journal
from tertia.embedding.chain_embedding import Embedding
from tertia.errors import InputError


class Unfinished:
    """The folder `<output>.parts`; one run at a time holds it.

    Parameters
    ----------
    settings: what all chains have in common (model, noise levels, precision, ...); a folder of other settings is
        refused, so that a file never mixes two models.
    """

    def __init__(self, output: Path, settings: Mapping[str, object]) -> None:
        self.folder = output.with_name(output.name + ".parts")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(self.folder / "journal.bin")
        text = json.dumps(settings, sort_keys=True).encode()
        if not len(self._journal):
            self._journal.append(b"S", text)
        elif self._journal.read(0) != text:
            self._journal.close()
            raise InputError(
                str(self.folder), found="is an unfinished run with other settings",
                allowed=text.decode(), hint=f"finish it with the same settings, or delete {self.folder}",
            )  # fmt: skip
        self._record_of_digest: dict[str, int] = {}
        for number in range(1, len(self._journal)):
            digest = self._journal.read(number)[:64].decode()
            self._record_of_digest[digest] = number

    def __contains__(self, digest: str) -> bool:
        return digest in self._record_of_digest

    def add(self, digest: str, embedding: Embedding) -> None:
        """Keep one chain; its pair level has been written by `add_pair` before."""
        arrays = {name: values for name, values in embedding.levels.items() if name != "pair"}
        facts = {"key": embedding.key, "sequence": embedding.sequence, "residue_id": embedding.residue_id,
                 "provenance": dict(embedding.provenance)}  # fmt: skip
        packed = io.BytesIO()
        np.savez(packed, seen=embedding.seen, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)
        self._record_of_digest[digest] = self._journal.append(b"E", digest.encode() + packed.getvalue())

    def add_pair(self, digest: str, shape: tuple[int, int, int], rows: Iterable[np.ndarray]) -> None:
        """Write the pair level of one chain as float16, rows by rows."""
        path = self._pair_path(digest)
        with open(path.with_suffix(".part"), "wb") as handle:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(handle, header)
            for block in rows:
                handle.write(np.ascontiguousarray(block, dtype=np.float16).data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(path.with_suffix(".part"), path)

    def get(self, digest: str) -> Embedding:
        """Return one chain; the pair level is mapped, not read."""
        packed = io.BytesIO(self._journal.read(self._record_of_digest[digest])[64:])
        with np.load(packed, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            levels = {name: arrays[name] for name in ("protein", "residue") if name in arrays.files}
            seen = arrays["seen"]
        path = self._pair_path(digest)
        pair = np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None
        return Embedding(facts["key"], facts["sequence"], tuple(facts["residue_id"]), seen, **levels, pair=pair,
                         provenance=facts["provenance"])  # fmt: skip

    def close(self) -> None:
        """Leave the folder for a later run."""
        self._journal.close()

    def remove(self) -> None:
        """Delete the folder: the output is whole."""
        self._journal.close()
        shutil.rmtree(self.folder)

    def _pair_path(self, digest: str) -> Path:
        return self.folder / f"pair-{digest[:32]}.npy"


def digest_of(key: str, sequence: str, alpha: np.ndarray) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of a chain's key, sequence and coordinates."""
    digest = hashlib.sha256(f"{key}\0{sequence}\0".encode())
    digest.update(np.ascontiguousarray(alpha, dtype=np.float32).tobytes())
    return digest.hexdigest()
