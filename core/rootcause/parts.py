"""What tells a whole from its parts: pods of a service, nodes under pods, a region under its nodes.

An edge between two levels of a graph says that its effect is made of, or runs on, its cause; an edge within a level is
a call. Who is part of what suffers is suspected of all that is held against the whole. Where one part left its
siblings behind, it carries the trouble; where all moved alike, the whole does; and where strangers that share nothing
but their host leave their own siblings behind, the host does. Siblings share traffic, day and week, so they are
compared in logarithms minute by minute: whatever hits all of them cancels. Graphs without levels have no parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.cases import Case, Graph
from core.contracts import Floats, Panel
from core.rootcause.departure import quantiles
from core.rootcause.metric_kinds import BYTES, CAPACITY, TRAFFIC, Kind
from core.rootcause.suspects import Term, soft

TERMS = (
    Term("part", -2.6, "levels between it and what it is held responsible for", proof=False),
    Term(
        "alone",
        1.4,
        "left the other parts of the same whole behind, or uses up what they do not",
        proof=False,
    ),
    Term("siblings", -2.3, "how far the other parts of the same whole left normal", proof=False),
    Term("split", -1.8, "one of its own parts left the others behind", proof=False),
    Term(
        "hosted",
        3.0,
        "more than one that runs on it left its siblings elsewhere behind",
        proof=False,
    ),
    Term("neighbours", -1.8, "so did strangers on the same host", proof=False),
)
"""Public incidents name services alone, so what these weigh before anything is learned was set with simulated systems in
view (`headwater simulate services --size M`, seeds 1 to 6), all other weights held at what public incidents teach."""
HELD = (
    "symptom",
    "own",
    "other",
    "resource",
    "delay",
    "starving",
    "inherited",
    "effect",
    "volume",
    "self",
    "lead",
)
"""What parts answer for as their whole does."""
EDGE = 3.0
"""Standard deviations of what sets siblings apart that are still normal."""
SMALLEST = 0.02
"""The least such standard deviation, in logarithms: siblings 2 % apart tell nothing."""
FLOOR = 0.01
"""Of its usual size: below, a value counts as gone."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Who is made of whom among some nodes, and how far each left its siblings behind (1 = the edge of normal)."""

    graph: Graph
    nodes: Mapping[str, None]
    apart: Mapping[str, float]
    departed: Mapping[str, float]
    used: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(
        cls,
        case: Case,
        normal: Panel | None,
        nodes: Iterable[str],
        kinds: Sequence[Kind],
        window: slice,
        departed: Mapping[str, float],
        troubled: Mapping[str, float],
        used: Mapping[str, Mapping[str, float]],
    ) -> Parts:
        """Compare siblings among `nodes` where a whole of theirs is in trouble.

        departed : node → how far it left normal; troubled : the same, or what it is part of; 1 = the edge of normal
        used     : node → family of resources → how far that left normal
        """
        held = dict.fromkeys(nodes)
        graph = case.graph
        apart: dict[str, float] = {}
        for whole in held:
            if case.panel is None or normal is None or troubled.get(whole, 0.0) <= 1.0:
                continue
            mine = [part for part in parts(graph, whole) if part in held]
            mine = [part for part in mine if part in case.panel.row_of and part in normal.row_of]
            if len(mine) < 2:
                continue
            values = case.panel.values[case.panel.rows(mine)]
            usually = normal.values[normal.rows(mine)]
            far = _apart(values, usually, kinds, window)
            for part, strength in zip(mine, far.tolist(), strict=True):
                apart[part] = max(apart.get(part, 0.0), strength)
        return cls(graph, held, apart, departed, used)

    def alone(self, node: str) -> float:
        """How far it left its siblings; where it has none, what it used up beyond what runs on it."""
        if node in self.apart:
            return _soft(self.apart[node])
        above = [self.used[whole] for whole in self._wholes(node) if whole in self.used]
        excess = [
            _soft(much) - _soft(max((other.get(family, 0.0) for other in above), default=0.0))
            for family, much in self.used.get(node, {}).items()
        ]
        return max(excess, default=0.0)

    def answering(self, rows: dict[str, dict[str, float]]) -> dict[str, str]:
        """Hold against every part what is held against its worst whole, and add what tells the two apart, in place.

        Returns the whole that each part answers for.
        """
        depth: dict[str, int] = {}
        answers: dict[str, str] = {}

        def answer(node: str) -> None:
            depth[node] = 0
            wholes = [whole for whole in self._wholes(node) if whole in rows]
            for whole in wholes:
                if whole not in depth:
                    answer(whole)
            if wholes:
                worst = max(wholes, key=lambda whole: sum(rows[whole][name] for name in HELD))
                for name in HELD:
                    rows[node][name] = max(rows[node][name], rows[worst][name])
                rows[node]["alarms"] = rows[worst]["alarms"]
                depth[node], answers[node] = depth[worst] + 1, worst

        for node in rows:
            if node not in depth:
                answer(node)
        for node, own in rows.items():
            own.update(self._told_apart(node, depth[node]))
        return answers

    def _told_apart(self, node: str, depth: int) -> dict[str, float]:
        wholes, made_of = self._wholes(node), self._parts(node)
        siblings = [_soft(self.departed.get(other, 0.0)) for other in self._siblings(node)]
        hosted = sorted(self.alone(whole) for whole in wholes if whole in self.apart)[:-1]
        strangers = [
            self.alone(other)
            for part in made_of
            for other in self._wholes(part)
            if other != node and other in self.apart
        ]
        split = [self.alone(part) for part in made_of]
        return {
            "part": float(depth),
            "alone": self.alone(node) if wholes else 0.0,
            "siblings": float(np.median(siblings)) if siblings else 0.0,
            "split": max(split, default=0.0),
            "hosted": _pooled(hosted),
            "neighbours": _pooled(strangers) if wholes else 0.0,
        }

    def _parts(self, node: str) -> list[str]:
        return [part for part in parts(self.graph, node) if part in self.nodes]

    def _wholes(self, node: str) -> list[str]:
        return [whole for whole in wholes(self.graph, node) if whole in self.nodes]

    def _siblings(self, node: str) -> list[str]:
        return [
            other for whole in self._wholes(node) for other in self._parts(whole) if other != node
        ]


