"""One outbreak is one incident, whoever comes first and whatever people do in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ConflictError, NotFoundError
from data import (
    alert_feed,
    alert_store,
    audit_store,
    incident_reports,
    incident_store,
    label_pool,
    label_store,
    outbreaks,
)
from data.alert_feed import Filters
from data.finding_store import Upserted
from data.incident_reports import Report
from data.ingest.incident_files import reported, standing
from data.record_store import Records
from data.records import NewIncident, NewLabel
from tests.findings import NOW, new_alert, new_incident

MINUTE = timedelta(minutes=1)
BEGAN = NOW - 60 * MINUTE
EVERY = ("open", "acknowledged", "resolved")


class Desk:
    """One tenant's outbreak as it comes in: the alerts of cart and its pod, told by a file, judged by people."""

    def __init__(self, records: Records, tenant: str = "acme") -> None:
        self.records, self.tenant = records, tenant

    def do(self, act: Callable[..., Any], actor: str = "ana", **arguments: Any) -> Any:
        who = {"tenant": self.tenant, "now": NOW, "actor": actor} | arguments
        return self.records.write(self.tenant, lambda session: act(session, **who))

    def detect(
        self, root: str = "service:cart", *, at: datetime = BEGAN, anew: bool = True, **facts: Any
    ) -> Upserted:
        """A run that finds one outbreak, with the alerts of a service and of its pod."""
        known = {"services": ["cart"], "cause_type": "cpu_saturation", "onset": at}
        found: list[NewIncident] = [new_incident(root, domain="services", **(known | facts))]
        ids = self.raised(at)
        return self.do(
            outbreaks.gather, "detection", found=found, holding=[ids], anew=anew, noticed=ids
        )

    def notice(self, *, at: datetime = BEGAN, **facts: Any) -> tuple[int, ...]:
        """A run that raises the same alerts and finds no cause of them; their numbers."""
        ids = self.raised(at, **facts)
        self.do(outbreaks.gather, "detection", found=[], holding=[], noticed=ids)
        return ids

    def raised(self, at: datetime = BEGAN, **facts: Any) -> tuple[int, ...]:
        seen = {"domain": "services", "onset": at, "last_seen": at + 20 * MINUTE}
        alerts = [
            new_alert(entity, **(seen | {"services": ["cart"]} | facts))
            for entity in ("service:cart", "pod:cart-1")
        ]
        ids: tuple[int, ...] = self.do(alert_store.upsert, "detection", found=alerts).ids
        return ids

    def tell(
        self, key: str = "INC-1", *, at: datetime = BEGAN + 5 * MINUTE, **facts: Any
    ) -> Upserted:
        known = {"title": "Checkout slow", "severity": "low", "services": ["Cart"], "onset": at}
        told = reported("services", source="file", key=key, **(known | facts))
        report = Report(told, standing(told.ended_at, "file"))
        return self.do(incident_reports.report, found=[report], verb="import")

    def label(self, cause: str = "memory_leak", by: str = "ben") -> None:
        (row,) = self.shown()
        label = NewLabel(incident_id=row.id, entity="", disposition="real", cause=cause)
        self.do(label_store.add, by, label=label)

    def undo(self, audit_id: int | None = None) -> int:
        return int(self.do(outbreaks.undo, audit_id=audit_id).id)

    def read(self, act: Callable[..., Any], **arguments: Any) -> Any:
        return self.records.read(
            self.tenant, lambda session: act(session, tenant=self.tenant, **arguments)
        )

    def shown(self) -> list[Any]:
        page = self.read(incident_store.page, status=EVERY)
        return sorted(page.rows, key=lambda row: row.id)

    def alerts(self, number: int) -> list[Any]:
        return list(self.read(incident_store.alerts, incident_id=number))

    def alone(self) -> list[str]:
        """The entities of the alerts that are in no incident."""
        page = self.read(alert_feed.page, filters=Filters(status=EVERY, muted=None))
        return sorted(alert.entity for alert in page.rows if alert.incident_id is None)

    def labels(self, number: int) -> list[str]:
        return [label.cause for label in self.read(label_store.current, incident_id=number)]


tenants = iter(range(1_000_000))


