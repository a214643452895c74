"""The answers: what was planted, what it did, what it cost, and what only looked like a fault.

Effects are exact: the same account is simulated again without its incidents, and since every cell
keeps its own noise, the two worlds differ only below the roots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.simulate.ads.account import LEVELS, Account
from data.simulate.ads.faults import Decoys, Incident
from data.simulate.ads.traffic import NEVER, Traffic
from data.simulate.draws import Floats

METRICS = ("impressions", "clicks", "cost", "purchases", "sales")


@dataclass(frozen=True)
class Effect:
    """One metric of one entity over the fault's days: what was, over what would have been."""

    level: str
    entity_id: str
    metric: str
    sign: int
    lag_hours: int  # whole days from the onset day to the first day that differs
    ratio: float


def settled(account: Account, traffic: Traffic) -> dict[str, Floats]:
    """Fully settled daily totals by leaf: after invalid clicks, cancellations and returns."""
    n_day = len(account.clock.days)
    shape = (account.n_leaf, n_day)
    c, o = traffic.clicks, traffic.orders
    valid, kept = c.last_age == NEVER, o.last_age == NEVER
    click_cell = c.leaf[valid].astype(np.int64) * n_day + c.day[valid]
    order_cell = o.leaf[kept].astype(np.int64) * n_day + o.day[kept]
    size = account.n_leaf * n_day

    def summed(cell: NDArray[np.int64], weight: NDArray[np.generic] | None = None) -> Floats:
        return np.bincount(cell, weight, size).reshape(shape).astype(np.float64)

    return {
        "impressions": traffic.impressions.astype(np.float64),
        "clicks": summed(click_cell),
        "cost": summed(click_cell, c.cents[valid]) / 100.0,
        "purchases": summed(order_cell),
        "sales": summed(order_cell, o.cents[kept]) / 100.0,
    }


def effects(
    account: Account, incident: Incident, actual: dict[str, Floats], without: dict[str, Floats]
) -> list[Effect]:
    """Effects on every entity that the incident changed, at every level, ancestors included.

    `actual` and `without` are settled totals; `without` needs the incident's campaigns only.
    """
    touched = incident.campaigns[account.leaf_of["campaign"]]
    onset = int(account.clock.day[incident.onset_hour])
    last = int(account.clock.day[incident.stop_hour - 1])
    found: list[Effect] = []
    for level in LEVELS:
        index, ids = account.leaf_of[level], account.native_ids(level)
        for metric in METRICS:
            was = actual[metric][:, onset : last + 1]
            change = np.where(touched[:, None], was - without[metric][:, onset : last + 1], 0.0)
            was, change = (_by_entity(x, index, len(ids)) for x in (was, change))
            total, would = was.sum(axis=1), (was - change).sum(axis=1)
            differs = np.abs(change) > 1e-6
            for e in np.flatnonzero(differs.any(axis=1) & (would > 0)):
                ratio = total[e] / would[e]
                first = int(np.argmax(differs[e]))
                sign = int(np.sign(total[e] - would[e]))
                found.append(Effect(level, ids[e], metric, sign, 24 * first, float(ratio)))
    return found


def _by_entity(values: Floats, index: NDArray[np.int64], n: int) -> Floats:
    summed = np.zeros((n, values.shape[1]))
    np.add.at(summed, index, values)
    return summed


def incident_row(
    number: int,
    account: Account,
    incident: Incident,
    felt: list[Effect],
    actual: dict[str, Floats],
    without: dict[str, Floats],
) -> dict[str, object]:
    """One row of incidents.json.

    `money_impact` is what the account lost: settled sales that did not come plus cost beyond the
    counterfactual, from the onset day on; negative if the fault earned more than it cost.
    """
    clock = account.clock
    touched = incident.campaigns[account.leaf_of["campaign"]]
    onset = int(clock.day[incident.onset_hour])
    lost_sales, extra_cost = (
        float(sign * (actual[m][touched, onset:] - without[m][touched, onset:]).sum())
        for m, sign in (("sales", -1.0), ("cost", 1.0))
    )
    ends = incident.stop_hour < clock.first_hour[-1]
    keywords = {e.entity_id for e in felt if e.level == "keyword"}
    return {
        "incident_id": f"I{number:02d}",
        "fault": incident.fault.code,
        "cause_type": incident.fault.cause_type,
        "root_id": account.native_ids(incident.level)[incident.root],
        "level": incident.level,
        "profile_id": str(account.profile_id),
        "onset_utc": clock.utc(incident.onset_hour).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "onset_local_day": str(clock.days[onset]),
        "end_local_day": str(clock.days[clock.day[incident.stop_hour]]) if ends else None,
        "magnitude": incident.magnitude,
        "affected": len(keywords),
        "money_impact": round(lost_sales + extra_cost, 2),
        "lost_sales": round(lost_sales, 2),
        "extra_cost": round(extra_cost, 2),
        "currency": account.market.currency,
        "llr": round(incident.llr, 2),
        "difficulty": incident.difficulty,
    }


def decoy_rows(accounts: list[Account], decoys: Decoys) -> list[dict[str, object]]:
    """Rows of decoys.json: promotions, clock changes, the late day, the bad delivery."""
    rows: list[dict[str, object]] = []

    def add(
        kind: str, name: str, account: Account, level: str, entity_id: str, first: int, last: int
    ) -> None:
        rows.append(
            {
                "decoy_id": f"X{len(rows) + 1:02d}",
                "decoy": kind,
                "name": name,
                "level": level,
                "entity_id": entity_id,
                "profile_id": str(account.profile_id),
                "from": str(account.clock.days[first]),
                "to": str(account.clock.days[last]),
            }
        )

    for p in decoys.promotions:
        account = accounts[p.account]
        portfolio = account.native_ids("portfolio")[p.portfolio]
        add("D01", "calendared_promotion", account, "portfolio", portfolio, p.first_day, p.last_day)
    for account in accounts:
        hours = np.diff(account.clock.first_hour)
        for day in np.flatnonzero(hours != 24).tolist():
            profile = str(account.profile_id)
            add("D02", f"day_of_{hours[day]}_hours", account, "profile", profile, day, day)
    late = decoys.late
    account = accounts[late.account]
    profile = str(account.profile_id)
    add("D03", f"conversions_{late.age}_days_late", account, "profile", profile, late.day, late.day)
    bad = decoys.delivery
    account = accounts[bad.account]
    name = f"{bad.kind}_{bad.report}"
    add("D05", name, account, "profile", str(account.profile_id), bad.as_of - 1, bad.as_of - 1)
    return rows
