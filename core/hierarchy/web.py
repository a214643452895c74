"""Coordinates for a readable drawing of the part of a web of calls that matters to one alarm.

A layered drawing after Sugiyama, Tagawa & Toda (IEEE SMC 1981, sections III and IV): columns by hops to the alarm, so
that trouble runs from left to right and a link only crosses the gap between two columns; within a column the order of
the barycentres, swept to and fro, of which the one with the fewest crossings stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

from core.cases import Graph
from core.hierarchy.layout import Layout, Spot

MOST_ROWS = 8
"""Nodes of one column, so that each can be read; only paths may ask for more."""
FURTHEST = 5
"""Hops from the alarm to the farthest column, where no path comes from farther."""
SWEEPS = 8

Columns = dict[int, list[str]]


def woven(
    graph: Graph,
    focus: str,
    *,
    weight: Mapping[str, float],
    paths: Sequence[Sequence[str]] = (),
    limit: int = 60,
) -> Layout:
    """The paths, what is anomalous beside them, then calm neighbours; at most `MOST_ROWS` in a column.

    weight : how much an anomalous node matters
    paths  : from a suspected cause to an alarm each, the best first; without any, `focus` is the alarm
    limit  : most spots, those that stand for collapsed nodes included

    Drawn are nodes of the alarms' levels; of other levels those on a path, and the anomalous ones that the best cause
    is made of, such as the pods of the service at fault. All others are counted, one spot a level, in a row below.
    An edge that leads no nearer to the alarm is left out, unless a path leads along it.
    """
    ways = [way for path in paths if (way := [node for node in path if node in graph.net])]
    ends = tuple(dict.fromkeys(way[-1] for way in ways)) or (focus,)
    kept = dict.fromkeys([focus, *(node for way in ways for node in way)])
    hops = _hops(graph, ends, kept)
    levels = {graph.level(end) for end in ends}
    parts = {part for way in ways[:1] for part in graph.parents(way[0])}
    beside = {
        near
        for node in kept
        for near in (*graph.parents(node), *graph.children(node))
        if graph.level(near) in levels
    }
    odd = {node for node in weight if node in parts or graph.level(node) in levels}
    rivals = sorted(
        (node for node in odd | beside if node in hops),
        key=lambda node: (node not in weight, node not in beside, -weight.get(node, 0.0), node),
    )
    room = limit - len({graph.level(node) for node in graph.net})
    columns = _columns([*kept][:room], rivals, hops, room)
    drawn = {node for column in columns.values() for node in column}
    along = {edge for way in ways for edge in pairwise(way)}
    edges = [
        (node, child)
        for node in drawn
        for child in graph.children(node)
        if child in drawn and (hops[node] > hops[child] or (node, child) in along)
    ]
    columns = _untangled(columns, edges)
    left = max(columns)
    spots = [
        Spot(node, graph.name(node), graph.level(node), left - far, place - (len(column) - 1) / 2)
        for far, column in columns.items()
        for place, node in enumerate(column)
    ]
    below = max(spot.y for spot in spots) + 1.0
    hidden = Counter(graph.level(node) for node in graph.net if node not in drawn)
    rest = (
        Spot(f"{level}/+{many}", f"+{many}", level, float(place), below, many)
        for place, (level, many) in enumerate(sorted(hidden.items()))
    )
    return Layout((*spots, *rest), tuple(sorted(edges)))


def _hops(graph: Graph, ends: Sequence[str], kept: Iterable[str]) -> dict[str, int]:
    """Edges from each node to the nearest end, −1 of what an end acts on; what is kept has a place in any case."""
    far = len(graph.net)
    upstream = dict.fromkeys(ends, 0)
    for end in ends:
        for node, step in graph.ancestors(end, far).items():
            upstream[node] = min(step, upstream.get(node, step))
    most = max([FURTHEST, *(upstream.get(node, 0) for node in kept)])
    hops = {node: step for node, step in upstream.items() if step <= most}
    after = (child for end in ends for child in graph.children(end))
    hops |= {node: -1 for node in after if node not in hops}
    return dict.fromkeys(kept, 0) | hops


def _columns(
    kept: Sequence[str], rivals: Iterable[str], hops: Mapping[str, int], room: int
) -> Columns:
    """Who is drawn, by hops, farthest first."""
    columns: Columns = {}
    for node in kept:
        columns.setdefault(hops[node], []).append(node)
    room -= len(kept)
    for node in rivals:
        column = columns.setdefault(hops[node], [])
        if room > 0 and len(column) < MOST_ROWS and node not in kept:
            column.append(node)
            room -= 1
    return {far: columns[far] for far in sorted(columns, reverse=True) if columns[far]}


def _untangled(columns: Columns, edges: Iterable[tuple[str, str]]) -> Columns:
    """Each column in the order of its neighbours' mean place, from the left and from the right by turns."""
    into: dict[str, list[str]] = {}
    out: dict[str, list[str]] = {}
    for node, child in edges:
        into.setdefault(child, []).append(node)
        out.setdefault(node, []).append(child)
    best, fewest = columns, _crossings(columns, edges)
    for sweep in range(SWEEPS):
        near, order = (into, [*columns]) if sweep % 2 == 0 else (out, [*columns][::-1])
        columns = dict(columns)
        for before, far in pairwise(order):
            columns[far] = _nearer(columns[far], near, _places(columns[before]))
        crossed = _crossings(columns, edges)
        if crossed < fewest:
            best, fewest = columns, crossed
    return best


def _nearer(
    column: Sequence[str], near: Mapping[str, Sequence[str]], place: Mapping[str, float]
) -> list[str]:
    """A column in the order of the mean place of each node's neighbours; who has none there keeps its own."""
    mean = _places(column)
    for node in column:
        known = [place[other] for other in near.get(node, ()) if other in place]
        if known:
            mean[node] = sum(known) / len(known)
    return sorted(column, key=mean.__getitem__)


def _places(column: Sequence[str]) -> dict[str, float]:
    return {node: place - (len(column) - 1) / 2 for place, node in enumerate(column)}


def _crossings(columns: Columns, edges: Iterable[tuple[str, str]]) -> int:
    """Pairs of links between the same two columns whose ends are in opposite orders."""
    spot = {
        node: (far, place) for far, column in columns.items() for place, node in enumerate(column)
    }
    gaps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for node, child in edges:
        (start, above), (end, below) = spot[node], spot[child]
        gaps.setdefault((start, end), []).append((above, below))
    return sum(
        (one[0] - other[0]) * (one[1] - other[1]) < 0
        for links in gaps.values()
        for one, other in combinations(links, 2)
    )
