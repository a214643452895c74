"""How many rows a second `POST /api/score` scores and how long they wait, over HTTP on this machine.

A real `headwater serve` answers a load generator in another process; then, in the same run, the same models one
request at a time, and scikit-learn's isolation forest called per request.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
import psutil

from benchmarks.serving_load import Plan
from benchmarks.serving_peer import FEATURES, SAMPLE, TREES
from core.contracts import OnStep, Panel, Periods
from core.domains.services import SERVICES
from core.errors import StoreError
from models.train import CONTEXT, publish, train
from workbench.context import Context, open_context
from workbench.settings import Settings

TENANT = "bench"
ADS = ("impressions", "ctr", "cpc", "cvr", "aov")
ENTITIES, PERIODS = 400, 75
TARGET = 10_000
"""Rows a second that are sent on time."""
PACED, FLAT_OUT, WARMING = 10.0, 5.0, 1.0
"""Seconds of load on time, as fast as answers come, and before anything counts."""
MOST = 20_000
"""Requests of one measurement at most."""
CONNECTIONS = 16
BODIES = 50
SIZES = (100, 10)
"""Rows of a request."""
PATIENCE = 120.0
EPOCHS = 2

Body = dict[str, Any]


def run(on_step: OnStep) -> list[dict[str, Any]]:
    """A row per model, size of request and way; the load of the machine beside each."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        on_step("training", 0.0, {})
        with open_context(Settings(home=home, tenant=TENANT)) as context:
            questions = published(context)
        serve = ("workbench.cli", "serve", "--port")
        peer = ("benchmarks.serving_peer", str(home))
        rows = []
        with server(home, *serve, ready="/api/health") as served:
            for model, question in questions.items():
                on_step(f"headwater serve: {model}", 0.2, {})
                rows += measured(served, "/api/score", model, "headwater", question)
        with server(home, *peer, ready="/openapi.json") as served:
            for model, question in questions.items():
                on_step(f"one request at a time: {model}", 0.6, {})
                rows += measured(served, "/api/score", model, "one request at a time", question)
            on_step("scikit-learn", 0.9, {})
            rows += measured(served, "/sklearn", "isolation forest", "scikit-learn", {})
    return rows


def published(context: Context) -> dict[str, Body]:
    """Three models and what a request for each of them says, but for its rows.

    The champion of services as a first detection fits it, one period a row; an isolation forest and the three
    parts that ads are scored by, 15 periods a row.
    """
    names = tuple(metric.name for metric in SERVICES.metrics)
    services, ads = noise(names), noise(ADS)
    champion = _published(
        context, services, "services", parts="robust-z=1", settings="robust-z.scope=given"
    )
    context.registry.promote(TENANT, "services", champion, actor="bench", reason="first")
    forest = f"isolation-forest.trees={TREES}, isolation-forest.sample={SAMPLE}"
    alone = _published(context, ads, "ads", parts="isolation-forest=1", settings=forest)
    three = _published(context, ads, "ads", settings=f"lstm-autoencoder.epochs={EPOCHS}")
    context.registry.promote(TENANT, "ads", three, actor="bench", reason="first")
    return {
        "champion of services": {"domain": "services", "features": names},
        "isolation forest": {"domain": "ads", "features": ADS, "version": alone},
        "champion of ads": {"domain": "ads", "features": ADS},
    }


class Served(NamedTuple):
    """Where a server answers, and its process."""

    address: str
    process: psutil.Process

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        used = self.process.cpu_times()
        return float(used.user + used.system)


def measured(
    served: Served, path: str, model: str, way: str, question: Body
) -> list[dict[str, Any]]:
    """On time at the target with the largest requests, then flat out with each size.

    Processor time of the server by request hardly depends on what else the machine does; waits do.
    """
    largest = SIZES[0]
    plans = [(largest, PACED, TARGET / largest), *((size, FLAT_OUT, 0.0) for size in SIZES)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for size, seconds, rate in plans:
            file = Path(folder) / f"{size}.jsonl"
            file.write_text("".join(f"{json.dumps(one)}\n" for one in bodies(question, size)))
            plan = Plan(served.address, path, str(file), size, seconds, MOST, CONNECTIONS, rate)
            generate(plan._replace(seconds=WARMING, rate=0.0))  # the first rows load the model
            busy, cpu = os.getloadavg()[0], served.cpu
            seen = generate(plan)
            found.append(
                {
                    "model": model,
                    "way": way,
                    "rows_a_request": size,
                    "sent": f"{TARGET:,} rows/s" if rate else f"flat out, {CONNECTIONS} at once",
                    **seen,
                    "server_cpu_ms": round(1000 * (served.cpu - cpu) / max(seen["requests"], 1), 2),
                    "load_of_machine": round(max(busy, os.getloadavg()[0]), 1),
                }
            )
    return found


def generate(plan: Plan) -> dict[str, Any]:
    """What a load generator in a process of its own saw."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving_load"],
        input=json.dumps(plan._asdict()),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE + plan.seconds,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def bodies(question: Body, size: int) -> Iterator[Body]:
    """Requests of standard normal rows; without a question, ready-made features for scikit-learn."""
    draws = np.random.default_rng(size)
    for _ in range(BODIES):
        if not question:
            yield {"rows": draws.standard_normal((size, FEATURES)).round(4).tolist()}
            continue
        past = CONTEXT if question["domain"] == "ads" else 0
        values = draws.standard_normal((size, past + 1, len(question["features"]))).round(4)
        rows = [
            {"entity": f"e:{place}", "values": row[-1], "past": row[:-1]}
            for place, row in enumerate(values.tolist())
        ]
        yield {**question, "rows": rows}


def noise(metrics: tuple[str, ...]) -> Panel:
    """Standard normal residuals."""
    days = np.datetime64("2026-01-01", "s") + np.arange(PERIODS) * np.timedelta64(86_400, "s")
    values = np.random.default_rng(7).standard_normal((ENTITIES, PERIODS, len(metrics)))
    names = tuple(f"e:{row}" for row in range(ENTITIES))
    return Panel(values, names, metrics, Periods(days, np.timedelta64(1, "D")))


def _published(context: Context, panel: Panel, domain: str, **params: str) -> str:
    trained = train(panel, params=params, held_out=0.0)
    return publish(context.registry, TENANT, domain, trained, panel, actor="bench").id


@contextmanager
def server(home: Path, module: str, *arguments: str, ready: str) -> Iterator[Served]:
    """A server of that home in its own process, on a free port that is its last argument; once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    log = home.with_name("server.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, str(port)],
            env={**kept, "HEADWATER_HOME": str(home), "HEADWATER_TENANT": TENANT},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(address + ready):
            if process.poll() is not None or time.monotonic() > deadline:
                told = log.read_text()[-500:]
                raise StoreError.of("bench", f"the server {module}", "started", told)
            time.sleep(0.2)
        yield Served(address, psutil.Process(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5.0).is_success
    except httpx2.HTTPError:
        return False
