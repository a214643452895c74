"""`headwater import` and `headwater batches`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench import services
from workbench.cli.asking import DomainName, Identity, Tenant, ask, moment
from workbench.operations import data as ask_for
from workbench.requests import MOST_VALIDATED_DAYS, VALIDATED_DAYS
from workbench.terminal import Json, answer, facts, out, table

REFUSED = 5
"""Refused cells of a file that a terminal shows."""
app = typer.Typer()
batches_app = typer.Typer(help="Imported batches.", no_args_is_help=True)


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
    """Import reports, or measurements of running systems; exit 1 if anything was refused in a dry run or nothing could be read.

    Of running systems a file is known by its columns, CSV or Parquet: time, node,
    metric, value; or time, node and a column per metric; or time, caller, callee,
    metric, value. nodes.csv has node, level, parent, name; metrics.csv has metric,
    label, unit, bad (rise or fall), nature; edges.csv has source, target and, where
    an edge held for a time, valid_from and valid_to. The next edges.csv replaces
    the last from its download on; to correct one, undo its batch first. Texts of
    Prometheus or OpenMetrics with timestamps are read too (*.prom, *.om).
    """
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
    for file, found in groupby(cells, key=itemgetter("file")):
        listed = list(found)
        for row in listed[:REFUSED]:
            out.print(
                f"refused  {file} line {row['line']}, {row['column']} must be {row['rule']}. Got {row['value']!r}."
            )
        if len(listed) > REFUSED:
            more = len(listed) - REFUSED
            out.print(
                f"         … and {more:,} more of {file}; see them with --json or on the Data page."
            )
    for note in report["notes"]:
        out.print(f"Note: {note}.")
    out.print(f"{report['new']:,} new rows, {report['refused']:,} refused.")


@app.command("validate")
def validate(
    domain: DomainName = "services",
    days: Annotated[
        int, typer.Option(help="Days up to the newest sample", min=1, max=MOST_VALIDATED_DAYS)
    ] = VALIDATED_DAYS,
    html: Annotated[Path | None, typer.Option(help="Write the report here, as one page")] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Is the data good enough to learn from? Each check with its cure; exit 1 when one fails."""
    report = ask(ask_for.Validate(domain=domain, days=days), tenant, "Looking")
    if html:
        html.write_text(
            services.validation_page.page(services.validation.revived(report)), encoding="utf-8"
        )
    answer(report, as_json, _draw_report)
    if not report["passed"]:
        raise typer.Exit(1)


def _draw_report(report: Mapping[str, Any]) -> None:
    for check in report["checks"]:
        glyph, word, _ = services.validation_page.MARKS[check["state"]]
        out.print(f"{glyph} {word:9}  {check['title']} {check['message']}", highlight=False)
        for found in check["findings"]:
            out.print(f"             {found['where']}: {found['message']}", highlight=False)
        if check["cure"]:
            out.print(f"             What to do: {check['cure']}", highlight=False)
    out.print(services.validation_page.VERDICTS[report["state"]])


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
