"""What goes wrong in a case: eight kinds, each planted in the plan of the case before anything is timed.

A plan is the steps of one case with what each waits for. Planting rewires it, so people, shifts, durations and
costs of what was planted come from the same draws as everybody's: the case is odd in what it does, never in how it
is written. A change is only made where the process forbids the result: no optional step counts as skipped, no
permitted loop as rework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from data.simulate.draws import Floats
from data.simulate.eventlog.process import ACTIVITIES, CANCEL, STEPS, Step

SHARE = 0.08
"""Share of the cases that go wrong."""
COPIES = 3
"""Steps that an anomaly may add to a case."""
DRAWS = 12
"""Uniforms that planting may use."""
LOOPS = {"change", "alter", "return", "clarify", "differ", CANCEL}
HOME = {step.activity: step for step in reversed(STEPS)}
"""The first step of each activity."""


@dataclass(frozen=True)
class Label:
    """Something wrong about one event: which attribute, by which kind of anomaly, and what it should have been."""

    attribute: str
    kind: str
    was: str = ""


@dataclass
class Planned:
    """A step in a plan; `identity` is what its numbers are drawn for, `wrong` picks a person of a foreign role."""

    step: Step
    identity: int
    after: set[int]
    slow: float = 1.0
    dear: float = 1.0
    wrong: float = float("nan")
    labels: list[Label] = field(default_factory=list)


Plan = dict[int, Planned]
"""Identity → step."""


def plant(plan: Plan, u: Floats) -> str:
    """Plant one anomaly, whose kind and place the uniforms `u` (DRAWS,) of this case decide; its kind."""
    picks = iter(u.tolist())
    kind = list(KINDS)[int(next(picks) * len(KINDS))]
    KINDS[kind](plan, picks)
    return kind


def in_order(plan: Plan) -> list[int]:
    """Identities with each step after those it waits for."""
    left, placed = dict(plan), list[int]()
    while left:
        ready = [name for name, planned in left.items() if planned.after <= set(placed)]
        placed += ready
        left = {name: planned for name, planned in left.items() if name not in ready}
    return placed


# ── Rewiring ─────────────────────────────────────────────────────────────────────────────────────


def _followers(plan: Plan, name: int) -> list[int]:
    return [other for other, planned in plan.items() if name in planned.after]


def _take_out(plan: Plan, name: int) -> Planned:
    """Remove a step; what waited for it waits for what it waited for."""
    for other in _followers(plan, name):
        plan[other].after = (plan[other].after - {name}) | plan[name].after
    return plan.pop(name)


def _put_after(plan: Plan, name: int, planned: Planned, at: int, followers: Sequence[int]) -> None:
    """Add a step after `at` and before the given followers of it."""
    planned.after = {at}
    plan[name] = planned
    for other in followers:
        plan[other].after = (plan[other].after - {at}) | {name}


def _reach(name: int, neighbours: Callable[[int], Sequence[int]]) -> list[int]:
    """Everything before or after a step, as `neighbours` leads."""
    found: dict[int, None] = {}
    frontier = [name]
    while frontier:
        frontier = [near for at in frontier for near in neighbours(at) if near not in found]
        found.update(dict.fromkeys(frontier))
    return sorted(found)


def _pick(options: Sequence[int], u: Iterator[float]) -> int:
    return options[int(next(u) * len(options))]


# ── The kinds ────────────────────────────────────────────────────────────────────────────────────


def _skip(plan: Plan, u: Iterator[float]) -> None:
    """One or two mandatory steps in a row do not take place; the event after them comes too soon."""
    twice = next(u) < 0.3
    options = [n for n, p in plan.items() if p.step.mandatory and _followers(plan, n)]
    chain = [_pick(options, u)]
    after = _followers(plan, chain[0])
    if twice and len(after) == 1 and after[0] in options:
        chain += after
    for name in chain:
        followers = _followers(plan, name)
        gone = _take_out(plan, name)
        for other in followers:
            plan[other].labels.append(Label("activity", "skip", gone.step.activity))


def _insert(plan: Plan, u: Iterator[float]) -> None:
    """One or two activities of the process take place where they have no business."""
    many = 1 + (next(u) < 0.3)
    edges = [(p, name) for name, planned in plan.items() for p in sorted(planned.after)]
    before, after = edges[int(next(u) * len(edges))]
    low, high = plan[before].step.stage, plan[after].step.stage
    foreign = [activity for activity in ACTIVITIES if not low <= HOME[activity].stage <= high]
    for number in range(many):
        activity = foreign[int(next(u) * len(foreign))]
        label = [Label("activity", "insert")]
        name = len(STEPS) + number
        planned = Planned(HOME[activity], name, set(), labels=label)
        _put_after(plan, name, planned, before, [after])
        before = name


def _rework(plan: Plan, u: Iterator[float]) -> None:
    """One to three steps in a row are done again, without the step back that would allow it."""
    many = 1 + int(next(u) * 3)
    at = _pick([n for n, p in plan.items() if p.step.name not in LOOPS], u)
    chain = [at]
    while len(chain) < many and len(plan[chain[0]].after) == 1:
        earlier = next(iter(plan[chain[0]].after))
        if plan[earlier].step.name in LOOPS or len(_followers(plan, earlier)) > 1:
            break
        chain.insert(0, earlier)
    for number, name in enumerate(chain):
        again = len(STEPS) + number
        planned = Planned(plan[name].step, again, set(), labels=[Label("activity", "rework")])
        _put_after(plan, again, planned, at, _followers(plan, at))
        at = again


def _move(plan: Plan, name: int, at: int, kind: str) -> None:
    moved = _take_out(plan, name)
    if kind == "early":
        moved.after, plan[at].after = plan[at].after, {name}
        plan[name] = moved
    else:
        _put_after(plan, name, moved, at, _followers(plan, at))
    moved.labels += [Label("activity", kind), Label("time", kind)]


def _early(plan: Plan, u: Iterator[float]) -> None:
    """A mandatory step takes place before one of an earlier stage."""
    name = _pick([n for n, p in plan.items() if p.step.mandatory and p.step.stage > 0], u)
    earlier = _reach(name, lambda at: sorted(plan[at].after))
    stage = plan[name].step.stage
    _move(plan, name, _pick([n for n in earlier if plan[n].step.stage < stage], u), "early")


def _late(plan: Plan, u: Iterator[float]) -> None:
    """A mandatory step takes place after one of a later stage."""
    options = {
        name: [
            other
            for other in _reach(name, lambda at: _followers(plan, at))
            if plan[other].step.stage > planned.step.stage
        ]
        for name, planned in plan.items()
        if planned.step.mandatory
    }
    name = _pick([name for name, later in options.items() if later], u)
    _move(plan, name, _pick(options[name], u), "late")


def _some(plan: Plan, u: Iterator[float]) -> list[Planned]:
    """One or two steps of a plan."""
    names = sorted(plan)
    first = _pick(names, u)
    second = _pick(names, u)
    return [plan[name] for name in ({first, second} if next(u) < 0.3 else {first})]


def _attribute(plan: Plan, u: Iterator[float]) -> None:
    """Somebody of a role that has no part in it does the step."""
    for planned in _some(plan, u):
        planned.wrong = next(u)
        planned.labels.append(Label("resource", "attribute"))


def _duration(plan: Plan, u: Iterator[float]) -> None:
    """A step takes 5 to 15 times as long, or is over in as small a part of its time."""
    for planned in _some(plan, u):
        planned.slow = _factor(5.0, 15.0, u)
        planned.labels.append(Label("duration", "duration"))


def _cost(plan: Plan, u: Iterator[float]) -> None:
    """A step costs 3 to 10 times as much, or as small a part."""
    for planned in _some(plan, u):
        planned.dear = _factor(3.0, 10.0, u)
        planned.labels.append(Label("cost", "cost"))


def _factor(low: float, high: float, u: Iterator[float]) -> float:
    size: float = low * (high / low) ** next(u)
    return size if next(u) < 0.6 else 1.0 / size


KINDS: dict[str, Callable[[Plan, Iterator[float]], None]] = {
    "insert": _insert,
    "skip": _skip,
    "rework": _rework,
    "early": _early,
    "late": _late,
    "attribute": _attribute,
    "duration": _duration,
    "cost": _cost,
}
