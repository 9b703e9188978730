"""Make a corpus: read, check, remove repeats and leaks, cluster, split, and store. Says what was refused and why."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tertia.data.columns import write_json
from tertia.data.filters import Filters
from tertia.data.leak import find_leaks, fingerprint, ledger, read_excluded
from tertia.data.pairs import PairTable, placed, read_pairs, tables_of
from tertia.data.preparation import Failure, PrepareReport, Refusal, part_counts, rule_counts
from tertia.data.split import FRACTIONS, split_clusters
from tertia.data.store import INDEX, Store
from tertia.data.writer import Placement, StoreWriter, Summary
from tertia.errors import InputError
from tertia.progress import Progress
from tertia.sequence.clusters import clusters, equal_groups
from tertia.sequence.fasta import Record, header_field
from tertia.structure.chain import Chain

REPORT = "report.json"
_SAME = "same sequence as "


@dataclass(frozen=True)
class Plan:
    """Everything that decides the bytes of a corpus; a run continues only what was begun with the same plan."""

    inputs: tuple[str, ...]
    filters: Filters
    excluded_sha256: str
    identity: float
    fractions: tuple[float, ...]
    seed: int
    tool: str
    model: int
    split_by: str = ""

    def as_dict(self) -> dict:
        """Return the plan as JSON values."""
        values = vars(self) | {"filters": self.filters.as_dict()}
        if not self.split_by:  # so that stores from before there was a choice are known again
            del values["split_by"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def prepare(
    inputs: Sequence[str] | str, output: str | Path, *, exclude: Sequence[str | Path] = (),
    pairs: Sequence[str | Path] = (), identity: float = 0.3, fractions: Sequence[float] = FRACTIONS, seed: int = 0,
    tool: str = "auto", model: int = 1, jobs: int = 1, split_by: str = "", progress: bool = True, **limits,
) -> PrepareReport:  # fmt: skip
    """Read structures or sequences into a store of unique, clustered, split chains; report what was refused and why.

    A killed run is continued by the same call, and ends in the same bytes as one that was not interrupted; a
    finished one returns its report at once.

    Parameters
    ----------
    inputs: files, folders, globs, tar archives, "-" for a list on stdin; FASTA files give chains without coordinates.
    output: folder of the store; new, or begun with the same settings.
    exclude: FASTA files and stores; chains that neighbour one of their sequences are refused (see `data.leak`).
    pairs: tables of pairs that bind (see `data.pairs`), by the names of the chains; they are kept beside the chains.
        Given to a finished store, they take the place of earlier ones.
    identity: of clusters and of excluded neighbours, 0 to 1.
    fractions: of clusters for train, valid and test.
    seed: of the split.
    tool: what compares sequences: "auto" (MMseqs2 where installed), "mmseqs", "builtin".
    model: which model of a file, from 1.
    jobs: processes that read, and threads that compare.
    split_by: a field of FASTA headers, such as "tax" for `>name tax=9606`: chains of one value stay together, instead
        of clusters by identity. For corpora whose clustering takes too long; homologs may then be in several parts.
    progress: show progress on stderr.
    limits: fields of `data.filters.Filters` by name: min_length, max_length, max_resolution, methods, ca_distance,
        max_odd_bonds, max_missing_fraction, max_unknown_fraction.

    Returns
    -------
    PrepareReport; its `refused` and `failed` are empty only when every chain of every input is in the store, and
    `pairs.refused` only when both chains of every pair are.
    """
    inputs = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    excluded = read_excluded([exclude] if isinstance(exclude, str | os.PathLike) else exclude)
    plan = Plan(
        tuple(map(os.fspath, inputs)), _filters(limits), fingerprint(excluded) if excluded else "", float(identity),
        tuple(map(float, fractions)), int(seed), tool, int(model), split_by,
    )  # fmt: skip
    split_clusters([], [], fractions=plan.fractions)  # refuses wrong fractions before hours of reading
    table = read_pairs([pairs] if isinstance(pairs, str | os.PathLike) else pairs) if pairs else None
    with StoreWriter(output) as writer, Progress(progress) as bar:
        report = _finished(Path(output), plan)
        if report is None:
            _begin(writer, plan)
            _read(writer, plan, jobs, bar)
            report = _finish(writer, plan, excluded, jobs, bar)
        return report if table is None else _with_pairs(Path(output), report, table)


def _filters(limits: dict) -> Filters:
    known = Filters.__dataclass_fields__
    wrong = [name for name in limits if name not in known]
    if wrong:
        raise InputError("prepare", wrong[0], found="is not a limit", allowed=", ".join(known))
    return Filters(**limits)


def _finished(output: Path, plan: Plan) -> PrepareReport | None:
    if not (output / INDEX).is_file():
        return None
    if (output / REPORT).is_file():
        report = PrepareReport.from_dict(json.loads((output / REPORT).read_text()))
        if report.settings == plan.as_dict():
            return report
    raise InputError(
        str(output),
        found="holds a store that was made with other inputs or settings",
        hint="choose another output folder",
    )


def _begin(writer: StoreWriter, plan: Plan) -> None:
    """Check that a journal was begun with this plan, or begin it."""
    writer.forget_after_last_note()
    first = next((values for _, values in writer.notes()), None)
    if first is None:
        writer.note({"settings": plan.as_dict()})
    elif first != {"settings": plan.as_dict()}:
        raise InputError(
            str(writer.path), found="holds an unfinished store that was begun with other inputs or settings",
            hint="repeat the first command to continue it, or choose another output folder",
        )  # fmt: skip


def _read(writer: StoreWriter, plan: Plan, jobs: int, bar: Progress) -> None:
    """Put the chains that pass the filters into the journal, and a note behind those of each file."""
    from tertia.structure.read import read_inputs

    done = {values["source"] for _, values in writer.notes() if "source" in values}
    names: list[str] = []
    parent = _common_parent(plan.inputs)
    bar.step("reading", done=len(done))
    for result in read_inputs(plan.inputs, model=plan.model, jobs=jobs, progress=names.append, skip=done):
        note: dict[str, object] = {"source": names.pop(), "chains": 0, "residues": 0, "refused": []}
        if isinstance(result, InputError):
            note["failed"] = str(result)
        else:
            note["chains"] = len(result.chains) + len(result.report.refused)
            note["residues"] = sum(len(c) if c.atoms is None else int(c.seen.sum()) for c in result.chains)
            note["refused"] = [[error.entry, "record", error.found] for error in result.report.refused]
            for chain in result.chains:
                refusal = _taken(writer, replace(chain, frame=_shortened(chain.frame, parent)), plan.filters)
                if refusal:
                    note["refused"].append([chain.key, *refusal])
        writer.note(note)
        bar.advance()


def _taken(writer: StoreWriter, chain: Chain, filters: Filters) -> tuple[str, str] | None:
    """Append a chain to the journal, or return the rule it breaks and what was found."""
    if chain.key in writer.record_of_key:
        return "key", "a chain of the same entry and name was read before"
    refusal = filters.refusal(chain)
    if refusal is None:
        try:
            writer.append(chain)
        except InputError as error:
            return "atoms", error.found
    return refusal


def _common_parent(inputs: Sequence[str]) -> str:
    """Return the folder that all inputs lie in, or are; "" where they do not tell."""
    if "-" in inputs:
        return ""
    folders = [given if os.path.isdir(given) else os.path.dirname(given) for given in map(os.path.abspath, inputs)]
    return os.path.commonpath(folders) if folders else ""


def _shortened(frame: str, parent: str) -> str:
    """Return a frame's name without the folders that say where on this machine the inputs lie."""
    path = os.path.abspath(frame) if parent else frame
    return os.path.relpath(path, parent) if parent and path.startswith(parent + os.sep) else frame


