"""Failures foretold in use: an alert before the incident, what becomes of it, and silence where nothing is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from core.domains.services import SERVICES
from data.ingest.batch import COMPONENTS, DEPENDENCIES, SAMPLES, Samples
from data.records import Alert
from workbench.context import Context, open_context
from workbench.services import alerts, detect, incidents
from workbench.settings import Settings

TENANT = "acme"
START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTES = 3 * 1440
NOW = START + timedelta(minutes=MINUTES)
METRICS = {"http_request_duration_seconds": 0.2, "error_rate_by_service": 0.01}
NAMES = ("cart", "pay")
WARNED = 45
"""Minutes for which a service is restless before it fails."""


def onsets(service: int) -> list[int]:
    """Minutes at which a service fails; `pay` is about to fail when the history ends."""
    rng = np.random.default_rng(service)
    told = [int(400 * number + rng.integers(200, 420)) for number in range(10)]
    return [*told[:-1], MINUTES + 20] if service == 1 else told[:-1]


def history() -> Samples:
    rng = np.random.default_rng(0)
    rows = []
    for number, name in enumerate(NAMES):
        restless = np.ones(MINUTES)
        failing = np.ones(MINUTES)
        for onset in onsets(number):
            restless[max(onset - WARNED, 0) : onset] = 4.0
            failing[onset : onset + 10] = 8.0
        for metric, level in METRICS.items():
            values = level * failing * np.exp(0.05 * restless * rng.standard_normal(MINUTES))
            rows += [
                (
                    f"service:{name}",
                    metric,
                    (START + timedelta(minutes=at)).replace(tzinfo=None),
                    value,
                )
                for at, value in enumerate(values.tolist())
            ]
    table = pa.Table.from_pylist(
        [
            dict(zip(("entity", "metric", "moment", "value", "row"), (*row, place), strict=True))
            for place, row in enumerate(rows)
        ],
        SAMPLES,
    )
    components = [
        {"id": f"service:{name}", "level": "service", "name": name.title(), "parent": ""}
        for name in NAMES
    ]
    return Samples(
        "days.csv",
        "days",
        100,
        "samples",
        START.replace(tzinfo=None),
        rows=len(rows),
        samples=table,
        components=pa.Table.from_pylist(components, COMPONENTS),
        dependencies=pa.Table.from_pylist([], DEPENDENCIES),
    )


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with open_context(Settings(home=tmp_path_factory.mktemp("home"))) as opened:
        opened.metrics.samples.load(TENANT, SERVICES, history())
        yield opened


@pytest.fixture(scope="module")
def silent(context: Context) -> detect.DetectionReport:
    return detect.detect(context, TENANT, actor="ana", domain="services", level="node")


@pytest.fixture(scope="module")
def foretold(context: Context, silent: detect.DetectionReport) -> list[Alert]:
    for number, name in enumerate(NAMES):
        for onset in onsets(number):
            at = START + timedelta(minutes=onset)
            if at < NOW:
                incidents.record(
                    context,
                    TENANT,
                    title=f"{name} failed at {onset}",
                    severity="high",
                    onset=at,
                    ended_at=at + timedelta(minutes=10),
                    services=[name],
                    actor="ana",
                )
    found = detect.detect(context, TENANT, actor="ana", domain="services")
    return [alert for alert in found.alerts if alert.predicted_for is not None]


def test_without_incidents_nothing_is_foretold_and_the_run_says_so(
    silent: detect.DetectionReport,
) -> None:
    assert not [alert for alert in silent.alerts if alert.predicted_for]
    assert any(
        "Nothing is foretold" in note and "incidents of services" in note for note in silent.notes
    )


def test_what_is_about_to_fail_is_foretold_with_its_lead(foretold: list[Alert]) -> None:
    (alert,) = foretold
    assert (alert.entity, alert.level) == ("service:pay", "service")
    assert NOW - timedelta(minutes=WARNED) <= alert.onset < NOW
    assert alert.predicted_for is not None and alert.lead_minutes is not None
    assert alert.predicted_for - alert.onset == timedelta(minutes=alert.lead_minutes)
    assert 10 <= alert.lead_minutes <= 60
    assert alert.p_value < 0.05
    assert "A failure is expected about" in alert.sentence
    assert "base rate" in alert.sentence


def test_a_second_run_keeps_the_alert_and_the_time_first_foretold(
    context: Context, foretold: list[Alert]
) -> None:
    again = detect.detect(context, TENANT, actor="ana", domain="services")
    (alert,) = [alert for alert in again.alerts if alert.predicted_for is not None]
    assert alert.id == foretold[0].id
    assert alert.predicted_for == foretold[0].predicted_for
    assert alert.lead_minutes == foretold[0].lead_minutes
    assert again.created == 0


def test_an_incident_told_later_was_predicted(context: Context, foretold: list[Alert]) -> None:
    expected = foretold[0].predicted_for
    assert expected is not None
    onset = expected + timedelta(minutes=6)
    told = incidents.record(
        context,
        TENANT,
        title="pay is down",
        severity="high",
        onset=onset,
        services=["Pay"],
        actor="ana",
    ).incident
    assert told.was_predicted is True
    assert told.prediction_accuracy == pytest.approx(0.9)
    detail = incidents.get(context, TENANT, told.id)
    assert detail.foretold is not None and detail.foretold.id == foretold[0].id


def test_one_of_another_service_or_too_late_was_not(
    context: Context, foretold: list[Alert]
) -> None:
    onset = foretold[0].onset + timedelta(minutes=30)
    other = incidents.record(
        context, TENANT, title="cart", severity="high", onset=onset, services=["cart"], actor="ana"
    ).incident
    late = incidents.record(
        context,
        TENANT,
        title="pay, much later",
        severity="high",
        onset=foretold[0].onset + timedelta(minutes=61),
        services=["pay"],
        actor="ana",
    ).incident
    assert (other.was_predicted, other.prediction_accuracy) == (False, None)
    assert late.was_predicted is False
    assert incidents.get(context, TENANT, late.id).foretold is None
    moved = incidents.edit(
        context, TENANT, late.id, values={"onset": foretold[0].predicted_for}, actor="ana"
    )
    assert moved.was_predicted is True
    assert moved.prediction_accuracy == pytest.approx(1.0)


def test_the_alert_reads_as_any_other(context: Context, foretold: list[Alert]) -> None:
    detail = alerts.get(context, TENANT, foretold[0].id)
    assert detail.alert.predicted_for == foretold[0].predicted_for
    page = alerts.page(context, TENANT, filters={"domain": "services"})
    assert foretold[0].id in [alert.id for alert in page.alerts]
