"""The list of incidents: filtered in the URL, drawn as a time line, one previewed; and how new ones come in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from core.domains import DOMAINS
from core.errors import HeadwaterError
from workbench.services import brief, changes, incidents, taxonomy
from workbench.services.changes import Imported
from workbench.services.incidents import LABELS, SOURCES, IncidentPage
from workbench.ui import change_marks, frame, incident_charts, state, tables, theme, verbs, words
from workbench.ui.state import Key

STATUSES = ("open", "acknowledged", "resolved")
SPANS = {"day": ("Last 24 hours", 1), "week": ("Last 7 days", 7), "month": ("Last 30 days", 30)}
SOURCE_WORDS = {
    "headwater": "Headwater",
    "pagerduty": "PagerDuty",
    "file": "File",
    "hand": "By hand",
}
LABEL_WORDS = {"unlabeled": "No label", "labeled": "Labelled", "validated": "Validated"}
ON_TIME_LINE = 300
EVERY = "every"
DOMAIN_CHOICES = (EVERY, *DOMAINS)

COLUMNS = {
    "Severity": st.column_config.TextColumn(width=86),
    "Incident": st.column_config.TextColumn(width=156),
    "Services": st.column_config.TextColumn(width=108),
    "Onset (UTC)": st.column_config.TextColumn(width=98),
    "Lasted": st.column_config.TextColumn(width=58, alignment="right"),
    "Root cause": st.column_config.TextColumn(width=126),
    "Status": st.column_config.TextColumn(width=86),
}


def filters() -> dict[str, Any]:
    """Filters, each kept in the URL; a change starts at the first page."""
    state.adopt(Key.DOMAIN, DOMAIN_CHOICES, _looked_at())
    state.adopt(Key.SPAN, tuple(SPANS))
    state.adopt(Key.SEVERITY, theme.SEVERITIES)
    state.adopt(Key.STATUS, STATUSES)
    state.adopt(Key.LABELLED, LABELS)
    state.adopt(Key.SOURCE, SOURCES)
    causes = _causes()
    state.adopt(Key.INCIDENT_CAUSE, tuple(causes))
    state.adopt_text(Key.TEXT, 100)
    shared: dict[str, Any] = {
        "on_change": state.publish_incidents,
        "label_visibility": "collapsed",
    }
    choices: tuple[tuple[str, Key, Sequence[str], Any, str], ...] = (
        ("Domain", Key.DOMAIN, DOMAIN_CHOICES, _domain_word, ""),
        ("Time", Key.SPAN, tuple(SPANS), lambda span: SPANS[span][0], "Any time"),
        ("Severity", Key.SEVERITY, theme.SEVERITIES, theme.severity_words, "Any severity"),
        ("Status", Key.STATUS, STATUSES, str.capitalize, "Any status"),
        ("Label", Key.LABELLED, LABELS, LABEL_WORDS.__getitem__, "Any label"),
        ("Cause", Key.INCIDENT_CAUSE, tuple(causes), causes.__getitem__, "Any cause"),
        ("Source", Key.SOURCE, SOURCES, SOURCE_WORDS.__getitem__, "Any source"),
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen: dict[str, Any] = {
            label.lower(): st.selectbox(
                label,
                options,
                index=None if nothing else 0,
                format_func=told,
                placeholder=nothing or None,
                key=key,
                **shared,
            )
            for label, key, options, told, nothing in choices
        }
        text = st.text_input(
            "Words", key=Key.TEXT, placeholder="Title, service, key", max_chars=100, **shared
        )
    days = SPANS[chosen["time"]][1] if chosen["time"] else None
    now = state.now()
    return {
        "domain": "" if chosen["domain"] == EVERY else chosen["domain"],
        "severity": chosen["severity"],
        "status": chosen["status"] or "any",
        "label": chosen["label"],
        "cause": chosen["cause"],
        "source": chosen["source"],
        "span": (now - timedelta(days=days), now) if days else None,
        "text": text.strip(),
    }


def _causes() -> dict[str, str]:
    """The causes in use, in the tenant's words, of the domain that is chosen or else of all."""
    context, tenant, _ = state.who()
    words_of = taxonomy.vocabulary(context, tenant)
    named = st.session_state[Key.DOMAIN]
    domains = [named] if named in DOMAINS else list(DOMAINS)
    return {word.name: word.label for name in domains for word in words_of(name).active}


def _looked_at() -> str:
    """The domain looked at last where there are data of several: the time lines of two tell nothing of each other."""
    context, tenant, _ = state.who()
    return state.domain() if len(brief.domains(context, tenant)) > 1 else EVERY