@pytest.fixture
def both(records: Records) -> Desk:
    """A desk on SQLite, and one on PostgreSQL."""
    return Desk(records)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    place: Path = tmp_path_factory.mktemp("outbreaks")
    with Records(f"sqlite:///{place}/records.db") as store:
        yield store


@pytest.fixture
def desk(shared: Records) -> Desk:
    return Desk(shared, f"tenant-{next(tenants)}")


def told_first(desk: Desk, **facts: Any) -> None:
    desk.tell(**facts)
    desk.detect()


def found_first(desk: Desk, **facts: Any) -> None:
    desk.detect()
    desk.tell(**facts)


@pytest.mark.parametrize("arrive", [told_first, found_first])
def test_whoever_comes_first_one_incident_has_the_words_of_one_and_the_root_of_the_other(
    both: Desk, arrive: Callable[[Desk], None]
) -> None:
    arrive(both)
    (row,) = both.shown()
    assert (row.title, row.source, row.external_key) == ("Checkout slow", "file", "INC-1")
    assert (row.severity, row.onset, row.services) == ("low", BEGAN + 5 * MINUTE, ["Cart"])
    assert (row.root_entity, row.cause_type, row.confidence) == (
        "service:cart",
        "cpu_saturation",
        0.8,
    )
    assert row.alerts == len(both.alerts(row.id)) == 2
    assert {alert.entity: alert.muted_by for alert in both.alerts(row.id)} == {
        "service:cart": None,
        "pod:cart-1": row.id,
    }
    assert len(both.read(label_pool.incidents, domain="services", most=9)) == 1
    # both numbers lead to it, and running or telling again changes nothing
    assert both.read(incident_store.get, incident_id=1).id == row.id
    assert both.read(incident_store.get, incident_id=2).id == row.id
    told = both.read(audit_store.history)
    assert (both.detect().unchanged, both.tell().unchanged) == (1, 1)
    assert both.read(audit_store.history) == told
    assert [row.id] == [one.id for one in both.shown()]
    (joined, *_) = [event for event in told if event.verb == "join"]
    assert joined.after["why"] == "both at cart, begun 5 minutes apart"


@pytest.mark.parametrize("arrive", [told_first, found_first])
def test_a_better_root_is_taken_over_until_people_judged_the_guess(
    desk: Desk, arrive: Callable[[Desk], None]
) -> None:
    arrive(desk)
    assert desk.detect("service:db", cause_type="database_slow").updated == 1
    (row,) = desk.shown()
    assert (row.root_entity, row.cause_type) == ("service:db", "database_slow")
    assert {alert.muted_by for alert in desk.alerts(row.id)} == {row.id}
    desk.label("disk_full")
    desk.detect("service:cart", spend_at_risk=7.0)
    (row,) = desk.shown()
    assert (row.root_entity, row.root_cause, row.spend_at_risk) == ("service:db", "disk_full", 7.0)


@pytest.mark.parametrize(
    ("told", "one"),
    [
        ({"services": ["cart"]}, True),
        ({"services": ["service:cart"]}, True),
        ({"services": ["payment", "CART"]}, True),
        ({"services": ["pod:cart-1"]}, True),
        ({"services": ["payment"]}, False),
        ({"services": []}, False),
        ({"at": BEGAN + 49 * MINUTE}, True),
        ({"at": BEGAN + 51 * MINUTE}, False),
        ({"at": BEGAN - 4 * timedelta(hours=1)}, True),
        ({"at": BEGAN - 5 * timedelta(hours=1)}, False),
        ({"at": BEGAN - 90 * MINUTE, "ended_at": BEGAN - 31 * MINUTE}, False),
        ({"at": BEGAN - 90 * MINUTE, "ended_at": BEGAN - 30 * MINUTE}, True),
    ],
)
@pytest.mark.parametrize("arrive", [told_first, found_first])
def test_the_same_place_at_the_same_time_is_the_same_outbreak(
    desk: Desk, arrive: Callable[..., None], told: dict[str, Any], one: bool
) -> None:
    arrive(desk, **told)
    assert len(desk.shown()) == (1 if one else 2)


def test_of_several_the_nearest_is_joined_and_two_that_were_told_never_are(desk: Desk) -> None:
    desk.tell("far", at=BEGAN - 20 * MINUTE)
    desk.tell("near", at=BEGAN - 2 * MINUTE)
    desk.detect()
    desk.tell("late", at=BEGAN + MINUTE)
    assert [(row.external_key, row.root_entity) for row in desk.shown()] == [
        ("far", ""),
        ("near", "service:cart"),
        ("late", ""),
    ]


