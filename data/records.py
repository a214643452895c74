"""The records that Headwater keeps, as SQLModel tables; those of the life of models stand in `model_records`.

`tenant` is the first column of every primary key, unique and index. Times are aware and UTC, money stands
beside its currency, and JSON columns take plain values. Integer ids count up per tenant and are never reused.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from data.columns import Json, NumberedRow, TenantRow, json_of, long_text, moment

SEVERITIES = ("low", "medium", "high", "critical")
STATUSES = ("open", "acknowledged", "resolved")
ACTIVE = ("open", "acknowledged")


class Counter(TenantRow, table=True):
    """The last number given out in one of a tenant's series."""

    series: str = Field(primary_key=True, max_length=64)
    last: int = Field(sa_type=BigInteger)


class Lifecycle(SQLModel):
    """Where an alert or incident stands, who moved it there, and the version for optimistic locking."""

    status: str = Field(default="open", max_length=16)
    created_at: datetime = moment()
    updated_at: datetime = moment()
    updated_by: str = ""
    acknowledged_at: datetime | None = moment(nullable=True)
    acknowledged_by: str | None = None
    resolved_at: datetime | None = moment(nullable=True)
    resolved_by: str | None = None
    version: int = 1


class AlertFacts(SQLModel):
    """What detection found about one entity: everything but the alert's life afterwards.

    `onset` and `last_seen` bound the episode in UTC, `day` is the latest day in the entity's zone.
    `spend_at_risk` and `revenue_impact` are amounts of `currency` over the episode. `predicted_for` is when a
    failure that has not happened yet is expected, `lead_minutes` how long before that the alert was raised. `services`
    names those that the entity is, or is part of.
    """

    domain: str = Field(max_length=32)
    entity: str
    entity_name: str = ""
    level: str = Field(max_length=32)
    onset: datetime = moment()
    last_seen: datetime = moment()
    day: date
    score: float
    p_value: float
    threshold: float
    severity: str = Field(max_length=16)
    detector: str = Field(max_length=64)
    parts: dict[str, Any] = json_of()
    explanation: dict[str, Any] = json_of()
    sentence: str = long_text()
    root_causes: list[Any] = json_of(list)
    spend_at_risk: float = 0.0
    revenue_impact: float | None = None
    currency: str = Field(default="", max_length=3)
    market_conditions: dict[str, Any] = json_of()
    settings: dict[str, Any] = json_of()
    model_version: str = ""
    predicted_for: datetime | None = moment(nullable=True)
    lead_minutes: float | None = None
    services: list[Any] = json_of(list)


class NewAlert(AlertFacts):
    """An alert as a detection run hands it over."""


class AlertRow(AlertFacts, Lifecycle, NumberedRow):
    """The columns that a live alert and an archived one share."""

    fingerprint: str = Field(max_length=64)
    severity_rank: int
    incident_id: int | None = Field(default=None, sa_type=BigInteger)
    muted_by: int | None = Field(default=None, sa_type=BigInteger)


class Alert(AlertRow, table=True):
    """An anomaly that a person should look at; one per entity and episode."""

    __table_args__ = (
        UniqueConstraint("tenant", "fingerprint", name="uq_alert_fingerprint"),
        ForeignKeyConstraint(
            ["tenant", "incident_id"], ["incident.tenant", "incident.id"], name="fk_alert_incident"
        ),
        ForeignKeyConstraint(
            ["tenant", "muted_by"], ["incident.tenant", "incident.id"], name="fk_alert_muted_by"
        ),
        Index("ix_alert_page", "tenant", "severity_rank", "last_seen", "id"),
        Index(
            "ix_alert_domain_page", "tenant", "domain", "status", "severity_rank", "last_seen", "id"
        ),
        Index("ix_alert_entity", "tenant", "domain", "entity", "last_seen"),
        Index("ix_alert_episode", "tenant", "domain", "last_seen"),
        Index("ix_alert_timeline", "tenant", "onset", "severity", "level"),
        Index("ix_alert_created", "tenant", "created_at"),
        Index("ix_alert_incident", "tenant", "incident_id"),
        Index("ix_alert_resolved", "tenant", "status", "resolved_at"),
    )


class AlertHistory(AlertRow, table=True):
    """A resolved alert after its 90 days, with what it cost."""

    __table_args__ = (
        UniqueConstraint("tenant", "fingerprint", name="uq_alert_history_fingerprint"),
        Index("ix_alert_history_resolved", "tenant", "resolved_at"),
        Index("ix_alert_history_entity", "tenant", "domain", "entity", "last_seen"),
    )
    resolution_minutes: float
    archived_at: datetime = moment()


