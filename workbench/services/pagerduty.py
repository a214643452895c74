"""PagerDuty's v3 webhook: who sent it is proven by its signature, and in which order it came does not matter.

Every event is kept; an incident is what its events say in the order in which they occurred. So an event that
comes late, or twice, changes nothing that a later one already told. Source: PagerDuty developer documentation,
"Webhooks overview" and "Verifying signatures".
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from core.errors import InvalidInputError, PermissionDeniedError
from data import incident_reports, receipt_store
from data.alert_store import add_comment
from data.audit_store import Edit
from data.incident_reports import Report
from data.ingest.incident_files import moment, reported, severity
from workbench.context import Context
from workbench.services import incidents

SOURCE = "pagerduty"
DOMAIN = "services"
VERSION = "v1="
MOST_SIGNATURES = 8
STATUS = {"triggered": "open", "acknowledged": "acknowledged", "resolved": "resolved"}
URGENCY = {"high": "high", "low": "low"}
REGIONS = ("region", "regions")
"""Custom fields of an incident that name its regions."""


@dataclass(frozen=True)
class Received:
    """What came of a delivery: created, updated, unchanged, repeated, or ignored since it tells of no incident."""

    event: str
    event_type: str
    outcome: str
    incident: int | None = None
    warnings: tuple[str, ...] = ()


def receive(ctx: Context, body: bytes, signature: str) -> Received:
    """Take in one delivery: the raw body as it came, and the header X-PagerDuty-Signature.

    The tenant is the one whose secret signed it. Raises PermissionDeniedError where none did or none is configured,
    InvalidInputError where the body is no event.
    """
    tenant = verify(ctx.settings.pagerduty_secrets, body, signature)
    told = _event(body)
    event, kind, data = _word(told, "id"), _word(told, "event_type"), told.get("data")
    about = _about(data)
    if not about:
        return Received(event, kind, "ignored")
    now = ctx.clock()
    kept = _essence(told)

    def write(session: Any) -> tuple[str, Any]:
        who: dict[str, Any] = {"tenant": tenant, "source": SOURCE}
        key = f"{about}/{event}"
        if (known := receipt_store.get(session, **who, key=key)) is not None:
            return "repeated", known.outcome["incident"]
        before = [row.outcome for row in receipt_store.under(session, **who, prefix=f"{about}/")]
        stored = incident_reports.report(
            session,
            tenant=tenant,
            found=[fold(about, [*before, kept])],
            actor=SOURCE,
            now=now,
        )
        (incident,) = stored.rows
        receipt_store.keep(
            session, **who, outcomes={key: kept | {"incident": incident.id}}, now=now
        )
        if kept["note"]:
            edit = Edit(session, actor=f"{kept['by']} ({SOURCE})", now=now)
            add_comment(edit, tenant, "incident", incident.id, kept["note"]).at = moment(kept["at"])
            edit.record(
                tenant=tenant, verb="comment", object_kind="incident", object_id=incident.id
            )
        return "created" if stored.created else "updated" if stored.updated else "unchanged", (
            incident.id
        )

    outcome, number = ctx.records.write(tenant, write)
    services = fold(about, [kept]).facts.services
    warnings = incidents.unknown(ctx, tenant, DOMAIN, services) if outcome == "created" else ()
    return Received(event, kind, outcome, number, warnings)


def verify(secrets: Mapping[str, SecretStr], body: bytes, signature: str) -> str:
    """The tenant whose secret signed the body, in constant time over all secrets and signatures.

    The header holds `v1=` and the hex HMAC-SHA256 of the raw body, several split by commas while a secret is
    exchanged; other versions are passed over.
    """
    if not secrets:
        raise PermissionDeniedError.of(
            "pagerduty",
            "the webhook's secret",
            "configured before anything is taken in",
            None,
            'Set HEADWATER_PAGERDUTY_SECRETS to {"tenant": "the secret of the webhook subscription"}.',
        )
    given = [part.strip() for part in signature.split(",")[:MOST_SIGNATURES]]
    signed = [part.removeprefix(VERSION) for part in given if part.startswith(VERSION)]
    matching = [
        tenant
        for tenant, secret in secrets.items()
        for one in signed
        if hmac.compare_digest(sign(secret.get_secret_value(), body).encode(), one.encode())
    ]
    if not matching:
        raise PermissionDeniedError.of(
            "pagerduty",
            "the signature",
            "made of this body with the secret of the webhook subscription",
            f"{signature[:12]}…" if signature else "",
        )
    return matching[0]


def sign(secret: str, body: bytes) -> str:
    """The hex HMAC-SHA256 (RFC 2104) of a body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def fold(incident: str, events: Sequence[Mapping[str, Any]]) -> Report:
    """What the events of one incident say together, in the order in which they occurred.

    The latest word on title, service, priority and regions counts; its status follows the events, with the first
    moment at which it was reached.
    """
    ordered = sorted(events, key=lambda event: (moment(event["at"]), event["id"]))
    said: dict[str, Any] = {}
    stands: dict[str, Any] = {"status": "open"}
    ended: datetime | None = None
    for event in ordered:
        said |= {name: value for name, value in event["said"].items() if value}
        status = STATUS.get(event["said"].get("status", ""), stands["status"])
        if status == stands["status"]:
            continue
        stands["status"] = status
        at = moment(event["at"])
        if status == "open":
            stands, ended = {"status": "open"}, None
        else:
            stands |= {f"{status}_at": at, f"{status}_by": event["by"]}
            ended = at if status == "resolved" else None
    stamps = ("acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by")
    facts = reported(
        DOMAIN,
        source=SOURCE,
        key=incident,
        title=said.get("title") or said.get("summary") or f"PagerDuty incident {incident}",
        description=said.get("url", ""),
        severity=said.get("severity", "high"),
        onset=moment(said.get("created_at") or ordered[0]["at"]),
        ended_at=ended,
        services=[said["service"]] if "service" in said else [],
        regions=said.get("regions", []),
    )
    return Report(facts, dict.fromkeys(stamps) | stands)


