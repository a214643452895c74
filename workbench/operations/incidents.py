"""Incidents, whoever told them, what people did with them, and what was done to the system around them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from core.contracts import OnStep
from core.domain import CHANGE_KINDS
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Instant, Operation, Severity, Status

AnyStatus = Literal[Status, "any"]
LabelStatus = Literal["unlabeled", "labeled", "validated"]
Source = Literal["headwater", "pagerduty", "file", "hand"]
Names = Annotated[list[str], Field(max_length=200)]
Sheet = Annotated[str, Field(max_length=50_000_000, description="The file's text")]


class Incidents(Operation):
    """Incidents, worst first, a page at a time."""

    path, tag = "/api/incidents", "incidents"
    domain: str = Field("", description="Every domain when absent")
    status: AnyStatus | None = Field(None, description="Active ones when absent")
    severity: Severity | None = None
    source: Source | None = None
    label: LabelStatus | None = None
    service: str | None = Field(None, description="Among those affected, as it was told")
    cause: str | None = Field(
        None, description="Called so by people, else by Headwater, or what was merged into it"
    )
    start: datetime | None = Field(None, description="Began at or after")
    end: datetime | None = Field(None, description="Began before")
    text: str = Field("", description="Part of title, description, root or key")
    after: str | None = Field(None, description="`next` of the page before")
    limit: int = Field(50, ge=1, le=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        asked = self.model_dump(exclude={"start", "end"})
        return services.incidents.page(
            context, caller.tenant, span=services.incidents.between(self.start, self.end), **asked
        )


class UnlabeledIncidents(Operation):
    """Incidents that nobody labelled yet, with the counts of those that are labelled and of all."""

    path, tag = "/api/incidents/unlabeled", "incidents"
    domain: str = Field("", description="Every domain when absent")
    after: str | None = Field(None, description="`next` of the page before")
    limit: int = Field(100, ge=1, le=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.incidents.unlabeled(context, caller.tenant, **self.model_dump())


class RecordIncident(Operation):
    """Note an incident by hand; the same `key`, or the same title, onset and services, is the same incident."""

    method, path, tag = "POST", "/api/incidents", "incidents"
    title: str = Field(min_length=1, max_length=500)
    severity: Severity
    onset: Instant
    ended_at: Instant | None = Field(None, description="Still going on when absent")
    description: str = Field("", max_length=20_000)
    services: Names = []
    regions: Names = []
    key: str = Field("", max_length=120, description="What you call it")
    domain: str = "services"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.incidents.record(
            context, caller.tenant, **self.model_dump(), actor=caller.actor
        )


class _Import(Operation):
    """A CSV for the service that is called as the tag is."""

    method = "POST"
    csv: Sheet
    domain: str = "services"
    file: str

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return getattr(services, self.tag).import_csv(
            context,
            caller.tenant,
            self.domain,
            self.csv.encode(),
            actor=caller.actor,
            file=self.file,
        )


class ImportIncidents(_Import):
    """Take in a CSV of incidents: title, severity, started_at; id, description, ended_at, services, regions."""

    path, tag = "/api/incidents/import", "incidents"
    file: str = Field("incidents.csv", max_length=200)


class ShowIncident(Operation):
    """One incident with its alerts, candidates, snapshots, the changes around it and what people did."""

    path, tag = "/api/incidents/{id}", "incidents"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.incidents.get(context, caller.tenant, self.id)


class LearnCauses(Operation):
    """Learn the kinds of causes from all labelled incidents into a new version of "causes"."""

    method, path, tag = "POST", "/api/incidents/causes", "incidents"
    domain: str = "services"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.causes.teach(
            context, caller.tenant, domain=self.domain, actor=caller.actor, on_step=on_step
        )


class SuggestCauses(Operation):
    """What the newest version of "causes" says of an incident, each cause with what speaks for and against it."""

    path, tag = "/api/incidents/{id}/causes", "incidents"
    id: int
    top: int = Field(5, ge=1, le=50, description="Reasons for each cause")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.causes.suggest(context, caller.tenant, self.id, top=self.top)


class _IncidentVerb(Operation):
    method, tag = "PATCH", "incidents"
    verb: ClassVar[str]
    id: int
    note: str = Field("", max_length=4000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return getattr(services.incidents, self.verb)(
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


class PartIncident(_IncidentVerb):
    """Part what somebody told from what Headwater found of it: two incidents from now on."""

    path, verb = "/api/incidents/{id}/part", "part"


class EditIncident(Operation):
    """Correct what is said of an incident; what is not named stays."""

    method, path, tag = "PATCH", "/api/incidents/{id}", "incidents"
    id: int
    title: str | None = Field(None, min_length=1, max_length=500)
    description: str | None = Field(None, max_length=20_000)
    severity: Severity | None = None
    services: Names | None = None
    regions: Names | None = None
    onset: Instant | None = None
    ended_at: Instant | None = None
    version: int | None = Field(None, description="The version seen; another one is a conflict")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.incidents.edit(
            context,
            caller.tenant,
            self.id,
            values=self.model_dump(exclude={"id", "version"}, exclude_none=True),
            actor=caller.actor,
            expected_version=self.version,
        )


class CommentIncident(Operation):
    """Leave a comment on an incident."""

    method, path, tag = "POST", "/api/incidents/{id}/comments", "incidents"
    id: int
    text: str = Field(min_length=1, max_length=4000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.incidents.comment(
            context, caller.tenant, self.id, actor=caller.actor, text=self.text
        )


class RaiseIncident(Operation):
    """Make an incident of an alert that stands alone."""

    method, path, tag = "POST", "/api/anomaly/alerts/{id}/incident", "incidents"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.incidents.raise_from(context, caller.tenant, self.id, actor=caller.actor)


class SimilarIncidents(Operation):
    """Past incidents like this one, the most alike first, with what people said of them and why they are alike."""

    path, tag = "/api/incidents/{id}/similar", "incidents"
    id: int
    limit: int = Field(5, ge=1, le=50)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"similar": services.similar.similar(context, caller.tenant, self.id, self.limit)}


class IncidentSnapshots(Operation):
    """What the metrics of an incident were before, during and after it, the strongest shifts first."""

    path, tag = "/api/incidents/{id}/snapshots", "incidents"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        detail = services.incidents.get(context, caller.tenant, self.id)
        seen = services.incidents.look(context, caller.tenant, detail)
        return {
            "snapshots": None if seen is None else services.snapshots.told(seen, context.clock())
        }


class Changes(Operation):
    """What was done to the system, earliest first: deploys, configuration and the like."""

    path, tag = "/api/changes", "changes"
    domain: str = "services"
    start: datetime | None = Field(None, description="Under way at or after")
    end: datetime | None = Field(None, description="Begun at or before")
    entity: str | None = Field(None, description="Only to this, or to nothing in particular")
    limit: int = Field(200, ge=1, le=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        first, last = services.incidents.between(self.start, self.end) or services.incidents.ALWAYS
        found = services.changes.between(
            context,
            caller.tenant,
            domain=self.domain,
            start=first,
            end=last,
            entities=None if self.entity is None else (self.entity,),
            limit=self.limit,
        )
        return {"changes": found}


class RecordChange(Operation):
    """Note that something was done to the system."""

    method, path, tag = "POST", "/api/changes", "changes"
    kind: str = Field(description=", ".join(CHANGE_KINDS))
    at: Instant
    title: str = Field(min_length=1, max_length=500)
    entity: str = Field("", max_length=500)
    detail: str = Field("", max_length=20_000)
    ended_at: Instant | None = None
    key: str = Field("", max_length=120, description="What you call it")
    domain: str = "services"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.changes.record(
            context, caller.tenant, **self.model_dump(), actor=caller.actor
        )


class ImportChanges(_Import):
    """Take in a CSV of change events: at, kind, title; entity, detail, ended_at, id."""

    path, tag = "/api/changes/import", "changes"
    file: str = Field("events.csv", max_length=200)
