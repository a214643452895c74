"""Verdicts: what somebody says of an alert or incident, checked by taxonomy and graph, and kept as a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.cases import Graph
from core.domains import DOMAINS
from core.errors import ConflictError, InvalidInputError, UnknownNameError
from data import alert_store, incident_store, label_store, proposal_store, queue_store
from data.records import AlertRow, Incident, Label, LabelItem, NewLabel, NodeProposal
from workbench.context import Context
from workbench.services import snapshots
from workbench.services.taxonomy import REAL, Taxonomy

CONFIDENCE = {"high": 0.9, "medium": 0.6, "low": 0.3}
LONGEST_NOTE = 4000
UNTOLD = {"gold": "relabel"}
"""What a slice of the queue is called before the answer: who sees that it is known judges otherwise."""


@dataclass(frozen=True)
class Verdict:
    """What somebody says of a subject; `missing` names a component that the graph lacks."""

    disposition: str
    causes: tuple[str, ...] = ()
    component: str = ""
    confidence: str = "high"
    note: str = ""
    missing: str = ""

    def same(self, other: Verdict) -> bool:
        """Whether both say the same of the subject, whatever the order of the causes."""
        return _told(self) == _told(other)


def keep(
    session: Any,
    tenant: str,
    subject: AlertRow | Incident,
    item: LabelItem | None,
    verdict: Verdict,
    words: Taxonomy,
    actor: str,
    now: datetime,
    *,
    seen: int | None,
    seconds: float | None,
    queued: bool = False,
) -> Label:
    """The label that says it: the one that stands already where it is the same, else a new one.

    queued : it answers the queue, which lets one person at a time
    """
    kind = _kind(subject)
    about = {"subject_kind": kind, "subject_id": subject.id}
    standing = label_store.on(session, tenant=tenant, **about)
    mine = [label for label in standing if label.labelled_by == actor and not label.settles]
    if mine and verdict_of(mine[0]).same(verdict):
        return mine[0]
    if not mine:
        _check_unseen(item, standing, verdict, seen, words)
        if queued and item is not None and queue_store.held_by_another(item, actor, now):
            raise _held(item, verdict, words)
    guess = guess_of(subject)
    label = NewLabel(
        alert_id=subject.id if kind == "alert" else None,
        incident_id=subject.id if kind == "incident" else None,
        entity=_entity(subject),
        disposition=verdict.disposition,
        cause=verdict.causes[0] if verdict.causes else "",
        causes=list(verdict.causes),
        component=verdict.component or verdict.missing,
        confidence=CONFIDENCE[verdict.confidence],
        note=verdict.note,
        features=_given_on(subject),
        predicted_score=guess.get("confidence"),
        predicted_label=guess.get("cause"),
        was_right=words.now(guess["cause"]) in verdict.causes
        if guess.get("cause") and verdict.causes
        else None,
        model_version=getattr(subject, "model_version", ""),
        taxonomy=words.number,
        item_id=item.id if item else None,
        blind=bool(item and item.blind),
        seconds=seconds,
    )
    return label_store.add(
        session,
        tenant=tenant,
        label=label,
        actor=actor,
        now=now,
        replaces=mine,
        proposal=missed(session, tenant, subject, verdict, actor, now),
    )


def missed(
    session: Any,
    tenant: str,
    subject: AlertRow | Incident,
    verdict: Verdict,
    actor: str,
    now: datetime,
) -> NodeProposal | None:
    """What proposes the component that a verdict says the graph lacks; None where nothing or somebody else does."""
    about = {"tenant": tenant, "domain": subject.domain, "name": verdict.missing}
    if not verdict.missing or proposal_store.waiting(session, **about):
        return None
    at = _entity(subject) or next(iter(getattr(subject, "services", ())), "")
    return NodeProposal(**about, parent=at, proposed_by=actor, at=now)


def _check_unseen(
    item: LabelItem | None,
    standing: Sequence[Label],
    verdict: Verdict,
    seen: int | None,
    words: Taxonomy,
) -> None:
    """Refuse a verdict that another one has crossed, with both; a second opinion that was asked for is none."""
    asked = item is not None and item.blind and item.given < item.wanted
    theirs = next(
        (label for label in standing if seen is not None and label.id > seen and not asked), None
    )
    if theirs is not None:
        raise ConflictError.of(
            "label",
            "the subject",
            f"unjudged since you looked (your verdict: {in_words(verdict, words)})",
            in_words(verdict_of(theirs), words),
            f"{theirs.labelled_by} said so on {theirs.labelled_at:%Y-%m-%d %H:%M} UTC: "
            "leave it at that, or submit yours once more to let both stand.",
            yours=verdict,
            theirs=verdict_of(theirs),
            actor=theirs.labelled_by,
            at=theirs.labelled_at,
            seen=theirs.id,
        )


def _held(item: LabelItem, verdict: Verdict, words: Taxonomy) -> ConflictError:
    return ConflictError.of(
        "label",
        f"item {item.id}",
        f"yours (your verdict: {in_words(verdict, words)})",
        f"held by {item.leased_by}, who has said nothing yet",
        "Your ten minutes were over: go on with the next one.",
        yours=verdict,
        theirs=None,
        actor=item.leased_by,
        at=item.leased_until,
    )


def subject_of(
    session: Any, tenant: str, subject_kind: str, subject_id: int
) -> AlertRow | Incident:
    if subject_kind == "incident":
        return incident_store.get(session, tenant=tenant, incident_id=subject_id)
    if subject_kind == "alert":
        return alert_store.get(session, tenant=tenant, alert_id=subject_id)
    raise UnknownNameError.of("label", "the kind of subject", "alert or incident", subject_kind)


def _kind(subject: AlertRow | Incident) -> str:
    return "incident" if isinstance(subject, Incident) else "alert"


def _entity(subject: AlertRow | Incident) -> str:
    return subject.root_entity if isinstance(subject, Incident) else subject.entity


def guess_of(subject: AlertRow | Incident) -> dict[str, Any]:
    """What the model says of it: the cause that root-cause analysis put first."""
    if isinstance(subject, Incident):
        told = (subject.cause_type, subject.root_entity, subject.confidence)
    else:
        first = subject.root_causes[0] if subject.root_causes else {}
        told = (first.get("type"), first.get("node"), first.get("confidence"))
    named = zip(("cause", "component", "confidence"), told, strict=True)
    return {name: value for name, value in named if value}


def _given_on(subject: AlertRow | Incident) -> dict[str, Any]:
    """The values that a verdict was given on."""
    names = ("severity", "onset", "title", "score", "p_value", "threshold", "hops", "snapshots")
    return {name: getattr(subject, name) for name in names if hasattr(subject, name)}


# ── what is said ─────────────────────────────────────────────────────────────────────────────────


def checked(
    ctx: Context, tenant: str, words: Taxonomy, verdict: Verdict, graph: Graph | None
) -> Verdict:
    """The verdict as the taxonomy and the graph allow it; refused with the rule it breaks, and nothing is lost."""
    dispositions = [one.name for one in words.dispositions]
    if verdict.disposition not in dispositions:
        rule = f"one of {', '.join(dispositions)}"
        raise UnknownNameError.of("label", "the disposition", rule, verdict.disposition)
    causes = tuple(dict.fromkeys(verdict.causes))
    active = [word.name for word in words.active]
    for cause in causes:
        if cause not in active:
            rule = f"one of {', '.join(active)}"
            raise UnknownNameError.of("label", "the cause", rule, cause)
    if len(causes) > 1 and not words.several:
        raise InvalidInputError.of("label", "the causes", "one at most", list(causes))
    if verdict.disposition == REAL and not causes:
        hint = "Choose “unknown” where nobody can tell."
        raise InvalidInputError.of("label", "the cause of something real", "chosen", None, hint)
    if verdict.confidence not in CONFIDENCE:
        rule = f"one of {', '.join(CONFIDENCE)}"
        raise UnknownNameError.of("label", "the confidence", rule, verdict.confidence)
    if len(verdict.note) > LONGEST_NOTE:
        rule = f"at most {LONGEST_NOTE:,} characters"
        raise InvalidInputError.of("label", "the note", rule, len(verdict.note))
    component, missing = _component(ctx, tenant, words.domain, verdict, graph)
    return Verdict(
        verdict.disposition,
        causes,
        component,
        verdict.confidence,
        verdict.note.strip(),
        missing,
    )


def _component(
    ctx: Context, tenant: str, domain: str, verdict: Verdict, graph: Graph | None
) -> tuple[str, str]:
    """A node of the graph, or the name of one that it lacks; a name that it has after all is that node."""
    missing = " ".join(verdict.missing.split())[:160]
    if not verdict.component and not missing:
        return "", ""
    if domain not in DOMAINS:
        rule = f"left out where the domain has no graph ({', '.join(DOMAINS)} have one)"
        raise InvalidInputError.of("label", "the component", rule, verdict.component or missing)
    known = (graph or snapshots.graph(ctx, tenant, domain)).net
    if verdict.component:
        if verdict.component not in known:
            hint = "Where the graph lacks it, say so: `missing` proposes it as a new node."
            rule = "a node of the dependency graph"
            raise UnknownNameError.of("label", "the component", rule, verdict.component, hint)
        return verdict.component, ""
    if missing in known:
        return missing, ""
    named = [node for node, told in known.nodes(data=True) if told.get("name") == missing]
    return (named[0], "") if len(named) == 1 else ("", missing)


def verdict_of(label: Label) -> Verdict:
    """What a label says."""
    causes = tuple(label.causes) or ((label.cause,) if label.cause else ())
    word = confidence_word(label.confidence)
    return Verdict(label.disposition, causes, label.component, word, label.note)


def confidence_word(number: float) -> str:
    """The word nearest to a confidence 0 … 1."""
    return min(CONFIDENCE, key=lambda word: abs(CONFIDENCE[word] - number))


def _told(verdict: Verdict) -> tuple[Any, ...]:
    component = verdict.component or verdict.missing
    causes = frozenset(verdict.causes)
    return verdict.disposition, causes, component, verdict.confidence, verdict.note


def in_words(verdict: Verdict, words: Taxonomy) -> str:
    """`Real · Database slow · service:db · high · the note`, in the words of the taxonomy."""
    dispositions = {one.name: one.label for one in words.dispositions}
    parts = (
        dispositions.get(verdict.disposition, verdict.disposition),
        *map(words.said, verdict.causes),
        verdict.component or verdict.missing,
        verdict.confidence,
        verdict.note,
    )
    return " · ".join(part for part in parts if part)
