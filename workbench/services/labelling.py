"""Labelling: one thing at a time to judge, judged once by each, taken back as easily, and how far one is.

An item is leased to one person for ten minutes. A verdict is one event in one transaction with everything that
follows from it: the incident's cause, the item's count, and the lease of the next item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from math import comb
from typing import Any

from scipy import stats

from core.cases import Graph
from core.errors import InvalidInputError, UnknownNameError
from core.evaluate.data_quality import UNEVEN
from data import label_store, queue_store
from data.records import Label, LabelItem, LabelSkip
from workbench.context import Context
from workbench.services import taxonomy, verdicts
from workbench.services.taxonomy import Taxonomy
from workbench.services.verdicts import Verdict

REASONS = ("Not now", "Not mine to judge", "Too little to see", "Looks broken")
"""Why one puts an item aside, in the order of their keys."""
GONE = "withdrawn"
"""The status of an incident whose recording was taken back."""
TARGET = 100
"""Labels a day."""
CHANCE = 0.05
"""How likely chance alone may make as uneven labels of causes that are equally common before that is told."""
PACE_OVER = timedelta(minutes=30)
EARLIER = 20
"""How many of one's own labels can be walked back through."""


@dataclass(frozen=True, eq=False)
class Item:
    """One thing to judge, why it was chosen, and until when it is theirs who asked.

    id      : 0 where the queue did not ask         until : None where nothing is held
    slice   : why it is in the queue; that its answer is known is told once the actor has answered
    guess   : what the model says; {} where it must not be seen
    seen    : the newest label of anybody else on the subject, which the verdict is given in knowledge of
    mine    : what the actor said of it before      label : that label's number, 0 for none
    """

    id: int
    domain: str
    subject_kind: str
    subject_id: int
    slice: str
    reason: str
    blind: bool
    until: datetime | None
    guess: Mapping[str, Any]
    seen: int
    mine: Verdict | None = None
    label: int = 0


@dataclass(frozen=True, eq=False)
class Submitted:
    """A label that is on disk, and the next item, held already; None when none waits."""

    label: Label
    next: Item | None


@dataclass(frozen=True)
class Aside:
    """How many items somebody put aside, and when the first of them comes back; None of none."""

    items: int
    until: datetime | None


@dataclass(frozen=True)
class Progress:
    """How far the actor is: labels today of `target`, those of the hard slice, per hour, and what is out of balance.

    waiting : items of the queue that the actor can still judge      balance : labels by cause, of everybody
    ratio   : the most common cause to the rarest one, None with fewer than two
    uneven  : which cause outnumbers which, in words; "" below 3 to 1, and while chance alone may have done it
    """

    done: int
    target: int
    waiting: int
    hard_share: float | None
    pace: float | None
    balance: dict[str, int]
    ratio: float | None
    uneven: str


# ── the queue ────────────────────────────────────────────────────────────────────────────────────


def next_item(
    ctx: Context, tenant: str, *, domain: str, actor: str, after: Collection[int] = ()
) -> Item | None:
    """The next item, held for the actor for ten minutes; those of `after` are left out. None when none waits."""
    _known_domain(domain)
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: _next(session, tenant, domain=domain, actor=actor, now=now, after=after),
    )


def item_on(ctx: Context, tenant: str, subject_kind: str, subject_id: int, *, actor: str) -> Item:
    """An alert or incident that somebody opened to judge, asked for by the queue or not; nothing is held."""
    now = ctx.clock()
    return ctx.records.read(
        tenant,
        lambda session: _item(
            session, _asked(session, tenant, subject_kind, subject_id), actor, now
        ),
    )


def submit(
    ctx: Context,
    tenant: str,
    item_id: int,
    *,
    actor: str,
    verdict: Verdict,
    seen: int = 0,
    seconds: float | None = None,
    after: Collection[int] = (),
    graph: Graph | None = None,
) -> Submitted:
    """Keep a verdict on an item and hold the next one, in one transaction.

    The same verdict once more changes nothing; another one of the same actor takes the place of theirs. Raises
    ConflictError, with both verdicts, where somebody else judged the item since label `seen` or holds it now.
    """
    domain = ctx.records.read(
        tenant, lambda session: queue_store.get(session, tenant=tenant, item_id=item_id).domain
    )
    words = taxonomy.of(ctx, tenant, domain)
    checked = verdicts.checked(ctx, tenant, words, verdict, graph)
    now = ctx.clock()

    def write(session: Any) -> Submitted:
        item = queue_store.get(session, tenant=tenant, item_id=item_id)
        subject = verdicts.subject_of(session, tenant, item.subject_kind, item.subject_id)
        label = verdicts.keep(
            session,
            tenant,
            subject,
            item,
            checked,
            words,
            actor,
            now,
            seen=seen,
            seconds=seconds,
            queued=True,
        )
        queue_store.let_go(item, actor)
        following = _next(session, tenant, domain=domain, actor=actor, now=now, after=after)
        return Submitted(label, following)

    return ctx.records.write(tenant, write)


