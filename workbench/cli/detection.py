"""`headwater detect`, `explain` and `cause`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from workbench.cli.asking import DomainName, Identity, Tenant, ask, moment
from workbench.operations import anomaly as ask_for
from workbench.terminal import Json, answer, out, table

app = typer.Typer()


@app.command()
def detect(
    domain: DomainName = "ads",
    tenant: Tenant = None,
    level: Annotated[str | None, typer.Option(help="Only this level, e.g. campaign")] = None,
    profile: Annotated[str | None, typer.Option(help="Only this profile")] = None,
    detector: Annotated[
        str,
        typer.Option(
            help="ensemble, lstm, streaming, isolation-forest, …; the domain's own if absent"
        ),
    ] = "",
    at: Annotated[str | None, typer.Option(help="As known then, e.g. 2026-03-10")] = None,
    explain: Annotated[bool, typer.Option("--explain/--no-explain", help="Say why")] = True,
    cause: Annotated[bool, typer.Option("--cause/--no-cause", help="Say where from")] = True,
    as_json: Json = False,
) -> None:
    """Detect, explain and locate; save alerts and incidents."""
    report = ask(
        ask_for.Detect(
            domain=domain,
            entity_type=level,
            profile_id=profile,
            detector_type=detector,
            at=moment(at),
            include_explanation=explain,
            include_root_cause=cause,
        ),
        tenant,
        "Detecting",
    )
    answer(report, as_json, draw_detection)


def draw_detection(report: Mapping[str, Any]) -> None:
    """A detection report for a person."""
    table(
        report["incidents"],
        {
            "id": "Incident",
            "severity": "Severity",
            "title": "Title",
            "onset": "Onset",
            "alerts": "Alerts",
            "confidence": "Confidence",
        },
        "No incident: nothing unusual shares a root.",
    )
    counts = ", ".join(
        f"{count} {name}" for name, count in report["severity_counts"].items() if count
    )
    out.print(
        f"{report['anomalies_detected']:,} anomalies ({counts or 'none'}) in "
        f"{report['total_entities_checked']:,} entities, {report['execution_time_ms']:,.0f} ms."
    )
    for line in report["notes"]:
        out.print(f"Note: {line}")


@app.command()
def explain(alert: Identity, tenant: Tenant = None, as_json: Json = False) -> None:
    """Why an alert was raised."""

    def draw(value: Mapping[str, Any]) -> None:
        out.print(value["sentence"] or "No explanation was kept for this alert.")
        columns = {"detector": "Detector", "day": "Day", "metric": "Metric", "share": "Share"}
        table(_largest_shares(value), columns, "")

    answer(ask(ask_for.Explain(id=alert), tenant), as_json, draw)


def _largest_shares(told: Mapping[str, Any], most: int = 8) -> list[dict[str, Any]]:
    """The cells that carry most of each detector's score, as shares of it."""
    rows = []
    for detector, part in {"all together": told, **told.get("parts", {})}.items():
        if not part.get("shares"):
            continue
        whole = (part["score"] - part["base"]) or 1.0
        cells = [
            {"detector": detector, "day": day, "metric": metric, "share": share / whole}
            for day, by_metric in zip(part["days"], part["shares"], strict=True)
            for metric, share in zip(part["metrics"], by_metric, strict=True)
        ]
        cells.sort(key=lambda cell: -abs(cell["share"]))
        rows += [
            {**cell, "share": f"{cell['share']:.0%}"}
            for cell in cells[:most]
            if abs(cell["share"]) >= 0.02
        ]
    return rows


@app.command()
def cause(
    alert: Identity,
    method: Annotated[str | None, typer.Option(help="tree-scan or bfs-temporal")] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Where an alert started."""

    def draw(value: Mapping[str, Any]) -> None:
        table(
            value["candidates"],
            {
                "name": "Candidate",
                "level": "Level",
                "type_label": "Cause",
                "onset_day": "Onset",
                "hops": "Hops",
                "score": "Score",
                "confidence": "Confidence",
            },
            "No cause found: no ancestor or descendant changed in a way that explains this alert.",
        )
        for line in value["candidates"][0]["evidence"] if value["candidates"] else ():
            out.print(f"· {line}")

    answer(ask(ask_for.RootCause(id=alert, method_name=method), tenant), as_json, draw)
