"""Importing, and taking an import back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from core.contracts import OnStep
from core.errors import PermissionDeniedError
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Instant, Operation
from workbench.requests import MOST_EXPECTED, MOST_VALIDATED_DAYS, VALIDATED_DAYS


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
        return services.ingest.import_paths(
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
        return services.ingest.batches(context, caller.tenant)


class UndoBatch(Operation):
    """Take a batch back; what it brought is gone, what it superseded is current again."""

    method, path, tag = "POST", "/api/batches/{id}/undo", "data"
    id: int

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.ingest.undo_batch(context, caller.tenant, self.id, actor=caller.actor)


class Validate(Operation):
    """Look now at how good the newest data are to learn from: every check with its figure and cure; keeps the report."""

    method, path, tag = "POST", "/api/data/validation", "data"
    domain: str = "services"
    days: int = Field(VALIDATED_DAYS, ge=1, le=MOST_VALIDATED_DAYS)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.validation.validate(
            context,
            caller.tenant,
            domain=self.domain,
            days=self.days,
            actor=caller.actor,
            on_step=on_step,
        )


class Validation(Operation):
    """The newest report on the quality of the data, null where nobody ever looked, and the list of those before."""

    path, tag = "/api/data/validation", "data"
    domain: str = "services"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {
            "report": services.validation.latest(context, caller.tenant, domain=self.domain),
            "reports": services.validation.history(context, caller.tenant, domain=self.domain),
        }


class ExpectedMetrics(Operation):
    """The metrics that a domain's data must hold to be complete."""

    path, tag = "/api/data/expected", "data"
    domain: str = "services"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.validation.expected(context, caller.tenant, domain=self.domain)


class ExpectMetrics(Operation):
    """Choose them; `version` is the one seen, another one is a conflict."""

    method, path, tag = "PUT", "/api/data/expected", "data"
    domain: str = "services"
    metrics: list[str] = Field(min_length=1, max_length=MOST_EXPECTED)
    version: int = Field(0, ge=0)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.validation.expect(
            context,
            caller.tenant,
            self.metrics,
            domain=self.domain,
            seen=self.version,
            actor=caller.actor,
        )
