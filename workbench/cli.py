"""The command line: the same operations as the API, plus what only makes sense on this machine.

Answers go to stdout (a table, or one JSON object with `--json`), progress and errors to stderr;
exit 0 = done, 1 = failed or something was refused, 2 = wrong usage.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from core.contracts import OnStep
from core.errors import HeadwaterError
from workbench import client
from workbench import operations as ask_for
from workbench.cli_evaluate import evaluate_app
from workbench.settings import Settings
from workbench.terminal import Json, answer, err, facts, out, progress, table

app = typer.Typer(
    help="Headwater traces an anomaly to its source.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
batches_app = typer.Typer(help="Imported batches.", no_args_is_help=True)
alerts_app = typer.Typer(help="Alerts and what people did with them.", no_args_is_help=True)
incidents_app = typer.Typer(help="Incidents: alerts that share a root.", no_args_is_help=True)
simulate_app = typer.Typer(
    help="Worlds with known truth, as files a user would have.", no_args_is_help=True
)
models_app = typer.Typer(help="Model versions.", no_args_is_help=True)
tokens_app = typer.Typer(help="Bearer tokens of the API.", no_args_is_help=True)
for name, group in (
    ("batches", batches_app),
    ("alerts", alerts_app),
    ("incidents", incidents_app),
    ("simulate", simulate_app),
    ("models", models_app),
    ("tokens", tokens_app),
    ("evaluate", evaluate_app),
):
    app.add_typer(group, name=name)

Tenant = Annotated[str | None, typer.Option(help="Tenant; the configured one when absent")]
DomainName = Annotated[str, typer.Option(help="ads")]
Identity = Annotated[int, typer.Argument(help="Its number")]
Note = Annotated[str, typer.Option(help="Kept as a comment")]


# ── Running ──────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    """Entry point of `headwater`."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app(standalone_mode=True)
    except HeadwaterError as error:
        err.print(f"[bold red]{error.message}[/]", highlight=False)
        if error.hint:
            err.print(f"Hint: {error.hint}", highlight=False)
        sys.exit(1)
    except ValidationError as error:
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            err.print(
                f"headwater: {place}: {item['msg']}. Got {item.get('input')!r}.", highlight=False
            )
        sys.exit(2)


def ask(operation: ask_for.Operation, tenant: str | None = None, title: str = "Working") -> Any:
    """Ask in process or through the server, with a progress bar."""
    with progress(title) as on_step:
        return client.ask(operation, Settings(), tenant=tenant, on_step=on_step)


def moment(text: str | None) -> datetime | None:
    """A day or time of an option, as a UTC instant."""
    try:
        return ask_for.instant(text)
    except ValueError:
        rule = "must be a day or a time such as 2026-03-10 or 2026-03-10T06:00"
        raise typer.BadParameter(f"{rule}. Got {text!r}.") from None


# ── Data ─────────────────────────────────────────────────────────────────────────────────────────


@simulate_app.command("ads")
def simulate_ads(
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder to write; must be empty or absent")
    ],
    size: Annotated[str, typer.Option(help="S, M, L or XL")] = "S",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes")] = 7,
    world: Annotated[str, typer.Option(help="A, B or C")] = "A",
    as_json: Json = False,
) -> None:
    """Write an ads account as Amazon's report files, plus truth/."""
    from data.simulate.ads import simulate_ads as simulate

    with progress("Simulating") as on_step:
        summary = simulate(out_dir, size=size, seed=seed, world=world, on_step=_two(on_step))
    answer(summary, as_json, facts)


@simulate_app.command("eventlog")
def simulate_eventlog(
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder to write; must be empty or absent")
    ],
    size: Annotated[str, typer.Option(help="S, M, L or XL")] = "S",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes")] = 7,
    as_json: Json = False,
) -> None:
    """Write the event log of a buying process as a CSV file, plus truth/."""
    from data.simulate.eventlog import simulate_eventlog as simulate

    with progress("Simulating") as on_step:
        summary = simulate(out_dir, size=size, seed=seed, on_step=_two(on_step))
    answer(summary, as_json, facts)


