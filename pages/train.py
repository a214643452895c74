"""Train: teach a model anew, watch it learn, and come back to it whenever you like."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import uuid4

import streamlit as st

from workbench.services import jobs, training
from workbench.services.preflight import Check
from workbench.services.training import Form
from workbench.ui import cache, forms, frame, jobs_view, state, theme, verbs, words
from workbench.ui.state import Key

PRESETS = ("quick", "standard", "full")
GLYPHS = {"ok": ":green[✓]", "warning": ":orange[◆]", "refused": ":red[**▲**]"}
context, tenant, actor = state.who()


def origin() -> Any:
    """The job that the form copies, None where it starts from a preset."""
    named = st.query_params.get(Key.CLONE, "")
    found = [job for job in jobs.listing(context, tenant) if job.id == named]
    return found[0] if found else None


def what(copied: dict[str, Any], domains: tuple[str, ...]) -> tuple[Form, str]:
    """Which algorithm learns on whose data."""
    state.adopt(Key.DOMAIN, domains, copied.get("domain") or state.domain())
    domain = st.session_state[Key.DOMAIN]
    offered = {form.name: form for form in cache.training_forms(domain)}
    state.adopt(Key.ALGORITHM, list(offered), copied.get("algorithm") or next(iter(offered)))
    st.selectbox(
        "Algorithm",
        list(offered),
        format_func=lambda name: name if offered[name].installed else f"{name} (not installed)",
        key=Key.ALGORITHM,
        on_change=state.publish_training,
    )
    form = offered[st.session_state[Key.ALGORITHM]]
    st.caption(form.summary)
    left, middle, right = st.columns(3)
    left.selectbox(
        "Domain",
        domains,
        format_func=words.domain,
        key=Key.DOMAIN,
        on_change=state.publish_training,
    )
    middle.selectbox(
        "Tenant",
        tenants := state.tenants(),
        index=tenants.index(tenant),
        key=Key.TENANT_CHOICE,
        on_change=state.take_tenant,
    )
    right.selectbox(
        "Device",
        ["auto", *(device.id for device in cache.devices())],
        format_func=jobs_view.device,
        key=Key.DEVICE,
    )
    return form, domain


def when(copied: dict[str, Any], domain: str) -> tuple[date, date]:
    """The days that it is asked to learn from; a link may ask for more than there are, which the checks tell."""
    first, last = cache.training_window(domain)
    asked = {}
    for place, key, label in zip(st.columns(2), (Key.FROM, Key.TO), ("From", "To"), strict=True):
        copy = state.parse_day(copied.get(key) or "")
        asked[key] = state.adopt_day(key, first, last, copy)
        place.date_input(
            label,
            min_value=first,
            max_value=last,
            format="YYYY-MM-DD",
            key=key,
            on_change=state.publish_training,
        )
    return asked[Key.FROM], asked[Key.TO]


def how(form: Form, copied: dict[str, Any], clone: str) -> dict[str, Any]:
    """Every parameter, from a preset or from the copied job."""
    same = copied.get("algorithm") == form.name
    preset = st.segmented_control(
        "Preset",
        PRESETS,
        default=None if same else "standard",
        required=not same,
        format_func=str.capitalize,
        key=f"{Key.PRESET}:{form.name}:{clone if same else ''}",
        help=f"None chosen: the parameters of job {clone}" if same else None,
    )
    values = form.presets[preset] if preset else copied["params"]
    unlike = forms.changed(form.params, values)
    told = ", ".join(f"{name} {value}" for name, value in unlike.items())
    with st.expander(f"Parameters{': ' + words.short(told, 48) if told else ''}"):
        return forms.parameters(form.params, values, f"{form.name}:{preset or clone}")


def checks(found: list[Check]) -> bool:
    """What was looked at before the start: what is amiss with its cure, the rest at a click; whether it may start."""
    amiss = [check for check in found if check.status != "ok"]
    fine = [check for check in found if check.status == "ok"]
    if amiss:
        st.markdown("  \n".join(f"{told(check)} :gray[{check.cure}]" for check in amiss))
    if fine:
        with st.expander(f":green[✓] {words.count(len(fine), 'check')} passed"):
            st.markdown("  \n".join(told(check) for check in fine))
    return all(check.status != "refused" for check in found)


def told(check: Check) -> str:
    """`✓ 98% of the entity-days were observed.`"""
    return f"{GLYPHS[check.status]} {check.message}"


def form(domains: tuple[str, ...]) -> None:
    """What to train, on what, and whether it can."""
    job = origin()
    copied = {"domain": job.domain, **job.payload} if job else {}
    proposal = state.number(st.query_params.get(Key.PROPOSAL, ""))
    with st.container(border=True):
        if proposal:
            st.caption(f":material/trending_up: For drift proposal {proposal}")
        chosen, domain = what(copied, domains)
        start, end = when(copied, domain)
        params = how(chosen, copied, job.id if job else "")
        swap = chosen.is_part and st.toggle(
            "Swap into the champion",
            value=bool(copied.get("part", True)),
            key=f"{Key.SWAP}:{chosen.name}",
            help="On: the champion with this part learned anew. Off: a model of its own.",
        )
        asked: dict[str, Any] = {
            "domain": domain,
            "algorithm": chosen.name,
            "params": forms.changed(chosen.params, params),
            "start": start,
            "end": end,
            "part": swap,
            "device": st.session_state[Key.DEVICE],
        }
        found, estimate = cache.before_training(**asked)
        allowed = checks(found)
        if estimate:
            st.caption(
                f":material/timer: About {words.span(estimate.seconds)} and "
                f"{words.size(estimate.bytes)} of memory · {estimate.how}"
            )
        st.button(
            "Start training",
            type=theme.main_button(),
            icon=":material/play_arrow:",
            shortcut="S",
            width="stretch",
            disabled=not allowed,
            on_click=begin,
            kwargs={
                **asked,
                "proposal": proposal,
                "parent": job.id if job else "",
                "idem_key": st.session_state.setdefault(Key.ONCE, uuid4().hex),
            },
        )


def begin(**asked: Any) -> None:
    """Put it in the queue and watch it; the same click twice is one training."""
    material = cache.learnable(asked["domain"])
    started = verbs.attempt(
        "The training is in the queue.", training.start, **asked, learnable=material
    )
    if started is not None:
        st.query_params[Key.JOB] = started.id
        del st.session_state[Key.ONCE]


def page() -> None:
    """What learns now on the left, the next training on the right."""
    domains = training.domains(context, tenant)
    left, right = st.columns([5, 3], gap="medium")
    with left:
        if not domains:
            frame.no_data()
        elif not jobs.listing(context, tenant) and not state.job():
            frame.empty("Nothing was trained here yet. Start on the right: standard is a fair try.")
        jobs_view.watch()
    with right:
        if domains:
            form(domains)


page()
