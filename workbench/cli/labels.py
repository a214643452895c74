"""`headwater labels`: what people said, the queue that asks them, and the words they may use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.asking import DomainName, Identity, Tenant, ask
from workbench.operations import labels
from workbench.requests import Change
from workbench.sheets import LABELLING
from workbench.terminal import Json, answer, out, table

labels_app = typer.Typer(
    help="Labels: what people say of alerts and incidents.", no_args_is_help=True
)
Pairs = Annotated[list[str] | None, typer.Option(metavar="NAME=…")]


@labels_app.command("list")
def labels_list(
    by: Annotated[str, typer.Option(help="Only those of this person")] = "",
    limit: Annotated[int, typer.Option(help="How many at most")] = 50,
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Labels that stand, newest first."""
    columns = {
        "id": "Label",
        "labelled_by": "By",
        "labelled_at": "At",
        "subject": "What",
        "entity": "Entity",
        "disposition": "Disposition",
        "cause": "Cause",
        "component": "Component",
        "confidence": "Confidence",
    }
    found = ask(labels.Labels(domain=domain, by=by, limit=limit), tenant)

    def draw(value: Mapping[str, Any]) -> None:
        told = value["words"]
        rows = [
            row
            | {
                "subject": _subject(row),
                "cause": " + ".join(
                    told[cause] for cause in row["causes"] or [row["cause"]] if cause
                ),
            }
            for row in value["labels"]
        ]
        table(rows, columns, f"No labels of {domain} yet.")

    answer(found, as_json, draw)


@labels_app.command("next")
def labels_next(domain: DomainName = "ads", tenant: Tenant = None, as_json: Json = False) -> None:
    """The next item of the queue, yours for ten minutes."""
    _tell_item(ask(labels.NextItem(domain=domain), tenant), as_json)