def _two(on_step: OnStep) -> Callable[[str, float], None]:
    return lambda stage, share: on_step(stage, share, {}) and None


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders", exists=True)],
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_of: Annotated[str | None, typer.Option(help="When the files were downloaded")] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            help='JSON: {"entity": column, "level": level, "time": column, "metrics": {column: metric}}',
            exists=True,
        ),
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Profile id, where no file tells")] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would happen")] = False,
    as_json: Json = False,
) -> None:
    """Import report files; exit 1 if anything was refused in a dry run or nothing could be read."""
    report = ask(
        ask_for.Import(
            paths=[path.resolve() for path in paths],
            domain=domain,
            as_of=moment(as_of),
            mapping=mapping and mapping.resolve(),
            profile=profile,
            dry_run=dry_run,
        ),
        tenant,
        "Importing",
    )
    answer(report, as_json, _draw_import)
    if report["failed"] or not report["files"] or (dry_run and report["refused"]):
        raise typer.Exit(1)


def _draw_import(report: Mapping[str, Any]) -> None:
    columns = {
        "file": "File",
        "format": "Format",
        "batch": "Batch",
        "rows": "Rows",
        "new": "New",
        "duplicates": "Duplicates",
        "refused": "Refused",
        "message": "",
    }
    table(report["files"], columns, "Nothing to import here.")
    cells = [row for row in report["quarantine"] if row["line"]]  # the rest are whole files
    for row in cells[:20]:
        out.print(
            f"refused  {row['file']} line {row['line']}, {row['column']}: {row['rule']}. Got {row['value']!r}."
        )
    hidden = report["refused"] - min(20, len(cells))
    if hidden > 0:
        out.print(f"… and {hidden:,} more refused; see them all with --json or on the Data page.")
    out.print(f"{report['new']:,} new rows, {report['refused']:,} refused.")


@batches_app.command("list")
def batches_list(tenant: Tenant = None, as_json: Json = False) -> None:
    """Imported batches, newest first."""
    columns = {
        "id": "Batch",
        "source": "File",
        "format": "Format",
        "as_of": "As of",
        "rows": "Rows",
        "state": "State",
    }
    found = ask(ask_for.Batches(), tenant)
    answer(
        {"batches": found},
        as_json,
        lambda value: table(
            value["batches"], columns, "Nothing imported yet: headwater import PATH"
        ),
    )


@batches_app.command("undo")
def batches_undo(batch: Identity, tenant: Tenant = None, as_json: Json = False) -> None:
    """Take a batch back."""
    answer(ask(ask_for.UndoBatch(id=batch), tenant), as_json, facts)


# ── Detection ────────────────────────────────────────────────────────────────────────────────────