def _domain_word(name: str) -> str:
    return "Every domain" if name == EVERY else words.domain(name)


def time_line(chosen: dict[str, Any]) -> None:
    """The worst of what the filters leave, by service and time, with what was done to the system."""
    context, tenant, _ = state.who()
    rows = incidents.page(context, tenant, **chosen, limit=ON_TIME_LINE).incidents
    if not rows:
        return
    now = incident_charts.horizon(rows, state.now())
    first, last = incident_charts.window(rows, now)
    events = [
        event
        for domain in sorted({row.domain for row in rows})
        for event in changes.between(context, tenant, domain=domain, start=first, end=last)
    ]
    picked = frame.draw(
        "What happened when",
        incident_charts.lanes(rows, events, now, theme.palette()),
        lambda: table(rows),
        alt=f"{words.count(len(rows), 'incident')} as bars by service and time, coloured by severity; "
        f"{words.count(len(events), 'change')} marked. Choose a bar to open its incident.",
        key="incident_lanes",
        on_select="rerun",
    )
    told = [f"the {ON_TIME_LINE} worst"] if len(rows) == ON_TIME_LINE else []
    st.caption(" · ".join(filter(None, [*told, change_marks.caption(events), "times in UTC"])))
    points = picked.get("selection", {}).get("points", []) if isinstance(picked, dict) else []
    if points and isinstance(points[0].get("customdata"), list):
        state.open_incident(int(points[0]["customdata"][1]))
        st.rerun()


def table(rows: Sequence[Any]) -> pd.DataFrame:
    """One page of incidents."""
    return pd.DataFrame(
        {
            "Severity": [theme.severity_words(row.severity) for row in rows],
            "Incident": [row.title for row in rows],
            "Services": [_first(incident_charts.told_services(row)) for row in rows],
            "Onset (UTC)": [f"{words.day(row.onset)}, {row.onset:%H:%M}" for row in rows],
            "Lasted": [lasted(row) for row in rows],
            "Root cause": [row.judged_as or words.MISSING for row in rows],
            "Status": [row.status.capitalize() for row in rows],
        }
    )


def _first(names: Sequence[str]) -> str:
    """`cart + 3`: a narrow column has no room for more."""
    return f"{names[0]} + {len(names) - 1}" if len(names) > 1 else names[0]


def lasted(row: Any) -> str:
    """`28 min`; "–" while it goes on."""
    over = row.ended_at or row.resolved_at
    return words.MISSING if over is None else words.span((over - row.onset).total_seconds())


def pages(chosen: dict[str, Any]) -> Any | None:
    """A keyset page of incidents, never all of them; returns the chosen one."""
    context, tenant, _ = state.who()
    cursors = st.session_state.setdefault(Key.INCIDENT_CURSORS, [None])
    found: IncidentPage = incidents.page(
        context, tenant, **chosen, after=cursors[-1], limit=tables.PAGE
    )
    if not found.incidents:
        frame.empty("No incident matches these filters.")
        return None
    row = state.show_incidents([incident.id for incident in found.incidents])
    st.dataframe(
        table(found.incidents),
        hide_index=True,
        column_config=COLUMNS,
        height=tables.height(len(found.incidents), 9),
        on_select=state.take_incident,
        selection_mode=("single-row-required", "single-cell"),
        key=Key.INCIDENT_ROWS,
        alt="Incidents, worst and latest first. Choose a row to preview it.",
    )
    if len(cursors) > 1 or found.next:
        with st.container(horizontal=True, vertical_alignment="center"):
            first = tables.PAGE * (len(cursors) - 1) + 1
            last = first + len(found.incidents) - 1
            st.caption(f"{words.number(first)}–{words.number(last)}", width="stretch")
            back = st.button(
                "Previous page", disabled=len(cursors) == 1, icon=":material/chevron_left:"
            )
            on = st.button(
                "Next page", disabled=found.next is None, icon=":material/chevron_right:"
            )
        if back or on:
            st.session_state[Key.INCIDENT_CURSORS] = (
                cursors[:-1] if back else [*cursors, found.next]
            )
            st.rerun()
    return found.incidents[row]


