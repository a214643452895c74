"""How one thing is printed for people: an incident, an alert, a job, a model version, a day of labelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.terminal import bold, cell, out, table

Row = Mapping[str, Any]
MOST = 8
"""Rows of a table below a thing; --json tells all."""


@dataclass(frozen=True)
class Sheet:
    """What is printed of one thing, in order; what is empty is left out. Keys are paths into the answer.

    lines  : path → heading of a line
    tables : path → title and columns of a table; a mapping has two, its keys and its values
    """

    lines: Mapping[str, str]
    tables: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)

    def draw(self, value: Row) -> None:
        """Print the thing."""
        width = max(map(len, self.lines.values()))
        for path, heading in self.lines.items():
            held, key = _held(value, path)
            told = cell(key, held.get(key), held)
            if told not in NOTHING:
                out.print(bold(f"{heading:<{width}}", f"  {told}"), soft_wrap=True)
        for path, (title, columns) in self.tables.items():
            held, key = _held(value, path)
            rows = _rows(held.get(key) or (), columns)
            if rows:
                more = f" ({MOST} of {len(rows):,}; all with --json)" if len(rows) > MOST else ""
                out.print(bold(f"\n{title}", more))
                table(rows[:MOST], columns, "")


NOTHING = ("", "–")


def _held(value: Row, path: str) -> tuple[Row, str]:
    """The mapping that a path ends in, and its key there; what is on the way and missing holds nothing."""
    *way, key = path.split(".")
    for name in way:
        value = value.get(name) or {}
    return value, key


def _rows(found: Any, columns: Mapping[str, str]) -> Sequence[Row]:
    if isinstance(found, Mapping):
        return [dict(zip(columns, pair, strict=True)) for pair in found.items()]
    return list(found)


COMMENTS = ("Comments", {"at": "At", "actor": "By", "text": "Said"})
HISTORY = ("History", {"at": "At", "actor": "By", "verb": "What"})
SUSPECTED = (
    "Suspected",
    {"name": "Where", "type": "Cause", "confidence": "Sure", "evidence": "Why"},
)
NUMBERS = {"name": "Name", "value": "Value"}
LIFE = {
    "acknowledged_at": "Acknowledged",
    "acknowledged_by": "By",
    "resolved_at": "Resolved",
    "resolved_by": "By",
}


def _below(name: str, lines: Mapping[str, str]) -> dict[str, str]:
    return {f"{name}.{key}": heading for key, heading in lines.items()}


INCIDENT = Sheet(
    lines=_below(
        "incident",
        {
            "id": "Incident",
            "title": "What",
            "description": "Told",
            "severity": "Severity",
            "status": "Status",
            "onset": "Began",
            "ended_at": "Ended",
        },
    )
    | {
        "duration_minutes": "Lasted",
        "judged_as": "Judged as",
        "looks_like": "Looks like",
        "found": "Found here",
    }
    | _below(
        "incident",
        {
            "root_name": "Root",
            "root_level": "Level",
            "confidence": "Sure",
            "services": "Services",
            "regions": "Regions",
            "spend_at_risk": "At risk",
            "source": "Told by",
            "external_key": "There called",
            "label_status": "Label",
            "component": "Started at",
            "labelled_by": "By",
            "labelled_at": "On",
            "was_predicted": "Predicted",
            **LIFE,
        },
    ),
    tables={
        "incident.candidates": SUSPECTED,
        "incident.snapshots.rows": (
            "What moved",
            {
                "name": "Where",
                "label": "Metric",
                "before": "Before",
                "during": "During",
                "after": "After",
            },
        ),
        "alerts": (
            "Alerts",
            {"id": "Alert", "severity": "Severity", "entity_name": "Entity", "onset": "Onset"}
            | {"sentence": "What"},
        ),
        "changes": (
            "Done around then",
            {"at": "At", "kind": "Kind", "title": "What", "detail": "More"},
        ),
        "comments": COMMENTS,
        "history": HISTORY,
    },
)
ALERT = Sheet(
    lines=_below(
        "alert",
        {
            "id": "Alert",
            "entity_name": "Entity",
            "level": "Level",
            "sentence": "What",
            "severity": "Severity",
            "status": "Status",
            "onset": "Onset",
            "last_seen": "Last seen",
            "predicted_for": "Expected at",
            "lead_minutes": "Ahead by",
            "score": "Score",
            "threshold": "Threshold",
            "p_value": "p-value",
            "detector": "Detector",
            "model_version": "Version",
            "spend_at_risk": "At risk",
            "revenue_impact": "Cost",
            "incident_id": "Incident",
            **LIFE,
        },
    ),
    tables={"alert.root_causes": SUSPECTED, "comments": COMMENTS, "history": HISTORY},
)
JOB = Sheet(
    lines={
        "id": "Job",
        "kind": "Kind",
        "payload.algorithm": "Algorithm",
        "domain": "Domain",
        "state": "State",
        "progress": "Done",
        "progress_text": "Now",
        "position": "In line",
        "device": "Device",
        "created_at": "Handed in",
        "created_by": "By",
        "claimed_at": "Begun",
        "finished_at": "Ended",
        "attempt": "Attempt",
        "result_ref": "Version",
        "error_text": "Failed",
        "error_hint": "Hint",
        "parent": "Goes on from",
    },
    tables={"payload.params": ("Settings", NUMBERS), "metrics": ("Figures", NUMBERS)},
)
MODEL = Sheet(
    lines={
        "id": "Version",
        "name": "Algorithm",
        "domain": "Domain",
        "state": "State",
        "aliases": "In use as",
        "created_at": "Published",
        "created_by": "By",
        "parent": "Grown from",
        "manifest.training.entities": "Learned from",
        "manifest.training.periods": "Periods",
        "manifest.training.seed": "Seed",
        "digest": "Digest",
    },
    tables={
        "params": ("Settings", NUMBERS),
        "metrics": ("Figures", NUMBERS),
        "manifest.artifacts": ("Files", {"role": "Role", "file": "File", "bytes": "Bytes"}),
    },
)
LABELLING = Sheet(
    lines={
        "done": "Labels today",
        "target": "Of",
        "waiting": "Waiting",
        "hard_share": "Hard ones",
        "pace": "An hour",
        "uneven": "Out of balance",
    },
    tables={"balance": ("Labels by cause", {"cause": "Cause", "labels": "Labels"})},
)
