from __future__ import annotations

import numpy as np
import pytest

from core.artifact import pack, unpack
from core.errors import NotEnoughDataError
from core.events import EventTable, Texts
from core.features.event_log import (
    CASE_FEATURES,
    EVENT_FEATURES,
    GROUPS,
    EventFeatures,
    in_nats,
)

STEPS = ("ask", "order", "receive", "pay")
STAFF = {"ask": ("ann", "bob"), "order": ("cid", "dan"), "receive": ("eve",), "pay": ("flo", "gus")}


def log(cases: dict[str, list[tuple]]) -> EventTable:
    """Case → rows of (activity, resource, hours since 2026-01-05 08:00, duration, cost)."""
    rows = [(case, *row) for case, events in cases.items() for row in events]
    case, activity, resource, hours, duration, cost = zip(*rows, strict=True)
    start = np.datetime64("2026-01-05T08:00", "us")
    return EventTable.of(
        Texts.of(case),
        start + (np.array(hours) * 3.6e9).astype("timedelta64[us]"),
        {"activity": Texts.of(activity), "resource": Texts.of(resource)},
        {"duration": np.array(duration, dtype=float), "cost": np.array(cost, dtype=float)},
    )


def ordinary(n_case: int = 400, seed: int = 1) -> dict[str, list[tuple]]:
    rng = np.random.default_rng(seed)
    cases = {}
    for number in range(n_case):
        hours, events = 24.0 * (number % 5) + rng.uniform(0, 2), []
        for step in STEPS:
            hours += rng.lognormal(0, 0.2)
            worker = STAFF[step][int(rng.integers(len(STAFF[step])))]
            events.append(
                (step, worker, hours, 10 * rng.lognormal(0, 0.3), 5 * rng.lognormal(0, 0.2))
            )
        cases[f"c{number:03d}"] = events
    return cases


@pytest.fixture(scope="module")
def learned() -> EventFeatures:
    return EventFeatures.learn(log(ordinary()))


def judged(learned: EventFeatures, events: list[tuple]) -> dict[str, np.ndarray]:
    """Features of one case by name, (n_event,), in nats."""
    panel = in_nats(learned.events(log({"odd": events})))
    return {name: panel.metric(name)[:, 0] for name in panel.metrics}


USUAL = [
    ("ask", "ann", 1, 10, 5),
    ("order", "cid", 2, 10, 5),
    ("receive", "eve", 3, 10, 5),
    ("pay", "flo", 4, 10, 5),
]


def test_an_ordinary_case_surprises_nowhere(learned: EventFeatures) -> None:
    found = judged(learned, USUAL)
    assert set(found) == set(EVENT_FEATURES)
    assert max(np.nanmax(values) for values in found.values()) < 1.5


def test_a_step_left_out_is_told_at_the_first_event_after_it_only(learned: EventFeatures) -> None:
    found = judged(learned, [USUAL[0], *USUAL[2:]])
    assert found["left_out"][1] > 4
    assert found["left_out"][2] == 0
    assert found["follows"][1] > 4
    assert found["leads_to"][0] > 4


def test_a_step_done_too_early_is_out_of_order_for_what_it_overtook(learned: EventFeatures) -> None:
    found = judged(learned, [USUAL[0], ("pay", "flo", 2, 10, 5), *USUAL[1:3]])
    assert found["left_out"][1] > 4
    assert found["out_of_order"][2] > 4
    assert found["since_trigger"][1] > 4


def test_work_done_again_repeats(learned: EventFeatures) -> None:
    found = judged(learned, [*USUAL[:2], ("order", "cid", 2.5, 10, 5), *USUAL[2:]])
    assert found["repeat"][2] > 3
    assert found["out_of_order"][2] > 3
    assert found["repeat"][[0, 1, 3, 4]].max() == 0


def test_a_person_of_another_role_is_out_of_role_and_a_new_one_is_not(
    learned: EventFeatures,
) -> None:
    wrong = judged(learned, [*USUAL[:3], ("pay", "eve", 4, 10, 5)])["out_of_role"]
    assert wrong[3] > 3
    assert wrong[:3].max() == 0
    assert judged(learned, [*USUAL[:3], ("pay", "zoe", 4, 10, 5)])["out_of_role"][3] == 0


def test_durations_and_costs_are_measured_against_the_activity_and_the_case(
    learned: EventFeatures,
) -> None:
    found = judged(
        learned, [USUAL[0], ("order", "cid", 2, 100, 5), ("receive", "eve", 3, 10, 0.5), USUAL[3]]
    )
    assert found["duration"][1] > 8
    assert found["duration_in_case"][1] > 8
    assert found["cost"][2] > 8
    assert np.delete(found["duration"], 1).max() < 1.5
    missing = judged(learned, [USUAL[0], ("order", None, 2, np.nan, np.nan), *USUAL[2:]])
    assert np.isnan([missing[name][1] for name in ("duration", "cost", "out_of_role")]).all()


def test_a_case_carries_the_farthest_of_its_events_and_its_own_form(learned: EventFeatures) -> None:
    table = log({"odd": [USUAL[0], ("order", "cid", 2, 100, 5), USUAL[3]], "usual": USUAL})
    cases = in_nats(learned.cases(table))
    assert cases.metrics == CASE_FEATURES
    assert cases.entities == ("odd", "usual")
    odd, usual = cases.values[:, 0]
    for name in ("variant", "unfinished", "duration", "left_out"):
        assert odd[CASE_FEATURES.index(name)] > 3 + usual[CASE_FEATURES.index(name)]


def test_the_bucket_of_the_unknown_takes_activities_never_seen(learned: EventFeatures) -> None:
    found = judged(learned, [*USUAL[:2], ("juggle", "cid", 2.5, 10, 5), *USUAL[2:]])
    assert found["follows"][2] > 4
    assert all(
        np.isfinite(values).all() or name.startswith("since") for name, values in found.items()
    )


def test_what_was_learned_survives_being_packed_and_transforms_the_same(
    learned: EventFeatures,
) -> None:
    table = log(ordinary(30, seed=9))
    again = EventFeatures.of(unpack(pack(learned.state)))
    for make in (EventFeatures.events, EventFeatures.cases):
        np.testing.assert_array_equal(make(again, table).values, make(learned, table).values)


def test_a_case_has_the_same_features_alone_and_among_others(learned: EventFeatures) -> None:
    table = log(ordinary(20, seed=4))
    alone = learned.events(table.select(np.array([7])))
    among = learned.events(table).select(entities=alone.entities)
    np.testing.assert_array_equal(alone.values, among.values)


def test_too_few_cases_teach_nothing() -> None:
    with pytest.raises(NotEnoughDataError, match="at least 20"):
        EventFeatures.learn(log(ordinary(5)))


def test_every_feature_tells_of_one_attribute() -> None:
    assert sum(len(names) for names in GROUPS.values()) == len(set(EVENT_FEATURES))
