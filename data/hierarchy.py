"""The entities of a tenant's domain and who hangs under whom, as known at a moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from core.cases import Graph
from core.domain import Domain
from core.errors import UnknownNameError
from data.duck import Cursor, columns, statements
from data.ingest.batch import Known
from data.panels import Edges, Ints

# Order of knowledge: a later download wins; of two at the same moment the later batch (ids < 2^20).
NEWEST = "epoch_ms(as_of) * 1048576 + batch"
# Levels that console exports name without an id.
NAMED_LEVELS = ("campaign", "ad_group", "keyword")
ALWAYS = np.datetime64("0001-01-01")
NEVER = np.datetime64("9999-01-01")


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Entities by position, sorted by level, then id; edges with the days on which they hold.

    level : number of the domain's level; owner : number of the top-level entity each belongs to
    edges : parent, child positions; valid_from, valid_to datetime64[D], half open
    """

    domain: Domain
    keys: Ints
    ids: tuple[str, ...]
    level: Ints
    owner: Ints
    owners: tuple[str, ...]
    fields: dict[str, list[str]]
    parent: Ints
    child: Ints
    valid_from: NDArray[np.datetime64]
    valid_to: NDArray[np.datetime64]

    @cached_property
    def position(self) -> dict[str, int]:
        """Entity id → position."""
        return {entity: position for position, entity in enumerate(self.ids)}

    @cached_property
    def place(self) -> Ints:
        """Store key → position, −1 where unknown."""
        place = np.full(int(self.keys.max(initial=0)) + 1, -1, dtype=np.int64)
        place[self.keys] = np.arange(len(self.keys))
        return place

    def find(self, entity: str) -> int:
        """Position of an entity; an unknown one is refused by name."""
        if entity not in self.position:
            raise UnknownNameError.of(
                "metrics", "the entity", f"one of the {len(self.ids):,} known", entity
            )
        return self.position[entity]

    def pairs(self, first: date, days: int) -> Edges:
        """Every ancestor and its descendants, with the days (from `first`) on which that holds.

        The owner is an ancestor of all its entities, whatever lies between.
        """
        origin = np.datetime64(first)
        tops = np.array([self.position.get(owner, -1) for owner in self.owners], dtype=np.int64)
        inner = ~np.isin(self.parent, tops)
        start = np.clip((self.valid_from[inner] - origin).astype(np.int64), 0, days)
        stop = np.clip((self.valid_to[inner] - origin).astype(np.int64), 0, days)
        held = start < stop
        paths = _descent(
            Edges(self.parent[inner][held], self.child[inner][held], start[held], stop[held]),
            len(self.domain.levels),
        )
        top = tops[self.owner]
        below = np.flatnonzero((top >= 0) & (top != np.arange(len(self.ids))))
        zeros = np.zeros(len(below), dtype=np.int64)
        return Edges(
            np.concatenate([paths.parent, top[below]]),
            np.concatenate([paths.child, below]),
            np.concatenate([paths.start, zeros]),
            np.concatenate([paths.stop, zeros + days]),
        )

    def known(self) -> Known:
        """Names and ids for readers: campaigns by id, everything by its names from the campaign down."""
        now = self.valid_to == NEVER
        above = dict(zip(self.child[now].tolist(), self.parent[now].tolist(), strict=True))
        names, levels = self.fields["name"], self.domain.levels
        ids: dict[tuple[str, ...], str] = {}
        twice = set()
        for position, (entity, level) in enumerate(zip(self.ids, self.level.tolist(), strict=True)):
            if levels[level] not in NAMED_LEVELS:
                continue
            path, node = [names[position]], position
            while levels[self.level[node]] != NAMED_LEVELS[0] and node in above:
                node = above[node]
                path.append(names[node])
            extra = attributes(self.fields["attributes"][position]).get("match_type")
            key = (
                self.owners[self.owner[position]].partition(":")[2],
                levels[level],
                *reversed(path),
                *([extra.upper()] if extra else []),
            )
            twice |= {key} & ids.keys()
            ids[key] = entity
        profiles = {
            entity.partition(":")[2]: (
                self.fields["currency"][position],
                attributes(text).get("country", ""),
            )
            for position, (entity, text) in enumerate(
                zip(self.ids, self.fields["attributes"], strict=True)
            )
            if self.level[position] == 0
        }
        return Known(
            owners={
                self.ids[position].partition(":")[2]: self.owners[self.owner[position]].partition(
                    ":"
                )[2]
                for position in np.flatnonzero(self.level == levels.index(NAMED_LEVELS[0]))
            }
            if NAMED_LEVELS[0] in levels
            else {},
            profiles=profiles,
            portfolios={
                self.ids[child].partition(":")[2]: self.ids[parent].partition(":")[2]
                for child, parent in above.items()
                if self.level[parent] > 0 and levels[self.level[child]] == NAMED_LEVELS[0]
            },
            ids={key: entity for key, entity in ids.items() if key not in twice},
        )

    def graph(self, at: date | None) -> Graph:
        """The edges valid at `at` (default: the newest); who has no parent hangs under its owner."""
        when = NEVER - 1 if at is None else np.datetime64(at)
        valid = (self.valid_from <= when) & (when < self.valid_to)
        net: nx.DiGraph[str] = nx.DiGraph()
        labels = self.domain.levels
        net.add_nodes_from(
            (entity, {"level": labels[level], "name": name or entity.partition(":")[2]} | extra)
            for entity, level, name, extra in zip(
                self.ids,
                self.level.tolist(),
                self.fields["name"],
                (
                    {"status": status, "zone": zone, "currency": currency}
                    for status, zone, currency in zip(
                        self.fields["status"],
                        self.fields["zone"],
                        self.fields["currency"],
                        strict=True,
                    )
                ),
                strict=True,
            )
        )
        ids = self.ids
        for parent, child, start, stop in zip(
            self.parent[valid].tolist(),
            self.child[valid].tolist(),
            self.valid_from[valid],
            self.valid_to[valid],
            strict=True,
        ):
            limits = {"valid_from": start} if start > ALWAYS else {}
            net.add_edge(
                ids[parent], ids[child], **limits | ({"valid_to": stop} if stop < NEVER else {})
            )
        for entity, owner in zip(ids, self.owner.tolist(), strict=True):
            top = self.owners[owner]
            if entity != top and top in net and not net.pred[entity]:
                net.add_edge(top, entity)
        return Graph(net)


