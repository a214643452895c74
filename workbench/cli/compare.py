"""`headwater models compare`: is the challenger better, and what would it change?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from workbench.cli.asking import DomainName, Tenant, ask, version
from workbench.operations.compare import CompareModels
from workbench.terminal import Json, answer, out, table

FIGURES = {
    "name": "Figure",
    "champion": "Champion",
    "challenger": "Challenger",
    "difference": "Difference (95 % interval)",
    "p": "p",
}
CHANGES = {
    "kind": "What would change",
    "name": "Alert",
    "level": "Level",
    "before": "Severity",
    "after": "Would be",
    "spend_at_risk": "At risk",
    "currency": "Currency",
}
CHECKS = {
    "label": "Minimum",
    "asked": "Asked",
    "measured": "Measured",
    "passed": "Passed",
    "how": "How",
}
UNITS = {"share": (1.0, ""), "ms": (1.0, " ms"), "bytes": (1e6, " MB")}
"""What a measured minimum is divided by for people, and what the quotient is called."""
SHOWN = 20


def models_compare(
    champion: Annotated[str, typer.Option(help="A version; the champion when absent")] = "",
    challenger: Annotated[str, typer.Option(help="A version; the challenger when absent")] = "",
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Champion and challenger on the same days: figures, verdict, and the open alerts that would change."""
    question = CompareModels(
        domain=domain,
        champion=version(champion, tenant),
        challenger=version(challenger, tenant),
    )
    answer(ask(question, tenant, "Comparing"), as_json, _draw)


def _draw(told: Mapping[str, Any]) -> None:
    figures = [
        {
            "name": row["name"],
            "champion": _number(row["champion"]["value"]),
            "challenger": _number(row["challenger"]["value"]),
            "difference": _interval(row["difference"]),
            "p": _number(row["difference"]["p"]),
        }
        for row in told["figures"]
    ]
    days = f"{told['first']} to {told['last']}, {told['entity_days']:,} entity-days"
    out.print(f"Champion {told['champion']['id']} against {told['challenger']['id']} on {days}")
    table(figures, FIGURES, "No figure could be had")
    changed = told["changed"]
    out.print(f"Would change {len(changed)} of {told['open_alerts']} open alerts")
    table(changed[:SHOWN], CHANGES, "")
    if len(changed) > SHOWN:
        out.print(f"… and {len(changed) - SHOWN} more: --json lists them all")
    words = {True: "yes", False: "no", None: "not measured"}
    checks = [
        {
            **row,
            "asked": f"{'≤' if row['most'] else '≥'} {_measured(row['minimum'], row['unit'])}",
            "measured": _measured(row["measured"], row["unit"]),
            "passed": words[row["passed"]]
            + (f", {row['labels']} labels needed" if row["labels"] else ""),
        }
        for row in told["checklist"]
    ]
    table(checks, CHECKS, "")
    for notice in told["notices"]:
        out.print(notice)
    out.print(f"Verdict: {told['verdict']['word']}. {told['sentence']}", highlight=False)
    made = f"Comparison {told['id']}, made {told['at'][:16].replace('T', ' ')} UTC by {told['by']}"
    out.print(made, style="dim")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _measured(value: float | None, unit: str) -> str:
    scale, name = UNITS[unit]
    return "–" if value is None else f"{value / scale:.3g}{name}"


def _interval(told: Mapping[str, Any]) -> str:
    if told["value"] is None:
        return "–"
    low, high = _number(told["low"]), _number(told["high"])
    return f"{told['value']:+.4g} ({low} to {high})"
