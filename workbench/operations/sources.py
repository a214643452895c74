"""Sources of metrics, and what is measured."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from core.contracts import OnStep
from core.errors import PermissionDeniedError
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Operation


class Sources(Operation):
    """Where metrics are fetched from, and up to when."""

    path, tag = "/api/sources", "data"
    domain: str = ""

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.sources.listing(context, caller.tenant, domain=self.domain)


class AddSource(Operation):
    """Add a Prometheus to fetch from; only from the server's own machine, which reaches into its network."""

    method, path, tag = "POST", "/api/sources", "data"
    name: str
    url: str
    domain: str = "services"
    plan: dict[str, Any] = Field(default_factory=dict)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        if not (caller.local and context.settings.on_loopback):
            raise PermissionDeniedError.of(
                "AddSource",
                "the server",
                "on loopback to be sent to an address",
                context.settings.host,
                "Add the source on the server's machine: headwater sources add.",
            )
        return services.sources.add(
            context,
            caller.tenant,
            name=self.name,
            url=self.url,
            domain=self.domain,
            plan=self.plan,
            actor=caller.actor,
        )


class RemoveSource(Operation):
    """Fetch no more from a source; what it brought stays."""

    method, path, tag = "POST", "/api/sources/{name}/remove", "data"
    name: str
    domain: str = "services"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        services.sources.remove(
            context, caller.tenant, self.name, domain=self.domain, actor=caller.actor
        )
        return {"removed": self.name}


class FetchSources(Operation):
    """Fetch what is new from one source or all, going on where the last fetch was."""

    method, path, tag = "POST", "/api/sources/fetch", "data"
    name: str = ""
    domain: str = "services"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.sources.fetch(
            context,
            caller.tenant,
            name=self.name,
            domain=self.domain,
            actor=caller.actor,
            on_step=on_step,
        )


class Metrics(Operation):
    """What is measured: each metric with unit, bad direction, span and interval."""

    path, tag = "/api/metrics", "data"
    domain: str = "services"
    entity: str = ""

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.measures.listing(
            context, caller.tenant, domain=self.domain, entity=self.entity
        )


class DeclareMetric(Operation):
    """Say what a metric is: its label, unit, bad direction (1 rise, -1 fall, 0 either) or nature."""

    method, path, tag = "POST", "/api/metrics", "data"
    metric: str
    domain: str = "services"
    label: str | None = None
    unit: str | None = None
    bad: Literal[-1, 0, 1] | None = None
    nature: str | None = None

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.measures.declare(
            context,
            caller.tenant,
            self.metric,
            domain=self.domain,
            label=self.label,
            unit=self.unit,
            bad=self.bad,
            nature=self.nature,
            actor=caller.actor,
        )
