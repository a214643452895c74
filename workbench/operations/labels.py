"""Labels: what people say of alerts and incidents, the queue that asks them, and the words they may use."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Operation
from workbench.requests import Change

Confidence = Literal["high", "medium", "low"]
SEEN = Field(
    None, description="Newest label of anybody else that was seen; a later one is a conflict"
)
Seconds = Annotated[float | None, Field(ge=0, description="How long it took")]


class _Verdict(Operation):
    """What is said of a subject, in the words of the domain's taxonomy."""

    method: ClassVar[str] = "POST"
    disposition: str = Field("real", description="real, expected, data_error, duplicate or unsure")
    root_cause: str = Field("", description="A cause of the taxonomy")
    causes: list[str] = Field([], description="Several, where the taxonomy allows it")
    component: str = Field("", description="A node of the dependency graph")
    missing: str = Field("", max_length=160, description="A component that the graph lacks")
    confidence: Confidence = "high"
    note: str = Field("", max_length=4000)
    seconds: Seconds = None

    def verdict(self) -> Any:
        """The same as the service takes it."""
        causes = [self.root_cause] if self.root_cause else []
        return services.verdicts.Verdict(
            disposition=self.disposition,
            causes=tuple(dict.fromkeys(causes + self.causes)),
            component=self.component,
            confidence=self.confidence,
            note=self.note,
            missing=self.missing,
        )


class _Said(_Verdict):
    """A verdict on one thing; `say` is the service that takes it."""

    say: ClassVar[str]
    id: int
    seen: int | None = SEEN

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return getattr(services.labelling, self.say)(
            context,
            caller.tenant,
            self.id,
            actor=caller.actor,
            verdict=self.verdict(),
            seen=self.seen,
            seconds=self.seconds,
        )


class LabelIncident(_Said):
    """Say what an incident was and where it started; it goes from unlabeled to labeled."""

    path, tag, say = "/api/incidents/{id}/label", "incidents", "label_incident"


class LabelAlert(_Said):
    """Say what an alert was and where it started."""

    path, tag, say = "/api/anomaly/alerts/{id}/label", "anomaly", "label_alert"


class Labels(Operation):
    """Labels that stand, newest first."""

    path, tag = "/api/labels", "labels"
    domain: str = "ads"
    by: str = Field("", description="Only those of this person")
    limit: int = Field(50, ge=1, le=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        found = services.labelling.listing(
            context, caller.tenant, domain=self.domain, by=self.by, limit=self.limit
        )
        known = services.taxonomy.of(context, caller.tenant, self.domain)
        said = {cause for label in found for cause in services.subjects.causes(label)}
        return {"labels": found, "words": {cause: known.said(cause) for cause in sorted(said)}}


class NextItem(Operation):
    """The next thing to judge, the caller's for ten minutes; null when none waits."""

    method, path, tag = "POST", "/api/labels/next", "labels"
    domain: str = "ads"
    after: list[int] = Field([], description="Items to leave out")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        item = services.labelling.next_item(
            context, caller.tenant, domain=self.domain, actor=caller.actor, after=self.after
        )
        return {"item": item}


class SubmitLabel(_Verdict):
    """Say what an item was; the answer holds the next one."""

    path, tag = "/api/labels/items/{id}", "labels"
    id: int
    seen: int = Field(0, description="`seen` of the item as it was drawn")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.labelling.submit(
            context,
            caller.tenant,
            self.id,
            actor=caller.actor,
            verdict=self.verdict(),
            seen=self.seen,
            seconds=self.seconds,
        )


class SkipItem(Operation):
    """Put an item aside for half an hour; the answer is the next one."""

    method, path, tag = "POST", "/api/labels/items/{id}/skip", "labels"
    id: int
    reason: str = Field(min_length=1, max_length=200)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        item = services.labelling.skip(
            context, caller.tenant, self.id, actor=caller.actor, reason=self.reason
        )
        return {"item": item}


class UndoLabel(Operation):
    """Take back the caller's last label or skip; the answer is the item, theirs again."""

    method, path, tag = "POST", "/api/labels/undo", "labels"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        item = services.labelling.undo(
            context, caller.tenant, actor=caller.actor, domain=self.domain
        )
        return {"item": item}


class LabelProgress(Operation):
    """How far the caller is today, how fast, and whether the causes are out of balance."""

    path, tag = "/api/labels/progress", "labels"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.labelling.progress(
            context, caller.tenant, domain=self.domain, actor=caller.actor
        )


class ImportLabels(Operation):
    """Take in a CSV of labels: incident_id, annotator, root_cause; component, confidence, at, disposition, note."""

    method, path, tag = "POST", "/api/labels/import", "labels"
    csv: str = Field(min_length=1, max_length=50_000_000, description="The file's text")
    file: str = Field("labels.csv", max_length=200)
    domain: str = "services"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.label_files.import_csv(
            context, caller.tenant, self.domain, self.csv.encode(), self.file
        )


class ShowTaxonomy(Operation):
    """What a label may say in a domain, and every version before."""

    path, tag = "/api/labels/taxonomy", "labels"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        newest, *before = services.taxonomy.history(context, caller.tenant, self.domain)
        return {"taxonomy": newest, "before": before}


class EditTaxonomy(Operation):
    """Make the next version of a taxonomy: add, rename, retire, restore or merge causes."""

    method, path, tag = "POST", "/api/labels/taxonomy", "labels"
    changes: list[Change] = Field(min_length=1, max_length=100)
    domain: str = "ads"
    seen: int | None = Field(
        None, description="Number of the version edited; another is a conflict"
    )

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.taxonomy.edit(
            context,
            caller.tenant,
            self.domain,
            changes=self.changes,
            actor=caller.actor,
            seen=self.seen,
        )


class NodeProposals(Operation):
    """Components that people missed in the graph: those that wait, and those that became nodes of it."""

    path, tag = "/api/graph/proposals", "labels"
    domain: str = ""

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        found = services.proposals.listing(context, caller.tenant, domain=self.domain)
        return {"proposals": found.waiting, "accepted": found.accepted}


class DecideNode(Operation):
    """Accept a component that somebody missed, a node of the graph from then on; or dismiss it."""

    method, path, tag = "POST", "/api/graph/proposals/{id}", "labels"
    id: int
    state: Literal["accepted", "dismissed"]

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.proposals.decide(
            context, caller.tenant, self.id, state=self.state, actor=caller.actor
        )
