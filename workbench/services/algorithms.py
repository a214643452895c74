"""What the catalogue offers, for the API, the command line and the forms."""

from __future__ import annotations

from typing import Any

from core import catalog


def listing(kind: str | None = None) -> list[dict[str, Any]]:
    """Every algorithm, of one kind where given; those whose extra is absent too, with how to install it."""
    return [dict(row) for row in catalog.describe() if kind in (None, row["kind"])]
