"""The columns that records are made of: times in UTC, plain JSON, and the tenant that every key begins with."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import declared_attr
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from core.errors import InvalidInputError


def plain(value: Any) -> Any:
    """The value as JSON can hold it: NaN (missing) becomes None, ±inf "Infinity"/"-Infinity", times ISO text.

    `float("Infinity")` reads the text back, so the infinite ACOS of spend without sales survives storage.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy here
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces; what digests are taken over."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored in UTC and read back as UTC on every database."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise InvalidInputError.of(
                "records", "a time", "aware (with a zone)", value, "Use datetime.now(UTC)."
            )
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """A JSON column holding `plain(value)`; None is SQL NULL.

    Text JSON on PostgreSQL too: JSONB rewrites numbers, and the audit chain is hashed over them.
    """

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return plain(value)


def moment(*, nullable: bool = False) -> Any:
    return Field(default=None, sa_type=UtcDateTime) if nullable else Field(sa_type=UtcDateTime)


def json_of(default: Any = dict) -> Any:
    return Field(default_factory=default, sa_type=Json)


def long_text(default: Any = "") -> Any:
    return Field(default=default, sa_type=sa.Text)


class TenantRow(SQLModel):
    """A row that belongs to one tenant; sessions filter every query and check every write by it."""

    tenant: str = Field(primary_key=True, max_length=64)

    @declared_attr.directive
    def __tablename__(cls) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class NumberedRow(TenantRow):
    """A row numbered within its tenant; the session draws the number at flush when none is set."""

    id: int = Field(
        default=None,
        primary_key=True,
        sa_type=BigInteger,
        sa_column_kwargs={"autoincrement": False},
    )