def _finish(
    writer: StoreWriter, plan: Plan, excluded: Sequence[Record], jobs: int, bar: Progress
) -> PrepareReport:  # fmt: skip
    """Choose, cluster and split the chains of the journal, and seal the store; after a kill, do the same again."""
    notes = [values for _, values in writer.notes() if "source" in values]
    refused = [Refusal(note["source"], *row) for note in notes for row in note["refused"]]
    failed = [Failure(note["source"], note["failed"]) for note in notes if "failed" in note]
    source_of = _sources(writer)

    bar.step("removing repeated sequences")
    chains = sorted((writer.summary(number) for number in writer.record_of_key.values()), key=lambda c: c.key)
    chains, repeats = _unique(chains)
    refused += [Refusal(source_of[c.record], c.key, "duplicate", f"{_SAME}{kept}") for c, kept in repeats]

    bar.step("searching excluded neighbours")
    sequences = [chain.sequence for chain in chains]
    leaks = find_leaks(
        [c.key for c in chains], sequences, excluded, identity=plan.identity, tool=plan.tool, threads=jobs
    )  # fmt: skip
    leaked = {leak.chain: leak for leak in leaks}
    refused += [Refusal(source_of[c.record], c.key, "excluded", _why(leaked[c.key])) for c in chains if c.key in leaked]
    chains = [chain for chain in chains if chain.key not in leaked]

    bar.step("clustering")
    if plan.split_by:
        refused += [Refusal(source_of[c.record], c.key, "split_by", f"no {plan.split_by}= in its header")
                    for c in chains if not _field(c, plan)]  # fmt: skip
        chains = [chain for chain in chains if _field(chain, plan)]
    number, names, grouping = _groups(chains, plan, jobs)
    parts = split_clusters(number, names, fractions=plan.fractions, seed=plan.seed)

    bar.step("writing")
    report = PrepareReport(
        settings=plan.as_dict(), n_files=len(notes), n_chains=sum(note["chains"] for note in notes),
        n_residues=sum(note["residues"] for note in notes), cluster_tool=grouping,
        parts=part_counts(parts, [len(c.sequence) for c in chains], number), rules=rule_counts(refused, failed),
        refused=tuple(sorted(refused)), failed=tuple(sorted(failed)),
        n_without_coordinates=sum(c.n_seen == 0 for c in chains),
    )  # fmt: skip
    write_json(writer.path / REPORT, report.as_dict())
    writer.seal(
        [Placement(c.record, k, part) for c, k, part in zip(chains, number, parts, strict=True)],
        ledger=ledger(excluded, leaks, identity=plan.identity, tool=plan.tool),
    )
    return report


