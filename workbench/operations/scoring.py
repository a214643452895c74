"""Rows scored on request by the version in use."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.contracts import OnStep
from workbench import services
from workbench.context import Context
from workbench.operations.operation import Caller, Operation
from workbench.requests import Row

if TYPE_CHECKING:
    from models.scoring import Scored


class Score(Operation):
    """Score up to 100 rows by a domain's champion or a named version; rows of requests that come together share a batch."""

    method, path, tag = "POST", "/api/score", "scoring"
    domain: str = "ads"
    version: str = Field("", description="Its id; the champion of the domain when empty")
    features: list[str] = Field(
        description="Names of the values of a row: the version's own, in its order. What a domain's models "
        "learn from are deviations from what was expected, in standard deviations"
    )
    rows: list[Row] = Field(
        description="entity, values (null = missing), and where the version wants them past periods, oldest "
        "first; exposed, the share of what is at stake, lowers the severity. Up to 100"
    )
    deadline_ms: int = Field(
        10_000, ge=1, le=60_000, description="Rows that wait longer are refused, not scored"
    )

    def begin(self, context: Context, caller: Caller) -> Future[Scored]:
        """Hand the rows in; the answer comes in its own time."""
        return services.scoring.score(
            context,
            caller.tenant,
            domain=self.domain,
            features=self.features,
            rows=self.rows,
            version=self.version,
            seconds=self.deadline_ms / 1000,
        )

    def run(self, context: Context, caller: Caller, on_step: OnStep | None = None) -> Any:
        return services.scoring.told(self.rows, self.begin(context, caller).result())
