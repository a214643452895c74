"""Every session-state key and URL parameter, and who is looking: context, tenant, actor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

import streamlit as st

from core.domains import DOMAINS
from workbench.context import Context, current
from workbench.services import alerts, brief
from workbench.services.alerts import Since
from workbench.services.tokens import Owner

PAGES = Path(__file__).resolve().parents[2] / "pages"
TRIAGE, ALERT, CAUSE, DATA, TRAIN, MODELS, EXPERIMENTS, DRIFT = (
    str(PAGES / f"{name}.py")
    for name in ("triage", "alert", "cause", "data", "train", "models", "experiments", "drift")
)


LABEL, ADJUDICATE, AGREEMENT = (
    str(PAGES / f"{name}.py") for name in ("label", "adjudicate", "agreement")
)


INCIDENTS, VALIDATION = (str(PAGES / f"{name}.py") for name in ("incidents", "validation"))


class Key(StrEnum):
    """Session-state keys; those of filters are URL parameters too."""

    OWNER = "owner"
    SEVERITY = "severity"
    STATUS = "status"
    LEVEL = "level"
    TEXT = "text"
    DAY = "day"
    SELECTED = "selected_alert"
    SHOWN = "shown_alerts"
    ROWS = "alert_rows"
    CURSORS = "alert_cursors"
    TIMELINE = "alert_timeline"
    OPENED = "triage_opened_at"
    SINCE = "since_last_visit"
    FOCUS = "alert_focus"
    COMMENT = "alert_comment"
    METHOD = "cause_method"
    CANDIDATE = "cause_candidate"
    UPLOAD = "data_upload"
    BATCHES = "data_batches"
    MEASURES = "data_measures"
    EXPECTED = "expected_metrics"
    ALGORITHM = "algorithm"
    DOMAIN = "domain"
    LOOKED = "domain_looked_at"
    FROM = "from"
    TO = "to"
    PROPOSAL = "proposal"
    CELL = "cell"
    CHECK = "check"
    MOVED = "moved_cells"
    CLONE = "clone"
    JOB = "job"
    JOBS = "job_rows"
    JOB_IDS = "shown_jobs"
    PART = "training_part"
    PRESET = "training_preset"
    DEVICE = "training_device"
    SWAP = "training_swap"
    TENANT = "tenant"
    TENANT_CHOICE = "tenant_choice"
    ONCE = "training_once"
    CHAMPION = "champion"
    CHALLENGER = "challenger"
    VERSIONS = "version_rows"
    CHANGED = "changed_alerts"
    SCATTER = "model_scatter"
    RATIO = "cost_ratio"
    CHECKLIST = "promotion_minimums"
    REASON = "promotion_reason"
    OVERRIDE = "promotion_override"
    EXPERIMENTS = "experiment_rows"
    TREATMENT = "treatment"
    TARGET = "experiment_target"
    EFFECT = "experiment_effect"
    RUN_DAYS = "experiment_days"
    UNIT = "experiment_unit"
    STOPPING = "experiment_stop"
    ASPECT = "aspect"
    WHICH = "which"
    DISPUTE = "dispute"
    DECIDING = "adjudication_form"
    LABEL_ITEM = "label_item"
    LABEL_LINK = "label_link"
    LABEL_SHOWN = "label_shown"
    LABEL_TURN = "label_turn"
    LABEL_TOLD = "label_told"
    LABEL_REFUSED = "label_refused"
    SOURCE = "source"
    ALERT = "alert"
    INCIDENT = "incident"
    INCIDENT_CAUSE = "cause"
    LABELLED = "labelled"
    SPAN = "span"
    INCIDENT_ROWS = "incident_rows"
    INCIDENT_CURSORS = "incident_cursors"
    SHOWN_INCIDENTS = "shown_incidents"
    SELECTED_INCIDENT = "selected_incident"
    SNAPSHOTS = "snapshot_rows"
    INCIDENT_FORM = "incident_form"
    CHANGE_FORM = "change_form"
    INCIDENT_FILE = "incident_file"
    NOTICE = "notice"


@dataclass(frozen=True)
class Notice:
    """What the last action did, shown once as a toast."""

    text: str
    failed: bool = False


def context() -> Context:
    """The stores and services of this process."""
    return current()


def who() -> tuple[Context, str, str]:
    """Context, tenant and actor of this session."""
    opened = context()
    owner: Owner | None = st.session_state.get(Key.OWNER)
    if owner is not None:
        return opened, owner.tenant, owner.user
    tenant = st.session_state.get(Key.TENANT, opened.settings.tenant)
    return opened, tenant, opened.settings.user


def tenants() -> list[str]:
    """Whose data this session may work on: its owner's, or any that the local user's home holds."""
    opened, tenant, _ = who()
    if signed_in():
        return [tenant]
    held = {tenant for tenant, _ in opened.holdings()}
    return sorted(held | {opened.settings.tenant})


def take_tenant() -> None:
    """From now on this session works on the data of the tenant that was chosen."""
    st.session_state[Key.TENANT] = st.session_state[Key.TENANT_CHOICE]
    st.session_state.pop(Key.SINCE, None)
    st.query_params.clear()


def sign_in(owner: Owner) -> None:
    """From now on this session acts as the token's owner."""
    st.session_state[Key.OWNER] = owner


