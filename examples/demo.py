"""The whole path on two real entries: read, prepare, pre-train for a minute, embed, and draw a report.

    make demo                     # or: python examples/demo.py --output demo

The entries (2GTL, an earthworm haemoglobin; 7OK9, a cell-wall enzyme) come inside the wheel of the `demo` extra, so no
network and no data folder is needed. Every step is the command line that a user would type.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from demo_report import Results, write_report

from tertia.listing import models

ENTRIES = ("2gtl.cif", "7ok9.cif")

# Three clusters: two to train on, and (with this seed) the linkers to validate on.
SPLIT = ("--tool", "builtin", "--fractions", 0.67, 0.33, 0, "--seed", 1)

# Few validation chains, so many fixed crops of each. So small a network gains nothing from a second thread.
TRAINING = ("valid_draws=64", "validate_every=25", "threads=1", "max_minutes=2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for everything that is made")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    begin_anew(folder)
    entries = real_entries()
    began = time.monotonic()
    seconds: dict[str, float] = {}

    def tertia(*words: object, codes: tuple[int, ...] = (0,)) -> str:
        start = time.monotonic()
        printed = run(*words, codes=codes)
        seconds[str(words[0])] = time.monotonic() - start
        return printed

    (folder / "inspect.jsonl").write_text(tertia("inspect", *entries, "--json"))
    # Exit code 1: chains were refused, here the copies of other chains and ten peptides of five residues.
    tertia("prepare", *entries, "-o", folder / "store", *SPLIT, codes=(0, 1))
    tertia("pretrain", "distmap_tiny", f"store={folder / 'store'}", *TRAINING, "-o", folder / "run")
    tertia("embed", *entries, "-o", folder / "fresh.h5", "--model", folder / "run")
    shipped = "distmap" in models()
    if shipped:
        tertia("embed", *entries, "-o", folder / "shipped.h5")

    report = write_report(Results(folder, entries, shipped, seconds))
    print(f"\ndone in {time.monotonic() - began:.0f} s; open {report.resolve()}")


def begin_anew(folder: Path) -> None:
    """Remove what an earlier demo made: otherwise every command would continue it, or say that it is done."""
    for made in ("store", "run", "fresh.h5", "shipped.h5", "fresh.h5.parts", "shipped.h5.parts"):
        path = folder / made
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def real_entries() -> list[Path]:
    """Return the structure files that the `demo` extra brings; they are data, nothing of that package is imported."""
    place = importlib.util.find_spec("tmtools")
    if place is None:
        sys.exit("the demo needs the two structures of its extra: pip install -c constraints.txt '.[demo]'")
    folder = Path(place.submodule_search_locations[0]) / "data"
    return [folder / name for name in ENTRIES]


def run(*words: object, codes: tuple[int, ...]) -> str:
    """Run one command of tertia, showing it as a user would type it, and return what it prints."""
    line = [str(word) for word in words]
    print(f"\n$ {shlex.join(['tertia', *map(short, line)])}", flush=True)
    done = subprocess.run([sys.executable, "-m", "tertia.cli", *line], stdout=subprocess.PIPE, text=True)
    if done.returncode not in codes:
        sys.exit(f"demo: the command above ended with {done.returncode}")
    if "--json" not in line:
        print(done.stdout, end="", flush=True)
    return done.stdout


def short(word: str) -> str:
    """Return the last part of a long path."""
    return os.path.basename(word) if os.path.isabs(word) else word


if __name__ == "__main__":
    main()
