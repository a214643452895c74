"""What localizers keep: the planted root first, nothing where nothing happened."""

from __future__ import annotations

import networkx as nx
import numpy as np

from core.cases import Cause
from core.checks.subject import Check, Subject, fitted, refusal, require
from core.errors import UnknownNameError
from core.samples import planted_case


def check_root_first(subject: Subject) -> None:
    """The planted campaign comes first among the causes of its keyword's alarm."""
    causes = fitted(subject).find(planted_case())
    require(causes and causes[0].node == "campaign:1", subject, "the planted root must come first")


def check_quiet_case(subject: Subject) -> None:
    """Where nothing happened no cause is found."""
    quiet = planted_case(effect=1.0)
    require(fitted(subject).find(quiet) == [], subject, "nothing must be found in a quiet case")


def check_unknown_alarm_refused(subject: Subject) -> None:
    """An alarm on a node that is not in the graph is refused by name."""
    case = planted_case(alarm="keyword:gone")
    text = refusal(subject, UnknownNameError, lambda: fitted(subject).find(case))
    require("keyword:gone" in text, subject, "the refusal must name the node")


def check_causes_well_formed(subject: Subject) -> None:
    """Causes lie on paths of the graph to the alarm, best first, with finite terms and 0 ≤ confidence ≤ 1."""
    case = planted_case()
    causes: list[Cause] = fitted(subject).find(case)
    for cause in causes:
        ends = (cause.path[0], cause.path[-1])
        require(
            ends == (cause.node, case.alarm.node), subject, "a path must run from cause to alarm"
        )
        require(nx.is_path(case.graph.net, list(cause.path)), subject, "a path must follow edges")
        require(cause.hops == len(cause.path) - 1, subject, "hops must count the path's edges")
        require(0 <= cause.confidence <= 1, subject, "confidence must be in 0…1")
        require(
            np.isfinite([cause.score, *cause.terms.values()]).all(), subject, "terms must be finite"
        )
        require(cause.onset in case.panel.periods.labels, subject, "onset must be a period")  # type: ignore[union-attr]
    require(
        sum(cause.confidence for cause in causes) <= 1 + 1e-9, subject, "belief must not exceed 1"
    )


CAUSES: tuple[Check, ...] = (
    check_root_first,
    check_quiet_case,
    check_unknown_alarm_refused,
    check_causes_well_formed,
)
