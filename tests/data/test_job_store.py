"""The queue's statements: taken once, fenced off when given up, cancelled, retried, resumed; on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core.errors import ConflictError, NotFoundError
from data import audit_store, job_store
from data.model_records import Job
from data.record_store import Records


def do(records: Records, verb: Any, **arguments: Any) -> Any:
    return records.write("acme", lambda session: verb(session, tenant="acme", **arguments))


def queued(records: Records, **more: Any) -> Job:
    fields: dict[str, Any] = {
        "kind": "train",
        "domain": "ads",
        "payload": {"algorithm": "robust-z"},
        "device": "auto",
        "actor": "ana",
    }
    return do(records, job_store.add, **fields | more)


def claimed(records: Records, job: Job) -> Any:
    return do(records, job_store.claim, job_id=job.id, owner="here", device="cpu")


def set_fields(records: Records, job: Job, **values: Any) -> None:
    def change(session: Any) -> None:
        session.execute(update(Job).where(Job.id == job.id).values(**values))

    records.write("acme", change)


def fetch(records: Records, job: Job) -> Any:
    return records.read(
        "acme", lambda session: job_store.get(session, tenant="acme", job_id=job.id)
    )


def test_the_clock_is_the_databases_and_aware(records: Records) -> None:
    told = records.read("acme", job_store.now)
    assert told.tzinfo is not None
    assert abs(told - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_same_key_queues_one_job_and_other_keys_others(records: Records) -> None:
    first = queued(records, idem_key="form-1")
    assert queued(records, idem_key="form-1").id == first.id
    assert queued(records, idem_key="form-2").id != first.id
    assert queued(records).id != queued(records).id
    assert first.payload == {"algorithm": "robust-z", "device": "auto"}


def test_a_claim_is_taken_once_and_sets_fence_lease_and_heartbeat_together(
    records: Records,
) -> None:
    job = queued(records, payload={"deadline_minutes": 2})
    taken = claimed(records, job)
    assert (taken.state, taken.fence, taken.attempt, taken.device) == ("running", 1, 1, "cpu")
    assert taken.heartbeat_at == taken.claimed_at
    assert taken.lease_until - taken.claimed_at == job_store.LEASE
    assert taken.deadline - taken.claimed_at == timedelta(minutes=2)
    assert claimed(records, job) is None
    assert do(records, job_store.due) == []


def test_a_worker_registers_once_and_only_under_its_fence(records: Records) -> None:
    job = queued(records)
    claimed(records, job)
    process = {"pid": 77, "pid_start": 1.5, "boot_id": "boot"}
    assert do(records, job_store.register, job_id=job.id, fence=2, **process) is None
    first = do(records, job_store.register, job_id=job.id, fence=1, **process)
    assert (first.pid, first.pid_start, first.boot_id) == (77, 1.5, "boot")
    assert do(records, job_store.register, job_id=job.id, fence=1, **process) is None


def test_a_beat_renews_the_lease_and_tells_progress(records: Records) -> None:
    job = queued(records)
    claimed(records, job)
    old = datetime.now(UTC) - timedelta(minutes=5)
    set_fields(records, job, heartbeat_at=old, lease_until=old)
    held = do(
        records, job_store.beat, job_id=job.id, fence=1, progress=0.25, progress_text="trees: 25 %"
    )
    assert held.heartbeat_at > old + timedelta(minutes=4)
    assert held.lease_until - held.heartbeat_at == job_store.LEASE
    assert (held.progress, held.progress_text) == (0.25, "trees: 25 %")
    kept = do(records, job_store.beat, job_id=job.id, fence=1)
    assert kept.progress == 0.25, "a bare sign of life says nothing of the work"


def test_a_job_without_any_heartbeat_is_abandoned_by_its_claim_not_running_for_ever(
    records: Records,
) -> None:
    job = queued(records)
    claimed(records, job)
    assert do(records, job_store.abandoned) == []
    long_ago = datetime.now(UTC) - job_store.LEASE - timedelta(seconds=1)
    set_fields(records, job, heartbeat_at=None, claimed_at=long_ago)
    assert [found.id for found in do(records, job_store.abandoned)] == [job.id]
    set_fields(records, job, heartbeat_at=datetime.now(UTC), claimed_at=long_ago)
    assert do(records, job_store.abandoned) == []


def test_a_late_holder_changes_no_row_and_undoes_what_it_wrote_beside(records: Records) -> None:
    job = queued(records)
    claimed(records, job)
    late = {"job_id": job.id, "fence": 1}
    do(
        records,
        job_store.retry,
        delay=timedelta(0),
        actor="runner",
        error_class="WorkerDied",
        error_text="gone",
        **late,
    )
    assert claimed(records, job).fence == 2
    assert do(records, job_store.beat, **late) is None

    def publish(session: Any) -> None:
        job_store.add(
            session, tenant="acme", kind="x", domain="", payload={}, device="cpu", actor="zombie"
        )
        job_store.finish(session, tenant="acme", state="succeeded", actor="zombie", **late)

    with pytest.raises(ConflictError, match="fence 1"):
        records.write("acme", publish)
    assert [row.created_by for row in do(records, job_store.listing)] == ["ana"]
    assert fetch(records, job).state == "running"


def test_a_success_that_comes_after_the_cancel_is_refused_a_failure_is_not(
    records: Records,
) -> None:
    job = queued(records)
    claimed(records, job)
    asked = do(records, job_store.ask_cancel, job_id=job.id, actor="bo")
    assert (asked.state, asked.cancel_requested) == ("running", True)
    settle = {"job_id": job.id, "fence": 1, "actor": "runner"}
    with pytest.raises(ConflictError, match="cancelled"):
        do(records, job_store.finish, state="succeeded", result_ref="v1", **settle)
    assert do(records, job_store.finish, state="cancelled", **settle).state == "cancelled"
    with pytest.raises(ConflictError, match="queued or running"):
        do(records, job_store.ask_cancel, job_id=job.id, actor="bo")


def test_a_waiting_job_is_cancelled_at_once_and_never_claimed(records: Records) -> None:
    job = queued(records)
    assert do(records, job_store.ask_cancel, job_id=job.id, actor="bo").state == "cancelled"
    assert claimed(records, job) is None


def test_a_retry_waits_and_keeps_its_count_a_resume_starts_counting_anew(records: Records) -> None:
    job = queued(records, device="cuda:0")
    claimed(records, job)
    fault = {"error_class": "StoreError", "error_text": "locked"}
    again = do(
        records,
        job_store.retry,
        job_id=job.id,
        fence=1,
        delay=timedelta(seconds=60),
        actor="runner",
        **fault,
    )
    assert (again.state, again.attempt, again.device) == ("queued", 1, "cuda:0")
    assert claimed(records, job) is None, "its time has not come"
    set_fields(records, job, not_before=datetime.now(UTC) - timedelta(seconds=1))
    assert claimed(records, job).attempt == 2
    do(records, job_store.finish, job_id=job.id, fence=2, state="failed", actor="runner", **fault)
    resumed = do(records, job_store.resume, job_id=job.id, actor="bo")
    assert (resumed.state, resumed.attempt, resumed.error_text) == ("queued", 0, "")
    assert claimed(records, job).fence == 3, "the fence never goes back"
    with pytest.raises(ConflictError, match="failed, cancelled or lost"):
        do(records, job_store.resume, job_id=job.id, actor="bo")


def test_every_change_of_state_is_audited_and_the_chain_holds(records: Records) -> None:
    job = queued(records)
    claimed(records, job)
    do(records, job_store.ask_cancel, job_id=job.id, actor="bo")
    do(records, job_store.finish, job_id=job.id, fence=1, state="cancelled", actor="runner")
    do(records, job_store.resume, job_id=job.id, actor="cy")
    events = do(records, audit_store.history, objects=[("job", job.id)])
    assert [(event.verb, event.actor) for event in reversed(events)] == [
        ("submit", "ana"),
        ("start", "runner"),
        ("cancel", "bo"),
        ("finish", "runner"),
        ("resume", "cy"),
    ]
    assert do(records, audit_store.verify) is None


def test_jobs_of_another_tenant_do_not_exist(records: Records) -> None:
    job = queued(records)

    def claim(session: Any) -> Any:
        return job_store.claim(session, tenant="other", job_id=job.id, owner="x", device="cpu")

    with pytest.raises(NotFoundError):
        records.write("other", claim)
    assert records.read("other", lambda session: job_store.due(session, tenant="other")) == []
