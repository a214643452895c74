"""What runs where and calls whom: regions, nodes, services, pods, and the calls between services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from data.simulate.draws import Floats, Keys, derive, uniform

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Size:
    """How much runs, for how long, and how much goes wrong; `pods` are the fewest and most of a service."""

    services: int
    pods: tuple[int, int]
    nodes: int
    regions: int
    days: int
    incidents: int


SIZES = {
    "S": Size(12, (2, 4), 6, 2, 2, 8),
    "M": Size(40, (2, 4), 16, 2, 3, 16),
    "L": Size(150, (2, 4), 60, 3, 4, 24),
    "XL": Size(850, (3, 6), 550, 4, 2, 8),
}


@dataclass(frozen=True)
class Clock:
    """Minutes from the midnight (UTC) of `start` on."""

    start: date
    minutes: int

    def epoch(self, minute: int) -> int:
        """Seconds since 1970."""
        return int(np.datetime64(self.start, "s").astype(np.int64)) + 60 * minute

    def text(self, minute: int) -> str:
        """ISO 8601, with a Z."""
        return f"{np.datetime64(self.epoch(minute), 's')}Z"

    @property
    def times(self) -> Numbers:
        """(n_minute,) epoch s."""
        return self.epoch(0) + 60 * np.arange(self.minutes)


class Channel(IntEnum):
    """What a draw is for; a new one goes to the end, so that no other draw changes."""

    SERVICE = 0
    NODE = 1
    CALLS = 2
    DEMAND = 3
    RATE = 4
    CPU = 5
    MEMORY = 6
    LATENCY = 7
    ERROR = 8
    NETWORK = 9
    DISK = 10
    BUSINESS = 11
    INCIDENT = 12
    EVENT = 13
    LABEL = 14
    EDGE = 15
    BLIP = 16


ENTRY, APPLICATION, DATABASE, EXTERNAL = range(4)
"""Kinds of services: called by people, by others, keeping data, run by somebody else."""
NAMES: tuple[tuple[str, ...], ...] = (
    ("storefront", "mobile-api", "partner-api"),
    (
        "checkout",
        "cart",
        "catalog",
        "search",
        "pricing",
        "recommendation",
        "shipping",
        "account",
        "inventory",
        "notification",
        "tax",
        "currency",
        "loyalty",
        "invoice",
    ),
    ("orders-db", "catalog-db", "account-db", "session-store"),
    ("card-gateway", "mail-provider", "maps-provider"),
)
REGIONS = ("eu-west", "us-east", "ap-south", "sa-east")
SHARES = ((ENTRY, 1 / 12), (DATABASE, 1 / 5), (EXTERNAL, 1 / 12))
BASE_SECONDS = ((0.012, 0.03), (0.006, 0.04), (0.003, 0.012), (0.06, 0.16))
"""Own time of a request, fewest and most, by kind."""


@dataclass(frozen=True, eq=False)
class Calls:
    """Who calls whom, sorted by caller; all (n_call,), and every caller comes before its callees.

    many     : calls a request of the caller makes
    lag      : minutes until the caller feels the callee
    critical : share of failed calls that fail the caller's request
    """

    caller: Numbers
    callee: Numbers
    many: Floats
    lag: Numbers
    critical: Floats

    def __len__(self) -> int:
        return len(self.caller)


@dataclass(frozen=True, eq=False)
class Topology:
    """Services (n_service,), pods (n_pod,), nodes (n_node,), each with its key; positions link them.

    seconds : own time of a request; cost : cores per request a second; weight : a pod's share of its service
    """

    regions: tuple[str, ...]
    services: tuple[str, ...]
    kind: Numbers
    seconds: Floats
    service_keys: Keys
    pods: tuple[str, ...]
    pod_service: Numbers
    pod_node: Numbers
    pod_keys: Keys
    weight: Floats
    nodes: tuple[str, ...]
    node_region: Numbers
    node_keys: Keys
    calls: Calls

    @property
    def entries(self) -> Numbers:
        return np.flatnonzero(self.kind == ENTRY)

    def pods_of(self, service: int) -> Numbers:
        return np.flatnonzero(self.pod_service == service)

    def pods_on(self, node: int) -> Numbers:
        return np.flatnonzero(self.pod_node == node)

    def rows(self) -> list[dict[str, str]]:
        """nodes.csv: id, level, the id of what it is part of, name."""
        found = [("region", name, "") for name in self.regions]
        found += [
            ("node", name, f"region:{self.regions[region]}")
            for name, region in zip(self.nodes, self.node_region, strict=True)
        ]
        found += [("service", name, "") for name in self.services]
        found += [
            ("pod", name, f"service:{self.services[service]}")
            for name, service in zip(self.pods, self.pod_service, strict=True)
        ]
        return [
            {"node": f"{level}:{name}", "level": level, "parent": parent, "name": name}
            for level, name, parent in found
        ]

    def edges(self) -> list[tuple[str, str]]:
        """edges.csv, from cause to effect: region → node → pod → service, and callee → caller."""
        found = [
            (f"region:{self.regions[region]}", f"node:{name}")
            for name, region in zip(self.nodes, self.node_region, strict=True)
        ]
        for pod, service, node in zip(self.pods, self.pod_service, self.pod_node, strict=True):
            found.append((f"node:{self.nodes[node]}", f"pod:{pod}"))
            found.append((f"pod:{pod}", f"service:{self.services[service]}"))
        found += [
            (f"service:{self.services[callee]}", f"service:{self.services[caller]}")
            for caller, callee in zip(self.calls.caller, self.calls.callee, strict=True)
        ]
        return found


def build_topology(size: Size, root: Keys) -> Topology:
    """The systems of one world; a size of at least six services, so that every kind of them is there."""
    kind = _kinds(size.services)
    service_keys = derive(derive(root, Channel.SERVICE), np.arange(size.services))
    low, high = np.array(BASE_SECONDS).T
    spread = uniform(derive(service_keys, 0))
    names = _names(kind)
    pods: list[str] = []
    pod_service, pod_node, pod_keys = [], [], []
    fewest, most = size.pods
    for service in np.flatnonzero(kind != EXTERNAL).tolist():
        own = derive(service_keys[service : service + 1], 1)
        many = fewest + int(uniform(own)[0] * (most - fewest + 1))
        # no two pods of a service share a node while there are nodes enough
        places = np.argsort(uniform(derive(own, np.arange(size.nodes))))
        for number in range(many):
            key = derive(own, 1000 + number)
            pods.append(f"{names[service]}-{int(key[0]) % 16**5:05x}")
            pod_service.append(service)
            pod_node.append(int(places[number % size.nodes]))
            pod_keys.append(key[0])
    keys = np.array(pod_keys, dtype=np.uint64)
    weight = 0.8 + 0.4 * uniform(derive(keys, 0))
    of = np.array(pod_service, dtype=np.int64)
    weight /= np.bincount(of, weight, size.services)[of]
    return Topology(
        regions=REGIONS[: size.regions],
        services=names,
        kind=kind,
        seconds=low[kind] + (high - low)[kind] * spread,
        service_keys=service_keys,
        pods=tuple(pods),
        pod_service=of,
        pod_node=np.array(pod_node, dtype=np.int64),
        pod_keys=keys,
        weight=weight,
        nodes=tuple(f"n{number:03d}" for number in range(1, size.nodes + 1)),
        node_region=np.arange(size.nodes) % size.regions,
        node_keys=derive(derive(root, Channel.NODE), np.arange(size.nodes)),
        calls=_calls(kind, derive(root, Channel.CALLS)),
    )


def _kinds(many: int) -> Numbers:
    """Entries first, then applications, then what only answers."""
    count = {kind: max(1, round(share * many)) for kind, share in SHARES}
    count[APPLICATION] = many - sum(count.values())
    order = (ENTRY, APPLICATION, DATABASE, EXTERNAL)
    return np.repeat(order, [count[kind] for kind in order]).astype(np.int64)


def _names(kind: Numbers) -> tuple[str, ...]:
    seen = [0] * len(NAMES)
    names = []
    for one in kind.tolist():
        turn, place = divmod(seen[one], len(NAMES[one]))
        names.append(NAMES[one][place] + (f"-{turn + 1}" if turn else ""))
        seen[one] += 1
    return tuple(names)


def _calls(kind: Numbers, key: Keys) -> Calls:
    """Every service but the entries is called by one to three of those before it, mostly by near ones."""
    callers = np.flatnonzero(kind <= APPLICATION)
    pairs: list[tuple[int, int]] = []
    for callee in np.flatnonzero(kind != ENTRY).tolist():
        own = derive(key, callee)
        able = callers[callers < callee]
        # applications hang three to five deep below the entries, stores and providers below applications
        if kind[callee] > APPLICATION and (kind[able] == APPLICATION).any():
            able = able[kind[able] == APPLICATION]
        elif kind[callee] == APPLICATION:
            able = able[able >= callee // 4]
        many = 1 + int(uniform(derive(own, 0))[0] * min(3, len(able)))
        chosen = np.argsort(uniform(derive(own, 1 + able)))[:many]
        pairs += [(int(caller), callee) for caller in able[chosen]]
    # an entry that nobody was drawn for calls the first application
    idle = set(np.flatnonzero(kind == ENTRY).tolist()) - {caller for caller, _ in pairs}
    pairs += [(entry, int(np.flatnonzero(kind == APPLICATION)[0])) for entry in sorted(idle)]
    pairs.sort()
    caller, callee = np.array(pairs, dtype=np.int64).T
    own = derive(derive(derive(key, 10**6), caller), callee)
    return Calls(
        caller=caller,
        callee=callee,
        many=0.5 + 0.7 * uniform(derive(own, 0)),
        lag=(1 + (uniform(derive(own, 1)) < 0.3)).astype(np.int64),
        critical=0.5 + 0.45 * uniform(derive(own, 2)),
    )
