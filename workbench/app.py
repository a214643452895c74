"""The frame around every page: navigation on top, header, notices, and one guard for what fails."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from workbench.ui import frame, gate, state

# a file of our own: a named icon would be fetched from another host
UI = Path(__file__).with_name("ui")
st.set_page_config(page_title="Headwater", page_icon=UI / "headwater.svg", layout="wide")
st.logo(UI / "wordmark.svg", size="large")
st.html(UI / "frame.css")


def home() -> None:
    """The hidden default page, so that `/triage` is a page of its own."""
    st.switch_page(state.TRIAGE)


page = st.navigation(
    [
        st.Page(home, title="Headwater", default=True, visibility="hidden"),
        st.Page(state.TRIAGE, title="Triage", icon=":material/notifications:", url_path="triage"),
        st.Page(
            state.INCIDENTS, title="Incidents", icon=":material/emergency:", url_path="incidents"
        ),
        st.Page(state.LABEL, title="Label", icon=":material/sell:", url_path="label"),
        st.Page(state.DATA, title="Data", icon=":material/database:", url_path="data"),
        st.Page(state.TRAIN, title="Train", icon=":material/model_training:", url_path="train"),
        st.Page(state.MODELS, title="Models", icon=":material/deployed_code:", url_path="models"),
        st.Page(state.DRIFT, title="Drift", icon=":material/trending_up:", url_path="drift"),
        st.Page(
            state.EXPERIMENTS,
            title="Experiments",
            icon=":material/science:",
            url_path="experiments",
        ),
        st.Page(state.ALERT, title="Alert", url_path="alert", visibility="hidden"),
        st.Page(state.CAUSE, title="Root cause", url_path="cause", visibility="hidden"),
        st.Page(state.ADJUDICATE, title="Adjudicate", url_path="adjudicate", visibility="hidden"),
        st.Page(state.AGREEMENT, title="Agreement", url_path="agreement", visibility="hidden"),
        st.Page(state.VALIDATION, title="Validation", url_path="validation", visibility="hidden"),
    ],
    position="top",
)
with frame.guard():
    if gate.admitted():
        frame.header(page.title)
        frame.toast()
        page.run()
