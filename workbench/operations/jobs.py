"""Training and other long work: started, looked at, cancelled, resumed."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import Field

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Operation


class _Training(Operation):
    """What a training is asked for."""

    domain: str = "ads"
    algorithm: str = Field(description="Name in the catalogue")
    params: dict[str, Any] = Field({}, description="Parameters by name")
    start: date | None = Field(
        None, description="First day to learn from; all there is when absent"
    )
    end: date | None = Field(None, description="Last day to learn from")

    def asked(self) -> dict[str, Any]:
        """The arguments that every question about a training takes."""
        names = ("domain", "algorithm", "params", "start", "end")
        return {name: getattr(self, name) for name in names}


class Train(_Training):
    """Start a training as a job; what the pre-flight refuses is refused with its cure."""

    method, path, tag = "POST", "/api/train", "jobs"
    device: str = Field("auto", description="auto, cpu or a GPU as /api/devices names it")
    part: bool = Field(False, description="Learn this detector anew inside the champion")
    proposal: int | None = Field(None, description="The retraining proposal that it answers")
    parent: str = Field("", description="The job that it is a clone of")
    idem_key: str = Field("", description="The same key once more is the same job")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        job = services.training.start(
            context,
            caller.tenant,
            **self.asked(),
            device=self.device,
            part=self.part,
            proposal=self.proposal,
            parent=self.parent,
            idem_key=self.idem_key,
            actor=caller.actor,
        )
        return services.jobs.get(context, caller.tenant, job.id)


class Preflight(_Training):
    """Whether a training may start and what it will take; starts nothing."""

    method, path, tag = "POST", "/api/train/preflight", "jobs"
    device: str = "auto"
    part: bool = False

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        checks = services.training.preflight(context, caller.tenant, **self.asked(), part=self.part)
        refused = any(check.status == "refused" for check in checks)
        return {
            "ok": not refused,
            "checks": checks,
            "estimate": None
            if refused
            else services.training.estimate(
                context, caller.tenant, **self.asked(), device=self.device
            ),
        }


class Devices(Operation):
    """What nets can learn on."""

    path, tag = "/api/devices", "jobs"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"devices": services.training.devices()}


class Jobs(Operation):
    """Jobs, newest first, with their place in the queue."""

    path, tag = "/api/jobs", "jobs"
    domain: str = Field("", description="Only jobs of this domain")
    active: bool = Field(False, description="Only jobs that wait or run")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        found = services.jobs.listing(
            context, caller.tenant, domain=self.domain, active=self.active
        )
        return {"jobs": found}


class ShowJob(Operation):
    """One job: where it stands, how far it is, what it made or why it failed."""

    path, tag = "/api/jobs/{id}", "jobs"
    id: str

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.jobs.get(context, caller.tenant, self.id)


class JobCurve(Operation):
    """The learning curve of a job, over all its attempts."""

    path, tag = "/api/jobs/{id}/curve", "jobs"
    id: str

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"curve": services.jobs.curve(context, caller.tenant, self.id)}


class JobLog(Operation):
    """The last lines of a job's log."""

    path, tag = "/api/jobs/{id}/log", "jobs"
    id: str
    lines: int = Field(40, ge=1, le=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"log": services.jobs.log_tail(context, caller.tenant, self.id, self.lines)}


class CancelJob(Operation):
    """Ask a job to stop."""

    method, path, tag = "POST", "/api/jobs/{id}/cancel", "jobs"
    id: str

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.jobs.cancel(context, caller.tenant, self.id, actor=caller.actor)


class ResumeJob(Operation):
    """Queue a failed, cancelled or lost job again; it goes on from its last checkpoint."""

    method, path, tag = "POST", "/api/jobs/{id}/resume", "jobs"
    id: str

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.jobs.resume(context, caller.tenant, self.id, actor=caller.actor)