@pytest.mark.parametrize("arrive", [told_first, found_first])
def test_what_was_found_outlives_the_undo_of_what_was_told(
    both: Desk, arrive: Callable[..., None]
) -> None:
    arrive(both, ended_at=BEGAN + 25 * MINUTE)
    (row,) = both.shown()
    assert (row.status, {alert.status for alert in both.alerts(row.id)}) == (
        "resolved",
        {"resolved"},
    )
    both.label()
    undone = both.undo()
    (row,) = both.shown()
    assert (row.source, row.status, row.root_entity) == ("headwater", "open", "service:cart")
    assert [alert.status for alert in both.alerts(row.id)] == ["open", "open"]
    assert (both.labels(row.id), row.root_cause) == (["memory_leak"], "memory_leak")
    both.undo(undone)
    (row,) = both.shown()
    assert (row.source, row.alerts, both.labels(row.id)) == ("file", 2, ["memory_leak"])


def test_a_label_an_item_and_a_prediction_go_along(desk: Desk) -> None:
    desk.detect()
    desk.label()
    (found,) = desk.shown()

    def foretell(session: Any, **_: Any) -> None:
        row = incident_store.get(session, tenant=desk.tenant, incident_id=found.id)
        row.was_predicted, row.prediction_accuracy = True, 0.75

    desk.do(foretell)
    desk.do(incident_store.acknowledge, incident_id=found.id)
    desk.tell()
    (row,) = desk.shown()
    assert (row.root_cause, row.label_status, desk.labels(row.id)) == (
        "memory_leak",
        "labeled",
        ["memory_leak"],
    )
    assert (row.was_predicted, row.prediction_accuracy) == (True, 0.75)
    assert (row.status, row.acknowledged_by) == ("acknowledged", "ana")
    desk.undo()
    (row,) = desk.shown()
    assert (row.id, row.status, desk.labels(row.id)) == (found.id, "acknowledged", ["memory_leak"])


def test_parted_they_stay_apart_until_that_is_undone(desk: Desk) -> None:
    desk.detect()
    desk.tell()
    (told,) = desk.shown()
    desk.label()
    desk.do(outbreaks.part, incident_id=told.id, note="two things")
    found, told = desk.shown()
    assert (found.source, found.status, found.alerts) == ("headwater", "open", 2)
    assert (told.root_entity, told.alerts, desk.labels(told.id)) == ("", 0, ["memory_leak"])
    desk.detect()
    desk.tell(title="Checkout slower")
    assert [row.alerts for row in desk.shown()] == [2, 0]
    with pytest.raises(ConflictError, match="told by file alone"):
        desk.do(outbreaks.part, incident_id=told.id)
    desk.undo()  # of the news
    desk.undo()
    (row,) = desk.shown()
    assert (row.id, row.root_entity, row.alerts) == (told.id, "service:cart", 2)


def test_the_alerts_follow_what_a_pager_says_and_one_that_goes_on_is_heard(desk: Desk) -> None:
    desk.detect()
    desk.tell()
    (row,) = desk.shown()
    pod = new_alert("pod:cart-2", domain="services", onset=BEGAN, last_seen=BEGAN + 59 * MINUTE)
    (number,) = desk.do(alert_store.upsert, found=[pod]).ids
    desk.do(incident_store.attach, incident_id=row.id, alert_ids=[number])
    before = {alert.entity: (alert.status, alert.muted_by) for alert in desk.alerts(row.id)}
    desk.tell(ended_at=BEGAN + 10 * MINUTE)
    assert {alert.entity: (alert.status, alert.muted_by) for alert in desk.alerts(row.id)} == {
        "service:cart": ("resolved", None),
        "pod:cart-1": ("resolved", row.id),
        "pod:cart-2": ("open", None),
    }
    desk.undo()
    assert before == {alert.entity: (alert.status, alert.muted_by) for alert in desk.alerts(row.id)}