def preview(row: Any) -> None:
    """The chosen incident in a nutshell, and the verbs."""
    with st.container(border=True):
        st.markdown(f"{theme.severity_markdown(row.severity)} **{row.title}**")
        st.caption(facts(row))
        with st.container(horizontal=True):
            st.button(
                "Open",
                type=theme.main_button(),
                shortcut="O",
                icon=":material/open_in_full:",
                on_click=state.open_incident,
                args=(row.id,),
            )
            verbs.verbs(row)
            verbs.undo_button()
        if row.description:
            st.text(words.short(row.description, 320))
        kept = row.snapshots.get("rows", [])
        moved = [one for one in kept if one["before"] is not None][:3]
        if moved:
            st.markdown("\n".join(f"- {shift_in_words(one)}" for one in moved))
        st.markdown(label_in_words(row, row.judged_as))
        with st.container(horizontal=True):
            for name, key, by in (("Previous", "K", -1), ("Next", "J", 1)):
                st.button(
                    name, shortcut=key, type="tertiary", on_click=state.step_incident, args=(by,)
                )


def facts(row: Any) -> str:
    """Who told it, when, how long, what it hit."""
    over = row.ended_at or row.resolved_at
    span = f"lasted {lasted(row)}" if over else "goes on"
    hit, regions = (
        words.listed([name.rpartition(":")[2] for name in names], 4)
        for names in (row.services, row.regions)
    )
    return " · ".join(
        part
        for part in (
            f"{SOURCE_WORDS.get(row.source, row.source)} {given_key(row)}".strip(),
            "found by Headwater too" if found_too(row) else "",
            words.moment(row.onset),
            span,
            f"at {hit}" if hit else "",
            f"in {regions}" if regions else "",
            row.status,
        )
        if part
    )


def found_too(row: Any) -> bool:
    """Whether Headwater found what somebody else told."""
    return bool(row.source != "headwater" and row.root_entity)


def given_key(row: Any) -> str:
    """What others call it, "" where nobody gave it a name."""
    made = re.fullmatch("[0-9a-f]{32}", row.external_key) or row.source == "headwater"
    return "" if made else str(row.external_key)


def shift_in_words(row: Any) -> str:
    """`Latency (p95) of cart: 100 ms → 1.02 s (+920 %)`, from a snapshot as it is kept."""
    before, during = (
        float("nan") if row[name] is None else float(row[name]) for name in ("before", "during")
    )
    change = words.change(during, before)
    told = f" ({change})" if change != words.MISSING else ""
    return (
        f"{row['label']} of {row['name']}: {words.quantity(before, row['unit'])} → "
        f"{words.quantity(during, row['unit'])}{told}"
    )


def label_in_words(row: Any, judged_as: str) -> str:
    """What people say its root cause was, and who said so."""
    if row.label_status == "unlabeled":
        return ":gray[Nobody has said yet what it was.]"
    where = f" at **{row.component.rpartition(':')[2]}**" if row.component else ""
    who = f" by {row.labelled_by}" if row.labelled_by else ""
    mark = ":green[✓✓]" if row.label_status == "validated" else ":green[✓]"
    cause = words.literal(judged_as or "no cause")
    return f"{mark} **{cause}**{where} :gray[({LABEL_WORDS[row.label_status].lower()}{who})]"


# ── new ones ─────────────────────────────────────────────────────────────────────────────────────


def bring() -> None:
    """By hand, from a file, from a pager."""
    for label, icon, draw in (
        ("Record an incident", "add", _incident_form),
        ("Record a change", "build", _change_form),
        ("Bring in a file", "upload", _upload),
        ("Connect PagerDuty", "webhook", _pager),
    ):
        with st.expander(label, icon=f":material/{icon}:"):
            draw()


WHEN = "2026-11-20 14:05, else now"


def _form(key: Key) -> Any:
    """A form that keeps what was written until it was taken in: a refusal loses nothing."""
    return st.form(f"{key}:{st.session_state.get(key, 0)}", border=False)


def _begin_anew(key: Key) -> None:
    st.session_state[key] = st.session_state.get(key, 0) + 1


