"""`headwater drift`: has the data moved away from what the champion knows, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from workbench.cli.asking import DomainName, Tenant, ask
from workbench.operations import drift as ask_for
from workbench.terminal import Json, answer, facts, out, table

drift_app = typer.Typer(help="Drift of the data, and retraining.", invoke_without_command=True)

Proposal = Annotated[int, typer.Argument(help="Its number")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit")]


@drift_app.callback()
def drift(
    context: typer.Context, domain: DomainName = "ads", tenant: Tenant = None, as_json: Json = False
) -> None:
    """Check now, keep the report, and propose a retraining where something moved."""
    if context.invoked_subcommand is None:
        answer(ask(ask_for.CheckDrift(domain=domain), tenant, "Checking"), as_json, _draw)


def _draw(value: Mapping[str, Any]) -> None:
    report = value["report"]
    for part in (report["metrics"], report["scores"]):
        if part is None:
            out.print(f"Scores: {report['no_scores']}")
            continue
        (first, last), spans = part["reference"], part["windows"]
        out.print(
            f"{part['name'].capitalize()}: {spans[0][0]} to {spans[-1][1]} against {first} to {last}"
        )
        columns = {
            "level": "Level",
            "metric": "Metric",
            "state": "State",
            "lean": "Shift (sd)",
            "wasserstein": "Wasserstein",
            "ks": "KS",
            "psi": "PSI",
            "adjusted": "Adjusted p",
        }
        told = [cell for cell in part["cells"] if cell["state"] in ("drift", "watch")]
        table(told, columns, "Nothing moved.")
        for whole in part["wholes"]:
            if whole["drifts"]:
                out.print(
                    f"Small shifts together at {whole['level'] or 'all levels'}: "
                    f"{whole['lean']:+.2f} sd, adjusted p {whole['adjusted']:.2g}"
                )
    said = report["performance"]
    if said["drop"] is None:
        out.print(f"Performance: {said['labels']} more labels are needed.")
    else:
        out.print(f"Performance: AUC {said['before']:.2f} → {said['after']:.2f}, {said['advice']}.")
    for note in report["notes"]:
        out.print(f"Note: {note}")


@drift_app.command("proposals")
def proposals(domain: DomainName = "ads", tenant: Tenant = None, as_json: Json = False) -> None:
    """Retrainings that drift or the calendar asked for."""
    columns = {
        "id": "Proposal",
        "trigger": "Because of",
        "reason": "Reason",
        "start": "From",
        "end": "To",
        "outcome": "Outcome",
    }
    answer(
        ask(ask_for.Proposals(domain=domain), tenant),
        as_json,
        lambda value: table(value["proposals"], columns, "No retraining was proposed."),
    )


@drift_app.command("accept")
def accept(proposal: Proposal, tenant: Tenant = None, as_json: Json = False) -> None:
    """Start the training that a proposal asks for."""
    answer(
        ask(ask_for.AcceptProposal(id=proposal), tenant),
        as_json,
        lambda value: out.print(f"Job {value['job']['id']} is {value['job']['state']}."),
    )


@drift_app.command("dismiss")
def dismiss(
    proposal: Proposal, reason: Reason = "", tenant: Tenant = None, as_json: Json = False
) -> None:
    """Say no to a proposal."""
    answer(
        ask(ask_for.DismissProposal(id=proposal, reason=reason), tenant),
        as_json,
        lambda value: out.print(f"Proposal {value['id']} is {value['state']}."),
    )


@drift_app.command("policy")
def policy(
    weekly: Annotated[bool | None, typer.Option(help="Propose one every week")] = None,
    automatic: Annotated[bool | None, typer.Option(help="Start proposals without asking")] = None,
    cool_down: Annotated[int | None, typer.Option(help="Days between two, at least 7")] = None,
    budget: Annotated[int | None, typer.Option(help="At most so many in 30 days")] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """When a retraining is asked for and how often it may begin; changes what is given."""
    stands = ask(ask_for.RetrainingPolicy(), tenant)
    asked = {
        "weekly": weekly,
        "automatic": automatic,
        "cool_down_days": cool_down,
        "budget": budget,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    if given:
        stands = ask(ask_for.SetRetrainingPolicy(**{**stands, **given}), tenant)
    answer(stands, as_json, facts)


@drift_app.command("fallback")
def fallback(
    reason: Reason, domain: DomainName = "ads", tenant: Tenant = None, as_json: Json = False
) -> None:
    """In an emergency: let the last good version score at once, or a rule where there is none."""
    answer(ask(ask_for.FallBack(domain=domain, reason=reason), tenant), as_json, facts)
