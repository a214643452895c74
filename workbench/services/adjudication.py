"""Disagreements between people, side by side, and the word of a third that settles them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.errors import ConflictError, InvalidInputError, PermissionDeniedError
from data import label_pool, label_store
from data.records import Label, NewLabel
from workbench.context import Context
from workbench.services import subjects, taxonomy, verdicts
from workbench.services.taxonomy import Taxonomy
from workbench.services.verdicts import Verdict

UNSURE = "unsure"


@dataclass(frozen=True)
class Side:
    """What one person says of it; `says` is the verdict in the words of the taxonomy."""

    label_id: int
    by: str
    at: datetime
    verdict: Verdict
    says: str
    blind: bool


@dataclass(frozen=True)
class Dispute:
    """One thing on which people differ, and in what: disposition, causes, component.

    own : the asker is one of those people, so somebody else must settle it
    """

    subject_kind: str
    subject_id: int
    title: str
    entity: str
    onset: datetime
    severity: str
    sides: tuple[Side, ...]
    differs: tuple[str, ...]
    own: bool


def disputes(ctx: Context, tenant: str, *, domain: str, actor: str) -> list[Dispute]:
    """What waits for adjudication: first what the actor may settle, then the longest waiting."""
    subjects.checked(domain)
    words = taxonomy.of(ctx, tenant, domain)

    def read(session: Any) -> list[Dispute]:
        said = label_pool.verdicts(session, tenant=tenant, domain=domain)
        found = []
        for (kind, number), labels in said.items():
            sides = _sides(labels, words)
            differs = _differing(sides, words)
            if differs and not any(label.settles for label in labels):
                subject = verdicts.subject_of(session, tenant, kind, number)
                found.append(
                    Dispute(
                        kind,
                        number,
                        subjects.title(subject),
                        getattr(subject, "root_entity", "") or getattr(subject, "entity", ""),
                        subject.onset,
                        subject.severity,
                        sides,
                        differs,
                        actor in {side.by for side in sides},
                    )
                )
        return found

    found = ctx.records.read(tenant, read)
    return sorted(found, key=lambda item: (item.own, max(side.label_id for side in item.sides)))


def waiting(ctx: Context, tenant: str, *, domain: str, actor: str = "") -> int:
    """How many disagreements wait; with an actor, how many of them that person may settle."""
    found = disputes(ctx, tenant, domain=domain, actor=actor)
    return sum(not (actor and dispute.own) for dispute in found)


def settle(
    ctx: Context,
    tenant: str,
    *,
    subject_kind: str,
    subject_id: int,
    actor: str,
    seen: Collection[int],
    label_id: int | None = None,
    verdict: Verdict | None = None,
    note: str = "",
) -> Label:
    """Settle a disagreement by the label of one side, or by a verdict of its own; what it is about is validated.

    seen : the labels that were looked at; ConflictError, with both, where others stand now

    Raises PermissionDeniedError for an actor who is one of the sides.
    """
    if (label_id is None) == (verdict is None):
        given = {"label_id": label_id, "verdict": verdict}
        rule = "either one side's label or a verdict of its own"
        raise InvalidInputError.of("adjudicate", "the decision", rule, given)
    domain = ctx.records.read(
        tenant, lambda session: verdicts.subject_of(session, tenant, subject_kind, subject_id)
    ).domain
    words = taxonomy.of(ctx, tenant, domain)
    told = None if verdict is None else verdicts.checked(ctx, tenant, words, verdict, None)
    now = ctx.clock()

    def write(session: Any) -> Label:
        subject = verdicts.subject_of(session, tenant, subject_kind, subject_id)
        standing = label_store.on(
            session, tenant=tenant, subject_kind=subject_kind, subject_id=subject_id
        )
        sides = _sides(sorted(standing, key=lambda label: label.id), words)
        _check(actor, sides, standing, seen)
        decided = told or _of(sides, label_id, words)
        causes = decided.causes
        label = NewLabel(
            **{f"{subject_kind}_id": subject_id},
            entity=getattr(subject, "root_entity", "") or getattr(subject, "entity", ""),
            disposition=decided.disposition,
            cause=causes[0] if causes else "",
            causes=list(causes),
            component=decided.component or decided.missing,
            confidence=verdicts.CONFIDENCE[decided.confidence],
            note=note.strip() or decided.note,
            taxonomy=words.number,
            settles=[side.label_id for side in sides],
        )
        proposal = verdicts.missed(session, tenant, subject, decided, actor, now)
        return label_store.add(
            session, tenant=tenant, label=label, actor=actor, now=now, proposal=proposal
        )

    return ctx.records.write(tenant, write)


def _check(
    actor: str, sides: Sequence[Side], standing: Sequence[Label], seen: Collection[int]
) -> None:
    if actor in {side.by for side in sides}:
        people = " and ".join(side.by for side in sides)
        hint = f"{people} judged it: ask somebody else."
        raise PermissionDeniedError.of(
            "adjudicate", "the adjudicator", "somebody who did not judge it", actor, hint
        )
    settled = [label for label in standing if label.settles]
    now = {side.label_id for side in sides} | {label.id for label in settled}
    if now != set(seen):
        latest = max(standing, key=lambda label: label.id, default=None)
        raise ConflictError.of(
            "adjudicate",
            "the labels",
            f"those that you saw, {sorted(seen)}",
            sorted(now),
            f"{latest.labelled_by} judged it on {latest.labelled_at:%Y-%m-%d %H:%M} UTC: look again, then decide."
            if latest
            else "They were taken back.",
            seen=sorted(seen),
            stored=sorted(now),
            actor=latest.labelled_by if latest else "",
            at=latest.labelled_at if latest else None,
        )
    if len(sides) < 2:
        rule = "one of which two people judged"
        raise InvalidInputError.of("adjudicate", "the subject", rule, len(sides))


def _of(sides: Sequence[Side], label_id: int | None, words: Taxonomy) -> Verdict:
    """One side's verdict, its causes as they count today."""
    for side in sides:
        if side.label_id == label_id:
            causes = tuple(dict.fromkeys(words.now(cause) for cause in side.verdict.causes))
            return replace(side.verdict, causes=causes)
    rule = f"one of {', '.join(str(side.label_id) for side in sides)}"
    raise InvalidInputError.of("adjudicate", "the label", rule, label_id)


def _sides(labels: Sequence[Label], words: Taxonomy) -> tuple[Side, ...]:
    """The latest word of each person who could tell, in the order given."""
    return tuple(
        Side(
            label.id,
            label.labelled_by,
            label.labelled_at,
            verdicts.verdict_of(label),
            verdicts.in_words(verdicts.verdict_of(label), words),
            label.blind,
        )
        for label in subjects.own(labels)
        if subjects.normal(label.disposition) != UNSURE
    )


def _differing(sides: Sequence[Side], words: Taxonomy) -> tuple[str, ...]:
    """In what they differ; a component only counts where two named one."""
    told = {
        "disposition": {side.verdict.disposition for side in sides},
        "causes": {frozenset(map(words.now, side.verdict.causes)) for side in sides},
        "component": {side.verdict.component for side in sides if side.verdict.component},
    }
    return tuple(name for name, said in told.items() if len(said) > 1)
