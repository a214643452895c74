"""Speed and quality, measured beside a peer in the same run: `headwater bench NAME`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

Rows = list[dict[str, Any]]


def _later(module: str) -> Callable[..., Rows]:
    """The benchmark of a module, imported when it runs; `path` goes to those that read labelled suites."""
    return lambda on_step, **given: import_module(f"benchmarks.{module}").run(on_step, **given)


BENCHMARKS: dict[str, Callable[..., Rows]] = {
    "active": _later("active"),
    "algorithms": _later("algorithms"),
    "cause": _later("cause"),
    "detect": _later("detecting"),
    "drift": _later("drift"),
    "experiments": _later("experiments"),
    "import": _later("importing"),
    "rollback": _later("rollback"),
    "serving": _later("serving"),
    "training": _later("training"),
    "worlds": _later("worlds"),
}
ON_SUITES = ("cause",)
"""Those that read labelled suites from a folder."""