def test_two_that_stood_side_by_side_are_joined_once_they_prove_to_be_one(desk: Desk) -> None:
    desk.tell(services=[])
    desk.detect()
    told, found = desk.shown()
    for number, by in ((told.id, "ben"), (found.id, "eva")):
        label = NewLabel(incident_id=number, entity="", disposition="real", cause=f"of {by}")
        desk.do(label_store.add, by, label=label)
    desk.do(incident_reports.edit, incident_id=told.id, values={"services": ["cart"]})
    (row,) = desk.shown()
    assert (row.id, row.alerts, sorted(desk.labels(row.id))) == (told.id, 2, ["of ben", "of eva"])


def test_an_incident_raised_from_an_alert_is_the_one_that_is_found_around_it(desk: Desk) -> None:
    alert = new_alert("service:cart", domain="services", onset=BEGAN, last_seen=BEGAN + 20 * MINUTE)
    (number,) = desk.do(alert_store.upsert, found=[alert]).ids
    facts = new_incident("service:cart", domain="services", onset=BEGAN, cause_type="")
    facts.source, facts.external_key = "hand", f"alert/{number}"
    raised = desk.do(incident_reports.report, found=[Report(facts)], verb="raise").ids[0]
    desk.do(incident_store.attach, incident_id=raised, alert_ids=[number])
    desk.detect()
    (row,) = desk.shown()
    assert (row.id, row.cause_type, row.alerts) == (raised, "cpu_saturation", 2)
    desk.do(outbreaks.part, incident_id=raised)
    raised_again, found = desk.shown()
    assert (raised_again.root_entity, raised_again.cause_type) == ("service:cart", "")
    assert (found.alerts, found.cause_type) == (2, "cpu_saturation")


# ── alerts for which no cause stands out ─────────────────────────────────────────────────────────

BOTH = ["pod:cart-1", "service:cart"]


def told_then_noticed(desk: Desk, **facts: Any) -> None:
    desk.tell(**facts)
    desk.notice()


def noticed_then_told(desk: Desk, **facts: Any) -> None:
    desk.notice()
    desk.tell(**facts)


@pytest.mark.parametrize("arrive", [told_then_noticed, noticed_then_told])
def test_alerts_without_a_cause_are_evidence_of_what_was_told_and_invent_no_root(
    both: Desk, arrive: Callable[[Desk], None]
) -> None:
    arrive(both)
    (row,) = both.shown()
    assert (row.source, row.root_entity, row.cause_type, row.alerts) == ("file", "", "", 2)
    assert {alert.muted_by for alert in both.alerts(row.id)} == {row.id}
    assert both.alone() == []
    told = both.read(audit_store.history)
    (taken,) = [event for event in told if event.verb == "take"]
    assert taken.after["why"] == "no cause stands out; at cart then"
    # told and noticed again, nothing changes
    both.notice()
    assert both.tell().unchanged == 1
    assert both.read(audit_store.history) == told
    # a cause that is found later is the same outbreak's
    both.detect()
    (row,) = both.shown()
    assert (row.source, row.root_entity, row.alerts) == ("file", "service:cart", 2)


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ({"services": ["CART"]}, True),
        ({"services": ["pod:cart-1"]}, True),
        ({"services": ["payment"]}, False),
        ({"services": []}, False),
        ({"at": BEGAN + 49 * MINUTE}, True),
        ({"at": BEGAN + 51 * MINUTE}, False),
        ({"at": BEGAN - 90 * MINUTE, "ended_at": BEGAN - 31 * MINUTE}, False),
    ],
)
@pytest.mark.parametrize("arrive", [told_then_noticed, noticed_then_told])
def test_only_alerts_of_its_place_and_time_are_evidence(
    desk: Desk, arrive: Callable[..., None], told: dict[str, Any], taken: bool
) -> None:
    arrive(desk, **told)
    (row,) = desk.shown()
    assert (row.alerts > 0) == taken
    assert sorted([*desk.alone(), *(alert.entity for alert in desk.alerts(row.id))]) == BOTH


def test_what_is_foretold_is_no_evidence(desk: Desk) -> None:
    desk.tell()
    desk.notice(predicted_for=BEGAN + 30 * MINUTE, lead_minutes=30.0)
    assert desk.alone() == BOTH


