"""Download entries of the PDB and of the AlphaFold database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from tertia.download import Patience, download, fetch_json
from tertia.errors import InputError
from tertia.progress import Progress

SOURCES = ("auto", "pdb", "afdb")
FORMATS = ("cif", "bcif")
PDB_URLS = {
    "cif": "https://files.rcsb.org/download/{entry}.cif.gz",
    "bcif": "https://models.rcsb.org/{entry}.bcif.gz",
}
AFDB_API = "https://alphafold.ebi.ac.uk/api/prediction/{entry}"

_PDB_ID = re.compile(r"[0-9][a-z0-9]{3}|pdb_[0-9a-z]{8}", re.IGNORECASE)
_ACCESSION = re.compile(r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}", re.IGNORECASE)
_MODEL_NAME = re.compile(r"AF-([A-Z0-9]+)-F[0-9]+(-model_v[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class FetchReport:
    """What was asked for and what became of it."""

    fetched: tuple[Path, ...]  # downloaded now
    present: tuple[Path, ...]  # there already
    failed: tuple[tuple[str, str], ...]  # (identifier, what was found)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that are there."""
        return (*self.fetched, *self.present)


def fetch(
    ids: Sequence[str] | str, output: str | Path, *, source: str = "auto", format: str = "cif", jobs: int = 4,
    retries: int = 5, base_url: str | None = None, progress: bool = True,
) -> FetchReport:  # fmt: skip
    """Download PDB entries ("1abc") and AlphaFold models ("P69905"), each file whole and checked or not at all.

    Files that are there already are not asked for again. A broken transfer is retried with growing pauses and goes on
    where it stopped, also in a later run. One UniProt accession can have several models; all are fetched.

    Parameters
    ----------
    ids: PDB ids, UniProt accessions or model names ("AF-P69905-F1").
    output: folder for the files.
    source: "pdb", "afdb", or "auto": by the form of each id.
    format: "cif" or "bcif"; PDB entries come as gz.
    jobs: downloads at a time.
    retries: further tries after a broken one.
    base_url: another server, as "https://mirror/{entry}.cif.gz" (PDB) or "https://mirror/api/{entry}" (AlphaFold).
    progress: show progress on stderr.

    Returns
    -------
    FetchReport; one id that fails does not stop the others.
    """
    ids = list(dict.fromkeys([ids] if isinstance(ids, str) else ids))
    for value, name, allowed in ((source, "source", SOURCES), (format, "format", FORMATS)):
        if value not in allowed:
            raise InputError("fetch", name, found=f"{value!r} is not known", allowed=", ".join(allowed))
    patience = Patience(retries)
    fetched: list[Path] = []
    present: list[Path] = []
    failed: list[tuple[str, str]] = []

    claimed: set[Path] = set()
    lock = Lock()

    def one(identifier: str) -> list[tuple[Path, bool]]:
        got = []
        for url, path in _wanted(identifier, Path(output), source, format, base_url, patience):
            with lock:  # "P69905" and "AF-P69905-F1" are one file
                is_first = path not in claimed
                claimed.add(path)
            if is_first:
                got.append((path, _get(url, path, patience)))
        return got

    with Progress(progress) as bar, ThreadPoolExecutor(max(jobs, 1)) as pool:
        bar.step("fetching", total=len(ids))
        for identifier, task in [(identifier, pool.submit(one, identifier)) for identifier in ids]:
            try:
                for path, is_new in task.result():
                    (fetched if is_new else present).append(path)
            except (InputError, OSError) as error:
                failed.append((identifier, str(error)))
            bar.advance()
    return FetchReport(tuple(fetched), tuple(present), tuple(failed))


def _get(url: str, path: Path, patience: Patience) -> bool:
    """Download a file unless it is there; return whether it was downloaded."""
    if path.is_file():
        return False
    download(url, path, patience=patience)
    return True


def source_of(identifier: str) -> str:
    """Return "pdb" or "afdb" by the form of an identifier; raises InputError when it has neither form."""
    if _PDB_ID.fullmatch(identifier):
        return "pdb"
    if _ACCESSION.fullmatch(identifier) or _MODEL_NAME.fullmatch(identifier):
        return "afdb"
    raise InputError(
        "fetch", identifier, found="is no identifier of an entry",
        allowed="PDB ids (1abc, pdb_00001abc), UniProt accessions (P69905), model names (AF-P69905-F1)",
        hint="`--source pdb` or `--source afdb` says where to look",
    )  # fmt: skip


def _wanted(
    identifier: str, output: Path, source: str, format: str, base_url: str | None, patience: Patience
) -> Iterator[tuple[str, Path]]:
    """Yield (address, file) of everything an identifier stands for."""
    source = source_of(identifier) if source == "auto" else source
    if not re.fullmatch(r"[A-Za-z0-9_-]+", identifier):
        raise InputError("fetch", identifier, found="is no identifier of an entry", allowed="letters, digits, - and _")
    if source == "pdb":
        template = base_url or PDB_URLS[format]
        yield template.format(entry=quote(identifier.lower())), output / f"{identifier.lower()}.{format}.gz"
        return
    named = _MODEL_NAME.fullmatch(identifier)
    accession = (named.group(1) if named else identifier).upper()
    address = (base_url or AFDB_API).format(entry=quote(accession))
    models = fetch_json(address, patience=patience)
    urls = (
        [model.get(f"{format}Url") for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    )
    urls = [url for url in urls if isinstance(url, str) and url.startswith(("https://", "http://"))]
    if named:
        urls = [url for url in urls if _stem(url).upper().startswith(identifier.upper())]
    if not urls:
        raise InputError(address, identifier, found=f"the answer lists no {format} file", hint="try the other format")
    for url in urls:
        yield url, output / _stem(url)


def _stem(url: str) -> str:
    """Return the file name at the end of an address, without anything that could lead out of a folder."""
    name = re.split(r"[?#]", url)[0].rstrip("/").rpartition("/")[2]
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise InputError(url, found="does not end in a file name")
    return name
