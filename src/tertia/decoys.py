"""Make decoys of natives: models with realistic errors and exact labels, for training a network that finds errors."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tertia.data.columns import replaced, write_json
from tertia.errors import InputError
from tertia.progress import Progress
from tertia.structure.chain import Chain
from tertia.structure.decoys import FEWEST, GENERATORS, Decoy, make_decoys
from tertia.structure.read import read_inputs
from tertia.structure.write_pdb import pdb_text

TABLE, RESIDUES, LABELS, SETTINGS = "decoys.tsv", "decoys_residues.tsv.gz", "labels.json", "settings.json"
N_BINS = 10
"""Bins of lDDT in the report, 0.1 each."""
_N_OTHERS = 16
"""Other natives that fragments and templates of one native come from: drawn, so that memory and time stay bounded."""
_MEASURES = ("n_native", "n_aligned", "lddt", "tm_score", "gdt_ts", "gdt_ha", "rmsd")


@dataclass(frozen=True)
class DecoysReport:
    """What was made, what was there, and what could not be made."""

    folder: Path
    made: tuple[str, ...]  # folders written now
    present: tuple[str, ...]  # folders that were there already
    reached: dict[str, tuple[int, ...]]  # decoys in each tenth of lDDT, for every native in the folder
    failed: tuple[InputError, ...]

    def table(self) -> str:
        """Return the histogram of each native as aligned text."""
        width = max([len("native"), *map(len, self.reached)])
        head = " ".join(f"{0.1 * k:4.1f}-" for k in range(N_BINS))
        lines = [f"{'native':<{width}} {head}"]
        lines += [f"{name:<{width}} " + " ".join(f"{n:5d}" for n in bins) for name, bins in self.reached.items()]
        return "\n".join(lines)


def decoys(
    inputs: Sequence[str] | str, output: str | Path, *, number: int = 40, seed: int = 0,
    generators: Sequence[str] = tuple(GENERATORS), jobs: int = 1, progress: bool = False,
) -> DecoysReport:  # fmt: skip
    """Write decoys of every chain of the inputs, the natives themselves, and their labels.

    `DIR/<entry>_<chain>/native.pdb`, `DIR/<entry>_<chain>/<k>_<generator>.pdb`, `DIR/decoys.tsv` (a row a decoy) and
    `DIR/decoys_residues.tsv.gz` (lDDT of each residue). Each native is written whole or not at all; what is there is
    not made again. The same inputs, numbers and seed give the same bytes, whatever the number of processes.

    Parameters
    ----------
    inputs: native structures: files, folders, globs, tar archives, or "-" for a list on stdin.
    output: folder for the decoys.
    number: decoys of each chain.
    seed: of everything that is drawn.
    generators: kinds of errors, names from `GENERATORS`.
    jobs: processes.
    progress: show progress on stderr.

    Raises
    ------
    InputError: an unknown generator, no native at all, or a folder made with other settings.
    """
    generators = tuple(generators)
    unknown = [name for name in generators if name not in GENERATORS]
    if unknown or not generators:
        found = f"{', '.join(unknown) or 'nothing'} is no generator"
        raise InputError("decoys", "generators", found=found, allowed=", ".join(GENERATORS))
    if number < 1 or seed < 0:
        raise InputError("decoys", found=f"number {number}, seed {seed}", allowed="number 1 or more, seed 0 or more")
    output = Path(output)
    with Progress(progress) as bar:
        bar.step("reading natives")
        natives, failed = _natives([inputs] if isinstance(inputs, str) else inputs, jobs, bar)
        if not natives:
            raise InputError("decoys", found="no native to make decoys of" + "".join(f"\n{one}" for one in failed))
        _settle_settings(output, {"number": number, "seed": seed, "generators": list(generators)})
        todo, present = _sift(output, natives, failed)
        bar.step("making decoys", total=len(todo))
        made = []
        for name, trouble in _work(output, natives, todo, (number, seed, generators), jobs):
            bar.advance()
            if trouble is None:
                made.append(name)
            else:
                failed.append(trouble)
    reached = _write_tables(output)
    return DecoysReport(output, tuple(made), tuple(present), reached, tuple(failed))


def folder_name(key: str) -> str:
    """Return a name for a folder that leads nowhere: letters, digits, -, _ and inner dots only."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", key).lstrip(".-")[:120] or "_"


def _natives(inputs: Sequence[str], jobs: int, bar: Progress) -> tuple[dict[str, Chain], list[InputError]]:
    """Return the chains by folder name, in the order of the names, and what could not be taken."""
    natives: dict[str, Chain] = {}
    failed: list[InputError] = []
    for result in read_inputs(inputs, jobs=jobs):
        bar.advance()
        if isinstance(result, InputError):
            failed.append(result)
            continue
        for chain in result.chains:
            name, n_seen = folder_name(chain.key), int(np.count_nonzero(chain.seen))
            found, allowed = "", ""
            if n_seen < FEWEST:
                found, allowed = f"has {n_seen} residues with a C-alpha", f"{FEWEST} or more"
            elif name in natives:
                found = f"is the second chain for the folder {name}; the first was taken, from {natives[name].frame}"
            if found:
                failed.append(InputError(result.report.file, chain.key, found=found, allowed=allowed))
            else:
                natives[name] = chain
    return dict(sorted(natives.items())), failed


