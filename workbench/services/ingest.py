"""Files in: read, checked, loaded one transaction each, reported file by file, taken back when asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from core.contracts import OnStep
from core.domain import Domain
from core.domains import DOMAINS
from core.errors import CancelledError, InvalidInputError, UnknownNameError
from data import audit_store
from data.batches import BatchInfo, Loaded
from data.coverage import Coverage
from data.ingest import Plan, incident_files, measurements, plan, read_many
from data.ingest.batch import Batch, Difference, Known, Refusal, Samples
from data.metrics import MetricStore
from workbench.context import Context
from workbench.services import changes, incidents
from workbench.services.turns import turn

UNREAD = ("unknown", "empty")
"""Formats of files that nothing could be made of; they leave no batch, so a better-told import can load them."""


@dataclass(frozen=True)
class FileReport:
    """What came of one file; `batch` is None where it left none, as records do. `as_of` is UTC."""

    file: str
    format: str
    as_of: datetime
    batch: int | None
    rows: int
    new: int
    duplicates: int
    refused: int
    message: str


@dataclass(frozen=True)
class ImportReport:
    """What came of an import or of its dry run; `failed` counts the files that could not be read."""

    files: tuple[FileReport, ...]
    quarantine: tuple[Refusal, ...]
    differences: tuple[tuple[str, Difference], ...]
    notes: tuple[str, ...]
    new: int
    duplicates: int
    refused: int
    failed: int
    dry_run: bool

    def __str__(self) -> str:
        verb = "would be stored" if self.dry_run else "stored"
        rows = f"{_count(self.new, 'new row')} {verb}, {self.refused:,} refused"
        told = f"{_count(len(self.files), 'file')}, {rows}"
        return f"{told}, {_count(self.failed, 'file')} not read" if self.failed else told


def _count(many: int, one: str) -> str:
    return f"{many:,} {one}{'s' * (many != 1)}"


def import_paths(
    ctx: Context,
    tenant: str,
    paths: Sequence[Path],
    *,
    domain: str = "ads",
    as_of: datetime | date | None = None,
    mapping: Path | Mapping[str, Any] | None = None,
    profile: str | None = None,
    dry_run: bool = False,
    actor: str = "",
    on_step: OnStep | None = None,
) -> ImportReport:
    """Read files and folders, oldest download first, and load each in a transaction of its own.

    The same bytes again are told as already loaded. Refused cells go to quarantine, the rest loads. A dry run
    loads into a store in memory that is then thrown away. When `on_step` returns False, CancelledError: the
    files loaded until then stay and can be undone, of the one under way nothing does.
    """
    known_domain = _domain(domain)
    with ExitStack() as opened:
        store = ctx.metrics
        if dry_run:
            store = MetricStore(":memory:")
            opened.callback(store.close)
        else:
            opened.enter_context(turn(tenant))
        return _import(
            ctx,
            store,
            tenant,
            known_domain,
            paths,
            told={"as_of": as_of, "mapping": read_mapping(mapping), "profile": profile},
            dry_run=dry_run,
            actor=actor or ctx.actor,
            on_step=on_step,
        )


def batches(ctx: Context, tenant: str) -> list[BatchInfo]:
    """Every import, newest first, undone ones too."""
    return ctx.metrics.batches(tenant)


def quarantine(ctx: Context, tenant: str, batch_id: int, *, limit: int = 1000) -> list[Refusal]:
    """The refused cells of a batch, by line."""
    return ctx.metrics.refusals(tenant, batch_id, limit=limit)


def undo_batch(ctx: Context, tenant: str, batch_id: int, *, actor: str = "") -> dict[str, int]:
    """Take a batch back; what it superseded is current again."""
    removed = ctx.metrics.undo(tenant, batch_id)
    _tell(ctx, tenant, actor or ctx.actor, "undo batch", str(batch_id), {"removed": removed})
    return {"batch": batch_id, "removed": removed}


def coverage(ctx: Context, tenant: str, domain: str = "ads") -> list[Coverage]:
    """Per report, profile and day: delivered, partial or missing, with rows and age."""
    return ctx.metrics.coverage(tenant, _domain(domain))


def read_mapping(mapping: Path | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A mapping as given, or from its JSON file."""
    if not isinstance(mapping, Path):
        return mapping
    try:
        found = json.loads(mapping.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError.of(
            "import", "the mapping", "a readable JSON file", str(mapping), str(error)
        ) from None
    if not isinstance(found, dict):
        raise InvalidInputError.of("import", "the mapping", "one JSON object", found)
    return found


@dataclass(frozen=True)
class _Reading:
    """Files on their way into a store: in reading order, as batches, and what was left aside."""

    ctx: Context
    store: MetricStore
    tenant: str
    domain: Domain
    paths: Sequence[Path]
    told: Mapping[str, Any]
    loaded: Mapping[str, int]

    def reports(self) -> tuple[Plan, Iterable[Batch | Samples]]:
        """Reports of figures by day."""
        asked, tenant, domain = self.told, self.tenant, self.domain

        def known() -> Known:
            own = self.ctx.metrics.known(tenant, domain)
            tried = self.store is not self.ctx.metrics
            return _both(own, self.store.known(tenant, domain)) if tried else own

        read = read_many(self.paths, domain=domain, known=known, loaded=self.loaded, **asked)
        return plan(self.paths, as_of=asked["as_of"]), read

    def measurements(self) -> tuple[Plan, Iterable[Batch | Samples]]:
        """Measurements at moments, and what was measured."""
        samples = self.ctx.metrics.samples
        known = {found.name: found.id for found in samples.components(self.tenant, self.domain)}
        asked = {name: self.told[name] for name in ("as_of", "mapping")}
        read = measurements.read_many(
            self.paths, domain=self.domain, known=known, loaded=self.loaded, **asked
        )
        return measurements.arranged(self.paths, as_of=asked["as_of"]), read


READ: Mapping[str, Callable[[_Reading], tuple[Plan, Iterable[Batch | Samples]]]] = {
    "ads": _Reading.reports,
    "services": _Reading.measurements,
}
"""How a domain's files become batches."""


def _import(
    ctx: Context,
    store: MetricStore,
    tenant: str,
    domain: Domain,
    paths: Sequence[Path],
    *,
    told: Mapping[str, Any],
    dry_run: bool,
    actor: str,
    on_step: OnStep | None,
) -> ImportReport:
    before = ctx.metrics.digests(tenant)
    files: list[FileReport] = []
    refusals: list[Refusal] = []
    differences: list[tuple[str, Difference]] = []
    planned, read = READ[domain.name](_Reading(ctx, store, tenant, domain, paths, told, before))
    for batch in read:
        on_piece = partial(_tell_piece, on_step, batch, len(files), max(len(planned), 1))
        report = _load(store, tenant, domain, batch, before, on_piece, dry_run=dry_run)
        files.append(report)
        refusals += batch.refused
        differences += [(batch.file, found) for found in batch.differences]
        numbers = {"rows": float(sum(file.new for file in files))}
        share = len(files) / max(len(planned), 1)
        if on_step is not None and on_step(report.file, share, numbers) is False:
            raise CancelledError.of(
                "import", "the import", "allowed to go on", f"a stop after {len(files)} files"
            )
    for path, name in _records(domain, paths, told["as_of"]):
        report, refused = _record(ctx, tenant, domain, path, name, dry_run=dry_run, actor=actor)
        files.append(report)
        refusals += refused
    unread = bool(files) and all(file.format in UNREAD for file in files)
    loaded = [file.batch for file in files if file.batch is not None and file.new]
    if loaded and not dry_run:
        span = f"{min(loaded)}-{max(loaded)}"
        rows = sum(file.new for file in files if file.batch is not None)
        _tell(ctx, tenant, actor, "import", span, {"rows": rows})
    return ImportReport(
        files=tuple(files),
        quarantine=tuple(refusals),
        differences=tuple(differences),
        notes=(*planned.notes, ELSEWHERE[domain.name]) if unread else planned.notes,
        new=sum(file.new for file in files),
        duplicates=sum(file.duplicates for file in files),
        refused=sum(file.refused for file in files),
        failed=sum(file.format in UNREAD for file in files),
        dry_run=dry_run,
    )


Look = Callable[[bytes, str, str], incident_files.Told[Any]]
RECORDS: Mapping[str, tuple[Look, Callable[..., changes.Imported]]] = {
    "events.csv": (incident_files.changes, changes.import_csv),
    "incidents.csv": (incident_files.incidents, incidents.import_csv),
}
"""Files of services that become records: who reads them, and who takes them in."""


def _records(
    domain: Domain, paths: Sequence[Path], as_of: datetime | date | None
) -> list[tuple[Path, str]]:
    if READ[domain.name] is not _Reading.measurements:
        return []
    return [
        (path, str(path.relative_to(root)))
        for path, root in plan(paths, as_of=as_of).files
        if path.name in RECORDS
    ]


ELSEWHERE = {
    "ads": "nothing here is a report of Amazon ads; measurements of running systems come in with --domain services",
    "services": "nothing here is measured; reports of Amazon ads come in with --domain ads",
}
"""What to try where no file could be read, by the domain that it was tried for."""


def _record(
    ctx: Context, tenant: str, domain: Domain, path: Path, name: str, *, dry_run: bool, actor: str
) -> tuple[FileReport, tuple[Refusal, ...]]:
    """Incidents or changes of a file; a dry run only reads it."""
    look, take = RECORDS[path.name]
    now, kind = ctx.clock(), path.stem
    try:
        if dry_run:
            seen = look(path.read_bytes(), name, domain.name)
            new, known, refused = len(seen.rows), 0, seen.refused
            message = f"{_count(new, 'row')} would be looked at"
        else:
            came = take(ctx, tenant, domain.name, path.read_bytes(), actor=actor, file=name)
            new, known, refused = came.new + came.updated, came.unchanged, came.refused
            message = "; ".join([str(came), *came.notes])
    except InvalidInputError as error:
        refusal = Refusal(name, 0, str(error.context.get("thing", "")), "", error.message)
        return FileReport(name, "unknown", now, None, 0, 0, 0, 0, error.message), (refusal,)
    many = len({refusal.line for refusal in refused})
    rows = new + known + many
    return FileReport(name, kind, now, None, rows, new, known, many, message), refused


def _tell_piece(
    on_step: OnStep | None, batch: Batch | Samples, before: int, planned: int, rows: int
) -> None:
    """Tell how far a long file has come; a stop takes back what came of it."""
    share = (before + min(rows / max(batch.rows, 1), 1.0)) / planned
    told = {"rows of this file": float(rows)}
    if rows < batch.rows and on_step is not None and on_step(batch.file, share, told) is False:
        rule = f"a stop after {rows:,} rows of {batch.file}, which were taken back"
        raise CancelledError.of("import", "the import", "allowed to go on", rule)


def _load(
    store: MetricStore,
    tenant: str,
    domain: Domain,
    batch: Batch | Samples,
    before: Mapping[str, int],
    on_piece: Callable[[int], None],
    *,
    dry_run: bool,
) -> FileReport:
    if batch.format in UNREAD:
        reasons = [*map(str, batch.refused), *batch.notes]
        return _report(batch, Loaded(0, batch.rows, 0, 0, 0), None, "; ".join(reasons))
    if batch.sha256 in before:
        number = before[batch.sha256]
        loaded = Loaded(number, batch.rows, 0, 0, 0, already=True)
        return _report(batch, loaded, number, loaded.sentence)
    loaded = (
        store.samples.load(tenant, domain, batch, on_piece)
        if isinstance(batch, Samples)
        else store.load(tenant, domain, batch)
    )
    # a dry run leaves no batch, so none is named
    number, told = (None, loaded.counts) if dry_run else (loaded.batch, loaded.sentence)
    return _report(batch, loaded, number, "; ".join([told, *loaded.notes, *batch.notes]))


def _report(batch: Batch | Samples, loaded: Loaded, number: int | None, message: str) -> FileReport:
    return FileReport(
        file=batch.file,
        format=batch.report or batch.format,
        as_of=batch.as_of.replace(tzinfo=UTC),
        batch=number,
        rows=batch.rows,
        new=loaded.new,
        duplicates=loaded.duplicates,
        refused=loaded.refused,
        message=message,
    )


def _both(stored: Known, tried: Known) -> Known:
    return Known(
        owners={**stored.owners, **tried.owners},
        profiles={**stored.profiles, **tried.profiles},
        portfolios={**stored.portfolios, **tried.portfolios},
        ids={**stored.ids, **tried.ids},
    )


def _domain(name: str) -> Domain:
    if name not in DOMAINS:
        raise UnknownNameError.of("import", "the domain", f"one of {', '.join(DOMAINS)}", name)
    return DOMAINS[name]


def _tell(
    ctx: Context, tenant: str, actor: str, verb: str, number: str, after: dict[str, Any]
) -> None:
    now = ctx.clock()
    ctx.records.write(
        tenant,
        lambda session: audit_store.record(
            session,
            tenant=tenant,
            actor=actor,
            now=now,
            verb=verb,
            object_kind="batch",
            object_id=number,
            after=after,
        ),
    )
