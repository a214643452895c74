"""Coordinates for a small layered drawing of the part of a hierarchy that matters to one alarm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.cases import Graph


@dataclass(frozen=True)
class Spot:
    """One drawn node; a `collapsed` one stands for that many nodes that are not drawn.

    x : column, 0 = top level; y : place in the column, 0 = middle, one unit apart
    """

    node: str
    name: str
    level: str
    x: float
    y: float
    collapsed: int = 0


@dataclass(frozen=True)
class Layout:
    """`edges` are (parent, child) by `Spot.node`."""

    spots: tuple[Spot, ...]
    edges: tuple[tuple[str, str], ...]


def layered(
    graph: Graph,
    focus: str,
    *,
    weight: Mapping[str, float],
    paths: Sequence[Sequence[str]] = (),
    depth: int = 3,
    limit: int = 60,
) -> Layout:
    """Ancestors of `focus` to `depth`, then the heaviest anomalous children of what is drawn.

    weight : how much an anomalous node matters (e.g. −log10 p); a node without weight counts as normal
    paths  : drawn in any case, from a suspected cause to an alarm each
    limit  : most spots, those that stand for collapsed nodes included

    Whatever is not drawn below a drawn node is one spot with a count.
    """
    lineage = [focus, *(node for path in paths for node in path), *graph.ancestors(focus, depth)]
    drawn = dict.fromkeys(node for node in lineage if node in graph.net)
    fringe = {
        child
        for node in drawn
        for child in graph.children(node)
        if child not in drawn and child in weight
    }
    # every drawn parent may need one more spot for the children that are left out
    room = limit - 2 * len(drawn)
    drawn.update(
        dict.fromkeys(sorted(fringe, key=lambda node: (-weight[node], node))[: max(room, 0)])
    )

    edges = [(node, child) for node in drawn for child in graph.children(node) if child in drawn]
    spots = {node: (node, graph.name(node), graph.level(node), 0) for node in drawn}
    for parent in dict.fromkeys(node for node in lineage if node in drawn):
        hidden = [child for child in graph.children(parent) if child not in drawn]
        if hidden:
            rest = f"{parent}/+{len(hidden)}"
            spots[rest] = (rest, f"+{len(hidden)}", graph.level(hidden[0]), len(hidden))
            edges.append((parent, rest))
    column = _columns(spots, edges)
    height = _heights(column, edges)
    return Layout(
        tuple(Spot(*spots[node][:3], column[node], height[node], spots[node][3]) for node in spots),
        tuple(edges),
    )


def _columns(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Longest distance from a top node, so that every edge runs to the right."""
    column = dict.fromkeys(nodes, 0.0)
    edges = list(edges)
    moved = True
    while moved:
        moved = False
        for parent, child in edges:
            if column[child] < column[parent] + 1:
                column[child] = column[parent] + 1
                moved = True
    return column


def _heights(column: Mapping[str, float], edges: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Order each column by the mean height of the parents, left to right, and centre it."""
    above: dict[str, list[str]] = {}
    for parent, child in edges:
        above.setdefault(child, []).append(parent)
    height: dict[str, float] = {}
    for x in sorted(set(column.values())):
        nodes = [node for node in column if column[node] == x]
        mean = {
            node: sum(height.get(parent, 0.0) for parent in above.get(node, ()))
            / max(len(above.get(node, ())), 1)
            for node in nodes
        }
        nodes.sort(key=lambda node: mean[node])
        for place, node in enumerate(nodes):
            height[node] = place - (len(nodes) - 1) / 2
    return height
