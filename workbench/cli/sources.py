"""`headwater sources` and `headwater metrics`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.asking import Tenant, ask
from workbench.operations import sources as ask_for
from workbench.terminal import Json, answer, facts, table

sources_app = typer.Typer(help="Where metrics are fetched from.", no_args_is_help=True)
metrics_app = typer.Typer(help="What is measured.", no_args_is_help=True)
Services = Annotated[str, typer.Option(help="services")]
Name = Annotated[str, typer.Argument(help="Its name")]


@sources_app.command("add")
def add(
    name: Name,
    url: Annotated[str, typer.Argument(help="Address of the Prometheus, e.g. http://host:9090")],
    domain: Services = "services",
    step: Annotated[int | None, typer.Option(help="Seconds between two values")] = None,
    since: Annotated[
        float | None, typer.Option(help="Hours that the first fetch goes back")
    ] = None,
    matching: Annotated[
        str | None, typer.Option(help='Label matchers put into every query, e.g. cluster="eu"')
    ] = None,
    include: Annotated[
        str | None, typer.Option(help="Metrics to fetch, a regular expression")
    ] = None,
    exclude: Annotated[
        str | None, typer.Option(help="Metrics to leave, a regular expression")
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(help="A metric of your own, metric=PromQL; {by} and {window} are filled in"),
    ] = None,
    token_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds a bearer token")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="JSON with all of this and labels, calls, quantiles", exists=True),
    ] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Add a Prometheus; it is asked who it is, and fetched from every five minutes while the server runs."""
    told = {
        "step_seconds": step,
        "since_hours": since,
        "matching": matching,
        "include": include,
        "exclude": exclude,
        "token_env": token_env,
        "queries": dict(_pair(text) for text in query or ()) or None,
    }
    asked = _plan(plan) | {key: value for key, value in told.items() if value is not None}
    operation = ask_for.AddSource(name=name, url=url, domain=domain, plan=asked)
    answer(ask(operation, tenant), as_json, facts)


def _plan(path: Path | None) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except ValueError as error:
        raise typer.BadParameter(f"--plan must be JSON. {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"--plan must be one JSON object. Got {found!r}.")
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, promql = text.partition("=")
    if not (name.strip() and equals and promql.strip()):
        raise typer.BadParameter(f"--query must be metric=PromQL. Got {text!r}.")
    return name.strip(), promql.strip()


@sources_app.command("list")
def listing(tenant: Tenant = None, as_json: Json = False) -> None:
    """Sources, and up to when each was fetched."""
    columns = {
        "name": "Source",
        "kind": "Kind",
        "url": "Address",
        "until": "Fetched to",
        "fetched_at": "Last fetch",
        "error": "Problem",
    }
    empty = "No source yet: headwater sources add NAME URL"
    answer(
        {"sources": ask(ask_for.Sources(), tenant)},
        as_json,
        lambda value: table(value["sources"], columns, empty),
    )


@sources_app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="Its name; all when absent")] = "",
    domain: Services = "services",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Fetch what is new, going on where the last fetch was; exit 1 if a source failed."""
    found = ask(ask_for.FetchSources(name=name, domain=domain), tenant, "Fetching")
    answer({"sources": found}, as_json, _draw_fetch)
    if any(report["error"] for report in found):
        raise typer.Exit(1)


def _draw_fetch(value: Mapping[str, Any]) -> None:
    columns = {
        "name": "Source",
        "spans": "Spans",
        "samples": "New samples",
        "until": "Fetched to",
        "error": "Problem",
    }
    table(value["sources"], columns, "No source yet: headwater sources add NAME URL")
    failed = [
        {"name": report["name"], "metric": metric, "why": why}
        for report in value["sources"]
        for metric, why in report["failed"].items()
    ]
    if failed:
        table(failed, {"name": "Source", "metric": "Not understood", "why": "Why"}, "")


@sources_app.command("remove")
def remove(
    name: Name, domain: Services = "services", tenant: Tenant = None, as_json: Json = False
) -> None:
    """Fetch no more from a source; what it brought stays."""
    answer(ask(ask_for.RemoveSource(name=name, domain=domain), tenant), as_json, facts)


@metrics_app.command("list")
def metrics_list(
    entity: Annotated[str, typer.Option(help="Only those of one entity, e.g. service:cart")] = "",
    domain: Services = "services",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """What is measured, with unit and bad direction, and who says so."""
    columns = {
        "name": "Metric",
        "unit": "Unit",
        "bad": "Hurts",
        "said_by": "Said by",
        "entities": "Entities",
        "interval_seconds": "Every s",
        "last": "To",
    }
    found = ask(ask_for.Metrics(domain=domain, entity=entity), tenant)
    empty = (
        "Nothing measured yet: headwater import PATH --domain services, or headwater sources add"
    )
    answer({"metrics": found}, as_json, lambda value: table(value["metrics"], columns, empty))


@metrics_app.command("declare")
def metrics_declare(
    metric: Annotated[str, typer.Argument(help="Its name")],
    label: Annotated[str | None, typer.Option(help="What people call it")] = None,
    unit: Annotated[str | None, typer.Option(help="Its unit")] = None,
    bad: Annotated[int | None, typer.Option(help="1 a rise hurts, -1 a fall, 0 either")] = None,
    nature: Annotated[str | None, typer.Option(help="gauge, counter or histogram")] = None,
    domain: Services = "services",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Say what a metric is; your word stands above file, source and name."""
    told = {"metric": metric, "label": label, "unit": unit, "bad": bad, "nature": nature}
    operation = ask_for.DeclareMetric.model_validate(told | {"domain": domain})
    answer(ask(operation, tenant), as_json, facts)
