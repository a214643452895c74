"""Speed and quality, measured beside a peer in the same run: `headwater bench NAME`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from core.contracts import OnStep

Rows = list[dict[str, Any]]


def _later(module: str) -> Callable[[OnStep], Rows]:
    """The benchmark of a module, imported when it runs."""
    return lambda on_step: import_module(f"benchmarks.{module}").run(on_step)


BENCHMARKS: dict[str, Callable[[OnStep], Rows]] = {
    "algorithms": _later("algorithms"),
    "detect": _later("detecting"),
    "drift": _later("drift"),
    "experiments": _later("experiments"),
    "import": _later("importing"),
    "rollback": _later("rollback"),
    "training": _later("training"),
    "worlds": _later("worlds"),
}
