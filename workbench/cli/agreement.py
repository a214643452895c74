"""`headwater labels queue|agreement|adjudicate|suspects|export`: what people are asked, and how far they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from workbench.cli.asking import DomainName, Note, Tenant, ask
from workbench.operations import agreement as ask_for
from workbench.terminal import Json, answer, out, table

Aspect = Literal["answer", "disposition", "cause", "component"]


def labels_queue(
    fill: Annotated[
        int | None, typer.Option(min=1, max=2000, help="First fill it up to so many items")
    ] = None,
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """What waits to be labelled, and why each; `--fill` asks for more."""
    filled = None
    if fill is not None:
        filled = ask(ask_for.FillQueue(domain=domain, size=fill), tenant, "Filling the queue")
    value = ask(ask_for.LabelQueue(domain=domain), tenant)
    answer(value if filled is None else {**value, "filled": filled}, as_json, _draw_queue)


def _draw_queue(value: Mapping[str, Any]) -> None:
    columns = {
        "id": "Item",
        "slice": "Slice",
        "title": "What",
        "parts": "Why",
        "wanted": "People",
        "leased_by": "With",
    }
    items = [
        {**item, "title": item["title"] or f"{item['subject_kind']} {item['subject_id']}"}
        | {"parts": item["reason"]}
        for item in value["items"]
    ]
    table(items, columns, "Nothing waits. Fill it: headwater labels queue --fill 100")
    if items:
        mix = Counter(item["slice"] for item in items)
        out.print(", ".join(f"{count} {name}" for name, count in mix.most_common()))
    if told := value["precision"]["statement"]:
        out.print(told)


def labels_agreement(
    aspect: Annotated[Aspect, typer.Option(help="What of a label is compared")] = "answer",
    every: Annotated[
        bool, typer.Option("--all", help="Also what was not judged blind by both")
    ] = False,
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """How far people agree, beyond what chance would give."""
    asked = ask_for.LabelAgreement(domain=domain, aspect=aspect, which="all" if every else None)
    answer(ask(asked, tenant), as_json, _draw_agreement)


FIGURES = {
    "percent": "Agreement",
    "cohen": "Cohen's kappa",
    "fleiss": "Fleiss' kappa",
    "alpha": "Krippendorff's alpha",
}


def _draw_agreement(value: Mapping[str, Any]) -> None:
    if not value["items"]:
        out.print("Nothing was judged by two people yet.")
        return
    out.print(value["statement"])
    rows = [{"figure": FIGURES[name], **value["figures"][name]} for name in FIGURES]
    table(rows, {"figure": "Figure", "value": "Value", "low": "From", "high": "To"}, "")
    out.print(
        f"{value['items']} things judged by several of {value['people']} people ({value['which']}); "
        f"distance {value['distance']}."
    )
    people = {
        "first": "Person",
        "second": "And",
        "units": "Things",
        "percent": "Agree",
        "kappa": "Kappa",
    }
    table(value["pairs"], people, "")
    confused = {"first": "Taken for each other", "second": "And", "times": "Times"}
    table(value["confusions"], confused, "No two answers were taken for each other.")
    table(
        value["gold"],
        {"by": "Person", "right": "Known answers right", "asked": "Of"},
        "No known answers were asked yet.",
    )


def labels_suspects(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many")] = 20,
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Labels that are probably wrong, the worst first."""
    columns = {
        "label_id": "Label",
        "title": "What",
        "labelled_by": "By",
        "said": "Says",
        "likely": "Models say",
        "quality": "Quality",
        "flagged": "Suspect",
    }

    def draw(value: Mapping[str, Any]) -> None:
        table(value["labels"], columns, value["why"])

    answer(ask(ask_for.SuspectLabels(domain=domain, limit=limit), tenant), as_json, draw)


def labels_adjudicate(
    subject: Annotated[
        str, typer.Argument(help="incident/12 or alert/7; all that wait when absent")
    ] = "",
    label: Annotated[int | None, typer.Option(help="The label that is right")] = None,
    disposition: Annotated[str, typer.Option(help="Or a verdict of your own")] = "",
    cause: Annotated[list[str] | None, typer.Option(help="Its cause")] = None,
    component: Annotated[str, typer.Option(help="Where it started")] = "",
    confidence: Annotated[Literal["high", "medium", "low"], typer.Option()] = "high",
    note: Note = "",
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Disagreements side by side; with a subject, settle it. Nobody settles what they judged themselves."""
    waiting = ask(ask_for.LabelDisputes(domain=domain), tenant)
    if not subject:
        answer(waiting, as_json, _draw_disputes)
        return
    kinds = {"incident": ask_for.AdjudicateIncident, "alert": ask_for.AdjudicateAlert}
    kind, _, number = subject.partition("/")
    if kind not in kinds or not number.isdigit():
        raise typer.BadParameter(f"must be incident/NUMBER or alert/NUMBER. Got {subject!r}.")
    if (label is None) == (not disposition):
        raise typer.BadParameter("must name either --label or --disposition.")
    held = [
        dispute
        for dispute in waiting["disputes"]
        if (dispute["subject_kind"], dispute["subject_id"]) == (kind, int(number))
    ]
    seen = [side["label_id"] for dispute in held for side in dispute["sides"]]
    asked = kinds[kind](
        id=int(number),
        seen=seen,
        label=label,
        disposition=disposition or "real",
        causes=cause or [],
        component=component,
        confidence=confidence,
        note=note,
    )
    answer(
        ask(asked, tenant),
        as_json,
        lambda kept: out.print(f"Label {kept['id']} settles {kind} {number}."),
    )


def _draw_disputes(value: Mapping[str, Any]) -> None:
    rows = [
        {
            "subject": f"{dispute['subject_kind']}/{dispute['subject_id']}" if not place else "",
            "title": dispute["title"] if not place else "",
            "label": side["label_id"],
            "by": side["by"],
            "says": side["says"],
            "yours": "yours, ask somebody else" if dispute["own"] and not place else "",
        }
        for dispute in value["disputes"]
        for place, side in enumerate(dispute["sides"])
    ]
    columns = {
        "subject": "Subject",
        "title": "What",
        "label": "Label",
        "by": "By",
        "says": "Says",
        "yours": "",
    }
    table(rows, columns, "Nothing waits for adjudication.")


def labels_export(
    file: Annotated[Path, typer.Argument(help="CSV to write")],
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Every label that stands, as a CSV file."""
    text = ask(ask_for.ExportLabels(domain=domain), tenant)["csv"]
    file.write_text(text)
    rows = text.count("\n") - 1
    answer(
        {"file": str(file), "labels": rows},
        as_json,
        lambda _: out.print(f"{rows:,} labels in {file}."),
    )


COMMANDS = {
    "queue": labels_queue,
    "agreement": labels_agreement,
    "adjudicate": labels_adjudicate,
    "suspects": labels_suspects,
    "export": labels_export,
}
