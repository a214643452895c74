"""Commands about this machine: the catalogue, the doctor, the server, the demo, benchmarks and tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench import client
from workbench.cli.asking import Tenant, ask
from workbench.context import Context
from workbench.operations import health, models
from workbench.settings import Settings
from workbench.terminal import Json, answer, err, facts, out, progress, table

app = typer.Typer()
tokens_app = typer.Typer(help="Bearer tokens of the API.", no_args_is_help=True)


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
            out.print(f"for more of them: {how}")

    answer({"algorithms": plain(listing())}, as_json, draw)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the stores, the model files and the settings; exit 1 if anything is wrong."""
    report = ask(health.Health())
    if report["ok"]:
        verified = ask(models.VerifyModels(), title="Verifying")
        unsound = {row["version"]: row["message"] for row in verified["versions"] if not row["ok"]}
        kept = {"ok": verified["ok"], "checked": verified["checked"], "unsound": unsound}
        status = "ok" if verified["ok"] else "failing"
        report = {**report, "ok": verified["ok"], "status": status, "models": kept}
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


def _serve(
    settings: Settings,
    *,
    open_browser: bool = False,
    afterwards: Callable[[Context], None] | None = None,
) -> None:
    from workbench import server

    with suppress(KeyboardInterrupt):  # the way to stop it, so no failure
        server.serve(
            settings,
            on_start=lambda: err.print(f"Headwater on {settings.address} (stop with Ctrl+C)"),
            open_browser=open_browser,
            afterwards=afterwards,
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
    """Build the demo account, import it, detect, open the workbench; running systems join it meanwhile."""
    from workbench.plain import plain
    from workbench.services.demo import build, systems

    settings = Settings(**({"port": port} if port else {}))
    with client.local_context(settings) as context, progress("Demo") as on_step:
        if serve_after:
            from workbench import server

            server.bind(settings).close()  # a taken port is told now, not after the work
        report = plain(build(context, settings.tenant, size=size, seed=seed, on_step=on_step))
        if not serve_after:
            found = systems(context, settings.tenant, seed=seed, on_step=on_step)
            report["systems"] = plain(found)
    answer(report, as_json, draw_demo)

    def join(context: Context) -> None:
        found = systems(context, settings.tenant, seed=seed)
        err.print(f"Running systems joined, with {len(found)} incidents: choose Services on Triage")

    if serve_after:
        _serve(settings, open_browser=True, afterwards=join)


def draw_demo(report: Mapping[str, Any]) -> None:
    """The demo's report for a person."""
    out.print(
        f"{report['entities']:,} entities, {report['observations']:,} observations, {report['alerts']:,} alerts, "
        f"{sum(incident['alerts'] for incident in report['incidents']):,} of them under these incidents:"
    )
    for incident in (*report["incidents"], *report.get("systems", ())):
        out.print(f"  {incident['severity']:<9} {incident['title']}")
    truth = report["truth"]
    out.print(
        f"Truth: {truth['found']} of {truth['incidents']} planted incidents found, root first in "
        f"{truth['root_top1']}, among three in {truth['root_top3']}, {truth['false_alarms']} false alarms."
    )
    out.print(", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report["seconds"].items()))


@app.command()
def bench(
    name: Annotated[
        str,
        typer.Argument(
            help="active, algorithms, cause, detect, drift, experiments, import, rollback, serving, training or worlds"
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of labelled suites, for cause", exists=True, file_okay=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a benchmark with its peers in the same run."""
    from benchmarks import BENCHMARKS, ON_SUITES

    if name not in BENCHMARKS:
        raise typer.BadParameter(f"must be one of {', '.join(BENCHMARKS)}. Got {name!r}.")
    if data is not None and name not in ON_SUITES:
        raise typer.BadParameter(f"--data goes with {', '.join(ON_SUITES)}. Got {name!r}.")
    with progress(f"Benchmark {name}") as on_step:
        results = BENCHMARKS[name](on_step, **({} if data is None else {"path": data}))
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
