"""What every minute brings: people, requests, time spent, failures, and what the machines show of it.

Requests flow from callers to callees, time and failures flow back with the lag of each call. A fault is a list of
`Change`s of what pods, nodes and services do by themselves; whatever else moves, moves because it depends on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from data.simulate.draws import Floats, Keys, autoregressive, derive, normal, uniform
from data.simulate.services.topology import (
    APPLICATION,
    DATABASE,
    EXTERNAL,
    Channel,
    Numbers,
    Topology,
)

PEOPLE = 40.0
"""Requests a second that one entry gets on average."""
DAILY, WEEKEND = 0.45, 0.7
WAIT = 0.55
"""Share of the calls of a request that are waited for one after the other."""
TAIL = 2.2
"""The 95th percentile of a request's time over its mean."""
BASE_ERROR = 0.002
BLIPS, BLIP = 0.0006, 3.0
"""Share of a pod's minutes in which it stands still for a moment, and how much slower that minute is."""
NIGHTLY = slice(130, 155)
"""Minutes of the day in which stores write their copies away: planned, harmless, every night."""
SIGNUPS, ORDER_VALUE = 0.015, 42.0
MEMORY, LIMIT = 420e6, 1600e6
"""Bytes a pod usually takes, and those at which it is killed."""
CORES, NODE_MEMORY = 16.0, 64e9

FACTOR = ("cpu", "latency", "network", "disk")
ADDEND = ("errors", "memory", "down", "burn", "delay")
"""What a change acts on: factors of a pod's (`disk`: a node's) own behaviour; share of its requests that fail, bytes,
share of it that is down, cores that something else burns on a node, seconds added to whatever enters or leaves."""


@dataclass(frozen=True, eq=False)
class Change:
    """`values` (n_minute,) on rows of one quantity of `FACTOR` or `ADDEND`, from minute `start`.

    of : "pod", "node" or "service", whose rows they are; services only where they run elsewhere, and for `delay`
    """

    quantity: str
    of: str
    rows: Numbers
    start: int
    values: Floats


@dataclass(frozen=True, eq=False)
class Reading:
    """One metric of some entities, by id: values (n_entity, n_minute)."""

    metric: str
    nodes: tuple[str, ...]
    values: Floats


