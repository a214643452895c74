"""A small advertising account with known rates, for tests of core: no files, no detectors."""

from __future__ import annotations

import networkx as nx
import numpy as np

from core.cases import Graph
from core.contracts import Panel, Periods

METRICS = ("impressions", "clicks", "cost", "orders", "sales")
WEEKDAYS = np.array([0.97, 0.98, 0.99, 1.0, 1.0, 1.05, 1.06])


def account(
    *,
    days: int = 75,
    shape: tuple[int, ...] = (2, 2, 5, 2, 6),
    seed: int = 1,
    unrest: float = 0.08,
    impressions: float = 500.0,
    faults: dict[str, dict[str, float]] | None = None,
    onset: int = 70,
) -> tuple[Panel, Graph]:
    """Profiles × portfolios × campaigns × ad groups × keywords, daily, summed to every level.

    faults : {node id: {channel: factor}} from day `onset` on, for all keywords below the node
    """
    rng = np.random.default_rng(seed)
    levels = ("profile", "portfolio", "campaign", "ad_group", "keyword")
    net: nx.DiGraph = nx.DiGraph()
    ancestry: list[list[str]] = [[]]
    for level, count in zip(levels, shape, strict=True):
        longer = []
        for path in ancestry:
            for index in range(count):
                node = f"{level}:{'.'.join([*(p.rpartition('.')[2].rpartition(':')[2] for p in path), str(index)])}"
                net.add_node(node, level=level, name=node)
                if path:
                    net.add_edge(path[-1], node)
                longer.append([*path, node])
        ancestry = longer

    n = len(ancestry)
    factor = {
        channel: np.ones((n, days)) for channel in ("impressions", "ctr", "cpc", "cvr", "aov")
    }
    for node, changes in (faults or {}).items():
        rows = [row for row, path in enumerate(ancestry) if node in path]
        for channel, value in changes.items():
            factor[channel][rows, onset:] *= value
    start = np.datetime64("2026-01-01")
    labels = (start + np.arange(days)).astype("datetime64[s]")
    weekday = (labels.astype("datetime64[D]").astype(int) + 3) % 7
    column = np.ones((n, 1))
    mean = impressions * rng.lognormal(0, 0.8, (n, 1)) * WEEKDAYS[weekday] * factor["impressions"]
    mean = mean * rng.lognormal(-(unrest**2) / 2, unrest, (n, days))
    shown = rng.poisson(mean)
    ctr = rng.beta(8, 160, (n, 1)) * factor["ctr"]
    clicks = rng.binomial(shown, np.clip(ctr, 0, 1))
    cost = (
        clicks * rng.uniform(0.4, 1.5, (n, 1)) * rng.lognormal(0, 0.04, (n, days)) * factor["cpc"]
    )
    orders = rng.poisson(clicks * rng.beta(9, 80, (n, 1)) * factor["cvr"])
    sales = orders * 25.0 * rng.lognormal(0, 0.03, (n, days)) * column * factor["aov"]
    leaves = np.stack([shown, clicks, np.round(cost, 2), orders, np.round(sales, 2)], axis=-1)

    entities = tuple(net.nodes)
    row_of = {entity: row for row, entity in enumerate(entities)}
    values = np.zeros((len(entities), days, len(METRICS)))
    for leaf, path in zip(leaves, ancestry, strict=True):
        for node in path:
            values[row_of[node]] += leaf
    periods = Periods(labels, np.timedelta64(1, "D"))
    return Panel(values, entities, METRICS, periods), Graph(net)
