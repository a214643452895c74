"""`headwater-cause`: suspects upstream of the alarm, weighed by what earlier incidents taught about telling causes.

Two steps. Recall first: every observed node within a few hops upstream of the alarm, and beyond them whoever lies on an
unbroken trail of departures. Then a choice among them by a dozen features that know no name, no order and no degree
(`nodes` for metrics, `events` for state changes), with weights that keep declared signs and are learned
from cases of other causes (`choice`). What ships was learned by `python -m benchmarks.reranker` on public incidents;
`learned` forgets that and starts over with the cases it is given.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import ModuleType
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
from scipy.special import log_softmax

from core.cases import Case, Cause, Localizer, Truth
from core.contracts import Params, Tags, param
from core.evaluate.localisation import quiet
from core.rootcause.choice import Choice, learn
from core.rootcause.evidence import events, nodes
from core.rootcause.evidence.suspects import Suspects, prior

SHIPPED = "reranker.json"
EVIDENCE: Mapping[str, ModuleType] = {"metrics": nodes, "events": events}
WINDOWS: Mapping[str, int] = {"metrics": 24, "events": 4}
"""Fault-free windows of each kind of alarm that tell how much proof there is where nothing is wrong."""
LIKE, RARE = 3, 0.1
"""Kinds of alarm (metric, nodes, length) of which such windows are made: the most frequent, none of few cases."""


@dataclass(frozen=True)
class RerankerParams(Params):
    hops: int = param(
        3, help="How far up every node is a suspect; trails go on beyond", low=0, high=10
    )


class Reranker(Localizer):
    """Ranks what lies upstream of an alarm by signed departure, self time, lateness, rarity and onset, learned.

    Needs a graph from cause to effect and normal periods or runs (or expected values). Good for: alarms at the edge of a
    system whose cause is a few calls away; several alarms at once; saying that nothing stands out. Bad for: faults that
    leave no trace in what is measured; graphs that miss the edge along which the trouble travelled. Score: log of the
    share of belief among the suspects. Cost: one pass over the normal periods of the suspects, then milliseconds.
    """

    name = "headwater-cause"
    source = "Headwater: McFadden's conditional logit (1974) over features after BARO (FSE 2024) and causRCA (2025)"
    tags = Tags(trained=False)
    works_on = ("metrics", "events", "expected")
    learns = True
    Params = RerankerParams

    def learned(self, cases: Sequence[Case], truths: Sequence[Truth]) -> Self:
        """With weights, calibration and threshold from these cases alone, each kind of evidence by itself."""
        state = {}
        for kind, evidence in EVIDENCE.items():
            mine = [
                (case, truth)
                for case, truth in zip(cases, truths, strict=True)
                if _kind(case) == kind
            ]
            state[kind] = learn(
                evidence.TERMS,
                [self._suspects(case) for case, _ in mine],
                [truth.roots for _, truth in mine],
                [truth.group for _, truth in mine],
                self._quiet([case for case, _ in mine]),
            ).written()
        return type(self)(self.params, state=state)

    def _find(self, scorer: Any, case: Case) -> list[Cause]:
        kind = _kind(case)
        terms = EVIDENCE[kind].TERMS
        text = scorer.get(kind) if scorer else None
        choice = shipped()[kind] if text is None else Choice.read(str(text))
        suspects = self._suspects(case)
        added = choice.scores(suspects, terms)
        scores = added.sum(axis=1)
        logs = np.full(len(scores), -np.inf)
        for contest in suspects.contests:
            logs[contest] = log_softmax(scores[contest])
        # a node that may explain several alarms: that it explains at least one of them
        number = {node: place for place, node in enumerate(dict.fromkeys(suspects.nodes))}
        of = np.array([number[node] for node in suspects.nodes], dtype=np.intp)
        none = np.bincount(of, np.log1p(-np.exp(logs).clip(max=1 - 1e-12)), minlength=len(number))
        any_of = -np.expm1(none)
        belief = choice.belief(suspects, terms) / max(float(any_of.sum()), 1.0)
        score = np.log(np.maximum(any_of, 1e-300))
        # of several rows of a node its likeliest, the first of equals
        order = np.lexsort((-logs, of))
        best = order[np.unique(of[order], return_index=True)[1]]
        names = (*(term.name for term in terms), "rivals")
        parts = np.column_stack([added[best], score - scores[best]])
        return [
            Cause(
                suspects.nodes[row],
                suspects.kinds[row],
                onset,
                suspects.paths[row],
                len(suspects.paths[row]) - 1,
                dict(zip(names, part, strict=True)),
                own,
                share,
                suspects.told[row],
            )
            for row, onset, part, own, share in zip(
                best.tolist(),
                suspects.onsets[best],
                parts.tolist(),
                score.tolist(),
                (belief * any_of).tolist(),
                strict=True,
            )
        ]

    def _suspects(self, case: Case) -> Suspects:
        known = _seen.setdefault(case, {})
        if self.params.hops not in known:
            known[self.params.hops] = EVIDENCE[_kind(case)].suspects(case, self.params.hops)
        return known[self.params.hops]

    def _quiet(self, cases: Sequence[Case]) -> list[Suspects]:
        """Evidence of fault-free windows like the most frequent kinds of these cases, made once per kind."""
        with_normal = [case for case in cases if case.normal is not None]
        found: list[Suspects] = []
        kinds = 0
        for like, count in Counter(map(_like, with_normal)).most_common():
            if kinds == LIKE or (found and count < RARE * len(cases)):
                break
            case = next(one for one in with_normal if _like(one) == like)
            known = _calm.setdefault(case.normal, {})
            key = (self.params.hops, *like)
            if key not in known:
                windows = quiet({"": case}, WINDOWS[_kind(case)], late=False)
                known[key] = [self._suspects(window) for _, window in windows]
            # normal periods with gaps hold no window
            kinds += bool(known[key])
            found += known[key]
        return found


_seen: WeakKeyDictionary[Case, dict[int, Suspects]] = WeakKeyDictionary()
_calm: WeakKeyDictionary[Any, dict[tuple[Any, ...], list[Suspects]]] = WeakKeyDictionary()


def _kind(case: Case) -> str:
    return "events" if case.kind == "events" else "metrics"


def _like(case: Case) -> tuple[str, frozenset[str], int]:
    times = 0 if case.panel is None else len(case.panel.periods)
    return case.alarm.metric, frozenset(case.seeds), times


@cache
def shipped() -> dict[str, Choice]:
    """What was learned on public incidents; the weights of before for a kind of evidence without any."""
    text = files("core.rootcause").joinpath(SHIPPED).read_text(encoding="utf-8")
    known = json.loads(text)["choices"]
    return {
        kind: Choice(**known[kind])
        if kind in known
        else Choice(
            dict(zip((t.name for t in evidence.TERMS), prior(evidence.TERMS).tolist(), strict=True))
        )
        for kind, evidence in EVIDENCE.items()
    }
