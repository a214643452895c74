"""Whether the server is well."""

from __future__ import annotations

from typing import Any

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Operation


class Health(Operation):
    """A real query on each store, the scheduler's age, the version."""

    path, tag, open_to_all = "/api/health", "health", True

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.health.check(context)