@app.command()
def detect(
    domain: DomainName = "ads",
    tenant: Tenant = None,
    level: Annotated[str | None, typer.Option(help="Only this level, e.g. campaign")] = None,
    profile: Annotated[str | None, typer.Option(help="Only this profile")] = None,
    detector: Annotated[
        str, typer.Option(help="ensemble, lstm, streaming, isolation-forest, …")
    ] = "ensemble",
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


# ── Alerts and incidents ─────────────────────────────────────────────────────────────────────────


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
        ask_for.ActiveAlerts.model_validate(
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


@incidents_app.command("list")
def incidents_list(
    status: Annotated[str | None, typer.Option(help="open, acknowledged or resolved")] = None,
    limit: Annotated[int, typer.Option(help="How many at most")] = 50,
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Incidents, worst first."""
    found = ask(
        ask_for.Incidents.model_validate({"domain": domain, "status": status, "limit": limit}),
        tenant,
    )
    columns = {
        "id": "Incident",
        "severity": "Severity",
        "title": "Title",
        "root_name": "Root",
        "root_level": "Level",
        "onset": "Onset",
        "alerts": "Alerts",
        "status": "Status",
    }
    answer(found, as_json, lambda value: table(value["incidents"], columns, "No incidents."))


def _on_one(operation: type[ask_for.Operation], with_note: bool) -> Callable[..., None]:
    """A command that shows what has this id, or changes it, with a note, and says what came of it."""

    def plain_act(identity: Identity, tenant: Tenant = None, as_json: Json = False) -> None:
        answer(ask(operation.model_validate({"id": identity}), tenant), as_json, facts)

    def draw(record: Mapping[str, Any]) -> None:
        about = record.get("title") or record["entity_name"]
        out.print(
            f"{record['status'].capitalize()}: {record['id']}, {about}. `undo` takes it back."
        )

    def noted_act(
        identity: Identity, note: Note = "", tenant: Tenant = None, as_json: Json = False
    ) -> None:
        arguments = {"id": identity, "note": note}
        answer(ask(operation.model_validate(arguments), tenant), as_json, draw)

    return noted_act if with_note else plain_act


for group, verb, operation in (
    (alerts_app, "show", ask_for.ShowAlert),
    (alerts_app, "ack", ask_for.AcknowledgeAlert),
    (alerts_app, "resolve", ask_for.ResolveAlert),
    (alerts_app, "reopen", ask_for.ReopenAlert),
    (incidents_app, "show", ask_for.ShowIncident),
    (incidents_app, "ack", ask_for.AcknowledgeIncident),
    (incidents_app, "resolve", ask_for.ResolveIncident),
    (incidents_app, "reopen", ask_for.ReopenIncident),
):
    act = _on_one(operation, "note" in operation.model_fields)
    group.command(verb, help=operation.__doc__)(act)


@alerts_app.command("comment")
def alerts_comment(
    identity: Identity,
    text: Annotated[str, typer.Argument(help="What to say")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Leave a comment on an alert."""
    kept = ask(ask_for.CommentAlert(id=identity, text=text), tenant)
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

    answer(ask(ask_for.Undo(audit_id=audit), tenant), as_json, draw)


# ── Models ───────────────────────────────────────────────────────────────────────────────────────


@models_app.command("list")
def models_list(
    domain: Annotated[str, typer.Option(help="Only this domain")] = "",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Model versions, newest first."""
    columns = {
        "id": "Version",
        "name": "Algorithm",
        "parts": "Parts",
        "domain": "Domain",
        "aliases": "In use as",
        "state": "State",
        "created_at": "Published",
        "created_by": "By",
    }
    rows = ask(ask_for.Models(domain=domain), tenant)

    def draw(value: Mapping[str, Any]) -> None:
        shown = [
            {
                **row,
                "parts": row["params"].get("parts"),
                "aliases": ", ".join(row["aliases"]) or "–",
            }
            for row in value["models"]
        ]
        table(shown, columns, "No model yet: headwater detect")

    answer(rows, as_json, draw)


@models_app.command("show")
def models_show(
    version: Annotated[str, typer.Argument(help="Its id")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """One version with its signed manifest."""
    answer(ask(ask_for.ShowModel(id=version), tenant), as_json, facts)


@models_app.command("verify")
def models_verify(tenant: Tenant = None, as_json: Json = False) -> None:
    """Check signature, digests, format and probe rows of every version; exit 1 if any is unsound."""
    columns = {
        "version": "Version",
        "name": "Algorithm",
        "ok": "Sound",
        "bytes": "Bytes",
        "error": "Fault",
        "message": "What is wrong",
    }
    report = ask(ask_for.VerifyModels(), tenant, "Verifying")
    answer(
        report,
        as_json,
        lambda value: table(value["versions"], columns, "No model yet: headwater detect"),
    )
    if not report["ok"]:
        raise typer.Exit(1)


# ── Machine ──────────────────────────────────────────────────────────────────────────────────────


@app.command()
def algorithms(as_json: Json = False) -> None:
    """The catalogue."""
    from workbench.plain import plain
    from workbench.services.algorithms import listing

    columns = {
        "name": "Name",
        "kind": "Kind",
        "installed": "Installed",
        "extra": "Extra",
        "summary": "What it is",
    }

    def draw(value: Mapping[str, Any]) -> None:
        table(value["algorithms"], columns, "None.")
        for how in {row["install"]: None for row in value["algorithms"] if not row["installed"]}:
            out.print(f"for more of them: {how}", markup=False, highlight=False)

    answer({"algorithms": plain(listing())}, as_json, draw)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the stores, the model files and the settings; exit 1 if anything is wrong."""
    report = ask(ask_for.Health())
    if report["ok"]:
        models = ask(ask_for.VerifyModels(), title="Verifying")
        unsound = {row["version"]: row["message"] for row in models["versions"] if not row["ok"]}
        kept = {"ok": models["ok"], "checked": models["checked"], "unsound": unsound}
        status = "ok" if models["ok"] else "failing"
        report = {**report, "ok": models["ok"], "status": status, "models": kept}
    answer(report, as_json, facts)
    if not report["ok"]:
        raise typer.Exit(1)


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(help="8501 when absent")] = None,
    host: Annotated[str | None, typer.Option(help="127.0.0.1 when absent")] = None,
) -> None:
    """Pages, REST API and scheduler in one process."""
    given = {key: value for key, value in {"port": port, "host": host}.items() if value is not None}
    _serve(Settings(**given))


def _serve(settings: Settings, *, open_browser: bool = False) -> None:
    from workbench import server

    with suppress(KeyboardInterrupt):  # the way to stop it, so no failure
        server.serve(
            settings,
            on_start=lambda: err.print(f"Headwater on {settings.address} (stop with Ctrl+C)"),
            open_browser=open_browser,
        )


@app.command()
def demo(
    serve_after: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Open the workbench afterwards")
    ] = True,
    size: Annotated[str, typer.Option(help="S or M")] = "S",
    seed: Annotated[int, typer.Option(help="Another seed is another account")] = 7,
    port: Annotated[int | None, typer.Option(help="8501 when absent")] = None,
    as_json: Json = False,
) -> None:
    """Build the demo world, import it, detect, open the workbench."""
    from workbench.plain import plain
    from workbench.services.demo import build

    settings = Settings(**({"port": port} if port else {}))
    with client.local_context(settings) as context, progress("Demo") as on_step:
        if serve_after:
            from workbench import server

            server.bind(settings).close()  # a taken port is told now, not after the work
        report = plain(build(context, settings.tenant, size=size, seed=seed, on_step=on_step))
    answer(report, as_json, draw_demo)
    if serve_after:
        _serve(settings, open_browser=True)


def draw_demo(report: Mapping[str, Any]) -> None:
    """The demo's report for a person."""
    out.print(
        f"{report['entities']:,} entities, {report['observations']:,} observations, {report['alerts']:,} alerts, "
        f"{sum(incident['alerts'] for incident in report['incidents']):,} of them under these incidents:"
    )
    for incident in report["incidents"]:
        out.print(f"  {incident['severity']:<9} {incident['title']}")
    truth = report["truth"]
    out.print(
        f"Truth: {truth['found']} of {truth['incidents']} planted incidents found, root first in "
        f"{truth['root_top1']}, among three in {truth['root_top3']}, {truth['false_alarms']} false alarms."
    )
    out.print(", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report["seconds"].items()))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="algorithms, algorithms, detect, import or worlds")],
    as_json: Json = False,
) -> None:
    """Run a benchmark with its peers in the same run."""
    from benchmarks import BENCHMARKS

    if name not in BENCHMARKS:
        raise typer.BadParameter(f"must be one of {', '.join(BENCHMARKS)}. Got {name!r}.")
    with progress(f"Benchmark {name}") as on_step:
        results = BENCHMARKS[name](on_step)
    answer(
        {"results": results},
        as_json,
        lambda value: [facts(row) for row in value["results"]] and None,
    )


@tokens_app.command("create")
def tokens_create(
    user: Annotated[str, typer.Argument(help="Whose token")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Make a bearer token; it is shown this once."""
    from workbench.services import tokens

    settings = Settings()
    with client.local_context(settings) as context:
        secret = tokens.create(context, tenant or settings.tenant, user=user)
    answer({"user": user, "token": secret}, as_json, facts)


if __name__ == "__main__":
    main()
