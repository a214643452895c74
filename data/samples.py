"""Measurements of running systems at moments: who was measured, of what, and what calls what."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import networkx as nx
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.cases import Graph
from core.contracts import Floats, Panel, Periods, Times
from core.domain import Domain
from core.domains import conventions
from core.errors import InvalidInputError, UnknownNameError
from data import batches, sample_loading, sample_quality, sample_retention
from data.batches import Loaded
from data.coverage import Coverage
from data.duck import Cursor, Duck, columns, one, rows, statements
from data.ingest.batch import EDGES_WHOLE, Samples
from data.sample_loading import SAMPLE_BYTES, OnPiece
from data.sample_quality import Presence, Sampled
from data.sample_retention import Forgotten, Spans

TABLES = ("series", "sample", "sampling", "component", "dependency", "measure", "forgotten")
CALL = "→"
AT_ONCE = 8_000_000
"""Samples that are read at a time."""
# Of a day's minutes, how many must be there for it to count as whole.
WHOLE = 0.95
# A pod is what a service is made of: what ails it reaches the service. Elsewhere the whole reaches its parts.
UPWARD = (("pod", "service"),)

Words = Mapping[str, list[tuple[str, Mapping[str, Any]]]]
Moment = datetime | np.datetime64
"""An aware or naive (UTC) datetime, or a datetime64 in UTC."""


@dataclass(frozen=True)
class MetricInfo:
    """A metric as stored. `bad` is the direction that hurts: 1 rise, −1 fall, 0 either.

    nature    : gauge (a level), counter (stored as its rate per second) or histogram (stored as quantiles)
    entities  : how many have it; first, last (UTC) bound its samples; interval_seconds is the usual step
    said_by   : who told unit and direction: hand, domain, source or name (a guess)
    """

    name: str
    label: str
    unit: str
    bad: int
    nature: str
    entities: int
    first: datetime
    last: datetime
    interval_seconds: float
    samples: int
    said_by: str


@dataclass(frozen=True)
class Component:
    """Something that runs, as the newest statement describes it; `parent` is the id of what it belongs to."""

    id: str
    level: str
    name: str
    parent: str
    attributes: Mapping[str, str]


class SampleStore:
    """Series of (entity, metric), the components measured, and their dependencies.

    An entity is `level:name`, a call between two is `caller→callee`. Of samples of the same series and time the
    newest batch's counts; taking a batch back restores what was before. Values are as stored: rates per second of
    counters, quantiles of histograms. Times are UTC.
    """

    def __init__(self, duck: Duck, writing: threading.Lock) -> None:
        self._duck = duck
        self._writing = writing
        tables = "".join(statements(part)["tables"] for part in ("samples", "retention"))
        duck.run(lambda cursor: cursor.execute(tables))
        table = {"table": "dependency"}
        present = duck.run(lambda cursor: rows(cursor, statements("read")["columns"], **table))
        if "valid_to" not in {row["name"] for row in present}:
            duck.transaction(lambda cursor: cursor.execute(statements("samples")["bounded"]))
            # replaying a schema change from the log after a crash has broken files: leave none in the log
            duck.checkpoint()

    # ── import ───────────────────────────────────────────────────────────────────────────────────

    def load(
        self, tenant: str, domain: Domain, batch: Samples, on_piece: OnPiece = lambda _: None
    ) -> Loaded:
        """Store one batch, piece by piece in one transaction; the same bytes a second time change nothing.

        on_piece : is told after each piece how many samples have come; what it raises takes all of them back
        """
        with self._writing:
            if found := batches.find(self._duck, tenant, batch):
                return found
            self._duck.check_space(batch.size + SAMPLE_BYTES * batch.rows)
            before = self._edges_told(tenant, domain, batch)
            loaded = self._duck.transaction(
                lambda cursor: sample_loading.load(cursor, tenant, domain, batch, on_piece)
            )
            ended = before - self._edges_told(tenant, domain, batch)
            return replace(loaded, notes=sample_loading.ended(len(ended), batch))

    def loaded(self, tenant: str, sha256: str) -> int | None:
        """The number of the batch of these bytes, where it is in force."""
        sql, told = statements("load")["loaded"], {"as_of": None, "whole": EDGES_WHOLE}
        found = self._duck.run(
            lambda cursor: rows(cursor, sql, tenant=tenant, sha256=sha256, **told)
        )
        return found[0]["id"] if found else None

    def declare(
        self,
        tenant: str,
        domain: Domain,
        metric: str,
        *,
        label: str | None = None,
        unit: str | None = None,
        bad: int | None = None,
        nature: str | None = None,
    ) -> None:
        """Say what a metric is; a person's word stands above every file's. None leaves a field to the others."""
        if metric not in {row["metric"] for row in self._ask("entities", tenant, domain)}:
            raise UnknownNameError.of("samples", "the metric", "one that was measured", metric)
        if bad not in (None, -1, 0, 1):
            raise InvalidInputError.of(
                metric, "the bad direction", "1 (rise), -1 (fall) or 0 (either)", bad
            )
        if nature not in (None, *conventions.NATURES):
            rule = f"one of {', '.join(conventions.NATURES)}"
            raise InvalidInputError.of(metric, "the nature", rule, nature)
        sql, key = (
            statements("samples"),
            {"tenant": tenant, "domain": domain.name, "metric": metric},
        )
        said = {"label": label, "unit": unit, "bad": bad, "nature": nature}

        def work(cursor: Cursor) -> None:
            cursor.execute(sql["withdraw"], key)
            cursor.execute(sql["declare"], key | said)

        with self._writing:
            self._duck.transaction(work)

    def by_hand(self, tenant: str, domain: Domain, metric: str) -> dict[str, Any]:
        """What a person said of a metric: label, unit, bad, nature, each None where nothing was said."""
        told = [
            row
            for row in self._ask("said", tenant, domain)
            if row["by_hand"] and row["metric"] == metric
        ]
        fields = ("label", "unit", "bad", "nature")
        return {name: told[0][name] if told else None for name in fields}

    # ── figures ──────────────────────────────────────────────────────────────────────────────────

    def panel(
        self,
        tenant: str,
        domain: Domain,
        *,
        start: Moment,
        end: Moment,
        step: np.timedelta64 | None = None,
        entities: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
    ) -> Panel:
        """Means by entity, period and metric, NaN where nothing was measured; periods start at multiples of `step`.

        Covers [start, end) in whole periods of `step` (default: the domain's). Every stored value is a level, a rate
        or a quantile, so a longer period takes the mean of what was measured in it and the unit stays. Entities and
        metrics without any value are left out unless asked for by name; an unknown name is refused.
        """
        series = self._series(tenant, domain, calls=False)
        if levels is not None:
            kept = np.isin([entity.partition(":")[0] for entity in series.entity], list(levels))
            series = series.select(kept)
        return self._panel(
            tenant, domain, series, (start, end), step or domain.step, entities, metrics
        )

    def calls(
        self,
        tenant: str,
        domain: Domain,
        *,
        start: Moment,
        end: Moment,
        step: np.timedelta64 | None = None,
    ) -> Panel:
        """The same of calls: entities are `caller→callee`."""
        series = self._series(tenant, domain, calls=True)
        return self._panel(tenant, domain, series, (start, end), step or domain.step, None, None)

    def raw(
        self, tenant: str, domain: Domain, entity: str, metric: str, start: Moment, end: Moment
    ) -> tuple[Times, Floats]:
        """The samples of one series in [start, end): times (datetime64[s]) and values, by time."""
        series = self._series(tenant, domain, calls=CALL in entity)
        series = series.select(
            _known(series.entity, (entity,), "the entity")
            & _known(series.metric, (metric,), "the metric")
        )
        if not len(series.key):
            raise UnknownNameError.of(entity, "the metric", "one that it has", metric)
        found = self._values(tenant, domain, series.key, _moment(start), _moment(end))
        order = np.argsort(found["moment"], kind="stable")
        return found["moment"][order].astype("datetime64[s]"), found["value"][order]

    def span(self, tenant: str, domain: Domain) -> tuple[datetime, datetime] | None:
        """The first and the last moment measured (UTC), None before the first import."""
        found = self._ask("span", tenant, domain)[0]
        if found["first"] is None:
            return None
        return found["first"].replace(tzinfo=UTC), found["last"].replace(tzinfo=UTC)

    def arrived(self, tenant: str, domain: Domain, *, after: int) -> tuple[int, datetime | None]:
        """The newest batch (0 = none), and the first moment (UTC) that those after the batch `after` measured."""
        (found,) = self._ask("arrived", tenant, domain, after=after)
        first = found["first"]
        return int(found["newest"]), None if first is None else first.replace(tzinfo=UTC)

    def coverage(self, tenant: str, domain: Domain, *, days: int) -> list[Coverage]:
        """Per metric and day of the last `days` from its first on: measured throughout, partly or not at all, up to
        the last moment of all. A minute counts where anybody's was measured: who comes and goes makes no gap.
        """
        span = self.span(tenant, domain)
        if span is None:
            return []
        last = span[1].date()
        first = max(span[0].date(), last - timedelta(days=days - 1))
        begun = datetime.combine(first, time.min)
        found = {
            (row["metric"], row["day"]): row
            for row in self._ask("days", tenant, domain, first=begun)
        }
        covered = []
        for info in self.metrics(tenant, domain):
            begun_day = max(first, info.first.date())
            for back in range((last - begun_day).days, -1, -1):
                day = last - timedelta(days=back)
                midnight = datetime.combine(day, time.min, UTC)
                within = min(span[1], midnight + timedelta(days=1)) - max(span[0], midnight)
                expected = within.total_seconds() / max(info.interval_seconds, 60.0)
                row = found.get((info.name, day))
                whole = row is not None and row["minutes"] >= WHOLE * expected
                state = "missing" if row is None else "delivered" if whole else "partial"
                told = None if row is None else row["last"]
                many = 0 if row is None else row["rows"]
                covered.append(Coverage(info.name, "", day, state, many, told, None))
        return covered

    def presence(
        self,
        tenant: str,
        domain: Domain,
        names: Sequence[str],
        *,
        start: datetime,
        end: datetime,
        seconds: float,
    ) -> Presence:
        """Hour by hour, which share of [start, end) each named metric, whole or in parts, was measured every `seconds`."""
        window = (start, end)
        return sample_quality.presence(self._duck, tenant, domain, tuple(names), window, seconds)

    def sampled(self, tenant: str, domain: Domain, *, start: datetime, end: datetime) -> Sampled:
        """What the samples of [start, end) tell of their steps, holes and values, a row per series."""
        return sample_quality.sampled(self._duck, tenant, domain, (start, end))

    # ── structure ────────────────────────────────────────────────────────────────────────────────

    def metrics(self, tenant: str, domain: Domain, entity: str = "") -> list[MetricInfo]:
        """Every metric that was measured, of one entity where it is named, by name."""
        if entity:
            found = self._ask("metrics_of", tenant, domain, entity=entity)
            if not found:
                raise UnknownNameError.of("samples", "the entity", "one that was measured", entity)
        else:
            found = self._ask("metrics", tenant, domain)
        measured = {row["metric"]: row["entities"] for row in self._ask("entities", tenant, domain)}
        words = self._told(tenant, domain)
        return [
            MetricInfo(
                name=row["metric"],
                entities=1 if entity else measured.get(row["metric"], 0),
                first=row["first"].replace(tzinfo=UTC),
                last=row["last"].replace(tzinfo=UTC),
                interval_seconds=row["seconds"],
                samples=row["rows"],
                **_described(row["metric"], words),
            )
            for row in found
            if entity or row["metric"] in measured
        ]

    def components(self, tenant: str, domain: Domain) -> list[Component]:
        """Everything that was described or measured, by id."""
        found = {
            row["id"]: Component(
                row["id"],
                row["level"],
                row["name"] or row["id"].partition(":")[2],
                row["parent"] or "",
                json.loads(row["attributes"] or "{}"),
            )
            for row in self._ask("components_known", tenant, domain)
        }
        for row in self._ask("sampled_entities", tenant, domain):
            level, _, name = row["entity"].partition(":")
            found.setdefault(row["entity"], Component(row["entity"], level, name, "", {}))
        return [found[id] for id in sorted(found)]

    def graph(self, tenant: str, domain: Domain, *, at: datetime | None = None) -> Graph:
        """What reaches what at a moment (default: now): edges from cause to effect with `kind` (calls, part or what
        a file said).

        Of edge files of one name the newest told by then counts, before any was told the first; an edge with
        bounds of its own holds within them. Callee → caller as told; a component and its parent: pod → service, elsewhere parent → child. Nodes carry
        level, name and parent. There may be cycles.
        """
        net: nx.DiGraph[str] = nx.DiGraph()
        known = self.components(tenant, domain)
        for thing in known:
            net.add_node(thing.id, level=thing.level, name=thing.name, parent=thing.parent)
        for (source, target), kind in self._edges(tenant, domain, at).items():
            for end in (source, target):
                if end not in net:
                    level, _, name = end.partition(":")
                    net.add_node(end, level=level, name=name, parent="")
            net.add_edge(source, target, kind=kind)
        for thing in known:
            if thing.parent in net:
                up = (thing.level, net.nodes[thing.parent]["level"]) in UPWARD
                edge = (thing.id, thing.parent) if up else (thing.parent, thing.id)
                if edge not in net.edges:
                    net.add_edge(*edge, kind="part")
        return Graph(net)

    def graph_changes(self, tenant: str, domain: Domain) -> list[datetime]:
        """The moments (UTC), ascending, from which on other edges may hold; between two of them the graph is one."""
        found = self._ask("dependency_changes", tenant, domain, whole=EDGES_WHOLE)
        return [row["moment"].replace(tzinfo=UTC) for row in found if row["moment"]]

    def news(self, tenant: str, domain: Domain, batch: Samples) -> Samples:
        """The batch without what it would only say again of components, dependencies and metrics."""
        components = {
            (thing.id, thing.name, thing.parent) for thing in self.components(tenant, domain)
        }
        described = {row["id"] for row in self._ask("components_known", tenant, domain)}
        edges = self._edges(tenant, domain, None)
        said = {
            (row["metric"], row["label"], row["unit"], row["bad"], row["nature"])
            for row in self._ask("said", tenant, domain)
            if not row["by_hand"]
        }
        known: dict[str, Callable[[Mapping[str, Any]], bool]] = {
            "components": lambda row: (
                row["id"] in described
                and (row["id"], row["name"], row["parent"] or "") in components
            ),
            "dependencies": lambda row: (row["source"], row["target"]) in edges,
            "measures": lambda row: tuple(row.values()) in said,
        }
        fresh = {
            name: pa.Table.from_pylist(
                [row for row in getattr(batch, name).to_pylist() if not is_known(row)],
                getattr(batch, name).schema,
            )
            for name, is_known in known.items()
        }
        return replace(batch, **fresh)

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────

    def past_keeping(
        self, tenant: str, domain: Domain, before: datetime, held: Spans
    ) -> dict[datetime, int]:
        """Day → samples from before `before` outside the times `held`, the earliest day first."""
        return sample_retention.due(self._duck, tenant, domain, before, held)

    def forget(
        self, tenant: str, domain: Domain, before: datetime, held: Spans, day: datetime
    ) -> int:
        """Drop what `past_keeping` tells of one day, in one transaction; returns the samples that went."""
        with self._writing:
            return sample_retention.forget_day(self._duck, tenant, domain, before, held, day)

    def forget_unmeasured(self, tenant: str, domain: Domain) -> None:
        """Drop series that no sample is left of, and from the graph whoever has no other."""
        with self._writing:
            sample_retention.forget_unmeasured(self._duck, tenant, domain)

    def forgotten(self, tenant: str, domain: Domain) -> Forgotten | None:
        """The newest clean-up that dropped something."""
        return sample_retention.last(self._duck, tenant, domain)

    def holdings(self) -> list[tuple[str, str]]:
        """(tenant, domain) of everybody whose measurements are here."""
        sql = statements("samples")["holdings"]
        found = self._duck.run(lambda cursor: rows(cursor, sql))
        return [(row["tenant"], row["domain"]) for row in found]

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _ask(
        self, statement: str, tenant: str, domain: Domain, **values: Any
    ) -> list[dict[str, Any]]:
        sql = statements("samples")[statement]
        key = {"tenant": tenant, "domain": domain.name} | values
        return self._duck.run(lambda cursor: rows(cursor, sql, **key))

    def _edges(
        self, tenant: str, domain: Domain, at: datetime | None
    ) -> dict[tuple[str, str], str]:
        """(source, target) → kind of what holds at a moment (default: now)."""
        # what was told today counts now, though a folder's day is taken for its noon
        told_by = _moment(at or datetime.max.replace(tzinfo=UTC))
        moment = _moment(at or datetime.now(UTC))
        when = {"moment": moment, "told_by": told_by, "whole": EDGES_WHOLE}
        found = self._ask("dependencies_at", tenant, domain, **when)
        return {(row["source"], row["target"]): row["kind"] for row in found}

    def _edges_told(self, tenant: str, domain: Domain, batch: Samples) -> set[tuple[str, str]]:
        """What holds now, where a batch tells of all edges; nothing for any other batch."""
        return set(self._edges(tenant, domain, None)) if batch.report == EDGES_WHOLE else set()

    def _told(self, tenant: str, domain: Domain) -> Words:
        """What is said of each metric, the strongest word first."""
        said: dict[str, dict[str, dict[str, Any]]] = {}
        for row in self._ask("said", tenant, domain):
            speaker = "hand" if row.pop("by_hand") else "source"
            said.setdefault(row.pop("metric"), {})[speaker] = row
        for metric in domain.metrics:
            declared = {"label": metric.label, "unit": metric.unit, "bad": metric.bad}
            said.setdefault(metric.name, {})["domain"] = declared
        speakers = ("hand", "domain", "source")
        return {
            metric: [(speaker, told[speaker]) for speaker in speakers if speaker in told]
            for metric, told in said.items()
        }

    def _series(self, tenant: str, domain: Domain, *, calls: bool) -> _Series:
        sql = statements("samples")["known_series"]
        key = {"tenant": tenant, "domain": domain.name}
        found = self._duck.run(lambda cursor: columns(cursor, sql, **key))
        series = _Series(found["key"].astype(np.int64), found["entity"], found["metric"])
        is_call = np.array([CALL in entity for entity in series.entity], dtype=bool)
        return series.select(is_call == calls)

    def _values(
        self, tenant: str, domain: Domain, keys: NDArray[np.int64], first: datetime, last: datetime
    ) -> dict[str, NDArray[Any]]:
        sql, scope = statements("samples"), {"tenant": tenant, "first": first, "last": last}

        def read(cursor: Cursor) -> dict[str, NDArray[Any]]:
            again = one(cursor, sql["repeated"], domain=domain.name, **scope)
            statement = sql["newest_values" if again else "values"]
            return columns(cursor, statement, keys=keys.tolist(), **scope)

        return self._duck.run(read)

    def _panel(
        self,
        tenant: str,
        domain: Domain,
        series: _Series,
        window: tuple[Moment, Moment],
        step: np.timedelta64,
        entities: Sequence[str] | None,
        metrics: Sequence[str] | None,
    ) -> Panel:
        seconds = int(step / np.timedelta64(1, "s"))
        first = int(_moment(window[0]).replace(tzinfo=UTC).timestamp() // seconds)
        length = int(-(-_moment(window[1]).replace(tzinfo=UTC).timestamp() // seconds)) - first
        if seconds < 1 or length < 1:
            rule = "of at least one second, in a window that ends after it starts"
            raise InvalidInputError.of("samples", "the step", rule, (step, *map(str, window)))
        for asked, there in ((entities, "entity"), (metrics, "metric")):
            if asked is not None:
                series = series.select(_known(getattr(series, there), asked, f"the {there}"))
        series, means = self._means(tenant, domain, series, first, length, seconds)
        names = tuple(entities if entities is not None else sorted(set(series.entity)))
        measured = tuple(metrics if metrics is not None else sorted(set(series.metric)))
        place = {name: index for index, name in enumerate(names)}
        column = {name: index for index, name in enumerate(measured)}
        values = np.full((len(names), length, len(measured)), np.nan)
        rows_of = np.array([place[entity] for entity in series.entity], dtype=np.int64)
        columns_of = np.array([column[metric] for metric in series.metric], dtype=np.int64)
        values[rows_of, :, columns_of] = means
        start = np.datetime64(first * seconds, "s")
        labels = start + np.arange(length) * np.timedelta64(seconds, "s")
        return Panel(values, names, measured, Periods(labels, np.timedelta64(seconds, "s")))

    def _means(
        self, tenant: str, domain: Domain, series: _Series, first: int, length: int, seconds: int
    ) -> tuple[_Series, Floats]:
        """Those of the series that have samples in `length` periods from the `first` on, and their means (n_series,
        length), NaN where there are none. So many periods are read at once that memory holds their samples.
        """
        edges = [
            datetime.fromtimestamp((first + period) * seconds, UTC).replace(tzinfo=None)
            for period in (0, length)
        ]
        size, scope = statements("quality")["size"], {"tenant": tenant, "domain": domain.name}
        many = self._duck.run(
            lambda cursor: one(cursor, size, **scope, first=edges[0], last=edges[1])
        )
        at_once = max(1, length * AT_ONCE // max(int(many), 1))
        counts = np.zeros((len(series.key), length), dtype=np.int64)
        sums = np.zeros((len(series.key), length))
        for begun in range(0, length, at_once):
            width = min(at_once, length - begun)
            start = edges[0] + timedelta(seconds=begun * seconds)
            stop = start + timedelta(seconds=width * seconds)
            found = self._values(tenant, domain, series.key, start, stop)
            since = found["moment"].astype("datetime64[s]") - np.datetime64(start, "s")
            cell = np.searchsorted(series.key, found["series"]) * width
            cell += since.astype(np.int64) // seconds
            part, shape = slice(begun, begun + width), (len(series.key), width)
            counts[:, part] = np.bincount(cell, minlength=counts[:, part].size).reshape(shape)
            sums[:, part] = np.bincount(cell, found["value"], counts[:, part].size).reshape(shape)
        there = np.asarray(counts.any(axis=1))
        counts, sums = counts[there], sums[there]
        sums[counts == 0] = np.nan
        np.divide(sums, counts, out=sums, where=counts > 1)
        return series.select(there), sums


@dataclass(frozen=True, eq=False)
class _Series:
    """Series by key, ascending."""

    key: NDArray[np.int64]
    entity: NDArray[Any]
    metric: NDArray[Any]

    def select(self, kept: NDArray[np.bool_]) -> _Series:
        return _Series(self.key[kept], self.entity[kept], self.metric[kept])


def _known(there: NDArray[Any], asked: Sequence[str], thing: str) -> NDArray[np.bool_]:
    """Which of `there` were asked for; an asked one that is nowhere is refused by name."""
    known = set(there.tolist())
    for name in asked:
        if name not in known:
            rule = f"one of the {len(known):,} that were measured"
            raise UnknownNameError.of("samples", thing, rule, name)
    return np.isin(there, list(asked))


def _moment(moment: Moment) -> datetime:
    """Naive UTC."""
    if isinstance(moment, np.datetime64):
        return datetime.fromisoformat(str(moment.astype("datetime64[us]")))
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _described(metric: str, words: Words) -> dict[str, Any]:
    """Label, unit, direction and nature by the strongest word on each, and who told the direction."""
    own, family = words.get(metric, []), words.get(conventions.family(metric), [])
    nature = _word([*own, *family], "nature")[1] or conventions.GAUGE
    label, whole = _word(own, "label")[1], _word(family, "label")[1]
    unit, (speaker, bad) = _word([*own, *family], "unit")[1], _word([*own, *family], "bad")
    return {
        "label": label
        or (conventions.labelled(whole, metric) if whole else conventions.label(metric)),
        "unit": conventions.unit(metric, nature) if unit is None else unit,
        "bad": conventions.bad(metric) if bad is None else bad,
        "nature": nature,
        "said_by": speaker or "name",
    }


def _word(said: Sequence[tuple[str, Mapping[str, Any]]], field: str) -> tuple[str, Any]:
    """Who speaks first on a field, and what he says."""
    spoken = ((who, told[field]) for who, told in said if told.get(field) is not None)
    return next(spoken, ("", None))
