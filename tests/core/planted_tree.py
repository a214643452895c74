"""A small advertising account with known expectations and known changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from core.cases import Alarm, Case, Graph
from core.contracts import Panel, Periods
from core.hierarchy.structure import hierarchy

METRICS = ("impressions", "clicks", "cost", "orders", "sales")
FUNNEL = ("impressions", "ctr", "cpc", "cvr", "aov")
DAYS = 60


@dataclass(frozen=True)
class Change:
    """From `day` on, each named channel is multiplied below `node`."""

    node: str
    day: int
    factors: dict[str, float]


def account(campaigns: int = 4, ad_groups: int = 2, keywords: int = 5) -> Graph:
    """One profile, two portfolios; every ad group advertises two ASINs, every ASIN sits in two ad groups."""
    nodes = [{"id": "profile:1", "level": "profile", "name": "Shop"}]
    edges: list[tuple[str, str]] = []

    def add(level: str, name: str, *parents: str) -> str:
        node = f"{level}:{name}"
        if not any(row["id"] == node for row in nodes):
            nodes.append({"id": node, "level": level, "name": name})
        edges.extend((parent, node) for parent in parents if (parent, node) not in edges)
        return node

    total = campaigns * ad_groups
    for c in range(campaigns):
        portfolio = add("portfolio", f"P{c % 2}", "profile:1")
        campaign = add("campaign", f"C{c}", portfolio)
        for g in range(ad_groups):
            number = c * ad_groups + g
            ad_group = add("ad_group", f"G{number}", campaign)
            for k in range(keywords):
                add("keyword", f"K{number}.{k}", ad_group)
            for place in (number, (number + 1) % total):
                asin = add("asin", f"1/A{place}", "profile:1")
                add("ad", f"D{number}.{place}", ad_group, asin)
    return hierarchy(nodes, edges)


def case(
    graph: Graph, changes: Sequence[Change] = (), *, node: str = "profile:1", seed: int = 0
) -> Case:
    """Poisson and binomial counts of every keyword × ad, summed at every node, beside their expectations."""
    rng = np.random.default_rng(seed)
    entities = tuple(graph.net)
    row_of = {entity: row for row, entity in enumerate(entities)}
    seen = np.zeros((len(entities), DAYS, len(METRICS)))
    usual = np.zeros_like(seen)
    struck = {
        change.node: {change.node, *nx.descendants(graph.net, change.node)} for change in changes
    }
    for group in (entity for entity in entities if graph.level(entity) == "ad_group"):
        children = graph.children(group)
        ads = [child for child in children if graph.level(child) == "ad"]
        for keyword in (child for child in children if graph.level(child) == "keyword"):
            demand, cvr, price = (
                rng.lognormal(np.log(600), 0.5),
                rng.uniform(0.08, 0.14),
                rng.uniform(15, 40),
            )
            ctr, bid = rng.uniform(0.01, 0.02), rng.uniform(0.5, 1.5)
            for ad in ads:
                factor = np.ones((DAYS, len(FUNNEL)))
                for change in changes:
                    if {keyword, ad} & struck[change.node]:
                        for name, value in change.factors.items():
                            factor[change.day :, FUNNEL.index(name)] *= value
                base = np.array([demand / len(ads), ctr, bid, cvr, price])
                line = _line(base, factor, rng)
                above = {
                    keyword,
                    ad,
                    *nx.ancestors(graph.net, keyword),
                    *nx.ancestors(graph.net, ad),
                }
                rows = [row_of[entity] for entity in above]
                clicks = demand / len(ads) * ctr
                expected = [
                    demand / len(ads),
                    clicks,
                    clicks * bid,
                    clicks * cvr,
                    clicks * cvr * price,
                ]
                seen[rows] += line
                usual[rows] += expected
    labels = np.datetime64("2026-01-01", "s") + np.arange(DAYS) * np.timedelta64(86400, "s")
    periods = Periods(labels, np.timedelta64(1, "D"))
    observed = Panel(seen, entities, METRICS, periods)
    return Case(graph, Alarm(node, labels[-1]), observed, Panel(usual, entities, METRICS, periods))


def _line(base: np.ndarray, factor: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rates = base * factor
    noise = np.exp(rng.normal(0.0, 0.05, (DAYS, 2)))
    impressions = rng.poisson(rates[:, 0] * noise[:, 0])
    clicks = rng.binomial(impressions, np.minimum(rates[:, 1], 1.0))
    orders = rng.poisson(clicks * rates[:, 3])
    value = 1.0 + 0.3 * rng.standard_normal(DAYS) / np.sqrt(np.maximum(orders, 1))
    cost, sales = clicks * rates[:, 2] * noise[:, 1], orders * rates[:, 4] * np.maximum(value, 0.2)
    return np.stack([impressions, clicks, cost, orders, sales], axis=1).astype(float)
