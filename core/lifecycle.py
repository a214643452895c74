"""Lifecycle events: who learned or scored what, when, how long, and whether it failed.

A listener that raises is logged and never harms the run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One moment of one operation: phase "before" or "after"; `seconds` and `error` only after."""

    algorithm: str
    model_id: str
    operation: str
    phase: str
    at: datetime
    samples: int
    seconds: float | None = None
    error: str = ""


Listener = Callable[[Event], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Deliver every event to `listener` while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def operation(algorithm: str, model_id: str, name: str, samples: int) -> Iterator[None]:
    """Emit before and after events around a block; its error passes through."""
    _emit(Event(algorithm, model_id, name, "before", datetime.now(UTC), samples))
    started = time.perf_counter()
    error = ""
    try:
        yield
    except BaseException as raised:
        error = f"{type(raised).__name__}: {raised}"
        raise
    finally:
        seconds = time.perf_counter() - started
        _emit(Event(algorithm, model_id, name, "after", datetime.now(UTC), samples, seconds, error))


def _emit(event: Event) -> None:
    for listener in tuple(_listeners):
        try:
            listener(event)
        except Exception:
            log.exception("A lifecycle listener failed on %s", event)
