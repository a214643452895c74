"""What goes wrong: eight kinds of fault, where each can start, what it does there, and when it is noticed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.simulate.draws import Floats, Keys, derive, uniform
from data.simulate.services.load import LIMIT, MEMORY, Change, Load
from data.simulate.services.topology import (
    APPLICATION,
    DATABASE,
    EXTERNAL,
    Channel,
    Numbers,
    Size,
    Topology,
)

QUIET_MINUTES = 720
"""Nothing goes wrong before: everybody may learn what is usual."""
SETTLING_MINUTES = 45
"""Calm kept around incidents, so that none runs into the next."""
SLOWER, FAILING = 1.35, 0.02
"""A service is affected from this rise of its time, or share of its requests, on."""
TRIES = 24
SETTLED = 24
"""Minutes after which a lasting fault has reached everything."""


@dataclass(frozen=True)
class Root:
    """Where a fault starts: an entity, the pods that it strikes, and the service that people would name."""

    id: str
    level: str
    row: int
    pods: Numbers
    service: int


@dataclass(frozen=True)
class Kind:
    """A way to fail: its levels, how long it lasts, what somebody did before it, and what it does.

    change : "deploy" or "config" where somebody's change brings it
    plant  : (root, rise (n_minute,) 0…1, size) → changes of the root's own behaviour
    """

    name: str
    levels: tuple[str, ...]
    kinds: tuple[int, ...]
    minutes: tuple[int, int]
    rise: int
    change: str
    plant: Callable[[Root, Floats, float], list[tuple[str, str, Floats]]]


def _leak(_root: Root, rise: Floats, size: float) -> list[tuple[str, str, Floats]]:
    # the collector works ever harder, and the killed pod comes back empty
    full = rise**2
    return [
        ("memory", "pod", (LIMIT - MEMORY) * min(size, 1.0) * rise),
        ("cpu", "pod", 1.0 + 1.2 * size * full),
        ("latency", "pod", 1.0 + 5.0 * size * full),
        ("errors", "pod", 0.12 * size * np.where(rise > 0.9, 1.0, 0.0)),
    ]


def _slow_store(_root: Root, rise: Floats, size: float) -> list[tuple[str, str, Floats]]:
    return [
        ("latency", "pod", 1.0 + 9.0 * size * rise),
        ("cpu", "pod", 1.0 + 0.6 * size * rise),
        ("memory", "pod", 0.15 * MEMORY * size * rise),
    ]


def _bad_deploy(_root: Root, rise: Floats, size: float) -> list[tuple[str, str, Floats]]:
    # pods are replaced one after the other, and the new ones keep failing
    begun = np.clip(rise * 1.5, 0.0, 1.0)
    return [
        ("errors", "pod", 0.35 * size * begun),
        ("cpu", "pod", 1.0 + 0.5 * size * begun),
        ("memory", "pod", -0.25 * MEMORY * begun),
        ("latency", "pod", 1.0 + 0.5 * size * begun),
        ("down first", "pod", begun),
    ]


def _slow_network(root: Root, rise: Floats, size: float) -> list[tuple[str, str, Floats]]:
    return [
        ("delay", root.level, 0.18 * size * rise),
        ("network", "pod", 1.0 - 0.35 * min(size, 1.4) * rise),
    ]


def _full_disk(_root: Root, rise: Floats, size: float) -> list[tuple[str, str, Floats]]:
    full = np.where(rise > 0.7, 1.0, 0.0)
    return [
        ("disk", "node", 1.0 + 5.0 * size * rise),
        ("latency", "store pod", 1.0 + 4.0 * size * rise),
        ("errors", "store pod", 0.4 * size * full),
        ("latency", "pod", 1.0 + 0.25 * size * rise),
        ("errors", "pod", 0.02 * size * full),
    ]


def _busy_cpu(root: Root, rise: Floats, size: float) -> list[tuple[str, str, Floats]]:
    slow = ("latency", "pod", 1.0 + 4.5 * size * rise)
    if root.level == "node":
        return [("burn", "node", 14.0 * min(size, 1.1) * rise), slow]
    return [("cpu", "pod", 1.0 + 3.0 * size * rise), slow]


def _bad_config(_root: Root, rise: Floats, size: float) -> list[tuple[str, str, Floats]]:
    # requests that fail at once cost little
    return [
        ("errors", "pod", 0.4 * size * rise),
        ("latency", "pod", 1.0 - 0.35 * min(size, 1.3) * rise),
        ("cpu", "pod", 1.0 - 0.3 * min(size, 1.3) * rise),
    ]


def _bad_provider(_root: Root, rise: Floats, size: float) -> list[tuple[str, str, Floats]]:
    return [
        ("latency", "service", 1.0 + 4.0 * size * rise),
        ("errors", "service", 0.3 * size * rise),
    ]


INNER = (APPLICATION, DATABASE)
KINDS = (
    Kind("memory_leak", ("service", "pod"), (APPLICATION,), (80, 130), 90, "deploy", _leak),
    Kind("database_slow", ("service",), (DATABASE,), (35, 80), 4, "", _slow_store),
    Kind("deployment_failure", ("service",), (APPLICATION,), (25, 50), 6, "deploy", _bad_deploy),
    Kind("network_latency", ("service", "node"), INNER, (30, 70), 2, "", _slow_network),
    Kind("disk_full", ("node",), (DATABASE,), (50, 90), 25, "", _full_disk),
    Kind("cpu_saturation", ("pod", "node"), INNER, (30, 70), 4, "", _busy_cpu),
    Kind("config_error", ("service",), INNER, (25, 50), 2, "config", _bad_config),
    Kind("external_dependency", ("service",), (EXTERNAL,), (30, 80), 3, "", _bad_provider),
)


@dataclass(frozen=True, eq=False)
class Incident:
    """A fault at a root, over minutes [onset, stop); it is noticed at service `alarm`, `path` leads there.

    affected : services that feel it; slower, failing : (n_service,) how much in the end
    """

    kind: Kind
    root: Root
    onset: int
    stop: int
    size: float
    changes: tuple[Change, ...]
    alarm: int
    path: tuple[str, ...]
    affected: Numbers
    slower: Floats
    failing: Floats

    @property
    def metric(self) -> str:
        """What the alarm is about: failures where they explain it better than time does."""
        rise = (self.slower[self.alarm] - 1.0) / (SLOWER - 1.0)
        fails = self.failing[self.alarm] / FAILING
        return "error_rate_by_service" if fails > rise else "http_request_duration_seconds"


def choose_incidents(topology: Topology, size: Size, root: Keys) -> list[Incident]:
    """`size.incidents` faults in turn, each kind before any comes again, none overlapping another.

    A fault that no other service would feel is tried elsewhere; the strongest of `TRIES` is kept where none is felt.
    """
    key = derive(root, Channel.INCIDENT)
    minutes = 1440 * size.days
    slot = (minutes - QUIET_MINUTES) // max(size.incidents, 1)
    found = []
    for number in range(size.incidents):
        own = derive(key, number)
        turn = derive(key, 10**6 + number // len(KINDS))
        order = np.argsort(uniform(derive(turn, np.arange(len(KINDS)))))
        kind = KINDS[int(order[number % len(KINDS)])]
        low, high = kind.minutes
        lasts = min(low + int(_pick(own, 0) * (high - low)), slot - 2 * SETTLING_MINUTES)
        spare = slot - lasts - 2 * SETTLING_MINUTES
        onset = QUIET_MINUTES + number * slot + SETTLING_MINUTES + int(_pick(own, 1) * spare)
        strength = 0.7 + 0.7 * _pick(own, 2)
        found.append(_place(topology, kind, onset, lasts, strength, derive(own, 3)))
    return found


def _place(
    topology: Topology,
    kind: Kind,
    onset: int,
    lasts: int,
    size: float,
    key: Keys,
) -> Incident:
    level = kind.levels[int(_pick(key, 0) * len(kind.levels))]
    roots = _roots(topology, kind, level)
    order = np.argsort(uniform(derive(derive(key, 1), np.arange(len(roots)))))[:TRIES]
    calm = Load(topology, SETTLED)
    weaker = []
    for place in order.tolist():
        incident = _incident(topology, kind, roots[place], onset, lasts, size, calm)
        if incident.alarm != incident.root.service:
            return incident
        weaker.append(incident)
    return max(weaker, key=lambda incident: float(incident.slower.max()))


def _incident(
    topology: Topology, kind: Kind, root: Root, onset: int, lasts: int, size: float, calm: Load
) -> Incident:
    """The fault at this root; who feels it is seen where it lasts, beside a `calm` load of `SETTLED` minutes."""
    rise = np.clip((np.arange(lasts) + 1.0) / kind.rise, 0.0, 1.0)
    struck = Load(topology, SETTLED, _changes(topology, kind, root, 0, np.ones(SETTLED), size))
    slower = struck.slowness[:, -1] / calm.slowness[:, -1]
    failing = struck.errors[:, -1] - calm.errors[:, -1]
    affected = np.flatnonzero((slower >= SLOWER) | (failing >= FAILING))
    paths = _paths(topology, kind, root)
    reached = [row for row in affected.tolist() if row in paths]
    alarm = max(reached, key=lambda row: (len(paths[row]), -row), default=root.service)
    return Incident(
        kind=kind,
        root=root,
        onset=onset,
        stop=onset + lasts,
        size=size,
        changes=tuple(_changes(topology, kind, root, onset, rise, size)),
        alarm=alarm,
        path=paths[alarm],
        affected=affected,
        slower=slower,
        failing=failing,
    )


def _roots(topology: Topology, kind: Kind, level: str) -> list[Root]:
    services = np.flatnonzero(np.isin(topology.kind, kind.kinds)).tolist()
    if level == "service":
        return [
            Root(f"service:{topology.services[row]}", level, row, topology.pods_of(row), row)
            for row in services
        ]
    pods = np.flatnonzero(np.isin(topology.pod_service, services))
    if level == "pod":
        return [
            Root(
                f"pod:{topology.pods[row]}",
                level,
                row,
                np.array([row]),
                int(topology.pod_service[row]),
            )
            for row in pods.tolist()
        ]
    return [
        Root(
            f"node:{topology.nodes[row]}",
            level,
            row,
            topology.pods_on(row),
            # people name the service whose pods on that node carry most of it
            int(topology.pod_service[max(mine, key=lambda pod: topology.weight[pod])]),
        )
        for row in np.unique(topology.pod_node[pods]).tolist()
        if (mine := [pod for pod in topology.pods_on(row).tolist() if pod in set(pods.tolist())])
    ]


def _changes(
    topology: Topology, kind: Kind, root: Root, onset: int, rise: Floats, size: float
) -> list[Change]:
    stores = root.pods[topology.kind[topology.pod_service[root.pods]] == DATABASE]
    found = []
    for quantity, of, values in kind.plant(root, rise, size):
        if quantity == "down first":
            # of the pods of a service the first half goes down, the rest fails
            found.append(
                Change("down", "pod", root.pods[: (len(root.pods) + 1) // 2], onset, values)
            )
        elif of == "store pod":
            found.append(Change(quantity, "pod", stores, onset, values))
        elif of == "pod":
            found.append(Change(quantity, of, root.pods, onset, values))
        else:
            found.append(Change(quantity, of, np.array([root.row]), onset, values))
    return found


def _paths(topology: Topology, kind: Kind, root: Root) -> dict[int, tuple[str, ...]]:
    """Shortest way from the root to every service above it, by service."""
    callers: dict[int, list[int]] = {}
    for caller, callee in zip(
        topology.calls.caller.tolist(), topology.calls.callee.tolist(), strict=True
    ):
        callers.setdefault(callee, []).append(caller)
    paths: dict[int, tuple[str, ...]] = {}
    struck = dict.fromkeys(topology.pod_service[root.pods].tolist() or [root.service])
    for service in struck:
        if topology.kind[service] not in kind.kinds:
            continue
        way: tuple[str, ...] = (f"service:{topology.services[service]}",)
        if root.level == "pod":
            way = (root.id, *way)
        if root.level == "node":
            pod = next(p for p in root.pods.tolist() if topology.pod_service[p] == service)
            way = (root.id, f"pod:{topology.pods[pod]}", *way)
        paths[service] = way
    queue = deque(paths)
    while queue:
        service = queue.popleft()
        for caller in callers.get(service, ()):
            if caller not in paths:
                paths[caller] = (*paths[service], f"service:{topology.services[caller]}")
                queue.append(caller)
    return paths


def noticed(incident: Incident, actual: Load, calm: Load) -> int:
    """The minute at which the alarm's service was affected for the second time in a row."""
    row, span = incident.alarm, slice(incident.onset, incident.stop)
    slower = actual.slowness[row, span] / calm.slowness[row, span]
    failing = actual.errors[row, span] - calm.errors[row, span]
    felt = (slower >= SLOWER) | (failing >= FAILING)
    twice = np.flatnonzero(felt[1:] & felt[:-1])
    return incident.onset + (int(twice[0]) + 1 if len(twice) else len(felt) - 1)


def calm_minutes(incidents: Sequence[Incident], minutes: int) -> NDArray[np.bool_]:
    """(n_minute,) where nothing is wrong, nor was shortly before, nor will be shortly."""
    calm = np.ones(minutes, dtype=bool)
    for incident in incidents:
        calm[incident.onset - SETTLING_MINUTES : incident.stop + SETTLING_MINUTES] = False
    return calm


def _pick(key: Keys, number: int) -> float:
    return float(uniform(derive(key, number))[0])
