"""Who may look: the local user on this machine, a token's owner from anywhere else."""

from __future__ import annotations

import ipaddress

import streamlit as st

from core.errors import PermissionDeniedError
from workbench.services import tokens
from workbench.ui import state


def admitted() -> bool:
    """Whether this session may see a page; asks for a token where the server is open to others."""
    if not exposed() or state.signed_in():
        return True
    _, centre, _ = st.columns([1, 2, 1])
    with centre.form("sign in"):
        st.subheader("Headwater", anchor=False)
        secret = st.text_input(
            "Token", type="password", help="Made with: headwater tokens create NAME"
        )
        if st.form_submit_button("Sign in", type="primary"):
            try:
                state.sign_in(tokens.verify(state.context(), secret.strip()))
            except PermissionDeniedError:
                st.error("This token is unknown, expired or revoked.", icon=":material/error:")
            else:
                st.rerun()
    return False


def exposed() -> bool:
    """Whether others than this machine can reach the pages."""
    return not (state.context().settings.on_loopback and _loopback(st.get_option("server.address")))


def _loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "0.0.0.0").is_loopback  # noqa: S104 - unset is everywhere
    except ValueError:
        return address == "localhost"
