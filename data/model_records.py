"""The records of the life of models, as SQLModel tables: the jobs that train them, versions and what they are called,
experiments, drift.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from data.columns import NumberedRow, TenantRow, json_of, long_text, moment


class Job(TenantRow, table=True):
    """Long work in a subprocess: a claim raises `fence`, a late worker's effects change no row."""

    __table_args__ = (
        UniqueConstraint("tenant", "idem_key", name="uq_job_idem_key"),
        Index("ix_job_due", "tenant", "state", "not_before"),
        Index("ix_job_lease", "tenant", "state", "lease_until"),
        Index("ix_job_created", "tenant", "created_at"),
    )
    id: str = Field(primary_key=True, max_length=64)
    kind: str = Field(max_length=64)
    domain: str = Field(default="", max_length=32)
    payload: dict[str, Any] = json_of()
    device: str = Field(default="auto", max_length=32)
    parent: str = Field(default="", max_length=64)
    snapshot_digest: str = Field(default="", max_length=64)
    idem_key: str = Field(max_length=128)
    state: str = Field(default="queued", max_length=16)
    attempt: int = 0
    max_attempts: int = 3
    created_at: datetime = moment()
    created_by: str = ""
    not_before: datetime = moment()
    owner: str = ""
    fence: int = 0
    claimed_at: datetime | None = moment(nullable=True)
    heartbeat_at: datetime | None = moment(nullable=True)
    lease_until: datetime | None = moment(nullable=True)
    finished_at: datetime | None = moment(nullable=True)
    pid: int | None = None
    pid_start: float | None = None
    boot_id: str = ""
    progress: float = 0.0
    progress_text: str = ""
    cancel_requested: bool = False
    deadline: datetime | None = moment(nullable=True)
    rss_limit: int | None = Field(default=None, sa_type=BigInteger)
    result_ref: str = ""
    error_class: str = ""
    error_text: str = long_text()
    error_hint: str = long_text()


class ModelVersion(TenantRow, table=True):
    """A fitted, signed, immutable model; its row is the commit point of a publication."""

    __table_args__ = (
        Index("ix_model_version_name", "tenant", "domain", "name", "created_at"),
        Index("ix_model_version_digest", "tenant", "digest"),
    )
    id: str = Field(primary_key=True, max_length=128)
    name: str = Field(max_length=64)
    domain: str = Field(max_length=32)
    kind: str = Field(max_length=32)
    digest: str = Field(max_length=64)
    params: dict[str, Any] = json_of()
    metrics: dict[str, Any] = json_of()
    parent: str | None = Field(default=None, max_length=128)
    snapshot_digest: str = Field(default="", max_length=64)
    state: str = Field(default="ready", max_length=16)
    created_at: datetime = moment()
    created_by: str = ""


class Alias(TenantRow, table=True):
    """Which version a name such as `champion` means; moved by compare-and-swap on `version`."""

    domain: str = Field(primary_key=True, max_length=32)
    alias: str = Field(primary_key=True, max_length=32)
    version_id: str = Field(max_length=128)
    updated_at: datetime = moment()
    updated_by: str = ""
    version: int = 1


class StreamState(TenantRow, table=True):
    """What a streaming detector has learned so far, between runs; `until` is the last day it has seen."""

    domain: str = Field(primary_key=True, max_length=32)
    detector: str = Field(primary_key=True, max_length=64)
    model_version: str = Field(primary_key=True, max_length=128)
    state: bytes = Field(sa_type=LargeBinary)
    until: date | None = None
    updated_at: datetime = moment()


class Experiment(NumberedRow, table=True):
    """A rollout with its plan: planning → running → completed | failed.

    `stage` is the rung of the ladder (shadow, then canary) and `share` the percentage of units that the
    treatment decides; `looks` holds every look at the figures, `guardrails` what each was last seen at.
    """

    __table_args__ = (Index("ix_experiment_state", "tenant", "domain", "state"),)
    domain: str = Field(max_length=32)
    name: str
    control: str = Field(max_length=128)
    treatment: str = Field(max_length=128)
    metric: str = Field(max_length=64)
    alpha: float = 0.05
    power: float = 0.8
    effect: float
    units: int
    days: int
    unit: str = Field(default="entity", max_length=32)
    salt: str = Field(max_length=64)
    state: str = Field(default="planning", max_length=16)
    stage: str = Field(default="shadow", max_length=16)
    share: float = 0.0
    plan: dict[str, Any] = json_of()
    looks: list[Any] = json_of(list)
    guardrails: dict[str, Any] = json_of()
    verdict: str = Field(default="", max_length=32)
    reason: str = long_text()
    created_at: datetime = moment()
    created_by: str = ""
    started_at: datetime | None = moment(nullable=True)
    ended_at: datetime | None = moment(nullable=True)
    version: int = 1


class DriftCheck(NumberedRow, table=True):
    """One comparison of a window with its reference; `report` holds every figure of it."""

    __table_args__ = (Index("ix_drift_check_domain", "tenant", "domain", "window_end"),)
    domain: str = Field(max_length=32)
    model_version: str = ""
    reference_start: date
    reference_end: date
    window_start: date
    window_end: date
    tested: int = 0
    drifted: int = 0
    report: dict[str, Any] = json_of()
    at: datetime = moment()
    actor: str = ""


class RetrainProposal(NumberedRow, table=True):
    """A retraining that drift or the calendar asks for: open → accepted | dismissed | expired."""

    __table_args__ = (Index("ix_retrain_proposal_state", "tenant", "domain", "state"),)
    domain: str = Field(max_length=32)
    reason: str = long_text()
    trigger: str = Field(max_length=32)
    check_id: int | None = Field(default=None, sa_type=BigInteger)
    start: date
    end: date
    state: str = Field(default="open", max_length=16)
    job_id: str = Field(default="", max_length=64)
    backtest: dict[str, Any] = json_of()
    created_at: datetime = moment()
    decided_at: datetime | None = moment(nullable=True)
    decided_by: str = ""
    version: int = 1


class Comparison(NumberedRow, table=True):
    """Champion and challenger on the same rows, as it stood when somebody decided; `report` holds every figure."""

    __table_args__ = (Index("ix_comparison_pair", "tenant", "domain", "champion", "challenger"),)
    domain: str = Field(max_length=32)
    champion: str = Field(max_length=128)
    challenger: str = Field(max_length=128)
    data_version: str = Field(default="", max_length=64)
    verdict: str = Field(default="", max_length=32)
    report: dict[str, Any] = json_of()
    at: datetime = moment()
    actor: str = ""
