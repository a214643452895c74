"""Champion against challenger, and what a promotion must reach."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Operation


class CompareModels(Operation):
    """Champion and challenger on the same days: figures with intervals, verdict, and which open alerts would change.

    What was measured within the hour is not measured again while figures, labels and detection stand still.
    """

    method, path, tag = "POST", "/api/models/compare", "models"
    domain: str = "ads"
    champion: str = Field("", description="A version; the champion when absent")
    challenger: str = Field("", description="A version; the challenger when absent")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        told = services.compare.newest(
            context, caller.tenant, **self.model_dump(), actor=caller.actor
        )
        return {**told, "checklist": services.promotion.checklist(context, caller.tenant, told)}


class PromotionMinimums(Operation):
    """What a version must reach before it is promoted."""

    path, tag = "/api/models/minimums", "models"
    domain: str = "ads"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"minimums": services.promotion.minimums(context, caller.tenant, self.domain)}


class SetPromotionMinimums(Operation):
    """Change what a version must reach; what is not named stays."""

    method, path, tag = "PUT", "/api/models/minimums", "models"
    domain: str = "ads"
    minimums: dict[str, float] = Field(min_length=1)

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        services.promotion.choose(
            context, caller.tenant, self.domain, actor=caller.actor, minimums=self.minimums
        )
        return {"minimums": services.promotion.minimums(context, caller.tenant, self.domain)}
