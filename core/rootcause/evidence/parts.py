"""What tells a whole from its parts: pods of a service, nodes under pods, a region under its nodes.

An edge between two levels of a graph says that its effect is made of, or runs on, its cause; an edge within a level is
a call. Who is part of what suffers is suspected of all that is held against the whole. Where one part left its
siblings behind, it carries the trouble; where all moved alike, the whole does; and where strangers that share nothing
but their host leave their own siblings behind, the host does. Siblings share traffic, day and week, so they are
compared in logarithms minute by minute: whatever hits all of them cancels. Graphs without levels have no parts.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from core.cases import Edges, Numbers
from core.contracts import Floats, Panel
from core.rootcause.evidence.departure import quantiles
from core.rootcause.evidence.metric_kinds import BYTES, CAPACITY, TRAFFIC, Kind
from core.rootcause.evidence.suspects import Term, soft

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


# ── Who answers for whom ─────────────────────────────────────────────────────────────────────────


def answering(parts: Edges, told: Mapping[str, Floats]) -> tuple[Numbers, Numbers]:
    """Hold against every part what is held against its worst whole, in place, whole by whole downwards.

    parts : from part to whole         told : term → (n,) what is held against each node

    Returns (n,) the whole that each part answers for, −1 where it is none, and (n,) levels between it and the uppermost.
    """
    whole_of, depth = np.full(parts.nodes, -1), np.zeros(parts.nodes, dtype=np.intp)
    waiting = parts
    while len(waiting.start):
        # whose wholes wait themselves comes later; in a ring nobody can wait for all
        pending = waiting.back.reached(np.ones(parts.nodes, dtype=bool))
        ready = pending & ~waiting.back.reached(pending)
        ready = ready if ready.any() else pending
        now = waiting.where(ready[waiting.start])
        waiting = waiting.where(~ready[waiting.start])
        guilt = np.sum([told[name] for name in HELD], axis=0)
        most = np.full(parts.nodes, -np.inf)
        np.maximum.at(most, now.start, guilt[now.end])
        # of equals the first, so it is written last
        worst = now.where(np.flatnonzero(guilt[now.end] == most[now.start])[::-1])
        whole_of[worst.start] = worst.end
        mine = np.flatnonzero(ready)
        held = whole_of[mine]
        for name in HELD:
            told[name][mine] = np.maximum(told[name][mine], told[name][held])
        told["alarms"][mine] = told["alarms"][held]
        depth[mine] = depth[held] + 1
    return whole_of, depth


# ── What tells parts apart ───────────────────────────────────────────────────────────────────────


def told_apart(
    parts: Edges, depth: Numbers, apart: Floats, departed: Floats, used: Floats
) -> dict[str, Floats]:
    """Term of `TERMS` → (n,) its value.

    apart    : (n,) how far each left its siblings behind, NaN where nobody compared them
    departed : (n,) how far each left normal; all in multiples of the edge of normal
    used     : (n, n_family) how far each used up resources beyond normal
    """
    wholes, compared = parts.back, np.isfinite(apart)
    is_part = wholes.reached(np.ones(parts.nodes, dtype=bool))
    left = soft(np.where(compared, apart, 0.0))
    # where it has no siblings, what it used up beyond what runs on it
    above = np.stack([wholes.most(family) for family in soft(used).T], axis=1)
    alone = np.where(compared, left, np.max(soft(used) - above, axis=1, initial=0.0))
    # of what runs on each node, all that left siblings elsewhere behind: how many, and how far
    many, far = wholes.sums(compared.astype(np.float64)), wholes.sums(left)
    count = parts.sums(np.ones(parts.nodes))
    return {
        "part": depth.astype(np.float64),
        "alone": np.where(is_part, alone, 0.0),
        "siblings": _beside(parts, soft(departed)),
        "split": parts.most(alone),
        "hosted": _pooled(far - wholes.most(left), many - 1.0),
        "neighbours": np.where(
            is_part,
            _pooled(parts.sums(far) - count * left, parts.sums(many) - count * compared),
            0.0,
        ),
    }


def _pooled(total: Floats, many: Floats) -> Floats:
    """Several that agree say more than one."""
    return np.asarray(np.maximum(total, 0.0) / np.sqrt(np.maximum(many, 1.0)))


def _beside(parts: Edges, values: Floats) -> Floats:
    """(n,) the median value of the other parts of each node's wholes, 0 where it has no siblings."""
    size = np.bincount(parts.end, minlength=parts.nodes)
    begins, width = np.cumsum(size) - size, size[parts.end]
    edge = np.repeat(np.arange(len(parts.end)), width)
    place = np.arange(len(edge)) - np.repeat(np.cumsum(width) - width, width)
    together = np.argsort(parts.end, kind="stable")
    other = parts.start[together[begins[parts.end[edge]] + place]]
    pairs = Edges(parts.nodes, other, parts.start[edge])
    pairs = pairs.where(pairs.start != pairs.end)
    ordered = pairs.where(np.lexsort((values[pairs.start], pairs.end)))
    many = np.bincount(ordered.end, minlength=parts.nodes)
    some = many > 0
    middle = (np.cumsum(many) - many)[some] + np.stack([many[some] - 1, many[some]]) // 2
    found = np.zeros(parts.nodes)
    found[some] = values[ordered.start[middle]].mean(axis=0)
    return found


