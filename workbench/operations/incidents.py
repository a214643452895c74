"""Incidents and what people did with them."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from core.contracts import OnStep
from workbench.context import Context
from workbench.operations.operation import Caller, Operation, Status
from workbench.services import incidents


class Incidents(Operation):
    """Incidents, worst first."""

    path, tag = "/api/incidents", "incidents"
    domain: str = "ads"
    status: Status | None = None
    limit: int = Field(50, ge=1, le=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return incidents.page(
            context, caller.tenant, domain=self.domain, status=self.status, limit=self.limit
        )


class ShowIncident(Operation):
    """One incident with its alerts and candidates."""

    path, tag = "/api/incidents/{id}", "incidents"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return incidents.get(context, caller.tenant, self.id)


class _IncidentVerb(Operation):
    method, tag = "PATCH", "incidents"
    verb: ClassVar[str]
    id: int
    note: str = Field("", max_length=4000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return getattr(incidents, self.verb)(
            context, caller.tenant, self.id, actor=caller.actor, note=self.note
        )


class AcknowledgeIncident(_IncidentVerb):
    """Acknowledge an incident and all its alerts."""

    path, verb = "/api/incidents/{id}/acknowledge", "acknowledge"


class ResolveIncident(_IncidentVerb):
    """Resolve an incident and all its alerts."""

    path, verb = "/api/incidents/{id}/resolve", "resolve"


class ReopenIncident(_IncidentVerb):
    """Reopen an incident and all its alerts."""

    path, verb = "/api/incidents/{id}/reopen", "reopen"
