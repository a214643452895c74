"""What the leaves of a hierarchy deviate by, channel by channel, and how much deviation is normal.

The funnel splits a fall in sales into independent steps: impressions, clicks per impression, price per click,
orders per click, sales per order. Each step compares a count with what its own denominator lets expect, so one
change shows in one channel. Money is divided by its expected unit price, which turns it into a count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from core.cases import Graph
from core.contracts import Floats, Panel
from core.domain import Domain
from core.hierarchy.structure import membership

Rows = NDArray[np.intp]
BINS, CELLS = 8, 20_000  # groups by size, and cells that are enough, to learn noise from


@dataclass(frozen=True)
class Channel:
    """numerator per denominator; without a denominator the numerator against its own expectation."""

    name: str
    numerator: str
    denominator: str = ""


FUNNEL = (
    Channel("impressions", "impressions"),
    Channel("ctr", "clicks", "impressions"),
    Channel("cpc", "cost", "clicks"),
    Channel("cvr", "orders", "clicks"),
    Channel("aov", "sales", "orders"),
)


def counts(observed: Panel, reference: Panel, domain: Domain) -> tuple[Floats, Floats]:
    """Observed and expected counts, each (n_entity, n_time, n_channel); 0 and 0 where something is missing."""
    pairs = [_pair(observed, reference, channel, domain) for channel in FUNNEL]
    seen, expected = (np.stack(side, axis=-1) for side in zip(*pairs, strict=True))
    known = np.isfinite(seen) & np.isfinite(expected) & (expected > 0)
    return np.where(known, seen, 0.0), np.where(known, expected, 0.0)


def _pair(
    observed: Panel, reference: Panel, channel: Channel, domain: Domain
) -> tuple[Floats, Floats]:
    seen, expected = observed.metric(channel.numerator), reference.metric(channel.numerator)
    if not channel.denominator:
        return seen, expected
    exposure = observed.metric(channel.denominator)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = expected / reference.metric(channel.denominator)
        if domain.metric(channel.numerator).unit == "money":
            return seen / rate, exposure
    return seen, exposure * rate


@dataclass(frozen=True, eq=False)
class Deviations:
    """Leaves of one or more views of the same traffic (keywords; ads), and who is above them.

    design   : (n_node, n_leaf), the share of a leaf's traffic that a change at the node touches. 1 below the node;
               a leaf of another view that meets the node in a bridge (an ad and a keyword of one ad group) is
               touched by the share of the bridge's traffic that runs through the node
    edges    : (n_edge, 2) rows of parent and child, in order of the child
    seen     : (n_leaf, n_time, n_channel) observed counts
    expected : the same, expected
    noise    : (n_leaf, n_channel, 2): variance of seen/expected is first/expected + second
    """

    nodes: tuple[str, ...]
    levels: tuple[str, ...]
    design: sparse.csr_array
    leaves: Rows
    edges: Rows
    seen: Floats
    expected: Floats
    noise: Floats


def deviations(graph: Graph, observed: Panel, reference: Panel, domain: Domain) -> Deviations:
    """Cut panels of all nodes down to the leaves."""
    nodes = observed.entities
    levels = tuple(graph.level(node) if node in graph.net else "" for node in nodes)
    below = membership(graph, nodes)
    leaves = np.flatnonzero(np.diff(below.indptr) == 1)
    names = [nodes[row] for row in leaves]
    seen, expected = counts(
        observed.select(entities=names), reference.select(entities=names), domain
    )
    views = np.array([levels[row] for row in leaves])
    traffic = expected[:, :, 0].sum(axis=1)
    design = _design(below, leaves, views, traffic)
    return Deviations(
        nodes,
        levels,
        design,
        leaves,
        _edges(graph, observed, below, leaves, views, traffic),
        seen,
        expected,
        _noise(seen, expected, views),
    )


def _edges(
    graph: Graph,
    observed: Panel,
    below: sparse.csr_array,
    leaves: Rows,
    views: NDArray[np.str_],
    traffic: Floats,
) -> Rows:
    """Parents and children, and nodes of another branch that hold all the traffic of a node in one view.

    An ASIN whose ads all lie in one portfolio moves with that portfolio as a child would.
    """
    row_of = observed.row_of
    pairs = {
        (row_of[parent], row_of[child])
        for parent, child in graph.net.edges
        if parent in row_of and child in row_of
    }
    inside = sparse.csr_array(below[:, leaves])
    for kind in np.unique(views):
        flow = sparse.csr_array(inside @ sparse.diags_array(np.where(views == kind, traffic, 0.0)))
        whole = np.maximum(flow.sum(axis=1), 1e-12)
        both = sparse.coo_array(inside @ flow.T)
        full = both.data >= 0.999 * whole[both.coords[1]]
        holders, held = both.coords[0][full], both.coords[1][full]
        covers = set(zip(holders.tolist(), held.tolist(), strict=True))
        kin = below[holders, held] > 0
        pairs |= {
            pair
            for pair, near in zip(
                zip(holders.tolist(), held.tolist(), strict=True), kin, strict=True
            )
            if not near and pair[::-1] not in covers
        }
    by_child = sorted(pairs, key=lambda pair: pair[::-1])
    return np.array(by_child, dtype=np.intp).reshape(-1, 2)


def _design(
    below: sparse.csr_array, leaves: Rows, views: NDArray[np.str_], traffic: Floats
) -> sparse.csr_array:
    inside = sparse.csr_array(below[:, leaves])
    kinds = sorted(set(views))
    seen_by = np.column_stack([inside @ (views == kind) for kind in kinds])
    several = (seen_by > 0).sum(axis=1) > 1
    # a bridge sees several views and has no node below it that does
    inner = np.diff((below[:, several]).tocsr().indptr)
    bridges = np.flatnonzero(several & (inner == 1))
    if not len(bridges):
        return inside
    spans = sparse.csr_array(inside[bridges])
    parts = []
    for kind in kinds:
        mine = sparse.diags_array(np.where(views == kind, traffic, 0.0))
        whole = spans @ np.where(views == kind, traffic, 0.0)
        share = (inside @ mine @ spans.T) @ sparse.diags_array(1.0 / np.maximum(whole, 1e-12))
        others = sparse.diags_array((views != kind).astype(float))
        parts.append(share @ spans @ others)
    # a node above a whole bridge has its leaves already: the share is 1 there, never more
    design = inside
    for part in parts:
        design = design.maximum(sparse.csr_array(part))
    return sparse.csr_array(design)


def _noise(seen: Floats, expected: Floats, views: NDArray[np.str_]) -> Floats:
    """Counting noise and day noise of each view and channel, learned from all the days of the panel.

    Winsorised squares keep a few faulty days from passing for noise; NNLS keeps both parts above zero.
    """
    noise = np.zeros((*seen.shape[::2], 2))
    for kind in set(views):
        rows = np.flatnonzero(views == kind)
        for channel in range(seen.shape[2]):
            noise[rows, channel] = _two_parts(
                seen[rows, :, channel].ravel(), expected[rows, :, channel].ravel()
            )
    return noise


def _two_parts(seen: Floats, expected: Floats) -> tuple[float, float]:
    used = expected > 0.2
    if used.sum() < 50 * BINS:
        return 1.0, 0.01
    step = 1 + int(used.sum()) // CELLS
    seen, expected = seen[used][::step], expected[used][::step]
    order = np.array_split(np.argsort(expected), BINS)
    size = np.array([expected[part].mean() for part in order])
    squares = [(seen[part] - expected[part]) ** 2 / expected[part] for part in order]
    spread = np.array([np.minimum(part, np.quantile(part, 0.98)).mean() for part in squares])
    scale = 1.0 / np.maximum(spread, 1e-9)
    (counting, daily), _ = optimize.nnls(np.column_stack([scale, size * scale]), spread * scale)
    return max(float(counting), 1e-4), max(float(daily), 1e-6)