# ── reading a delivery ───────────────────────────────────────────────────────────────────────────


def _event(body: bytes) -> Mapping[str, Any]:
    rule = "JSON with one event as PagerDuty's v3 webhooks send it"
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError.of("pagerduty", "the body", rule, str(error)) from None
    event = told.get("event") if isinstance(told, dict) else None
    if not isinstance(event, dict) or not _word(event, "id") or not _word(event, "event_type"):
        raise InvalidInputError.of("pagerduty", "the body", rule, body[:80])
    try:
        moment(_word(event, "occurred_at"))
    except ValueError as error:
        given = event.get("occurred_at")
        raise InvalidInputError.of("pagerduty", "occurred_at", str(error), given) from None
    return event


def _about(data: Any) -> str:
    """The id of the incident that an event tells of, "" where it tells of none."""
    if not isinstance(data, dict):
        return ""
    if data.get("type") == "incident":
        return _word(data, "id")
    return _word(data, "incident", "id")


def _essence(event: Mapping[str, Any]) -> dict[str, Any]:
    """What of an event is kept and folded; what it does not say is left out."""
    data = event["data"]
    whole = data.get("type") == "incident"
    said: dict[str, Any] = (
        {
            "title": _word(data, "title"),
            "status": _word(data, "status"),
            "created_at": _when(data),
            "service": _word(data, "service", "summary") or _word(data, "service", "id"),
            "severity": _severity(data),
            "url": _word(data, "html_url"),
        }
        if whole
        else {
            "summary": _word(data, "incident", "summary"),
            "url": _word(data, "incident", "html_url"),
            "regions": _regions(data),
        }
    )
    return {
        "id": _word(event, "id"),
        "type": _word(event, "event_type"),
        "at": _word(event, "occurred_at"),
        "by": _word(event, "agent", "summary") or SOURCE,
        "said": {name: value for name, value in said.items() if value},
        "note": "" if whole else _word(data, "content") or _word(data, "message"),
    }


def _severity(data: Mapping[str, Any]) -> str:
    """Of the priority, where it is graded as ours is; else of the urgency."""
    try:
        return severity(_word(data, "priority", "summary"))
    except ValueError:
        return URGENCY.get(_word(data, "urgency"), "")


def _when(data: Mapping[str, Any]) -> str:
    """`created_at` where it can be read."""
    text = _word(data, "created_at")
    try:
        moment(text)
    except ValueError:
        return ""
    return text


def _regions(data: Mapping[str, Any]) -> list[str]:
    fields = data.get("custom_fields")
    for field in fields if isinstance(fields, list) else ():
        if isinstance(field, dict) and _word(field, "name").lower() in REGIONS:
            value = field.get("value")
            told = value if isinstance(value, list) else str(value or "").split(",")
            return [str(region).strip() for region in told if str(region).strip()]
    return []


def _word(value: Any, *path: str) -> str:
    """The text at a path of nested objects, "" where there is none; no longer than a record holds."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value[:4000] if isinstance(value, str) else ""
