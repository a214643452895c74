"""The cases of a simulated process: what each does, who does it, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.simulate.draws import Floats, Keys, derive, normal, root_key, uniform
from data.simulate.eventlog.anomalies import (
    COPIES,
    DRAWS,
    SHARE,
    Label,
    Plan,
    Planned,
    in_order,
    plant,
)
from data.simulate.eventlog.process import (
    CANCEL,
    CATEGORIES,
    DAY,
    HOUR,
    INDEX,
    ROLES,
    STEPS,
    Channel,
    Seconds,
    Staff,
    hire,
)

STICKS, STANDS_IN = 0.75, 0.02
"""Shares of steps that the case's own person of the role does, and that a deputy does."""
WAIT_SPREAD, DURATION_SPREAD, COST_SPREAD, SIZE_SPREAD = 0.7, 0.45, 0.25, 0.6
"""Standard deviations of the logarithms, the last of the size of a case."""
SIZE_ON_DURATION, SIZE_ON_COST = 0.3, 0.6
"""Exponents of the size of a case."""
WIDTH = len(STEPS) + COPIES
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Plans:
    """The steps of all cases, each column after those it waits for; (n_case, WIDTH), −1 = none.

    step, identity : row in `STEPS`, and what its numbers are drawn for
    after          : (n_case, WIDTH, 2) columns it waits for
    slow, dear     : factors on duration and cost; wrong : picks a person of a foreign role, else NaN
    kinds          : (n_case,) what is wrong, "" = nothing
    labels         : (case, column) → what is wrong about that event
    """

    step: Numbers
    identity: Numbers
    after: Numbers
    slow: Floats
    dear: Floats
    wrong: Floats
    kinds: list[str]
    labels: dict[tuple[int, int], list[Label]]


@dataclass(frozen=True, eq=False)
class Log:
    """All events, sorted by (case, time), and what is wrong with them.

    case, step, who : (n_event,) numbers; index : place in the case; done : s since the Monday 0 h at which the log begins
    """

    staff: Staff
    kinds: list[str]
    case: Numbers
    index: Numbers
    step: Numbers
    who: Numbers
    done: Seconds
    minutes: Floats
    cost: Floats
    truth: list[dict[str, object]]


def build_log(n_case: int, days: int, seed: int, share: float = SHARE) -> Log:
    """`n_case` cases that begin within `days`; a `share` of them goes wrong."""
    root = root_key("eventlog", seed)
    cases = derive(derive(root, Channel.CASE), np.arange(n_case))
    staff = hire(root)
    plans = _plan(cases, share)
    begun = (np.arange(n_case) + uniform(derive(cases, Channel.ARRIVAL))) / n_case
    who = _assign(cases, plans, staff, begun)
    scale = np.exp(SIZE_SPREAD * normal(derive(cases, Channel.SIZE)))[:, None]
    there = plans.step >= 0

    def drawn(channel: Channel) -> Floats:
        keys = derive(derive(cases, channel)[:, None], np.maximum(plans.identity, 0))
        return normal(keys)

    minutes, wait, cost = (
        np.array([getattr(step, name) for step in STEPS])[plans.step]
        for name in ("minutes", "wait", "cost")
    )
    pace = np.where(there, staff.pace[who], 1.0)
    minutes = (
        minutes * scale**SIZE_ON_DURATION * pace * np.exp(DURATION_SPREAD * drawn(Channel.DURATION))
    )
    worked = np.maximum(np.rint(60 * minutes * plans.slow), 12).astype(np.int64)
    waits = (HOUR * wait * np.exp(WAIT_SPREAD * drawn(Channel.WAIT))).astype(np.int64)
    cost = cost * scale**SIZE_ON_COST * np.exp(COST_SPREAD * drawn(Channel.COST)) * plans.dear
    done = _timed(plans, staff, who, (begun * days * DAY).astype(np.int64), waits, worked)
    case, column = np.nonzero(there)
    order = np.lexsort((column, done[case, column], case))
    case, column = case[order], column[order]
    index = np.arange(len(case)) - np.searchsorted(case, case)
    log = Log(
        staff,
        plans.kinds,
        case,
        index,
        plans.step[case, column],
        who[case, column],
        done[case, column],
        np.round(worked[case, column] / 60.0, 2),
        np.round(cost[case, column], 2),
        [],
    )
    proper = _assign(cases, plans, staff, begun, planted=False)
    row_of = {
        cell: row for row, cell in enumerate(zip(case.tolist(), column.tolist(), strict=True))
    }
    for cell, labels in sorted(plans.labels.items()):
        row = row_of[cell]
        was = {
            "resource": staff.names[proper[cell]],
            "duration": f"{log.minutes[row] / plans.slow[cell]:.2f}",
            "cost": f"{log.cost[row] / plans.dear[cell]:.2f}",
        }
        log.truth.extend(
            {
                "case": cell[0],
                "event_index": int(index[row]),
                "attribute": label.attribute,
                "kind": label.kind,
                "was": label.was or was.get(label.attribute, ""),
            }
            for label in labels
        )
    return log


# ── Plans ────────────────────────────────────────────────────────────────────────────────────────


