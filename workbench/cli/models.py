"""`headwater models`: the versions there are, and whether they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from workbench.cli.asking import Tenant, ask
from workbench.operations import models as ask_for
from workbench.terminal import Json, answer, facts, table

models_app = typer.Typer(help="Model versions.", no_args_is_help=True)


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
