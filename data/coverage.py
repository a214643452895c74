"""What was delivered: per report, owner and day, and which days are partial."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.duck import Cursor, columns, statements
from data.hierarchy import Hierarchy
from data.panels import Bools, Ints, partial_days


@dataclass(frozen=True)
class Coverage:
    """One report's day: state "delivered", "partial" or "missing".

    as_of : newest download that spoke of the day (UTC); age_days : from the day to that download
    """

    report: str
    profile: str
    day: date
    state: str
    rows: int
    as_of: datetime | None
    age_days: int | None


@dataclass(frozen=True, eq=False)
class Deliveries:
    """Delivered days as known at a moment; `group` = level + levels × owner, as in `panels.Nodes`.

    delivered, partial : (n_group, n_day) bool from `first` on; carried : group → columns its files have
    """

    first: date
    table: dict[str, NDArray[Any]]
    group: Ints
    delivered: Bools
    partial: Bools
    carried: dict[int, set[str]]

    @property
    def days(self) -> int:
        return int(self.delivered.shape[1])


def read(cursor: Cursor, tenant: str, hierarchy: Hierarchy, as_of: datetime) -> Deliveries:
    """All deliveries of the hierarchy's levels known at `as_of`."""
    domain = hierarchy.domain
    table = columns(
        cursor,
        statements("read")["deliveries"],
        tenant=tenant,
        domain=domain.name,
        as_of=as_of,
        levels=list(domain.levels),
    )
    levels, owners = len(domain.levels), len(hierarchy.owners)
    numbers = {level: index for index, level in enumerate(domain.levels)}
    owner_of = {owner: index for index, owner in enumerate(hierarchy.owners)}
    level = np.array([numbers[name] for name in table["level"]], dtype=np.int64)
    owner = np.array([owner_of[name] for name in table["owner"]], dtype=np.int64)
    group = level + levels * owner
    days = table["day"].astype("datetime64[D]")
    first = days.min() if len(days) else np.datetime64("1970-01-01")
    start = date.fromisoformat(str(first))
    day = (days - first).astype(np.int64)
    shape = (levels * owners, int(day.max(initial=-1)) + 1)
    rows, volume = np.zeros(shape), np.zeros(shape)
    np.maximum.at(rows, (group, day), table["rows"].astype(np.float64))
    np.maximum.at(volume, (group, day), table["volume"])
    delivered = np.zeros(shape, dtype=bool)
    delivered[group, day] = True
    carried: dict[int, set[str]] = {}
    for number, names in set(zip(group.tolist(), table["carried"].tolist(), strict=True)):
        carried.setdefault(number, set()).update(names.split(","))
    partial = partial_days(rows, volume, delivered, np.arange(levels * owners) // levels)
    return Deliveries(start, table | {"day": days}, group, delivered, partial, carried)


def cells(deliveries: Deliveries) -> list[Coverage]:
    """Every report × owner over all days that any report covers from that report's first on."""
    table, last = deliveries.table, deliveries.days
    found: dict[tuple[str, str], dict[int, int]] = {}
    positions = (table["day"] - np.datetime64(deliveries.first)).astype(np.int64).tolist()
    for row, (report, owner, day) in enumerate(
        zip(table["report"].tolist(), table["owner"].tolist(), positions, strict=True)
    ):
        found.setdefault((report, owner), {})[day] = row
    covered = []
    for (report, owner), rows in found.items():
        for day in range(min(rows), last):
            when = deliveries.first + timedelta(days=day)
            if day not in rows:
                covered.append(
                    Coverage(report, owner.partition(":")[2], when, "missing", 0, None, None)
                )
                continue
            row = rows[day]
            state = "partial" if deliveries.partial[deliveries.group[row], day] else "delivered"
            as_of = table["as_of"][row].astype("datetime64[us]").item()
            age = (as_of.date() - when).days
            covered.append(
                Coverage(
                    report,
                    owner.partition(":")[2],
                    when,
                    state,
                    int(table["rows"][row]),
                    as_of,
                    age,
                )
            )
    return covered


def carried_columns(deliveries: Deliveries, groups: int, names: tuple[str, ...]) -> Bools:
    """(n_group, n_name): which columns each group's files have at all."""
    return np.array(
        [[name in deliveries.carried.get(group, ()) for name in names] for group in range(groups)],
        dtype=bool,
    ).reshape(groups, len(names))


def window(known: Bools, first: date, start: date, days: int) -> Bools:
    """The columns of `known` (days from `first`) for `days` days from `start`; False outside."""
    cut = np.zeros((known.shape[0], days), dtype=bool)
    offset = (start - first).days
    low, high = max(offset, 0), min(offset + days, known.shape[1])
    if low < high:
        cut[:, low - offset : high - offset] = known[:, low:high]
    return cut
