"""`headwater alerts` and `headwater incidents`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from workbench.cli.asking import DomainName, Identity, Note, Tenant, ask
from workbench.operations import Operation, anomaly, incidents
from workbench.sheets import ALERT, INCIDENT, Sheet
from workbench.terminal import Json, answer, out, table

alerts_app = typer.Typer(help="Alerts and what people did with them.", no_args_is_help=True)
incidents_app = typer.Typer(help="Incidents, whoever told them.", no_args_is_help=True)


@alerts_app.command("list")
def alerts_list(
    severity: Annotated[str | None, typer.Option(help="low, medium, high or critical")] = None,
    status: Annotated[str | None, typer.Option(help="open, acknowledged or resolved")] = None,
    level: Annotated[str | None, typer.Option(help="Only this level, e.g. campaign")] = None,
    text: Annotated[str | None, typer.Option(help="Part of a name")] = None,
    muted: Annotated[bool, typer.Option(help="Also those under an incident")] = False,
    after: Annotated[str | None, typer.Option(help="`next` of the page before")] = None,
    limit: Annotated[int, typer.Option(help="How many at most")] = 50,
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Active alerts, worst first."""
    found = ask(
        anomaly.ActiveAlerts.model_validate(
            {
                "domain": domain,
                "severity": severity,
                "status": status,
                "level": level,
                "text": text,
                "muted": muted,
                "after": after,
                "limit": limit,
            }
        ),
        tenant,
    )
    columns = {
        "id": "Alert",
        "severity": "Severity",
        "level": "Level",
        "entity_name": "Entity",
        "onset": "Onset",
        "status": "Status",
        "sentence": "What",
    }
    answer(found, as_json, lambda value: table(value["alerts"], columns, "No active alerts."))


def _on_one(operation: type[Operation], sheet: Sheet | None) -> Callable[..., None]:
    """A command that shows what has this id on a sheet, or changes it, with a note, and says what came of it."""

    def show(identity: Identity, tenant: Tenant = None, as_json: Json = False) -> None:
        drawn = sheet.draw if sheet else draw
        answer(ask(operation.model_validate({"id": identity}), tenant), as_json, drawn)

    def draw(record: Mapping[str, Any]) -> None:
        about = record.get("title") or record["entity_name"]
        out.print(
            f"{record['status'].capitalize()}: {record['id']}, {about}. `undo` takes it back."
        )

    def change(
        identity: Identity, note: Note = "", tenant: Tenant = None, as_json: Json = False
    ) -> None:
        arguments = {"id": identity, "note": note}
        answer(ask(operation.model_validate(arguments), tenant), as_json, draw)

    return change if "note" in operation.model_fields else show


for group, verb, operation, sheet in (
    (alerts_app, "show", anomaly.ShowAlert, ALERT),
    (alerts_app, "ack", anomaly.AcknowledgeAlert, None),
    (alerts_app, "resolve", anomaly.ResolveAlert, None),
    (alerts_app, "reopen", anomaly.ReopenAlert, None),
    (incidents_app, "show", incidents.ShowIncident, INCIDENT),
    (incidents_app, "ack", incidents.AcknowledgeIncident, None),
    (incidents_app, "resolve", incidents.ResolveIncident, None),
    (incidents_app, "reopen", incidents.ReopenIncident, None),
    (incidents_app, "part", incidents.PartIncident, None),
):
    group.command(verb, help=operation.__doc__)(_on_one(operation, sheet))


@alerts_app.command("comment")
def alerts_comment(
    identity: Identity,
    text: Annotated[str, typer.Argument(help="What to say")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Leave a comment on an alert."""
    kept = ask(anomaly.CommentAlert(id=identity, text=text), tenant)
    answer(kept, as_json, lambda _: out.print(f"Comment kept on alert {identity}."))


@alerts_app.command("undo")
@incidents_app.command("undo")
def undo(
    audit: Annotated[
        int | None, typer.Argument(help="Entry of the audit; your last action when absent")
    ] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Undo your last action."""

    def draw(event: Mapping[str, Any]) -> None:
        what = f"{event['object_kind']} {event['object_id']}"
        out.print(f"Undid a change of {what}. `undo {event['id']}` brings it back.")

    answer(ask(anomaly.Undo(audit_id=audit), tenant), as_json, draw)
