from __future__ import annotations

import dataclasses

import numpy as np

from core.cases import Cause
from core.domains.ads import ADS
from core.rootcause.grouping import Noticed, group
from tests.core.planted_tree import account

GRAPH = account()


def date(day: int) -> np.datetime64:
    return np.datetime64("2026-03-01", "s") + np.timedelta64(day - 1, "D")


def cause(node: str, kind: str = "budget_cut", day: int = 9, score: float = 50.0) -> Cause:
    said = ("Impressions −61 % (±4) since 9 Mar",)
    return Cause(node, kind, date(day), (node,), 0, {"explained": score}, score, 0.9, said)


def noticed(
    entity: str, *causes: Cause, p: float = 1e-4, risk: float = 1.0, bad: int = 0
) -> Noticed:
    return Noticed(entity, date(9), date(14), p, causes, risk, bad)


def test_alerts_that_share_a_root_are_one_incident_and_the_rest_is_muted_under_it() -> None:
    root = cause("campaign:C0")
    (found,) = group(
        [
            noticed("keyword:K0.1", root, cause("ad_group:G0", score=20.0), risk=2.0, bad=1),
            noticed("keyword:K0.2", root, p=1e-9, risk=3.0),
            noticed("campaign:C0", root, risk=4.0, bad=3),
        ],
        GRAPH,
        ADS,
    )
    assert (found.root, found.level, found.type) == ("campaign:C0", "campaign", "budget_cut")
    assert found.entities == ("campaign:C0", "keyword:K0.2", "keyword:K0.1")
    assert found.muted == ("keyword:K0.2", "keyword:K0.1")
    assert found.severity == 3
    assert found.spend_at_risk == 5.0  # the keywords' money; the campaign repeats part of it
    assert found.title == "Budget cut on campaign C0: impressions −61 % (±4) since 9 Mar"


def test_an_alert_without_a_cause_stays_alone() -> None:
    assert group([noticed("keyword:K0.1")], GRAPH, ADS) == []


def test_an_alert_for_which_no_cause_stands_out_stays_alone() -> None:
    doubtful = dataclasses.replace(cause("campaign:C0"), confidence=0.3)
    assert group([noticed("keyword:K0.1", doubtful)], GRAPH, ADS) == []
    (found,) = group([noticed("keyword:K0.1", doubtful, doubtful)], GRAPH, ADS)
    assert found.root == "campaign:C0"


def test_onsets_far_apart_are_two_incidents_of_one_root() -> None:
    found = group(
        [
            noticed("campaign:C0", cause("campaign:C0", day=9)),
            noticed("keyword:K0.1", cause("campaign:C0", day=2)),
        ],
        GRAPH,
        ADS,
    )
    assert [incident.onset for incident in found] == [date(9), date(2)]


def test_a_weaker_later_cause_below_a_stronger_one_joins_it() -> None:
    strong, weak = cause("campaign:C0", score=90.0), cause("ad_group:G1", "unknown", 10, 20.0)
    (found,) = group([noticed("keyword:K2.0", weak), noticed("campaign:C0", strong)], GRAPH, ADS)
    assert found.root == "campaign:C0"
    assert len(found.entities) == 2


def test_an_earlier_cause_below_or_one_beside_stays_its_own() -> None:
    strong = noticed("campaign:C0", cause("campaign:C0", score=90.0))
    earlier = noticed("ad_group:G1", cause("ad_group:G1", day=5, score=20.0))
    beside = noticed("campaign:C1", cause("campaign:C1", score=30.0))
    found = group([earlier, beside, strong], GRAPH, ADS)
    assert [incident.root for incident in found] == ["campaign:C0", "campaign:C1", "ad_group:G1"]


def test_what_begins_after_a_stronger_one_is_over_is_its_own() -> None:
    strong = noticed("campaign:C0", cause("campaign:C0", day=9, score=90.0))
    later = noticed("ad_group:G1", cause("ad_group:G1", "unknown", 24, 20.0))
    found = group([later, strong], GRAPH, ADS)
    assert [incident.root for incident in found] == ["campaign:C0", "ad_group:G1"]