def _settle_settings(output: Path, settings: dict[str, object]) -> None:
    """Write down how the folder is made, or refuse to mix two ways in one folder."""
    path = output / SETTINGS
    if path.is_file():
        before = json.loads(path.read_text())
        if before != settings:
            raise InputError(
                str(output), found=f"decoys made with {json.dumps(before)}", allowed=json.dumps(settings),
                hint="take another folder, or the same settings",
            )  # fmt: skip
        return
    output.mkdir(parents=True, exist_ok=True)
    write_json(path, settings)


def _sift(output: Path, natives: dict[str, Chain], failed: list[InputError]) -> tuple[list[str], list[str]]:
    """Return the natives to be worked on and those that are finished; list those whose folder holds something else."""
    todo, present = [], []
    for name, chain in natives.items():
        folder = output / name
        if not folder.exists() and not folder.is_symlink():
            todo.append(name)
        elif (folder / LABELS).is_file() and json.loads((folder / LABELS).read_text())["digest"] == _digest(chain):
            present.append(name)
        else:
            found = f"the folder {folder} holds something other than decoys of this structure"
            failed.append(InputError(chain.frame, chain.key, found=found, hint="remove it or take another folder"))
    return todo, present


def _digest(chain: Chain) -> str:
    parts = (chain.key.encode("utf-8", "backslashreplace"), chain.sequence.encode(), chain.alpha.tobytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _work(
    output: Path, natives: dict[str, Chain], todo: list[str], how: tuple[int, int, tuple[str, ...]], jobs: int
) -> Iterator[tuple[str, InputError | None]]:
    """Yield each native's name as its folder is done, in order, with what went wrong."""
    tasks = ((name, natives[name], _others(natives, name, how[1])) for name in todo)
    if jobs <= 1:
        for name, native, others in tasks:
            yield name, _write_native(output, name, native, others, how)
        return
    with ProcessPoolExecutor(jobs) as pool:
        running = [(n, c, pool.submit(_write_native, output, n, c, others, how)) for n, c, others in tasks]
        for name, native, future in running:
            try:
                yield name, future.result()
            except BrokenProcessPool:
                yield name, InputError(native.frame, native.key, found="the process that made its decoys died")


def _others(natives: dict[str, Chain], name: str, seed: int) -> list[Chain]:
    rest = [chain for other, chain in natives.items() if other != name]
    order = np.random.default_rng([seed, zlib.crc32(name.encode()), 1]).permutation(len(rest))
    return [rest[k] for k in order[:_N_OTHERS]]


def _write_native(
    output: Path, name: str, native: Chain, others: list[Chain], how: tuple[int, int, tuple[str, ...]]
) -> InputError | None:
    """Make all decoys of one native and move its folder into place when it is whole."""
    number, seed, generators = how
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    part = output / f".{name}.part"
    try:
        made = make_decoys(native, others, n=number, generator=generator, generators=generators)
        texts = {"native.pdb": pdb_text(native)}
        width, rows = len(str(number)), []
        for k, decoy in enumerate(made, 1):
            file = f"{k:0{width}d}_{decoy.generator}.pdb"
            texts[file] = pdb_text(decoy.chain, remarks=(f"decoy of {native.key}: {decoy.generator}",))
            rows.append(_row(f"{name}/{file}", decoy))
    except InputError as error:
        return error
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        return InputError(native.frame, native.key, found=f"no decoys could be made ({error})",
                          hint="please report this structure")  # fmt: skip
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for file, text in texts.items():
        (part / file).write_text(text)
    write_json(part / LABELS, {"digest": _digest(native), "native": native.key, "decoys": rows})
    os.replace(part, output / name)
    if len(made) < number:
        found = f"{len(made)} decoys could be made of {number}"
        return InputError(native.frame, native.key, found=found, hint="its bonds or its density allow no more")
    return None


def _row(file: str, decoy: Decoy) -> dict[str, object]:
    measures = {name: round(float(getattr(decoy.quality, name)), 6) for name in _MEASURES}
    residue = [None if np.isnan(value) else round(float(value), 4) for value in decoy.lddt]
    return {"file": file, "generator": decoy.generator, **measures, "parameters": dict(decoy.parameters),
            "sequence": decoy.chain.sequence, "residue": residue}  # fmt: skip


def _write_tables(output: Path) -> dict[str, tuple[int, ...]]:
    """Write both tables anew from all finished natives; return how the lDDT of each spreads."""
    reached: dict[str, tuple[int, ...]] = {}
    columns = ("native", "file", "generator", *_MEASURES, "parameters")
    lines, residues = ["\t".join(columns)], ["file\tsequence\tlddt"]
    for path in sorted(output.glob(f"*/{LABELS}")):
        if path.parent.name.startswith("."):
            continue
        labels = json.loads(path.read_text())
        for row in labels["decoys"]:
            values = [row["file"], row["generator"], *(f"{row[name]:g}" for name in _MEASURES)]
            lines.append("\t".join([path.parent.name, *values, json.dumps(row["parameters"], sort_keys=True)]))
            values = ",".join("nan" if value is None else f"{value:.4f}" for value in row["residue"])
            residues.append(f"{row['file']}\t{row['sequence']}\t{values}")
        bins = np.minimum([int(N_BINS * row["lddt"]) for row in labels["decoys"]], N_BINS - 1).astype(int)
        reached[path.parent.name] = tuple(np.bincount(bins, minlength=N_BINS).tolist())
    with replaced(output / TABLE) as handle:
        handle.write(("\n".join(lines) + "\n").encode())
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as handle:
        handle.write(("\n".join(residues) + "\n").encode())
    with replaced(output / RESIDUES) as handle:
        handle.write(packed.getvalue())
    return reached
