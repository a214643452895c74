"""Files to batches: which reader a file is for, and in which order a folder is read."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Condition
from typing import Any

from core.domain import Domain
from core.errors import CancelledError, InvalidInputError
from data.duck import Cursor
from data.ingest import amazon_v3, calendar, console, exposition, profiles, sheet, table
from data.ingest.batch import Batch, Known, KnownSource
from data.ingest.facts import workspace
from data.ingest.quarantine import UNREADABLE, whole
from data.ingest.source import Source, downloaded, open_source

log = logging.getLogger(__name__)

SUFFIXES = (".gz", ".json", ".csv", ".tsv", ".xlsx", ".parquet", *exposition.SUFFIXES)
READERS = 2
"""Files read at a time: parsing one file keeps one core busy, loading another."""
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
    """Batches in the order of `plan`, read a few files ahead; load each before taking the next.

    `known` is asked only when all files before have been loaded. A file whose SHA-256 is among `loaded` is
    not read again: its batch is empty, of format "loaded". A file that cannot be read becomes a batch of
    one refusal; the others still come.
    """
    turns = _Turns()
    spare: SimpleQueue[Cursor] = SimpleQueue()

    def read_one(turn: int, path: Path, root: Path) -> Batch:
        source = open_source(path, as_of=as_of, profile=profile, mapping=mapping, root=root)
        if source.sha256 in loaded:
            return source.batch("loaded")
        cursor = spare.get()
        try:
            return _read_or_refuse(
                cursor, source, domain, lambda: known() if turns.wait(turn) else Known()
            )
        finally:
            spare.put(cursor)

    with ExitStack() as stack:
        for _ in range(READERS):
            spare.put(stack.enter_context(workspace()))
        pool = stack.enter_context(ThreadPoolExecutor(READERS))
        stack.callback(turns.stop)
        waiting: deque[Future[Batch]] = deque()
        for turn, (path, root) in enumerate(plan(paths, as_of=as_of).files):
            waiting.append(pool.submit(read_one, turn, path, root))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
                turns.next()
        while waiting:
            yield waiting.popleft().result()
            turns.next()


class _Turns:
    """How many batches were loaded; who reads ahead may wait until it is his turn."""

    def __init__(self) -> None:
        self._done = 0
        self._stopped = False
        self._change = Condition()

    def next(self) -> None:
        with self._change:
            self._done += 1
            self._change.notify_all()

    def stop(self) -> None:
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def wait(self, turn: int) -> bool:
        """True once `turn` batches are loaded; raises CancelledError when reading was given up."""
        with self._change:
            self._change.wait_for(lambda: self._done >= turn or self._stopped)
            if self._done < turn:
                raise CancelledError.of("import", "reading", "allowed to go on", "a stop")
        return True


def _read_or_refuse(cursor: Cursor, source: Source, domain: Domain, known: KnownSource) -> Batch:
    try:
        return _read(cursor, source, domain, known)
    except CancelledError:
        raise
    except UNREADABLE as error:
        log.info("%s was refused: %s", source.name, error)
        return replace(source.batch("unknown"), refused=(whole(source.name, error),))


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
