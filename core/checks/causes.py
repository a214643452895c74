"""What localizers keep: the planted root first, nothing where nothing happened."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np

from core.cases import WHOLE, Case, Cause, none_found
from core.checks.subject import Check, Subject, fitted, refusal, require, world
from core.contracts import Times
from core.errors import UnknownNameError


def check_root_first(subject: Subject) -> None:
    """The planted root comes first among the causes of an alarm that it set off."""
    asked = world(subject)
    causes = fitted(subject).find(asked.planted())
    require(causes and causes[0].node == asked.root, subject, "the planted root must come first")


def check_quiet_case(subject: Subject) -> None:
    """Where nothing happened no cause stands out."""
    causes = fitted(subject).find(world(subject).quiet())
    require(none_found(causes), subject, "nothing must be found in a quiet case")


def check_unknown_alarm_refused(subject: Subject) -> None:
    """An alarm on a node that is not in the graph is refused by name."""
    case = world(subject).planted()
    lost = replace(case, alarm=replace(case.alarm, node="keyword:gone"))
    text = refusal(subject, UnknownNameError, lambda: fitted(subject).find(lost))
    require("keyword:gone" in text, subject, "the refusal must name the node")


def check_causes_well_formed(subject: Subject) -> None:
    """Causes lie on paths of the graph to the alarm, best first, with finite terms and 0 ≤ confidence ≤ 1."""
    case = world(subject).planted()
    causes: list[Cause] = fitted(subject).find(case)
    for cause in causes:
        ends = (cause.path[0], cause.path[-1])
        require(
            ends == (cause.node, case.alarm.node), subject, "a path must run from cause to alarm"
        )
        require(_way(case, cause), subject, "a path must follow edges")
        require(cause.hops == len(cause.path) - 1, subject, "hops must count the path's edges")
        require(0 <= cause.confidence <= 1, subject, "confidence must be in 0…1")
        require(
            np.isfinite([cause.score, *cause.terms.values()]).all(), subject, "terms must be finite"
        )
        require(cause.onset in _times(case), subject, "onset must be a period")
    require(
        sum(cause.confidence for cause in causes) <= 1 + 1e-9, subject, "belief must not exceed 1"
    )


def _way(case: Case, cause: Cause) -> bool:
    """Whether the path follows the graph; combinations of attributes lead straight to the whole."""
    if case.cube is not None:
        return cause.node == WHOLE or cause.path == (cause.node, WHOLE)
    return bool(nx.is_path(case.graph.net, list(cause.path)))


def _times(case: Case) -> Times:
    return case.cube.times if case.cube is not None else case.panel.periods.labels  # type: ignore[union-attr]


CAUSES: tuple[Check, ...] = (
    check_root_first,
    check_quiet_case,
    check_unknown_alarm_refused,
    check_causes_well_formed,
)
