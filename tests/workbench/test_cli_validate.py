"""`headwater validate`: exit code, JSON and the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.workbench.conftest import Headwater

START = datetime(2026, 3, 2, tzinfo=UTC)


def measured(path: Path) -> Path:
    lines = ["time,node,metric,value"]
    for minute in range(180):
        moment = f"{START + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}"
        lines.append(f"{moment},service:cart,http_requests_total,{10 + minute % 7}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_report_is_told_written_and_decides_the_exit_code(
    headwater: Headwater, tmp_path: Path
) -> None:
    nothing = headwater("validate")
    assert (nothing.code, nothing.out) == (1, "")
    assert "at least one" in nothing.err and "Data page" in nothing.err
    file = measured(tmp_path / "day.csv")
    assert headwater("import", file, "--domain", "services", "--json").code == 0
    page = tmp_path / "report.html"
    told = headwater("validate", "--html", page, "--json")
    assert told.code == 1
    report = told.json
    states = {check["name"]: check["state"] for check in report["checks"]}
    assert (report["passed"], states["completeness"], states["intervals"]) == (
        False,
        "fail",
        "pass",
    )
    assert "http://" not in page.read_text() and "<svg" in page.read_text()
    words = headwater("validate")
    assert words.code == 1
    assert "▲ Fails" in words.out and "What to do:" in words.out
    assert "Not good enough to learn from yet." in words.out


def test_an_unknown_domain_is_refused(headwater: Headwater) -> None:
    refused = headwater("validate", "--domain", "warp")
    assert refused.code == 1 and "one of ads, services" in refused.err
