"""One incident: its time line, its metrics before, during and after, and what it might have been."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench.services import incidents
from workbench.services.incidents import IncidentDetail
from workbench.services.similar import Similar
from workbench.services.snapshots import Look
from workbench.services.surroundings import Surroundings
from workbench.ui import (
    change_marks,
    frame,
    incident_charts,
    incidents_view,
    state,
    tables,
    theme,
    verbs,
    words,
)
from workbench.ui.incident_charts import Act
from workbench.ui.state import Key

SPARK_POINTS = 60
ROWS = 24
BY_PEOPLE = ("acknowledge", "resolve", "reopen", "label", "edit", "part")
"""What stands on the time line as done by people."""
SNAPSHOT_COLUMNS = {
    "Where": st.column_config.TextColumn(width=98),
    "Metric": st.column_config.TextColumn(width=116),
    "Before": st.column_config.TextColumn(width=68, alignment="right"),
    "During": st.column_config.TextColumn(width=68, alignment="right"),
    "After": st.column_config.TextColumn(width=68, alignment="right"),
    "Change": st.column_config.TextColumn(width=62, alignment="right"),
    "Shift": st.column_config.NumberColumn(
        width=62, format="%+.0f", help="During against before, in robust standard deviations"
    ),
    "Curve": st.column_config.LineChartColumn(width=150),
}


def heading(detail: IncidentDetail, alert_id: int | None) -> None:
    """What it is, whom it hit, and the ways on."""
    incident = detail.incident
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(
            f"{theme.severity_markdown(incident.severity)} {incident.title}",
            anchor=False,
            width="stretch",
        )
        st.button(
            "Incidents",
            shortcut="B",
            icon=":material/arrow_back:",
            help="Back to the list",
            on_click=state.open_incident,
            args=(None,),
        )
        if alert_id is not None and st.button(
            "Root cause", shortcut="G", icon=":material/account_tree:"
        ):
            state.go_to(state.CAUSE, alert=alert_id)
        if st.button("Label", shortcut="L", icon=":material/sell:", type=theme.main_button()):
            st.switch_page(
                state.LABEL, query_params={"domain": incident.domain, "incident": str(incident.id)}
            )
    st.caption(incidents_view.facts(incident))
    if incident.status == "withdrawn":
        st.warning(
            "The recording of this incident was undone; no list shows it.", icon=":material/undo:"
        )


def evidence(detail: IncidentDetail, seen: Surroundings) -> None:
    """Left: what happened when, and what the metrics did."""
    incident, colours, now = detail.incident, theme.palette(), state.now()
    done = acts(detail)
    frame.draw(
        "Time line",
        incident_charts.around(incident, detail.alerts, done, seen.changes, now, colours),
        lambda: moments(detail, done, seen.changes),
        alt=f"The incident, {words.count(len(detail.alerts), 'alert')}, {words.count(len(done), 'act')} of people "
        f"and {words.count(len(seen.changes), 'change')} of the system over time.",
        key=f"around:{incident.id}",
    )
    told = [change_marks.caption(seen.changes)]
    if seen.elsewhere:
        told.append(f"{words.count(seen.elsewhere, 'change')} elsewhere not shown")
    st.caption(" · ".join([*filter(None, told), "times in UTC"]))
    if seen.look is None:
        frame.empty(
            "No metrics of that time are stored, so there is nothing to compare.",
            state.DATA,
            "Bring metrics in",
        )
    else:
        _metrics(incident, seen.look, seen.changes)


def _metrics(incident: Any, look: Look, changes: Sequence[Any]) -> None:
    """Snapshots, the strongest shift first; the chosen row as a curve beneath."""
    rows = look.rows[:ROWS]
    more = f" · the {ROWS} strongest of {len(look.rows):,}" if len(look.rows) > ROWS else ""
    widths = {
        name: words.span((end - start).total_seconds())
        for name, (start, end) in look.windows.items()
    }
    st.markdown(
        f"**Before, during, after** :gray[· medians over {widths['before']}, {widths['during']} and "
        f"{widths['after']}{more}]"
    )
    key = f"{Key.SNAPSHOTS}:{incident.id}"
    picked = st.dataframe(
        snapshots(look, rows),
        hide_index=True,
        column_config=SNAPSHOT_COLUMNS,
        height=tables.height(len(rows), 7),
        on_select=partial(state.keep_row, key),
        selection_mode=("single-row-required", "single-cell"),
        selection_default={"selection": {"rows": [0]}},
        key=key,
        alt="Metrics before, during and after the incident, the strongest shift first. Choose a row to see its curve.",
    )
    chosen = [row for row in picked.selection.rows if row < len(rows)] or [0]
    row, values = rows[chosen[0]], look.curves[chosen[0]]
    frame.draw(
        f"{row.label} of {words.literal(row.name)} :gray[· shaded: the incident; dashed: medians]",
        incident_charts.curve(
            row, look.times, values, look, changes, incident.severity, theme.palette()
        ),
        lambda: pd.DataFrame({"Time (UTC)": look.times, row.label: values}).iloc[::-1],
        alt=f"{row.label} of {row.name} over time; the incident is shaded, medians before, during and after dashed.",
        key=f"curve:{incident.id}:{row.entity}:{row.metric}",
    )


def snapshots(look: Look, rows: Sequence[Any]) -> pd.DataFrame:
    """Snapshots as a table, each with its curve."""
    return pd.DataFrame(
        {
            "Where": [row.name for row in rows],
            "Metric": [row.label for row in rows],
            **{
                name.capitalize(): [words.quantity(getattr(row, name), row.unit) for row in rows]
                for name in ("before", "during", "after")
            },
            "Change": [words.change(row.during, row.before) for row in rows],
            "Shift": [row.shift for row in rows],
            "Curve": [spark(values) for values in look.curves[: len(rows)]],
        }
    )


def spark(values: Any) -> list[float]:
    """A curve in few points: the mean of each stretch; what is missing keeps the value before."""
    parts = np.array_split(np.asarray(values, dtype=np.float64), min(SPARK_POINTS, len(values)))
    means = pd.Series(
        [part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan for part in parts]
    )
    return [float(value) for value in means.ffill().bfill().fillna(0.0)]


def acts(detail: IncidentDetail) -> list[Act]:
    """What people and pagers did to it, each once."""
    incident = detail.incident
    found = [
        Act(event.at, f"{verbs.deed(event.verb)} by {event.actor}")
        for event in detail.history
        if event.verb in BY_PEOPLE
    ]
    found += [
        Act(said.at, f"{said.author}: {words.short(said.body, 60)}") for said in detail.comments
    ]
    stamps = (
        (incident.acknowledged_at, f"Acknowledged by {incident.acknowledged_by}"),
        (incident.resolved_at, f"Resolved by {incident.resolved_by}"),
    )
    told = {act.what for act in found}
    found += [Act(at, what) for at, what in stamps if at is not None and what not in told]
    return sorted(found, key=lambda act: act.at)


def moments(detail: IncidentDetail, done: Sequence[Act], changes: Sequence[Any]) -> pd.DataFrame:
    """The time line, row by row, earliest first."""
    incident = detail.incident
    rows = [(incident.onset, "Incident", "began")]
    rows += [(alert.onset, "Alert", alert.entity_name or alert.entity) for alert in detail.alerts]
    rows += [(event.at, "Change", change_marks.story(event)) for event in changes]
    rows += [(act.at, "People", act.what) for act in done]
    if incident.ended_at is not None:
        rows.append((incident.ended_at, "Incident", "ended"))
    rows.sort(key=lambda row: row[0])
    return pd.DataFrame(
        {
            "Time": [words.moment(at) for at, _, _ in rows],
            "What": [what for _, what, _ in rows],
            "Story": [story for _, _, story in rows],
        }
    )


def meaning(detail: IncidentDetail, seen: Surroundings) -> None:
    """Right: what is said of it, what came just before, what was like it, and who did what."""
    incident = detail.incident
    with st.container(border=True):
        if incident.description:
            st.text(incident.description)
        st.markdown(incidents_view.label_in_words(incident, detail.judged_as))
        if incidents_view.found_too(incident):
            st.markdown(_found(incident, detail.looks_like))
        elif evidence_alone(detail):
            st.markdown(
                f"Headwater raised {words.count(len(detail.alerts), 'alert')} there then; no cause stands out."
            )
        if incident.was_predicted is not None:
            accuracy = (
                f", {words.percent(incident.prediction_accuracy, 0)} accurate"
                if incident.prediction_accuracy is not None
                else ""
            )
            by = (
                f" {words.span((incident.onset - detail.foretold.onset).total_seconds())} ahead"
                f" by alert {detail.foretold.id}"
                if detail.foretold
                else ""
            )
            said = f"Predicted{by}{accuracy}" if incident.was_predicted else "Not predicted"
            st.caption(said)
        with st.container(horizontal=True):
            verbs.verbs(incident)
            if incidents_view.found_too(incident) or evidence_alone(detail):
                _part(incident)
            verbs.undo_button()
    before(incident, seen)
    alike(seen.similar)
    history(detail)
    with st.expander("Correct it", icon=":material/edit:"):
        correct(incident)


def evidence_alone(detail: IncidentDetail) -> bool:
    """Whether alerts without a cause are all that Headwater knows of it."""
    return not detail.found and bool(detail.alerts)


def _found(incident: Any, looks_like: str) -> str:
    """What Headwater found of an incident that somebody told."""
    what = words.literal(looks_like or "no cause")
    sure = f" :gray[({words.percent(incident.confidence, 0)})]" if incident.confidence else ""
    return f"Headwater found **{what}** at **{incident.root_name or incident.root_entity}**{sure}"


def _part(incident: Any) -> None:
    """Say that what was told and what was found are two."""
    st.button(
        "Part",
        key=f"part:{incident.id}",
        icon=":material/call_split:",
        help="They are two things: what Headwater found stands alone, with its alerts",
        on_click=verbs.attempt,
        args=("Parted. Undo (U) takes it back.", incidents.part, incident.id),
    )


def before(incident: Any, seen: Surroundings) -> None:
    """What was done to the system in the day before, the latest first."""
    st.markdown("**Done before it began**")
    earlier = [event for event in seen.changes if event.at <= incident.onset][::-1]
    if not earlier:
        st.caption("Nothing that reaches it was changed in the 24 hours before.")
        return
    told = []
    for event in earlier[:5]:
        lead = words.span((incident.onset - event.at).total_seconds())
        where = event.entity.partition(":")[2] or event.entity
        place = f" :gray[({where})]" if where and where not in event.title else ""
        glyph = change_marks.GLYPHS.get(event.kind, "●")
        told.append(f"{glyph} **{lead} before** · {event.title}{place}")
    st.markdown("  \n".join(told))
    if len(earlier) > 5:
        st.caption(f"and {words.count(len(earlier) - 5, 'change')} earlier that day")


def alike(found: Sequence[Similar]) -> None:
    """Past incidents like this one, with what people said of them."""
    st.markdown("**Past incidents like it**")
    if not found:
        st.caption("No past incident is like it.")
    for one in found:
        row = one.incident
        with st.container(border=True, gap="xxsmall"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(
                    f"{theme.severity_markdown(row.severity)} {words.short(row.title, 42)}",
                    width="stretch",
                )
                st.button(
                    words.percent(one.similarity, 0),
                    key=f"similar:{row.id}",
                    help="How alike it is; opens it",
                    type="tertiary",
                    icon=":material/open_in_new:",
                    on_click=state.open_incident,
                    args=(row.id,),
                )
            st.markdown(incidents_view.label_in_words(row, one.judged_as))
            st.caption(f"{words.moment(row.onset)} · {one.why}")


def history(detail: IncidentDetail) -> None:
    """Who did what, what was said, and a word of one's own."""
    st.markdown("**History**")
    incident = detail.incident
    for event in detail.history[:12]:
        st.caption(f"{words.moment(event.at)} · {event.actor} · {verbs.deed(event.verb)}")
    for said in detail.comments:
        st.caption(f"{words.moment(said.at)} · {said.author}")
        st.text(said.body)
    with st.form("incident_comment", clear_on_submit=True, border=False):
        text = st.text_input("Comment", placeholder="Leave a comment", max_chars=4000)
        if st.form_submit_button("Comment") and text.strip():
            verbs.attempt("Comment kept.", incidents.comment, incident.id, text=text.strip())
            st.rerun()


def correct(incident: Any) -> None:
    """A form over what may be corrected; one undo takes it back."""
    with st.form("incident_edit", border=False):
        title = st.text_input("Title", value=incident.title, max_chars=500)
        severity = st.selectbox(
            "Severity",
            theme.SEVERITIES,
            index=theme.SEVERITIES.index(incident.severity),
            format_func=theme.severity_words,
        )
        services = st.text_input("Services", value=", ".join(incident.services), max_chars=2000)
        regions = st.text_input("Regions", value=", ".join(incident.regions), max_chars=2000)
        description = st.text_area("What is known", value=incident.description, max_chars=20_000)
        if st.form_submit_button("Correct"):
            values = {
                "title": title,
                "severity": severity,
                "services": services.split(","),
                "regions": regions.split(","),
                "description": description,
            }
            verbs.attempt(
                "Corrected. Undo (U) takes it back.",
                incidents.edit,
                incident.id,
                values=values,
                expected_version=incident.version,
            )
            st.rerun()
