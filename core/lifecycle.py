"""Lifecycle events: who learned or was asked what, on how much data, when, how long, and whether it failed.

Every operation of every algorithm runs in `operation`. A listener that raises is logged and never harms the
run; a foreign error becomes one of ours, with the cause chained.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from core.errors import HeadwaterError, MissingExtraError, PredictionError, TrainingError, install

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One moment of one operation: phase "before" or "after"; `seconds` and `error` only after.

    operation : fit, score, update, forecast, predict, classify, find or explain
    """

    algorithm: str
    model_id: str
    operation: str
    phase: str
    at: datetime
    entities: int
    times: int
    seconds: float | None = None
    error: str = ""

    @property
    def samples(self) -> int:
        """Cells of the panel: one per entity and period."""
        return self.entities * self.times


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
def operation(
    algorithm: str, model_id: str, name: str, entities: int, times: int, extra: str = ""
) -> Iterator[None]:
    """Emit before and after events around a block and say of its error where it happened.

    extra : of pyproject, named to whoever lacks a library that the block imports

    A HeadwaterError passes through; another Exception leaves as TrainingError from a fit, else as
    PredictionError, and a module that is not there as MissingExtraError.
    """
    begun = Event(algorithm, model_id, name, "before", datetime.now(UTC), entities, times)
    _emit(begun)
    started = time.perf_counter()
    error = ""
    try:
        try:
            yield
        except HeadwaterError as ours:
            ours.context = _place(begun) | ours.context
            raise
        except Exception as foreign:
            raise _typed(begun, foreign, extra) from foreign
    except BaseException as raised:
        error = f"{type(raised).__name__}: {raised}"
        raise
    finally:
        seconds = time.perf_counter() - started
        ended = dataclasses.replace(
            begun, phase="after", at=datetime.now(UTC), seconds=seconds, error=error
        )
        _emit(ended)


def _place(event: Event) -> dict[str, object]:
    names = ("model_id", "operation", "entities", "times", "samples")
    return {name: getattr(event, name) for name in names}


def _typed(event: Event, foreign: Exception, extra: str) -> HeadwaterError:
    """A foreign error as one of ours: what was under way, on how much data, and in which library it broke."""
    if isinstance(foreign, ModuleNotFoundError):
        missing = str(foreign.name)
        return MissingExtraError.of(
            event.algorithm,
            f"the library {missing}",
            "installed",
            "no such module",
            install(extra),
            dependency=missing,
            **_place(event),
        )
    kind = TrainingError if event.operation == "fit" else PredictionError
    return kind.of(
        event.algorithm,
        f"every step of its {event.operation} on {event.entities} × {event.times} cells",
        "free of errors",
        f"{type(foreign).__name__}: {foreign}",
        "Take fewer entities or periods at a time."
        if isinstance(foreign, MemoryError)
        else "The cause stands below in the log; look for infinite or constant values in the data.",
        dependency=library(foreign),
        **_place(event),
    )


def library(error: Exception) -> str:
    """The package in which an error was raised, e.g. "sklearn"."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals["__name__"]).partition(".")[0] if trace else ""


def _emit(event: Event) -> None:
    for listener in tuple(_listeners):
        try:
            listener(event)
        except Exception:
            log.exception("A lifecycle listener failed on %s", event)
