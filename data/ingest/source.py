"""A file to be read: its bytes' digest, when it was downloaded, what the user said about it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from core.errors import InvalidInputError
from data.ingest.batch import Batch, Samples

# A folder or file named by a date was downloaded that morning; noon UTC is that date in every market.
MORNING = time(12)
DATE = re.compile(r"(?<!\d)(\d{4}-\d\d-\d\d)(?!\d)")
BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Source:
    """One file. `as_of` is naive UTC; `profile` is "" where nobody said."""

    path: Path
    name: str
    sha256: str
    size: int
    head: bytes
    as_of: datetime
    profile: str = ""
    mapping: Mapping[str, Any] = field(default_factory=dict)

    def batch(self, format: str, **parts: Any) -> Batch:
        """A batch of this file."""
        return Batch(
            file=self.name,
            sha256=self.sha256,
            size=self.size,
            format=format,
            as_of=self.as_of,
            **parts,
        )

    def samples(self, format: str) -> Samples:
        """An empty batch of measurements of this file."""
        return Samples(self.name, self.sha256, self.size, format, self.as_of)


def open_source(
    path: Path,
    *,
    as_of: datetime | date | None = None,
    profile: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> Source:
    """Look at a file once: digest, size, beginning, download time."""
    mapping = mapping or {}
    told = profile or mapping.get("profile") or ""
    if told and not re.fullmatch(r"[A-Za-z0-9_-]+", str(told)):
        raise InvalidInputError.of("import", "the profile", "an id in letters and digits", told)
    digest, head, size = hashlib.sha256(), b"", 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            head = head or block[:4096]
            size += len(block)
            digest.update(block)
    name = str(path.relative_to(root)) if root else path.name
    return Source(
        path, name, digest.hexdigest(), size, head, downloaded(path, as_of), str(told), mapping
    )


def downloaded(path: Path, as_of: datetime | date | None = None) -> datetime:
    """When a file was downloaded, naive UTC: as told, else by its folder's or name's date, else now."""
    if isinstance(as_of, datetime):
        return as_of.astimezone(UTC).replace(tzinfo=None) if as_of.tzinfo else as_of
    if as_of is not None:
        return datetime.combine(as_of, MORNING)
    for folder in path.absolute().parents:
        if DATE.fullmatch(folder.name):
            return datetime.combine(date.fromisoformat(folder.name), MORNING)
    dates = DATE.findall(path.name)
    if len(dates) == 1:  # two are the report's range
        return datetime.combine(date.fromisoformat(dates[0]), MORNING)
    return datetime.now(UTC).replace(tzinfo=None)
