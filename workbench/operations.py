"""Everything one can ask for, one class each: fields are the arguments, `run` calls the service.

The REST API (`workbench.api`) and the command line (`workbench.cli`) are both made from these classes,
so the two doors cannot differ. Adding a question = one class here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from core.contracts import OnStep
from core.errors import PermissionDeniedError
from workbench.context import Context
from workbench.plain import plain
from workbench.services import (
    alerts,
    algorithms,
    detect,
    health,
    incidents,
    ingest,
    investigate,
    models,
)

Severity = Literal["low", "medium", "high", "critical"]
Status = Literal["open", "acknowledged", "resolved"]

TENANT_HEADER, USER_HEADER = "x-headwater-tenant", "x-headwater-user"
"""By which a command on the server's own machine says for whom it asks; names are percent-encoded."""


def instant(value: Any) -> Any:
    """A date or time as people write it, as a UTC instant: a bare date is its end, a time without zone is in UTC."""
    if not isinstance(value, str):
        return value
    parsed = datetime.fromisoformat(value)
    if len(value) <= len("2026-01-01"):
        return datetime.combine(parsed.date(), time.max, UTC)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


Instant = Annotated[datetime, BeforeValidator(instant)]


@dataclass(frozen=True)
class Caller:
    """Who asks, for which tenant, and whether from this machine (a condition for local paths)."""

    tenant: str
    actor: str
    local: bool = True


class Operation(BaseModel):
    """One question: an HTTP method and path, typed arguments, a plain JSON answer."""

    model_config = ConfigDict(extra="forbid")
    method: ClassVar[str] = "GET"
    path: ClassVar[str]
    tag: ClassVar[str]
    open_to_all: ClassVar[bool] = False

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        """Ask the service; the answer is made plain by `answer`."""
        raise TypeError(f"{type(self).__name__} has no run")

    def answer(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        """The service's answer as plain JSON values."""
        return plain(self.run(context, caller, on_step))


class Detect(Operation):
    """Detect anomalies, explain them and find their root causes."""

    method, path, tag = "POST", "/api/anomaly/detect", "anomaly"
    domain: str = "ads"
    entity_type: str | None = Field(None, description="Level to report on; every level when absent")
    profile_id: str | None = Field(None, description="Only entities of this profile")
    detector_type: str = Field(
        "ensemble",
        description="lstm | streaming | isolation_forest | ensemble, or any detector of the catalogue",
    )
    include_explanation: bool = True
    include_root_cause: bool = True
    at: Instant | None = Field(None, description="As known at this time; now when absent")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return detect.detect(
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
        return alerts.page(
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
        return alerts.get(context, caller.tenant, self.id)


class _AlertVerb(Operation):
    method, tag = "PATCH", "anomaly"
    verb: ClassVar[str]
    id: int
    note: str = Field("", max_length=4000, description="Kept as a comment")
    version: int | None = Field(None, description="The version seen; another one is a conflict")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return getattr(alerts, self.verb)(
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
        return alerts.comment(context, caller.tenant, self.id, actor=caller.actor, text=self.text)


class Undo(Operation):
    """Undo the caller's last action, or the named one."""

    method, path, tag = "POST", "/api/anomaly/undo", "anomaly"
    audit_id: int | None = None

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return alerts.undo(context, caller.tenant, actor=caller.actor, audit_id=self.audit_id)


class Statistics(Operation):
    """Counts by severity, status, level and detector; time to resolution."""

    path, tag = "/api/anomaly/statistics", "anomaly"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return alerts.statistics(context, caller.tenant, domain=self.domain)


class Explain(Operation):
    """Why an alert was raised: shares by day and metric, per detector and in all."""

    path, tag = "/api/anomaly/alerts/{id}/explanation", "anomaly"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return investigate.explanation(context, caller.tenant, self.id)


class RootCause(Operation):
    """Where an alert started: ranked candidates with every term of their score."""

    path, tag = "/api/anomaly/alerts/{id}/cause", "anomaly"
    id: int
    method_name: str | None = Field(None, description="Localizer of the catalogue")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return investigate.causes(context, caller.tenant, self.id, method=self.method_name)


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


class Import(Operation):
    """Import files or folders of the server's own machine."""

    method, path, tag = "POST", "/api/import", "data"
    paths: list[Path] = Field(min_length=1)
    domain: str = "ads"
    as_of: Instant | None = None
    mapping: Path | None = None
    profile: str | None = None
    dry_run: bool = False

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        if not (caller.local and context.settings.on_loopback):
            raise PermissionDeniedError.of(
                "Import",
                "the server",
                "on loopback to read paths of its own machine",
                context.settings.host,
                "Upload the files on the Data page.",
            )
        return ingest.import_paths(
            context,
            caller.tenant,
            self.paths,
            domain=self.domain,
            as_of=self.as_of,
            mapping=self.mapping,
            profile=self.profile,
            dry_run=self.dry_run,
            on_step=on_step,
        )


class Batches(Operation):
    """Imported batches, newest first."""

    path, tag = "/api/batches", "data"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return ingest.batches(context, caller.tenant)


class UndoBatch(Operation):
    """Take a batch back; what it brought is gone, what it superseded is current again."""

    method, path, tag = "POST", "/api/batches/{id}/undo", "data"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return ingest.undo_batch(context, caller.tenant, self.id, actor=caller.actor)


class Algorithms(Operation):
    """The catalogue: every algorithm, also those whose extra is not installed."""

    path, tag = "/api/algorithms", "models"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"algorithms": algorithms.listing()}


class Models(Operation):
    """Model versions, newest first, with the aliases that mean them."""

    path, tag = "/api/models", "models"
    domain: str = Field("", description="Only versions of this domain")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"models": models.listing(context, caller.tenant, domain=self.domain)}


class VerifyModels(Operation):
    """Load every version as serving would: signature, digests, format, and the scores of its probe rows."""

    method, path, tag = "POST", "/api/models/verify", "models"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return models.verify(context, caller.tenant, on_step=on_step)


class ShowModel(Operation):
    """One version with its signed manifest."""

    path, tag = "/api/models/{id}", "models"
    id: str

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return models.get(context, caller.tenant, self.id)


class Health(Operation):
    """A real query on each store, the scheduler's age, the version."""

    path, tag, open_to_all = "/api/health", "health", True

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return health.check(context)


def concrete(base: type[Operation] = Operation) -> list[type[Operation]]:
    """Every operation with a path, in the order written."""
    found: list[type[Operation]] = []
    for kind in base.__subclasses__():
        found += [kind] if "path" in vars(kind) else []
        found += concrete(kind)
    return found