def label_subject(
    ctx: Context,
    tenant: str,
    subject_id: int,
    *,
    subject_kind: str,
    actor: str,
    verdict: Verdict,
    seen: int | None = None,
    seconds: float | None = None,
    at: datetime | None = None,
    graph: Graph | None = None,
) -> Label:
    """Keep a verdict on an alert or incident whoever asked; the queue's open item on it is answered by it too.

    seen : the newest label of anybody else that was seen; None does not ask
    at   : when it was said, where not now
    """
    about = {"subject_kind": subject_kind, "subject_id": subject_id}
    domain = ctx.records.read(
        tenant, lambda session: verdicts.subject_of(session, tenant, **about).domain
    )
    words = taxonomy.of(ctx, tenant, domain)
    checked = verdicts.checked(ctx, tenant, words, verdict, graph)
    now = at or ctx.clock()

    def write(session: Any) -> Label:
        return verdicts.keep(
            session,
            tenant,
            verdicts.subject_of(session, tenant, **about),
            queue_store.of_subject(session, tenant=tenant, **about),
            checked,
            words,
            actor,
            now,
            seen=seen,
            seconds=seconds,
        )

    return ctx.records.write(tenant, write)


label_alert = partial(label_subject, subject_kind="alert")
label_incident = partial(label_subject, subject_kind="incident")


def skip(
    ctx: Context,
    tenant: str,
    item_id: int,
    *,
    actor: str,
    reason: str,
    after: Collection[int] = (),
) -> Item | None:
    """Put an item aside for half an hour, with the reason; returns the next one, held already."""
    if not reason.strip():
        raise InvalidInputError.of("skip", "the reason", "something to read", reason)
    now = ctx.clock()

    def write(session: Any) -> Item | None:
        queue_store.skip(
            session, tenant=tenant, item_id=item_id, actor=actor, reason=reason.strip(), now=now
        )
        domain = queue_store.get(session, tenant=tenant, item_id=item_id).domain
        return _next(session, tenant, domain=domain, actor=actor, now=now, after=after)

    return ctx.records.write(tenant, write)


def undo(ctx: Context, tenant: str, *, actor: str, domain: str) -> Item:
    """Take back the actor's last label or skip in a domain; what it was about is theirs again, as it was left."""
    now = ctx.clock()

    def write(session: Any) -> Item:
        last = queue_store.last_action(session, tenant=tenant, domain=domain, actor=actor)
        label_store.undo(session, tenant=tenant, actor=actor, now=now, audit_id=last.id)
        said = label_store.touched(session, last, Label)
        taken_back = next((label for label in said if label.withdrawn), None)
        aside = label_store.touched(session, last, LabelSkip)
        number = next((row.item_id for row in (*said, *aside) if row.item_id), 0)
        row = _asked(session, tenant, last.object_kind, int(last.object_id), number)
        if row.id and not queue_store.held_by_another(row, actor, now):
            queue_store.hold(row, actor, now)
        item = _item(session, row, actor, now)
        return replace(item, mine=verdicts.verdict_of(taken_back)) if taken_back else item

    return ctx.records.write(tenant, write)


def previous(ctx: Context, tenant: str, *, actor: str, domain: str, before: int = 0) -> Item | None:
    """What the actor judged before label `before`, with what they said; None at the end of the last twenty.

    before : a label's number; 0 begins at the newest
    """
    now = ctx.clock()

    def read(session: Any) -> Item | None:
        mine = queue_store.judged(session, tenant=tenant, domain=domain, by=actor)[-EARLIER:]
        numbers = [row.id for row in mine if before == 0 or row.id < before]
        if not numbers:
            return None
        label = label_store.get(session, tenant=tenant, label_id=numbers[-1])
        row = _asked(session, tenant, *label_store.subject(label), label.item_id or 0)
        item = _item(session, row, actor, now)
        return replace(item, mine=verdicts.verdict_of(label), label=label.id)

    return ctx.records.read(tenant, read)


def waiting(ctx: Context, tenant: str, *, actor: str) -> dict[str, int]:
    """How many items of each domain's queue the actor can still judge."""
    now = ctx.clock()
    about = {"tenant": tenant, "actor": actor, "now": now}
    return ctx.records.read(
        tenant,
        lambda session: {
            domain: queue_store.waiting(session, domain=domain, **about)
            for domain in taxonomy.SHIPPED
        },
    )


def aside(ctx: Context, tenant: str, *, domain: str, actor: str) -> Aside:
    """What the actor put aside in a domain and may judge later."""
    now = ctx.clock()
    returns = ctx.records.read(
        tenant,
        lambda session: queue_store.aside(
            session, tenant=tenant, domain=domain, actor=actor, now=now
        ),
    )
    return Aside(len(returns), min(returns, default=None))


def listing(
    ctx: Context, tenant: str, *, domain: str, by: str = "", limit: int = 50
) -> list[Label]:
    """The labels of a domain that stand, newest first; those of one person where one is named."""
    _known_domain(domain)

    def read(session: Any) -> list[Label]:
        told = queue_store.judged(session, tenant=tenant, domain=domain, by=by)[-limit:]
        return [label_store.get(session, tenant=tenant, label_id=row.id) for row in reversed(told)]

    return ctx.records.read(tenant, read)


