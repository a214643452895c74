"""The catalogue and the model versions."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from core.contracts import OnStep
from workbench.context import Context
from workbench.operations.operation import Caller, Operation
from workbench.services import algorithms, models


class Algorithms(Operation):
    """The catalogue: every algorithm, also those whose extra is not installed."""

    path, tag = "/api/algorithms", "models"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"algorithms": algorithms.listing()}


class Models(Operation):
    """Model versions, newest first, with the aliases that mean them."""

    path, tag = "/api/models", "models"
    domain: str = Field("", description="Only versions of this domain")

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return {"models": models.listing(context, caller.tenant, domain=self.domain)}


class VerifyModels(Operation):
    """Load every version as serving would: signature, digests, format, and the scores of its probe rows."""

    method, path, tag = "POST", "/api/models/verify", "models"

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return models.verify(context, caller.tenant, on_step=on_step)


class ShowModel(Operation):
    """One version with its signed manifest."""

    path, tag = "/api/models/{id}", "models"
    id: str

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return models.get(context, caller.tenant, self.id)
