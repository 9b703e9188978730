"""Measure the chain store beside two obvious alternatives, in one run: HDF5, one group a chain; one .npy file a chain.

    python benchmarks/bench_store.py [--chains 100000]

Chains are copies of 500 synthetic ones (lengths like those of the PDB, mean 214; five atoms a residue). All rates are
warm, of one process, and per second of processor time, so that a busy machine does not change them; medians of five.
The alternatives hold C-alphas and letters only, and a part of the chains, because writing them takes long.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from tertia.data.store import Store
from tertia.data.writer import StoreWriter
from tertia.residues import LETTERS
from tertia.structure.chain import Atoms, Chain

CROP = 32
ATOMS = ("N", "CA", "C", "O", "CB")


def synthetic_chain(number: int, rng: np.random.Generator) -> Chain:
    """Return a random walk with five atoms a residue."""
    length = int(np.clip(rng.gamma(2.2, 97.0), 20, 2000))
    alpha = np.cumsum(rng.normal(0.0, 2.2, (length, 1, 3)), axis=0)
    coord = (alpha + rng.normal(0.0, 1.0, (length, 5, 3)) * (np.arange(5) != 1)[:, None]).reshape(-1, 3)
    n_atoms = 5 * length
    atoms = Atoms(
        np.tile(ATOMS, length), np.tile([name[0] for name in ATOMS], length), coord.astype(np.float32),
        np.repeat(np.arange(length, dtype=np.int32), 5), np.ones(n_atoms, np.float32),
        np.full(n_atoms, 20.0, np.float32),
    )  # fmt: skip
    sequence = "".join(rng.choice(list(LETTERS), length))
    numbers = np.arange(1, length + 1, dtype=np.int32)
    entry = f"s{number:07d}"
    return Chain(entry, "A", sequence, tuple(map(str, numbers)), numbers, atoms, f"{entry}.pdb#1", {"resolution": 2.0})


def rate(action: Callable[[int], object], positions: Sequence[int], repeats: int = 5) -> float:
    """Return the median number of calls a second of processor time."""
    seconds = []
    for _ in range(repeats + 1):  # the first warms up
        start = time.process_time()
        for position in positions:
            action(position)
        seconds.append(time.process_time() - start)
    return len(positions) / statistics.median(seconds[1:])


def resident_mb() -> float:
    """Return the memory of this process that is no file: anonymous pages, in MB."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024


def crop(alpha: Callable[[int], tuple], rng: np.random.Generator) -> Callable[[int], object]:
    """Return a function that draws a row and a column crop of a chain and noises both, as training does."""

    def draw(position: int) -> object:
        coord, letter = alpha(position)
        last = max(len(coord) - CROP, 0)
        starts = (int(rng.random() * (last + 1)), int(rng.random() * (last + 1)))
        noise = rng.standard_normal((2, CROP, 3), dtype=np.float32)
        return [
            (coord[k : k + CROP] + noise[row, : len(coord) - k], letter[k : k + CROP]) for row, k in enumerate(starts)
        ]

    return draw


def write_store(folder: Path, n_chains: int) -> tuple[float, int]:
    """Write the store; return seconds and residues."""
    rng = np.random.default_rng(0)
    originals = [synthetic_chain(number, rng) for number in range(min(n_chains, 500))]
    start = time.process_time()
    with StoreWriter(folder) as writer:
        for number in range(n_chains):
            writer.append(replace(originals[number % len(originals)], entry=f"s{number:07d}"))
        writer.seal()
    return time.process_time() - start, Store.open(folder).n_residues


def write_hdf5(path: Path, store: Store, n_chains: int) -> None:
    """Write one group a chain."""
    with h5py.File(path, "w") as file:
        for position in range(n_chains):
            coord, letter = store.alpha(position)
            group = file.create_group(store.key(position))
            group["alpha"], group["letter"] = coord, letter


def write_files(folder: Path, store: Store, n_chains: int) -> None:
    """Write one .npy file a chain."""
    folder.mkdir()
    for position in range(n_chains):
        coord, letter = store.alpha(position)
        np.save(folder / f"{store.key(position)}.npy", np.column_stack([coord, letter]).astype(np.float32))


def main() -> None:
    """Run and print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=int, default=100_000)
    parser.add_argument("--others", type=int, default=10_000, help="chains in each of the alternatives")
    options = parser.parse_args()
    n_others = min(options.others, options.chains)
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "store")
        seconds, n_residues = write_store(folder, options.chains)
        size = sum(path.stat().st_size for path in folder.iterdir())
        before, start = resident_mb(), time.perf_counter()
        store = Store.open(folder)
        opened = time.perf_counter() - start
        positions = rng.integers(0, len(store), 100_000).tolist()
        print(
            f"{len(store):,} chains, {n_residues:,} residues, {size / 1e9:.2f} GB: {size / n_residues:.0f} bytes each"
        )
        print(f"written in {seconds:.0f} s ({len(store) / seconds:,.0f} chains/s), opened in {1000 * opened:.1f} ms")
        rows = {"tertia store, C-alphas": rate(store.alpha, positions)}
        rows["tertia store, crops with noise"] = rate(crop(store.alpha, rng), positions[:20_000])
        rows["tertia store, whole chains, all atoms"] = rate(store.__getitem__, positions[:5_000])
        rows["tertia store, position of a key"] = rate(store.position, [store.key(k) for k in positions[:5_000]])
        print(f"memory of the process grew by {resident_mb() - before:.1f} MB")
        compact = store.compact(Path(scratch, "compact.safetensors"))
        print(f"compact file: {os.path.getsize(compact) / n_residues:.1f} bytes a residue")
        rows["tertia compact file, C-alphas"] = rate(Store.open(compact).alpha, positions)

        few = rng.integers(0, n_others, 5_000).tolist()
        keys = [store.key(k) for k in few]
        write_hdf5(Path(scratch, "groups.h5"), store, n_others)
        with h5py.File(Path(scratch, "groups.h5")) as file:
            name = f"HDF5, one group a chain ({n_others:,})"
            rows[name] = rate(lambda key: (file[key]["alpha"][:], file[key]["letter"][:]), keys)
        write_files(Path(scratch, "files"), store, n_others)
        name = f"numpy, one file a chain ({n_others:,})"
        rows[name] = rate(lambda key: np.load(Path(scratch, "files", f"{key}.npy")), keys)
    slowest = rows[name]
    for label, value in rows.items():
        print(f"{label:<44}{value:>12,.0f} /s{value / slowest:>10.1f} x one file a chain")


if __name__ == "__main__":
    main()
