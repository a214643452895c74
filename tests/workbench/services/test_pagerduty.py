"""PagerDuty's webhook: signed or refused, taken in once, and the same incident in whatever order events arrive."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr, ValidationError

from core.errors import InvalidInputError, PermissionDeniedError
from data import alert_store, outbreaks
from tests.findings import new_alert, new_incident
from workbench import server
from workbench.api import webhooks
from workbench.context import Context, open_context
from workbench.services import incidents, pagerduty
from workbench.services.pagerduty import sign, verify
from workbench.settings import Settings

SECRET = "a-secret-of-the-subscription"
OTHER = "the-secret-of-another-tenant"
URL = webhooks.PAGERDUTY


def event(
    kind: str, at: str = "10:00", *, number: str = "", data: Any = None, **facts: Any
) -> dict[str, Any]:
    """An event of incident PGR0VU2 as the developer documentation shows it."""
    status = {"acknowledged": "acknowledged", "resolved": "resolved"}.get(kind, "triggered")
    incident = {
        "id": "PGR0VU2",
        "type": "incident",
        "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2",
        "number": 2,
        "status": status,
        "created_at": "2026-11-20T04:00:00Z",
        "title": "A little bump in the road",
        "service": {"id": "PF9KMXH", "summary": "API Service", "type": "service_reference"},
        "priority": {"id": "PSO75BM", "summary": "P2", "type": "priority_reference"},
        "urgency": "high",
    }
    return {
        "id": number or f"01{kind}{at}",
        "event_type": f"incident.{kind}",
        "resource_type": "incident",
        "occurred_at": f"2026-11-20T{at}:00.169Z",
        "agent": {"summary": "Tenex Engineer", "type": "user_reference"},
        "client": None,
        "data": incident | facts if data is None else data,
    }


def note(kind: str, at: str, **text: str) -> dict[str, Any]:
    reference = {"id": "PGR0VU2", "summary": "A little bump", "type": "incident_reference"}
    data = {"incident": reference, "id": "P2LA89X", "type": f"incident_{kind}", **text}
    return event(kind, at, data=data)


LIFE = (
    event("triggered", "04:00"),
    event("acknowledged", "04:10"),
    event("priority_updated", "04:20", status="acknowledged", priority={"summary": "P1"}),
    event("resolved", "05:00", priority={"summary": "P1"}),
    note("annotated", "04:30", content="It was the cache"),
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    secrets = {"acme": SecretStr(SECRET), "globex": SecretStr(OTHER)}
    return Settings(home=settings.home, user="ana", tenant="acme", pagerduty_secrets=secrets)


def deliver(ctx: Context, told: Any, secret: str = SECRET) -> pagerduty.Received:
    body = json.dumps({"event": told}).encode()
    return pagerduty.receive(ctx, body, f"v1={sign(secret, body)}")


def stored(ctx: Context, tenant: str = "acme") -> Any:
    (line,) = incidents.page(ctx, tenant, status="any").incidents
    return incidents.get(ctx, tenant, line.id)


def test_a_signature_is_the_hmac_of_the_raw_body() -> None:
    """RFC 4231, test case 2."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sign("Jefe", b"what do ya want for nothing?") == expected


def test_the_tenant_is_the_one_whose_secret_signed() -> None:
    secrets = {"acme": SecretStr(SECRET), "globex": SecretStr(OTHER)}
    right, other = f"v1={sign(SECRET, b'x')}", f"v1={sign(OTHER, b'x')}"
    assert verify(secrets, b"x", right) == "acme"
    assert verify(secrets, b"x", other) == "globex"
    assert verify(secrets, b"x", f"v1={'0' * 64}, {right}") == "acme"  # a secret is being exchanged


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "v1=",
        sign(SECRET, b"x"),
        f"v0={sign(SECRET, b'x')}",
        f"v1={sign(SECRET, b'x ')}",
        f"v1={sign('', b'x')}",
        "v1=é",
        ",".join(["v1=0"] * 8 + [f"v1={sign(SECRET, b'x')}"]),
    ],
)
def test_any_other_signature_is_refused(signature: str) -> None:
    with pytest.raises(PermissionDeniedError, match="signature"):
        verify({"acme": SecretStr(SECRET)}, b"x", signature)


def test_without_a_secret_nothing_is_taken_in() -> None:
    with pytest.raises(PermissionDeniedError, match="configured before") as refused:
        verify({}, b"x", f"v1={sign('', b'x')}")
    assert "HEADWATER_PAGERDUTY_SECRETS" in refused.value.hint