def read(cursor: Cursor, tenant: str, domain: Domain, as_of: datetime) -> Hierarchy:
    """The hierarchy as known at `as_of`."""
    sql = statements("read")
    scope: dict[str, Any] = {"tenant": tenant, "domain": domain.name, "as_of": as_of}
    found = columns(
        cursor, sql["entities"].format(newest=NEWEST), **scope, levels=list(domain.levels)
    )
    number = {level: index for index, level in enumerate(domain.levels)}
    levels = np.array([number[level] for level in found["level"]], dtype=np.int64)
    order = np.argsort(levels, kind="stable")
    keys = found["key"].astype(np.int64)[order]
    texts = {
        name: [value or "" for value in np.ma.filled(found[name], "")[order].tolist()]
        for name in ("id", "name", "status", "zone", "currency", "attributes", "owner_id")
    }
    owners, owner = np.unique(np.array(texts.pop("owner_id"), dtype=object), return_inverse=True)
    stated = columns(cursor, sql["edges"], **scope)
    place = np.full(
        int(max(keys.max(initial=0), *(stated[end].max(initial=0) for end in ("parent", "child"))))
        + 1,
        -1,
    )
    place[keys] = np.arange(len(keys))
    parent, child = place[stated["parent"]], place[stated["child"]]
    known = (parent >= 0) & (child >= 0)
    return Hierarchy(
        domain=domain,
        keys=keys,
        ids=tuple(texts.pop("id")),
        level=levels[order],
        owner=owner.astype(np.int64),
        owners=tuple(owners.tolist()),
        fields=texts,
        parent=parent[known].astype(np.int64),
        child=child[known].astype(np.int64),
        valid_from=stated["valid_from"][known].astype("datetime64[D]"),
        valid_to=stated["valid_to"][known].astype("datetime64[D]"),
    )


def _descent(edges: Edges, depth: int) -> Edges:
    """Every ancestor → descendant pair within `depth` hops, with the days on which the path holds."""
    order = np.argsort(edges.parent, kind="stable")
    parents = edges.parent[order]
    reached, frontier = [edges], edges
    for _ in range(depth - 1):
        low = np.searchsorted(parents, frontier.child, side="left")
        many = np.searchsorted(parents, frontier.child, side="right") - low
        if not many.any():
            break
        step = np.repeat(np.arange(len(frontier)), many)
        within = np.arange(len(step)) - np.repeat(np.cumsum(many) - many, many)
        follow = order[low[step] + within]
        start = np.maximum(frontier.start[step], edges.start[follow])
        stop = np.minimum(frontier.stop[step], edges.stop[follow])
        holds = start < stop
        frontier = Edges(
            frontier.parent[step][holds], edges.child[follow][holds], start[holds], stop[holds]
        )
        reached.append(frontier)
    columns = np.stack(
        [
            np.concatenate([getattr(part, name) for part in reached])
            for name in ("parent", "child", "start", "stop")
        ]
    )
    return Edges(*np.unique(columns, axis=1))


def attributes(text: str) -> dict[str, str]:
    """What a file said of an entity beyond its name."""
    return dict(json.loads(text)) if text else {}
