"""`bfs-temporal`: the nearest early, high and severe anomalous ancestor.

The plain method of the specification: breadth first from the alarm's node upwards, every anomalous ancestor within a
few hops is a candidate, ranked by a weighted sum of visible terms. Knows neither how much a node explains nor what
changes at the node would do below it, so a common parent of two incidents easily wins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.cases import Case, Cause, Localizer
from core.contracts import Bools, Panel, Params, Tags, param
from core.domain import Domain
from core.domains import DOMAINS
from core.errors import InvalidInputError
from core.hierarchy.structure import way
from core.rootcause.cause_type import Shift, day, judge, told
from core.rootcause.deviation import FUNNEL, counts
from core.rootcause.surprise import causes, surprise


@dataclass(frozen=True)
class BfsTemporalParams(Params):
    domain: str = param(
        "ads", help="Domain whose levels and cause words are used", choices=tuple(DOMAINS)
    )
    hops: int = param(3, help="How far up ancestors are looked for", low=0, high=10)
    window: int = param(14, help="How far back an onset may lie", low=1, high=60, unit="periods")
    gap: int = param(1, help="Normal periods that do not end a run", low=0, high=7, unit="periods")
    lead: float = param(
        0.3,
        help="Weight of starting before the alarm's node (full at 3 periods)",
        low=0.0,
        high=10.0,
    )
    recency: float = param(
        0.2, help="Weight of starting shortly before the alarm", low=0.0, high=10.0
    )
    level: float = param(0.2, help="Weight of a high level", low=0.0, high=10.0)
    severity: float = param(0.2, help="Weight of −log10 p (full at 10)", low=0.0, high=10.0)
    coverage: float = param(
        0.1, help="Weight of the anomalous share of the path", low=0.0, high=10.0
    )
    widespread: float = param(
        0.3, help="Anomalous share of the siblings above which it is widespread", low=0.0, high=1.0
    )


class BfsTemporal(Localizer):
    """Ranks the anomalous ancestors of the alarm's node by when, how high and how badly they broke.

    Needs p-values; the reference adds the type and the shifts. Good for: a first look where nothing but p-values is
    known. Bad for: telling a root from what it moves, since a parent of several incidents is early, high and severe
    itself; roots below the alarm; saying "no cause". Score: weighted sum of the terms, 0 to 1. Cost: a few nodes per
    alarm.
    """

    name = "bfs-temporal"
    source = "Headwater's specification, root cause: breadth-first search over at most 3 hops"
    tags = Tags(trained=False)
    Params = BfsTemporalParams

    works_on = ("expected", "metrics", "events")

    def _find(self, scorer: object, case: Case) -> list[Cause]:
        p: BfsTemporalParams = self.params
        if case.kind != "expected":
            return _against_normal(case, p)
        if case.panel is None or case.p_values is None:
            raise InvalidInputError.of(
                self.name, "the case", "given with a panel and p-values", "one without"
            )
        row_of, labels = case.panel.row_of, case.panel.periods.labels
        now = int(np.searchsorted(labels, case.alarm.at, side="right")) - 1
        first = max(now - p.window + 1, 0)
        odd = case.p_values < case.alpha
        reached = {case.alarm.node: 0, **case.graph.ancestors(case.alarm.node, p.hops)}
        onsets = {
            node: onset
            for node in reached
            if node in row_of
            and (onset := _onset(odd[row_of[node]], first, now, p.gap)) is not None
        }
        alarm_onset = onsets.get(case.alarm.node, now)
        found = []
        for node, onset in onsets.items():
            path = way(case.graph, node, case.alarm.node)
            worst = float(case.p_values[row_of[node], onset : now + 1].min())
            terms = {
                "lead": p.lead * min(max(alarm_onset - onset, 0) / 3.0, 1.0),
                "recency": p.recency * (1.0 - (now - onset) / p.window),
                "level": p.level * _height(case, DOMAINS[p.domain], node),
                "severity": p.severity * min(-math.log10(max(worst, 1e-300)) / 10.0, 1.0),
                "coverage": p.coverage * float(np.mean([step in onsets for step in path])),
            }
            found.append((node, onset, path, worst, terms))
        belief = _belief([sum(terms.values()) for *_, terms in found])
        return [
            self._cause(case, odd[:, first : now + 1], node, onset, now, path, worst, terms, share)
            for (node, onset, path, worst, terms), share in zip(found, belief, strict=True)
        ]

    def _cause(
        self,
        case: Case,
        odd: Bools,
        node: str,
        onset: int,
        now: int,
        path: tuple[str, ...],
        worst: float,
        terms: Mapping[str, float],
        confidence: float,
    ) -> Cause:
        panel: Panel = case.panel  # type: ignore[assignment]
        since = day(panel.periods.labels[onset])
        said = [f"Anomalous since {since}, at worst p = {worst:.1g}"]
        kind = "unknown"
        if case.reference is not None:
            domain = DOMAINS[self.params.domain]
            shifts = _shifts(panel, case.reference, node, slice(onset, now + 1), domain)
            settings = case.settings.get(node)
            kind = judge(domain, case.graph.level(node), shifts, settings).type
            clear = [shift for shift in shifts if abs(shift.change) > 3.0 * shift.sd]
            said = told(domain, kind, clear, settings, since) + said
        siblings = {
            child
            for parent in case.graph.parents(node)
            for child in case.graph.children(parent)
            if child != node
            and child in panel.row_of
            and case.graph.level(child) == case.graph.level(node)
        }
        if siblings:
            struck = int(odd[panel.rows(sorted(siblings))].any(axis=1).sum())
            word = (
                "widespread"
                if struck > self.params.widespread * len(siblings)
                else "not widespread"
            )
            said.append(f"{struck} of {len(siblings)} siblings are anomalous too: {word}")
        score = sum(terms.values())
        onset_label = panel.periods.labels[onset]
        return Cause(
            node, kind, onset_label, path, len(path) - 1, terms, score, confidence, tuple(said)
        )


def _against_normal(case: Case, p: BfsTemporalParams) -> list[Cause]:
    """The same terms where nodes are judged by normal periods or runs; a level is worth nothing in a graph of calls."""
    found = surprise(case)
    paths, reached = case.paths(), case.hops(p.hops)
    odd = {
        node
        for node, strength in zip(found.nodes, found.strength.tolist(), strict=True)
        if node in reached and strength >= found.clear
    }
    if not odd:
        return []
    row_of = found.row_of
    most = max(float(found.strength[row_of[node]]) for node in odd)
    end = case.alarm.at.astype("datetime64[us]")
    first = found.onset.min() if case.panel is None else case.panel.periods.labels[0]
    if case.panel is not None:
        end = case.panel.periods.labels[-1]
    window = max(float((end - first) / np.timedelta64(1, "us")), 1.0)
    # the order of events within a period means nothing, that of events with a time of their own does
    full = 3.0 * window / p.window if case.kind == "metrics" else 1.0
    terms = {}
    for node in odd:
        row, seed = row_of[node], paths[node][-1]
        noticed = found.onset[row_of[seed]] if seed in odd else end
        age = float((end - found.onset[row]) / np.timedelta64(1, "us"))
        ahead = float((noticed - found.onset[row]) / np.timedelta64(1, "us"))
        terms[node] = {
            "lead": p.lead * min(max(ahead, 0.0) / full, 1.0),
            "recency": p.recency * (1.0 - age / window),
            "severity": p.severity * float(found.strength[row]) / most,
            "coverage": p.coverage * float(np.mean([step in odd for step in paths[node]])),
        }
    return causes(case, found, terms)


def _onset(odd: Bools, first: int, now: int, gap: int) -> int | None:
    """First period of the anomalous run that reaches `now`, small gaps allowed; None if none does."""
    days = first + np.flatnonzero(odd[first : now + 1])
    if not len(days) or now - days[-1] > gap:
        return None
    breaks = np.flatnonzero(np.diff(days) > gap + 1)
    return int(days[breaks[-1] + 1] if len(breaks) else days[0])


def _height(case: Case, domain: Domain, node: str) -> float:
    """1 at the top level, 0 at the lowest."""
    levels = domain.levels
    level = case.graph.level(node)
    return 1.0 - levels.index(level) / (len(levels) - 1) if level in levels else 0.0


def _shifts(
    panel: Panel, reference: Panel, node: str, periods: slice, domain: Domain
) -> list[Shift]:
    """Change of each channel at one node over some periods, with its counting error."""
    seen, expected = counts(
        panel.select(entities=[node], times=periods),
        reference.select(entities=[node], times=periods),
        domain,
    )
    total, usual = seen[0].sum(axis=0), expected[0].sum(axis=0)
    return [
        Shift(channel.name, float(got / wanted - 1.0), float(wanted**-0.5))
        for channel, got, wanted in zip(FUNNEL, total, usual, strict=True)
        if wanted > 0
    ]


def _belief(scores: list[float], null: float = 0.3, heat: float = 0.1) -> list[float]:
    """Softmax over the candidates and "no cause", which is as good as a weak candidate."""
    against = np.exp((np.array([*scores, null]) - max([*scores, null])) / heat)
    return [float(share) for share in against / against.sum()][: len(scores)]