def test_secrets_are_read_from_the_environment_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADWATER_PAGERDUTY_SECRETS", json.dumps({"acme": SECRET}))
    read = Settings()
    assert read.pagerduty_secrets["acme"].get_secret_value() == SECRET
    assert SECRET not in repr(read)
    monkeypatch.setenv("HEADWATER_PAGERDUTY_SECRETS", json.dumps({"acme": ""}))
    with pytest.raises(ValidationError, match="16"):
        Settings()


def test_an_incident_is_what_its_events_say(ctx: Context) -> None:
    first = deliver(ctx, LIFE[0])
    assert (first.outcome, first.incident) == ("created", 1)
    assert first.warnings == ("never measured here: API Service",)
    assert [deliver(ctx, told).outcome for told in LIFE[1:]] == ["updated"] * 3 + ["unchanged"]
    detail = stored(ctx)
    row = detail.incident
    assert (row.title, row.severity, row.services) == (
        "A little bump in the road",
        "critical",
        ["API Service"],
    )
    assert (row.source, row.external_key, row.domain) == ("pagerduty", "PGR0VU2", "services")
    assert row.onset == datetime(2026, 11, 20, 4, tzinfo=UTC)
    assert (row.status, row.acknowledged_by, row.resolved_by) == (
        "resolved",
        "Tenex Engineer",
        "Tenex Engineer",
    )
    assert row.ended_at == row.resolved_at == datetime(2026, 11, 20, 5, 0, 0, 169000, tzinfo=UTC)
    assert detail.duration_minutes == pytest.approx(60.003, abs=0.001)
    (said,) = detail.comments
    assert (said.body, said.author) == ("It was the cache", "Tenex Engineer (pagerduty)")
    assert said.at.hour == 4 and said.at.minute == 30


def test_every_order_of_delivery_makes_the_same_incident(ctx: Context) -> None:
    kept = [pagerduty._essence(told) for told in LIFE]
    whole = pagerduty.fold("PGR0VU2", kept)
    for order in itertools.permutations(kept):
        assert pagerduty.fold("PGR0VU2", order) == whole
    for told in reversed(LIFE):  # and so through the store
        deliver(ctx, told)
    row = stored(ctx).incident
    assert {name: getattr(row, name) for name in whole.told} == whole.told


def test_a_redelivery_changes_nothing(ctx: Context) -> None:
    for told in LIFE:
        deliver(ctx, told)
    before = stored(ctx)
    assert {deliver(ctx, told).outcome for told in LIFE} == {"repeated"}
    after = stored(ctx)
    assert after.incident.version == before.incident.version
    assert len(after.history) == len(before.history) and len(after.comments) == 1


def test_a_late_event_does_not_undo_what_a_person_did(ctx: Context) -> None:
    deliver(ctx, LIFE[0])
    incidents.resolve(ctx, "acme", 1, actor="ana")
    incidents.edit(ctx, "acme", 1, values={"title": "Cache cold"}, actor="ana")
    deliver(ctx, event("escalated", "04:05"))
    row = stored(ctx).incident
    assert (row.status, row.resolved_by, row.title) == ("resolved", "ana", "Cache cold")
    deliver(ctx, event("acknowledged", "04:30"))
    assert stored(ctx).incident.status == "acknowledged"


def test_reopened_is_open_again_without_an_end(ctx: Context) -> None:
    for told in (LIFE[3], event("reopened", "05:30")):
        deliver(ctx, told)
    row = stored(ctx).incident
    assert (row.status, row.ended_at, row.resolved_at, row.resolved_by) == (
        "open",
        None,
        None,
        None,
    )


def test_a_note_that_comes_first_makes_the_incident_and_the_rest_follows(ctx: Context) -> None:
    deliver(ctx, LIFE[4])
    assert stored(ctx).incident.title == "A little bump"
    deliver(ctx, LIFE[0])
    row = stored(ctx).incident
    assert (row.title, row.onset.hour, row.services) == (
        "A little bump in the road",
        4,
        ["API Service"],
    )
    assert len(stored(ctx).comments) == 1


def test_custom_fields_tell_the_regions(ctx: Context) -> None:
    deliver(ctx, LIFE[0])
    fields = [{"name": "region", "value": ["eu-west", "us-east"]}, {"name": "team", "value": "x"}]
    told = note("custom_field_values.updated", "04:15")
    deliver(ctx, told | {"data": told["data"] | {"custom_fields": fields}})
    assert stored(ctx).incident.regions == ["eu-west", "us-east"]


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        ({"priority": {"summary": "P4"}}, "low"),
        ({"priority": {"summary": "Major"}, "urgency": "low"}, "low"),
        ({"priority": None}, "high"),
        ({"priority": None, "urgency": None}, "high"),
    ],
)
def test_severity_is_the_priority_else_the_urgency(
    ctx: Context, facts: dict[str, Any], severity: str
) -> None:
    deliver(ctx, event("triggered", **facts))
    assert stored(ctx).incident.severity == severity