class IncidentFacts(SQLModel):
    """What is known of an incident, whoever told: root-cause analysis, a pager, a file or a person.

    Money is in `currency`. `source` and `external_key` name it where it came from; `snapshots` holds what its
    metrics were before, during and after. An incident that somebody else told has no root until one is found.
    """

    title: str
    domain: str = Field(max_length=32)
    severity: str = Field(max_length=16)
    onset: datetime = moment()
    root_entity: str
    root_name: str = ""
    root_level: str = Field(max_length=32)
    cause_type: str = Field(max_length=64)
    confidence: float
    hops: int = 0
    path: list[Any] = json_of(list)
    candidates: list[Any] = json_of(list)
    method: str = Field(default="", max_length=64)
    spend_at_risk: float = 0.0
    money_impact: float = 0.0
    currency: str = Field(default="", max_length=3)
    source: str = Field(default="headwater", max_length=32)
    external_key: str = Field(default="", max_length=160)
    description: str = long_text()
    ended_at: datetime | None = moment(nullable=True)
    services: list[Any] = json_of(list)
    regions: list[Any] = json_of(list)
    snapshots: dict[str, Any] = json_of()


class NewIncident(IncidentFacts):
    """An incident as a detection run, a webhook, a file or a person hands it over."""


class Incident(IncidentFacts, Lifecycle, NumberedRow, table=True):
    """Alerts that share a root, worked on as one.

    joined : the incident that somebody told of the same outbreak, which speaks for this one that was found
    apart  : people said that what was told is nothing that was found
    """

    __table_args__ = (
        UniqueConstraint("tenant", "fingerprint", name="uq_incident_fingerprint"),
        Index("ix_incident_page", "tenant", "severity_rank", "onset", "id"),
        Index(
            "ix_incident_domain_page", "tenant", "domain", "status", "severity_rank", "onset", "id"
        ),
        Index("ix_incident_root", "tenant", "domain", "root_entity", "cause_type", "onset"),
        Index("ix_incident_joined", "tenant", "joined"),
    )
    fingerprint: str = Field(max_length=64)
    severity_rank: int
    alerts: int = 0
    root_cause: str = Field(default="", max_length=64)
    component: str = ""
    cause_confidence: float | None = None
    label_status: str = Field(default="unlabeled", max_length=16)
    labelled_by: str = ""
    labelled_at: datetime | None = moment(nullable=True)
    was_predicted: bool | None = None
    prediction_accuracy: float | None = None
    joined: int | None = Field(default=None, sa_type=BigInteger)
    apart: bool = False


class Receipt(TenantRow, table=True):
    """A delivery that was taken in, so that the same one again changes nothing."""

    source: str = Field(primary_key=True, max_length=32)
    key: str = Field(primary_key=True, max_length=160)
    at: datetime = moment()
    outcome: dict[str, Any] = json_of()


class NewLabel(SQLModel):
    """A person's verdict on an alert or incident, with the values it was given on.

    `causes` holds all of them where a taxonomy allows several, `cause` the first. `item_id` is the item of the
    queue that asked, `blind` says that the model's guess was hidden, `settles` names the labels that an
    adjudication decides between, and `seconds` is how long it took.
    """

    alert_id: int | None = Field(default=None, sa_type=BigInteger)
    incident_id: int | None = Field(default=None, sa_type=BigInteger)
    entity: str
    disposition: str = Field(max_length=32)
    cause: str = ""
    component: str = ""
    confidence: float = 1.0
    note: str = long_text()
    sequence: dict[str, Any] = json_of()
    features: dict[str, Any] = json_of()
    predicted_score: float | None = None
    predicted_label: str | None = None
    was_right: bool | None = None
    model_version: str = ""
    causes: list[Any] = json_of(list)
    taxonomy: int = 0
    item_id: int | None = Field(default=None, sa_type=BigInteger)
    blind: bool = False
    settles: list[Any] = json_of(list)
    seconds: float | None = None


class Label(NewLabel, NumberedRow, table=True):
    """A label event: never rewritten; an undo withdraws it and keeps it."""

    __table_args__ = (
        Index("ix_label_alert", "tenant", "alert_id"),
        Index("ix_label_incident", "tenant", "incident_id"),
        Index("ix_label_entity", "tenant", "entity", "labelled_at"),
    )
    labelled_by: str
    labelled_at: datetime = moment()
    withdrawn: bool = False
    version: int = 1


class Taxonomy(NumberedRow, table=True):
    """One version of what a label may say in a domain; a new version stands beside the old ones.

    `body` = {"dispositions": [{"name", "label"}], "causes": [{"name", "label", "key", "retired", "merged_into"}],
    "several": bool}; a name is never used again for something else.
    """

    __table_args__ = (UniqueConstraint("tenant", "domain", "number", name="uq_taxonomy_number"),)
    domain: str = Field(max_length=32)
    number: int
    body: dict[str, Any] = json_of()
    created_at: datetime = moment()
    created_by: str = ""


