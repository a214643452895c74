"""Coordinates for a small layered drawing of the part of a hierarchy that matters to one alarm."""

from __future__ import annotations

from collections import Counter
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
    keep: Iterable[str] = (),
    depth: int = 3,
    limit: int = 60,
) -> Layout:
    """Ancestors of `focus` to `depth`, then the heaviest anomalous children of what is drawn.

    weight : how much an anomalous node matters (e.g. −log10 p); a node without weight counts as normal
    keep   : nodes drawn in any case, e.g. the path to the cause
    limit  : most spots, those that stand for collapsed nodes included

    Whatever is not drawn below a drawn node is one spot with a count.
    """
    lineage = [focus, *keep, *graph.ancestors(focus, depth)]
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


def woven(
    graph: Graph,
    focus: str,
    *,
    weight: Mapping[str, float],
    keep: Sequence[str] = (),
    limit: int = 60,
) -> Layout:
    """The part of a web of calls that matters to one alarm: `focus`, `keep`, and the heaviest that hang together.

    weight : how much an anomalous node matters; of the levels that `focus` and `keep` are of, the heaviest are drawn
    keep   : nodes drawn first, e.g. the path to the cause
    limit  : most spots, those that stand for collapsed nodes included

    Then come calm neighbours of what is drawn at those levels. All other nodes are counted, one spot a level, linked
    to the drawn node that most of them touch. There may be cycles; an edge that would run back is drawn as it is.
    """
    first = [node for node in dict.fromkeys((focus, *keep)) if node in graph.net]
    levels = {graph.level(node) for node in first}
    room = limit - len({graph.level(node) for node in graph.net})
    odd = sorted(
        (node for node in weight if node in graph.net and graph.level(node) in levels),
        key=lambda node: (-weight[node], node),
    )
    drawn = dict.fromkeys([*first, *odd][:room])
    beside = (
        near
        for node in list(drawn)
        for near in (*graph.parents(node), *graph.children(node))
        if graph.level(near) == graph.level(focus)
    )
    drawn.update(dict.fromkeys(list(dict.fromkeys(beside))[: max(room - len(drawn), 0)]))
    drawn = dict.fromkeys(list(drawn)[:room])

    edges = [(node, child) for node in drawn for child in graph.children(node) if child in drawn]
    spots = {node: (node, graph.name(node), graph.level(node), 0) for node in drawn}
    hidden: dict[str, list[str]] = {}
    for node in graph.net:
        if node not in drawn:
            hidden.setdefault(graph.level(node), []).append(node)
    for level, nodes in hidden.items():
        rest = f"{level}/+{len(nodes)}"
        spots[rest] = (rest, f"+{len(nodes)}", level, len(nodes))
        touched = Counter(
            child for node in nodes for child in graph.children(node) if child in drawn
        )
        edges += [(rest, child) for child, _ in touched.most_common(1)]
    column = _columns(spots, _onward(edges))
    height = _heights(column, edges)
    return Layout(
        tuple(Spot(*spots[node][:3], column[node], height[node], spots[node][3]) for node in spots),
        tuple(edges),
    )


def _onward(edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges without those that close a cycle."""
    after: dict[str, list[str]] = {}
    for parent, child in edges:
        after.setdefault(parent, []).append(child)
    closing: set[tuple[str, str]] = set()
    state: dict[str, bool] = {}
    for start in after:
        if start in state:
            continue
        state[start] = True
        walk = [(start, iter(after[start]))]
        while walk:
            node, children = walk[-1]
            found = next(children, None)
            if found is None:
                state[node] = False
                walk.pop()
            elif state.get(found):
                closing.add((node, found))
            elif found not in state:
                state[found] = True
                walk.append((found, iter(after.get(found, ()))))
    return [edge for edge in edges if edge not in closing]


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
