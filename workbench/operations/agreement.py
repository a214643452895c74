"""How far people agree, what they are asked next, and how their disagreements are settled."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.labels import _Verdict
from workbench.operations.operation import Caller, Operation
from workbench.requests import QUEUE_SIZE


class LabelQueue(Operation):
    """What waits to be labelled, in order and each with its reason; and what the random slice tells of precision."""

    path, tag = "/api/labels/queue", "labels"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        items = services.queue.listing(context, caller.tenant, domain=self.domain)
        precision = services.queue.precision(context, caller.tenant, domain=self.domain)
        return {"items": items, "precision": precision}


class FillQueue(Operation):
    """Fill the queue: half hard, a fifth diverse, 15 % drawn at random, a tenth to judge again, 5 % with a known answer."""

    method, path, tag = "POST", "/api/labels/queue", "labels"
    domain: str = "ads"
    size: int = Field(QUEUE_SIZE, ge=1, le=2000, description="Items that are to wait")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.queue.fill(
            context, caller.tenant, domain=self.domain, size=self.size, actor=caller.actor
        )


class LabelAgreement(Operation):
    """How far people agree: percent with its base rates, kappas and alpha with intervals, who with whom, on what."""

    path, tag = "/api/labels/agreement", "labels"
    domain: str = "ads"
    aspect: Literal["answer", "disposition", "cause", "component"] = "answer"
    which: Literal["blind", "all"] | None = Field(
        None, description="Blind judgements only, or all; blind where there are any when absent"
    )

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.agreement.of(
            context, caller.tenant, domain=self.domain, aspect=self.aspect, which=self.which
        )


class ExportLabels(Operation):
    """Every label that stands, as CSV."""

    path, tag = "/api/labels/export", "labels"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"csv": services.agreement.export(context, caller.tenant, domain=self.domain)}


class SuspectLabels(Operation):
    """Labels that are probably wrong, the worst first: models that never saw them say otherwise."""

    path, tag = "/api/labels/suspects", "labels"
    domain: str = "ads"
    limit: int = Field(50, ge=1, le=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.suspects.listing(
            context, caller.tenant, domain=self.domain, limit=self.limit
        )


class LabelDisputes(Operation):
    """What people judged differently and nobody has settled, side by side."""

    path, tag = "/api/labels/disputes", "labels"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        found = services.adjudication.disputes(
            context, caller.tenant, domain=self.domain, actor=caller.actor
        )
        return {"disputes": found}


class _Settlement(_Verdict):
    """Settle a disagreement by one side's label, or by a verdict of one's own; its authors may not."""

    subject_kind: ClassVar[str]
    id: int
    seen: list[int] = Field(description="Numbers of the labels that were looked at")
    label: int | None = Field(None, description="The label that is right; else the verdict given")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.adjudication.settle(
            context,
            caller.tenant,
            subject_kind=self.subject_kind,
            subject_id=self.id,
            actor=caller.actor,
            seen=self.seen,
            label_id=self.label,
            verdict=self.verdict() if self.label is None else None,
            note=self.note,
        )


class AdjudicateIncident(_Settlement):
    """Settle what people judged differently about an incident; it is validated by it."""

    path, tag, subject_kind = "/api/incidents/{id}/adjudicate", "incidents", "incident"


class AdjudicateAlert(_Settlement):
    """Settle what people judged differently about an alert."""

    path, tag, subject_kind = "/api/anomaly/alerts/{id}/adjudicate", "anomaly", "alert"
