"""Experiments between the champion and another version."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Operation


class Experiments(Operation):
    """Experiments, newest first, each with its newest look."""

    path, tag = "/api/experiments", "experiments"
    domain: str = Field("", description="Only experiments of this domain")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {
            "experiments": services.experiments.listing(context, caller.tenant, domain=self.domain)
        }


class PlanExperiment(Operation):
    """Plan the champion against another version: what it takes to find an effect, and what there is."""

    method, path, tag = "POST", "/api/experiments", "experiments"
    treatment: str = Field(description="Version that is tried")
    metric: Literal["alert-rate", "precision", "agreement"] = "alert-rate"
    mde: float = Field(gt=0, description="Smallest effect worth finding, in the metric's unit")
    domain: str = "ads"
    days: int = Field(
        14, ge=1, le=365, description="How long it runs, unless the answer is clear before"
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="Chance of finding what is not there")
    power: float = Field(0.8, gt=0, lt=1, description="Chance of finding what is there")
    unit: str = Field("", description='Level that arms are drawn by, or "entity"')
    name: str = Field("", max_length=200)
    begin: bool = Field(False, description="Start it too, or leave nothing behind")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.experiments.plan(
            context, caller.tenant, actor=caller.actor, **self.model_dump()
        )


class ShowExperiment(Operation):
    """One experiment with every look, its guardrails and its verdict."""

    path, tag = "/api/experiments/{id}", "experiments"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.experiments.get(context, caller.tenant, self.id)


class RoutingDecisions(Operation):
    """Which entity was routed to which version by which run, newest first, and how large each arm is now."""

    path, tag = "/api/experiments/{id}/decisions", "experiments"
    id: int
    entity: str = Field("", description="Only this entity")
    limit: int = Field(100, ge=1, le=10_000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.experiments.decisions(
            context, caller.tenant, self.id, entity=self.entity, limit=self.limit
        )


class Disagreements(Operation):
    """Where one model raised an alarm and the other did not, the clearest first: these are the ones to label."""

    path, tag = "/api/experiments/{id}/disagreements", "experiments"
    id: int
    limit: int = Field(50, ge=1, le=10_000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        found = services.experiments.disagreements(
            context, caller.tenant, self.id, limit=self.limit
        )
        return {"disagreements": found}


class StartExperiment(Operation):
    """Let a planned experiment run, in shadow first; a hopeless one is refused with the units it needs."""

    method, path, tag = "PATCH", "/api/experiments/{id}/start", "experiments"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.experiments.start(context, caller.tenant, self.id, actor=caller.actor)


class AdvanceExperiment(Operation):
    """Climb to the next rung of the ladder: shadow, then a canary of 1, 5, 25 and 50 %; from the last one, finish."""

    method, path, tag = "PATCH", "/api/experiments/{id}/advance", "experiments"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.experiments.advance(context, caller.tenant, self.id, actor=caller.actor)


class DiscardExperiment(Operation):
    """Throw a plan away that was never started."""

    method, path, tag = "PATCH", "/api/experiments/{id}/discard", "experiments"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        gone = services.experiments.discard(context, caller.tenant, self.id, actor=caller.actor)
        return {"discarded": gone}


class StopExperiment(Operation):
    """End an experiment: from the next run on the champion decides for everybody again."""

    method, path, tag = "PATCH", "/api/experiments/{id}/stop", "experiments"
    id: int
    reason: str = Field(min_length=1, max_length=4000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.experiments.stop(
            context, caller.tenant, self.id, actor=caller.actor, reason=self.reason
        )
