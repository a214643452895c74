"""The simulated log: the same for the same seed, believable, and not given away by any single column."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.evaluate.ranking import best_f1
from data.simulate.eventlog import Log, build_log, simulate_eventlog
from data.simulate.eventlog.anomalies import KINDS, LOOPS
from data.simulate.eventlog.process import CANCEL, INDEX, STEPS

CASES, DAYS = 4000, 120


@pytest.fixture(scope="module")
def log() -> Log:
    return build_log(CASES, DAYS, seed=3)


@pytest.fixture(scope="module")
def sound() -> Log:
    """The same world with nothing planted."""
    return build_log(CASES, DAYS, seed=3, share=0.0)


def wrong(log: Log) -> np.ndarray:
    return np.array([kind != "" for kind in log.kinds])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.csv")}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        summary = simulate_eventlog(tmp_path / name, size="XS", seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    for name, content in contents(tmp_path / "a").items():
        assert content != contents(tmp_path / "c")[name]
    events = list(csv.DictReader((tmp_path / "c" / "events.csv").read_text().splitlines()))
    assert summary["events"] == len(events)
    assert summary["cases"] == len({row["case_id"] for row in events}) == 200
    assert [row["timestamp"] for row in events] == sorted(row["timestamp"] for row in events)


def test_an_anomaly_changes_no_other_case(log: Log, sound: Log) -> None:
    assert not wrong(sound).any()
    kept = ~wrong(log)[log.case]
    same = ~wrong(log)[sound.case]
    for name in ("case", "index", "step", "who", "done", "minutes", "cost"):
        np.testing.assert_array_equal(getattr(log, name)[kept], getattr(sound, name)[same])


def test_what_is_labelled_is_all_that_an_odd_cost_or_person_changes(log: Log, sound: Log) -> None:
    labels = defaultdict(set)
    for row in log.truth:
        labels[row["case"]].add((row["attribute"], row["event_index"]))
    for case, kind in enumerate(log.kinds):
        if kind not in ("attribute", "cost"):
            continue
        mine, theirs = np.flatnonzero(log.case == case), np.flatnonzero(sound.case == case)
        if kind == "cost":
            np.testing.assert_array_equal(log.done[mine], sound.done[theirs])
            differs = {
                ("cost", int(at)) for at in np.flatnonzero(log.cost[mine] != sound.cost[theirs])
            }
            assert differs == labels[case]
        else:
            # another person has other hours, so what runs side by side may change places
            done_by = Counter(zip(log.step[mine].tolist(), log.who[mine].tolist(), strict=True))
            done_by -= Counter(
                zip(sound.step[theirs].tolist(), sound.who[theirs].tolist(), strict=True)
            )
            named = [mine[at] for _, at in labels[case]]
            assert done_by == Counter((int(log.step[at]), int(log.who[at])) for at in named)


def test_every_kind_is_planted_about_equally_often_in_about_one_case_of_twelve(log: Log) -> None:
    counts = Counter(kind for kind in log.kinds if kind)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) > 20
    assert 0.06 < wrong(log).mean() < 0.10


def allowed(steps: list[int]) -> bool:
    """Whether the process itself permits this order of activities: its language, written a second time."""
    words = [STEPS[step].activity for step in steps]
    short = {name: STEPS[INDEX[name]].activity for name in INDEX}

    def branch(names: list[str]) -> list[str]:
        chosen = {short[name] for name in names}
        return [word for word in words if word in chosen]

    def is_one_of(found: list[str], *options: list[str]) -> bool:
        return found in [[short[name] for name in option] for option in options]

    stages = [STEPS[step].stage for step in steps]
    start = [["create", "approve"], ["create", "approve", "change", "approve"]]
    start += [[*option, "director"] for option in start]
    early = [word for word, stage in zip(words, stages, strict=True) if stage <= 1]
    if short[CANCEL] in words:
        return words[-1] == short[CANCEL] and is_one_of(words[:-1], *start)
    goods = branch(["receive", "inspect", "return", "confirm"])
    received = [["receive"], ["receive", "inspect"], ["confirm"]]
    received += [["receive", "inspect", "return", "receive", "inspect"]]
    invoice = branch(["invoice", "record", "clarify"])
    return (
        stages == sorted(stages)
        and is_one_of(early, *start)
        and is_one_of(branch(["quote", "select"]), [], ["quote", "select"])
        and is_one_of(
            branch(["order", "send", "alter"]),
            ["order", "send"],
            ["order", "send", "alter", "send"],
        )
        and is_one_of(goods, *received)
        and is_one_of(invoice, ["invoice", "record"], ["invoice", "record", "clarify", "record"])
        and is_one_of(branch(["match", "differ"]), ["match"], ["match", "differ", "match"])
        and is_one_of(branch(["release", "pay", "close"]), ["release", "pay", "close"])
    )


def test_a_sound_case_keeps_to_the_process_and_a_planted_order_never_does(log: Log) -> None:
    steps = np.split(log.step, np.flatnonzero(np.diff(log.case)) + 1)
    ordered = {"", "attribute", "duration", "cost"}
    for kind, case in zip(log.kinds, steps, strict=True):
        assert allowed(case.tolist()) == (kind in ordered), (kind, [STEPS[s].name for s in case])


def test_people_work_in_their_hours_and_wrong_ones_in_theirs(log: Log) -> None:
    staff = log.staff
    day, second = np.divmod(log.done, 24 * 3600)
    assert (second > staff.starts[log.who]).all()
    assert (second <= staff.starts[log.who] + staff.hours[log.who]).all()
    assert (day % 7 < staff.days[log.who]).all()
    for row in log.truth:
        if row["attribute"] == "resource":
            at = np.flatnonzero((log.case == row["case"]) & (log.index == row["event_index"]))[0]
            assert staff.role[log.who[at]] != STEPS[log.step[at]].role
            assert staff.names[log.who[at]] not in (row["was"], "batch")


def test_no_value_of_a_column_and_no_cut_of_a_number_gives_the_anomalies_away(log: Log) -> None:
    """A rule that looks at one column, however well chosen, stays far from finding the traces."""
    truth = wrong(log)
    activity = np.array([step.activity for step in STEPS])[log.step]
    hour = log.done // 3600 % 24
    cents = np.round(log.cost * 100).astype(int)
    columns = {
        "activity": activity,
        "resource": np.array(log.staff.names)[log.who],
        "hour": hour,
        "weekday": log.done // 86400 % 7,
        "length": np.bincount(log.case)[log.case],
        "last cent": cents % 10,
        "round cost": cents % 100 == 0,
        "seconds": log.done % 60,
    }
    for name, column in columns.items():
        for value in np.unique(column):
            flagged = np.zeros(CASES, dtype=bool)
            flagged[log.case[column == value]] = True
            hits = (flagged & truth).sum()
            assert 2 * hits / (flagged.sum() + truth.sum()) < 0.25, (name, value)
            # a case that leaves a step out may well be shorter than any other: that is what is wrong with it
            assert name == "length" or hits < 0.9 * flagged.sum() or hits < 10, (name, value)
    for name, number in (("minutes", log.minutes), ("cost", log.cost), ("case", log.case)):
        for merge in (np.maximum, np.minimum):
            ends = merge.reduceat(number, np.flatnonzero(log.index == 0)).astype(float)
            assert max(best_f1(ends, truth), best_f1(-ends, truth)) < 0.25, name


def test_an_unknown_size_and_a_folder_in_use_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="one of XS, S, M, L, XL"):
        simulate_eventlog(tmp_path / "x", size="huge")
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(InvalidInputError, match="new or empty"):
        simulate_eventlog(tmp_path, size="XS")


def test_loops_are_steps_of_the_process() -> None:
    assert set(INDEX) >= LOOPS
