"""`headwater train` and `headwater jobs`: long work, here or in the server that holds the stores."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from core.parts import settings as pairs
from workbench import services
from workbench.cli.asking import DomainName, Tenant, ask, whole
from workbench.client import local_context
from workbench.context import server_address
from workbench.operations import jobs as ask_for
from workbench.settings import Settings
from workbench.sheets import JOB
from workbench.terminal import Json, answer, err, facts, out, progress, table

app = typer.Typer()
jobs_app = typer.Typer(help="Trainings and other long work.", no_args_is_help=True)
JobId = Annotated[str, typer.Argument(help="Its id, or its beginning")]
LOOK = 0.5


@app.command("train")
def train(
    algorithm: Annotated[str, typer.Argument(help="Name in the catalogue: headwater algorithms")],
    domain: DomainName = "ads",
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="name=value, as often as needed")
    ] = None,
    preset: Annotated[str, typer.Option(help="quick, standard or full")] = "standard",
    start: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or a GPU, e.g. cuda:0")] = "auto",
    part: Annotated[
        bool, typer.Option("--part", help="Learn it anew as a part of the champion")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Stay until it is done")] = True,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Train a model as a job; it becomes the challenger, or the champion where there is none."""
    from core import catalog

    chosen = services.training.preset(catalog.get(algorithm), preset)
    for item in param or ():
        chosen |= pairs("train", "--param", item)
    question = ask_for.Train(
        domain=domain,
        algorithm=algorithm,
        params=chosen,
        start=start and start.date(),
        end=end and end.date(),
        device=device,
        part=part,
    )
    job = ask(question, tenant, "Checking")
    if wait:
        job = _follow(job["id"], tenant)
    _tell(job, as_json)


@jobs_app.command("list")
def jobs_list(
    domain: Annotated[str, typer.Option(help="Only this domain")] = "",
    active: Annotated[bool, typer.Option("--active", help="Only those that wait or run")] = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Jobs, newest first."""
    columns = {
        "id": "Job",
        "kind": "Kind",
        "algorithm": "Algorithm",
        "state": "State",
        "position": "In line",
        "progress": "Done",
        "device": "Device",
        "created_at": "Handed in",
        "created_by": "By",
        "result_ref": "Version",
    }

    def draw(value: Mapping[str, Any]) -> None:
        rows = [{**row, "algorithm": row["payload"].get("algorithm")} for row in value["jobs"]]
        table(rows, columns, "No job yet: headwater train ensemble")

    answer(ask(ask_for.Jobs(domain=domain, active=active), tenant), as_json, draw)


@jobs_app.command("show")
def jobs_show(job: JobId, tenant: Tenant = None, as_json: Json = False) -> None:
    """One job: where it stands, how far it is, what it made or why it failed."""
    answer(ask(ask_for.ShowJob(id=_whole(job, tenant)), tenant), as_json, JOB.draw)


@jobs_app.command("cancel")
def jobs_cancel(job: JobId, tenant: Tenant = None, as_json: Json = False) -> None:
    """Ask a job to stop: at once where it waits, within seconds where it runs."""
    answer(ask(ask_for.CancelJob(id=_whole(job, tenant)), tenant), as_json, JOB.draw)


@jobs_app.command("resume")
def jobs_resume(
    job: JobId,
    wait: Annotated[bool, typer.Option(help="Stay until it is done")] = True,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Go on with a failed, cancelled or lost job from its last checkpoint."""
    identity = _whole(job, tenant)
    found = ask(ask_for.ShowJob(id=identity), tenant)
    # where no server looks after it, a waiting job, or one whose command was killed, is taken up here
    if not (found["live"] and wait and not server_address(Settings())):
        found = ask(ask_for.ResumeJob(id=identity), tenant)
    _tell(_follow(identity, tenant) if wait else found, as_json)


def _whole(part: str, tenant: str | None) -> str:
    return whole(part, (row["id"] for row in ask(ask_for.Jobs(), tenant)["jobs"]))


def _follow(job_id: str, tenant: str | None) -> dict[str, Any]:
    """Stay with a job to its end: it runs in the server where there is one, else here."""
    from workbench import runner

    settings = Settings()
    elsewhere = bool(server_address(settings))
    try:
        with progress("Training") as on_step:
            if not elsewhere:
                with local_context(settings) as context:
                    runner.run_until_done(context, tenant or settings.tenant, job_id, on_step)
            while (job := ask(ask_for.ShowJob(id=job_id), tenant))["live"]:
                on_step(job["progress_text"] or job["state"], job["progress"], {})
                threading.Event().wait(LOOK)
    except KeyboardInterrupt:
        left = "It goes on in the server; stop it" if elsewhere else "Cancelled; go on with it"
        verb = "cancel" if elsewhere else "resume"
        err.print(f"{left}: headwater jobs {verb} {job_id[:8]}", highlight=False)
        raise typer.Exit(130) from None
    found: dict[str, Any] = job
    return found


def _tell(job: Mapping[str, Any], as_json: bool) -> None:
    """What a training made; exit 1 where it made nothing."""
    told: dict[str, Any] = {"job": job["id"], "state": job["state"]}
    if job["state"] == "succeeded":
        metrics = job["metrics"]
        told = {
            "job": job["id"],
            "version": job["result_ref"],
            "metrics": metrics,
            "seconds": metrics["fit_seconds"],
            "device": job["device"],
            "sequences_per_second": metrics["sequences_per_second"],
        }
    elif not job["live"]:
        told |= {"error": job["error_text"], "hint": job["error_hint"]}
    answer(told, as_json, lambda _: _draw(job))
    if not job["live"] and job["state"] != "succeeded":
        err.print(job["error_text"], style="bold red", highlight=False)
        if job["error_hint"]:
            err.print(f"Hint: {job['error_hint']}", highlight=False)
        raise typer.Exit(1)


def _draw(job: Mapping[str, Any]) -> None:
    said = f"Job {job['id'][:8]} ({job['payload'].get('algorithm') or job['kind']})"
    if job["state"] == "succeeded":
        out.print(f"{said} made version {job['result_ref']} on {job['device']}.")
        facts(job["metrics"])
        out.print("Beside the champion: headwater models compare")
    elif job["live"]:
        waits = "" if server_address(Settings()) else ", until: headwater jobs resume, or serve"
        out.print(f"{said} is {job['state']}{waits}.")
