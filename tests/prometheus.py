"""A real Prometheus for tests: it scrapes a real node exporter, and holds hours that were written before it began."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

NEEDED = ("prometheus", "promtool", "prometheus-node-exporter")
SCRAPE = 15
"""Seconds between the samples written beforehand."""
HOURS = 3
RESET = HOURS * 3600 // 2
"""Seconds after the start at which the counter begins again at zero."""
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: node
  static_configs: [{{targets: ["127.0.0.1:{exporter}"], labels: {{region: eu}}}}]
"""


@dataclass(frozen=True)
class Live:
    """Where it listens, and when the written hours begin (seconds since 1970)."""

    url: str
    start: int

    @property
    def end(self) -> int:
        return self.start + HOURS * 3600


def written(start: int) -> str:
    """A counter of 2/s that is reset, a latency of known quantiles, a gauge with a gap, and calls, as OpenMetrics."""
    steps = range(0, HOURS * 3600 + 1, SCRAPE)
    pod = 'pod="cart-1",service="cart",node="n1",namespace="prod"'
    lines = ["# TYPE http_requests counter", "# HELP http_requests Requests."]
    for code, rate in (("200", 2.0), ("500", 0.5)):
        for at in steps:
            count = rate * (at if at < RESET else at - RESET)
            lines.append(f'http_requests_total{{{pod},code="{code}"}} {count} {start + at}')
    lines += ["# TYPE rpc_seconds histogram", "# HELP rpc_seconds Time."]
    for at in steps:
        lines += [
            f'rpc_seconds_bucket{{service="cart",le="{bound}"}} {share * at} {start + at}'
            for bound, share in (("0.1", 5), ("0.2", 9), ("0.4", 10), ("+Inf", 10))
        ]
        lines.append(f'rpc_seconds_count{{service="cart"}} {10 * at} {start + at}')
        lines.append(f'rpc_seconds_sum{{service="cart"}} {at} {start + at}')
    lines.append("# TYPE queue_depth gauge")
    for instance, depth in (("a:80", 3), ("b:80", 4)):
        lines += [
            f'queue_depth{{service="cart",instance="{instance}"}} {depth} {start + at}'
            for at in steps
            if not 3600 <= at < 5400
        ]
    lines.append("# TYPE mesh_requests counter")
    calls = 'source_workload="shop",destination_workload="cart"'
    lines += [f"mesh_requests_total{{{calls}}} {4 * at} {start + at}" for at in steps]
    return "\n".join([*lines, "# EOF", ""])


@contextmanager
def _running(command: list[str], log: Path, ready: str) -> Iterator[None]:
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            for _ in range(200):
                try:
                    if httpx2.get(ready, timeout=1.0).is_success:
                        break
                except httpx2.HTTPError:
                    assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A running Prometheus; skips where Debian's packages are absent."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)} (apt-get install {' '.join(NEEDED[::2])})")
    folder = tmp_path_factory.mktemp("prometheus")
    now = int(datetime.now(UTC).timestamp())
    start = (now - (HOURS + 3) * 3600) // 3600 * 3600
    (folder / "written.txt").write_text(written(start))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "written.txt", "data"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    exporter, port = _port(), _port()
    (folder / "prometheus.yml").write_text(CONFIG.format(exporter=exporter))
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        listen = f"--web.listen-address=127.0.0.1:{exporter}"
        stack.enter_context(
            _running(
                ["prometheus-node-exporter", listen],
                folder / "exporter.log",
                f"http://127.0.0.1:{exporter}/metrics",
            )
        )
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--storage.tsdb.retention.time=1d",
        ]
        stack.enter_context(_running(command, folder / "prometheus.log", f"{url}/-/ready"))
        yield Live(url, start)
