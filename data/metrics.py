"""The metrics store: observations of every tenant with their as-of history, in one DuckDB file."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.cases import Graph
from core.contracts import Floats, Panel, Periods
from core.domain import Domain
from core.errors import UnknownNameError
from data import batches, coverage, hierarchy, panels
from data.batches import BatchInfo, Loaded, table_of
from data.coverage import Coverage, Deliveries
from data.duck import Duck, columns, identifier, one, rows, statements
from data.hierarchy import NEWEST, Hierarchy
from data.ingest.batch import EDGES_WHOLE, Batch, Known, Refusal
from data.routing import TABLES as ROUTED
from data.routing import RoutingLog
from data.samples import TABLES as SAMPLED
from data.samples import SampleStore

END = datetime(9999, 12, 31, tzinfo=UTC).replace(tzinfo=None)
NO_DAY = np.iinfo(np.int64).max
LINKS = ("profile", "metric", "age_days", "reported", "next_reported")
TABLES = (
    *("entity", "description", "edge", "delivery", "event", "batch", "refusal"),
    *ROUTED,
    *SAMPLED,
)


@dataclass(frozen=True)
class CalendarEvent:
    """An expected event for `scope` (an entity id; "" = everything) and all below; both days included."""

    scope: str
    first: date
    last: date
    kind: str
    name: str


@dataclass(frozen=True)
class EntityInfo:
    """One entity as the newest statements describe it."""

    id: str
    level: str
    name: str
    status: str
    zone: str
    currency: str
    attributes: dict[str, str]


class MetricStore:
    """Append-only observations, entities, edges and deliveries; every batch can be undone exactly.

    One process owns the file; any of its threads may call. Times are UTC, days are local days.
    `as_of` asks what was known then: a moment, or a date for the end of that day; default: now.
    """

    def __init__(self, path: Path | str) -> None:
        self._duck = Duck(path)
        self._writing = threading.Lock()
        self._duck.run(lambda cursor: cursor.execute(statements("create")["tables"]))
        self.routing = RoutingLog(self._duck)
        self.samples = SampleStore(self._duck, self._writing)

    # ── import ───────────────────────────────────────────────────────────────────────────────────

    def load(self, tenant: str, domain: Domain, batch: Batch) -> Loaded:
        """Store one batch in one transaction; the same bytes a second time change nothing."""
        with self._writing:
            if found := batches.find(self._duck, tenant, batch):
                return found
            self._duck.check_space(batch.size + batch.observations.nbytes)
            batches.prepare(self._duck, domain)
            loaded = self._duck.transaction(
                lambda cursor: batches.load(cursor, tenant, domain, batch)
            )
            if loaded.new:
                batches.settle(self._duck, domain, loaded.new)
        return loaded

    def digests(self, tenant: str) -> dict[str, int]:
        """SHA-256 → batch of every file in force: what `read_many` need not read again."""
        found = self._ask("digests", tenant=tenant, whole=EDGES_WHOLE)
        return {row["sha256"]: row["id"] for row in found}

    def undo(self, tenant: str, batch_id: int) -> int:
        """Take back everything one batch brought; returns the observations removed."""
        with self._writing:
            return self._duck.transaction(lambda cursor: batches.undo(cursor, tenant, batch_id))

    def batches(self, tenant: str) -> list[BatchInfo]:
        """Every import, newest first, undone ones too."""
        parsed, moments = ("differences", "notes"), ("as_of", "loaded_at")
        return [
            BatchInfo(
                **row
                | {name: tuple(json.loads(row[name])) for name in parsed}
                | {name: row[name].replace(tzinfo=UTC) for name in moments}
            )
            for row in self._ask("batches", tenant=tenant)
        ]

    def refusals(self, tenant: str, batch_id: int, *, limit: int = 1000) -> list[Refusal]:
        """The refused cells of a batch, by line."""
        found = self._ask("refusals", tenant=tenant, batch=batch_id, limit=limit)
        return [Refusal(**row) for row in found]

    # ── panels ───────────────────────────────────────────────────────────────────────────────────

    def panel(
        self,
        tenant: str,
        domain: Domain,
        *,
        levels: Sequence[str] | None = None,
        entities: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
        until: date | None = None,
        days: int | None = None,
        as_of: datetime | date | None = None,
    ) -> Panel:
        """Metrics by entity and local day, upper levels rolled up, sorted by level and id.

        A day without a row is 0 where the entity's report was delivered complete; NaN where it was not,
        and before the entity's first row. At most `days` back from `until` (default: all, to the
        newest delivered), never before the first delivered day. Entities without any value are left out unless asked for by name.
        """
        names = tuple(metrics or (metric.name for metric in domain.metrics))
        additive = np.array([domain.metric(name).additive for name in names])
        wanted = [_level(domain, level) for level in levels or domain.levels]
        moment = _moment(as_of)
        tree, delivered = self._world(tenant, domain, moment)
        first, length = _span(delivered, until, days)
        nodes = panels.Nodes(tree.level, tree.owner, len(domain.levels), len(tree.owners))
        pairs = tree.pairs(first, length)
        asked = (
            None
            if entities is None
            else np.array([tree.find(name) for name in entities], dtype=np.int64)
        )
        needed = np.arange(len(tree.ids))
        if asked is not None:
            needed = np.union1d(asked, pairs.child[np.isin(pairs.parent, asked)])
        values, seen, first_day = self._cells(tenant, tree, needed, names, first, length, moment)
        partial = coverage.window(delivered.partial, delivered.first, first, length)
        complete = coverage.window(delivered.delivered, delivered.first, first, length) & ~partial
        carried = coverage.carried_columns(delivered, nodes.groups, names)
        panels.fill_zeros(values, seen, complete, first_day, carried, nodes.group)
        reported = first_day < NO_DAY
        panels.roll_up(values, reported, partial, nodes, pairs)
        values[np.ix_(~reported, np.ones(length, dtype=bool), ~additive)] = np.nan
        if asked is None:
            valued = ~np.isnan(values).all(axis=(1, 2))
            asked = np.flatnonzero(valued & np.isin(tree.level, wanted))
        return _panel(values[asked], tree, asked, names, first)

    def series(
        self,
        tenant: str,
        domain: Domain,
        entity: str,
        *,
        until: date | None = None,
        days: int | None = None,
        as_of: datetime | date | None = None,
    ) -> Panel:
        """The panel of one entity."""
        return self.panel(tenant, domain, entities=(entity,), until=until, days=days, as_of=as_of)

    def settings(
        self,
        tenant: str,
        domain: Domain,
        *,
        until: date | None = None,
        days: int | None = None,
        as_of: datetime | date | None = None,
    ) -> Panel:
        """What was set, by entity and day, NaN where a day's report did not say.

        Status is 1 enabled, 0 paused, −1 archived. Only entities with any setting.
        """
        moment = _moment(as_of)
        tree, delivered = self._world(tenant, domain, moment)
        first, length = _span(delivered, until, days)
        everyone = np.arange(len(tree.ids))
        values, _, _ = self._cells(tenant, tree, everyone, domain.settings, first, length, moment)
        chosen = np.flatnonzero(~np.isnan(values).all(axis=(1, 2)))
        return _panel(values[chosen], tree, chosen, domain.settings, first)

    def maturity(
        self, tenant: str, domain: Domain, *, as_of: datetime | date | None = None
    ) -> dict[str, NDArray[Any]]:
        """How figures grew from one morning to the next, as `core.features.maturity` learns from it.

        Equally long columns profile, metric, age_days, reported, next_reported: sums over the same cells at
        the highest level that reports, as told at that age and a day later.
        """
        moment = _moment(as_of)
        _, delivered = self._world(tenant, domain, moment)
        reporting = np.flatnonzero(delivered.delivered.any(axis=1)) % len(domain.levels)
        names = [metric.name for metric in domain.metrics if metric.additive]
        if not len(reporting):
            return {name: np.zeros(0) for name in LINKS}
        level = domain.levels[reporting.min()]
        sql = statements("read")["links"].format(
            table=table_of(domain.name),
            latest="".join(f', arg_max(o."{name}", o.batch) AS "{name}"' for name in names),
            sums="".join(
                f', sum(a."{name}") FILTER (b."{name}" IS NOT NULL) AS "{name}_now"'
                f', sum(b."{name}") FILTER (a."{name}" IS NOT NULL) AS "{name}_next"'
                for name in names
            ),
        )
        scope = {"tenant": tenant, "domain": domain.name, "as_of": moment}
        links = self._duck.run(lambda cursor: columns(cursor, sql, **scope, level=level))
        now, then = (
            np.concatenate(
                [np.ma.filled(links[f"{name}_{when}"].astype(np.float64), np.nan) for name in names]
            )
            for when in ("now", "next")
        )
        # sums come in the order in which threads end; what is left of that is far below a cent
        now, then = np.round(now, 6), np.round(then, 6)
        known = ~np.isnan(now) & ~np.isnan(then)
        told = (
            np.tile(links["owner"], len(names)),
            np.repeat(names, len(links["owner"])),
            np.tile(links["age"], len(names)),
            now,
            then,
        )
        return {name: column[known] for name, column in zip(LINKS, told, strict=True)}

    # ── structure ────────────────────────────────────────────────────────────────────────────────

    def graph(self, tenant: str, domain: Domain, *, at: date | None = None) -> Graph:
        """The hierarchy valid at `at` (default: the newest): nodes level, name, status, zone, currency."""
        return self._tree(tenant, domain).graph(at)

    def entity(self, tenant: str, domain: Domain, entity: str) -> EntityInfo:
        """One entity; an unknown id is refused."""
        tree = self._tree(tenant, domain)
        position = tree.find(entity)
        fields = {name: texts[position] for name, texts in tree.fields.items()}
        return EntityInfo(
            id=entity,
            level=domain.levels[tree.level[position]],
            name=fields["name"] or entity.partition(":")[2],
            status=fields["status"],
            zone=fields["zone"],
            currency=fields["currency"],
            attributes=hierarchy.attributes(fields["attributes"]),
        )

    def children(self, tenant: str, domain: Domain, entity: str) -> tuple[str, ...]:
        """Direct children today."""
        graph = self.graph(tenant, domain)
        if entity not in graph.net:
            raise UnknownNameError.of("metrics", "the entity", "a known one", entity)
        return graph.children(entity)

    def search(
        self, tenant: str, domain: Domain, text: str, *, limit: int = 50
    ) -> list[dict[str, str]]:
        """Entities whose name or id contains `text`: id, level, name; search terms too."""
        sql = statements("read")["search"].format(newest=NEWEST)
        values = {"tenant": tenant, "domain": domain.name, "text": text, "limit": limit}
        return self._duck.run(lambda cursor: rows(cursor, sql, **values))

    def known(self, tenant: str, domain: Domain) -> Known:
        """Names and ids already stored, for files that carry no ids or no profile."""
        return self._tree(tenant, domain).known()

    def coverage(
        self, tenant: str, domain: Domain, *, as_of: datetime | date | None = None
    ) -> list[Coverage]:
        """Per report, profile and day: delivered, partial or missing, with rows and age."""
        return coverage.cells(self._world(tenant, domain, _moment(as_of))[1])

    def calendar(
        self, tenant: str, domain: Domain, *, as_of: datetime | date | None = None
    ) -> list[CalendarEvent]:
        """Expected events, by first day."""
        found = self._ask("events", tenant=tenant, domain=domain.name, as_of=_moment(as_of))
        return [CalendarEvent(**row) for row in found]

    def newest(self, tenant: str, domain: Domain) -> datetime | None:
        """When the newest figures were downloaded (UTC), None before the first import."""
        found: datetime | None = self._ask(
            "newest", tenant=tenant, domain=domain.name, levels=list(domain.levels)
        )[0]["as_of"]
        return None if found is None else found.replace(tzinfo=UTC)

    def holdings(self) -> list[tuple[str, str]]:
        """(tenant, domain) of everybody whose figures are here."""
        return [(row["tenant"], row["domain"]) for row in self._ask("holdings")]

    # ── the file ─────────────────────────────────────────────────────────────────────────────────

    def version(self, tenant: str) -> str:
        """Changes with every load and undo, and with what a person says of a metric: a cache key."""
        return "-".join(str(value) for value in self._ask("version", tenant=tenant)[0].values())

    def snapshot(self, folder: Path) -> Path:
        """Every table as Parquet in a new `folder`, complete or not there at all; returns it."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".snapshot-") as place:
            inner = Path(place) / folder.name
            inner.mkdir()

            def copy(cursor: Any) -> None:
                sql = statements("read")
                tables = [row["name"] for row in rows(cursor, sql["observation_tables"])]
                for table in (*TABLES, *tables):
                    target = str(inner / f"{identifier(table)}.parquet")
                    cursor.execute(sql["copy"].format(table=table), {"file": target})

            self._duck.transaction(copy)
            inner.rename(folder)
        return folder

    def check(self) -> None:
        """A real query: a probe that only pings would call a broken file healthy."""
        self._duck.run(lambda cursor: one(cursor, statements("read")["health"]))

    def close(self) -> None:
        self._duck.close()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _ask(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        return self._duck.run(lambda cursor: rows(cursor, statements("read")[statement], **values))

    def _tree(self, tenant: str, domain: Domain, as_of: datetime = END) -> Hierarchy:
        return self._duck.run(lambda cursor: hierarchy.read(cursor, tenant, domain, as_of))

    def _world(self, tenant: str, domain: Domain, as_of: datetime) -> tuple[Hierarchy, Deliveries]:
        tree = self._tree(tenant, domain, as_of)
        return tree, self._duck.run(lambda cursor: coverage.read(cursor, tenant, tree, as_of))

    def _cells(
        self,
        tenant: str,
        tree: Hierarchy,
        needed: NDArray[np.int64],
        names: tuple[str, ...],
        first: date,
        length: int,
        as_of: datetime,
    ) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
        """Values as known (n_entity, n_day, n_name), which cells had a row, first day with any."""
        sql, shape = statements("read"), (len(tree.ids), length)
        first_day = np.full(len(tree.ids), NO_DAY)
        present = self._ask("columns", table=table_of(tree.domain.name))
        missing = {*names} - {row["name"] for row in present}
        if not len(needed) or not length or missing:
            nothing = np.zeros(0, dtype=np.int64)
            return *panels.place(nothing, nothing, np.zeros((0, len(names))), shape), first_day
        scope = {"tenant": tenant, "as_of": as_of, "keys": tree.keys[needed].tolist()}
        latest = "".join(f', arg_max("{identifier(name)}", {NEWEST}) AS "{name}"' for name in names)
        statement = sql["values"].format(table=table_of(tree.domain.name), latest=latest)
        last = first + timedelta(days=length - 1)
        found = self._duck.run(
            lambda cursor: columns(cursor, statement, **scope, first=first, last=last)
        )
        statement = sql["first_days"].format(table=table_of(tree.domain.name))
        begun = self._duck.run(lambda cursor: columns(cursor, statement, **scope))
        cells = np.stack([np.ma.filled(found[name], np.nan) for name in names], axis=1)
        values, seen = panels.place(
            tree.place[found["entity"]], found["day"].astype(np.int64), cells, shape
        )
        day = (begun["day"].astype("datetime64[D]") - np.datetime64(first)).astype(np.int64)
        first_day[tree.place[begun["entity"]]] = np.maximum(day, 0)
        return values, seen, first_day


def _level(domain: Domain, level: str) -> int:
    if level not in domain.levels:
        raise UnknownNameError.of("metrics", "a level", f"one of {', '.join(domain.levels)}", level)
    return domain.levels.index(level)


def _moment(as_of: datetime | date | None) -> datetime:
    """Naive UTC; a date means the end of that day, None means everything known."""
    if as_of is None:
        return END
    if not isinstance(as_of, datetime):
        return datetime.combine(as_of, time.max)
    return as_of.astimezone(UTC).replace(tzinfo=None) if as_of.tzinfo else as_of


def _span(delivered: Deliveries, until: date | None, days: int | None) -> tuple[date, int]:
    """First day and number of days of a panel."""
    if not delivered.days:
        return until or date(1970, 1, 1), 0
    last = until or delivered.first + timedelta(days=delivered.days - 1)
    first = delivered.first
    if days is not None:
        # never before there was anything: an account of two months has no four
        first = max(first, last - timedelta(days=days - 1))
    return first, max((last - first).days + 1, 0)


def _panel(
    values: Floats,
    tree: Hierarchy,
    positions: NDArray[np.int64],
    names: tuple[str, ...],
    first: date,
) -> Panel:
    start = np.datetime64(first, "s")
    step = np.timedelta64(1, "D")
    return Panel(
        values,
        tuple(tree.ids[position] for position in positions),
        names,
        Periods(start + np.arange(values.shape[1]) * step, step),
        zones=tuple(tree.fields["zone"][position] for position in positions),
    )
