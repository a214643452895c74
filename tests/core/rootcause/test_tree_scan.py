from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.cases import Alarm
from core.errors import InvalidInputError, UnknownNameError
from core.rootcause.tree_scan import TreeScan, TreeScanParams
from tests.core.planted_tree import DAYS, Change, account, case

ONSET = DAYS - 6
GRAPH = account()
SUPPRESSED = {"impressions": 0.05, "cvr": 0.05}
FRAUD = {"ctr": 3.0, "cvr": 1 / 3}


@pytest.mark.parametrize(
    ("node", "factors", "kind"),
    [
        ("profile:1", {"cvr": 0.1}, "tracking_break"),
        ("profile:1", {"impressions": 0.0}, "payment_failure"),
        ("portfolio:P0", {"impressions": 0.4}, "budget_cut"),
        ("campaign:C2", {"impressions": 0.0}, "paused"),
        ("ad_group:G5", FRAUD, "click_fraud"),
        ("asin:1/A3", SUPPRESSED, "listing_suppressed"),
        ("asin:1/A3", {"cvr": 0.4, "aov": 1.2}, "price_up"),
        ("keyword:K6.2", {"impressions": 1.5, "cpc": 1.6}, "bid_up"),
    ],
)
def test_names_root_type_and_onset_at_every_level(
    node: str, factors: dict[str, float], kind: str
) -> None:
    planted = case(GRAPH, [Change(node, ONSET, factors)], node=node)
    best = TreeScan().find(planted)[0]
    assert (best.node, best.type, best.path) == (node, kind, (node,))
    assert best.onset == planted.panel.periods.labels[ONSET]
    assert best.confidence > 0.5


def test_finds_no_cause_in_a_calm_account() -> None:
    for seed in range(5):
        assert TreeScan().find(case(GRAPH, seed=seed)) == []


def test_separates_two_concurrent_incidents() -> None:
    planted = case(
        GRAPH,
        [
            Change("campaign:C0", ONSET, {"impressions": 0.4}),
            Change("ad_group:G7", ONSET + 2, FRAUD),
        ],
    )
    scan = TreeScan()
    roots = {
        alarm: scan.find(dataclasses.replace(planted, alarm=Alarm(alarm, planted.alarm.at)))[0].node
        for alarm in ("keyword:K0.1", "keyword:K7.1", "ad:D7.7", "campaign:C3")
    }
    assert roots == {
        "keyword:K0.1": "campaign:C0",
        "keyword:K7.1": "ad_group:G7",
        "ad:D7.7": "ad_group:G7",
        "campaign:C3": "ad_group:G7",
    }


def test_an_asin_in_two_ad_groups_is_traced_through_its_ads() -> None:
    planted = case(GRAPH, [Change("asin:1/A3", ONSET, SUPPRESSED)], node="ad_group:G2")
    best = TreeScan().find(planted)[0]
    assert best.path == ("asin:1/A3", "ad:D2.3", "ad_group:G2")
    assert best.hops == 2


def test_names_several_candidates_with_terms_that_sum_to_the_score() -> None:
    causes = TreeScan().find(case(GRAPH, [Change("campaign:C1", ONSET, {"impressions": 0.5})]))
    assert len(causes) >= 3
    for cause in causes:
        assert cause.score == pytest.approx(sum(cause.terms.values()))
    assert sum(cause.confidence for cause in causes) < 1.0
    assert [cause.score for cause in causes] == sorted((c.score for c in causes), reverse=True)


def test_evidence_names_size_and_day() -> None:
    planted = case(GRAPH, [Change("campaign:C1", ONSET, {"impressions": 0.5})])
    settings = {"campaign:C1": {"budget": (50.0, 20.0), "status": (1.0, 1.0)}}
    best = TreeScan().find(dataclasses.replace(planted, settings=settings))[0]
    assert best.type == "budget_cut"
    assert best.evidence[0].startswith("Impressions −5")
    assert best.evidence[0].endswith("since 24 Feb")
    assert best.evidence[-1] == "Budget set from 50 to 20"


