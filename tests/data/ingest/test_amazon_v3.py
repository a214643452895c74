"""Amazon's v3 report files: ids, metrics, zero rules, what is refused and how it is told."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from core.domains.ads import ADS
from core.errors import InvalidInputError
from data.ingest import read
from data.ingest.batch import Batch, Known
from tests.data.report_files import KEYWORD_ROW, PROFILE, campaign_row, keyword_row, write_v3

NAME = f"2026-03-04/spTargeting_{PROFILE}.json.gz"


def of(tmp_path: Path, *rows: dict[str, Any], name: str = NAME, **told: Any) -> Batch:
    return read(write_v3(tmp_path / name, rows), domain=ADS, **told)


def test_a_keyword_row_brings_its_whole_path(tmp_path: Path) -> None:
    batch = of(tmp_path, keyword_row())
    found = {row["id"]: row for row in batch.entities.to_pylist()}
    assert set(found) == {
        f"profile:{PROFILE}",
        "portfolio:863237656699770",
        "campaign:40315262697531497",
        "ad_group:50315262697531497",
        "keyword:60315262697531497",
    }
    keyword = found["keyword:60315262697531497"]
    assert (keyword["name"], keyword["status"]) == ("chef knife", "ENABLED")
    assert json.loads(keyword["attributes"])["match_type"] == "BROAD"
    assert found[f"profile:{PROFILE}"]["currency"] == "USD"
    ids = [row["id"] for row in batch.entities.to_pylist()]
    assert {(ids[e["child"]], ids[e["parent"]]) for e in batch.edges.to_pylist()} == {
        ("campaign:40315262697531497", "portfolio:863237656699770"),
        ("ad_group:50315262697531497", "campaign:40315262697531497"),
        ("keyword:60315262697531497", "ad_group:50315262697531497"),
    }
    row = batch.observations.to_pylist()[0]
    assert ids[row.pop("entity")] == "keyword:60315262697531497"
    assert row == {
        "day": date(2026, 3, 1),
        "row": 1,
        "impressions": 200,
        "clicks": 10,
        "cost": 6.1,
        "orders": 1,
        "units": 1,
        "sales": 19.99,
        "orders_14d": 2,
        "sales_14d": 39.98,
        "bid": 0.75,
        "status": 1.0,
    }
    assert batch.as_of == datetime(2026, 3, 4, 12, tzinfo=UTC).replace(tzinfo=None)
    assert (batch.format, batch.report, batch.rows) == ("amazon-v3", "spTargeting", 1)


def test_ids_keep_all_their_digits(tmp_path: Path) -> None:
    exact = 98765432109876543  # a float would make it …544
    ids = of(tmp_path, keyword_row(keywordId=exact)).entities.column("id").to_pylist()
    assert f"keyword:{exact}" in ids


def test_names_of_the_older_interface_are_understood(tmp_path: Path) -> None:
    row = keyword_row(
        attributedSales7d=30.0, attributedConversions7d=2, attributedUnitsOrdered7d=3, query="knife"
    )
    for name in ("sales7d", "purchases7d", "unitsSoldClicks7d"):
        del row[name]
    batch = of(tmp_path, row)
    assert batch.report == "spSearchTerm"
    figures = batch.observations.to_pylist()[0]
    assert (figures["sales"], figures["orders"], figures["units"]) == (30.0, 2.0, 3.0)
    assert "search_term:60315262697531497/knife" in batch.entities.column("id").to_pylist()


def test_an_ad_hangs_under_its_ad_group_and_its_asin(tmp_path: Path) -> None:
    row = {name: value for name, value in KEYWORD_ROW.items() if not name.startswith("keyword")}
    row |= {"adId": 70000000000000001, "advertisedAsin": "B0CHEF0001", "advertisedSku": "CK-1"}
    batch = of(tmp_path, row)
    ids = batch.entities.column("id").to_pylist()
    parents = {
        ids[e["parent"]] for e in batch.edges.to_pylist() if ids[e["child"]].startswith("ad:")
    }
    assert parents == {"ad_group:50315262697531497", f"asin:{PROFILE}/B0CHEF0001"}


def test_a_campaign_out_of_a_portfolio_hangs_under_its_profile(tmp_path: Path) -> None:
    batch = of(tmp_path, keyword_row(portfolioId=None))
    ids = batch.entities.column("id").to_pylist()
    assert (f"campaign:{KEYWORD_ROW['campaignId']}", f"profile:{PROFILE}") in {
        (ids[e["child"]], ids[e["parent"]]) for e in batch.edges.to_pylist()
    }


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("clicks", -3, "a whole number, not negative"),
        ("clicks", 2.5, "a whole number, not negative"),
        ("impressions", "many", "a whole number, not negative"),
        ("cost", -0.01, "a finite amount, not negative"),
        ("cost", "NaN", "a finite amount, not negative"),
        ("sales7d", "1e999", "a finite amount, not negative"),
        ("sales7d", {"amount": 1}, "a finite amount, not negative"),
        ("date", "2026-02-30", "a date"),
        ("date", "2026-03-05", "no later than its download on 2026-03-04"),
        ("date", None, "a date"),
        ("keywordId", None, "an id in letters and digits, not a float (floats lose digits)"),
        ("keywordId", 6.03e16, "an id in letters and digits, not a float (floats lose digits)"),
        ("campaignId", "4.03E+16", "an id in letters and digits, not a float (floats lose digits)"),
        ("adKeywordStatus", "SLEEPING", "ENABLED, PAUSED or ARCHIVED"),
    ],
)
def test_a_bad_cell_is_told_and_the_other_rows_load(
    tmp_path: Path, column: str, value: object, rule: str
) -> None:
    batch = of(tmp_path, keyword_row(), keyword_row(**{"date": "2026-03-02", column: value}))
    assert [(r.file, r.line, r.column, r.rule) for r in batch.refused] == [
        (f"spTargeting_{PROFILE}.json.gz", 2, column, rule)
    ]
    assert (batch.rows, batch.refused_rows, batch.observations.num_rows) == (2, 1, 1)


def test_several_bad_cells_of_a_row_refuse_one_row(tmp_path: Path) -> None:
    batch = of(tmp_path, keyword_row(clicks=-1, cost=-1), keyword_row())
    assert [(r.line, r.column, r.value) for r in batch.refused] == [
        (1, "clicks", "-1"),
        (1, "cost", "-1"),
    ]
    assert batch.refused_rows == 1


def test_missing_figures_stay_missing(tmp_path: Path) -> None:
    figures = of(tmp_path, keyword_row(sales7d=None)).observations.to_pylist()[0]
    assert figures["sales"] is None
    assert figures["cost"] == 6.1


def test_the_files_own_ratios_are_recomputed(tmp_path: Path) -> None:
    rows = [
        campaign_row(clicks=3, cost=1.0, costPerClick=0.33),  # within rounding
        campaign_row(date="2026-03-02", clicks=4, cost=1.0, costPerClick=0.75),  # wrong
        campaign_row(date="2026-03-03", clicks=0, cost=0.0, costPerClick=None),
    ]
    (found,) = of(tmp_path, *rows, name=f"2026-03-04/spCampaigns_{PROFILE}.json").differences
    assert (found.column, found.ratio, found.rows, found.different) == ("costPerClick", "cpc", 2, 1)
    assert found.worst == pytest.approx(0.5)
    assert found.examples == ((2, 0.75, 0.25),)


def test_ratios_written_per_cent_are_the_same_ratios(tmp_path: Path) -> None:
    rows = [campaign_row(clicks=c, impressions=200, clickThroughRate=c / 2) for c in (3, 5, 8)]
    assert of(tmp_path, *rows, name=f"spCampaigns_{PROFILE}.json").differences == ()


def test_acos_printed_as_zero_without_sales_is_told(tmp_path: Path) -> None:
    rows = [keyword_row(cost=5.0, sales7d=0.0, acosClicks7d=0.0)]
    (found,) = of(tmp_path, *rows).differences
    assert (found.ratio, found.zero_denominator, found.different) == ("acos", 1, 0)


def test_spend_without_clicks_is_kept_and_mentioned(tmp_path: Path) -> None:
    batch = of(tmp_path, keyword_row(clicks=0))
    assert batch.observations.num_rows == 1
    assert batch.notes == ("1 rows have spend but no clicks",)


def test_a_broken_archive_or_text_is_refused_as_a_whole(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps([keyword_row()] * 500).encode())
    for name, data in (
        ("cut.json.gz", whole[: len(whole) // 2]),
        ("cut.json", b'[{"date": "2026-03-01", "campaignId": 1, "impressions": 5}, {"date'),
        ("bare.json", b"[1, 2, 3]"),
    ):
        path = tmp_path / f"spTargeting_{PROFILE}_{name}"
        path.write_bytes(data)
        batch = read(path, domain=ADS)
        assert [r.rule for r in batch.refused] == ["a complete JSON array of objects"], name
        assert batch.observations.num_rows == 0


def test_an_empty_document_is_no_delivery(tmp_path: Path) -> None:
    batch = of(tmp_path)
    assert batch.observations.num_rows == 0
    assert batch.notes == ("the report has no rows: an empty document",)


def test_the_profile_comes_from_the_option_the_name_or_known_campaigns(tmp_path: Path) -> None:
    nameless = "2026-03-04/spTargeting.json.gz"
    known = Known(owners={str(KEYWORD_ROW["campaignId"]): "42"})
    batches = (
        of(tmp_path, keyword_row(), profile="7"),
        of(tmp_path, keyword_row(), name=nameless, known=lambda: known),
        of(tmp_path, keyword_row()),
    )
    owners = [batch.entities.column("owner")[0].as_py() for batch in batches]
    assert owners == ["profile:7", "profile:42", f"profile:{PROFILE}"]
    with pytest.raises(InvalidInputError, match="give --profile"):
        of(tmp_path, keyword_row(), name=nameless)


def test_the_range_in_the_name_says_which_days_were_delivered(tmp_path: Path) -> None:
    name = f"2026-03-09/spTargeting_{PROFILE}_2026-03-01_2026-03-07.json.gz"
    batch = of(tmp_path, keyword_row(), name=name)
    assert batch.span == (date(2026, 3, 1), date(2026, 3, 7))
    assert batch.as_of.date() == date(2026, 3, 9)


def test_an_as_of_given_wins_over_folder_and_name(tmp_path: Path) -> None:
    batch = of(tmp_path, keyword_row(), as_of=date(2026, 4, 1))
    assert batch.as_of.date() == date(2026, 4, 1)


@pytest.mark.parametrize("extra", ["purchasedAsin", "placementClassification", "grossImpressions"])
def test_reports_of_another_shape_are_refused_by_name(tmp_path: Path, extra: str) -> None:
    with pytest.raises(InvalidInputError, match="the report must be one of spCampaigns"):
        of(tmp_path, keyword_row(**{extra: "x"}))


def test_totals_over_a_range_are_refused_with_the_cure(tmp_path: Path) -> None:
    row = keyword_row(startDate="2026-03-01", endDate="2026-03-07")
    del row["date"]
    with pytest.raises(InvalidInputError, match="Ask for timeUnit DAILY"):
        of(tmp_path, row)
