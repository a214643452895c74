"""Files to batches: which reader a file is for, and in which order a folder is read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from core.contracts import Domain
from core.errors import HeadwaterError, InvalidInputError
from data.duck import Cursor
from data.ingest import amazon_v3, calendar, console, profiles, sheet, table
from data.ingest.batch import Batch, Known, KnownSource, Refusal
from data.ingest.facts import workspace
from data.ingest.source import Source, downloaded, open_source

log = logging.getLogger(__name__)

SUFFIXES = (".gz", ".json", ".csv", ".tsv", ".xlsx", ".parquet")
# What a simulated world brings beside the reports; the answers are not for the one who is asked.
IGNORED_FOLDERS = ("truth",)
IGNORED_FILES = ("change_log.json", "mapping.json")


@dataclass(frozen=True)
class Plan:
    """Files in reading order, oldest download first, and what was left aside, in words."""

    files: tuple[tuple[Path, Path], ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)


def plan(paths: Sequence[Path], *, as_of: datetime | date | None = None) -> Plan:
    """Every file under `paths` that a reader may know: profiles first, then by download time and name."""
    files, notes = [], []
    for path in paths:
        if not path.exists():
            raise InvalidInputError.of(
                "import", "the path", "an existing file or folder", str(path)
            )
        if path.is_file():
            files.append((path, path.parent))
            continue
        ignored = set()
        for file in sorted(path.rglob("*")):
            inner = file.relative_to(path)
            if not file.is_file() or any(part.startswith(".") for part in inner.parts):
                continue
            if inner.parts[0] in IGNORED_FOLDERS:
                ignored.add(inner.parts[0])
            elif file.name not in IGNORED_FILES and file.suffix.lower() in SUFFIXES:
                files.append((file, path))
        notes += [
            f"{path.name}/{folder}/ was left aside: it is not a report"
            for folder in sorted(ignored)
        ]
    # Console files carry names only: read last, they find the ids.
    files.sort(
        key=lambda found: (
            found[0].name != "profiles.json",
            found[0].suffix not in (".json", ".gz"),
            downloaded(found[0], as_of),
            str(found[0]),
        )
    )
    return Plan(tuple(files), tuple(notes))


def read(
    path: Path,
    *,
    domain: Domain,
    mapping: Mapping[str, Any] | None = None,
    as_of: datetime | date | None = None,
    profile: str | None = None,
    known: KnownSource = Known,
) -> Batch:
    """One file as a batch, whatever its format; an unknown one is refused with what is known."""
    with workspace() as cursor:
        source = open_source(path, as_of=as_of, profile=profile, mapping=mapping)
        return _read(cursor, source, domain, known)


def read_many(
    paths: Sequence[Path],
    *,
    domain: Domain,
    mapping: Mapping[str, Any] | None = None,
    as_of: datetime | date | None = None,
    profile: str | None = None,
    known: KnownSource = Known,
    loaded: Collection[str] = (),
) -> Iterator[Batch]:
    """Batches in the order of `plan`; load each before taking the next, so that `known` can answer.

    A file whose SHA-256 is among `loaded` is not read again: its batch is empty, of format "loaded".
    A file that cannot be read becomes a batch of one refusal; the others still come.
    """
    with workspace() as cursor:
        for path, root in plan(paths, as_of=as_of).files:
            source = open_source(path, as_of=as_of, profile=profile, mapping=mapping, root=root)
            if source.sha256 in loaded:
                yield source.batch("loaded")
                continue
            try:
                yield _read(cursor, source, domain, known)
            except HeadwaterError as error:
                log.warning("%s was refused: %s", source.name, error)
                facts = error.context
                refusal = Refusal(
                    source.name,
                    0,
                    str(facts.get("thing", "")),
                    str(facts.get("value", ""))[:200],
                    f"{facts.get('rule', error.message)}. {error.hint}".strip(),
                )
                yield replace(source.batch("unknown"), refused=(refusal,))


def _read(cursor: Cursor, source: Source, domain: Domain, known: KnownSource) -> Batch:
    if not source.size:
        return source.batch("empty", notes=("the file is empty",))
    if profiles.recognise(source):
        return profiles.read(source)
    if calendar.recognise(source):
        return calendar.read(source, domain)
    if "entity" in source.mapping and sheet.recognise(source):
        return table.read(cursor, source, domain)
    if amazon_v3.recognise(source):
        return amazon_v3.read(cursor, source, domain, known)
    if console.recognise(source):
        return console.read(cursor, source, domain, known)
    raise InvalidInputError.of(
        source.name,
        "the file",
        "an Amazon Ads v3 report, profiles.json, calendar.csv, a console report, or a table with a mapping",
        f"{source.size} bytes",
        "Give --mapping for any other CSV or Parquet.",
    )
