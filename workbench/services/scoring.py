"""Rows scored on request: what may be asked at once, and what the answer says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from core.contracts import Floats
from core.domains import DOMAINS
from core.errors import InvalidInputError, UnknownNameError
from core.severity import SEVERITIES, severity
from models.scoring import Key, Rows, Scored
from workbench.context import Context
from workbench.requests import Row
from workbench.services.scene import ALPHA

MOST_ROWS = 100
"""Rows of one request."""
NORMAL = "normal"
"""The severity of a row that a normal day reaches often enough."""


def score(
    context: Context,
    tenant: str,
    *,
    domain: str,
    features: Sequence[str],
    rows: Sequence[Row],
    version: str = "",
    seconds: float = 10.0,
) -> Future[Scored]:
    """What the champion of a domain, or a named version of it, says of rows: scored together with whoever else asks.

    Raises InvalidInputError for rows that break a rule, BusyError where the queue is full; the future raises what
    `RowScorer.submit` says.
    """
    if domain not in DOMAINS:
        raise UnknownNameError.of("score", "the domain", f"one of {', '.join(DOMAINS)}", domain)
    if not 1 <= len(rows) <= MOST_ROWS:
        rule = f"1 to {MOST_ROWS} in a request"
        raise InvalidInputError.of("score", "the rows", rule, len(rows), "Send several requests.")
    asked = Rows(tuple(row.entity for row in rows), tuple(features), _values(features, rows))
    return context.scorer.submit(Key(tenant, domain, version), asked, seconds)


def told(rows: Sequence[Row], scored: Scored) -> Mapping[str, Any]:
    """The answer in plain values, a row for each row asked, in that order."""
    version, p_values = scored.served.version, scored.p_values
    graded: Sequence[str | None] = [None] * len(rows)
    if p_values is not None:
        grades = severity(p_values, [row.exposed for row in rows])
        odd = (p_values <= ALPHA).tolist()
        graded = [
            SEVERITIES[grade] if raised else NORMAL
            for grade, raised in zip(grades.tolist(), odd, strict=True)
        ]
    known = [None] * len(rows) if p_values is None else p_values.tolist()
    answers = zip(rows, scored.scores.tolist(), known, graded, strict=True)
    return {
        "domain": version.domain,
        "version": version.id,
        "algorithm": version.name,
        "notice": scored.served.notice,
        "rows": [
            {
                "entity": row.entity,
                "score": score,
                "p_value": p_value,
                "severity": grade,
                "version": version.id,
            }
            for row, score, p_value, grade in answers
        ],
    }


def _values(features: Sequence[str], rows: Sequence[Row]) -> Floats:
    """(n_row, n_period, n_feature); InvalidInputError names the row that is not like it."""
    width, periods = len(features), len(rows[0].past) + 1
    for place, row in enumerate(rows):
        who = f"row {place} ({row.entity})"
        if len(row.past) + 1 != periods:
            rule = f"as many past periods as row 0, {periods - 1}"
            raise InvalidInputError.of("score", who, f"of {rule}", len(row.past))
        for values in (*row.past, row.values):
            if len(values) != width:
                rule = f"of {width} values, one per feature"
                raise InvalidInputError.of("score", who, rule, len(values))
        if all(value is None for value in row.values):
            rule = "of at least one value that is not null"
            raise InvalidInputError.of("score", who, rule, row.values)
        if not 0 <= row.exposed <= 1:
            raise InvalidInputError.of("score", f"exposed of {who}", "in [0, 1]", row.exposed)
    found = np.array([(*row.past, row.values) for row in rows], dtype=np.float64)
    if np.isinf(found).any():
        place = int(np.isinf(found).any(axis=(1, 2)).argmax())
        who = f"row {place} ({rows[place].entity})"
        raise InvalidInputError.of("score", who, "of finite values", rows[place].values)
    return found
