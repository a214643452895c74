"""`POST /api/score`: what may be asked, what is answered, and how a refusal reads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
import pytest
from fastapi.testclient import TestClient

from benchmarks.rollback import noise
from core.errors import BusyError
from models.scoring import RowScorer, Scored
from models.train import publish, train
from workbench import server
from workbench.context import Context, open_context
from workbench.services import tokens
from workbench.settings import Settings

PANEL = noise(30)
CHAMPION = {"parts": "robust-z=1", "settings": "robust-z.scope=given"}


def published(context: Context, name: str, params: dict[str, Any]) -> str:
    trained = train(PANEL, name=name, params=params, held_out=0.0)
    return publish(context.registry, "acme", "ads", trained, PANEL, actor="ana").id


class Home(NamedTuple):
    """A served home: its champion, a version without a calibration, one that looks back; and two tokens."""

    client: TestClient
    versions: list[str]
    secret: str
    foreign: str


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    settings = Settings(home=tmp_path_factory.mktemp("served"), user="ana", tenant="acme")
    with open_context(settings) as context:
        found = [
            published(context, "ensemble", CHAMPION),
            published(context, "robust-z", {}),
            published(context, "isolation-forest", {"trees": 10, "sample": 64}),
        ]
        context.registry.promote("acme", "ads", found[0], actor="ana", reason="first")
        secrets = [tokens.create(context, who, user="bo") for who in ("acme", "other")]
    with TestClient(server.build(settings, pages=False, chores=False)) as client:
        yield Home(client, found, *secrets)


@pytest.fixture
def api(home: Home) -> TestClient:
    return home.client


@pytest.fixture
def versions(home: Home) -> list[str]:
    return home.versions


def question(**changes: Any) -> dict[str, Any]:
    rows = [
        {"entity": "campaign:1", "values": [0.1, -0.2, 0.3, None, 0.0]},
        {"entity": "campaign:2", "values": [40.0, 0.0, 0.0, 0.0, 0.0]},
    ]
    return {"features": list(PANEL.metrics), "rows": rows, **changes}


def fails(answer: Any, status: int, *words: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == body["status"] == status, body
    assert set(body) == {"ok", "error", "hint", "errors", "status", "id"}
    assert all(word in body["error"] for word in words), body["error"]
    return body


def test_the_champion_scores_rows_in_the_order_asked(api: TestClient, versions: list[str]) -> None:
    body = api.post("/api/score", json=question()).json()
    assert (body["domain"], body["version"], body["notice"]) == ("ads", versions[0], "")
    usual, odd = body["rows"]
    assert (usual["entity"], odd["entity"]) == ("campaign:1", "campaign:2")
    assert usual["severity"] == "normal"
    assert usual["p_value"] > 0.5
    assert odd["p_value"] < 1e-3
    assert odd["score"] == pytest.approx(-np.log10(odd["p_value"]))
    assert odd["severity"] in ("high", "critical")
    assert {row["version"] for row in body["rows"]} == {versions[0]}


def test_what_is_little_exposed_is_less_severe(api: TestClient) -> None:
    rows = [{**row, "exposed": 0.0} for row in question()["rows"]]
    body = api.post("/api/score", json=question(rows=rows)).json()
    assert [row["severity"] for row in body["rows"]] == ["normal", "low"]


def test_a_version_without_calibration_gives_scores_alone(
    api: TestClient, versions: list[str]
) -> None:
    body = api.post("/api/score", json=question(version=versions[1])).json()
    assert body["algorithm"] == "robust-z"
    assert body["rows"][1]["score"] > 30
    assert {(row["p_value"], row["severity"]) for row in body["rows"]} == {(None, None)}


def test_a_version_that_looks_back_takes_past_periods(api: TestClient, versions: list[str]) -> None:
    places = (0, 5, 9)
    rows = [
        {
            "entity": PANEL.entities[place],
            "values": PANEL.values[place, -1].tolist(),
            "past": PANEL.values[place, -15:-1].tolist(),
        }
        for place in places
    ]
    body = api.post("/api/score", json=question(rows=rows, version=versions[2])).json()
    trained = train(
        PANEL, name="isolation-forest", params={"trees": 10, "sample": 64}, held_out=0.0
    )
    expected = trained.algorithm.score_last(PANEL)[list(places)]
    assert [row["score"] for row in body["rows"]] == expected.tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": []}, ("1 to 100", "Got 0")),
        ({"rows": question()["rows"] * 51}, ("1 to 100 in a request", "Got 102")),
        ({"features": ["impressions"]}, ("row 0 (campaign:1)", "1 values", "Got 5")),
        ({"features": ["ctr", "impressions", "cpc", "cvr", "aov"]}, ("reordered",)),
        ({"features": ["impressions", "ctr", "cpc", "cvr", "size"]}, ("aov renamed to size",)),
        ({"domain": "weather"}, ("domain", "weather")),
        ({"deadline_ms": 0}, ("deadline_ms",)),
        ({"row": []}, ("row",)),
        ({"rows": [{"entity": "a", "values": [None] * 5}]}, ("row 0 (a)", "not null")),
        ({"rows": [{"entity": "a", "values": [1] * 5, "exposed": 2}]}, ("exposed", "[0, 1]")),
        ({"rows": [{"entity": "a", "values": [1] * 5, "exposd": 1}]}, ("exposd",)),
        ({"rows": [{"entity": "a", "values": ["x"] * 5}]}, ("rows.0.values.0",)),
        ({"rows": [{"entity": "a", "values": [1] * 5, "past": [[1]]}]}, ("row 0 (a)", "Got 1")),
        ({"rows": [{"entity": "a", "values": [1] * 5, "past": [[1] * 5]}]}, ("past periods",)),
    ],
)
def test_what_breaks_a_rule_is_named(
    api: TestClient, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    fails(api.post("/api/score", json=question(**change)), 422, *words)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"rows": [{"values": [1e999]}]}', b"\xff"])
def test_no_body_breaks_it(api: TestClient, body: bytes) -> None:
    fails(api.post("/api/score", content=body), 422)


def test_infinity_is_no_value(api: TestClient) -> None:
    body = b'{"features": ["a"], "rows": [{"entity": "x", "values": [1e999]}]}'
    fails(api.post("/api/score", content=body), 422, "row 0 (x)", "finite")


def test_too_long_a_body_is_not_read_on(api: TestClient) -> None:
    fails(api.post("/api/score", content=b" " * (5 << 20)), 422, "bytes long")


def test_there_is_no_champion_of_another_domain_or_tenant(api: TestClient) -> None:
    fails(api.post("/api/score", json=question(domain="services")), 404, "champion")
    other = {"x-headwater-tenant": "other"}
    fails(api.post("/api/score", json=question(), headers=other), 404, "champion")


def test_a_token_asks_for_its_own_tenant_and_a_wrong_one_for_nobody(home: Home) -> None:
    def ask(token: str) -> Any:
        head = {"authorization": f"Bearer {token}"}
        return home.client.post("/api/score", json=question(), headers=head)

    assert ask(home.secret).json()["version"] == home.versions[0]
    fails(ask(home.foreign), 404, "champion")
    fails(ask("hw.acme.nothing"), 403, "token")


def test_a_full_queue_says_when_to_come_again(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit(*_: Any) -> Future[Scored]:
        raise BusyError.of("score", "the rows of a tenant that wait", "at most 10,000", 10_100)

    monkeypatch.setattr(RowScorer, "submit", submit)
    answer = api.post("/api/score", json=question())
    fails(answer, 429, "at most 10,000")
    assert answer.headers["retry-after"] == "1"


def test_the_body_is_described(api: TestClient) -> None:
    told = api.get("/api/openapi.json").json()["paths"]["/api/score"]["post"]
    schema = told["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"domain", "version", "features", "rows", "deadline_ms"}
    row = schema["properties"]["rows"]["items"]
    assert set(row["properties"]) == {"entity", "values", "past", "exposed"}
