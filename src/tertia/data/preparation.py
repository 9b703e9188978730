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


@dataclass(frozen=True, order=True)
class PairRefusal:
    """One protein whose pairs cannot be in the store."""

    protein: str  # as the tables name it
    rule: str  # by which its chain was refused; "absent": in no input; "itself": its pairs with itself
    n_pairs: int  # a pair of two such proteins counts for the first one


@dataclass(frozen=True)
class PairReport:
    """What became of the rows of pair tables: negative, repeated, refused or kept."""

    tables: str  # hash of the rows
    n_rows: int
    n_negative: int  # label 0
    n_repeated: int  # in either order, and after chains of the same sequence were taken together
    n_kept: int
    n_across: int  # of those that were kept: chains in two parts of the split, so in none of them
    parts: Mapping[str, int]  # train, valid, test -> pairs
    rules: Mapping[str, int]  # rule -> pairs
    refused: tuple[PairRefusal, ...]

    def lines(self) -> list[str]:
        """Return the report as a few lines for people."""
        counts = {"pairs: rows": self.n_rows, "pairs: not binding": self.n_negative, "pairs: repeated": self.n_repeated}
        counts |= {f"pairs refused: {rule}": count for rule, count in self.rules.items()}
        counts |= {"pairs kept": self.n_kept} | {f"pairs: {part}": count for part, count in self.parts.items()}
        counts |= {"pairs: across parts, in none": self.n_across}
        return [f"{label:<40}{count:>10,} pairs" for label, count in counts.items()]

    @classmethod
    def from_dict(cls, values: Mapping) -> PairReport:
        """Return the report that `dataclasses.asdict` took apart."""
        return cls(**{**values, "refused": tuple(PairRefusal(**row) for row in values["refused"])})


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
    pairs: PairReport | None = None  # where tables of pairs were given

    def as_dict(self) -> dict:
        """Return JSON values."""
        values = asdict(self)
        if self.pairs is None:  # so that a report without pairs has the same bytes as before there were any
            del values["pairs"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping) -> PrepareReport:
        """Return the report that `as_dict` took apart."""
        refused = tuple(Refusal(**row) for row in values["refused"])
        failed = tuple(Failure(**row) for row in values["failed"])
        pairs = PairReport.from_dict(values["pairs"]) if values.get("pairs") else None
        return cls(**{**values, "refused": refused, "failed": failed, "pairs": pairs})

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
        lines += self.pairs.lines() if self.pairs is not None else []
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
