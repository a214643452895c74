"""Small worlds with a known answer: what the check-suite and the tests ask the algorithms about."""

from __future__ import annotations

import dataclasses

import networkx as nx
import numpy as np
from scipy.stats import norm

from core.cases import WHOLE, Alarm, Case, Cube, Graph, combination
from core.contracts import Labels, Panel, Periods


def sample(n_entity: int = 24, n_time: int = 42, seed: int = 0) -> Panel:
    """Standard normal metrics over a weak weekly wave; no gaps, nothing anomalous."""
    rng = np.random.default_rng(seed)
    wave = 0.3 * np.sin(2 * np.pi * np.arange(n_time) / 7)[:, None]
    labels = np.datetime64("2026-01-05", "s") + np.arange(n_time) * np.timedelta64(86_400, "s")
    return Panel(
        rng.standard_normal((n_entity, n_time, 5)) + wave,
        tuple(f"keyword:{number}" for number in range(n_entity)),
        ("impressions", "ctr", "cpc", "cvr", "aov"),
        Periods(labels, np.timedelta64(1, "D")),
    )


SPIKE = (5, 39)
"""Entity and time of the planted spike."""


def spiked(seed: int = 0) -> Panel:
    """The sample with one day far out in every metric."""
    panel = sample(seed=seed)
    values = panel.values.copy()
    values[SPIKE] += 12.0
    return panel.with_values(values)


def planted_classes(panel: Panel) -> Labels:
    """The class of every cell by its first metric alone: "down", "usual" or "up"; blank where it is missing."""
    first = panel.values[:, :, 0]
    classes = np.where(first > 0.5, "up", np.where(first < -0.5, "down", "usual"))
    return np.where(np.isnan(first), "", classes)


def planted_case(effect: float = 0.3, alarm: str = "keyword:1.0.0") -> Case:
    """One profile, 8 campaigns of 2 ad groups of 2 keywords; `campaign:1` falls to `effect` on day 8 of 14."""
    rng = np.random.default_rng(0)
    net: nx.DiGraph[str] = nx.DiGraph()
    net.add_node("profile:0", level="profile")
    for campaign in range(8):
        for group in range(2):
            for keyword in range(2):
                ids = ("0", f"{campaign}", f"{campaign}.{group}", f"{campaign}.{group}.{keyword}")
                levels = ("profile", "campaign", "ad_group", "keyword")
                path = [f"{level}:{key}" for level, key in zip(levels, ids, strict=True)]
                net.add_nodes_from(
                    (node, {"level": levels[depth]}) for depth, node in enumerate(path)
                )
                nx.add_path(net, path)
    nodes = tuple(net)
    below = np.array(
        [[leaf in nx.descendants(net, node) | {node} for leaf in nodes] for node in nodes]
    )
    below &= np.array([net.out_degree(leaf) == 0 for leaf in nodes])
    usual = np.array([2_000.0, 60.0, 45.0, 6.0, 240.0])
    reference = np.broadcast_to((below.sum(axis=1)[:, None] * usual)[:, None], (len(nodes), 14, 5))
    noise = rng.normal(0, 0.02, (len(nodes), 14, 5))
    hit = below[nodes.index("campaign:1")][:, None] & (np.arange(14) >= 7)
    leaves = usual * (1 + noise) * np.where(hit, effect, 1.0)[:, :, None]
    observed = np.einsum("nl,ltm->ntm", below.astype(float), leaves)
    spread = 0.05 * reference
    p_values = 2 * norm.sf(np.abs((observed - reference) / spread)[:, :, 0])
    labels = np.datetime64("2026-03-02", "s") + np.arange(14) * np.timedelta64(86_400, "s")
    metrics = ("impressions", "clicks", "cost", "orders", "sales")
    panel = Panel(observed, nodes, metrics, Periods(labels, np.timedelta64(1, "D")))
    return Case(
        Graph(net), Alarm(alarm, labels[-1]), panel, panel.with_values(reference), spread, p_values
    )


