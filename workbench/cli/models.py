"""`headwater models`: the versions there are, whether they can be trusted, and which of them scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from workbench.cli.asking import DomainName, Tenant, ask
from workbench.cli.asking import version as whole
from workbench.operations import models as ask_for
from workbench.sheets import MODEL
from workbench.terminal import Json, answer, out, table

models_app = typer.Typer(help="Model versions.", no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="Why; kept in the audit")]


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
    version: Annotated[str, typer.Argument(help="Its id, or its beginning or end")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """One version with its signed manifest."""
    answer(ask(ask_for.ShowModel(id=whole(version, tenant)), tenant), as_json, MODEL.draw)


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


@models_app.command("promote")
def models_promote(
    version: Annotated[str, typer.Argument(help="Its id, or its beginning or end")],
    reason: Reason,
    override: Annotated[
        bool, typer.Option("--override", help="Although a figure is below its minimum")
    ] = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Let a version score its domain; refused below a minimum of the checklist."""
    wanted = ask_for.Promote(id=whole(version, tenant), reason=reason, override=override)
    answer(ask(wanted, tenant, "Comparing"), as_json, _draw_move)


@models_app.command("rollback")
def models_rollback(
    reason: Reason,
    domain: DomainName = "ads",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Undo the last promotion: the version that scored before scores again."""
    moved = ask(ask_for.RollBack(domain=domain, reason=reason), tenant)
    answer(moved, as_json, _draw_move)


def _draw_move(move: Mapping[str, Any]) -> None:
    before = move["previous"] or "nothing"
    out.print(f"{move['champion']} scores {move['domain']} now, before it {before}.")
    if move["verb"] == "promote" and move["previous"]:
        out.print("Undo: headwater models rollback --reason …")
