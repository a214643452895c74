"""The one server process: pages, API and scheduler together, ended cleanly, closed to strangers."""

from __future__ import annotations

import gc
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from data import run_store
from tests.server import REPOSITORY, Server, command, environment, free_port, serving
from workbench.context import holder, open_context
from workbench.server import settled
from workbench.services import schedule
from workbench.settings import Settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of an empty home, shared by the tests that only look."""
    with serving(tmp_path_factory.mktemp("server") / "home") as started:
        yield started


def test_one_process_serves_pages_api_and_docs(server: Server) -> None:
    health = server.ask("/api/health")
    assert health["status"] == "ok"
    assert health["checks"].keys() == {"metrics", "records", "registry", "scheduler"}
    assert health["scheduler_age_seconds"] is not None
    for path in ("/", "/triage", "/data", "/alert", "/cause"):
        page = httpx2.get(server.address + path)
        assert page.status_code == 200
        assert '<div id="root">' in page.text
    assert httpx2.get(f"{server.address}/api/docs").status_code == 200
    assert "/api/anomaly/detect" in server.ask("/api/openapi.json")["paths"]


def test_an_unknown_api_path_is_no_page(server: Server) -> None:
    answer = httpx2.get(f"{server.address}/api/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("API: the path must be one of those in /api/docs")


def test_the_home_says_who_holds_it(server: Server) -> None:
    home = server.log.with_name("home")
    found = holder(home)
    assert found is not None
    assert (found.pid, found.address) == (server.process.pid, server.address)


def test_nothing_stays_frozen_when_the_server_has_ended() -> None:
    usual = gc.get_threshold()
    with settled():
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() != usual
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == usual


def test_a_second_server_of_the_same_home_is_refused(server: Server) -> None:
    home = server.log.with_name("home")
    found = subprocess.run(
        command("serve", "--port", str(free_port())),
        cwd=REPOSITORY,
        env=environment(home, COLUMNS="300"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 1
    assert "must be held by one process at a time" in found.stderr
    assert f"process {server.process.pid}" in found.stderr
    assert f"A server runs at {server.address}: use it or stop it" in found.stderr
    assert "Headwater on" not in found.stderr


@pytest.mark.parametrize("asked", ["serve", "demo"])
def test_a_taken_port_is_told_before_anything_is_done(
    server: Server, tmp_path: Path, asked: str
) -> None:
    port = server.address.rpartition(":")[2]
    found = subprocess.run(
        command(asked, "--port", port),
        cwd=REPOSITORY,
        env=environment(tmp_path / "home", COLUMNS="300"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert f"the address must be free to listen on. Got '127.0.0.1:{port}'." in found.stderr
    assert "--port" in found.stderr
    assert "Headwater on" not in found.stderr


def test_sigterm_ends_it_in_order_also_in_the_middle_of_a_detection(
    imported: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(imported, tmp_path / "home")
    with serving(home) as server:
        # a home whose detection was never run is caught up from the first moment on
        assert server.stop() in (0, -15)
        log = server.log.read_text()
    assert "Traceback" not in log
    assert holder(home) is None
    with open_context(Settings(home=home, tenant="local", user="ana")) as context:
        run = context.records.read(
            "local", lambda session: run_store.latest(session, tenant="local", domain="ads")
        )
        beat = schedule.beats(context)["detection"]
        assert run is not None
        if run.state == "done":  # a quick machine was done already
            assert beat.error == ""
        else:
            assert run.state == "failed"
            assert "stop" in run.error
            assert (beat.error, beat.last_finished) == ("", None)
            assert beat.due <= context.clock()


def test_ctrl_c_ends_it_promptly_and_is_no_failure(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.log.read_text()


def test_beyond_loopback_nobody_serves_without_a_token(tmp_path: Path) -> None:
    found = subprocess.run(
        command("serve", "--host", "0.0.0.0", "--port", str(free_port())),
        cwd=REPOSITORY,
        env=environment(tmp_path / "home", COLUMNS="300"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 1
    assert "the address must be on loopback while no login is configured" in found.stderr
    assert "headwater tokens create ana" in found.stderr
