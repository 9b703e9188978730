"""`tertia doctor`: versions, devices, extras and optional tools of this machine; shipped weights and their hashes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path

TOOLS = {
    "mmseqs": "identity clusters in `tertia prepare`; without it the slower built-in clustering is used",
    "mkdssp": "secondary structure of eight states",
    "TMalign": "an outside check of TM-scores",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    section: str  # "versions", "devices", "extras", "tools", "weights"
    name: str
    value: str
    good: bool = True  # False only for what is broken, not for what is merely absent


def doctor() -> list[Finding]:
    """Return what was found on this machine, section by section; nothing is changed."""
    return [*versions(), *devices(), *extras(), *tools(), *weights()]


def versions() -> list[Finding]:
    found = [Finding("versions", "python", f"{platform.python_version()} on {platform.platform(terse=True)}")]
    for name in ("tertia", *(requirement for requirement, extra in requirements() if not extra)):
        version = installed(name)
        found.append(Finding("versions", name, version or "not installed", good=version is not None))
    return found


def devices() -> list[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    capability = torch.backends.cpu.get_cpu_capability()
    found = [Finding("devices", "cpu", f"{cores} cores, {torch.get_num_threads()} threads, {capability}")]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        found.append(Finding("devices", f"cuda:{index}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB"))
    return found


def extras() -> list[Finding]:
    """Return for every extra which of its packages are missing (`all` is the sum of the others)."""
    wanted: dict[str, list[str]] = {}
    for name, extra in requirements():
        if extra and extra != "all" and name != "tertia":
            wanted.setdefault(extra, []).append(name)
    found = []
    for extra, names in sorted(wanted.items()):
        missing = [name for name in names if installed(name) is None]
        hint = f"without {', '.join(missing)}; pip install 'tertia[{extra}]'"
        found.append(Finding("extras", extra, hint if missing else "installed"))
    return found


def tools() -> list[Finding]:
    from tertia.structure.read_regular_pdb import is_compiled

    compiled = "built" if is_compiled() else "not built: numpy reads PDB files, which takes 1.4 times as long"
    found = [Finding("tools", name, shutil.which(name) or f"not found: {use}") for name, use in TOOLS.items()]
    return [*found, Finding("tools", "compiled reader", compiled)]


def weights() -> list[Finding]:
    """Return every shipped model and head with the hash of its weights, compared with the one that its card names."""
    found = []
    folder = Path(str(files("tertia"))) / "weights"
    cards = [*sorted(folder.glob("*/model.json")), *sorted(folder.glob("heads/*/head.json"))]
    for card in cards:
        path = card.with_name("network.safetensors" if card.name == "model.json" else "head.safetensors")
        recorded = str(json.loads(card.read_text()).get("sha256"))
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        verdict = "" if digest == recorded else f" BROKEN: {card.name} says {recorded[:16]}"
        name = str(card.parent.relative_to(folder))
        found.append(Finding("weights", name, f"sha256 {digest[:16] or '(no file)'}{verdict}", not verdict))
    return found or [Finding("weights", "(none)", "no checkpoint is shipped with this installation")]


def requirements() -> list[tuple[str, str]]:
    """Return (package, extra) of every requirement in tertia's own metadata; extra is "" for the core."""
    found = []
    for line in metadata.requires("tertia") or []:
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        found.append((re.match(r"[\w.-]+", line).group(), extra.group(1) if extra else ""))
    return found


def installed(name: str) -> str | None:
    """Return the installed version of a package, None where it is absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def table(findings: list[Finding]) -> str:
    """Return the findings as aligned text, one block a section."""
    width = max(len(finding.name) for finding in findings)
    lines, section = [], ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines += ["", section] if lines else [section]
        mark = " " if finding.good else "!"
        lines.append(f"{mark} {finding.name:<{width}}  {finding.value}")
    return "\n".join(lines)