def signed_in() -> bool:
    """Whether a token was shown in this session."""
    return Key.OWNER in st.session_state


def now() -> datetime:
    """The context's clock."""
    return context().clock()


def notify(text: str, *, failed: bool = False) -> None:
    """Show `text` as a toast on the next run."""
    st.session_state[Key.NOTICE] = Notice(text, failed)


def take_notice() -> Notice | None:
    """The waiting notice, once."""
    notice: Notice | None = st.session_state.pop(Key.NOTICE, None)
    return notice


def number(text: str) -> int | None:
    """A positive id from a link, or None for anything else a link may carry."""
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) <= 15 else None


def visit() -> Since:
    """What came in since this person's last visit; noted once a session."""
    if Key.SINCE not in st.session_state:
        opened, tenant, actor = who()
        st.session_state[Key.SINCE] = alerts.since_last_visit(opened, tenant, user=actor)
    since: Since = st.session_state[Key.SINCE]
    return since


# ── filters: the URL is the truth, widgets show it ───────────────────────────────────────────────

FILTERS = (Key.SEVERITY, Key.STATUS, Key.LEVEL, Key.TEXT)


def adopt(key: Key, allowed: Sequence[str], otherwise: str | None = None) -> None:
    """A link's value becomes the widget's; `otherwise` takes the place of a value that is not allowed."""
    given = st.query_params.get(key)
    st.session_state[key] = given if given in allowed else otherwise


def adopt_text(key: Key, most: int) -> None:
    """The same for free text, cut to a length."""
    st.session_state[key] = st.query_params.get(key, "")[:most]


def publish() -> None:
    """The widgets' values become the link's; the list starts at its first page."""
    for key in FILTERS:
        _publish(key, st.session_state.get(key) or "")


def take_day() -> None:
    """The bar that was clicked keeps its day; the same bar again lets it go."""
    points = st.session_state[f"chart:{Key.TIMELINE}"]["selection"]["points"]
    day = str(points[0]["x"])[:10] if points else ""
    _publish(Key.DAY, "" if day == st.query_params.get(Key.DAY) else day)


def all_days() -> None:
    """Let the kept day go."""
    _publish(Key.DAY, "")


def kept_day() -> date | None:
    """The day that the link keeps, None for anything that is no date."""
    return parse_day(st.query_params.get(Key.DAY, ""))


def parse_day(text: str) -> date | None:
    """A day or moment in ISO 8601 as its day, None for anything else."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _publish(key: Key, value: str) -> None:
    if value:
        st.query_params[key] = value
    elif key in st.query_params:
        del st.query_params[key]
    first_page()


def domain() -> str:
    """The domain that the link names, else the one looked at last, else the first that there is data of."""
    opened, tenant, _ = who()
    held = brief.domains(opened, tenant) or (next(iter(DOMAINS)),)
    wanted = (st.query_params.get(Key.DOMAIN), st.session_state.get(Key.LOOKED))
    chosen = next((name for name in wanted if name in held), held[0])
    st.session_state[Key.LOOKED] = chosen
    return chosen


def take_domain() -> None:
    """The chosen domain becomes the link's; filters of another domain are let go."""
    st.query_params.clear()
    st.query_params[Key.DOMAIN] = st.session_state[Key.DOMAIN]
    st.session_state.pop(Key.SELECTED, None)
    first_page()


def go_to(page: str, **named: int) -> None:
    """Leave for a page about the alert or incident named here, with what the link of this page says.

    Streamlit puts the new parameters to the address of the page that is left before it changes the page, and the
    browser's way back leads there: it must still say which alert or incident was looked at, and through which filters.
    """
    own = st.query_params.to_dict()
    if page == INCIDENTS:  # its filters have the names of others
        own = {key: own[key] for key in (Key.ALERT, Key.INCIDENT) if key in own}
    st.switch_page(page, query_params=own | {key: str(value) for key, value in named.items()})


# ── the Adjudicate and Agreement pages: what is compared, and which disagreement is looked at ──────


def publish_one(key: Key) -> None:
    """A widget's choice becomes the link's."""
    value = st.session_state.get(key) or ""
    if value:
        st.query_params[key] = value
    else:
        st.query_params.pop(key, None)


# ── the Train page: what is watched, and what its form begins with ───────────────────────────────

TRAINING = (Key.ALGORITHM, Key.DOMAIN, Key.FROM, Key.TO)


def job() -> str:
    """The job that the link names, "" for none."""
    return st.query_params.get(Key.JOB, "")[:64]