@pytest.mark.parametrize("arrive", [told_then_noticed, noticed_then_told])
def test_evidence_stands_alone_again_once_what_was_told_is_undone(
    both: Desk, arrive: Callable[..., None]
) -> None:
    arrive(both, ended_at=BEGAN + 25 * MINUTE)
    (row,) = both.shown()
    assert {alert.status for alert in both.alerts(row.id)} == {"resolved"}
    undone = both.undo()
    assert both.shown() == [] and both.alone() == BOTH
    page = both.read(alert_feed.page)
    assert {(alert.status, alert.muted_by) for alert in page.rows} == {("open", None)}
    both.undo(undone)
    (row,) = both.shown()
    assert (row.alerts, both.alone()) == (2, [])


def test_evidence_that_is_parted_stands_alone_for_good_and_the_finding_keeps_its_own(
    desk: Desk,
) -> None:
    desk.notice()
    desk.tell()
    (told,) = desk.shown()
    desk.do(outbreaks.part, incident_id=told.id)
    assert desk.alone() == BOTH
    desk.notice()
    desk.tell(title="Checkout slower")
    assert desk.alone() == BOTH
    desk.undo()  # of the news
    desk.undo()
    assert desk.alone() == []
    # one of them found its cause since; the other one is evidence still
    service, pod = (alert.id for alert in desk.alerts(told.id))
    about = [new_incident("service:cart", domain="services", services=["cart"], onset=BEGAN)]
    desk.do(outbreaks.gather, "detection", found=about, holding=[[service]], noticed=[service, pod])
    (row,) = desk.shown()
    assert (row.id, row.alerts) == (told.id, 2)
    desk.do(outbreaks.part, incident_id=told.id)
    found = desk.shown()[0 if desk.shown()[0].source == "headwater" else 1]
    assert [alert.id for alert in desk.alerts(found.id)] == [service]
    assert desk.alone() == ["pod:cart-1"]


def test_of_two_that_were_told_the_other_one_takes_what_the_first_lets_go(desk: Desk) -> None:
    desk.tell("far", at=BEGAN - 20 * MINUTE)
    desk.notice()
    desk.tell("near", at=BEGAN - 2 * MINUTE)
    far, near = desk.shown()
    # what is evidence already stays where it is
    assert (far.alerts, near.alerts) == (2, 0)
    desk.do(outbreaks.part, incident_id=far.id)
    assert [row.alerts for row in desk.shown()] == [0, 2]
    assert desk.alone() == []


# ── in any order ─────────────────────────────────────────────────────────────────────────────────


def _resolve(desk: Desk) -> None:
    for row in desk.shown():
        desk.do(incident_store.resolve, "eva", incident_id=row.id)


def _label(desk: Desk) -> None:
    if len(desk.shown()) == 1:
        desk.label()


def _part(desk: Desk) -> None:
    for row in desk.shown():
        if row.source != "headwater":
            desk.do(outbreaks.part, incident_id=row.id)


STEPS: dict[str, Callable[[Desk], Any]] = {
    "tell": Desk.tell,
    "tell the end": lambda desk: desk.tell(ended_at=BEGAN + 25 * MINUTE),
    "tell of news": lambda desk: desk.tell(title="Checkout down"),
    "detect": Desk.detect,
    "detect another root": lambda desk: desk.detect("service:db", cause_type="disk_full"),
    "detect no cause": Desk.notice,
    "part": _part,
    "label": _label,
    "resolve": _resolve,
    "undo": Desk.undo,
}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=9))
def test_in_any_order_it_ends_as_one_incident_and_nothing_is_lost(
    shared: Records, steps: list[str]
) -> None:
    desk = Desk(shared, f"tenant-{next(tenants)}")
    labels = 0
    for name in steps:
        try:
            STEPS[name](desk)
        except (ConflictError, NotFoundError):
            assert name in ("undo", "part")
        shown = desk.shown()
        assert len(shown) <= 1 + any(row.apart for row in shown)
        labels += name == "label" and len(shown) == 1
        under = [alert.entity for row in shown for alert in desk.alerts(row.id)]
        assert sorted([*under, *desk.alone()]) in ([], BOTH)
        assert [row.alerts for row in shown] == [len(desk.alerts(row.id)) for row in shown]
    desk.detect()
    desk.tell()
    shown = desk.shown()
    assert len(shown) == 1 + any(row.apart for row in shown)
    assert desk.alone() == []
    assert sum(len(desk.labels(row.id)) for row in shown) == labels
    assert desk.read(audit_store.verify) is None
