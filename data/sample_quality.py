"""What the stored samples of a domain tell of their own quality: aggregated where they lie, one row per series."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats
from core.domain import Domain
from core.domains import conventions
from core.evaluate.data_quality import ABSURD, TOLERANCE, Hole, Series
from data.duck import Cursor, Duck, columns, one, rows, statements

SAMPLES = 8_000_000
"""Samples that are looked at one by one; of more, every so many series is taken."""
HOLES = 40
HOUR = timedelta(hours=1)
INTEGERS = ("samples", "uneven", "missing", "beyond", "lone", "absurd")
FLOATS = ("first", "last", "usual", "worst", "worst_at")


@dataclass(frozen=True, eq=False)
class Presence:
    """Which share of each hour anybody's of an expected metric was measured: shares (n_name, n_hour).

    due : (n_hour,) samples that each hour should have
    """

    names: tuple[str, ...]
    hours: NDArray[np.datetime64]
    shares: Floats
    due: Floats


@dataclass(frozen=True, eq=False)
class Sampled:
    """What was looked at of a window: every `every`-th series of `samples` in all; `corrected` were told otherwise."""

    series: Series
    holes: tuple[Hole, ...]
    samples: int
    every: int
    corrected: int


def presence(
    duck: Duck,
    tenant: str,
    domain: Domain,
    names: tuple[str, ...],
    window: tuple[datetime, datetime],
    seconds: float,
) -> Presence:
    """The expected metrics hour by hour over a window; `seconds` is the usual step, a minute at least counts."""
    scope = _scope(tenant, domain, window)
    found = duck.run(lambda cursor: columns(cursor, statements("quality")["hours"], **scope))
    start = np.datetime64(window[0].replace(minute=0, second=0, microsecond=0, tzinfo=None), "h")
    stop = np.datetime64(window[1].replace(tzinfo=None), "us")
    many = max(1, int(np.ceil((stop - start) / np.timedelta64(1, "h"))))
    hours = start + np.arange(many)
    place = {name: row for row, name in enumerate(names)}
    metric = found["metric"].astype(str)
    known = {one: place.get(one, place.get(conventions.family(one))) for one in np.unique(metric)}
    row = np.array([-1 if known[one] is None else known[one] for one in metric], dtype=np.int64)
    column = (found["hour"].astype("datetime64[h]") - start).astype(np.int64)
    kept = (row >= 0) & (column >= 0) & (column < many)
    minutes = np.zeros((len(names), many))
    np.maximum.at(minutes, (row[kept], column[kept]), found["minutes"][kept].astype(np.float64))
    due = _due(window, hours, seconds)
    return Presence(names, hours, np.minimum(minutes / due, 1.0), due)


def _due(
    window: tuple[datetime, datetime], hours: NDArray[np.datetime64], seconds: float
) -> Floats:
    """(n_hour,) minutes of each hour of the window in which a sample is due."""
    first, last = (np.datetime64(moment.replace(tzinfo=None), "us") for moment in window)
    from_ = np.maximum(hours.astype("datetime64[us]"), first)
    to = np.minimum((hours + 1).astype("datetime64[us]"), last)
    return np.maximum((to - from_) / np.timedelta64(1, "s") / max(seconds, 60.0), 1.0)


def sampled(duck: Duck, tenant: str, domain: Domain, window: tuple[datetime, datetime]) -> Sampled:
    """Every series of a window, or every so many where there are too many samples."""
    sql, scope = statements("quality"), _scope(tenant, domain, window)

    def read(cursor: Cursor) -> Sampled:
        many = int(one(cursor, sql["size"], **scope))
        every = max(1, -(-many // SAMPLES))
        again = one(cursor, statements("samples")["repeated"], **scope)
        once = (
            ("arg_max(v.value, v.batch)", "GROUP BY v.series, v.moment")
            if again
            else ("v.value", "")
        )
        cursor.execute(sql["chosen"].format(value=once[0], once=once[1]), scope | {"every": every})
        cursor.execute(sql["fences"])
        looked = {"tenant": tenant, "tolerance": TOLERANCE}
        found = columns(cursor, sql["series"], **looked, absurd=ABSURD)
        holes = rows(cursor, sql["holes"], **looked, most=HOLES)
        corrected = int(one(cursor, sql["corrected"], **scope)) if again else 0
        for table in ("chosen", "stepped", "fence"):
            cursor.execute(f"DROP TABLE {table}")
        series = Series(
            entity=found["entity"],
            metric=found["metric"],
            **{name: found[name].astype(np.int64) for name in INTEGERS},
            **{name: np.ma.filled(found[name], np.nan).astype(np.float64) for name in FLOATS},
        )
        told = [
            Hole(hole["start"], hole["stop"], hole["series"], hole["missing"], hole["example"])
            for hole in holes
        ]
        return Sampled(series, tuple(told), many, every, corrected)

    return duck.run(read)


def _scope(tenant: str, domain: Domain, window: tuple[datetime, datetime]) -> dict[str, object]:
    first, last = (moment.astimezone(UTC).replace(tzinfo=None) for moment in window)
    return {"tenant": tenant, "domain": domain.name, "first": first, "last": last}