def take_job() -> None:
    """The row that was clicked becomes the job that is watched."""
    rows = keep_row(Key.JOBS)
    if rows:
        st.query_params[Key.JOB] = st.session_state[Key.JOB_IDS][rows[0]]


def adopt_day(key: Key, first: date, last: date, otherwise: date | None) -> date:
    """A link's day, or `otherwise`, or the end of what there is; within what there is it becomes the widget's."""
    end = first if key == Key.FROM else last
    given = parse_day(st.query_params.get(key, "")) or otherwise or end
    st.session_state[key] = min(max(given, first), last)
    return given


def publish_training() -> None:
    """The form's choices become the link's."""
    for key in TRAINING:
        st.query_params[key] = str(st.session_state[key])


def clone(job: str) -> None:
    """Fill the form with what a job was started with."""
    for key in (*TRAINING, Key.PROPOSAL):
        st.query_params.pop(key, None)
    st.query_params[Key.CLONE] = job


# ── the Label page: whose words, and what is judged ──────────────────────────────────────────────


def publish_domain() -> None:
    """The chosen domain becomes the link's, and what a link named before is let go."""
    st.query_params.clear()
    st.query_params[Key.DOMAIN] = st.session_state[Key.DOMAIN]


# ── the alert table: one chosen alert, a stack of page cursors ───────────────────────────────────


def first_page() -> None:
    """Back to the first page, as after a change of filters."""
    st.session_state[Key.CURSORS] = [None]


def show(numbers: Sequence[int]) -> int:
    """Take over the page's alerts; returns the row of the chosen one, the first when it is elsewhere."""
    return _show(numbers, Key.SHOWN, Key.SELECTED, Key.ROWS)


def _show(numbers: Sequence[int], shown_key: Key, selected: Key, rows: Key) -> int:
    shown = list(numbers)
    st.session_state[shown_key] = shown
    chosen = st.session_state.get(selected)
    row = shown.index(chosen) if chosen in shown else 0
    st.session_state[selected] = shown[row]
    st.session_state[rows] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    return row


def take_row() -> None:
    """The row that was clicked becomes the chosen alert."""
    rows = keep_row(Key.ROWS)
    if rows:
        st.session_state[Key.SELECTED] = st.session_state[Key.SHOWN][rows[0]]


def keep_row(key: str) -> list[int]:
    """A click on any cell of a table chooses its row, as one on the row's mark does; returns what is chosen."""
    picked = st.session_state[key]["selection"]
    rows = [row for row, _ in picked["cells"]] or picked["rows"]
    st.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    return rows


def step(by: int) -> None:
    """Choose the next or previous alert of the page."""
    _step(by, Key.SHOWN, Key.SELECTED)


def _step(by: int, shown_key: Key, selected: Key) -> None:
    shown = st.session_state.get(shown_key) or [None]
    chosen = st.session_state.get(selected)
    row = shown.index(chosen) + by if chosen in shown else 0
    st.session_state[selected] = shown[min(max(row, 0), len(shown) - 1)]


# ── the two versions that are compared ───────────────────────────────────────────────────────────


def forget_pair() -> None:
    """Back to what champion and challenger mean now, as after one was promoted."""
    for key in (Key.CHAMPION, Key.CHALLENGER):
        if key in st.query_params:
            del st.query_params[key]
    st.session_state.pop(Key.REASON, None)


# ── the incidents: filters in the URL, one chosen of the page, one opened ────────────────────────

INCIDENT_FILTERS = (
    Key.DOMAIN,
    Key.SPAN,
    Key.SEVERITY,
    Key.STATUS,
    Key.LABELLED,
    Key.INCIDENT_CAUSE,
    Key.SOURCE,
    Key.TEXT,
)


def publish_incidents() -> None:
    """The filters' choices become the link's; the list starts at its first page."""
    for key in INCIDENT_FILTERS:
        publish_one(key)
    st.session_state[Key.INCIDENT_CURSORS] = [None]


def show_incidents(numbers: Sequence[int]) -> int:
    """Take over the page's incidents; returns the row of the chosen one, the first when it is elsewhere."""
    return _show(numbers, Key.SHOWN_INCIDENTS, Key.SELECTED_INCIDENT, Key.INCIDENT_ROWS)


def take_incident() -> None:
    """The row that was clicked becomes the chosen incident."""
    rows = keep_row(Key.INCIDENT_ROWS)
    if rows:
        st.session_state[Key.SELECTED_INCIDENT] = st.session_state[Key.SHOWN_INCIDENTS][rows[0]]


def step_incident(by: int) -> None:
    """Choose the next or previous incident of the page."""
    _step(by, Key.SHOWN_INCIDENTS, Key.SELECTED_INCIDENT)


def open_incident(number: int | None) -> None:
    """The link opens this incident; None leads back to the list."""
    if number is None:
        st.query_params.pop(Key.INCIDENT, None)
    else:
        st.query_params[Key.INCIDENT] = str(number)