def _pooled(strengths: Sequence[float]) -> float:
    """Several that agree say more than one."""
    return float(np.sum(strengths) / np.sqrt(max(len(strengths), 1)))


def _soft(strength: float) -> float:
    return float(soft(strength))


def parts(graph: Graph, node: str) -> list[str]:
    """What a node is made of or runs on."""
    return [cause for cause in graph.net.pred[node] if graph.level(cause) != graph.level(node)]


def wholes(graph: Graph, node: str) -> list[str]:
    """What it is part of, or what runs on it."""
    return [effect for effect in graph.net.succ[node] if graph.level(effect) != graph.level(node)]


def callees(graph: Graph, node: str) -> list[str]:
    """What a node depends on at its own level."""
    return [cause for cause in graph.net.pred[node] if graph.level(cause) == graph.level(node)]


def _apart(values: Floats, usually: Floats, kinds: Sequence[Kind], window: slice) -> Floats:
    """(n_part,) how far the farthest metric of each part left the same metric of the others, 1 = the edge of normal."""
    now, before = _levels(values, usually, kinds), _levels(usually, usually, kinds)
    told = [column for column, kind in enumerate(kinds) if kind.family not in (TRAFFIC, CAPACITY)]
    told = [
        column
        for column in told
        if np.isfinite(now[:, window, column]).any(axis=1).sum() > 1
        and np.isfinite(before[:, :, column]).any(axis=1).sum() > 1
    ]
    far = np.zeros(len(values))
    if not told:
        return far
    now, before = now[:, window, told], before[:, :, told]
    bad = np.array([kinds[column].bad or -1 for column in told])
    for row in range(len(values)):
        others = np.delete(np.arange(len(values)), row)
        usual, gap = (
            levels[row] - quantiles(levels[others].transpose(1, 0, 2), (0.5,))[0]
            for levels in (before, now)
        )
        centre = quantiles(usual[None], (0.5,))[0][0]
        width = min(len(gap), len(usual))
        means = np.mean([usual[at : len(usual) - width + 1 + at] for at in range(width)], axis=0)
        scale = 1.4826 * quantiles(np.abs(means - centre)[None], (0.5,))[0][0]
        seen = np.isfinite(gap)
        mean = np.where(seen, gap, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        moved = bad * (mean - centre) / (EDGE * np.maximum(scale, SMALLEST))
        far[row] = np.where(seen.any(axis=0) & np.isfinite(moved), moved, 0.0).max(initial=0.0)
    return far


def _levels(values: Floats, usually: Floats, kinds: Sequence[Kind]) -> Floats:
    """Logarithms of what parts show; bytes per request, and nothing of a part that is not running."""
    usual = quantiles(np.abs(usually).reshape(1, -1, usually.shape[2]), (0.5,))[0][0]
    levels = np.log(np.maximum(values, np.where(usual > 0.0, FLOOR * usual, 1.0)))
    families = [kind.family for kind in kinds]
    traffic = [place for place, family in enumerate(families) if family == TRAFFIC]
    running = [place for place, family in enumerate(families) if family == CAPACITY]
    if traffic:
        asked = levels[:, :, traffic].max(
            axis=2, initial=-np.inf, where=np.isfinite(levels[:, :, traffic])
        )
        asked = np.where(np.isfinite(asked), asked, 0.0)
        for place, family in enumerate(families):
            if family == BYTES:
                levels[:, :, place] -= asked
    if running:
        gone = (values[:, :, running] < 0.5 * usual[running]).any(axis=2)
        levels[gone] = np.nan
    return levels
