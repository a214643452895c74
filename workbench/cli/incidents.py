"""`headwater incidents` beyond the verbs that alerts have too, and `headwater changes`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from core.domain import CHANGE_KINDS
from workbench.cli.alerts import incidents_app
from workbench.cli.asking import DomainName, Identity, Tenant, ask, moment
from workbench.operations import Operation, incidents
from workbench.terminal import Json, answer, out, table

changes_app = typer.Typer(
    help="What was done to the system: deploys, configuration.", no_args_is_help=True
)
Sheet = Annotated[Path, typer.Argument(help="CSV file", exists=True, dir_okay=False)]
Where = Annotated[list[str] | None, typer.Option(help="Once for each name")]
Instead = Annotated[
    list[str] | None, typer.Option(help="Instead of those told; once for each, empty for none")
]
AnyDomain = Annotated[str, typer.Option(help="ads or services; every domain when absent")]
Day = Annotated[str | None, typer.Option(help="A day or time such as 2026-03-10T06:00")]
TOLD = 3
"""Causes of a suggestion that a terminal shows, the likeliest first."""
LISTED = {
    "id": "Incident",
    "severity": "Severity",
    "title": "Title",
    "services": "Services",
    "root_name": "Root",
    "began": "Onset",
    "duration_minutes": "Lasted",
    "source": "Source",
    "label_status": "Label",
    "judged_as": "Cause",
    "status": "Status",
}


@incidents_app.command("list")
def incidents_list(
    status: Annotated[str | None, typer.Option(help="open, acknowledged, resolved or any")] = None,
    severity: Annotated[str | None, typer.Option(help="low, medium, high or critical")] = None,
    source: Annotated[str | None, typer.Option(help="headwater, pagerduty, file or hand")] = None,
    label: Annotated[str | None, typer.Option(help="unlabeled, labeled or validated")] = None,
    service: Annotated[str | None, typer.Option(help="Among those affected")] = None,
    cause: Annotated[str | None, typer.Option(help="A cause of the taxonomy, by its name")] = None,
    text: Annotated[str, typer.Option(help="Part of a title, description, root or key")] = "",
    limit: Annotated[int, typer.Option(help="How many at most")] = 50,
    after: Annotated[str | None, typer.Option(help="`next` of the page before")] = None,
    domain: AnyDomain = "",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Incidents, worst first."""
    asked = {
        "domain": domain,
        "status": status,
        "severity": severity,
        "source": source,
        "label": label,
        "service": service,
        "cause": cause,
        "text": text,
        "limit": limit,
        "after": after,
    }
    found = ask(incidents.Incidents.model_validate(asked), tenant)
    answer(found, as_json, lambda value: _draw(value["incidents"], "No incidents."))


