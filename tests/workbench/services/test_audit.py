from __future__ import annotations

import sqlite3

from data import alert_store
from tests.findings import NOW, new_alert
from workbench.context import Context
from workbench.services import alerts, audit


def test_every_verb_is_told_and_a_forged_one_is_found(ctx: Context) -> None:
    who = {"tenant": "acme", "actor": "scheduler", "now": NOW}
    found = [new_alert("campaign:1"), new_alert("campaign:2")]
    (one, two) = ctx.records.write(
        "acme", lambda session: alert_store.upsert(session, **who, found=found)
    ).ids
    alerts.acknowledge(ctx, "acme", one, actor="ana")
    alerts.resolve(ctx, "acme", two, actor="bob")
    told = audit.history(ctx, "acme")
    assert [(event.actor, event.verb) for event in told] == [
        ("bob", "resolve"),
        ("ana", "acknowledge"),
        ("scheduler", "detect"),
    ]
    assert [event.actor for event in audit.history(ctx, "acme", kind="alert", number=one)] == [
        "ana"
    ]
    assert audit.history(ctx, "rival") == []
    assert audit.verify(ctx, "acme") is None
    with sqlite3.connect(ctx.settings.home / "records.db") as database:
        database.execute("DROP TRIGGER audit_event_no_update")
        database.execute("UPDATE audit_event SET actor = 'eve' WHERE verb = 'acknowledge'")
    database.close()
    assert audit.verify(ctx, "acme") == told[1].id