@pytest.mark.parametrize(
    "told",
    [
        event("updated", data={"type": "service", "id": "PF9KMXH"}),
        event("ping", data={"message": "Hello from your friend Pagey!", "type": "ping"}),
        event("odd", data=None) | {"data": None},
    ],
)
def test_events_of_no_incident_are_accepted_and_ignored(ctx: Context, told: Any) -> None:
    assert deliver(ctx, told).outcome == "ignored"
    assert incidents.page(ctx, "acme", status="any").incidents == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"messages": []}',
        b'{"event": {"id": "1"}}',
        b"[" * 100_000,
        b'{"event": {"id": "1", "event_type": "x", "occurred_at": "yesterday"}}',
    ],
)
def test_a_signed_body_that_is_no_event_is_refused_by_name(ctx: Context, body: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"pagerduty: (the body|occurred_at) must be"):
        pagerduty.receive(ctx, body, f"v1={sign(SECRET, body)}")


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def away(settings: Settings) -> Iterator[TestClient]:
    """The API where others can reach it: everything but the webhook and health wants a token."""
    beyond = settings.model_copy(update={"host": "192.0.2.1"})
    with TestClient(server.build(beyond, pages=False, chores=False)) as client:
        yield client


def post(client: TestClient, told: Any, signature: str | None = None) -> Any:
    # spaces that no parser keeps: the signature is of the raw bytes
    body = json.dumps({"event": told}, indent=3, ensure_ascii=False).encode()
    header = f"v1={sign(SECRET, body)}" if signature is None else signature
    return client.post(URL, content=body, headers={"x-pagerduty-signature": header})


def test_beyond_loopback_the_signature_alone_lets_a_delivery_in(away: TestClient) -> None:
    answer = post(away, event("triggered", title="Zahlung hängt"))
    assert (answer.status_code, answer.json()["outcome"]) == (200, "created")
    assert post(away, event("triggered", title="Zahlung hängt")).json()["outcome"] == "repeated"
    for wrong in ("", "v1=0", f"v1={sign(OTHER + ' ', b'')}"):
        refused = post(away, event("resolved"), wrong)
        assert (refused.status_code, refused.json()["status"]) == (403, 403)
    assert away.get("/api/incidents").status_code == 401


def test_a_body_too_long_is_refused_before_it_is_read_whole(away: TestClient) -> None:
    answer = away.post(URL, content=b"x" * (webhooks.MOST_BYTES + 1))
    assert answer.status_code == 422 and "bytes" in answer.json()["error"]


def test_without_a_secret_the_webhook_is_closed_even_on_loopback(settings: Settings) -> None:
    shut = Settings(home=settings.home, user="ana", tenant="acme")
    with TestClient(server.build(shut, pages=False, chores=False)) as client:
        answer = post(client, LIFE[0])
    assert answer.status_code == 403 and "HEADWATER_PAGERDUTY_SECRETS" in answer.json()["hint"]
    with open_context(shut) as context:
        assert incidents.page(context, "acme", status="any").incidents == []


def test_what_a_pager_tells_of_an_outbreak_moves_what_was_found_of_it(ctx: Context) -> None:
    onset = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
    who: dict[str, Any] = {"tenant": "acme", "now": ctx.clock(), "actor": "scheduler"}
    about = {"domain": "services", "onset": onset, "cause_type": "disk_full"}

    def found(session: Any) -> None:
        seen = {"domain": "services", "onset": onset, "last_seen": onset + timedelta(minutes=20)}
        members = [new_alert("service:API Service", **seen), new_alert("pod:api-1", **seen)]
        ids = alert_store.upsert(session, found=members, **who).ids
        root = [new_incident("service:API Service", **about)]
        outbreaks.gather(session, found=root, holding=[ids], **who)

    ctx.records.write("acme", found)
    for told in LIFE:
        deliver(ctx, told)
    ctx.records.write("acme", found)
    for told in reversed(LIFE):
        assert deliver(ctx, told).outcome == "repeated"
    detail = stored(ctx)
    row = detail.incident
    assert (row.source, row.status, row.root_entity) == (
        "pagerduty",
        "resolved",
        "service:API Service",
    )
    assert (row.title, row.severity) == ("A little bump in the road", "critical")
    assert {alert.status for alert in detail.alerts} == {"resolved"} and row.alerts == 2
