"""The plain localizers on small systems whose root is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from scipy import stats

from core.cases import Alarm, Case, Graph, Truth, none_found
from core.contracts import Panel, Periods
from core.errors import InvalidInputError
from core.rootcause.bfs_temporal import BfsTemporal
from core.rootcause.graph_residual import GraphResidual
from core.rootcause.ranked_correlation import RankedCorrelation
from core.rootcause.robust_deviation import RobustDeviation, RobustDeviationParams
from core.rootcause.surprise import NORMAL_IQR, Usual, surprise
from core.samples import SERVICE_ROOT, planted_service_case
from data.cause_suites import suite
from tests import labelled_causes as written

T0, MINUTE = np.datetime64("2026-03-02", "us"), np.timedelta64(60, "s")


def panel(
    values: np.ndarray, nodes: tuple[str, ...], metrics: tuple[str, ...], first: int
) -> Panel:
    labels = T0 + (first + np.arange(values.shape[1])) * MINUTE
    return Panel(values, nodes, metrics, Periods(labels, MINUTE))


def chain(moved: dict[str, float], metric: str = "latency", n: int = 8) -> Case:
    """a → b → c, calm for 200 minutes, then `moved` standard deviations away from minute 3 of 8; alarm at c."""
    rng = np.random.default_rng(3)
    nodes = ("a", "b", "c")
    normal = 100.0 + rng.normal(0, 10.0, (3, 200, 1))
    seen = 100.0 + rng.normal(0, 1.0, (3, n, 1))
    for node, by in moved.items():
        seen[nodes.index(node), 3:, 0] += 10.0 * by
    net: nx.DiGraph[str] = nx.DiGraph([("a", "b"), ("b", "c")])
    asked = panel(seen, nodes, (metric,), 300)
    alarm = Alarm("c", T0 + 303 * MINUTE, metric)
    return Case(Graph(net), alarm, asked, normal=panel(normal, nodes, (metric,), 0))


# ── Surprise ─────────────────────────────────────────────────────────────────────────────────────


def test_the_spread_is_the_largest_of_three() -> None:
    values = np.array([[0.0, 1.0, 2.0, 3.0, 4.0], [100.0, 100.0, 100.0, 100.0, 100.0]])
    own = Usual.of(panel(values[:, :, None], ("x", "y"), ("m",), 0))
    assert own.centre[:, 0].tolist() == [2.0, 100.0]
    # IQR 2 / 1.349 against the standard deviation √2; 5 % of a median that never moved
    assert own.spread[:, 0].tolist() == pytest.approx([2.0 / NORMAL_IQR, 5.0])


def test_onset_is_where_the_trouble_began_and_p_is_rare() -> None:
    found = surprise(chain({"a": 9.0, "b": 6.0}))
    assert found.nodes == ("a", "b", "c")
    assert found.strength[0] == pytest.approx(9.0, abs=1.0)
    assert found.onset[0] == found.onset[1] == T0 + 303 * MINUTE
    # none of 40 windows of five minutes comes near
    assert found.p == pytest.approx(1 / 41) and found.belief > 0.5
    quiet = surprise(chain({}))
    assert quiet.p > 0.05 and quiet.belief < 0.5


def test_a_metric_counts_the_way_that_is_bad() -> None:
    up, down = chain({"a": 9.0}, "latency_seconds"), chain({"a": -9.0}, "latency_seconds")
    assert surprise(up).strength[0] > 8.0 and surprise(down).strength[0] == 0.0
    assert surprise(chain({"a": -9.0}, "availability")).strength[0] > 8.0
    assert surprise(down, {"latency_seconds": 0}).strength[0] > 8.0


def test_what_was_never_seen_is_no_surprise() -> None:
    case = chain({"a": 9.0})
    values = case.panel.values.copy()  # type: ignore[union-attr]
    values[2] = np.nan
    lost = dataclasses.replace(case, panel=case.panel.with_values(values))  # type: ignore[union-attr]
    found = surprise(lost)
    assert found.strength[2] == 0.0 and found.metric[2] == ""
    assert RobustDeviation().find(lost)[0].node == "a"


def test_a_state_never_seen_in_normal_runs_is_rare(tmp_path: Path) -> None:
    found = suite(written.write_events(tmp_path / "machine"))
    said = surprise(found.case("run 0"))
    at = said.row_of["pump_ok"]
    # 40 normal runs without it
    assert said.strength[at] == pytest.approx(np.log10(41)) and said.metric[at] == "False"
    assert said.onset[at] == np.datetime64(50_000_000, "us")
    assert said.strength[said.row_of["valve_ok"]] == 0.0
    assert said.p == pytest.approx(2 / 41)


# ── Localizers ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("localizer", [RobustDeviation(), GraphResidual(), RankedCorrelation()])
def test_the_planted_service_comes_first_whatever_the_noise(localizer: RobustDeviation) -> None:
    first = [localizer.find(planted_service_case(seed=seed))[0].node for seed in range(10)]
    assert first.count(SERVICE_ROOT) >= (6 if localizer.name == "ranked-correlation" else 9)


def test_the_residual_leaves_out_what_a_callee_explains() -> None:
    passed_on = chain({"a": 9.0, "b": 12.0, "c": 15.0})
    assert [cause.node for cause in RobustDeviation().find(passed_on)] == ["c", "b", "a"]
    (best, *_) = GraphResidual().find(passed_on)
    assert best.node == "a" and best.path == ("a", "b", "c") and best.hops == 2
    assert best.score == pytest.approx(sum(best.terms.values())) and "chain" in best.terms
    assert best.evidence == ("latency is 8.7 robust deviations above normal",)


def test_a_break_in_the_chain_is_no_way_for_trouble() -> None:
    broken = GraphResidual().find(chain({"a": 9.0, "c": 9.0}))
    terms = {cause.node: cause.terms for cause in broken}
    assert "chain" not in terms["a"] and "chain" in terms["c"]


def test_a_slow_way_between_two_services_points_at_the_one_that_is_called() -> None:
    rng = np.random.default_rng(4)
    case = chain({"c": 9.0})
    metrics = ("duration:source_side", "duration:target_side")
    normal = 10.0 + rng.normal(0, 0.1, (2, 200, 2))
    seen = 10.0 + rng.normal(0, 0.1, (2, 8, 2))
    seen[0, 3:, 0] += 50.0
    calls = ("b→a", "c→b")
    case = dataclasses.replace(
        case, edges=panel(seen, calls, metrics, 300), normal_edges=panel(normal, calls, metrics, 0)
    )
    assert GraphResidual().find(case)[0].node == "a"


def test_sureness_is_that_of_pearson() -> None:
    case = chain({"a": 9.0, "b": 3.0})
    values = case.panel.metric("latency")  # type: ignore[union-attr]
    found = {cause.node: cause.terms["correlation"] for cause in RankedCorrelation().find(case)}
    assert found.keys() <= {"a", "b"} and "a" in found
    for node, sure in found.items():
        row = ("a", "b", "c").index(node)
        p = stats.pearsonr(values[row], values[2]).pvalue
        assert sure == pytest.approx(-np.log10(p), rel=1e-9)


def test_the_state_before_the_alarm_comes_before_the_alarm(tmp_path: Path) -> None:
    found = suite(written.write_events(tmp_path / "machine"))
    for name in found.cases:
        (best, second, *_) = BfsTemporal().find(found.case(name))
        assert (best.node,) == found.truth(name).roots
        assert second.node == best.path[-1] and best.terms["lead"] > 0 == second.terms["lead"]


def test_nothing_farther_than_the_hops_is_named() -> None:
    case = chain({"a": 9.0, "b": 9.0, "c": 9.0})
    near = BfsTemporal(BfsTemporal.Params(hops=1)).find(case)
    assert {cause.node for cause in near} == {"b", "c"}
    assert none_found(BfsTemporal().find(chain({})))


def test_a_direction_is_learned_from_known_causes() -> None:
    down = [chain({"a": -9.0}, "mystery") for _ in range(3)]
    learner = RobustDeviation(RobustDeviationParams(direction="learned"))
    assert learner.learns and not RobustDeviation().learns
    taught = learner.learned(down, [Truth(("a",))] * 3)
    rise = chain({"a": 9.0, "b": -5.0}, "mystery")
    assert learner.find(rise)[0].node == "a"
    assert taught.find(rise)[0].node == "b"
    # what moved both ways teaches nothing
    both = learner.learned([*down, chain({"a": 9.0}, "mystery")], [Truth(("a",))] * 4)
    assert both.find(rise)[0].node == "a"


def test_what_it_cannot_look_at_is_refused(tmp_path: Path) -> None:
    found = suite(written.write_events(tmp_path / "machine"))
    with pytest.raises(InvalidInputError, match="ranked-correlation: the case must be of metrics"):
        RankedCorrelation().find(found.case("run 0"))
    with pytest.raises(InvalidInputError, match="one that learns"):
        GraphResidual().learned([], [])
