"""The catalogue and the model versions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Operation

Reason = Annotated[str, Field(min_length=1, max_length=1000, description="Kept in the audit")]
SEEN = Field(None, description="Move number of the champion that was seen; another is a conflict")


class Algorithms(Operation):
    """The catalogue: every algorithm, also those whose extra is not installed."""

    path, tag = "/api/algorithms", "models"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"algorithms": services.algorithms.listing()}


class Models(Operation):
    """Model versions, newest first, with the aliases that mean them."""

    path, tag = "/api/models", "models"
    domain: str = Field("", description="Only versions of this domain")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"models": services.models.listing(context, caller.tenant, domain=self.domain)}


class VerifyModels(Operation):
    """Load every version as serving would: signature, digests, format, scores of probe rows, metrics."""

    method, path, tag = "POST", "/api/models/verify", "models"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.models.verify(context, caller.tenant, on_step=on_step)


class PromotionHistory(Operation):
    """Who moved the champion of a domain, when and why, newest first."""

    path, tag = "/api/models/promotions", "models"
    domain: str = "ads"
    limit: int = Field(100, ge=1, le=1000)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        moves = services.models.history(context, caller.tenant, self.domain, limit=self.limit)
        return {"promotions": moves}


class RollBack(Operation):
    """Undo the last promotion: the version that scored before scores again."""

    method, path, tag = "POST", "/api/models/rollback", "models"
    domain: str = "ads"
    reason: Reason
    seen: int | None = SEEN

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.models.rollback(
            context,
            caller.tenant,
            domain=self.domain,
            reason=self.reason,
            actor=caller.actor,
            seen=self.seen,
        )


class Promote(Operation):
    """Let a version score its domain, once it passes the checklist of minimums."""

    method, path, tag = "POST", "/api/models/{id}/promote", "models"
    id: str
    reason: Reason
    override: bool = Field(False, description="Promote it although a figure is below its minimum")
    seen: int | None = SEEN

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.models.promote(
            context,
            caller.tenant,
            self.id,
            reason=self.reason,
            actor=caller.actor,
            override=self.override,
            seen=self.seen,
        )


class ShowModel(Operation):
    """One version with its signed manifest, and its metrics made again from its stored predictions."""

    path, tag = "/api/models/{id}", "models"
    id: str

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.models.get(context, caller.tenant, self.id)
