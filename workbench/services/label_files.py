"""Labels that people gave elsewhere, brought in from a file: one row a verdict, each in its annotator's name."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import datetime

from core.cases import Graph
from core.errors import HeadwaterError, InvalidInputError, NotFoundError
from data import incident_reports
from data.ingest import incident_files
from data.ingest.batch import Refusal
from workbench.context import Context
from workbench.services import labelling, snapshots, verdicts
from workbench.services.changes import Imported
from workbench.services.verdicts import CONFIDENCE, Verdict

NEEDED = ("incident_id", "annotator", "root_cause")
KNOWN = (*NEEDED, "component", "confidence", "at", "disposition", "note")
SOURCE = "file"


def import_csv(ctx: Context, tenant: str, domain: str, content: bytes, file: str) -> Imported:
    """Take the verdicts of a CSV file: incident_id (as its file named it), annotator, root_cause and the like.

    Several causes stand apart by ";". The same row once more changes nothing; one that breaks a rule is refused
    by its line and stops no other.
    """
    rows = _rows(content, file)
    graph = snapshots.graph(ctx, tenant, domain)
    before = labelling.newest(ctx, tenant)
    kept: set[int] = set()
    refused = []
    for line, row in enumerate(rows, start=2):
        try:
            kept.add(_take(ctx, tenant, row, graph))
        except HeadwaterError as error:
            told = error.context
            refused.append(
                Refusal(file, line, str(told["thing"]), str(told["got"]), str(told["needed"]))
            )
    new = sum(number > before for number in kept)
    return Imported(file, new, 0, len(rows) - len(refused) - new, tuple(refused))


def _take(ctx: Context, tenant: str, row: Mapping[str, str], graph: Graph) -> int:
    """The number of the label that says what the row says."""
    key = row["incident_id"]
    incident = ctx.records.read(
        tenant,
        lambda session: incident_reports.find(session, tenant=tenant, source=SOURCE, key=key),
    )
    if incident is None:
        hint = "Import the incidents first."
        raise NotFoundError.of("labels", "the incident", "imported from a file", key, hint)
    if not row["annotator"]:
        raise InvalidInputError.of("labels", "the annotator", "named", row["annotator"])
    component = row.get("component", "")
    verdict = Verdict(
        disposition=row.get("disposition") or "real",
        causes=tuple(part.strip() for part in row["root_cause"].split(";") if part.strip()),
        component=component if component in graph.net else "",
        confidence=_confidence(row.get("confidence", "")),
        note=row.get("note", ""),
        missing="" if component in graph.net else component,
    )
    label = labelling.label_incident(
        ctx,
        tenant,
        incident.id,
        actor=row["annotator"],
        verdict=verdict,
        graph=graph,
        at=_moment(row.get("at", "")),
    )
    return label.id


def _rows(content: bytes, file: str) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
        columns = list(reader.fieldnames or ())
        lacking = [name for name in NEEDED if name not in columns]
        if lacking:
            rule = f"a CSV with columns {', '.join(NEEDED)}"
            raise InvalidInputError.of("labels", file, rule, f"one without {', '.join(lacking)}")
        kept = [name for name in KNOWN if name in columns]
        return [{name: (row[name] or "").strip() for name in kept} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError.of("labels", file, "a CSV in UTF-8", str(error)) from error


def _confidence(text: str) -> str:
    """high, medium or low; a number 0 … 1 as the nearest of them; high where nothing is said."""
    if text in ("", *CONFIDENCE):
        return text or "high"
    try:
        number = float(text)
    except ValueError:
        rule = f"{', '.join(CONFIDENCE)} or a number from 0 to 1"
        raise InvalidInputError.of("labels", "the confidence", rule, text) from None
    return verdicts.confidence_word(number)


def _moment(text: str) -> datetime | None:
    """When it was said, as incidents' files write times; None where nothing is said."""
    try:
        return incident_files.moment(text) if text else None
    except ValueError as error:
        raise InvalidInputError.of("labels", "at", str(error), text) from error
