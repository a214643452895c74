from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.cases import Alarm, Case
from core.errors import InvalidInputError
from core.rootcause.bfs_temporal import BfsTemporal, BfsTemporalParams
from tests.core.planted_tree import DAYS, Change, account, case

GRAPH = account()
LAST = DAYS - 1


def with_p(planted: Case, odd: dict[str, tuple[list[int], float]]) -> Case:
    """p = 0.5 everywhere but on the named days of the named nodes."""
    p_values = np.full(planted.panel.values.shape[:2], 0.5)
    for node, (days, p) in odd.items():
        p_values[planted.panel.row_of[node], days] = p
    return dataclasses.replace(planted, p_values=p_values)


PLAIN = case(GRAPH, node="keyword:K0.1")


def test_terms_are_the_weighted_golden_values() -> None:
    found = BfsTemporal().find(
        with_p(
            PLAIN,
            {
                "keyword:K0.1": ([LAST - 1, LAST], 1e-5),
                "campaign:C0": ([LAST - 3, LAST - 2, LAST - 1, LAST], 1e-10),
            },
        )
    )
    best = found[0]
    assert [cause.node for cause in found] == ["campaign:C0", "keyword:K0.1"]
    assert best.path == ("campaign:C0", "ad_group:G0", "keyword:K0.1")
    assert best.terms == pytest.approx(
        {
            "lead": 0.3 * 2 / 3,  # two days before the alarm's node
            "recency": 0.2 * (1 - 3 / 14),
            "level": 0.2 * (1 - 2 / 6),  # third of seven levels
            "severity": 0.2,  # p = 1e-10 is full
            "coverage": 0.1 * 2 / 3,  # the ad group between them is calm
        }
    )
    assert best.score == pytest.approx(sum(best.terms.values()))
    assert best.onset == PLAIN.panel.periods.labels[LAST - 3]
    assert found[1].terms["severity"] == pytest.approx(0.1)


def test_onset_bridges_one_calm_day_but_not_two() -> None:
    labels = PLAIN.panel.periods.labels
    days = [LAST - 7, LAST - 4, LAST - 2, LAST]
    best = BfsTemporal().find(with_p(PLAIN, {"keyword:K0.1": (days, 1e-4)}))[0]
    assert best.onset == labels[LAST - 4]
    patient = BfsTemporal(BfsTemporalParams(gap=2))
    assert patient.find(with_p(PLAIN, {"keyword:K0.1": (days, 1e-4)}))[0].onset == labels[LAST - 7]


def test_looks_no_further_than_its_hops_and_never_at_other_branches() -> None:
    days = [LAST - 1, LAST]
    odd = dict.fromkeys(("profile:1", "portfolio:P0", "campaign:C1", "keyword:K0.1"), (days, 1e-06))
    assert {cause.node for cause in BfsTemporal().find(with_p(PLAIN, odd))} == {
        "portfolio:P0",
        "keyword:K0.1",
    }
    wide = BfsTemporal(BfsTemporalParams(hops=4)).find(with_p(PLAIN, odd))
    assert {cause.node for cause in wide} == {"profile:1", "portfolio:P0", "keyword:K0.1"}


def test_says_widespread_above_thirty_percent_of_the_siblings() -> None:
    days = [LAST]
    few = dict.fromkeys(("keyword:K0.1", "keyword:K0.2"), (days, 1e-06))
    many = few | {"keyword:K0.3": (days, 1e-6)}
    assert BfsTemporal().find(with_p(PLAIN, few))[0].evidence[-1] == (
        "1 of 4 siblings are anomalous too: not widespread"
    )
    assert BfsTemporal().find(with_p(PLAIN, many))[0].evidence[-1] == (
        "2 of 4 siblings are anomalous too: widespread"
    )


def test_an_asin_is_an_ancestor_of_its_ads() -> None:
    planted = dataclasses.replace(PLAIN, alarm=Alarm("ad:D2.3", PLAIN.alarm.at))
    days = [LAST - 2, LAST - 1, LAST]
    best = BfsTemporal().find(
        with_p(planted, {"asin:1/A3": (days, 1e-8), "ad:D2.3": (days[1:], 1e-8)})
    )[0]
    assert best.path == ("asin:1/A3", "ad:D2.3")


def test_types_the_cause_by_its_shift() -> None:
    planted = case(
        GRAPH, [Change("campaign:C1", LAST - 4, {"impressions": 0.0})], node="campaign:C1"
    )
    days = list(range(LAST - 4, LAST + 1))
    best = BfsTemporal().find(with_p(planted, {"campaign:C1": (days, 1e-12)}))[0]
    assert best.type == "paused"
    assert best.evidence[0].startswith("Impressions −100 %")


def test_nothing_anomalous_is_no_cause() -> None:
    assert BfsTemporal().find(with_p(PLAIN, {})) == []


def test_refuses_a_case_without_p_values() -> None:
    with pytest.raises(
        InvalidInputError, match="bfs-temporal: the case must be given with a panel"
    ):
        BfsTemporal().find(PLAIN)
