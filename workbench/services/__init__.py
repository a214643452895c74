"""What one can ask for. A service is imported when it is first named: a command that a server answers needs none."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """The service of that name, as `services.jobs.get(…)` asks for it."""
    if name.startswith("_"):
        raise AttributeError(name)
    return importlib.import_module(f"{__name__}.{name}")
