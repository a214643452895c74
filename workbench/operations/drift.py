"""Drift: checks, the retrainings that they propose, and what to fall back on."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Operation
from workbench.requests import LEAST_COOL_DOWN


class CheckDrift(Operation):
    """Compare the newest windows with what the champion learned from; keeps the report and proposes what follows."""

    method, path, tag = "POST", "/api/drift", "drift"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        report = services.drift.check(
            context, caller.tenant, domain=self.domain, actor=caller.actor, on_step=on_step
        )
        return {"report": report, "moved": report.moved}


class Drift(Operation):
    """The newest check, null where nobody ever looked, and the list of those before."""

    path, tag = "/api/drift", "drift"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {
            "report": services.drift.latest(context, caller.tenant, domain=self.domain),
            "checks": services.drift.history(context, caller.tenant, domain=self.domain),
        }


class Proposals(Operation):
    """Retrainings that drift or the calendar asked for, newest first, each with what came of it."""

    path, tag = "/api/drift/proposals", "drift"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {
            "proposals": services.retraining.proposals(context, caller.tenant, domain=self.domain),
            "not_yet": services.retraining.not_yet(context, caller.tenant, domain=self.domain),
        }


class AcceptProposal(Operation):
    """Start the training that a proposal asks for."""

    method, path, tag = "POST", "/api/drift/proposals/{id}/accept", "drift"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        job = services.retraining.accept(context, caller.tenant, self.id, actor=caller.actor)
        return {
            "proposal": services.retraining.get(context, caller.tenant, self.id),
            "job": services.jobs.get(context, caller.tenant, job.id),
        }


class DismissProposal(Operation):
    """Say no to a proposal."""

    method, path, tag = "POST", "/api/drift/proposals/{id}/dismiss", "drift"
    id: int
    reason: str = Field("", max_length=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        services.retraining.dismiss(
            context, caller.tenant, self.id, actor=caller.actor, reason=self.reason
        )
        return services.retraining.get(context, caller.tenant, self.id)


class FallBack(Operation):
    """In an emergency: the last good version scores at once, or a rule where there is none."""

    method, path, tag = "POST", "/api/drift/fallback", "drift"
    domain: str = "ads"
    reason: str = Field(min_length=1, max_length=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.retraining.fall_back(
            context, caller.tenant, domain=self.domain, reason=self.reason, actor=caller.actor
        )


class RetrainingPolicy(Operation):
    """What the tenant allows: cool-down, budget, weekly retraining, and whether it starts by itself."""

    path, tag = "/api/drift/policy", "drift"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.retraining.policy(context, caller.tenant)


class SetRetrainingPolicy(Operation):
    """Choose it; `version` is the one seen, another one is a conflict."""

    method, path, tag = "PUT", "/api/drift/policy", "drift"
    automatic: bool = False
    weekly: bool = False
    cool_down_days: int = Field(LEAST_COOL_DOWN, ge=LEAST_COOL_DOWN, le=365)
    budget: int = Field(4, ge=1, le=10, description="Retrainings in 30 days")
    version: int = Field(0, ge=0)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.retraining.set_policy(
            context,
            caller.tenant,
            services.retraining.Policy(**self.model_dump()),
            actor=caller.actor,
        )
