"""One process owns a home; everything is wired once and let go of together."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import PermissionDeniedError, StoreError
from workbench.context import (
    Context,
    announce,
    current,
    holder,
    open_context,
    server_address,
    shared,
)
from workbench.services import tokens
from workbench.settings import Settings

HOLD = textwrap.dedent(
    """
    import sys
    from contextlib import nullcontext
    from workbench.context import announce, open_context
    from workbench.settings import Settings
    settings = Settings(home=sys.argv[3], port=8765)
    with announce(settings) if sys.argv[1] == "serve" else nullcontext(), open_context(settings):
        print("held", flush=True)
        sys.stdin.read()
    """
)


@contextmanager
def _held(home: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the home while it does as it was asked, in two words."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *command, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_context_is_wired_and_stands_for_its_user(ctx: Context, settings: Settings) -> None:
    assert ctx.actor == "ana"
    assert ctx.acting_as("bob").actor == "bob"
    assert ctx.acting_as("bob").records is ctx.records
    assert sorted(path.name for path in settings.home.iterdir() if path.is_dir()) == ["registry"]
    ctx.metrics.check()
    ctx.records.check()


def test_a_home_opens_once_in_a_process_and_again_after_closing(settings: Settings) -> None:
    first = open_context(settings)
    with pytest.raises(StoreError, match="opened once"):
        open_context(settings)
    first.close()
    first.close()
    with open_context(settings) as second:
        second.records.check()
    assert holder(settings.home) is None


def test_another_process_is_named_and_its_address_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with _held(tmp_path, "serve", "--port=8765") as process:
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == process.pid
        assert server_address(settings) == "http://127.0.0.1:8765"
        with pytest.raises(StoreError, match=f"process {process.pid}") as refused:
            open_context(settings)
        assert "A server runs at http://127.0.0.1:8765" in str(refused.value)
    assert server_address(settings) == ""
    with open_context(settings) as context:
        context.records.check()


def test_a_command_that_holds_the_home_is_named_with_what_to_do(tmp_path: Path) -> None:
    with _held(tmp_path, "train", "ensemble"), pytest.raises(StoreError) as refused:
        open_context(Settings(home=tmp_path))
    assert "train ensemble" in refused.value.message
    assert "Wait until it ends" in refused.value.hint
    assert "`headwater serve` first" in refused.value.hint


def test_everybody_in_the_process_gets_the_shared_context(settings: Settings) -> None:
    with shared(settings) as context:
        assert current() is context


def test_without_anybody_else_the_environment_decides(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_HOME", str(settings.home))
    opened: list[Context] = []
    monkeypatch.setattr("workbench.context._shared", opened)
    try:
        assert current() is current()
        assert opened[0].settings.home == settings.home
    finally:
        opened[0].close()


def test_beyond_loopback_somebody_must_be_able_to_log_in(settings: Settings) -> None:
    reachable = Settings(home=settings.home, host="0.0.0.0", tenant="acme", user="ana")
    with pytest.raises(PermissionDeniedError, match="tokens create ana"), announce(reachable):
        pass
    with open_context(settings) as context:
        tokens.create(context, "acme", user="ana")
    with announce(reachable), open_context(reachable) as context:
        context.records.check()


def test_a_failed_opening_lets_go_of_the_home(settings: Settings) -> None:
    broken = Settings(home=settings.home, database_url="sqlite:////no/such/folder/x.db")
    with pytest.raises(StoreError):
        open_context(broken)
    with open_context(settings) as context:
        context.records.check()
