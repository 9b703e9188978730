"""Time intake beside bare gemmi, biotite and Biopython, on real files; `--write`: docs/results/intake_speed.md.

    python benchmarks/intake.py [--data FOLDER] [--files 150] [--rounds 5] [--write]

Every round reads the same files by every reader, one after the other, so that a busy machine slows all of them alike;
the table gives medians over the rounds, of processor time. tertia makes chains with all heavy atoms and the report;
the others make their own objects only (biotite with its array, Biopython with the Structure). "gemmi" is bare
`gemmi.read_structure(path)`; "gemmi with entities" calls `setup_entities()` too, which tells polymers from the rest.
The mmCIF and BinaryCIF rows read a fifth of the same structures, written by gemmi and turned to BinaryCIF by biotite.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import gemmi

from tertia.structure.read import read_inputs, read_structure
from tertia.structure.sources import open_sources

ROOT = Path(__file__).resolve().parents[1]


def unpack(data: Path, folder: Path, n_files: int) -> tuple[list[str], list[str]]:
    """Write a random choice of PDB files, plain and gz (level 6), and return both lists of paths."""
    archives = sorted(str(path) for path in (data / "structures").glob("*.tar.xz"))
    sources = [source for source in open_sources(archives) if source.name.endswith(".pdb")]
    plain, packed = [], []
    for source in random.Random(1).sample(sources, n_files):
        path = folder / source.name.rsplit("!", 1)[-1]
        path.write_bytes(source.read())
        plain.append(str(path))
        packed.append(str(folder / "gz" / (path.name + ".gz")))
        Path(packed[-1]).parent.mkdir(exist_ok=True)
        Path(packed[-1]).write_bytes(gzip.compress(path.read_bytes(), 6))
    return plain, packed


def write_cif(plain: list[str], folder: Path) -> tuple[list[str], list[str]]:
    """Write the structures as mmCIF and as BinaryCIF, neither packed, and return both lists of paths."""
    from biotite.structure.io.pdbx import (
        BinaryCIFBlock,
        BinaryCIFCategory,
        BinaryCIFColumn,
        BinaryCIFFile,
        CIFFile,
        compress,
    )

    text, binary = [], []
    for path in plain:
        structure = gemmi.read_structure(path)
        structure.setup_entities()
        structure.assign_label_seq_id()
        text.append(str(folder / (Path(path).stem + ".cif")))
        structure.make_mmcif_document().write_file(text[-1])
        binary.append(str(folder / (Path(path).stem + ".bcif")))
        categories = {
            name: BinaryCIFCategory({key: BinaryCIFColumn(*typed(column)) for key, column in category.items()})
            for name, category in CIFFile.read(text[-1]).block.items()
        }
        compress(BinaryCIFFile({"x": BinaryCIFBlock(categories)})).write(binary[-1])
    return text, binary


def typed(column):
    """Return the values as integers or else numbers or else text, as a data bank would, and the mask or None."""
    from biotite.structure.io.pdbx import BinaryCIFData

    mask = None if column.mask is None else BinaryCIFData(column.mask.array)
    for kind in (int, float, str):
        try:
            return BinaryCIFData(column.as_array(kind)), mask
        except ValueError:
            continue
    raise AssertionError("anything is text")


def read_biotite(path: str) -> None:
    from biotite.structure.io.pdb import PDBFile

    PDBFile.read(path).get_structure(model=1)


def read_biotite_binary(path: str) -> None:
    from biotite.structure.io.pdbx import BinaryCIFFile, get_structure

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns that gemmi leaves out and that have a substitute
        get_structure(BinaryCIFFile.read(path), model=1)


def read_biopython(path: str) -> None:
    from Bio.PDB import PDBParser

    PDBParser(QUIET=True).get_structure("x", path)


def read_gemmi_with_entities(path: str) -> None:
    gemmi.read_structure(path).setup_entities()


def seconds(reader: Callable, paths: list[str]) -> float:
    """Processor seconds a file."""
    started = time.process_time()
    for path in paths:
        reader(path)
    return (time.process_time() - started) / len(paths)


def measure(plain: list[str], packed: list[str], folder: Path, rounds: int) -> dict[str, float]:
    """Return the median processor seconds a file of each reader; the slow ones read a fifth of the files."""
    text, binary = write_cif(plain[::5], folder)
    readers: dict[str, tuple[Callable, list[str]]] = {
        "gemmi, plain": (gemmi.read_structure, plain),
        "gemmi with entities, plain": (read_gemmi_with_entities, plain),
        "tertia, plain": (read_structure, plain),
        "gemmi, gz": (gemmi.read_structure, packed),
        "tertia, gz": (read_structure, packed),
        "gemmi, mmCIF": (gemmi.read_structure, text),
        "tertia, mmCIF": (read_structure, text),
        "biotite, BinaryCIF": (read_biotite_binary, binary),
        "tertia, BinaryCIF": (read_structure, binary),
        "biotite, plain": (read_biotite, plain[::5]),
    }
    try:
        import Bio.PDB  # noqa: F401

        readers["Biopython, plain"] = (read_biopython, plain[::5])
    except ImportError:
        print("Biopython is not installed: left out", file=sys.stderr)
    times: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, (reader, paths) in readers.items():
            times[name].append(seconds(reader, paths))
    return {name: statistics.median(values) for name, values in times.items()}


def parallel(packed: list[str], rounds: int) -> tuple[float, float]:
    """Return the median wall seconds with one and with two processes, start of the processes included."""
    wall: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for jobs in wall:
            started = time.perf_counter()
            for _ in read_inputs(packed, jobs=jobs):
                pass
            wall[jobs].append(time.perf_counter() - started)
    return statistics.median(wall[1]), statistics.median(wall[2])


def page(times: dict[str, float], wall: tuple[float, float], n_files: int) -> str:
    rows = "\n".join(f"| {name} | {1000 * value:.2f} | {1 / value:,.0f} |" for name, value in times.items())
    ratios = [
        f"* tertia / bare gemmi: {times[f'tertia, {k}'] / times[f'gemmi, {k}']:.2f} ({k}; goal: at most 1.5)"
        for k in ("plain", "gz")
    ]
    ratios += [
        f"* tertia / {other}: {times[f'tertia, {k}'] / times[f'{other}, {k}']:.2f} ({k})"
        for other, k in (("gemmi", "mmCIF"), ("biotite", "BinaryCIF"))
    ]
    ratios += [
        f"* {name} / tertia: {times[f'{name}, plain'] / times['tertia, plain']:.1f}" + goal
        for name, goal in (("biotite", ""), ("Biopython", " (goal: at least 15)"))
        if f"{name}, plain" in times
    ]
    ratios.append(f"* gz files a second and core: {1 / times['tertia, gz']:,.0f} (goal: 700)")
    ratios.append(f"* two processes against one, wall time: {wall[0] / wall[1]:.2f}")
    return (
        f"""# Speed of intake

Written by `python benchmarks/intake.py --write`: {n_files} random PDB files, medians of processor time.

| reader | ms a file | files/s a core |
|---|---|---|
{rows}

"""
        + "\n".join(ratios)
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TERTIA_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--files", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = unpack(options.data, Path(folder), options.files)
        text = page(
            measure(plain, packed, Path(folder), options.rounds),
            parallel(packed, min(options.rounds, 3)),
            options.files,
        )
    print(text)
    if options.write:
        target = ROOT / "docs" / "results" / "intake_speed.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


if __name__ == "__main__":
    main()