def _incident_form() -> None:
    with _form(Key.INCIDENT_FORM):
        title = st.text_input("What happened", max_chars=500)
        left, right = st.columns(2)
        with left:
            severity = st.selectbox(
                "Severity", theme.SEVERITIES, index=1, format_func=theme.severity_words
            )
            began = st.text_input("Began (UTC)", placeholder=WHEN, max_chars=40)
            services = st.text_input("Services", placeholder="cart, checkout", max_chars=2000)
        with right:
            domain = _domain()
            minutes = st.number_input(
                "Lasted (minutes)", min_value=0, value=None, placeholder="still goes on"
            )
            regions = st.text_input("Regions", placeholder="eu-west", max_chars=2000)
        description = st.text_area("What is known", max_chars=20_000, height=80)
        sent = st.form_submit_button("Record")
    if not sent:
        return

    def record(*who: Any, actor: str) -> incidents.Recorded:
        onset = changes.told_at(began, state.now())
        return incidents.record(
            *who,
            title=title,
            severity=severity,
            onset=onset,
            ended_at=None if minutes is None else onset + timedelta(minutes=float(minutes)),
            domain=domain,
            services=services.split(","),
            regions=regions.split(","),
            description=description,
            actor=actor,
        )

    kept = verbs.attempt("Incident recorded. Undo (U) takes it back.", record)
    if kept is not None:
        _begin_anew(Key.INCIDENT_FORM)
        if kept.warnings:
            state.notify(f"Incident recorded; {'; '.join(kept.warnings)}.")
        state.open_incident(kept.incident.id)
    st.rerun()


def _change_form() -> None:
    with _form(Key.CHANGE_FORM):
        title = st.text_input("What was done", max_chars=500)
        left, right = st.columns(2)
        with left:
            kind = st.selectbox("Kind", changes.CHANGE_KINDS, format_func=str.capitalize)
            at = st.text_input("At (UTC)", placeholder=WHEN, max_chars=40)
        with right:
            domain = _domain()
            entity = st.text_input("To what", placeholder="service:cart", max_chars=500)
        detail = st.text_input("More of it", max_chars=2000)
        sent = st.form_submit_button("Record the change")
    if not sent:
        return

    def record(*who: Any, actor: str) -> Any:
        moment = changes.told_at(at, state.now())
        told = {"kind": kind, "title": title, "entity": entity, "detail": detail}
        return changes.record(*who, at=moment, domain=domain, actor=actor, **told)

    if verbs.attempt("Change recorded. Undo (U) takes it back.", record) is not None:
        _begin_anew(Key.CHANGE_FORM)
    st.rerun()


def _domain() -> str:
    names = list(DOMAINS)
    return st.selectbox("Domain", names, index=names.index("services"), format_func=words.domain)


KINDS_OF_FILE = {"incidents": incidents.import_csv, "changes": changes.import_csv}
COLUMNS_OF_FILE = {
    "incidents": "title, severity, started_at and, where known, id, description, ended_at, services, regions",
    "changes": "at, kind, title and, where known, entity, detail, ended_at, id; kinds: "
    + ", ".join(changes.CHANGE_KINDS),
}


def _upload() -> None:
    what = (
        st.segmented_control(
            "What it holds",
            list(KINDS_OF_FILE),
            default="incidents",
            format_func=str.capitalize,
            required=True,
        )
        or "incidents"
    )
    st.caption(f"CSV with the columns {COLUMNS_OF_FILE[what]}. Times without a zone are UTC.")
    file = st.file_uploader("CSV", type=["csv"], key=f"{Key.INCIDENT_FILE}:{what}")
    if st.button("Import", disabled=file is None, icon=":material/upload:") and file is not None:
        context, tenant, actor = state.who()
        try:
            st.session_state[Key.INCIDENT_FILE] = KINDS_OF_FILE[what](
                context, tenant, "services", file.getvalue(), actor=actor, file=file.name
            )
        except HeadwaterError as error:
            state.notify(str(error), failed=True)
        else:
            state.notify(f"{file.name}: {st.session_state[Key.INCIDENT_FILE]}.")
        st.rerun()
    report: Imported | None = st.session_state.get(Key.INCIDENT_FILE)
    if report is not None:
        st.markdown(f"**{report.file}:** {report}")
        for note in report.notes:
            st.caption(f":material/info: {note}")
        if report.refused:
            st.dataframe(
                tables.refusals(report.refused),
                hide_index=True,
                height=tables.height(len(report.refused), 6),
                alt="Each refused cell with its line and the rule that it broke.",
            )


def _pager() -> None:
    context, tenant, _ = state.who()
    ready = tenant in context.settings.pagerduty_secrets
    st.markdown(
        ":green[✓] The webhook is open: it takes what PagerDuty has signed."
        if ready
        else "The webhook is closed until it has the secret of a PagerDuty webhook subscription."
    )
    st.caption(
        "In PagerDuty: Integrations › Generic Webhooks (v3), with every incident event, sent to this server's"
    )
    st.code("/api/webhooks/pagerduty", language=None)
    if not ready:
        st.caption("Its signing secret goes into the environment that the server starts with:")
        st.code(f'HEADWATER_PAGERDUTY_SECRETS=\'{{"{tenant}": "…"}}\'', language=None)