def newest(ctx: Context, tenant: str) -> int:
    """The number of the last label that was ever given, 0 before the first."""
    return ctx.records.read(tenant, lambda session: label_store.newest(session, tenant=tenant))


def progress(
    ctx: Context, tenant: str, *, domain: str, actor: str, target: int = TARGET
) -> Progress:
    """How far the actor is today (UTC), how fast, and whether the causes are out of balance."""
    now = ctx.clock()
    words = taxonomy.of(ctx, tenant, domain)
    said, waiting = ctx.records.read(
        tenant,
        lambda session: (
            queue_store.judged(session, tenant=tenant, domain=domain),
            queue_store.waiting(session, tenant=tenant, domain=domain, actor=actor, now=now),
        ),
    )
    mine = [row for row in said if row.labelled_by == actor]
    today = [row for row in mine if row.labelled_at.date() == now.date()]
    asked = [row.slice for row in today if row.slice]
    balance = Counter(
        words.now(cause) for row in said for cause in row.causes or [row.cause] if cause
    )
    ratio = max(balance.values()) / min(balance.values()) if len(balance) > 1 else None
    return Progress(
        done=len(today),
        target=target,
        waiting=waiting,
        hard_share=asked.count("hard") / len(asked) if asked else None,
        pace=_pace([row.labelled_at for row in mine], now),
        balance=dict(balance.most_common()),
        ratio=ratio,
        uneven=_uneven(balance, ratio, words),
    )


# ── within one transaction ───────────────────────────────────────────────────────────────────────


def _next(
    session: Any,
    tenant: str,
    *,
    domain: str,
    actor: str,
    now: datetime,
    after: Collection[int],
) -> Item | None:
    while True:
        row = queue_store.lease(
            session, tenant=tenant, domain=domain, actor=actor, now=now, without=after
        )
        if row is None:
            return None
        if verdicts.subject_of(session, tenant, row.subject_kind, row.subject_id).status != GONE:
            return _item(session, row, actor, now)
        row.state = "closed"
        queue_store.let_go(row, actor)


def _asked(
    session: Any, tenant: str, subject_kind: str, subject_id: int, number: int = 0
) -> LabelItem:
    """The item `number`, else the queue's open one on the subject, else one that the queue does not have."""
    if number:
        return queue_store.get(session, tenant=tenant, item_id=number)
    subject = verdicts.subject_of(session, tenant, subject_kind, subject_id)
    about = {"subject_kind": subject_kind, "subject_id": subject_id}
    return queue_store.of_subject(session, tenant=tenant, **about) or LabelItem(
        tenant=tenant,
        id=0,
        domain=subject.domain,
        **about,
        slice="",
        reason="You opened it.",
        guess=verdicts.guess_of(subject),
        created_at=subject.created_at,
    )


def _item(session: Any, row: LabelItem, actor: str, now: datetime) -> Item:
    about = {"subject_kind": row.subject_kind, "subject_id": row.subject_id}
    standing = label_store.on(session, tenant=row.tenant, **about)
    own = next((label for label in standing if label.labelled_by == actor), None)
    held = row.leased_by == actor and row.leased_until is not None and row.leased_until >= now
    return Item(
        id=row.id,
        domain=row.domain,
        **about,
        slice=row.slice if own else verdicts.UNTOLD.get(row.slice, row.slice),
        reason=row.reason,
        blind=row.blind,
        until=row.leased_until if held else None,
        guess={} if row.blind else dict(row.guess),
        seen=max((label.id for label in standing if label.labelled_by != actor), default=0),
        mine=verdicts.verdict_of(own) if own else None,
        label=own.id if own else 0,
    )


def _known_domain(domain: str) -> None:
    if domain not in taxonomy.SHIPPED:
        rule = f"one of {', '.join(taxonomy.SHIPPED)}"
        raise UnknownNameError.of("queue", "the domain", rule, domain)


def _pace(moments: Sequence[datetime], now: datetime) -> float | None:
    """Labels an hour over the last half hour, None with fewer than two."""
    late = [moment for moment in moments if moment > now - PACE_OVER]
    if len(late) < 2 or late[-1] == late[0]:
        return None
    return (len(late) - 1) / ((late[-1] - late[0]) / timedelta(hours=1))


def _uneven(balance: Counter[str], ratio: float | None, words: Taxonomy) -> str:
    """Which cause outnumbers which, in words; "" while they are in balance, or too few to say."""
    if ratio is None or ratio < UNEVEN:
        return ""
    (most, many), *_, (least, few) = balance.most_common()
    # the two were chosen as the farthest apart of all pairs
    if comb(len(balance), 2) * stats.binomtest(many, many + few).pvalue > CHANCE:
        return ""
    return f"{many:,} labels say “{words.label(most)}”, {few:,} “{words.label(least)}”"