def _plan(cases: Keys, share: float) -> Plans:
    """What each case does, and in which order; a share of them with an anomaly."""
    n_case = len(cases)
    category = np.searchsorted(np.cumsum(CATEGORIES)[:-1], uniform(derive(cases, Channel.CATEGORY)))
    present = np.zeros((n_case, len(STEPS)), dtype=bool)
    exits = np.full((n_case, len(STEPS)), -1)
    after = np.full((n_case, WIDTH, 2), -1)
    u = uniform(derive(derive(cases, Channel.PRESENT)[:, None], np.arange(len(STEPS))[None, :]))
    for number, step in enumerate(STEPS):
        present[:, number] = u[:, number] < np.array(step.chance)[category]
        if step.given:
            present[:, number] &= present[:, INDEX[step.given]]
        if number > INDEX[CANCEL]:
            present[:, number] &= ~present[:, INDEX[CANCEL]]
        for slot, earlier in enumerate(step.after):
            after[:, number, slot] = exits[:, INDEX[earlier]]
        waited = after[:, number, 0]
        exits[:, number] = np.where(present[:, number], number, waited)
    placed = np.full((n_case, WIDTH), -1)
    placed[:, : len(STEPS)] = np.where(present, np.arange(len(STEPS)), -1)
    plans = Plans(
        placed,
        placed.copy(),
        after,
        np.ones((n_case, WIDTH)),
        np.ones((n_case, WIDTH)),
        np.full((n_case, WIDTH), np.nan),
        [""] * n_case,
        {},
    )
    key = derive(cases, Channel.ANOMALY)
    for case in np.flatnonzero(uniform(derive(key, 0)) < share).tolist():
        draws = uniform(derive(key[case : case + 1], 1 + np.arange(DRAWS)))
        _rewrite(plans, case, draws)
    return plans


def _rewrite(plans: Plans, case: int, draws: Floats) -> None:
    """Plant an anomaly in one case and lay out its steps anew."""
    there = np.flatnonzero(plans.step[case] >= 0).tolist()
    plan: Plan = {
        name: Planned(STEPS[name], name, {int(p) for p in plans.after[case, name] if p >= 0})
        for name in there
    }
    plans.kinds[case] = plant(plan, draws)
    order = in_order(plan)
    column = {name: place for place, name in enumerate(order)}
    for array in (plans.step, plans.identity, plans.after):
        array[case] = -1
    for place, name in enumerate(order):
        planned = plan[name]
        plans.step[case, place] = INDEX[planned.step.name]
        plans.identity[case, place] = planned.identity
        for slot, earlier in enumerate(sorted(planned.after)):
            plans.after[case, place, slot] = column[earlier]
        plans.slow[case, place] = planned.slow
        plans.dear[case, place] = planned.dear
        plans.wrong[case, place] = planned.wrong
        if planned.labels:
            plans.labels[case, place] = planned.labels


# ── People and times ─────────────────────────────────────────────────────────────────────────────


def _assign(
    cases: Keys, plans: Plans, staff: Staff, begun: Floats, *, planted: bool = True
) -> Numbers:
    """(n_case, WIDTH) who does each step: mostly the case's own person of the role, seldom a deputy."""
    roles = list(ROLES)
    role_of_step = np.array([roles.index(step.role) for step in STEPS])
    deputy = np.array([roles.index(role.deputy or name) for name, role in ROLES.items()])

    def drawn(channel: Channel) -> Floats:
        return uniform(derive(derive(cases, channel)[:, None], np.maximum(plans.identity, 0)))

    role = role_of_step[plans.step]
    foreign = _foreign(role, plans.wrong, deputy, roles.index("system"))
    role = np.where(drawn(Channel.DEPUTY) < STANDS_IN, deputy[role], role)
    if planted:
        role = np.where(np.isnan(plans.wrong), role, foreign)
    anybody, senior = drawn(Channel.ANYBODY), drawn(Channel.SENIOR)
    own = drawn(Channel.STICKS) < STICKS
    who = np.zeros(role.shape, dtype=np.int64)
    for number, name in enumerate(roles):
        handler = derive(derive(cases, Channel.HANDLER), number)
        row, column = np.nonzero((role == number) & (plans.step >= 0))
        u = np.where(own[row, column], uniform(handler)[row], anybody[row, column])
        again = np.where(own[row, column], uniform(derive(handler, 1))[row], senior[row, column])
        who[row, column] = staff.pick(name, u, begun[row], again)
    return who


def _foreign(role: Numbers, wrong: Floats, deputy: Numbers, system: int) -> Numbers:
    """A role that neither does a step nor stands in for it, where `wrong` says so; never the system."""
    order = np.arange(len(deputy))
    barred = (order == role[..., None]) | (order == deputy[role][..., None]) | (order == system)
    free = np.argsort(barred, axis=-1, kind="stable")
    count = (~barred).sum(axis=-1)
    pick = (np.nan_to_num(wrong) * count).astype(np.int64)
    return np.take_along_axis(free, pick[..., None], axis=-1)[..., 0]


def _timed(
    plans: Plans, staff: Staff, who: Numbers, begun: Seconds, waits: Seconds, worked: Seconds
) -> Seconds:
    """(n_case, WIDTH) when each step is done, s from the first Monday; waiting is wall-clock time, work is working time."""
    done = np.zeros(plans.step.shape, dtype=np.int64)
    for column in range(WIDTH):
        case = np.flatnonzero(plans.step[:, column] >= 0)
        ready = begun[case]
        for slot in range(2):
            earlier = plans.after[case, column, slot]
            ready = np.where(earlier >= 0, np.maximum(ready, done[case, earlier]), ready)
        person = who[case, column]
        start = staff.worked(ready + waits[case, column], person)
        done[case, column] = staff.moment(start + worked[case, column], person)
    return done
