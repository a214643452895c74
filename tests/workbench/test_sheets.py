"""One thing as a terminal prints it: words, units and times of people, no bookkeeping, short tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench import sheets
from workbench.terminal import facts, out

INCIDENT: dict[str, Any] = {
    "incident": {
        "id": 12,
        "tenant": "acme",
        "domain": "services",
        "title": "Memory leak on cart",
        "description": "",
        "onset": "2026-03-10T18:35:00+00:00",
        "ended_at": None,
        "cause_type": "memory_leak",
        "confidence": 0.874,
        "services": [f"service {number}" for number in range(9)],
        "fingerprint": "f" * 64,
        "candidates": [
            {"name": "cart", "type": "memory_leak", "confidence": 0.87, "evidence": ["One", "Two"]}
        ],
        "snapshots": {
            "rows": [
                {
                    "name": "cart",
                    "label": "Memory used",
                    "unit": "bytes",
                    "before": 4.1e8,
                    "during": 9.4e8,
                    "after": None,
                }
            ]
        },
    },
    "duration_minutes": 76.0,
    "found": True,
    "alerts": [{"id": number, "sentence": "Memory rose"} for number in range(20)],
    "comments": [],
    "history": [{"at": "2026-03-10T19:00:00+00:00", "actor": "ana", "verb": "label", "hash": "ab"}],
}


def printed(draw: Callable[[Any], None], value: Any) -> str:
    with out.capture() as caught:
        draw(value)
    return caught.get()


def test_an_incident_is_told_in_words_and_without_bookkeeping() -> None:
    told = printed(sheets.INCIDENT.draw, INCIDENT)
    for word in (
        "Memory leak on cart",
        "2026-03-10 18:35",
        "1 h 16 min",
        "memory leak",
        "87%",
        "service 5 +3",
        "One; Two",
        "410 MB",
        "940 MB",
    ):
        assert word in told, word
    for word in ("fffff", "acme", "memory_leak", "Ended", "Comments", "{", "T18:35", "410,000"):
        assert word not in told, word


def test_an_incident_says_whether_headwater_found_it() -> None:
    for found, said in ((True, "yes"), (False, "no")):
        told = printed(sheets.INCIDENT.draw, INCIDENT | {"found": found})
        (line,) = (line for line in told.splitlines() if line.startswith("Found here"))
        assert line.split()[-1] == said


def test_a_long_list_is_cut_and_says_so() -> None:
    told = printed(sheets.INCIDENT.draw, INCIDENT)
    assert "(8 of 20; all with --json)" in told
    assert told.count("Memory rose") == 8


def test_the_day_of_a_labeler_is_a_few_lines() -> None:
    told = printed(
        sheets.LABELLING.draw,
        {
            "done": 12,
            "target": 100,
            "waiting": 40,
            "hard_share": 0.5,
            "pace": 118.3,
            "balance": {"cpu_saturation": 9, "disk_full": 3},
            "ratio": 3.0,
            "uneven": "",
        },
    )
    assert "50%" in told and "118" in told and "cpu saturation" in told
    assert "Out of balance" not in told and "{" not in told


def test_anything_else_is_lines_and_tables_without_what_is_empty() -> None:
    told = printed(
        facts,
        {
            "taken_at": "2026-03-10T18:35:00+00:00",
            "nothing": None,
            "tenant": "acme",
            "checks": {"records": {"ok": True, "milliseconds": 0.61}},
            "refused": [{"line": 3, "rule": "a number"}],
        },
    )
    assert "Taken at" in told and "2026-03-10 18:35" in told
    assert "Nothing" not in told and "acme" not in told
    assert "Milliseconds" in told and "a number" in told and "{" not in told
