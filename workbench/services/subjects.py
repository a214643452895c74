"""What people judge, an incident or an alert that stands alone, with what detectors and people said of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from core.contracts import Floats
from core.errors import UnknownNameError
from data import label_pool
from data.label_pool import ALERT, INCIDENT
from data.records import Alert, Incident, Label
from workbench.context import Context
from workbench.services import labelled, taxonomy
from workbench.services.taxonomy import SHIPPED, Taxonomy

MOST = 5000
"""Subjects that are looked at, the latest first."""
RARE = 0.05
"""Share of the subjects that must know a fact for it to be compared."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One thing that people judge.

    votes  : p-value by detector, of its worst alert     alpha : the p-value below which it counts as anomalous
    facts  : numbers that liken it to others; no names
    guess  : what the model says: disposition, cause, component, confidence; keys are absent where it says nothing
    labels : the labels that stand, in the order given
    words  : what labels may say
    """

    kind: str
    id: int
    title: str
    entity: str
    onset: datetime
    severity: str
    votes: Mapping[str, float]
    alpha: float
    facts: Mapping[str, float]
    guess: Mapping[str, Any]
    labels: tuple[Label, ...]
    words: Taxonomy

    @property
    def key(self) -> tuple[str, int]:
        return self.kind, self.id

    @property
    def group(self) -> str:
        """Subjects of one entity are no independent examples."""
        return self.entity or f"{self.kind}/{self.id}"

    def says(self, label: Label) -> str:
        """What a label says in one word: the causes of what is real, as they count today, else the disposition."""
        disposition = normal(label.disposition)
        if disposition not in labelled.REAL:
            return disposition
        return " + ".join(sorted(set(map(self.words.now, causes(label))))) or disposition


def subjects(ctx: Context, tenant: str, domain: str, *, most: int = MOST) -> list[Subject]:
    """The latest incidents and lone alerts of a domain, the latest first."""
    words = taxonomy.of(ctx, tenant, checked(domain))
    return ctx.records.read(tenant, lambda session: _read(session, tenant, words, most))


def title(row: Alert | Incident) -> str:
    """What an incident or alert is called where it is judged."""
    return row.title if isinstance(row, Incident) else row.sentence or row.entity_name or row.entity


def checked(domain: str) -> str:
    """The domain, if there is one of that name."""
    if domain not in SHIPPED:
        rule = f"one of {', '.join(SHIPPED)}"
        raise UnknownNameError.of("labels", "the domain", rule, domain)
    return domain


def causes(label: Label) -> tuple[str, ...]:
    """All the causes that a label names."""
    return tuple(label.causes) or ((label.cause,) if label.cause else ())


def normal(disposition: str) -> str:
    """A disposition as verdicts are compared: "data_error" → "data error"."""
    return disposition.strip().lower().replace("_", " ")


def verdict(labels: Sequence[Label]) -> Label:
    """The label that counts: an adjudication before any other, else the latest."""
    return max(labels, key=lambda label: (bool(label.settles), label.id))


def real(labels: Sequence[Label]) -> float:
    """1 where people found it real, 0 where not, NaN where nobody could tell."""
    said = normal(verdict(labels).disposition) if labels else ""
    known = {**dict.fromkeys(labelled.REAL, 1.0)}
    known |= dict.fromkeys((*labelled.NORMAL, *labelled.FAULTY), 0.0)
    return known.get(said, math.nan)


def own(labels: Iterable[Label]) -> list[Label]:
    """One label a person, the latest, without those that settle a dispute."""
    return list({label.labelled_by: label for label in labels if not label.settles}.values())


def table(found: Sequence[Subject]) -> tuple[Floats, tuple[str, ...]]:
    """(n, n_fact) facts that enough of them know, NaN = missing, and their names."""
    counts: dict[str, int] = {}
    for subject in found:
        for name in subject.facts:
            counts[name] = counts.get(name, 0) + 1
    names = tuple(name for name, count in counts.items() if count >= RARE * len(found))
    values = [[subject.facts.get(name, math.nan) for name in names] for subject in found]
    return np.array(values, dtype=np.float64).reshape(len(found), len(names)), names


# ── From records ─────────────────────────────────────────────────────────────────────────────────


def _read(session: Any, tenant: str, words: Taxonomy, most: int) -> list[Subject]:
    about: dict[str, Any] = {"tenant": tenant, "domain": words.domain}
    said = label_pool.verdicts(session, **about)
    incidents = label_pool.incidents(session, **about, most=most)
    alerts = label_pool.lone_alerts(session, **about, most=most)
    leading: dict[int, Alert] = {}
    if incidents:
        since = min(incident.onset for incident in incidents) - timedelta(days=1)
        for alert in label_pool.alerts_under(session, **about, since=since):
            leading.setdefault(int(alert.incident_id or 0), alert)
    found = [
        *(
            _incident(row, leading.get(row.id), said.get((INCIDENT, row.id), []), words)
            for row in incidents
        ),
        *(_alert(row, said.get((ALERT, row.id), []), words) for row in alerts),
    ]
    return sorted(found, key=lambda subject: subject.onset, reverse=True)[:most]


def _alert(row: Alert, said: list[Label], words: Taxonomy) -> Subject:
    best = row.root_causes[0] if row.root_causes else {}
    guess: dict[str, Any] = {"disposition": "real"}
    if best:
        guess |= {
            "cause": best.get("type", ""),
            "component": best.get("node", ""),
            "confidence": best.get("confidence", 0.0),
        }
    return Subject(
        ALERT,
        row.id,
        title(row),
        row.entity,
        row.onset,
        row.severity,
        _votes(row),
        _alpha(row),
        _facts_of_alert(row),
        guess,
        tuple(said),
        words,
    )


def _incident(row: Incident, lead: Alert | None, said: list[Label], words: Taxonomy) -> Subject:
    guess: dict[str, Any] = {"disposition": "real"}
    if row.root_entity:
        guess |= {
            "cause": row.cause_type,
            "component": row.root_entity,
            "confidence": row.confidence,
        }
    facts = (
        {f"worst alert: {name}": value for name, value in _facts_of_alert(lead).items()}
        if lead
        else {}
    )
    facts |= {
        "severity": float(row.severity_rank),
        "alerts": float(row.alerts),
        "services": float(len(row.services)),
        "regions": float(len(row.regions)),
        "hours": _hours(row.onset, row.ended_at),
        "money at risk": math.log1p(max(row.spend_at_risk, 0.0)),
        **_of_candidates(row.candidates),
        **_of_snapshots(row.snapshots),
    }
    return Subject(
        INCIDENT,
        row.id,
        title(row),
        row.root_entity,
        row.onset,
        row.severity,
        _votes(lead) if lead else {},
        _alpha(lead) if lead else 0.01,
        {name: value for name, value in facts.items() if math.isfinite(value)},
        guess,
        tuple(said),
        words,
    )


def _votes(alert: Alert) -> dict[str, float]:
    return {
        name: float(part["p_value"])
        for name, part in alert.parts.items()
        if isinstance(part, dict) and part.get("p_value") is not None
    }


def _alpha(alert: Alert) -> float:
    """The p-value at the threshold, which is kept on the scale of the score, −log₁₀ p."""
    return float(10.0**-alert.threshold)


def _facts_of_alert(alert: Alert) -> dict[str, float]:
    facts = {
        "severity": float(alert.severity_rank),
        "score": alert.score,
        "over the threshold": alert.score - alert.threshold,
        "hours": _hours(alert.onset, alert.last_seen),
        "money at risk": math.log1p(max(alert.spend_at_risk, 0.0)),
        **{f"{name} says": -math.log10(max(p, 1e-300)) for name, p in _votes(alert).items()},
        **_of_candidates(alert.root_causes),
    }
    told = alert.explanation
    if told.get("shares"):
        shares = np.abs(np.array(told["shares"], dtype=np.float64)).sum(axis=0)
        whole = float(shares.sum()) or 1.0
        facts |= {
            f"share of {metric}": float(part) / whole
            for metric, part in zip(told["metrics"], shares, strict=True)
        }
    return {name: value for name, value in facts.items() if math.isfinite(value)}


def _of_candidates(candidates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How sure root-cause analysis is, how far it went, and what spoke for its first candidate."""
    if not candidates:
        return {}
    first, *others = candidates
    second = float(others[0].get("confidence", 0.0)) if others else 0.0
    return {
        "cause confidence": float(first.get("confidence", 0.0)),
        "lead of the first cause": float(first.get("confidence", 0.0)) - second,
        "hops": float(first.get("hops", 0)),
        **{f"evidence {name}": float(value) for name, value in first.get("terms", {}).items()},
    }


def _of_snapshots(snapshots: Mapping[str, Any]) -> dict[str, float]:
    """The strongest shift of each metric during the incident, whichever of its entities shows it."""
    facts: dict[str, float] = {}
    for row in snapshots.get("rows", ()):
        shift = row["shift"]
        if isinstance(shift, float):  # one of a constant metric is kept as missing or without end
            name = f"shift of {row['metric']}"
            logged = math.copysign(math.log1p(abs(shift)), shift)
            facts[name] = max(facts.get(name, 0.0), logged, key=abs)
    return facts


def _hours(start: datetime, end: datetime | None) -> float:
    return math.nan if end is None else (end - start).total_seconds() / 3600.0
