"""What people ask with: shapes, defaults and bounds that both doors declare and the services hold to.

Little is imported here: every command reads it, also where a server does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

QUEUE_SIZE = 100
"""Items that wait to be labelled once the queue is filled."""
VALIDATED_DAYS, MOST_VALIDATED_DAYS = 7, 90
"""Days up to the newest sample that a validation looks at."""
MOST_EXPECTED = 500
"""Metrics that a validation may be told to expect."""
LEAST_COOL_DOWN = 7
"""Days between two retrainings, at least."""


@dataclass(frozen=True, slots=True)
class Row:
    """One entity at one moment.

    values  : a value per feature, None = missing
    past    : the periods before it, oldest first, where the version judges by them
    exposed : share of all that is at stake that this row puts at risk, 0…1; it can only lower the severity
    """

    entity: str
    values: list[float | None]
    past: list[list[float | None]] = field(default_factory=list)
    exposed: float = 1.0
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}


class Change(BaseModel):
    """One edit: `label` is the new display word of add and rename, `into` the cause that merge leads to."""

    model_config = ConfigDict(extra="forbid")
    verb: Literal["add", "rename", "retire", "restore", "merge"]
    name: str
    label: str = ""
    into: str = ""
