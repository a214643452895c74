"""Anything a service returns, as plain JSON values: the one encoder of the API and the CLI."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel


def plain(value: Any) -> Any:
    """Dataclasses, models, arrays and times as dicts, lists, ISO text; NaN and ∞ become null."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.generic):
        if value.dtype.kind not in "mM":
            return value.item()
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, BaseModel):
        known = (
            value.model_dump()
        )  # a record's come in the order they were read: give them the model's
        return {key: plain(known[key]) for key in type(value).model_fields if key in known}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {spec.name: plain(getattr(value, spec.name)) for spec in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"plain: {type(value).__name__} has no JSON form")
