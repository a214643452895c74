"""The learned localizer: what its evidence sees, what it learns, and that no name decides anything."""

from __future__ import annotations

import dataclasses
import re

import networkx as nx
import numpy as np
import pytest

from core.cases import Alarm, Case, Cause, Graph, Truth, none_found
from core.contracts import Panel, Periods
from core.domains.services import SERVICES
from core.errors import NotEnoughDataError
from core.rootcause import choice
from core.rootcause.evidence import nodes
from core.rootcause.evidence.departure import departure, usual
from core.rootcause.evidence.habits import surprise
from core.rootcause.evidence.metric_kinds import Kind, kind
from core.rootcause.reranker import Reranker, RerankerParams, shipped
from core.samples import planted_service_case

METRICS = ("latency_mean", "requests_total", "cpu_percent", "availability_percent")
MINUTE = np.timedelta64(60, "s")


def chain(root: str = "db", rename: dict[str, str] | None = None, normal: bool = True) -> Case:
    """shop ← cart ← db and shop ← ads: `root` is slower by 0.4 s from minute 10 on, and so is whoever waits for it."""
    called = rename or {}
    nodes = ("shop", "cart", "db", "ads")
    usually = {"shop": 0.4, "cart": 0.2, "db": 0.05, "ads": 0.1}
    rng = np.random.default_rng(4)
    net: nx.DiGraph[str] = nx.DiGraph()
    for cause, effect in (("db", "cart"), ("cart", "shop"), ("ads", "shop")):
        net.add_edge(called.get(cause, cause), called.get(effect, effect))
    struck = {
        root,
        *nx.descendants(nx.DiGraph([("db", "cart"), ("cart", "shop"), ("ads", "shop")]), root),
    }

    def values(times: int, hit: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        made = np.empty((len(nodes), times, len(METRICS)))
        for row, node in enumerate(nodes):
            late = 0.4 * (np.arange(times) >= hit) * (node in struck)
            made[row, :, 0] = usually[node] * rng.normal(1, 0.05, times) + late
            made[row, :, 1] = rng.normal(50, 2, times)
            made[row, :, 2] = rng.normal(30, 3, times)
            made[row, :, 3] = 100.0
        return made

    names = tuple(called.get(node, node) for node in nodes)
    start = np.datetime64("2026-03-02T00:00", "s")
    labels = start + np.arange(515) * MINUTE
    before = Panel(values(500, 500), names, METRICS, Periods(labels[:500], MINUTE))
    panel = Panel(values(15, 10), names, METRICS, Periods(labels[500:], MINUTE))
    alarm = Alarm(called.get("shop", "shop"), labels[510], "latency_mean")
    return Case(Graph(net), alarm, panel, normal=before if normal else None)


@pytest.mark.parametrize("root", ["db", "cart", "ads", "shop"])
def test_whoever_adds_the_time_comes_first(root: str) -> None:
    causes = Reranker().find(chain(root))
    assert causes[0].node == root
    assert not none_found(causes)
    assert causes[0].onset == chain(root).alarm.at


def test_a_cause_tells_its_path_terms_and_numbers() -> None:
    cause = Reranker().find(chain("db"))[0]
    assert cause.path == ("db", "cart", "shop")
    assert cause.hops == 2
    assert sum(cause.terms.values()) == pytest.approx(cause.score)
    assert "latency_mean 0.05" in cause.evidence[0]


def test_evidence_says_values_in_the_unit_of_their_metric() -> None:
    case = planted_service_case(effect=3.0)
    (said, *_) = Reranker().find(case)[0].evidence
    assert re.match(r"\w+ [\d.]+ m?s → [\d.]+ m?s, [\d.]+ times the edge of normal$", said)
    shares = dict.fromkeys(case.panel.metrics if case.panel else (), "share")
    (said, *_) = Reranker().find(dataclasses.replace(case, units=shares))[0].evidence
    assert re.match(r"\w+ [\d.,]+ % → [\d.,]+ %, ", said)


def test_names_and_their_order_decide_nothing() -> None:
    names = {"shop": "a", "cart": "z", "db": "m", "ads": "b"}

    def ranked(causes: list[Cause]) -> list[tuple[float, float]]:
        return [(cause.score, cause.confidence) for cause in causes]

    plain, other = Reranker().find(chain("db")), Reranker().find(chain("db", names))
    assert [names[cause.node] for cause in plain] == [cause.node for cause in other]
    assert np.allclose(ranked(plain), ranked(other))


def test_nothing_stands_out_where_nothing_happened() -> None:
    case = chain("db")
    assert case.panel is not None
    quiet = dataclasses.replace(
        case,
        alarm=dataclasses.replace(case.alarm, at=case.panel.periods.labels[8]),
        panel=case.panel.select(times=slice(0, 10)),
    )
    assert none_found(Reranker().find(quiet))


def test_too_little_to_compare_with_is_refused() -> None:
    case = chain("db", normal=False)
    assert case.panel is not None
    short = dataclasses.replace(case, panel=case.panel.select(times=slice(9, None)))
    with pytest.raises(NotEnoughDataError, match="normal periods"):
        Reranker().find(short)


def test_learning_starts_over_and_keeps_every_sign() -> None:
    cases = [chain(root) for root in ("db", "cart", "ads")]
    truths = [Truth((root,), group=root) for root in ("db", "cart", "ads")]
    learned = Reranker().learned(cases, truths)
    weights = choice.Choice.read(str(learned.state["metrics"])).weights
    for term in nodes.TERMS:
        assert weights[term.name] * term.weight >= 0.0
    again = learned.learned(cases, truths)
    assert again.state == learned.state
    assert learned.find(chain("shop"))[0].node == "shop"


def test_without_cases_the_weights_of_before_stay() -> None:
    text = str(Reranker().learned([], []).state["metrics"])
    known = choice.Choice.read(text).weights
    assert known == {term.name: term.weight for term in nodes.TERMS}


def test_what_ships_keeps_the_declared_signs() -> None:
    for term in nodes.TERMS:
        assert shipped()["metrics"].weights[term.name] * term.weight >= 0.0


def test_declared_metrics_are_bad_in_the_declared_direction() -> None:
    for metric in SERVICES.metrics:
        known = kind(metric.name)
        if metric.bad and known.bad:
            assert known.bad == metric.bad, metric.name
    assert kind("PodClientLatencyP90(s)").family == "outgoing"
    assert kind("availability:Average") == Kind("success", -1)


@pytest.mark.parametrize("order", [("c", "e"), ("e", "c")])
def test_a_trail_is_followed_sideways_whatever_the_order(order: tuple[str, str]) -> None:
    """a ← b ← c and a ← f ← e → c: only c, as far from the alarm as e is, leads to e."""
    nodes = ("a", "b", "f", *order)
    net: nx.DiGraph[str] = nx.DiGraph()
    net.add_nodes_from(nodes)
    for cause, effect in (("b", "a"), ("f", "a"), ("c", "b"), ("e", "f"), ("e", "c")):
        net.add_edge(cause, effect)
    labels = np.datetime64("2026-03-02", "s") + np.arange(315) * MINUTE
    values = np.random.default_rng(0).normal(1.0, 0.05, (len(nodes), 315, 1))
    for node in ("a", "b", "c", "e"):
        values[nodes.index(node), 310:] += 3.0
    before, seen = (
        Panel(values[:, span], nodes, METRICS[:1], Periods(labels[span], MINUTE))
        for span in (slice(0, 300), slice(300, 315))
    )
    case = Case(Graph(net), Alarm("a", labels[310], METRICS[0]), seen, normal=before)
    causes = Reranker(RerankerParams(hops=1)).find(case)
    assert {cause.node for cause in causes} == {"a", "b", "f", "c", "e"}
    assert causes[0].node == "e"


def test_a_level_that_moved_long_ago_is_no_news() -> None:
    rng = np.random.default_rng(2)
    kinds = (Kind("cpu", 1),)
    labels = np.datetime64("2026-03-02", "s") + np.arange(300) * MINUTE
    normal = Panel(rng.normal(10, 1, (2, 300, 1)), ("a", "b"), ("cpu",), Periods(labels, MINUTE))
    seen = rng.normal(30, 1, (2, 12, 1))
    seen[1, 8:] += 40
    found = departure(seen, usual(normal, np.arange(2), 4, kinds), slice(8, 12), kinds)
    assert found.family[0, 0] < 1.0 < found.family[1, 0]
    assert found.strength[1, 0] > 8.0


def test_a_surprise_is_the_log_of_the_share_that_was_as_odd() -> None:
    usual_values = np.arange(1.0, 100.0)
    assert surprise(usual_values, 98.0) == pytest.approx(-np.log(2.5 / 99.5))
    assert surprise(usual_values, 500.0) == pytest.approx(-np.log(0.5 / 99.5))