MATCHES = {"exact": "up", "broad": "down", "phrase": "usual", "": ""}
"""The class that each word of the column `match` stands for."""


def worded(seed: int = 0) -> Panel:
    """The sample with words: `match` changes from day to day, `country` never does and means nothing."""
    panel, rng = sample(seed=seed), np.random.default_rng(seed)
    match = rng.choice(list(MATCHES), panel.values.shape[:2])
    country = rng.choice(["de", "fr", ""], len(panel.entities))
    return dataclasses.replace(panel, words={"match": match, "country": country})


def spoken_classes(panel: Panel) -> Labels:
    """The class of every cell of a worded panel by its word alone; blank where there is none."""
    return np.array([[MATCHES[word] for word in row] for row in panel.words["match"]])


CALLS = {
    "front": ("cart", "search", "ads"),
    "cart": ("stock", "store"),
    "search": ("index",),
    "stock": ("store", "audit"),
}
"""Who calls whom in the planted system."""
SERVICE_ROOT = "stock"
"""Its planted root."""


def planted_service_case(effect: float = 1.0, seed: int = 0) -> Case:
    """Eight services: from minute 14 of 20 `SERVICE_ROOT` is `effect` times slower and busier, so are its callers, less.

    The alarm is of the front's latency; four hours are normal.
    """
    rng = np.random.default_rng(seed)
    net: nx.DiGraph[str] = nx.DiGraph()
    net.add_edges_from((callee, caller) for caller, callees in CALLS.items() for callee in callees)
    nodes = tuple(sorted(net))
    metrics = ("http_request_duration_seconds", "container_cpu_usage_seconds_total")
    times = np.datetime64("2026-03-02", "s") + np.arange(260) * np.timedelta64(60, "s")
    usual = np.stack([rng.uniform(0.02, 0.2, len(nodes)), rng.uniform(0.1, 2.0, len(nodes))], 1)
    seen = usual[:, None] * rng.lognormal(0.0, 0.05, (len(nodes), len(times), 2))
    wave = 1.0 + rng.normal(0.0, 0.1, 6)
    for caller, share in ((SERVICE_ROOT, 1.0), ("cart", 0.6), ("front", 0.4)):
        seen[nodes.index(caller), -6:, 0] *= 1.0 + effect * share * wave
    seen[nodes.index(SERVICE_ROOT), -6:, 1] *= 1.0 + effect * wave
    step = np.timedelta64(60, "s")
    panel = Panel(seen[:, 240:], nodes, metrics, Periods(times[240:], step))
    normal = Panel(seen[:, :240], nodes, metrics, Periods(times[:240], step))
    alarm = Alarm("front", times[254], metrics[0])
    return Case(Graph(net), alarm, panel, normal=normal)


CUBE_ROOT = combination({"region": "eu", "device": "tv"})
"""The planted root of the cube."""


def planted_cube_case(effect: float = 0.3, seed: int = 0) -> Case:
    """Failures of 3 regions × 4 devices × 2 protocols over 12 minutes; of `CUBE_ROOT` a share `effect` more at the last."""
    rng = np.random.default_rng(seed)
    attributes = ("region", "device", "protocol")
    vocabularies = (("eu", "us", "in"), ("tv", "web", "ios", "bot"), ("h2", "h3"))
    sizes = [len(values) for values in vocabularies]
    leaves = np.indices(sizes).reshape(3, -1).T
    count = rng.poisson(400, (len(leaves), 12)).astype(float)
    share = np.full(count.shape, 0.02)
    share[(leaves[:, :2] == 0).all(axis=1), -1] += 0.98 * effect
    times = np.datetime64("2026-03-02", "s") + np.arange(12) * np.timedelta64(60, "s")
    value = rng.binomial(count.astype(int), share).astype(float)
    net: nx.DiGraph[str] = nx.DiGraph()
    net.add_node(WHOLE)
    return Case(
        Graph(net),
        Alarm(WHOLE, times[-1]),
        cube=Cube(attributes, vocabularies, leaves, value, count, times),
    )
