"""State changes as evidence: the stuck, the strange and the unprovoked, each alarm a contest of its own."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
import pytest

from core.cases import Alarm, Case, Graph
from core.events import EventTable, Texts
from core.rootcause.evidence.habits import habits
from core.rootcause.reranker import Reranker

Event = tuple[float, str, str]
GRAPH = nx.DiGraph(
    [("open", "valve"), ("valve", "flow"), ("open", "alarm"), ("valve", "alarm"), ("flow", "alarm")]
)


def cycles(count: int, jitter: float) -> list[Event]:
    """The valve follows its command within a second, the flow follows the valve; every 20 seconds."""
    events: list[Event] = [(0.0, node, "off") for node in ("open", "valve", "flow")]
    for start in (20.0 * number + 5.0 for number in range(count)):
        for state, begin in (("on", start), ("off", start + 8.0)):
            events += [
                (begin, "open", state),
                (begin + 0.5 + jitter, "valve", state),
                (begin + 1.0 + jitter, "flow", state),
            ]
    return events


def table(events: Sequence[tuple[str, Event]]) -> EventTable:
    runs, plain = [run for run, _ in events], [event for _, event in events]
    nodes = [node for _, node, _ in plain]
    texts = {"value": Texts.of([value for *_, value in plain])}
    keys = nodes
    if any(runs):
        keys = [f"{run}/{node}" for run, node in zip(runs, nodes, strict=True)]
        texts |= {"run": Texts.of(runs), "node": Texts.of(nodes)}
    times = np.array([round(time * 1e6) for time, *_ in plain]).astype("datetime64[us]")
    return EventTable.of(Texts.of(keys), times, texts, {"value": np.full(len(plain), np.nan)})


NORMAL = table([(f"run{n}", event) for n in range(40) for event in cycles(4, 0.01 * (n % 10))])


def case(events: Sequence[Event], at: float) -> Case:
    fired = [*events, (0.0, "alarm", "off"), (at, "alarm", "on")]
    alarm = Alarm("alarm", np.datetime64(round(at * 1e6), "us"))
    return Case(Graph(GRAPH), alarm, events=table([("", event) for event in fired]), normal=NORMAL)


def test_a_valve_that_does_not_follow_its_command_is_the_cause() -> None:
    stuck = [*cycles(2, 0.05), (45.0, "open", "on")]
    causes = Reranker().find(case(stuck, 51.0))
    assert causes[0].node == "valve"
    assert any("not followed" in said for said in causes[0].evidence)


def test_a_valve_that_moves_unprovoked_is_the_cause() -> None:
    flipped = [*cycles(2, 0.05), (41.0, "valve", "on"), (41.5, "flow", "on")]
    causes = Reranker().find(case(flipped, 42.0))
    assert causes[0].node == "valve"


def test_a_state_that_no_run_was_ever_in_is_the_cause() -> None:
    strange = [*cycles(2, 0.05), (42.0, "open", "broken")]
    causes = Reranker().find(case(strange, 42.5))
    assert causes[0].node == "open"
    assert causes[0].onset == np.datetime64(42_000_000, "us")


def test_novelty_counts_runs() -> None:
    known = habits(NORMAL)
    assert known.runs == 40
    assert known.novelty("open", "broken", np.nan) == pytest.approx(np.log(81))
    assert known.novelty("open", "on", np.nan) == pytest.approx(0.0, abs=1e-9)
