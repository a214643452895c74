"""The queue of what is to be labelled: each item leased to one person at a time, put aside, taken up again."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data import audit_store
from data.audit_store import Edit
from data.records import Alert, AlertHistory, AuditEvent, Incident, Label, LabelItem, LabelSkip

LEASE = timedelta(minutes=10)
ASIDE = timedelta(minutes=30)
"""How long an item is one person's, and how long one that was put aside stays away from who did it."""
VERBS = ("label", "skip")
SUBJECTS = {"alert": Alert, "incident": Incident}


def lease(
    session: Session,
    *,
    tenant: str,
    domain: str,
    actor: str,
    now: datetime,
    without: Collection[int] = (),
) -> LabelItem | None:
    """The next item for the actor, theirs for `LEASE` from now; None when none waits for them.

    Those they hold already come first, then by priority. Nobody is given what another holds, what they judged
    themselves, or what they put aside a short while ago. Every write is serialised, so two never get the same.
    """
    free = or_(
        LabelItem.leased_by == actor, LabelItem.leased_until.is_(None), LabelItem.leased_until < now
    )
    query = (
        select(LabelItem)
        .where(*_waiting(tenant, domain, actor, now), free)
        .order_by(
            (and_(LabelItem.leased_by == actor, LabelItem.leased_until >= now)).desc(),
            LabelItem.priority.desc(),
            LabelItem.id,
        )
        .limit(1)
        .with_for_update()
    )
    if without:
        query = query.where(LabelItem.id.not_in(without))
    item = session.scalar(query)
    if item is not None:
        hold(item, actor, now)
    return item


def hold(item: LabelItem, actor: str, now: datetime) -> None:
    """Give the item to the actor for `LEASE` from now."""
    item.leased_by, item.leased_until = actor, now + LEASE


def let_go(item: LabelItem, actor: str) -> None:
    """End the actor's hold of an item; another's stays."""
    if item.leased_by == actor:
        item.leased_by, item.leased_until = "", None


def get(session: Session, *, tenant: str, item_id: int) -> LabelItem:
    """The item; `NotFoundError` when the tenant has none of that number."""
    item = session.get(LabelItem, (tenant, item_id), with_for_update=True)
    if item is None:
        raise NotFoundError.of("queue", "the item", "one of this tenant's", item_id)
    return item


def of_subject(
    session: Session, *, tenant: str, subject_kind: str, subject_id: int
) -> LabelItem | None:
    """The open item of an alert or incident, its newest round; None when the queue has none."""
    query = select(LabelItem).where(
        LabelItem.tenant == tenant,
        LabelItem.subject_kind == subject_kind,
        LabelItem.subject_id == subject_id,
        LabelItem.state == "open",
    )
    return session.scalar(query.order_by(LabelItem.round.desc()).limit(1))


def held_by_another(item: LabelItem, actor: str, now: datetime) -> bool:
    """Whether somebody else may work on the item now."""
    until = item.leased_until
    return item.leased_by not in ("", actor) and until is not None and until >= now


def skip(
    session: Session, *, tenant: str, item_id: int, actor: str, reason: str, now: datetime
) -> LabelSkip:
    """Put an item aside for `ASIDE`; it is free for others at once."""
    item = get(session, tenant=tenant, item_id=item_id)
    if held_by_another(item, actor, now):
        raise ConflictError.of(
            "skip",
            f"item {item_id}",
            "free or yours",
            f"{item.leased_by} has it",
            "Go on with the next one.",
            actor=item.leased_by,
            at=item.leased_until,
        )
    item.leased_by, item.leased_until = "", None
    row = LabelSkip(
        tenant=tenant, item_id=item_id, actor=actor, reason=reason, at=now, until=now + ASIDE
    )
    edit = Edit(session, actor=actor, now=now)
    edit.add(row)
    edit.record(
        tenant=tenant, verb="skip", object_kind=item.subject_kind, object_id=item.subject_id
    )
    return row


def last_action(session: Session, *, tenant: str, domain: str, actor: str) -> AuditEvent:
    """The actor's last label or skip in a domain that still stands."""
    for event in audit_store.standing(session, tenant=tenant, actor=actor, verbs=VERBS):
        kind = SUBJECTS.get(event.object_kind)
        key = (tenant, int(event.object_id))
        row = session.get(kind, key) if kind else None
        if row is None and kind is Alert:
            row = session.get(AlertHistory, key)
        if row is not None and row.domain == domain:
            return event
    raise NotFoundError(f"Nothing to undo: no label or skip of {actor} in {domain} still stands.")


def waiting(session: Session, *, tenant: str, domain: str, actor: str, now: datetime) -> int:
    """How many items wait for the actor, those that others hold included."""
    query = select(func.count(LabelItem.id)).where(*_waiting(tenant, domain, actor, now))
    return session.scalar(query) or 0


def aside(
    session: Session, *, tenant: str, domain: str, actor: str, now: datetime
) -> list[datetime]:
    """When each open item that the actor put aside comes back to them."""
    query = (
        select(func.max(LabelSkip.until))
        .join(
            LabelItem, and_(LabelItem.tenant == LabelSkip.tenant, LabelItem.id == LabelSkip.item_id)
        )
        .where(
            LabelSkip.tenant == tenant,
            LabelSkip.actor == actor,
            LabelSkip.withdrawn.is_(False),
            LabelSkip.until > now,
            LabelItem.domain == domain,
            LabelItem.state == "open",
        )
        .group_by(LabelSkip.item_id)
    )
    return list(session.scalars(query))


def judged(session: Session, *, tenant: str, domain: str, by: str = "") -> list[Any]:
    """Who said what when in a domain and still stands, oldest first: rows of a label's telling columns.

    id, labelled_by, labelled_at, disposition, cause, causes, item_id, slice (None outside the queue)
    """
    of_domain = [
        and_(column.is_not(None), column.in_(select(row.id).where(row.domain == domain)))
        for column, row in (
            (Label.incident_id, Incident),
            (Label.alert_id, Alert),
            (Label.alert_id, AlertHistory),
        )
    ]
    query = (
        select(
            Label.id,
            Label.labelled_by,
            Label.labelled_at,
            Label.disposition,
            Label.cause,
            Label.causes,
            Label.item_id,
            LabelItem.slice,
        )
        .outerjoin(LabelItem, and_(LabelItem.tenant == Label.tenant, LabelItem.id == Label.item_id))
        .where(Label.tenant == tenant, Label.withdrawn.is_(False), or_(*of_domain))
    )
    if by:
        query = query.where(Label.labelled_by == by)
    return list(session.execute(query.order_by(Label.id)))


def _waiting(tenant: str, domain: str, actor: str, now: datetime) -> list[ColumnElement[bool]]:
    said = (
        select(Label.id)
        .where(
            Label.tenant == LabelItem.tenant,
            Label.labelled_by == actor,
            Label.withdrawn.is_(False),
            or_(
                and_(LabelItem.subject_kind == "alert", Label.alert_id == LabelItem.subject_id),
                and_(
                    LabelItem.subject_kind == "incident",
                    Label.incident_id == LabelItem.subject_id,
                ),
            ),
        )
        .exists()
    )
    aside = (
        select(LabelSkip.id)
        .where(
            LabelSkip.tenant == LabelItem.tenant,
            LabelSkip.item_id == LabelItem.id,
            LabelSkip.actor == actor,
            LabelSkip.withdrawn.is_(False),
            LabelSkip.until > now,
        )
        .exists()
    )
    return [
        LabelItem.tenant == tenant,
        LabelItem.domain == domain,
        LabelItem.state == "open",
        ~said,
        ~aside,
    ]
