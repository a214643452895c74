"""Numbers that liken one thing that people judge to another, by name, and what each says in words.

None is a name of a component: what is learned from them holds for entities that nobody saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from core.contracts import DAY
from core.domains import DOMAINS
from core.quantities import amount
from core.severity import SEVERITIES
from data.records import Alert, Incident

Facts = Mapping[str, float]
Row = Mapping[str, Any]
WORST, SAYS, EVIDENCE, SHARE, SHIFT = (
    "worst alert: ",
    " says",
    "evidence ",
    "share of ",
    "shift of ",
)


def of_alert(alert: Alert) -> Facts:
    """What is known of an alert; what is not is left out."""
    facts = {
        "severity": float(alert.severity_rank),
        "score": alert.score,
        "over the threshold": alert.score - alert.threshold,
        "hours": _hours(alert.onset, alert.last_seen),
        "money at risk": math.log1p(max(alert.spend_at_risk, 0.0)),
        **{f"{name}{SAYS}": -math.log10(max(p, 1e-300)) for name, p in votes(alert).items()},
        **_of_candidates(alert.root_causes),
    }
    told = alert.explanation
    if told.get("shares"):
        shares = np.abs(np.array(told["shares"], dtype=np.float64)).sum(axis=0)
        whole = float(shares.sum()) or 1.0
        facts |= {
            f"{SHARE}{metric}": float(part) / whole
            for metric, part in zip(told["metrics"], shares, strict=True)
        }
    return {name: value for name, value in facts.items() if math.isfinite(value)}


def of_incident(row: Incident, lead: Alert | None) -> Facts:
    """What is known of an incident and of its worst alert."""
    facts = {f"{WORST}{name}": value for name, value in of_alert(lead).items()} if lead else {}
    facts |= {
        "severity": float(row.severity_rank),
        "alerts": float(row.alerts),
        "services": float(len(row.services)),
        "regions": float(len(row.regions)),
        "hours": _hours(row.onset, row.ended_at),
        "money at risk": math.log1p(max(row.spend_at_risk, 0.0)),
        **_of_candidates(row.candidates),
        **{f"{SHIFT}{metric}": _logged(shift["shift"]) for metric, shift in moved(row).items()},
    }
    return {name: value for name, value in facts.items() if math.isfinite(value)}


def votes(alert: Alert) -> dict[str, float]:
    """Detector → its p-value."""
    return {
        name: float(part["p_value"])
        for name, part in alert.parts.items()
        if isinstance(part, dict) and part.get("p_value") is not None
    }


def moved(incident: Incident) -> dict[str, Row]:
    """Metric → the row of the snapshot in which it moved most, whichever of the entities that is."""
    strongest: dict[str, Row] = {}
    for row in incident.snapshots.get("rows", ()):
        held = strongest.get(row["metric"])
        if isinstance(row["shift"], float) and (  # one of a constant metric is missing or endless
            held is None or abs(row["shift"]) > abs(held["shift"])
        ):
            strongest[row["metric"]] = row
    return strongest


def _of_candidates(candidates: Sequence[Row]) -> dict[str, float]:
    """How sure root-cause analysis is, how far it went, and what spoke for its first candidate."""
    if not candidates:
        return {}
    first, *others = candidates
    second = float(others[0].get("confidence", 0.0)) if others else 0.0
    return {
        "cause confidence": float(first.get("confidence", 0.0)),
        "lead of the first cause": float(first.get("confidence", 0.0)) - second,
        "hops": float(first.get("hops", 0)),
        **{f"{EVIDENCE}{name}": float(value) for name, value in first.get("terms", {}).items()},
    }


def _hours(start: datetime, end: datetime | None) -> float:
    return math.nan if end is None else (end - start).total_seconds() / 3600.0


def _logged(shift: float) -> float:
    return math.copysign(math.log1p(abs(shift)), shift)


# ── in words ─────────────────────────────────────────────────────────────────────────────────────


def _count(many: float, one: str) -> str:
    return f"{many:.0f} {one}" if round(many) == 1 else f"{many:.0f} {one}s"


def _lasted(hours: float, domain: str) -> str:
    """How long, in days where a domain is measured by day: the first counts whole."""
    if domain in DOMAINS and DOMAINS[domain].step >= DAY:
        return f"lasted {_count(hours / 24 + 1, 'day')}"
    return f"lasted {hours:,.1f} hours" if hours >= 1 else f"lasted {_count(60 * hours, 'minute')}"


SAID: Mapping[str, Callable[[float], str]] = {
    "severity": lambda rank: f"severity {SEVERITIES[int(rank)]}",
    "alerts": lambda many: _count(many, "alert"),
    "services": lambda many: f"{_count(many, 'service')} affected",
    "regions": lambda many: f"{_count(many, 'region')} affected",
    "money at risk": lambda logged: f"money at risk {math.expm1(logged):,.0f}",
    "score": lambda score: f"score {score:.1f}",
    "over the threshold": lambda score: f"{score:.1f} over the threshold",
    "cause confidence": lambda share: f"its likeliest cause {100 * share:.0f} % sure",
    "lead of the first cause": lambda share: (
        f"its likeliest cause {100 * share:.0f} % ahead of the next"
    ),
    "hops": lambda hops: f"its likeliest cause {_count(hops, 'hop')} away",
}
"""Fact → what its value says."""


def said(name: str, value: float, domain: str, moved: Mapping[str, Row]) -> str:
    """A fact and its value in words, metrics by their labels; "" for one that is for models alone."""
    if name.startswith(WORST):
        told = said(name.removeprefix(WORST), value, domain, moved)
        return f"its worst alert: {told}" if told else ""
    if name.startswith(SHIFT):
        return shifted(moved[name.removeprefix(SHIFT)])
    if name.startswith(SHARE):
        return f"{100 * value:.0f} % of its score is {label(domain, name.removeprefix(SHARE))}"
    if name == "hours":
        return _lasted(value, domain)
    if name.endswith(SAYS):
        return f"{name.removesuffix(SAYS)} finds it 1 in {10.0 ** min(value, 9.0):,.0f}"
    return SAID[name](value) if name in SAID else ""


def shifted(row: Row) -> str:
    """`memory used of cart-1 2.3 × its usual`; from nothing, the amounts themselves."""
    what = f"{in_sentence(row['label'])} of {row['name']}"
    before, during = row["before"], row["during"]
    if not before or before < 0 or during is None or during < 0:
        return f"{what} {_amount(before, row)} → {_amount(during, row)}"
    times = during / before
    return f"{what} {times:,.0f} × its usual" if times >= 10 else f"{what} {times:.2g} × its usual"


def _amount(value: float | None, row: Row) -> str:
    return "unknown" if value is None else amount(value, row["unit"])


def label(domain: str, metric: str) -> str:
    """A metric within a sentence, by its label where the domain declares it."""
    spec = DOMAINS.get(domain)
    declared = (*spec.metrics, *spec.ratios) if spec else ()
    told = next((one.label for one in declared if one.name == metric), metric.replace("_", " "))
    return in_sentence(told)


def in_sentence(label: str) -> str:
    """`Memory used` → `memory used`; `CPU used`, `SLA kept` and `gRPC requests` stay."""
    first = label.partition(" ")[0]
    return label if not first[1:].islower() else label[:1].lower() + label[1:]
