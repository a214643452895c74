from __future__ import annotations

import numpy as np

from core.cases import Cause
from core.evaluate.causes import score, total
from core.rootcause.grouping import Found


def found(
    *nodes: str, day: str = "2026-03-09", kind: str = "budget_cut", alerts: tuple[str, ...] = ()
) -> Found:
    onset = np.datetime64(day, "s")
    causes = tuple(Cause(node, kind, onset, (node,), 0, {}, 1.0, 0.5) for node in nodes)
    return Found(nodes[0], "", kind, onset, 0.5, causes, alerts, alerts[1:], 0, 0.0, "")


def truth(
    number: int, level: str, root: str, kind: str = "budget_cut", difficulty: str = "easy"
) -> dict[str, str]:
    return {
        "incident_id": f"I{number}",
        "level": level,
        "root_id": root,
        "profile_id": "1",
        "cause_type": kind,
        "difficulty": difficulty,
        "onset_local_day": "2026-03-09",
    }


def effect(number: int, level: str, entity: str, ratio: float) -> dict[str, str]:
    return {"incident_id": f"I{number}", "level": level, "entity_id": entity, "ratio": str(ratio)}


CUT = [truth(1, "campaign", "7")]
FELT = [
    effect(1, "keyword", "70", 0.4),
    effect(1, "portfolio", "9", 0.9),
    effect(1, "profile", "1", 0.99),
]


def test_the_exact_root_counts_as_first_or_among_three() -> None:
    first = score([found("campaign:7")], CUT, FELT)
    third = score([found("keyword:70", "ad_group:8", "campaign:7")], CUT, FELT)
    fourth = score([found("keyword:70", "ad_group:8", "portfolio:9", "campaign:7")], CUT, FELT)
    assert (first.found, first.root_top1, first.root_top3, first.type_right) == (1, 1, 1, 1)
    assert (third.found, third.root_top1, third.root_top3) == (1, 0, 1)
    assert (fourth.found, fourth.root_top3) == (1, 0)


def test_an_affected_root_or_alert_is_found_and_anything_else_a_false_alarm() -> None:
    assert score([found("portfolio:9")], CUT, FELT).found == 1
    assert score([found("keyword:5", alerts=("keyword:70",))], CUT, FELT).found == 1
    barely = score([found("profile:1")], CUT, FELT)
    assert (barely.found, barely.false_alarms) == (0, 1)


def test_an_onset_four_days_off_matches_nothing() -> None:
    assert score([found("campaign:7", day="2026-03-12")], CUT, FELT).onset_errors == [3]
    late = score([found("campaign:7", day="2026-03-13")], CUT, FELT)
    assert (late.found, late.false_alarms, late.onset_errors) == (0, 1, [])


def test_matching_is_one_to_one_and_prefers_the_exact_root() -> None:
    twice = score([found("keyword:70"), found("campaign:7")], CUT, FELT)
    assert (twice.found, twice.root_top1, twice.duplicates, twice.false_alarms) == (1, 1, 1, 0)


def test_an_asin_is_one_within_its_profile() -> None:
    suppressed = [truth(1, "asin", "B0", "listing_suppressed")]
    assert score([found("asin:1/B0", kind="listing_suppressed")], suppressed, []).root_top1 == 1
    assert score([found("asin:2/B0")], suppressed, []).false_alarms == 1


def test_counts_by_difficulty_and_type_and_adds_worlds() -> None:
    planted = [*CUT, truth(2, "asin", "B0", "price_up", "hard")]
    world = score([found("campaign:7"), found("campaign:3")], planted, FELT)
    both = total([world, world])
    assert (both.incidents, both.found, both.false_alarms) == (4, 2, 2)
    assert both.by_difficulty["hard"].found == 0
    assert both.by_difficulty["easy"].root_top1 == 2
    assert both.by_type["price_up"].incidents == 2
    assert both.onset_errors == [0, 0]
