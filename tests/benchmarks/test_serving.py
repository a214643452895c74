"""The benchmark of serving: its load generator counts truly, and its requests are what the server takes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from benchmarks import serving
from benchmarks.serving_load import Plan, Seen
from models.train import CONTEXT
from workbench.operations.scoring import Score

ANSWERED: list[int] = []


def app() -> FastAPI:
    """Every third request fails, and the fourth says too little."""
    found = FastAPI()

    @found.post("/answer")
    async def answer(request: Request) -> Response:
        many = len((await request.json())["rows"])
        ANSWERED.append(many)
        place = len(ANSWERED)
        status = 503 if place % 3 == 0 else 200
        rows = [{"score": 0.0}] * (many - (place == 4))
        return Response(json.dumps(rows), status)

    return found


@pytest.fixture
def address() -> Iterator[str]:
    ANSWERED.clear()
    server = uvicorn.Server(uvicorn.Config(app(), port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("rate", [0.0, 200.0])
def test_the_generator_ends_in_count_and_tells_failures_apart(
    address: str, tmp_path: Path, rate: float
) -> None:
    file = tmp_path / "bodies.jsonl"
    file.write_text(f"{json.dumps({'rows': [1, 2]})}\n{json.dumps({'rows': [3, 4]})}\n")
    plan = Plan(address, "/answer", str(file), 2, 30.0, 12, 1, rate)
    seen = serving.generate(plan)
    assert ANSWERED == [2] * 12
    assert seen["errors"] == {"503": 4, "rows missing": 1}
    assert seen["requests"] == 7
    assert 0 < seen["p50_ms"] <= seen["p99_ms"] <= seen["max_ms"]


def test_the_generator_ends_in_time(address: str, tmp_path: Path) -> None:
    file = tmp_path / "bodies.jsonl"
    file.write_text(f"{json.dumps({'rows': [1]})}\n")
    serving.generate(Plan(address, "/answer", str(file), 1, 0.2, 1_000_000, 2))
    assert 0 < len(ANSWERED) < 100_000


def test_figures_are_those_of_the_waits() -> None:
    told = Seen([0.001, 0.002, 0.003]).figures(rows=100, seconds=2.0)
    assert (told["requests"], told["rows_per_second"], told["errors"]) == (3, 150, {})
    assert (told["p50_ms"], told["max_ms"]) == (2.0, 3.0)
    assert Seen().figures(100, 1.0) == {"requests": 0, "errors": {}, "rows_per_second": 0}


@pytest.mark.parametrize(("domain", "past"), [("services", 0), ("ads", CONTEXT)])
def test_requests_are_what_the_route_takes(domain: str, past: int) -> None:
    question: dict[str, Any] = {"domain": domain, "features": ["a", "b"]}
    asked = [Score.model_validate(body) for body in serving.bodies(question, 3)]
    assert len(asked) == serving.BODIES
    assert {len(row.past) for one in asked for row in one.rows} == {past}
    assert {len(one.rows) for one in asked} == {3}
    assert asked[0].rows[0].values != asked[1].rows[0].values
