"""`robust-deviation`: the node that is farthest from its normal behaviour, in the direction that is bad.

After BARO, whose scorer takes the largest robust z of any metric; that one looks upwards only and so is blind to an
availability that drops. Here each metric has a direction: declared by a domain, learned from cases whose cause is
known, or none, which counts both ways.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from core.cases import Case, Cause, Localizer, Truth
from core.contracts import Panel, Params, Tags, param
from core.rootcause.surprise import CLEAR, causes, judged, surprise, usual

ONE_WAY = 0.9
ENOUGH = 5


@dataclass(frozen=True)
class RobustDeviationParams(Params):
    direction: str = param(
        "declared",
        help="Which way a metric is bad: as a domain declares, as known causes moved it, or both ways",
        choices=("declared", "learned", "both"),
    )


class RobustDeviation(Localizer):
    """Ranks all nodes by their largest robust deviation from normal periods, or by their rarest state.

    Needs normal periods, or normal runs of events; no graph. Good for: faults that show where they are, such as a full
    disk or a busy processor. Bad for: telling a root from what it drags along, as the alarm's own node often moves
    most; short normal periods. Score: robust standard deviations; of events −log10 of a share of runs. Cost: one pass
    over the normal periods, then a few windows per case.
    """

    name = "robust-deviation"
    source = "Pham, Ha & Zhang, BARO: Robust root cause analysis for microservices, FSE 2024, section 3.3"
    tags = Tags(trained=False)
    works_on = ("metrics", "events")
    Params = RobustDeviationParams

    @property
    def learns(self) -> bool:
        return bool(self.params.direction == "learned")

    def learned(self, cases: Sequence[Case], truths: Sequence[Truth]) -> Self:
        """With the direction in which known roots moved each metric, where nine in ten moved it the same way."""
        moves: dict[str, list[bool]] = {}
        for case, truth in zip(cases, truths, strict=True):
            if case.panel is None or not isinstance(case.normal, Panel):
                continue
            rows = [case.panel.row_of[root] for root in truth.roots if root in case.panel.row_of]
            z = usual(case.normal).deviations(case.panel.values)[rows][:, judged(case)]
            clear = np.abs(z) >= CLEAR
            for column, metric in enumerate(case.panel.metrics):
                moves.setdefault(metric, []).extend(
                    (z[..., column] > 0)[clear[..., column]].tolist()
                )
        shares = {m: float(np.mean(up)) for m, up in moves.items() if len(up) >= ENOUGH}
        ways = {m: 1 if share >= ONE_WAY else -1 for m, share in shares.items() if _one_way(share)}
        return type(self)(self.params, state={"directions": json.dumps(ways, sort_keys=True)})

    def _find(self, scorer: Any, case: Case) -> list[Cause]:
        found = surprise(case, self._directions(scorer, case))
        terms = {
            node: {"deviation": strength}
            for node, strength in zip(found.nodes, found.strength.tolist(), strict=True)
            if strength > 0
        }
        return causes(case, found, terms)

    def _directions(self, state: Mapping[str, Any], case: Case) -> dict[str, int]:
        """As learned, or 0 for all; none where each goes as declared."""
        if self.params.direction == "declared" or case.panel is None:
            return {}
        learned = json.loads(str(state.get("directions", "{}")))
        return {metric: learned.get(metric, 0) for metric in case.panel.metrics}


def _one_way(share: float) -> bool:
    return share >= ONE_WAY or share <= 1.0 - ONE_WAY
