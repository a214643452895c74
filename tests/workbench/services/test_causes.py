"""Causes learned from labelled incidents of simulated systems: named with reasons, kept as a signed version."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest

from core.cases import Cause
from core.errors import InvalidInputError, NotEnoughDataError, NotFoundError
from data import incident_store
from data.simulate.services import Size, simulate_services
from workbench import sheets
from workbench.context import Context, open_context
from workbench.plain import plain
from workbench.requests import Change
from workbench.services import (
    causes,
    detect,
    incidents,
    ingest,
    jobs,
    label_files,
    taxonomy,
    training,
)
from workbench.services import scene as scenes
from workbench.services.incidents import IncidentLine
from workbench.settings import Settings

TENANT = "acme"
SIZE = Size(6, (2, 2), 3, 1, 3, 18)
"""Two incidents of most kinds."""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    folder = tmp_path_factory.mktemp("services") / "world"
    simulate_services(folder, size=SIZE, seed=5)
    with open_context(Settings(home=tmp_path_factory.mktemp("home"))) as opened:
        done = ingest.import_paths(opened, TENANT, [folder], domain="services")
        assert not done.failed and not done.refused
        with pytest.raises(NotEnoughDataError, match="at least 2 with 2 labelled incidents"):
            causes.teach(opened, TENANT, domain="services", actor="ana")
        added = Change(verb="add", name="cache_storm", label="Thundering herd")
        taxonomy.edit(opened, TENANT, "services", changes=[added], actor="ana")
        content = (folder / "labels.csv").read_bytes().replace(b"cpu_saturation", b"cache_storm")
        label_files.import_csv(
            opened, TENANT, domain="services", content=content, file="labels.csv"
        )
        yield opened


@pytest.fixture(scope="module")
def numbers(context: Context) -> dict[int, str]:
    """Incident → the cause that people gave it."""
    return {line.id: line.root_cause for line in listed(context) if line.root_cause}


@pytest.fixture(scope="module")
def taught(context: Context) -> causes.Taught:
    return causes.teach(context, TENANT, domain="services", actor="ana")


def test_nothing_is_suggested_before_anything_was_learned(
    context: Context, numbers: dict[int, str]
) -> None:
    with pytest.raises(NotFoundError, match="learned from labelled incidents first"):
        causes.suggest(context, TENANT, next(iter(numbers)))


def test_labelled_incidents_teach_a_signed_version(
    context: Context, numbers: dict[int, str], taught: causes.Taught
) -> None:
    assert sum(taught.labels.values()) + len(taught.left_out) <= len(numbers)
    assert len(taught.labels) >= 4
    manifest = context.registry.manifest(TENANT, taught.version)
    assert (manifest.name, manifest.kind, manifest.domain) == ("causes", "classifier", "services")
    assert manifest.metrics["labels"] == sum(taught.labels.values())
    assert all(verdict.ok for verdict in context.registry.verify(TENANT))


def test_a_suggestion_names_every_cause_and_what_speaks_for_it(
    context: Context, numbers: dict[int, str], taught: causes.Taught
) -> None:
    newest = causes.latest(context, TENANT, "services")
    assert newest is not None and newest.id == taught.version
    right = 0
    learned = [number for number, cause in numbers.items() if cause in taught.labels]
    for number in learned:
        found = causes.suggest(context, TENANT, number, top=3)
        assert found.version == taught.version
        assert {one.cause for one in found.causes} == set(taught.labels)
        assert sum(one.probability for one in found.causes) == pytest.approx(1.0)
        assert all(len(one.reasons) == 3 for one in found.causes)
        right += found.causes[0].cause == numbers[number]
    # they taught it: whoever cannot name these names nothing
    assert right >= 0.9 * len(learned)


def test_a_taught_version_words_what_detection_finds_where_it_is_sure(
    context: Context, numbers: dict[int, str], taught: causes.Taught
) -> None:
    scene = scenes.look(context, TENANT, domain="services")
    words, refused = causes.wording(context, TENANT, scene, until=None)
    assert words is not None and refused == ""
    sure = right = 0
    for number, cause in numbers.items():
        told = incidents.get(context, TENANT, number).incident
        found = [unnamed(told.services[0], told.onset), unnamed("service:other", told.onset)]
        first, second = words(found, told.services)
        assert second is found[1]
        if first is not found[0]:
            sure += 1
            right += first.type == cause
            assert f"version {taught.version}, learned from labels" in first.evidence[-1]
    # it learned from these very incidents
    assert sure >= 0.25 * len(numbers) and right >= 0.9 * sure


def test_a_cause_of_the_tenants_own_is_told_by_its_word(
    context: Context, taught: causes.Taught, capsys: pytest.CaptureFixture[str]
) -> None:
    assert taught.labels["cache_storm"] >= 2
    report = detect.detect(context, TENANT, actor="ana", domain="services")
    called = next(one for one in report.incidents if one.cause_type == "cache_storm")
    own = context.records.read(
        TENANT,
        lambda session: incident_store.finding(session, tenant=TENANT, incident_id=called.id),
    )
    assert own is not None and own.title.startswith("Thundering herd on ")
    assert own.candidates[0]["type_label"] == "Thundering herd"
    (line,) = [one for one in listed(context) if one.id == called.id]
    detail = incidents.get(context, TENANT, called.id)
    assert line.looks_like == detail.looks_like == "Thundering herd"
    assert line.judged_as == taxonomy.of(context, TENANT, "services").label(line.root_cause)
    sheets.INCIDENT.draw(plain(detail))
    assert "Looks like Thundering herd" in " ".join(capsys.readouterr().out.split())


def test_a_taught_word_needs_measurements_known_by_then(
    context: Context, numbers: dict[int, str], taught: causes.Taught
) -> None:
    scene = scenes.look(context, TENANT, domain="services")
    told = incidents.get(context, TENANT, next(iter(numbers))).incident
    long_ago = [unnamed(told.services[0], told.onset - timedelta(days=30))]
    words, _ = causes.wording(context, TENANT, scene, until=None)
    assert words is not None and words(long_ago, told.services) is long_ago


def test_causes_merged_since_they_were_taught_count_as_one(
    context: Context, numbers: dict[int, str], taught: causes.Taught
) -> None:
    number = next(number for number, cause in numbers.items() if cause == "memory_leak")
    before = {one.cause: one.probability for one in causes.suggest(context, TENANT, number).causes}
    merge = Change(verb="merge", name="memory_leak", into="cache_storm")
    taxonomy.edit(context, TENANT, "services", changes=[merge], actor="ana")
    found = causes.suggest(context, TENANT, number)
    after = {one.cause: one.probability for one in found.causes}
    assert "memory_leak" not in after and found.words["cache_storm"] == "Thundering herd"
    assert after["cache_storm"] == pytest.approx(before["memory_leak"] + before["cache_storm"])
    assert found.causes[0].cause == "cache_storm"
    line = next(one for one in listed(context) if one.id == number)
    assert (line.root_cause, line.judged_as) == ("cache_storm", "Thundering herd")


def unnamed(node: str, onset: datetime) -> Cause:
    """A cause that the localizer had no word for."""
    at = np.datetime64(onset.replace(tzinfo=None), "s")
    return Cause(node, "unknown", at, (node,), 0, {}, 0.0, 0.9)


def test_jobs_are_run_for_whoever_has_measurements_alone(context: Context) -> None:
    assert context.settings.tenant != TENANT and TENANT in jobs.tenants(context)
    assert training.domains(context, TENANT) == ("services",)


def test_an_incident_that_nothing_was_measured_of_says_so(context: Context) -> None:
    told = incidents.record(
        context,
        TENANT,
        title="The fax is down",
        severity="low",
        onset=listed(context)[0].onset,
        services=["fax"],
        domain="services",
        actor="ana",
    )
    with pytest.raises(NotEnoughDataError, match="affected entities must be at least 1"):
        causes.suggest(context, TENANT, told.incident.id)


def test_money_by_the_day_has_no_neighbourhood(context: Context) -> None:
    with pytest.raises(InvalidInputError, match="measurements are of moments"):
        causes.teach(context, TENANT, domain="ads", actor="ana")


def listed(context: Context) -> list[IncidentLine]:
    return incidents.page(context, TENANT, domain="services", status="any", limit=100).incidents
