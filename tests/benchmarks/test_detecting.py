"""The detection benchmark measures what it says."""

from __future__ import annotations

import pytest

from benchmarks import detecting
from data.simulate.ads.account import SIZES


def test_whole_runs_stand_beside_one_entity_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detecting, "SIZES", {120: SIZES["XS"]})
    monkeypatch.setattr(detecting, "SAMPLE", 20)
    stages: list[str] = []

    def told(stage: str, share: float, numbers: object) -> None:
        stages.append(stage)

    ours, theirs = detecting.run(told, sizes=[120])
    assert stages[0] == "120 keywords: simulating"
    # 120 keywords and what stands above and beside them
    assert ours["entities"] == theirs["entities"] > 120
    assert theirs["sampled"] == 20 and theirs["sampled_alerts"] <= ours["alerts"]
    # medians of the stages need not add up to the median of the whole
    assert ours["seconds"].keys() == {
        "begin", "detect", "train", "cause", "explain", "save", "total",
    }  # fmt: skip
    assert max(ours["seconds"].values()) == ours["seconds"]["total"] > 0
    scaled = theirs["seconds"] / 20 * theirs["entities"]
    assert theirs["scaled_seconds"] == pytest.approx(scaled, abs=0.06)


def test_the_clock_adds_up_stages_that_come_twice() -> None:
    clock = detecting._Clock("detect")
    clock("train", 0.1, {})
    clock("detect", 0.6, {})
    stages = clock.stages()
    assert list(stages) == ["detect", "train", "total"]
    assert stages["total"][0] == pytest.approx(stages["detect"][0] + stages["train"][0])
