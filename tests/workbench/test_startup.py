"""A command starts quickly: it imports no library that it does not use."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from workbench.context import announce
from workbench.settings import Settings

HEAVY = {
    "alembic", "cryptography", "duckdb", "fastapi", "networkx", "numba", "openpyxl", "pandas", "plotly",
    "pyarrow", "scipy", "sklearn", "sqlalchemy", "sqlmodel", "streamlit", "torch", "uvicorn",
}  # fmt: skip
RUN = """
import sys
from workbench.cli import app
app(sys.argv[1:], standalone_mode=False)
print(*sys.modules, sep="\\n", file=sys.stderr)
"""


class Answer(BaseHTTPRequestHandler):
    """A server that has no job, no model and no alert."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"jobs": [], "models": [], "alerts": [], "next": null}')

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A home that a server holds."""
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with announce(Settings(home=tmp_path, port=server.server_port)):
            yield tmp_path
        server.shutdown()


def loaded(home: Path, *command: str) -> set[str]:
    """Packages that a command has imported when it is done."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command],
        env={"HEADWATER_HOME": str(home), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("command", ["--help", "train --help"])
def test_help_needs_no_heavy_library(tmp_path: Path, command: str) -> None:
    assert loaded(tmp_path, *command.split()) & HEAVY == set()


@pytest.mark.parametrize("command", ["jobs list", "alerts list --json"])
def test_neither_does_a_command_that_the_server_answers(served: Path, command: str) -> None:
    assert loaded(served, *command.split()) & HEAVY == set()