def _with_pairs(output: Path, report: PrepareReport, table: PairTable) -> PrepareReport:
    """Put pairs beside a finished store and into its report; what was begun before a kill is done again."""
    store, tables = Store.open(output), table.digest()
    if report.pairs is not None and report.pairs.tables == tables == tables_of(store):
        return report
    # A chain whose name was read before is in the store or refused under that name: that other rule counts.
    refused = {r.chain: r.rule for r in sorted(report.refused, key=lambda refusal: refusal.rule != "key")}
    same_as = {r.chain: r.found.removeprefix(_SAME) for r in report.refused if r.rule == "duplicate"}
    pairs, found = placed(table, store, refused=refused, same_as=same_as)
    pairs.write(store, tables=tables)
    report = replace(report, pairs=found)
    write_json(output / REPORT, report.as_dict())
    return report


def _groups(chains: Sequence[Summary], plan: Plan, jobs: int) -> tuple[list[int], list[str], str]:
    """Return the number and the name of the group of each chain, and what made the groups."""
    if plan.split_by:
        names = [_field(chain, plan) for chain in chains]
        groups = equal_groups(names, plan.split_by)
    else:
        groups = clusters([c.sequence for c in chains], identity=plan.identity, tool=plan.tool, threads=jobs)
        names = [chains[k].sequence for k in groups.representative.tolist()]
    return groups.cluster.tolist(), names, groups.tool


def _field(chain: Summary, plan: Plan) -> str:
    return header_field(str(chain.meta.get("description", "")), plan.split_by)


def _why(leak) -> str:
    return f"{leak.identity:.0%} identical to {leak.excluded} ({leak.source}) over {leak.columns} columns"


def _sources(writer: StoreWriter) -> dict[int, str]:
    """Return the source of each chain record: a file's note stands behind its chains."""
    ends = [(number, values["source"]) for number, values in writer.notes() if "source" in values]
    source_of: dict[int, str] = {}
    remaining: Iterator[tuple[int, str]] = iter(ends)
    end, source = next(remaining, (-1, ""))
    for record in writer.record_of_key.values():
        while record > end:
            end, source = next(remaining)
        source_of[record] = source
    return source_of


def _unique(chains: Sequence[Summary]) -> tuple[list[Summary], list[tuple[Summary, str]]]:
    """Return the best chain of each sequence, in order, and the others with the key of the one that was kept.

    Best: finest resolution, then fewest missing residues, then the first key.
    """
    best: dict[str, Summary] = {}
    for chain in chains:
        held = best.setdefault(chain.sequence, chain)
        if _rank(chain) < _rank(held):
            best[chain.sequence] = chain
    kept = [chain for chain in chains if best[chain.sequence] is chain]
    return kept, [(chain, best[chain.sequence].key) for chain in chains if best[chain.sequence] is not chain]


def _rank(chain: Summary) -> tuple[float, int, str]:
    resolution = chain.meta.get("resolution")
    return (float("inf") if resolution is None else float(resolution), -chain.n_seen, chain.key)