@labels_app.command("submit")
def labels_submit(
    identity: Identity,
    disposition: Annotated[
        str, typer.Argument(help="real, expected, data_error, duplicate or unsure")
    ],
    cause: Annotated[
        list[str] | None, typer.Option(help="A cause of the taxonomy; several where it allows")
    ] = None,
    component: Annotated[str, typer.Option(help="A node of the graph")] = "",
    missing: Annotated[str, typer.Option(help="A component that the graph lacks")] = "",
    confidence: Annotated[str, typer.Option(help="high, medium or low")] = "high",
    note: Annotated[str, typer.Option(help="Kept with the label")] = "",
    seen: Annotated[int, typer.Option(help="`seen` of the item")] = 0,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Say what an item was, and take the next one."""
    asked = labels.SubmitLabel.model_validate(
        {
            "id": identity,
            "disposition": disposition,
            "causes": cause or [],
            "component": component,
            "missing": missing,
            "confidence": confidence,
            "note": note,
            "seen": seen,
        }
    )

    def draw(value: Mapping[str, Any]) -> None:
        out.print(f"Kept as label {value['label']['id']}. `labels undo` takes it back.")
        _draw_item(value["next"])

    answer(ask(asked, tenant), as_json, draw)


@labels_app.command("skip")
def labels_skip(
    identity: Identity,
    reason: Annotated[str, typer.Argument(help="Why it is put aside")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Put an item aside for half an hour."""
    _tell_item(ask(labels.SkipItem(id=identity, reason=reason), tenant), as_json)


@labels_app.command("undo")
def labels_undo(domain: DomainName = "ads", tenant: Tenant = None, as_json: Json = False) -> None:
    """Take back your last label or skip."""
    _tell_item(ask(labels.UndoLabel(domain=domain), tenant), as_json)


@labels_app.command("progress")
def labels_progress(
    domain: DomainName = "ads", tenant: Tenant = None, as_json: Json = False
) -> None:
    """How far you are today, how fast, and whether the causes are out of balance."""
    answer(ask(labels.LabelProgress(domain=domain), tenant), as_json, LABELLING.draw)


@labels_app.command("import")
def labels_import(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    domain: DomainName = "services",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Take in a CSV of labels: incident_id, annotator, root_cause; component, confidence, at, note."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path.name} must be text in UTF-8. Got {error}.") from error
    brought = ask(labels.ImportLabels(csv=text, file=path.name, domain=domain), tenant)

    def draw(value: Mapping[str, Any]) -> None:
        out.print(f"{value['new']:,} new, {value['unchanged']:,} known already.")
        columns = {"line": "Line", "column": "What", "value": "Value", "rule": "Must be"}
        if value["refused"]:
            table(value["refused"], columns, "")

    answer(brought, as_json, draw)
    if brought["refused"]:
        raise typer.Exit(1)


@labels_app.command("taxonomy")
def labels_taxonomy(
    add: Pairs = None,
    rename: Pairs = None,
    merge: Pairs = None,
    retire: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None,
    restore: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None,
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """The words of a domain; with changes, its next version: --add NAME=LABEL, --merge NAME=INTO and so on."""
    changes = [
        *(_pair(text, "add", "label") for text in add or ()),
        *(_pair(text, "rename", "label") for text in rename or ()),
        *(Change(verb="retire", name=name) for name in retire or ()),
        *(Change(verb="restore", name=name) for name in restore or ()),
        *(_pair(text, "merge", "into") for text in merge or ()),
    ]
    if changes:
        shown = {"taxonomy": ask(labels.EditTaxonomy(changes=changes, domain=domain), tenant)}
    else:
        shown = ask(labels.ShowTaxonomy(domain=domain), tenant)

    def draw(value: Mapping[str, Any]) -> None:
        found = value["taxonomy"]
        several = "several at a time" if found["several"] else "one at a time"
        out.print(f"Version {found['number']} of {found['domain']}: causes, {several}.")
        columns = {"key": "Key", "name": "Name", "label": "Label", "merged_into": "Merged into"}
        table(found["causes"], columns, "")

    answer(shown, as_json, draw)


@labels_app.command("components")
def labels_components(
    accept: Annotated[int | None, typer.Option(help="Make this one a node of the graph")] = None,
    dismiss: Annotated[int | None, typer.Option(help="Not one, or no longer")] = None,
    domain: DomainName = "services",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Components that people missed in the graph while labelling; with a decision, what came of it."""
    for number, decision in ((accept, "accepted"), (dismiss, "dismissed")):
        if number is not None:
            asked = {"id": number, "state": decision}
            ask(labels.DecideNode.model_validate(asked), tenant)
    columns = {
        "id": "Component",
        "state": "State",
        "title": "Name",
        "parent": "Missed at",
        "proposed_by": "By",
        "at": "At",
        "decided_by": "Decided by",
    }

    def draw(value: Mapping[str, Any]) -> None:
        rows = [{**row, "title": row["name"]} for row in (*value["proposals"], *value["accepted"])]
        table(rows, columns, f"Nobody missed a component of {domain}.")

    answer(ask(labels.NodeProposals(domain=domain), tenant), as_json, draw)


def _pair(text: str, verb: str, field: str) -> Change:
    name, found, value = text.partition("=")
    if not found:
        raise typer.BadParameter(f"must read NAME={field.upper()}. Got {text!r}.")
    return Change.model_validate({"verb": verb, "name": name.strip(), field: value.strip()})


def _subject(row: Mapping[str, Any]) -> str:
    """What was judged, as `labels adjudicate` takes it; an entity's own label has neither."""
    kinds = [kind for kind in ("incident", "alert") if row[f"{kind}_id"]]
    return f"{kinds[0]}/{row[f'{kinds[0]}_id']}" if kinds else ""


def _tell_item(found: Mapping[str, Any], as_json: bool) -> None:
    answer(found, as_json, lambda value: _draw_item(value["item"]))


def _draw_item(item: Mapping[str, Any] | None) -> None:
    if item is None:
        out.print("Nothing waits for you. Ask for more: headwater labels queue --fill 100")
        return
    until = f", yours until {item['until'][11:16]} UTC" if item["until"] else ""
    out.print(f"Item {item['id']}: {item['subject_kind']} {item['subject_id']}{until}.")
    out.print(f"Asked because: {item['reason']}" if item["reason"] else "")
