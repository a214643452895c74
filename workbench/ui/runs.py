"""Work that outlives a click: it runs in a thread of the server, so reloads and other tabs see the same progress."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core.contracts import OnStep
from core.errors import CancelledError, HeadwaterError
from workbench.services import detect
from workbench.ui import state, theme

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One piece of work of a tenant; written by its thread, read by every session.

    `kept` says what stays of it when it is cancelled.
    """

    label: str
    kept: str = "nothing was kept"
    stage: str = ""
    share: float = 0.0
    result: Any = None
    error: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def step(self, stage: str, share: float, numbers: Any) -> bool:
        """`OnStep`: note how far it is; False when somebody cancelled."""
        self.stage, self.share = stage, min(max(share, 0.0), 1.0)
        return not self.cancelled.is_set()


_latest: dict[str, Run] = {}
_door = threading.Lock()


def latest(tenant: str) -> Run | None:
    """The tenant's running or last work."""
    return _latest.get(tenant)


def busy(tenant: str) -> bool:
    """Whether work is under way."""
    run = latest(tenant)
    return run is not None and not run.ended.is_set()


def start(tenant: str, label: str, work: Callable[[OnStep], Any], *, kept: str = Run.kept) -> None:
    """Begin, unless something is already under way."""
    with _door:
        if busy(tenant):
            return
        run = _latest[tenant] = Run(label, kept)
    threading.Thread(target=_carry_out, args=(run, work), name=label, daemon=True).start()


def _carry_out(run: Run, work: Callable[[OnStep], Any]) -> None:
    try:
        run.result = work(run.step)
    except CancelledError:
        run.error = f"{run.label} was cancelled; {run.kept}."
    except HeadwaterError as error:
        run.error = str(error)
    except Exception as error:
        log.exception("%s failed", run.label)
        run.error = f"{run.label} failed: {type(error).__name__}. The log has the trace."
    finally:
        run.ended.set()


def detect_button(domain: str = "ads", *, primary: bool = True) -> None:
    """Start a detection run over everything of a domain."""
    context, tenant, actor = state.who()
    st.button(
        "Run detection",
        key="detect",
        type=theme.main_button() if primary else "secondary",
        icon=":material/search:",
        shortcut="D",
        disabled=busy(tenant),
        on_click=start,
        args=(
            tenant,
            "Detection",
            lambda on_step: detect.detect(
                context, tenant, domain=domain, actor=actor, on_step=on_step
            ),
        ),
    )


def progress() -> None:
    """The bar of what is under way, and a way to stop it; the page is redrawn once when it ends."""
    tenant = state.who()[1]
    run = latest(tenant)
    if run is None:
        return
    if run.ended.is_set():
        if run.error:
            st.error(run.error, icon=":material/error:")
        return
    _bar(run)


@st.fragment(run_every="500ms")
def _bar(run: Run) -> None:
    if run.ended.is_set():
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(run.share, text=f"{run.label}: {run.stage or 'starting'}")
        st.button("Cancel", key="cancel", type="tertiary", on_click=run.cancelled.set)
