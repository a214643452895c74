"""A real `headwater serve` in a process of its own, on a free port of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE = 90.0  # seconds; starting takes 3 to 6 on an idle machine


@dataclass(frozen=True)
class Server:
    """Where it answers, and its process."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, path: str, method: str = "GET", **options: Any) -> Any:
        """The plain answer of the REST API."""
        answer = httpx2.request(method, self.address + path, timeout=60.0, **options)
        answer.raise_for_status()
        return answer.json()

    def stop(self) -> int:
        """Ask it to end as `kill` does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def command(*arguments: str) -> list[str]:
    """`headwater …` of the interpreter that runs the tests."""
    return [sys.executable, "-m", "workbench.cli", *arguments]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment without anybody's settings, and with this home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    return kept | {"HEADWATER_HOME": str(home), "HEADWATER_USER": "ana"} | more


@contextmanager
def serving(home: Path, *, host: str = "127.0.0.1", **more: str) -> Iterator[Server]:
    """A healthy server of that home, with more in its environment; killed at the end if it still runs."""
    port = free_port()
    log = home.with_name(f"{home.name}-server.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("serve", "--host", host, "--port", str(port)),
            cwd=REPOSITORY,
            env=environment(home, **more),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", process, log)
        _wait_until_healthy(server)
        yield server
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx2.get(f"{server.address}/api/health", timeout=5.0).is_success:
                return
        except httpx2.HTTPError:
            time.sleep(0.1)
    raise AssertionError(f"The server did not start:\n{server.log.read_text()[-4000:]}")
