"""`headwater sources` and `headwater metrics` against a real Prometheus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.prometheus import Live, prometheus  # noqa: F401 - a fixture
from tests.workbench.conftest import Headwater

OWN = "errors=sum by ({by}) (rate(http_requests_total[{window}]))"


def test_a_source_is_added_fetched_listed_and_removed(
    headwater: Headwater,
    prometheus: Live,  # noqa: F811
    tmp_path: Path,
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"include": "rpc_.*", "window_seconds": 60}))
    told = ("--plan", plan, "--since", "7", "--step", "60", "--query", OWN)
    added = headwater("sources", "add", "lab", prometheus.url, *told, "--json").json
    assert added["plan"]["queries"] == {"errors": OWN.partition("=")[2]}
    (report,) = headwater("sources", "fetch", "--json").json["sources"]
    assert (report["error"], report["failed"]) == ("", {})
    assert report["samples"] >= 5 * 180
    (listed,) = headwater("sources", "list", "--json").json["sources"]
    assert listed["until"] == report["until"]
    found = headwater("metrics", "list", "--json").json["metrics"]
    units = {metric["name"]: metric["unit"] for metric in found}
    assert units == {
        "errors": "",
        "rpc_seconds": "s",
        "rpc_seconds:p50": "s",
        "rpc_seconds:p99": "s",
        "rpc_seconds_count": "1/s",
    }
    declared = headwater(
        "metrics", "declare", "errors", "--bad", "1", "--unit", "1/s", "--json"
    ).json
    assert (declared["bad"], declared["said_by"]) == (1, "hand")
    assert "errors" in headwater("metrics", "list").out
    assert headwater("sources", "remove", "lab", "--json").json == {"removed": "lab"}
    assert "No source yet" in headwater("sources", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("sources", "add", "lab", "http://127.0.0.1:1"), 1, "reachable"),
        (("sources", "add", "lab", "nowhere"), 1, "http://host:port"),
        (("sources", "add", "lab", "http://h:1", "--query", "x"), 2, "metric=PromQL"),
        (("sources", "fetch", "lab"), 1, "sources add"),
        (("metrics", "declare", "warp", "--bad", "1"), 1, "measured"),
    ],
)
def test_what_cannot_be_done_says_why(
    headwater: Headwater, arguments: tuple[str, ...], code: int, told: str
) -> None:
    said = headwater(*arguments)
    assert said.code == code
    assert told in " ".join(said.err.split())
