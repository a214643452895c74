"""Announced events: which entities and days they reach, also through what is summed from their scope."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from core.cases import Graph
from core.contracts import Bools, Floats, Panel

REACHED = 0.1
"""Share of an entity's volume that must lie in an event's scope for the event to explain a change of it."""


def announced_days(
    panel: Panel,
    graph: Graph,
    events: Iterable[tuple[str, np.datetime64, np.datetime64]],
    metric: str = "impressions",
) -> Bools:
    """(n_entity, n_time) True where an event is to be expected.

    events : (scope, first day, last day), days included; the scope is an entity, "" is everything

    In scope are the entity, everything below it, and whatever draws a tenth of its volume from there: a
    promotion of one portfolio also lifts the ASINs it advertises and the account.
    """
    days = panel.periods.labels.astype("datetime64[D]")
    marked = np.zeros(panel.values.shape[:2], dtype=bool)
    volume = np.nansum(panel.metric(metric), axis=1)
    for scope, first, last in events:
        within = (days >= np.datetime64(first)) & (days <= np.datetime64(last))
        reached = (
            np.ones(len(volume), dtype=bool) if scope == "" else _reach(panel, graph, scope, volume)
        )
        marked |= reached[:, None] & within
    return marked


def _reach(panel: Panel, graph: Graph, scope: str, volume: Floats) -> Bools:
    if scope not in graph.net:
        return np.array([entity == scope for entity in panel.entities], dtype=bool)
    every = graph.net.number_of_nodes()
    below = {scope, *graph.descendants(scope, every)}
    reached = np.array([entity in below for entity in panel.entities])
    # per level: an account is the sum of its campaigns, and once more of its keywords
    inside: defaultdict[tuple[str, str], float] = defaultdict(float)
    for entity in below & panel.row_of.keys():
        for above in graph.ancestors(entity, every):
            inside[above, graph.level(entity)] += volume[panel.row_of[entity]]
    for (above, _), share in inside.items():
        if above in panel.row_of:
            row = panel.row_of[above]
            reached[row] |= share >= REACHED * volume[row]
    return reached
