"""The buttons that change an alert or incident: one table of verbs, each with its key and its word; one undo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.errors import HeadwaterError
from data.records import IncidentFacts
from workbench.services import alerts, incidents
from workbench.ui import state


@dataclass(frozen=True)
class Verb:
    """One action; `offered` are the statuses from which it makes sense."""

    name: str
    label: str
    done: str
    key: str
    icon: str
    offered: tuple[str, ...]


VERBS = (
    Verb("acknowledge", "Acknowledge", "Acknowledged", "A", ":material/visibility:", ("open",)),
    Verb("resolve", "Resolve", "Resolved", "E", ":material/check:", ("open", "acknowledged")),
    Verb("reopen", "Reopen", "Reopened", "E", ":material/replay:", ("resolved",)),
)


DEEDS = {
    "acknowledge": "Acknowledged",
    "resolve": "Resolved",
    "reopen": "Reopened",
    "label": "Labelled",
    "edit": "Corrected",
    "comment": "Commented",
    "part": "Parted from what Headwater found",
    "join": "Found by Headwater too",
    "attach": "Alerts added",
    "record": "Recorded",
    "import": "Imported",
    "report": "Told",
    "raise": "Raised from an alert",
    "group": "Grouped",
    "undo": "Undone",
}
"""What was done, as a history and a time line tell it, by the verb of the audit trail."""


def deed(verb: str) -> str:
    """What was done in words; a verb that has none as it stands."""
    return DEEDS.get(verb, verb.capitalize())


def verbs(record: Any, *, only: tuple[str, ...] = ()) -> None:
    """Acknowledge, resolve or reopen an alert, or an incident with all its alerts.

    With keys A and E, unless `only` picks some verbs for one of several records of a page.
    """
    service = incidents if isinstance(record, IncidentFacts) else alerts
    thing = f"{'incident' if service is incidents else 'alert'} {record.id}"
    for verb in VERBS:
        if record.status in verb.offered and (not only or verb.name in only):
            st.button(
                verb.label,
                key=f"{verb.name}:{thing}",
                icon=verb.icon,
                shortcut=None if only else verb.key,
                on_click=attempt,
                args=(
                    f"{verb.done} {thing}. Undo (U) takes it back.",
                    getattr(service, verb.name),
                    record.id,
                ),
            )


def undo_button() -> None:
    """Take back the actor's last action; key U."""
    st.button(
        "Undo",
        key="undo",
        icon=":material/undo:",
        shortcut="U",
        type="tertiary",
        on_click=attempt,
        args=("Undid your last action.", alerts.undo),
    )


def attempt(done: str, act: Callable[..., Any], *subject: Any, **details: Any) -> Any:
    """Do it as this session's actor and tell how it went; returns what came of it, None where it was refused."""
    context, tenant, actor = state.who()
    try:
        result = act(context, tenant, *subject, actor=actor, **details)
    except HeadwaterError as error:
        state.notify(str(error), failed=True)
        return None
    state.notify(done)
    return result
