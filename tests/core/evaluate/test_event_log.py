from __future__ import annotations

import numpy as np
import pytest

from core.errors import InvalidInputError, NotEnoughDataError
from core.evaluate.event_log import ATTRIBUTES, Trial, Truth, judge, peers, prepare
from core.events import EventTable, Texts

STEPS = ("ask", "order", "receive", "pay")
STAFF = {"ask": ("ann", "bob"), "order": ("cid", "dan"), "receive": ("eve", "eli"), "pay": ("flo",)}


def labelled(n_case: int = 600, seed: int = 2) -> tuple[EventTable, Truth]:
    """Cases of four steps; every twelfth leaves one out, is done by the wrong person, or takes 20 times as long."""
    rng = np.random.default_rng(seed)
    rows, kinds, wrong = [], [], []
    for case in range(n_case):
        kind = ("skip", "attribute", "duration")[case // 12 % 3] if case % 12 == 5 else ""
        kinds.append(kind)
        hours, at = 3.0 * case, int(rng.integers(1, 3))
        for number, step in enumerate(STEPS):
            hours += rng.lognormal(0, 0.3)
            people = STAFF[step] if (kind, number) != ("attribute", at) else STAFF["ask"]
            minutes = 10 * rng.lognormal(0, 0.3)
            minutes *= 20 if (kind, number) == ("duration", at) else 1
            if (kind, number) == ("skip", at):
                continue
            told = {
                ("skip", at + 1): "activity",
                ("attribute", at): "resource",
                ("duration", at): "duration",
            }.get((kind, number), "")
            wrong.append([told == name for name in ATTRIBUTES])
            rows.append((f"c{case:04d}", step, people[case % len(people)], hours, minutes))
    case, activity, resource, hours, minutes = zip(*rows, strict=True)
    table = EventTable.of(
        Texts.of(case),
        np.datetime64("2026-01-05", "us") + (np.array(hours) * 3.6e9).astype("timedelta64[us]"),
        {"activity": Texts.of(activity), "resource": Texts.of(resource)},
        {"duration": np.array(minutes), "cost": np.full(len(rows), 5.0)},
    )
    return table, Truth(np.array(kinds), np.array(wrong))


@pytest.fixture(scope="module")
def trial() -> Trial:
    return prepare(*labelled())


def test_the_log_is_cut_by_the_start_of_its_cases_and_truth_stays_with_its_events(
    trial: Trial,
) -> None:
    parts = (trial.train, trial.tune, trial.test)
    assert [len(part.kinds) for part in parts] == [300, 120, 180]
    assert trial.train.table.time.max() < trial.tune.table.time.max() < trial.test.table.time.max()
    table, truth = labelled()
    rows = np.concatenate([part.wrong for part in parts])
    np.testing.assert_array_equal(rows, truth.wrong)
    assert [key for part in parts for key in part.table.keys] == list(table.keys)


@pytest.mark.parametrize("algorithm", ["pca", "ecod"])
def test_a_detector_finds_what_the_rarity_of_the_sequence_cannot(
    trial: Trial, algorithm: str
) -> None:
    found = judge(trial, algorithm)
    chance, rare = peers(trial)
    assert found["trace"]["ap"] > 0.8 > 0.6 > rare["trace"]["ap"] > chance["trace"]["ap"]
    assert found["attribute"]["ap"] > 0.6 > 0.2 > rare["attribute"]["ap"]
    assert min(row["recall"] for row in found["by_kind"].values()) >= 0.8
    assert rare["by_kind"]["skip"]["recall"] == 1.0
    assert rare["by_kind"]["duration"]["recall"] < 0.5
    for name in ("activity", "resource", "duration"):
        assert found["attribute"]["ap_of"][name] > 0.8
    assert np.isnan(found["attribute"]["ap_of"]["cost"])


def test_labels_have_no_say_in_what_is_found(trial: Trial) -> None:
    table, truth = labelled()
    none = prepare(table, Truth(np.where(np.arange(600) < 420, "", truth.kinds), truth.wrong))
    assert judge(none, "pca")["trace"] == judge(trial, "pca")["trace"]


def test_a_smaller_budget_raises_fewer_alarms(trial: Trial) -> None:
    alarms = [judge(trial, "pca", budget=budget)["trace"]["alarms"] for budget in (0.02, 0.1, 0.3)]
    assert alarms == sorted(alarms)
    assert alarms[0] < 0.06 < 0.2 < alarms[2]


def test_without_labels_of_attributes_only_traces_are_judged() -> None:
    table, truth = labelled()
    found = judge(prepare(table, Truth(truth.kinds)), "pca")
    assert found["attribute"] is None
    assert found["trace"]["ap"] > 0.9


def test_a_log_of_activities_and_times_alone_is_judged_by_them() -> None:
    table, truth = labelled()
    bare = EventTable(
        table.keys, table.offsets, table.time, {"activity": table.text("activity")}, {}, table.zone
    )
    found = judge(prepare(bare, truth), "pca")
    assert found["by_kind"]["skip"]["recall"] == 1.0
    assert found["attribute"]["ap_of"]["activity"] > 0.8
    assert found["attribute"]["ap_of"]["duration"] < 0.1


def test_truth_of_another_log_and_too_few_cases_are_refused() -> None:
    table, truth = labelled(60)
    with pytest.raises(NotEnoughDataError, match="at least 100"):
        prepare(table, truth)
    with pytest.raises(InvalidInputError, match="the truth must be of 60 cases"):
        prepare(table, Truth(truth.kinds[1:]))
