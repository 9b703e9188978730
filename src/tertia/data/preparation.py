"""What `prepare` did: counts, every refused chain and every failed file, as an object, as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from tertia.data.split import PARTS


@dataclass(frozen=True, order=True)
class Refusal:
    """One chain that was read well but is not in the store."""

    source: str  # path, or "archive.tar!member"
    chain: str  # key
    rule: str  # a field of Filters, "record", "key", "duplicate" or "excluded"
    found: str


@dataclass(frozen=True, order=True)
class Failure:
    """One file that could not be read."""

    source: str
    found: str


@dataclass(frozen=True)
class PrepareReport:
    """Everything a run read, kept, refused and failed on."""

    settings: Mapping[str, object]
    n_files: int  # files looked at, failed ones included
    n_chains: int  # protein chains in them
    n_residues: int  # residues with coordinates in them, and all residues of mere sequences
    cluster_tool: str
    parts: Mapping[str, Mapping[str, int]]  # train, valid, test -> chains, residues, clusters
    rules: Mapping[str, int]  # rule -> number of chains it refused; "failed" -> number of files
    refused: tuple[Refusal, ...]
    failed: tuple[Failure, ...]
    n_without_coordinates: int = 0  # chains in the store that are mere sequences

    def as_dict(self) -> dict:
        """Return JSON values."""
        return asdict(self) | {"refused": [vars(r) for r in self.refused], "failed": [vars(f) for f in self.failed]}

    @classmethod
    def from_dict(cls, values: Mapping) -> PrepareReport:
        """Return the report that `as_dict` took apart."""
        refused = tuple(Refusal(**row) for row in values["refused"])
        failed = tuple(Failure(**row) for row in values["failed"])
        return cls(**{**values, "refused": refused, "failed": failed})

    @property
    def n_kept(self) -> int:
        """Chains in the store."""
        return sum(part["chains"] for part in self.parts.values())

    def table(self) -> str:
        """Return the report as a few lines for people."""
        lines = [f"{'read':<22}{self.n_files:>10,} files  {self.n_chains:>10,} chains  {self.n_residues:>12,} residues"]
        for name, part in self.parts.items():
            lines.append(
                f"{name:<22}{part['clusters']:>10,} groups {part['chains']:>10,} chains  "
                f"{part['residues']:>12,} residues"
            )
        for rule, count in self.rules.items():
            label, what = ("failed", "files") if rule == "failed" else (f"refused: {rule}", "chains")
            lines.append(f"{label:<40}{count:>10,} {what}" if what == "chains" else f"{label:<22}{count:>10,} {what}")
        if self.n_without_coordinates:
            lines.append(f"{'without coordinates':<40}{self.n_without_coordinates:>10,} chains")
        lines.append(f"clusters by {self.cluster_tool}")
        return "\n".join(lines)


def part_counts(parts: Sequence[str], lengths: Sequence[int], cluster: Sequence[int]) -> dict[str, dict[str, int]]:
    """Return chains, residues and clusters of each part."""
    rows = list(zip(parts, lengths, cluster, strict=True))
    return {
        name: {
            "chains": sum(part == name for part, _, _ in rows),
            "residues": sum(length for part, length, _ in rows if part == name),
            "clusters": len({number for part, _, number in rows if part == name}),
        }
        for name in PARTS
    }


def rule_counts(refused: Sequence[Refusal], failed: Sequence[Failure]) -> dict[str, int]:
    """Return how many chains each rule refused, most first, and how many files failed."""
    counts = Counter(refusal.rule for refusal in refused)
    rows = dict(sorted(counts.items(), key=lambda row: (-row[1], row[0])))
    return rows | ({"failed": len(failed)} if failed else {})
