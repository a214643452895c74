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
from workbench.services import facts, labelled, taxonomy
from workbench.services.facts import Facts
from workbench.services.taxonomy import SHIPPED, Taxonomy

MOST = 5000
"""Subjects that are looked at, the latest first."""
RARE = 0.05
"""Share of the subjects that must know a fact for it to be compared."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One thing that people judge.

    votes  : p-value by detector, of its worst alert     alpha : the p-value below which it counts as anomalous
    facts  : numbers that liken it to others; no names     moved : metric → the row of its snapshot that moved most
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
    facts: Facts
    moved: Mapping[str, Mapping[str, Any]]
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

    def tells(self, fact: str) -> str:
        """One of its facts in words; "" for one that it does not have, or that is for models alone."""
        if fact not in self.facts:
            return ""
        return facts.said(fact, self.facts[fact], self.words.domain, self.moved)

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
            "cause": words.now(best.get("type", "")),
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
        facts.votes(row),
        _alpha(row),
        facts.of_alert(row),
        {},
        guess,
        tuple(said),
        words,
    )


def _incident(row: Incident, lead: Alert | None, said: list[Label], words: Taxonomy) -> Subject:
    guess: dict[str, Any] = {"disposition": "real"}
    if row.root_entity:
        guess |= {
            "cause": words.now(row.cause_type),
            "component": row.root_entity,
            "confidence": row.confidence,
        }
    return Subject(
        INCIDENT,
        row.id,
        title(row),
        row.root_entity,
        row.onset,
        row.severity,
        facts.votes(lead) if lead else {},
        _alpha(lead) if lead else 0.01,
        facts.of_incident(row, lead),
        facts.moved(row),
        guess,
        tuple(said),
        words,
    )


def _alpha(alert: Alert) -> float:
    """The p-value at the threshold, which is kept on the scale of the score, −log₁₀ p."""
    return float(10.0**-alert.threshold)
