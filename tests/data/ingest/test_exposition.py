"""Prometheus' and OpenMetrics text: the figures that a real Prometheus gives of it; what is no such text is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from core.domains.services import SERVICES
from data.ingest import exposition, measurements
from data.ingest import prometheus as api
from data.ingest.answers import Span
from data.ingest.batch import Samples
from data.ingest.prometheus import Prometheus
from data.ingest.promql import Plan
from data.ingest.source import open_source
from tests.data.ingest.test_prometheus import curves
from tests.prometheus import Live, prometheus, written  # noqa: F401 - a fixture

WINDOW = 50
"""Seconds of a rate's window; no sample lies on its end, on which versions of Prometheus differ."""


def read(path: Path, text: str, plan: Plan | None = None) -> Samples:
    path.write_text(text, encoding="utf-8")
    return exposition.read(open_source(path, as_of=datetime(2026, 3, 1, 12, tzinfo=UTC)), plan)


def test_a_text_gives_the_figures_that_a_real_prometheus_gives_of_it(
    tmp_path: Path,
    prometheus: Live,  # noqa: F811
) -> None:
    plan = Plan(include="(http|rpc|queue|mesh)_.*", window_seconds=WINDOW)
    batch = read(tmp_path / "lab.txt", written(prometheus.start), plan)
    span = Span(prometheus.start, prometheus.end, plan.step_seconds)
    with Prometheus(prometheus.url, plan) as source:
        told = api.fetch(
            source,
            span,
            name="lab",
            sha256="x",
            series=source.series(span),
            kinds=source.kinds(),
            window=WINDOW,
        ).batch
    mine, theirs = curves(batch), curves(told)
    assert mine.keys() == theirs.keys()
    assert len(mine) == 8
    for key, (times, values) in theirs.items():
        np.testing.assert_array_equal(mine[key][0], times, err_msg=str(key))
        np.testing.assert_allclose(mine[key][1], values, rtol=1e-9, err_msg=str(key))
    for part in ("components", "dependencies"):
        assert getattr(batch, part).equals(getattr(told, part))
    natures = [
        {row["metric"]: row["nature"] for row in one.measures.to_pylist()} for one in (batch, told)
    ]
    assert natures[0] == natures[1]


NOON = 1772366400
SCRAPES = "".join(
    f'hits_total{{job="cart"}} {count} {1000 * (NOON + 15 * place)}\n'
    for place, count in enumerate((100, 130, 160, 10, 40))
)


def test_the_text_format_counts_milliseconds_and_a_reset_is_no_fall(tmp_path: Path) -> None:
    batch = read(tmp_path / "a.prom", f"# TYPE hits_total counter\n{SCRAPES}")
    ((key, (times, values)),) = curves(batch).items()
    assert key == ("service:cart", "hits_total")
    # 100 → 160, again from 0 to 40: 100 in the minute from 12:00 on
    assert times.tolist() == [NOON + 60]
    assert values[0] == pytest.approx(100 / 60, rel=0.2)
    assert batch.measures.to_pylist()[0]["nature"] == "counter"


def test_a_single_scrape_is_taken_for_its_download_and_has_no_rates(tmp_path: Path) -> None:
    text = '# TYPE heat gauge\nheat{node="n1"} 20.5\n# TYPE hits counter\nhits_total{job="a"} 5\n# EOF\n'
    batch = read(tmp_path / "a.om", text)
    assert {key: curve[1].tolist() for key, curve in curves(batch).items()} == {
        ("node:n1", "heat"): [20.5]
    }
    assert batch.notes == (
        "2 samples at 60 s, counters as rates per second",
        "2 of them tell no time: taken for 1 Mar 2026 12:00 UTC",
    )


def test_a_line_that_is_no_sample_is_refused_and_the_rest_comes_in(tmp_path: Path) -> None:
    path = tmp_path / "some.prom"
    path.write_text(
        f'{SCRAPES}heat nonsense\nheat{{a="b" 1\nheat 20 1772366400\n', encoding="utf-8"
    )
    (batch,) = measurements.read_many([path], domain=SERVICES)
    assert batch.rows == 1
    assert [(one.line, one.rule) for one in batch.refused] == [
        (6, exposition.SAMPLE_RULE),
        (7, exposition.SAMPLE_RULE),
        (8, exposition.TIME_RULE),
    ]


def test_labels_are_unescaped_and_exemplars_left_aside(tmp_path: Path) -> None:
    head = 'hits{job="cart",path="a \\"}\\" b"}'
    text = f'{head} 5 {NOON} # {{trace="1}}"}} 0.3\n{head} 6 {NOON + 60}\n# EOF\n'
    found = curves(read(tmp_path / "a.om", text))
    assert found[("service:cart", 'hits{path="a \\"}\\" b"}')][1].tolist() == [5, 6]


def test_a_text_that_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "LARGEST", 10)
    path = tmp_path / "large.prom"
    path.write_text(SCRAPES)
    (batch,) = measurements.read_many([path], domain=SERVICES)
    assert "promtool" in batch.refused[0].rule


def test_it_is_known_by_its_suffix_or_its_first_line(tmp_path: Path) -> None:
    for name, text, known in (
        ("a.prom", "", True),
        ("a.txt", "# HELP a b\n", True),
        ("a.txt", 'a_total{x="1"} 5 12\n', True),
        ("a.txt", "Read me first: all is well.\n", False),
        ("a.csv", "# TYPE a gauge\n", False),
    ):
        path = tmp_path / name
        path.write_text(text)
        assert exposition.recognise(open_source(path)) is known, (name, text)


def test_a_folder_brings_its_texts_in_once(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text(SCRAPES)
    (tmp_path / "notes.txt").write_text("Nothing measured here.\n")
    (batch,) = measurements.read_many([tmp_path], domain=SERVICES)
    assert (batch.report, batch.rows) == ("openmetrics", 1)
    (again,) = measurements.read_many([tmp_path], domain=SERVICES, loaded=[batch.sha256])
    assert again.format == "loaded"