class Load:
    """The state of a topology over `minutes` from the midnight of a weekday (0 = Monday) on, under some changes."""

    def __init__(
        self,
        topology: Topology,
        minutes: int,
        changes: Sequence[Change] = (),
        *,
        weekday: int = 0,
    ) -> None:
        self.topology, self.minutes, self.changes = topology, minutes, changes
        self.weekday = weekday

    # ── What is drawn ──

    def _noise(self, keys: Keys, channel: Channel, sd: float) -> Floats:
        """(n, n_minute) factors around 1."""
        cells = derive(derive(keys, channel)[:, None], np.arange(self.minutes)[None, :])
        return np.exp(sd * normal(cells))

    def _changed(self, quantity: str, of: str, many: int) -> Floats:
        """(many, n_minute) of a quantity, neutral where nothing changes it."""
        neutral = 1.0 if quantity in FACTOR else 0.0
        state = np.full((many, self.minutes), neutral)
        for change in self.changes:
            if (change.quantity, change.of) == (quantity, of):
                span = slice(change.start, change.start + len(change.values))
                values = change.values[: state[0, span].size]
                if quantity in FACTOR:
                    state[change.rows, span] *= values
                else:
                    state[change.rows, span] += values
        return state

    def _pods(self, quantity: str) -> Floats:
        """(n_pod, n_minute): a pod's own change, with that of the node it runs on."""
        own = self._changed(quantity, "pod", len(self.topology.pods))
        node = self._changed(quantity, "node", len(self.topology.nodes))[self.topology.pod_node]
        changed: Floats = own * node if quantity in FACTOR else own + node
        return changed

    def _summed(self, pods: Floats) -> Floats:
        """(n_service, n_minute) sums over the pods of each service."""
        summed: Floats = _sums(self.topology.pod_service, len(self.topology.services)) @ pods
        return summed

    def _blips(self) -> Floats:
        """(n_pod, n_minute) factors: single slow minutes that mean nothing."""
        keys = derive(self.topology.pod_keys, Channel.BLIP)
        drawn = uniform(derive(keys[:, None], np.arange(self.minutes)[None, :]))
        return np.where(drawn < BLIPS, BLIP, 1.0)

    @cached_property
    def _copying(self) -> Floats:
        """(n_minute,) 1 while the stores write their copies away."""
        copying = np.zeros((-(-self.minutes // 1440), 1440))
        copying[:, NIGHTLY] = 1.0
        return copying.reshape(-1)[: self.minutes]

    # ── Requests: from people down the calls ──

    @cached_property
    def people(self) -> Floats:
        """(n_entry, n_minute) requests a second from outside."""
        minute = np.arange(self.minutes)
        day = 1.0 - DAILY * np.cos(2 * np.pi * (minute / 1440.0 - 4.0 / 24.0))
        day += 0.15 * np.sin(4 * np.pi * minute / 1440.0)
        week = np.where((minute // 1440 + self.weekday) % 7 >= 5, WEEKEND, 1.0)
        keys = derive(self.topology.service_keys[self.topology.entries], Channel.DEMAND)
        slow = np.exp(autoregressive(keys, self.minutes, 0.04, 0.97))
        return PEOPLE * day * week * slow * self._noise(keys, Channel.DEMAND, 0.02)

    @cached_property
    def _down(self) -> Floats:
        return np.clip(self._pods("down"), 0.0, 1.0)

    @cached_property
    def _shares(self) -> Floats:
        """(n_pod, n_minute) each pod's share of its service's requests."""
        up = self.topology.weight[:, None] * np.maximum(1.0 - self._down, 1e-3)
        total: Floats = up / self._summed(up)[self.topology.pod_service]
        return total

    @cached_property
    def _own_errors(self) -> Floats:
        """(n_service, n_minute) share of requests that a service fails by itself."""
        lost = np.clip(self._pods("errors"), 0.0, 0.98)
        errors = self._summed(self._shares * lost)
        errors += self._changed("errors", "service", len(self.topology.services))
        # with fewer pods up than half, the rest turns requests away
        down = self._summed(self.topology.weight[:, None] * self._down)
        return np.clip(errors + 0.5 * np.maximum(down - 0.5, 0.0), 0.0, 0.98)

    @cached_property
    def requests(self) -> Floats:
        """(n_service, n_minute) requests a second."""
        topology, calls = self.topology, self.topology.calls
        rate = np.zeros((len(topology.services), self.minutes))
        rate[topology.entries] = self.people
        own = self._own_errors
        for call in range(len(calls)):
            caller, callee = calls.caller[call], calls.callee[call]
            # who fails a request early calls nobody for it
            rate[callee] += calls.many[call] * rate[caller] * (1.0 - own[caller])
        return rate

    @cached_property
    def _pod_requests(self) -> Floats:
        topology = self.topology
        share = self._shares * self._noise(topology.pod_keys, Channel.RATE, 0.05)
        rates: Floats = share * self.requests[topology.pod_service]
        return rates

    @cached_property
    def _usual(self) -> Floats:
        """(n_service,) requests a second on average, without noise or faults."""
        calls = self.topology.calls
        usual = np.zeros(len(self.topology.services))
        usual[self.topology.entries] = PEOPLE
        for call in range(len(calls)):
            usual[calls.callee[call]] += calls.many[call] * usual[calls.caller[call]]
        return usual

    # ── Time and failures: from callees back up ──

    @cached_property
    def _pod_seconds(self) -> Floats:
        """(n_pod, n_minute) own time of a request."""
        topology = self.topology
        busy = self._pod_requests / (topology.weight * self._usual[topology.pod_service])[:, None]
        own = topology.seconds[topology.pod_service][:, None] * (1.0 + 0.12 * busy**2)
        noise = self._noise(topology.pod_keys, Channel.LATENCY, 0.06) * self._blips()
        seconds: Floats = own * self._pods("latency") * noise
        return seconds

    @cached_property
    def own_seconds(self) -> Floats:
        """(n_service, n_minute) own time of a request; slow pods weigh more, as they do in a 95th percentile."""
        topology = self.topology
        own = np.cbrt(self._summed(self._shares * self._pod_seconds**3))
        outside = np.flatnonzero(topology.kind == EXTERNAL)
        theirs = self._changed("latency", "service", len(topology.services))[outside]
        noise = self._noise(topology.service_keys[outside], Channel.LATENCY, 0.08)
        own[outside] = topology.seconds[outside, None] * theirs * noise
        return own

    @cached_property
    def _delays(self) -> Floats:
        """(n_service, n_minute) seconds that the network adds to whatever enters or leaves a service."""
        delays = self._summed(self._shares * self._pods("delay"))
        return delays + self._changed("delay", "service", len(self.topology.services))

    @cached_property
    def seconds(self) -> Floats:
        """(n_service, n_minute) mean time of a request as the service itself sees it."""
        total = self.own_seconds.copy()
        calls = self.topology.calls
        for call in range(len(calls) - 1, -1, -1):
            caller, callee = calls.caller[call], calls.callee[call]
            felt = total[callee] + self._delays[callee] + self._delays[caller]
            total[caller] += WAIT * calls.many[call] * _later(felt, calls.lag[call])
        return total

    @cached_property
    def _usual_seconds(self) -> Floats:
        calls = self.topology.calls
        usual = self.topology.seconds.copy()
        for call in range(len(calls) - 1, -1, -1):
            usual[calls.caller[call]] += WAIT * calls.many[call] * usual[calls.callee[call]]
        return usual

    @cached_property
    def errors(self) -> Floats:
        """(n_service, n_minute) share of requests that fail: a service's own, its callees', and those too slow."""
        topology, calls = self.topology, self.topology.calls
        slow = self.seconds / self._usual_seconds[:, None]
        kept = (1.0 - self._own_errors) * (1.0 - np.clip((slow - 5.0) / 15.0, 0.0, 0.4))
        for call in range(len(calls) - 1, -1, -1):
            failed = _later(1.0 - kept[calls.callee[call]], calls.lag[call])
            kept[calls.caller[call]] *= 1.0 - calls.critical[call] * failed
        base = BASE_ERROR * self._noise(topology.service_keys, Channel.ERROR, 0.35)
        return np.clip(1.0 - kept + base, 0.0, 1.0)

    @cached_property
    def slowness(self) -> Floats:
        """(n_service, n_minute) time of a request over its usual one."""
        slowness: Floats = self.seconds / self._usual_seconds[:, None]
        return slowness

    # ── What is measured ──

    @cached_property
    def _cores(self) -> Floats:
        """(n_pod, n_minute) cores used; half a core at the usual load."""
        topology = self.topology
        busy = self._pod_requests / (topology.weight * self._usual[topology.pod_service])[:, None]
        noise = self._noise(topology.pod_keys, Channel.CPU, 0.05)
        stores = topology.kind[topology.pod_service] == DATABASE
        noise *= 1.0 + 0.4 * stores[:, None] * self._copying
        cores: Floats = (0.06 + 0.44 * busy) * self._pods("cpu") * noise
        return np.minimum(cores, 4.0) * np.maximum(1.0 - self._down, 0.02)

    @cached_property
    def _bytes(self) -> Floats:
        """(n_pod, n_minute) memory used."""
        topology = self.topology
        busy = self._pod_requests / (topology.weight * self._usual[topology.pod_service])[:, None]
        usual = MEMORY * (0.7 + 0.6 * uniform(derive(topology.pod_keys, 1)))[:, None]
        taken = usual * (1.0 + 0.05 * busy) * self._noise(topology.pod_keys, Channel.MEMORY, 0.01)
        taken += self._changed("memory", "pod", len(topology.pods))
        return np.minimum(taken, LIMIT) * np.maximum(1.0 - self._down, 0.05)

    @cached_property
    def _sent(self) -> Floats:
        """(n_pod, n_minute) bytes a second that leave a pod."""
        noise = self._noise(self.topology.pod_keys, Channel.NETWORK, 0.06)
        sent: Floats = 9e3 * self._pod_requests * self._pods("network") * noise
        return sent

    def readings(self) -> Iterator[Reading]:
        """Every metric in turn, as a query returns it: counters as rates, histograms as their 95th percentile."""
        yield from self._of_nodes()
        yield from self._of_pods()
        yield from self._of_services()

    def _of_nodes(self) -> Iterator[Reading]:
        topology = self.topology
        on = _sums(topology.pod_node, len(topology.nodes))
        nodes = _ids("node", topology.nodes)
        system = 0.4 * self._noise(topology.node_keys, Channel.CPU, 0.08)
        burnt = self._changed("burn", "node", len(topology.nodes))
        yield Reading(
            "node_cpu_seconds_total", nodes, np.minimum(on @ self._cores + system + burnt, CORES)
        )
        free = NODE_MEMORY - 3e9 * self._noise(topology.node_keys, Channel.MEMORY, 0.01)
        yield Reading("node_memory_MemAvailable_bytes", nodes, free - on @ self._bytes)
        keeps = topology.kind[topology.pod_service] == DATABASE
        writes = on @ (self._pod_requests * np.where(keeps, 1.0, 0.05)[:, None])
        disk = (20.0 + 1.5 * writes) * self._changed("disk", "node", len(topology.nodes))
        disk *= self._noise(topology.node_keys, Channel.DISK, 0.1)
        holds = (on @ keeps.astype(np.float64) > 0)[:, None]
        disk *= 1.0 + 1.5 * holds * self._copying
        yield Reading("disk_io_time_ms", nodes, np.minimum(disk, 1000.0 * 60.0))
        pods = _ids("pod", topology.pods)
        yield Reading(
            "network_transmit_bytes", pods + nodes, np.vstack([self._sent, on @ self._sent])
        )

    def _of_pods(self) -> Iterator[Reading]:
        topology = self.topology
        running = np.flatnonzero(topology.kind != EXTERNAL)
        pods = _ids("pod", topology.pods)
        both = pods + _ids("service", [topology.services[row] for row in running])
        for metric, values in (
            ("container_cpu_usage_seconds_total", self._cores),
            ("container_memory_usage_bytes", self._bytes),
        ):
            yield Reading(metric, both, np.vstack([values, self._summed(values)[running]]))
        yield Reading("kube_pod_status_phase", pods, np.where(self._down > 0.5, 0.0, 1.0))

    def _of_services(self) -> Iterator[Reading]:
        topology = self.topology
        services = _ids("service", topology.services)
        pods = _ids("pod", topology.pods)
        running = np.flatnonzero(topology.kind != EXTERNAL)
        up = self._summed(np.where(self._down > 0.5, 0.0, 1.0))[running]
        yield Reading("kube_deployment_status_replicas", _some(services, running), up)
        front = topology.entries
        balanced = np.ones((len(front), self.minutes))
        yield Reading("kube_service_status_load_balancer", _some(services, front), balanced)
        requests = np.vstack([self._pod_requests, self.requests])
        yield Reading("http_requests_total", pods + services, requests)
        inner = np.flatnonzero(topology.kind == APPLICATION)
        calls = self.requests[inner] * self._noise(topology.service_keys[inner], Channel.RATE, 0.02)
        yield Reading("grpc_requests_total", _some(services, inner), 0.6 * calls)
        # a pod's time is that of its service, shifted by what the pod itself does
        rest = (self.seconds - self.own_seconds)[topology.pod_service]
        tail = TAIL * self._noise(topology.service_keys, Channel.LATENCY, 0.03)
        times = np.vstack([TAIL * (self._pod_seconds + rest), tail * self.seconds])
        yield Reading("http_request_duration_seconds", pods + services, times)
        stores = np.flatnonzero(topology.kind == DATABASE)
        yield Reading(
            "database_query_duration_seconds",
            _some(services, stores),
            0.7 * tail[stores] * self.own_seconds[stores],
        )
        yield Reading("error_rate_by_service", services, self.errors)
        late = 0.5 * np.clip(self.slowness - 2.0, 0.0, 1.0)
        kept = 100.0 * (1.0 - self.errors) * (1.0 - late)
        yield Reading("sla_compliance_percentage", services, kept)
        yield from self._of_business()

    def _of_business(self) -> Iterator[Reading]:
        topology = self.topology
        front = topology.entries
        patience = np.exp(-0.08 * np.maximum(self.slowness[front] - 1.0, 0.0))
        served = self.people * (1.0 - self.errors[front]) * patience
        keys = topology.service_keys[front]
        names = _some(_ids("service", topology.services), front)
        for place, (metric, worth) in enumerate(
            (("user_signup_rate", SIGNUPS), ("transaction_value", 0.03 * ORDER_VALUE))
        ):
            noise = self._noise(derive(keys, place), Channel.BUSINESS, 0.08)
            yield Reading(metric, names, worth * served * noise)

    def edges(self) -> dict[str, Floats]:
        """{metric: (n_call, n_minute)} time of each call as its caller and as its callee see it."""
        calls = self.topology.calls
        inside = self.seconds[calls.callee]
        keys = derive(self.topology.service_keys[calls.callee], calls.caller)
        wire = 0.0008 * self._noise(keys, Channel.EDGE, 0.15)
        wire += self._delays[calls.callee] + self._delays[calls.caller]
        return {
            "duration_seconds:source_side": inside + wire,
            "duration_seconds:target_side": inside * self._noise(keys, Channel.LATENCY, 0.02),
        }


def _later(values: Floats, lag: int) -> Floats:
    """The same minutes, `lag` later; the first value holds before."""
    lag = min(int(lag), len(values) - 1)
    return values if lag == 0 else np.concatenate([np.full(lag, values[0]), values[:-lag]])


def _sums(group: Numbers, groups: int) -> sparse.csr_array:
    return sparse.csr_array(
        (np.ones(len(group)), (group, np.arange(len(group)))), shape=(groups, len(group))
    )


def _ids(level: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{level}:{name}" for name in names)


def _some(ids: Sequence[str], rows: Numbers) -> tuple[str, ...]:
    return tuple(ids[row] for row in rows)
