"""Work behind a click: one at a time per tenant, stopped when asked, and honest about what stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from core.contracts import OnStep
from core.errors import CancelledError, NotEnoughDataError
from workbench.ui import runs


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    runs._latest.clear()


def ended(tenant: str) -> runs.Run:
    run = runs.latest(tenant)
    assert run is not None and run.ended.wait(10)
    return run


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "Detection was cancelled; nothing was kept."),
        ({"kept": "two files stay"}, "Detection was cancelled; two files stay."),
    ],
)
def test_cancelled_work_says_what_stays_of_it(told: dict[str, str], said: str) -> None:
    going = threading.Event()

    def work(on_step: OnStep) -> None:
        assert on_step("half", 0.5, {}) is True
        going.set()
        run = runs.latest("acme")
        assert run is not None and run.cancelled.wait(10)
        if on_step("more", 0.6, {}) is False:
            raise CancelledError.of("work", "the work", "allowed to go on", "a stop")

    runs.start("acme", "Detection", work, **told)
    assert going.wait(10) and runs.busy("acme") and not runs.busy("rival")
    runs.start("acme", "Another", lambda _: "never", kept="")
    run = runs.latest("acme")
    assert run is not None and (run.label, run.stage, run.share) == ("Detection", "half", 0.5)
    run.cancelled.set()
    assert ended("acme").error == said
    assert not runs.busy("acme")


def test_what_work_returns_or_refuses_is_kept_for_every_session() -> None:
    runs.start("acme", "Import", lambda _: 42)
    assert (ended("acme").result, ended("acme").error) == (42, "")

    def refuse(_: OnStep) -> None:
        raise NotEnoughDataError.of("detect", "days", "at least 8", 1)

    runs.start("acme", "Detection", refuse)
    assert "days must be at least 8. Got 1." in ended("acme").error
