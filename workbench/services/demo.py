"""The demo worlds: simulated, imported and judged like a user's own, the account compared with its planted truth."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.cases import Cause
from core.contracts import OnStep
from core.errors import ConflictError, StoreError
from core.evaluate.causes import Score, score
from core.rootcause.grouping import Found
from core.severity import SEVERITIES
from data import incident_store
from data.records import STATUSES, Alert, Incident
from data.simulate.ads import simulate_ads
from data.simulate.services import SIZES, Size, simulate_services
from workbench.context import Context
from workbench.services import detect as detection
from workbench.services import ingest, label_files

DOMAIN, SYSTEMS = "ads", "services"
PEOPLE = ("incidents.csv", "labels.csv")
"""What people say of running systems: of what happened, and of why."""
MOST = 1_000
"""Incidents that are told, the worst first."""


@dataclass(frozen=True, eq=False)
class DemoReport:
    """What the demo made and how the result compares with the truth (counts); seconds by stage."""

    entities: int
    observations: int
    alerts: int
    incidents: list[dict[str, Any]]
    truth: dict[str, int]
    seconds: dict[str, float]


def build(
    context: Context,
    tenant: str,
    *,
    size: str = "S",
    seed: int = 7,
    end: date | None = None,
    on_step: OnStep | None = None,
) -> DemoReport:
    """Simulate an account whose last download is the newest noon in UTC, import it and run detection.

    A second call finds everything in place and doubles nothing. Refused (ConflictError) where the tenant
    already has figures of its own or of another demo: the two would mix.
    """
    seconds: dict[str, float] = {}
    began = time.perf_counter()
    worlds = context.settings.home / "demo"
    built = sorted(worlds.glob(f"{size}-{seed}-*"))
    end = end or (context.clock() - timedelta(hours=12)).date()
    world = built[-1] if built else worlds / f"{size}-{seed}-{end}"
    if not built:
        _check_room(context, tenant)
        _write(world, partial(simulate_ads, size=size, seed=seed, end=end), on_step)
    seconds["simulate"] = time.perf_counter() - began

    began = time.perf_counter()
    imported = ingest.import_paths(context, tenant, [world], domain=DOMAIN, on_step=on_step)
    if imported.failed or imported.refused:
        raise StoreError.of("demo", "its own files", "readable", imported.quarantine[:3])
    seconds["import"] = time.perf_counter() - began

    report = detection.detect(context, tenant, actor="demo", domain=DOMAIN, on_step=on_step)
    for stage in ("train", "detect", "explain", "cause", "save"):
        seconds[stage] = report.seconds.get(stage, 0.0)
    result = against_truth(world, [stored(row, report.alerts) for row in report.incidents])
    return DemoReport(
        entities=report.total_entities_checked,
        observations=sum(
            batch.rows
            for batch in context.metrics.batches(tenant)
            if (batch.state, batch.domain) == ("loaded", DOMAIN)
        ),
        alerts=report.anomalies_detected,
        incidents=[_told(row) for row in report.incidents],
        truth={
            "incidents": result.incidents,
            "found": result.found,
            "root_top1": result.root_top1,
            "root_top3": result.root_top3,
            "false_alarms": result.false_alarms,
        },
        seconds=seconds,
    )


def systems(
    context: Context,
    tenant: str,
    *,
    size: str | Size = "S",
    seed: int = 7,
    on_step: OnStep | None = None,
) -> list[dict[str, Any]]:
    """Simulate running systems up to last midnight in UTC, import them with what people said, detect: the incidents.

    People told and judged those of the first half; the others are found, and nobody has looked at them yet.
    A second call finds everything in place and doubles nothing.
    """
    worlds = context.settings.home / "demo"
    built = sorted(worlds.glob(f"{SYSTEMS}-{seed}-*"))
    span = SIZES[size] if isinstance(size, str) else size
    start = context.clock().date() - timedelta(days=span.days)
    world = built[-1] if built else worlds / f"{SYSTEMS}-{seed}-{start}"
    if not built:

        def simulate(folder: Path, on_step: OnStep) -> None:
            simulate_services(folder, size=size, seed=seed, start=start, on_step=on_step)
            _forget(folder, pd.Timestamp(start, tz="UTC") + timedelta(days=span.days) / 2)

        _write(world, simulate, on_step)
    imported = ingest.import_paths(context, tenant, [world], domain=SYSTEMS, on_step=on_step)
    if imported.failed or imported.refused:
        raise StoreError.of("demo", "its own files", "readable", imported.quarantine[:3])
    if (world / "labels.csv").exists():
        said = (world / "labels.csv").read_bytes()
        label_files.import_csv(context, tenant, SYSTEMS, said, "labels.csv")
    detection.detect(context, tenant, actor="demo", domain=SYSTEMS, on_step=on_step)
    # a second run tells of what is new alone
    known = context.records.read(
        tenant,
        lambda session: (
            incident_store.page(
                session, tenant=tenant, domain=SYSTEMS, status=STATUSES, limit=MOST
            ).rows
        ),
    )
    return [_told(row) for row in known if row.root_entity]


def _check_room(context: Context, tenant: str) -> None:
    loaded = [batch for batch in context.metrics.batches(tenant) if batch.state == "loaded"]
    if loaded:
        raise ConflictError.of(
            "demo",
            f"tenant {tenant} in {context.settings.home}",
            "empty, or hold this very demo",
            f"{len(loaded)} imported files",
            "See what is there with `headwater serve`, or build the demo apart: "
            "HEADWATER_HOME=./demo-home headwater demo",
        )


def _write(world: Path, simulate: Callable[..., Any], on_step: OnStep | None) -> None:
    """Write the world beside its place and move it there whole, so that a kill leaves no half of one."""
    torn = world.with_name(f".{world.name}.partial")
    shutil.rmtree(torn, ignore_errors=True)
    torn.parent.mkdir(parents=True, exist_ok=True)

    def step(stage: str, share: float) -> None:
        if on_step is not None:
            on_step(f"simulate {stage}", share, {})

    simulate(torn, on_step=step)
    torn.rename(world)


def _forget(world: Path, since: pd.Timestamp) -> None:
    """Leave out the incidents that began at `since` or later, and what people said of them."""
    incidents, labels = (pd.read_csv(world / name, dtype=str) for name in PEOPLE)
    kept = incidents[pd.to_datetime(incidents["started_at"]) < since]
    for name, rows in zip(
        PEOPLE, (kept, labels[labels["incident_id"].isin(kept["id"])]), strict=True
    ):
        (world / name).unlink()
        if len(rows):
            rows.to_csv(world / name, index=False)


def _told(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "title": incident.title,
        "severity": incident.severity,
        "onset": incident.onset,
        "alerts": incident.alerts,
        "root": {"entity": incident.root_entity, "level": incident.root_level},
        "cause_type": incident.cause_type,
        "confidence": incident.confidence,
    }


# ── The truth beside it ──────────────────────────────────────────────────────────────────────────


def against_truth(world: Path, found: Sequence[Found]) -> Score:
    """Compare incidents with the `truth/` folder of a simulated world."""
    truth = json.loads((world / "truth" / "incidents.json").read_text(encoding="utf-8"))
    with (world / "truth" / "effects.csv").open(encoding="utf-8", newline="") as file:
        return score(found, truth, list(csv.DictReader(file)))


def stored(incident: Incident, alerts: Sequence[Alert]) -> Found:
    """An incident as it was saved, in the form in which it is scored."""
    members = tuple(alert.entity for alert in alerts if alert.incident_id == incident.id)
    return Found(
        root=incident.root_entity,
        level=incident.root_level,
        type=incident.cause_type,
        onset=_local(incident.candidates[0]["onset_day"]),
        confidence=incident.confidence,
        candidates=tuple(_cause(row) for row in incident.candidates),
        entities=members,
        muted=members[1:],
        severity=SEVERITIES.index(incident.severity),
        spend_at_risk=incident.spend_at_risk,
        title=incident.title,
    )


def _cause(row: Mapping[str, Any]) -> Cause:
    return Cause(
        node=row["node"],
        type=row["type"],
        onset=_local(row["onset_day"]),
        path=tuple(row["path"]),
        hops=row["hops"],
        terms=row["terms"],
        score=row["score"],
        confidence=row["confidence"],
        evidence=tuple(row["evidence"]),
    )


def _local(day: str) -> np.datetime64:
    return np.datetime64(day, "s")