# ── Siblings ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Siblings:
    """What is normal between the k parts of a whole.

    usual         : (m,) size of each metric
    centre, scale : (k, m) what usually sets each apart from the others, in logarithms, and how steadily; NaN where
                    fewer than two parts have the metric
    """

    usual: Floats
    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, normal: Floats, kinds: Sequence[Kind], width: int) -> _Siblings:
        """From normal periods (k, n_time, m), for windows of `width`."""
        usual = quantiles(np.abs(normal).reshape(1, -1, normal.shape[2]), (0.5,))[0][0]
        levels, width = _levels(normal, usual, kinds), min(width, normal.shape[1])
        gap = _gap(levels)
        centre = quantiles(gap, (0.5,))[0]
        count = gap.shape[1] - width + 1
        means = np.mean([gap[:, at : at + count] for at in range(width)], axis=0)
        scale = 1.4826 * quantiles(np.abs(means - centre[:, None]), (0.5,))[0]
        shared = np.isfinite(levels).any(axis=1).sum(axis=0) > 1
        return cls(usual, np.where(shared, centre, np.nan), np.where(shared, scale, np.nan))

    def apart(self, now: Floats, kinds: Sequence[Kind]) -> Floats:
        """(k,) how far the farthest metric of each left the same metric of the others in a window (k, width, m)."""
        levels = _levels(now, self.usual, kinds)
        gap = _gap(levels)
        seen = np.isfinite(gap) & (np.isfinite(levels).any(axis=1).sum(axis=0) > 1)
        mean = np.where(seen, gap, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        bad = np.array([kind.bad or -1 for kind in kinds])
        moved = bad * (mean - self.centre) / (EDGE * np.maximum(self.scale, SMALLEST))
        told = np.array([kind.family not in (TRAFFIC, CAPACITY) for kind in kinds])
        shown = seen.any(axis=1) & np.isfinite(moved) & told
        far: Floats = np.where(shown, moved, 0.0).max(axis=1, initial=0.0)
        return far


_siblings: WeakKeyDictionary[Panel, dict[Hashable, _Siblings]] = WeakKeyDictionary()


def apart(
    parts: Edges,
    panel: tuple[Panel, Numbers],
    normal: tuple[Panel, Numbers],
    kinds: Sequence[Kind],
    window: slice,
) -> Floats:
    """(n,) how far each part left its siblings behind, 1 = the edge of normal; NaN where there was nothing to compare.

    panel, normal : with the row of each node, −1 where it has none
    """
    (now, here), (usually, there) = panel, normal
    known = _siblings.setdefault(usually, {})
    measured = (here >= 0) & (there >= 0)
    edges = parts.where(measured[parts.start])
    far = np.full(parts.nodes, np.nan)
    for whole in np.flatnonzero(np.bincount(edges.end, minlength=parts.nodes) > 1):
        mine = edges.start[edges.end == whole]
        key = (window.stop - window.start, *there[mine].tolist())
        if key not in known:
            known[key] = _Siblings.of(usually.values[there[mine]], kinds, key[0])
        found = known[key].apart(now.values[here[mine]][:, window], kinds)
        far[mine] = np.fmax(far[mine], found)
    return far


def _gap(levels: Floats) -> Floats:
    """(k, n_time, m) by how much each part is above the median of the others."""
    k = len(levels)
    others = np.array([np.delete(np.arange(k), row) for row in range(k)])
    return np.asarray(levels - quantiles(levels[others], (0.5,))[0])


def _levels(values: Floats, usual: Floats, kinds: Sequence[Kind]) -> Floats:
    """Logarithms of what parts show; bytes per request, and nothing of a part that is not running.

    values : (k, n_time, m); usual : (m,) size of each metric
    """
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