class LabelItem(NumberedRow, table=True):
    """One thing to label, and why: open → done | closed; leased to one person at a time.

    `slice` is hard, diverse, random, relabel or gold; `chance` the probability with which it was drawn, for
    estimates without bias; `wanted` how many people are to judge it; `expected` the answer of a gold item.
    """

    __table_args__ = (
        UniqueConstraint(
            "tenant", "domain", "subject_kind", "subject_id", "round", name="uq_label_item_subject"
        ),
        Index("ix_label_item_open", "tenant", "domain", "state", "priority", "id"),
        Index("ix_label_item_lease", "tenant", "leased_by", "leased_until"),
    )
    domain: str = Field(max_length=32)
    subject_kind: str = Field(max_length=16)
    subject_id: int = Field(sa_type=BigInteger)
    round: int = 1
    slice: str = Field(max_length=16)
    reason: str = long_text()
    priority: float = 0.0
    chance: float | None = None
    wanted: int = 1
    given: int = 0
    blind: bool = False
    expected: dict[str, Any] = json_of()
    guess: dict[str, Any] = json_of()
    state: str = Field(default="open", max_length=16)
    leased_by: str = ""
    leased_until: datetime | None = moment(nullable=True)
    created_at: datetime = moment()
    version: int = 1


class LabelSkip(NumberedRow, table=True):
    """An item that somebody put aside, and why; it returns to them after `until`."""

    __table_args__ = (Index("ix_label_skip_item", "tenant", "item_id", "actor"),)
    item_id: int = Field(sa_type=BigInteger)
    actor: str
    reason: str = ""
    at: datetime = moment()
    until: datetime = moment()
    withdrawn: bool = False


class NodeProposal(NumberedRow, table=True):
    """A component that somebody missed in the graph: open → accepted | dismissed."""

    __table_args__ = (Index("ix_node_proposal_state", "tenant", "domain", "state"),)
    domain: str = Field(max_length=32)
    name: str
    level: str = Field(default="", max_length=32)
    parent: str = ""
    label_id: int | None = Field(default=None, sa_type=BigInteger)
    state: str = Field(default="open", max_length=16)
    proposed_by: str = ""
    at: datetime = moment()
    decided_by: str = ""
    decided_at: datetime | None = moment(nullable=True)
    version: int = 1


class ChangeEvent(NumberedRow, table=True):
    """Something that was done to the system: a deploy, a change of its configuration; drawn on every time line."""

    __table_args__ = (
        UniqueConstraint("tenant", "source", "external_key", name="uq_change_event_key"),
        Index("ix_change_event_at", "tenant", "domain", "at"),
    )
    domain: str = Field(max_length=32)
    kind: str = Field(max_length=32)
    at: datetime = moment()
    ended_at: datetime | None = moment(nullable=True)
    entity: str = ""
    title: str
    detail: str = long_text()
    source: str = Field(max_length=32)
    external_key: str = Field(max_length=160)
    actor: str = ""
    withdrawn: bool = False


class MetricSource(NumberedRow, table=True):
    """Where metrics are fetched from, and up to where each query has been: a fetch goes on from there."""

    __table_args__ = (UniqueConstraint("tenant", "domain", "name", name="uq_metric_source_name"),)
    domain: str = Field(max_length=32)
    name: str = Field(max_length=64)
    kind: str = Field(max_length=32)
    url: str
    plan: dict[str, Any] = json_of()
    cursor: dict[str, Any] = json_of()
    error: str = long_text()
    fetched_at: datetime | None = moment(nullable=True)
    created_at: datetime = moment()
    version: int = 1


class DataReport(NumberedRow, table=True):
    """What a validation of the data found; `report` holds every check with its figure and cure."""

    __table_args__ = (Index("ix_data_report_domain", "tenant", "domain", "at"),)
    domain: str = Field(max_length=32)
    at: datetime = moment()
    actor: str = ""
    passed: bool
    report: dict[str, Any] = json_of()


class Comment(NumberedRow, table=True):
    """A remark on a record: its text is never rewritten; an undo withdraws it and keeps it."""

    __table_args__ = (Index("ix_comment_object", "tenant", "object_kind", "object_id", "id"),)
    object_kind: str = Field(max_length=32)
    object_id: str = Field(max_length=160)
    author: str
    at: datetime = moment()
    body: str = long_text()
    withdrawn: bool = False


