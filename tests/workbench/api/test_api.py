"""The REST API.

Every answer is plain JSON. Every failure has one shape: `ok` (false), `error` (who: thing must be rule. Got value.),
`hint`, `errors` (all of them), `status` (as in the status line) and `id` (also in the header `x-error-id`, and in the
log where the server is at fault). On loopback nobody logs in; elsewhere every question but health wants a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from data import alert_store, incident_store
from tests.findings import NOW, new_alert, new_incident
from workbench import operations, server
from workbench.context import Context, open_context
from workbench.services import tokens
from workbench.settings import Settings


def seed(context: Context) -> None:
    """Three alerts, two of them under one incident."""

    def write(session: Any) -> None:
        who = {"tenant": "acme", "now": NOW, "actor": "test"}
        found = [
            new_alert("campaign:1", severity="critical"),
            new_alert("keyword:11", severity="low"),
            new_alert("keyword:12", severity="high"),
        ]
        ids = alert_store.upsert(session, found=found, **who).ids
        incident = incident_store.upsert(session, found=[new_incident("campaign:1")], **who).ids[0]
        incident_store.attach(session, incident_id=incident, alert_ids=ids[:2], **who)

    context.records.write("acme", write)


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with open_context(settings) as context:
        seed(context)
    with TestClient(server.build(settings, pages=False, chores=False)) as client:
        yield client


def fails(answer: Any, status: int, *words: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == body["status"] == status
    assert set(body) == {"ok", "error", "hint", "errors", "status", "id"}
    assert body["ok"] is False
    assert body["id"] == answer.headers["x-error-id"]
    assert all(word in body["error"] for word in words), body["error"]
    assert "Traceback" not in answer.text
    return body


def test_active_alerts_come_worst_first_without_the_muted_ones(api: TestClient) -> None:
    body = api.get("/api/anomaly/alerts/active").json()
    assert [alert["entity"] for alert in body["alerts"]] == ["campaign:1", "keyword:12"]
    everything = api.get("/api/anomaly/alerts/active", params={"muted": True}).json()
    assert len(everything["alerts"]) == 3


def test_pages_follow_one_another(api: TestClient) -> None:
    first = api.get("/api/anomaly/alerts/active", params={"limit": 1}).json()
    second = api.get(
        "/api/anomaly/alerts/active", params={"limit": 1, "after": first["next"]}
    ).json()
    assert first["alerts"][0]["entity"] == "campaign:1"
    assert second["alerts"][0]["entity"] == "keyword:12"


def test_an_alert_is_acknowledged_resolved_reopened_and_undone(api: TestClient) -> None:
    one = api.get("/api/anomaly/alerts/active").json()["alerts"][0]["id"]
    assert api.patch(f"/api/anomaly/alerts/{one}/acknowledge").json()["status"] == "acknowledged"
    assert (
        api.patch(f"/api/anomaly/alerts/{one}/resolve", json={"note": "fixed"}).json()["status"]
        == "resolved"
    )
    assert api.post("/api/anomaly/undo", json={}).json()["verb"] == "undo"
    shown = api.get(f"/api/anomaly/alerts/{one}").json()
    assert shown["alert"]["status"] == "acknowledged"
    assert shown["comments"] == []
    assert api.patch(f"/api/anomaly/alerts/{one}/reopen").json()["status"] == "open"


def test_a_comment_is_kept_with_its_author(api: TestClient) -> None:
    one = api.get("/api/anomaly/alerts/active").json()["alerts"][0]["id"]
    api.post(f"/api/anomaly/alerts/{one}/comments", json={"text": "looking"})
    (comment,) = api.get(f"/api/anomaly/alerts/{one}").json()["comments"]
    assert (comment["author"], comment["body"]) == ("ana", "looking")


def test_an_incident_takes_its_alerts_along(api: TestClient) -> None:
    (incident,) = api.get("/api/incidents").json()["incidents"]
    api.patch(f"/api/incidents/{incident['id']}/acknowledge")
    shown = api.get(f"/api/incidents/{incident['id']}").json()
    assert {alert["status"] for alert in shown["alerts"]} == {"acknowledged"}


def test_statistics_count_every_alert(api: TestClient) -> None:
    body = api.get("/api/anomaly/statistics").json()
    assert body["total"] == 3
    assert body["by_severity"]["critical"] == 1


def test_health_asks_each_store(api: TestClient) -> None:
    body = api.get("/api/health").json()
    assert body["ok"] is True
    assert {"metrics", "records", "registry"} <= set(body["checks"])


def test_every_operation_has_a_documented_route(api: TestClient) -> None:
    routes = api.get("/api/openapi.json").json()["paths"]
    for operation in operations.concrete():
        described = routes[operation.path][operation.method.lower()]
        assert described["summary"], operation.__name__
    page = api.get("/api/docs")
    assert all(operation.path in page.text for operation in operations.concrete())
    assert "low, medium, high or critical" in page.text
    assert not re.search("<script|<link|https?://", page.text)  # it works without the internet


def test_detection_without_data_says_what_to_do_next(api: TestClient) -> None:
    body = fails(api.post("/api/anomaly/detect", json={}), 422)
    assert "headwater import" in body["hint"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-10", datetime.combine(date(2026, 3, 10), time.max, UTC)),
        ("2026-03-10T06:00", datetime(2026, 3, 10, 6, tzinfo=UTC)),
        ("2026-03-10T06:00:00+02:00", datetime(2026, 3, 10, 4, tzinfo=UTC)),
        ("2026-03-10T06:00:00Z", datetime(2026, 3, 10, 6, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_in_utc_and_a_day_is_its_end(
    written: str, meant: datetime
) -> None:
    assert operations.anomaly.Detect.model_validate({"at": written}).at == meant
    assert operations.data.Import.model_validate({"paths": ["x"], "as_of": written}).as_of == meant


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/api/anomaly/alerts/999", None, 404, ("999",)),
        ("GET", "/api/anomaly/alerts/x", None, 422, ("id", "x")),
        ("GET", "/api/anomaly/alerts/active?limit=0", None, 422, ("limit", "0")),
        ("GET", "/api/anomaly/alerts/active?severity=awful", None, 422, ("severity", "awful")),
        ("GET", "/api/anomaly/alerts/active?level=planet", None, 422, ("planet", "campaign")),
        ("GET", "/api/anomaly/alerts/active?after=nonsense", None, 422, ("nonsense",)),
        ("POST", "/api/anomaly/detect", {"detector_type": "magic"}, 422, ("magic",)),
        ("POST", "/api/anomaly/detect", {"entity_type": "planet"}, 422, ("planet",)),
        ("POST", "/api/anomaly/detect", {"domain": "weather"}, 422, ("weather",)),
        ("POST", "/api/anomaly/alerts/1/comments", {"text": ""}, 422, ("text",)),
        ("POST", "/api/import", {"paths": []}, 422, ("paths",)),
        ("PATCH", "/api/anomaly/alerts/1/resolve", {"version": 77}, 409, ("77",)),
        ("POST", "/api/anomaly/detect", {"detector": "lstm"}, 422, ("detector_type", "'detector'")),
        ("GET", "/api/anomaly/alerts/active?sevrity=low", None, 422, ("severity", "'sevrity'")),
        ("GET", "/api/anomaly/alerts/1?x=1", None, 422, ("there are none", "'x'")),
        ("POST", "/api/anomaly/detect", {"at": "yesterday"}, 422, ("at", "yesterday")),
        ("GET", "/api/nothing", None, 404, ("/api/nothing",)),
        ("DELETE", "/api/anomaly/statistics", None, 404, ("DELETE /api/anomaly/statistics",)),
        ("POST", "/api/anomaly/undo", {"audit_id": 12345}, 404, ("12345",)),
    ],
)
def test_each_way_to_fail_has_the_one_shape(
    api: TestClient, method: str, path: str, body: Any, status: int, words: tuple[str, ...]
) -> None:
    fails(api.request(method, path, json=body), status, *words)


def test_only_this_machine_may_have_its_paths_read(api: TestClient) -> None:
    fails(api.post("/api/import", json={"paths": ["/etc"]}), 403, "loopback")


def test_on_loopback_a_command_says_for_whom_it_asks(api: TestClient) -> None:
    said = {operations.TENANT_HEADER: "globex"}
    assert api.get("/api/anomaly/alerts/active", headers=said).json()["alerts"] == []
    api.patch("/api/anomaly/alerts/1/acknowledge", headers={operations.USER_HEADER: "J%C3%BCrgen"})
    history = api.get("/api/anomaly/alerts/1").json()["history"]
    assert history[0]["actor"] == "Jürgen"


def test_elsewhere_a_token_is_wanted(settings: Settings) -> None:
    away = Settings(home=settings.home, tenant="acme", user="ana", host="192.0.2.1")
    with open_context(settings) as context:
        seed(context)
        secret = tokens.create(context, "acme", user="bob")
    with TestClient(server.build(away, pages=False, chores=False)) as client:
        fails(client.get("/api/anomaly/alerts/active"), 401, "token")
        fails(client.get("/api/anomaly/alerts/active", headers={"authorization": "Bearer no"}), 403)
        assert client.get("/api/health").status_code == 200
        said = {"authorization": f"Bearer {secret}"}
        assert len(client.get("/api/anomaly/alerts/active", headers=said).json()["alerts"]) == 2
        client.patch("/api/anomaly/alerts/1/acknowledge", headers=said)
        history = client.get("/api/anomaly/alerts/1", headers=said).json()["history"]
        assert history[0]["actor"] == "bob"
        other = said | {operations.TENANT_HEADER: "globex"}
        fails(client.get("/api/anomaly/alerts/active", headers=other), 403, "acme", "globex")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    # FastAPI takes a body that breaks off for a wrong one
    [("GET", "/api/health", 499), ("POST", "/api/score", 499), ("POST", "/api/incidents", 400)],
)
def test_a_client_that_hangs_up_is_no_failure(
    api: TestClient, method: str, path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"9")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    said = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    assert api.portal is not None
    api.portal.call(api.app, scope, receive, send)
    assert said[0]["status"] == status
    assert not [row for row in caplog.records if row.exc_info or row.levelname != "INFO"]
