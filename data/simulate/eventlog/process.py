"""The process that is simulated: buying something, from the wish to the paid invoice, and who works in it.

A step is done by a role, some time after the steps before it, within the working hours of the person. Stages
follow each other strictly; within a stage goods and invoice run side by side. An optional step has a chance by
what is bought; a loop is a step back (`return`, `clarify`, …) with the steps that it repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from data.simulate.draws import Floats, Keys, derive, normal, uniform

Seconds = NDArray[np.int64]
HOUR = 3600
DAY = 24 * HOUR


class Channel(IntEnum):
    """What a number is drawn for; part of its key, so the values never change."""

    STAFF = 1
    ARRIVAL = 2
    CATEGORY = 3
    SIZE = 4
    PRESENT = 5
    HANDLER = 6
    STICKS = 7
    ANYBODY = 8
    SENIOR = 9
    DEPUTY = 10
    WAIT = 11
    DURATION = 12
    COST = 13
    ANOMALY = 14
    CASE = 15


@dataclass(frozen=True)
class Step:
    """A step of the process.

    after   : the steps it waits for (what an absent one waited for, where that is absent)
    chance  : how often it takes place, by category, given `given`
    minutes : median of its duration; wait : median hours before it starts; cost : its median cost
    """

    name: str
    activity: str
    role: str
    stage: int
    after: tuple[str, ...] = ()
    chance: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    given: str = ""
    minutes: float = 15.0
    wait: float = 4.0
    cost: float = 12.0

    @property
    def mandatory(self) -> bool:
        """Whether no case of the right category goes without it."""
        return not self.given and set(self.chance) <= {0.0, 1.0}


CATEGORIES = (0.35, 0.2, 0.3, 0.15)
"""Shares of office supplies, IT, raw material, services."""
GOODS, SERVICE = (1.0, 1.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)


def _often(chance: float) -> tuple[float, float, float, float]:
    return (chance, chance, chance, chance)


CANCEL = "cancel"
# fmt: off
STEPS = (
    Step("create", "Create requisition", "requester", 0, minutes=12, wait=0.5, cost=9),
    Step("approve", "Approve requisition", "manager", 1, ("create",), minutes=8, wait=9, cost=14),
    Step("change", "Change requisition", "requester", 1, ("approve",), _often(0.12), minutes=10),
    Step("approve_again", "Approve requisition", "manager", 1, ("change",), given="change", minutes=6, cost=14),
    Step("director", "Second approval", "director", 1, ("approve_again",), (0.08, 0.3, 0.35, 0.2), minutes=6, wait=20, cost=28),
    Step(CANCEL, "Cancel requisition", "requester", 9, ("director",), _often(0.03), minutes=4),
    Step("quote", "Request quotations", "buyer", 2, ("director",), (0.15, 0.5, 0.6, 0.4), minutes=45, wait=6, cost=38),
    Step("select", "Select supplier", "buyer", 2, ("quote",), given="quote", minutes=60, wait=70, cost=46),
    Step("order", "Create purchase order", "buyer", 3, ("select",), minutes=20, wait=5, cost=22),
    Step("send", "Send order", "system", 3, ("order",), minutes=1, wait=0.3, cost=2),
    Step("alter", "Change order", "buyer", 3, ("send",), _often(0.08), minutes=14, wait=24),
    Step("send_again", "Send order", "system", 3, ("alter",), given="alter", minutes=1, wait=0.3, cost=2),
    Step("receive", "Receive goods", "warehouse", 4, ("send_again",), GOODS, minutes=25, wait=110, cost=31),
    Step("inspect", "Inspect quality", "quality", 4, ("receive",), (0.2, 0.4, 0.7, 0.0), minutes=70, wait=5, cost=64),
    Step("return", "Return goods", "warehouse", 4, ("inspect",), _often(0.1), "inspect", minutes=35, wait=7, cost=52),
    Step("receive_again", "Receive goods", "warehouse", 4, ("return",), given="return", minutes=25, wait=90, cost=31),
    Step("inspect_again", "Inspect quality", "quality", 4, ("receive_again",), given="return", minutes=70, wait=5, cost=64),
    Step("confirm", "Confirm service", "requester", 4, ("inspect_again",), SERVICE, minutes=15, wait=160, cost=11),
    Step("invoice", "Receive invoice", "accounts", 4, ("send_again",), wait=150, minutes=5, cost=6),
    Step("record", "Record invoice", "accounts", 4, ("invoice",), minutes=11, wait=7, cost=13),
    Step("clarify", "Clarify invoice", "accounts", 4, ("record",), _often(0.1), minutes=40, cost=35),
    Step("record_again", "Record invoice", "accounts", 4, ("clarify",), given="clarify", minutes=9, wait=12, cost=13),
    Step("match", "Match documents", "accounts", 5, ("confirm", "record_again"), minutes=18, cost=17),
    Step("differ", "Clear difference", "buyer", 5, ("match",), _often(0.07), minutes=55, wait=12, cost=48),
    Step("match_again", "Match documents", "accounts", 5, ("differ",), given="differ", cost=17),
    Step("release", "Approve payment", "controller", 6, ("match_again",), minutes=7, wait=10, cost=19),
    Step("pay", "Pay invoice", "treasury", 7, ("release",), minutes=3, wait=60, cost=4),
    Step("close", "Close order", "buyer", 8, ("pay",), minutes=4, wait=16, cost=3),
)
# fmt: on
INDEX = {step.name: number for number, step in enumerate(STEPS)}
ACTIVITIES = tuple(dict.fromkeys(step.activity for step in STEPS))


@dataclass(frozen=True)
class Role:
    """People of one kind: how many, when they work, and which role stands in for them."""

    people: int
    starts: float = 8.0
    hours: float = 8.0
    days: int = 5
    deputy: str = ""


ROLES = {
    "requester": Role(12, deputy="manager"),
    "manager": Role(4, starts=9, deputy="director"),
    "director": Role(2, starts=10, hours=6),
    "buyer": Role(6, deputy="requester"),
    "warehouse": Role(6, starts=6, days=6, deputy="quality"),
    "quality": Role(3, starts=7, deputy="warehouse"),
    "accounts": Role(5, deputy="controller"),
    "controller": Role(2, starts=9, deputy="manager"),
    "treasury": Role(2, deputy="accounts"),
    "system": Role(1, starts=0, hours=24, days=7),
}
# fmt: off
NAMES = (
    "abaur", "adler", "anieto", "bcohn", "bvidal", "chagen", "dkovac", "dmeyer", "eprice",
    "ewald", "fbraun", "fsilva", "gnovak", "gomez", "hbecker", "hyoon", "ibanez", "iroth",
    "jhuang", "jlang", "kdavis", "kwolf", "lbauer", "lmoser", "mklein", "mrossi", "nfrank",
    "npatel", "ohahn", "olsen", "pjung", "pkraus", "qlin", "rdietz", "rmarin", "skoch",
    "slarsen", "tberg", "twirth", "uwe", "vbasso", "wzhao", "yilmaz", "zeller",
)
# fmt: on
NEW_PEOPLE = 0.12
"""Share of the people who join while the log runs."""


@dataclass(frozen=True, eq=False)
class Staff:
    """Everybody who works in the process, by row.

    starts, hours : of the working day, s; days : working days a week, from Monday; pace : factor on durations
    weight : share of the work of the role; joins : when they start, as a share of the log's span
    """

    names: tuple[str, ...]
    role: tuple[str, ...]
    starts: Seconds
    hours: Seconds
    days: Seconds
    weight: Floats
    pace: Floats
    joins: Floats

    def of(self, role: str) -> NDArray[np.int64]:
        """Rows of the people of a role."""
        return np.array([row for row, held in enumerate(self.role) if held == role])

    def pick(self, role: str, u: Floats, joined: Floats, again: Floats) -> NDArray[np.int64]:
        """One person each by weight, from `u`; from the early ones, by `again`, where not yet there."""
        rows = self.of(role)
        first = rows[np.searchsorted(np.cumsum(self.weight[rows])[:-1], u)]
        early = rows[self.joins[rows] <= 0]
        shares = np.cumsum(self.weight[early]) / self.weight[early].sum()
        instead = early[np.searchsorted(shares[:-1], again)]
        return np.where(self.joins[first] <= joined, first, instead)

    def worked(self, moment: Seconds, who: NDArray[np.int64]) -> Seconds:
        """Working seconds of each person from a Monday at 0 h up to `moment`."""
        day, second = np.divmod(moment, DAY)
        week, weekday = np.divmod(day, 7)
        today = np.clip(second - self.starts[who], 0, self.hours[who])
        today = np.where(weekday < self.days[who], today, 0)
        full = week * self.days[who] + np.minimum(weekday, self.days[who])
        return full * self.hours[who] + today

    def moment(self, worked: Seconds, who: NDArray[np.int64]) -> Seconds:
        """When each person has worked so long (> 0 s): the inverse of `worked`, at the end of a shift where it jumps."""
        full, second = np.divmod(worked - 1, self.hours[who])
        week, weekday = np.divmod(full, self.days[who])
        return (week * 7 + weekday) * DAY + self.starts[who] + second + 1


def hire(root: Keys) -> Staff:
    """The people of one company: names, shifts and shares by the seed; a first of each role is always there."""
    key = derive(root, Channel.STAFF)
    role = tuple(name for name, role in ROLES.items() for _ in range(role.people))
    rows = np.arange(len(role))
    first = np.array([role.index(name) for name in role]) == rows
    u = [uniform(derive(derive(key, part), rows)) for part in range(6)]
    names = [NAMES[i] for i in np.argsort(u[0])[: len(role)]]
    names[role.index("system")] = "batch"
    kinds = [ROLES[name] for name in role]
    weight = 0.3 + u[1]
    for name in ROLES:
        members = np.array([held == name for held in role])
        weight[members] /= weight[members].sum()
    # half an hour either way; one in eight works half days
    shift = np.array([kind.starts for kind in kinds]) + np.where(
        first, 0, np.rint(2 * u[2] - 1) / 2
    )
    hours = np.array([kind.hours for kind in kinds]) * np.where(~first & (u[3] < 0.125), 0.5, 1.0)
    return Staff(
        tuple(names),
        role,
        (shift * HOUR).astype(np.int64),
        (hours * HOUR).astype(np.int64),
        np.array([kind.days for kind in kinds]),
        weight,
        np.exp(0.15 * normal(derive(derive(key, 6), rows))),
        np.where(~first & (u[4] < NEW_PEOPLE), 0.2 + 0.7 * u[5], 0.0),
    )