class AuditEvent(NumberedRow, table=True):
    """Who did what when: append-only (the database refuses changes) and hash-chained per tenant.

    `before` and `after` are `{"alert/12": {"status": "open"}}`; an event without `before` can't be undone.
    `hash` = SHA-256 of `previous_hash` and the canonical JSON of the row.
    """

    __table_args__ = (
        UniqueConstraint("tenant", "hash", name="uq_audit_event_hash"),
        Index("ix_audit_event_object", "tenant", "object_kind", "object_id", "id"),
        Index("ix_audit_event_actor", "tenant", "actor", "id"),
        Index("ix_audit_event_undo", "tenant", "undo_of"),
    )
    at: datetime = moment()
    actor: str
    verb: str = Field(max_length=32)
    object_kind: str = Field(max_length=32)
    object_id: str = Field(max_length=160)
    before: dict[str, dict[str, Any]] | None = Field(default=None, sa_type=Json)
    after: dict[str, Any] | None = Field(default=None, sa_type=Json)
    undo_of: int | None = Field(default=None, sa_type=BigInteger)
    previous_hash: str = Field(default="", max_length=64)
    hash: str = Field(max_length=64)


class User(TenantRow, table=True):
    """A person or program that acts; `role` is viewer, labeler, analyst or admin."""

    id: str = Field(primary_key=True, max_length=128)
    name: str = ""
    role: str = Field(default="analyst", max_length=16)
    zone: str = Field(default="UTC", max_length=64)
    created_at: datetime = moment()
    disabled_at: datetime | None = moment(nullable=True)


class Token(TenantRow, table=True):
    """A bearer token: only its SHA-256 is kept; `prefix` is what people and secret scanners see."""

    __table_args__ = (
        UniqueConstraint("tenant", "digest", name="uq_token_digest"),
        ForeignKeyConstraint(
            ["tenant", "user_id"], ["user.tenant", "user.id"], name="fk_token_user"
        ),
    )
    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(max_length=128)
    name: str = ""
    prefix: str = Field(max_length=96)
    digest: str = Field(max_length=64)
    scopes: list[str] = json_of(list)
    created_at: datetime = moment()
    expires_at: datetime | None = moment(nullable=True)
    last_used_at: datetime | None = moment(nullable=True)
    revoked_at: datetime | None = moment(nullable=True)


class Outbox(NumberedRow, table=True):
    """A notice to deliver, written in the transaction of the change it tells of; its id is the idempotency key."""

    __table_args__ = (
        Index("ix_outbox_unsent", "tenant", "sent_at", "not_before", "id"),
        Index("ix_outbox_order", "tenant", "fingerprint", "id"),
    )
    channel: str = Field(max_length=64)
    kind: str = Field(max_length=64)
    fingerprint: str = Field(default="", max_length=64)
    payload: dict[str, Any] = json_of()
    created_at: datetime = moment()
    not_before: datetime = moment()
    attempts: int = 0
    lease_until: datetime | None = moment(nullable=True)
    sent_at: datetime | None = moment(nullable=True)
    dead_at: datetime | None = moment(nullable=True)
    error: str = long_text()


class Visit(TenantRow, table=True):
    """When a person last looked at a page, for "since your last visit"."""

    user_id: str = Field(primary_key=True, max_length=128)
    page: str = Field(primary_key=True, max_length=64)
    seen_at: datetime = moment()


class DetectionRun(NumberedRow, table=True):
    """One run of detection; a run left `running` by a killed process is closed as failed at the next start.

    seen_until : the newest moment of the domain that it looked at as a whole; None where it saw a part or the past
    seen_batch : the newest import of measurements that it knew then, 0 where it knew none
    """

    __table_args__ = (
        Index("ix_detection_run_domain", "tenant", "domain", "started"),
        Index("ix_detection_run_state", "tenant", "state"),
    )
    domain: str = Field(max_length=32)
    detector: str = Field(default="", max_length=64)
    at: datetime = moment()
    as_of: datetime | None = moment(nullable=True)
    seen_until: datetime | None = moment(nullable=True)
    seen_batch: int = 0
    started: datetime = moment()
    finished: datetime | None = moment(nullable=True)
    state: str = Field(default="running", max_length=16)
    entities_checked: int = 0
    anomalies: int = 0
    seconds: dict[str, Any] = json_of()
    notes: list[Any] = json_of(list)
    model_version: str = ""
    actor: str = ""
    error: str = long_text()


class SchedulerBeat(TenantRow, table=True):
    """When a scheduled task is due and last ran; a task overdue at start is caught up once."""

    name: str = Field(primary_key=True, max_length=64)
    due: datetime = moment()
    last_started: datetime | None = moment(nullable=True)
    last_finished: datetime | None = moment(nullable=True)
    error: str = long_text()


class Preference(TenantRow, table=True):
    """What a tenant has chosen, by name; moved by compare-and-swap on `version`."""

    name: str = Field(primary_key=True, max_length=64)
    value: dict[str, Any] = json_of()
    updated_at: datetime = moment()
    updated_by: str = ""
    version: int = 1
