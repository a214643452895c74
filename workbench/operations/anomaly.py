"""Detection, alerts, explanations, root causes."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Instant, Operation, Severity, Status


class Detect(Operation):
    """Detect anomalies, explain them and find their root causes."""

    method, path, tag = "POST", "/api/anomaly/detect", "anomaly"
    domain: str = "ads"
    entity_type: str | None = Field(None, description="Level to report on; every level when absent")
    profile_id: str | None = Field(None, description="Only entities of this profile")
    detector_type: str = Field(
        "",
        description="lstm | streaming | isolation_forest | ensemble, or any detector of the catalogue; "
        "the domain's own when empty",
    )
    include_explanation: bool = True
    include_root_cause: bool = True
    at: Instant | None = Field(None, description="As known at this time; now when absent")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.detect.detect(
            context,
            caller.tenant,
            actor=caller.actor,
            domain=self.domain,
            level=self.entity_type,
            profile=self.profile_id,
            detector=self.detector_type,
            at=self.at,
            explain=self.include_explanation,
            cause=self.include_root_cause,
            on_step=on_step,
        )


class ActiveAlerts(Operation):
    """Open and acknowledged alerts, worst first, a page at a time."""

    path, tag = "/api/anomaly/alerts/active", "anomaly"
    domain: str = "ads"
    severity: Severity | None = None
    status: Status | None = None
    level: str | None = None
    text: str | None = Field(None, description="Part of the entity's name or id")
    muted: bool = Field(False, description="Also those muted under an incident")
    after: str | None = Field(None, description="`next` of the page before")
    limit: int = Field(50, ge=1, le=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.alerts.page(
            context,
            caller.tenant,
            filters=self.model_dump(exclude={"after", "limit"}, exclude_none=True),
            after=self.after,
            limit=self.limit,
        )


class ShowAlert(Operation):
    """One alert with its history and comments."""

    path, tag = "/api/anomaly/alerts/{id}", "anomaly"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.alerts.get(context, caller.tenant, self.id)


class _AlertVerb(Operation):
    method, tag = "PATCH", "anomaly"
    verb: ClassVar[str]
    id: int
    note: str = Field("", max_length=4000, description="Kept as a comment")
    version: int | None = Field(None, description="The version seen; another one is a conflict")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return getattr(services.alerts, self.verb)(
            context,
            caller.tenant,
            self.id,
            actor=caller.actor,
            note=self.note,
            expected_version=self.version,
        )


class AcknowledgeAlert(_AlertVerb):
    """Say that somebody is on it."""

    path, verb = "/api/anomaly/alerts/{id}/acknowledge", "acknowledge"


class ResolveAlert(_AlertVerb):
    """Say that it is over."""

    path, verb = "/api/anomaly/alerts/{id}/resolve", "resolve"


class ReopenAlert(_AlertVerb):
    """Say that it is not over."""

    path, verb = "/api/anomaly/alerts/{id}/reopen", "reopen"


class CommentAlert(Operation):
    """Leave a comment on an alert."""

    method, path, tag = "POST", "/api/anomaly/alerts/{id}/comments", "anomaly"
    id: int
    text: str = Field(min_length=1, max_length=4000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.alerts.comment(
            context, caller.tenant, self.id, actor=caller.actor, text=self.text
        )


class Undo(Operation):
    """Undo the caller's last action, or the named one."""

    method, path, tag = "POST", "/api/anomaly/undo", "anomaly"
    audit_id: int | None = None

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.alerts.undo(
            context, caller.tenant, actor=caller.actor, audit_id=self.audit_id
        )


class Statistics(Operation):
    """Counts by severity, status, level and detector; time to resolution."""

    path, tag = "/api/anomaly/statistics", "anomaly"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.alerts.statistics(context, caller.tenant, domain=self.domain)


class Explain(Operation):
    """Why an alert was raised: shares by day and metric, per detector and in all."""

    path, tag = "/api/anomaly/alerts/{id}/explanation", "anomaly"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.investigate.explanation(context, caller.tenant, self.id)


class RootCause(Operation):
    """Where an alert started: ranked candidates with every term of their score."""

    path, tag = "/api/anomaly/alerts/{id}/cause", "anomaly"
    id: int
    method_name: str | None = Field(None, description="Localizer of the catalogue")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.investigate.causes(context, caller.tenant, self.id, method=self.method_name)