def test_settings_of_keywords_speak_for_their_ad_group() -> None:
    change = Change("ad_group:G4", ONSET, {"impressions": 0.6, "cpc": 0.7})
    planted = case(GRAPH, [change], node="ad_group:G4")
    settings = {f"keyword:K4.{k}": {"bid": (1.0, 0.7)} for k in range(5)}
    told = TreeScan().find(dataclasses.replace(planted, settings=settings))[0]
    untold = TreeScan().find(planted)[0]
    assert (told.node, told.type) == (untold.node, untold.type) == ("ad_group:G4", "bid_down")
    assert told.terms["settings"] > untold.terms["settings"] == 0.0


def test_a_change_as_old_as_the_window_is_no_news() -> None:
    planted = case(GRAPH, [Change("campaign:C1", DAYS - 20, {"impressions": 0.5})])
    assert TreeScan().find(planted) == []


def test_an_alarm_before_the_onset_or_elsewhere_has_no_cause() -> None:
    planted = case(GRAPH, [Change("campaign:C1", ONSET, {"impressions": 0.5})])
    labels = planted.panel.periods.labels
    early = dataclasses.replace(planted, alarm=Alarm("campaign:C1", labels[ONSET - 3]))
    elsewhere = dataclasses.replace(planted, alarm=Alarm("campaign:C2", labels[-1]))
    assert TreeScan().find(early) == TreeScan().find(elsewhere) == []


def test_missing_days_say_nothing() -> None:
    planted = case(GRAPH, [Change("campaign:C1", ONSET, {"impressions": 0.4})])
    values = planted.panel.values.copy()
    values[:, ONSET + 1 :: 3] = np.nan
    values[::7, :20] = np.nan
    gappy = dataclasses.replace(planted, panel=planted.panel.with_values(values))
    assert TreeScan().find(gappy)[0].node == "campaign:C1"


def test_an_only_child_ties_with_its_parent_and_the_vocabulary_decides() -> None:
    lone = account(ad_groups=1)
    paused = case(lone, [Change("campaign:C1", ONSET, {"impressions": 0.0})])
    fraud = case(lone, [Change("ad_group:G1", ONSET, {"impressions": 1.5, "cpc": 1.6})])
    assert TreeScan().find(paused)[0].node == "campaign:C1"
    assert TreeScan().find(fraud)[0].node == "ad_group:G1"


def test_one_scan_serves_every_alarm_on_the_same_arrays() -> None:
    planted = case(GRAPH, [Change("campaign:C1", ONSET, {"impressions": 0.4})])
    scan = TreeScan()
    scan.find(planted)
    first = scan.scorer["last"][1]
    scan.find(dataclasses.replace(planted, alarm=Alarm("keyword:K2.1", planted.alarm.at)))
    assert scan.scorer["last"][1] is first
    scan.find(dataclasses.replace(planted, settings={}))
    assert scan.scorer["last"][1] is not first


def test_a_short_panel_without_a_past_is_scanned_all_the_same() -> None:
    planted = case(GRAPH, [Change("campaign:C1", ONSET, {"impressions": 0.3})])
    last = slice(DAYS - 14, DAYS)
    short = dataclasses.replace(
        planted,
        panel=planted.panel.select(times=last),
        reference=planted.reference.select(times=last),
    )
    assert TreeScan().find(short)[0].node == "campaign:C1"


def test_refuses_a_case_without_reference_and_an_unknown_node() -> None:
    planted = case(GRAPH)
    with pytest.raises(InvalidInputError, match="tree-scan: the case must be given with a panel"):
        TreeScan().find(dataclasses.replace(planted, reference=None))
    with pytest.raises(UnknownNameError, match="alarm's node must be in the graph"):
        TreeScan().find(
            dataclasses.replace(planted, alarm=Alarm("campaign:nowhere", planted.alarm.at))
        )


def test_threshold_decides_what_is_a_cause() -> None:
    planted = case(GRAPH, [Change("campaign:C1", ONSET, {"impressions": 0.5})])
    score = TreeScan().find(planted)[0].score
    assert TreeScan(TreeScanParams(threshold=score + 1.0)).find(planted) == []
    assert TreeScan(TreeScanParams(threshold=score - 1.0)).find(planted) != []
