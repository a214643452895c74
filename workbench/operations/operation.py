"""What every question is made of: an HTTP method and path, typed arguments, a plain JSON answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from core.contracts import OnStep
from workbench.context import Context
from workbench.plain import plain

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


def concrete(base: type[Operation] = Operation) -> list[type[Operation]]:
    """Every operation with a path, in the order written."""
    found: list[type[Operation]] = []
    for kind in base.__subclasses__():
        found += [kind] if "path" in vars(kind) else []
        found += concrete(kind)
    return found
