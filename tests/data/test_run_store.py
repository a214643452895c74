"""What the machine remembers: runs that a kill cut short, schedules, streaming state, visits."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from core.errors import NotFoundError
from data import run_store
from data.record_store import Records
from tests.findings import DAY, NOW


def do(records: Records, verb: Any, **arguments: Any) -> Any:
    return records.write("acme", lambda session: verb(session, tenant="acme", **arguments))


def begin(records: Records, now: Any = NOW) -> Any:
    return do(
        records, run_store.start, domain="ads", detector="ensemble", at=now, actor="ana", now=now
    )


def test_a_run_tells_what_it_saw(records: Records) -> None:
    run = begin(records)
    assert (run.id, run.state) == (1, "running")
    do(
        records,
        run_store.finish,
        run_id=1,
        now=NOW + DAY,
        entities_checked=10,
        anomalies=2,
        seconds={"detect": 0.5},
        notes=["half-space-trees is not warm"],
    )
    done = do(records, run_store.latest, domain="ads", state="done")
    assert (done.entities_checked, done.anomalies, done.seconds) == (10, 2, {"detect": 0.5})
    assert (done.finished, done.notes) == (NOW + DAY, ["half-space-trees is not warm"])


def test_runs_left_running_are_closed_as_failed(records: Records) -> None:
    begin(records)
    do(records, run_store.fail, run_id=1, now=NOW, error="disk full")
    begin(records, NOW + DAY)
    assert do(records, run_store.heal, now=NOW + 2 * DAY) == 1
    run = do(records, run_store.latest, domain="ads")
    assert (run.id, run.state, run.finished) == (2, "failed", NOW + 2 * DAY)
    assert do(records, run_store.heal, now=NOW) == 0


def test_a_domain_that_never_ran_has_no_latest_run(records: Records) -> None:
    assert do(records, run_store.latest, domain="ads") is None
    with pytest.raises(NotFoundError, match="Got 9"):
        do(records, run_store.fail, run_id=9, now=NOW, error="")


def test_streaming_state_is_kept_per_model_version_and_replaced(records: Records) -> None:
    key = {"domain": "ads", "detector": "half-space-trees", "model_version": "v1"}
    save = {"until": date(2026, 11, 19), "now": NOW}
    do(records, run_store.save_stream, **key, state=b"\x00one", **save)
    do(records, run_store.save_stream, **key, state=b"\xfftwo", **save)
    kept = do(records, run_store.load_stream, **key)
    assert (kept.state, kept.until) == (b"\xfftwo", date(2026, 11, 19))
    assert do(records, run_store.load_stream, **key | {"model_version": "v2"}) is None


def test_a_visit_answers_with_the_one_before(records: Records) -> None:
    who = {"user_id": "ana", "page": "triage"}
    assert do(records, run_store.visit, **who, now=NOW) is None
    assert do(records, run_store.last_visit, **who) == NOW
    assert do(records, run_store.visit, **who, now=NOW + DAY) == NOW
    assert do(records, run_store.last_visit, **who) == NOW + DAY
    assert do(records, run_store.last_visit, user_id="ben", page="triage") is None


def test_a_scheduled_task_remembers_when_it_is_due_and_last_ran(records: Records) -> None:
    do(records, run_store.beat, name="detect", due=NOW)
    do(records, run_store.beat, name="detect", due=NOW + DAY, last_started=NOW, last_finished=NOW)
    kept = do(records, run_store.beats)
    assert list(kept) == ["detect"]
    assert (kept["detect"].due, kept["detect"].last_finished) == (NOW + DAY, NOW)