@incidents_app.command("unlabeled")
def incidents_unlabeled(
    limit: Annotated[int, typer.Option(help="How many at most")] = 100,
    domain: AnyDomain = "",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Incidents that nobody labelled yet."""
    found = ask(incidents.UnlabeledIncidents(domain=domain, limit=limit), tenant)

    def draw(value: Mapping[str, Any]) -> None:
        _draw(value["incidents"], "Every incident has a label.")
        out.print(f"{value['labeled']:,} of {value['total']:,} incidents are labelled.")

    answer(found, as_json, draw)


@incidents_app.command("learn")
def incidents_learn(
    domain: DomainName = "services", tenant: Tenant = None, as_json: Json = False
) -> None:
    """Learn the kinds of causes from all labelled incidents."""
    found = ask(incidents.LearnCauses(domain=domain), tenant)

    def draw(value: Mapping[str, Any]) -> None:
        table(
            [{"cause": cause, "labels": count} for cause, count in value["labels"].items()],
            {"cause": "Cause", "labels": "Labels"},
            "Nothing was learned.",
        )
        out.print(f"Version {value['version']}; {len(value['left_out']):,} incidents left out.")

    answer(found, as_json, draw)


@incidents_app.command("suggest")
def incidents_suggest(
    number: Annotated[int, typer.Argument(help="Incident")],
    top: Annotated[int, typer.Option(help="Reasons for each cause")] = 3,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """The likeliest causes of an incident, with what speaks for them."""
    found = ask(incidents.SuggestCauses(id=number, top=top), tenant)

    def draw(value: Mapping[str, Any]) -> None:
        rows = [
            {
                "cause": value["words"][one["cause"]],
                "probability": f"{one['probability']:.0%}",
                "sentence": "; ".join(
                    f"{reason['column']}: {reason['value']:+.3g} spreads from normal ({reason['share']:+.0%})"
                    for reason in one["reasons"]
                ),
            }
            for one in value["causes"][:TOLD]
        ]
        columns = {"cause": "Cause", "probability": "Probability", "sentence": "Why"}
        table(rows, columns, "No cause is known.")
        out.print(f"Version {value['version']}.")

    answer(found, as_json, draw)


@incidents_app.command("record")
def incidents_record(
    title: Annotated[str, typer.Argument(help="What happened")],
    onset: Annotated[str, typer.Option(help="When it began; UTC where no zone is given")],
    severity: Annotated[str, typer.Option(help="low, medium, high or critical")] = "high",
    ended: Day = None,
    service: Where = None,
    region: Where = None,
    description: Annotated[str, typer.Option(help="What is known of it")] = "",
    key: Annotated[str, typer.Option(help="What you call it")] = "",
    domain: DomainName = "services",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Note an incident by hand."""
    asked = {
        "title": title,
        "severity": severity,
        "onset": moment(onset),
        "ended_at": moment(ended),
        "services": service or [],
        "regions": region or [],
        "description": description,
        "key": key,
        "domain": domain,
    }
    kept = ask(incidents.RecordIncident.model_validate(asked), tenant)

    def draw(value: Mapping[str, Any]) -> None:
        word = "Recorded" if value["created"] else "Known already"
        out.print(f"{word}: incident {value['incident']['id']}, {value['incident']['title']}.")
        for warning in value["warnings"]:
            out.print(f"Warning: {warning}.")

    answer(kept, as_json, draw)


@incidents_app.command("edit")
def incidents_edit(
    identity: Identity,
    title: Annotated[str | None, typer.Option(help="What happened")] = None,
    description: Annotated[str | None, typer.Option(help="What is known of it")] = None,
    severity: Annotated[str | None, typer.Option(help="low, medium, high or critical")] = None,
    service: Instead = None,
    region: Instead = None,
    onset: Day = None,
    ended: Day = None,
    version: Annotated[int | None, typer.Option(help="The one you saw; another refuses")] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Correct what is said of an incident; what is not named stays."""
    asked = {
        "id": identity,
        "title": title,
        "description": description,
        "severity": severity,
        "services": service,
        "regions": region,
        "onset": moment(onset),
        "ended_at": moment(ended),
        "version": version,
    }
    kept = ask(incidents.EditIncident.model_validate(asked), tenant)
    answer(
        kept,
        as_json,
        lambda row: out.print(f"Corrected: {row['id']}, {row['title']}. `undo` takes it back."),
    )


@incidents_app.command("similar")
def incidents_similar(
    identity: Identity,
    limit: Annotated[int, typer.Option(help="How many at most")] = 5,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Past incidents like this one, with what people said of them."""
    found = ask(incidents.SimilarIncidents(id=identity, limit=limit), tenant)
    columns = {
        "id": "Incident",
        "alike": "Alike",
        "title": "Title",
        "judged_as": "Cause",
        "onset": "Onset",
        "message": "Why",
    }

    def draw(value: Mapping[str, Any]) -> None:
        rows = [
            row["incident"]
            | {"judged_as": row["judged_as"], "message": row["why"]}
            | {"alike": f"{row['similarity']:.0%}"}
            for row in value["similar"]
        ]
        table(rows, columns, "No past incident is like it.")

    answer(found, as_json, draw)


@incidents_app.command("comment")
def incidents_comment(
    identity: Identity,
    text: Annotated[str, typer.Argument(help="What to say")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Leave a comment on an incident."""
    kept = ask(incidents.CommentIncident(id=identity, text=text), tenant)
    answer(kept, as_json, lambda _: out.print(f"Comment kept on incident {identity}."))


@incidents_app.command("import")
def incidents_import(
    path: Sheet, domain: DomainName = "services", tenant: Tenant = None, as_json: Json = False
) -> None:
    """Take in a CSV: title, severity, started_at; id, description, ended_at, services, regions. Exit 1 on refusals."""
    _import(incidents.ImportIncidents, path, domain, tenant, as_json)


@changes_app.command("import")
def changes_import(
    path: Sheet, domain: DomainName = "services", tenant: Tenant = None, as_json: Json = False
) -> None:
    """Take in a CSV: at, kind, title; entity, detail, ended_at, id. Exit 1 on refusals."""
    _import(incidents.ImportChanges, path, domain, tenant, as_json)


@changes_app.command("list")
def changes_list(
    start: Day = None,
    end: Day = None,
    entity: Annotated[str | None, typer.Option(help="Only to this, as it was told")] = None,
    limit: Annotated[int, typer.Option(help="The latest so many")] = 50,
    domain: DomainName = "services",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """What was done, earliest first."""
    asked = {
        "start": moment(start),
        "end": moment(end),
        "entity": entity,
        "limit": limit,
        "domain": domain,
    }
    found = ask(incidents.Changes.model_validate(asked), tenant)
    columns = {
        "id": "Change",
        "at": "At",
        "kind": "Kind",
        "entity": "Entity",
        "title": "Title",
        "source": "Source",
    }
    answer(found, as_json, lambda value: table(value["changes"], columns, "No changes."))


@changes_app.command("record")
def changes_record(
    title: Annotated[str, typer.Argument(help="What was done")],
    at: Annotated[str, typer.Option(help="When; UTC where no zone is given")],
    kind: Annotated[str, typer.Option(help=", ".join(CHANGE_KINDS))] = "deploy",
    entity: Annotated[str, typer.Option(help="To what, e.g. service:cart")] = "",
    detail: Annotated[str, typer.Option(help="More of it")] = "",
    key: Annotated[str, typer.Option(help="What you call it")] = "",
    domain: DomainName = "services",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Note that something was done to the system."""
    asked = {
        "title": title,
        "at": moment(at),
        "kind": kind,
        "entity": entity,
        "detail": detail,
        "key": key,
        "domain": domain,
    }
    kept = ask(incidents.RecordChange.model_validate(asked), tenant)
    answer(kept, as_json, lambda row: out.print(f"Recorded: change {row['id']}, {row['title']}."))


def _import(
    operation: type[Operation], path: Path, domain: str, tenant: str | None, as_json: bool
) -> None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path.name} must be CSV in UTF-8: {error}") from None
    asked = {"csv": text, "file": path.name, "domain": domain}
    report = ask(operation.model_validate(asked), tenant, "Importing")
    answer(report, as_json, _draw_import)
    if report["refused"]:
        raise typer.Exit(1)


def _draw(rows: list[dict[str, Any]], empty: str) -> None:
    shown = [row | {"services": _few(row["services"]), "began": row["onset"]} for row in rows]
    # what no incident has gives its room to the titles
    columns = {
        key: heading
        for key, heading in LISTED.items()
        if any(row[key] not in (None, "") for row in shown)
    }
    table(shown, columns, empty)


def _few(names: list[str]) -> str:
    more = f" +{len(names) - 2}" if len(names) > 2 else ""
    return ", ".join(name.rpartition(":")[2] for name in names[:2]) + more


def _draw_import(report: Mapping[str, Any]) -> None:
    for cell in report["refused"][:20]:
        place = f"{cell['file']} line {cell['line']}, {cell['column']}"
        out.print(f"refused  {place} must be {cell['rule']}. Got {cell['value']!r}.")
    if len(report["refused"]) > 20:
        out.print(f"… and {len(report['refused']) - 20:,} more refused; see them with --json.")
    for note in report["notes"]:
        out.print(f"Note: {note}.")
    out.print(
        f"{report['new']:,} new, {report['updated']:,} updated, "
        f"{report['unchanged']:,} known already, {len(report['refused']):,} refused."
    )
