"""`headwater experiments`: try another version beside the champion, rung by rung."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from workbench.cli.asking import DomainName, Identity, Tenant, ask, version
from workbench.operations import experiments as ask_for
from workbench.terminal import Json, answer, out, table

experiments_app = typer.Typer(
    help="Experiments between the champion and another version.", no_args_is_help=True
)

COLUMNS = {
    "id": "Id",
    "name": "Experiment",
    "state": "State",
    "on": "Rung",
    "treatment": "Treatment",
    "metric_label": "Target",
    "verdict": "Verdict",
    "reason": "Why it ended",
}
LOOKS = {
    "at": "At",
    "on": "Rung",
    "rows": "Rows",
    "control": "Control",
    "treatment": "Treatment",
    "value": "Difference",
    "low": "From",
    "high": "To",
    "fraction": "Of the plan",
    "word": "Says",
}
GUARDRAILS = {"name": "Guardrail", "ok": "Holds", "said": "Measured"}
DECISIONS = {
    "entity": "Entity",
    "unit": "Unit",
    "arm": "Arm",
    "version": "Version",
    "share": "Share",
    "run": "Run",
    "decided": "At",
}
SHOWN = 20


@experiments_app.command("list")
def experiments_list(
    domain: Annotated[str, typer.Option(help="Only this domain")] = "",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Experiments, newest first."""

    def draw(value: Mapping[str, Any]) -> None:
        rows = [{**row, "on": _rung(row)} for row in value["experiments"]]
        table(rows, COLUMNS, "No experiment yet: headwater experiments plan VERSION --mde N")

    answer(ask(ask_for.Experiments(domain=domain), tenant), as_json, draw)


@experiments_app.command("show")
def experiments_show(number: Identity, tenant: Tenant = None, as_json: Json = False) -> None:
    """One experiment: its plan, its looks, its guardrails, what it says."""
    answer(ask(ask_for.ShowExperiment(id=number), tenant), as_json, _draw)


@experiments_app.command("plan")
def experiments_plan(
    treatment: Annotated[str, typer.Argument(help="Version that is tried")],
    mde: Annotated[float, typer.Option(help="Smallest effect worth finding, in the metric's unit")],
    metric: Annotated[str, typer.Option(help="alert-rate, precision or agreement")] = "alert-rate",
    days: Annotated[
        int, typer.Option(help="How long it runs, unless the answer is clear before")
    ] = 14,
    alpha: Annotated[float, typer.Option(help="Chance of finding what is not there")] = 0.05,
    power: Annotated[float, typer.Option(help="Chance of finding what is there")] = 0.8,
    unit: Annotated[str, typer.Option(help="Level that arms are drawn by, or entity")] = "",
    name: Annotated[str, typer.Option(help="What to call it")] = "",
    begin: Annotated[
        bool, typer.Option("--start", help="Start it too, or leave nothing behind")
    ] = False,
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Plan an experiment: what it takes to find an effect, and what there is. Nothing is routed yet."""
    question = ask_for.PlanExperiment.model_validate(
        {
            "treatment": version(treatment, tenant),
            "mde": mde,
            "metric": metric,
            "days": days,
            "alpha": alpha,
            "power": power,
            "unit": unit,
            "name": name,
            "begin": begin,
            "domain": domain,
        }
    )
    answer(ask(question, tenant, "Planning"), as_json, _draw)


@experiments_app.command("start")
def experiments_start(number: Identity, tenant: Tenant = None, as_json: Json = False) -> None:
    """Let a planned experiment run, in shadow first; a hopeless one is refused with the units it needs."""
    answer(ask(ask_for.StartExperiment(id=number), tenant), as_json, _draw)


@experiments_app.command("discard")
def experiments_discard(number: Identity, tenant: Tenant = None, as_json: Json = False) -> None:
    """Throw a plan away that was never started."""
    gone = ask(ask_for.DiscardExperiment(id=number), tenant)
    answer(gone, as_json, lambda told: out.print(f"Plan {told['discarded']} is gone."))


@experiments_app.command("advance")
def experiments_advance(number: Identity, tenant: Tenant = None, as_json: Json = False) -> None:
    """Climb to the next rung: shadow, then a canary of 1, 5, 25 and 50 %; from the last one, finish."""
    answer(ask(ask_for.AdvanceExperiment(id=number), tenant), as_json, _draw)


@experiments_app.command("stop")
def experiments_stop(
    number: Identity,
    reason: Annotated[str, typer.Option(help="Kept with the experiment")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """End an experiment: from the next run on the champion decides for everybody again."""
    answer(ask(ask_for.StopExperiment(id=number, reason=reason), tenant), as_json, _draw)


@experiments_app.command("decisions")
def experiments_decisions(
    number: Identity,
    entity: Annotated[str, typer.Option(help="Only this entity")] = "",
    limit: Annotated[int, typer.Option(help="At most this many")] = 100,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Which entity was routed to which version by which run."""
    question = ask_for.RoutingDecisions(id=number, entity=entity, limit=limit)

    def draw(value: Mapping[str, Any]) -> None:
        for arm in value["arms"]:
            out.print(f"{arm['arm']}: {arm['entities']:,} entities in {arm['units']:,} units")
        table(value["decisions"], DECISIONS, "Nothing was routed yet.")

    answer(ask(question, tenant), as_json, draw)


def _rung(row: Mapping[str, Any]) -> str:
    return row["ladder"][row["rung"]] if row["rung"] >= 0 else "–"


def _draw(told: Mapping[str, Any]) -> None:
    """An experiment for a person."""
    planned = told["plan"]
    out.print(f"{told['id']}  {told['name']}: {told['state']}, {_rung(told)}")
    out.print(f"{told['treatment']} against {told['control']} by {told['metric_label'].lower()}")
    out.print(
        f"{told['units']:,} units by {told['unit']} show {told['mde']:.3g} {told['unit_label']} in {told['days']} days "
        f"with chance {told['power']:.0%}; there are {planned['available']:,}."
        + (" It cannot succeed." if planned["hopeless"] else "")
    )
    if told["looks"]:
        rows = [
            {
                **look,
                "on": "Shadow"
                if look["stage"] == "shadow"
                else f"Canary {100 * look['share']:.0f} %",
                **{
                    key: look[key] * told["scale"]
                    for key in ("control", "treatment", "value", "low", "high")
                    if look.get(key) is not None
                },
            }
            for look in told["looks"][-SHOWN:]
        ]
        table(rows, LOOKS, "")
        checks = [{"name": name, **check} for name, check in told["guardrails"].items()]
        table(checks, GUARDRAILS, "No guardrail was measured on this rung yet.")
    for said in (told["said"], told["reason"], told["following"] and f"Next: {told['following']}"):
        if said:
            out.print(said)
