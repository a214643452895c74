"""Console exports: human headers, money and per cent as text, names instead of ids."""

from __future__ import annotations

import csv
import zipfile
from datetime import date
from pathlib import Path

import pytest
from openpyxl import Workbook

from core.domains.ads import ADS
from core.errors import InvalidInputError
from data.ingest import read
from data.ingest.batch import Batch, Known
from data.metrics import MetricStore
from tests.data.report_files import KEYWORD_ROW, PROFILE, keyword_row, write_v3

SELLER = {
    "Start Date": "2026-03-01",
    "End Date": "2026-03-01",
    "Portfolio name": "Kitchen",
    "Currency": "USD",
    "Campaign Name": "Knives",
    "Ad Group Name": "Chef",
    "Country": "United States",
    "Targeting": "chef knife",
    "Match Type": "BROAD",
    "Customer Search Term": "best chef knife",
    "Impressions": "1,200",
    "Clicks": "10",
    "Click-Thru Rate (CTR)": "0.8333%",
    "Cost Per Click (CPC)": "$0.61",
    "Spend": "$6.10",
    "7 Day Total Sales ": "$1,234.56",
    "Total Advertising Cost of Sales (ACOS) ": "0.4941%",
    "Total Return on Advertising Spend (ROAS)": "202.39",
    "7 Day Total Orders (#)": "2",
    "7 Day Total Units (#)": "3",
    "7 Day Conversion Rate": "20.0000%",
}


def write(path: Path, *rows: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".xlsx":
        book = Workbook(write_only=True)
        sheet = book.create_sheet("Report")
        for row in [list(rows[0]), *(list(row.values()) for row in rows)]:
            sheet.append(row)
        book.save(path)
        return path
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def figures(batch: Batch, level: str) -> list[dict[str, object]]:
    ids = batch.entities.column("id").to_pylist()
    return [
        {name: value for name, value in row.items() if name not in ("entity", "row")}
        for row in batch.observations.to_pylist()
        if ids[row["entity"]].startswith(f"{level}:")
    ]


@pytest.mark.parametrize("name", ["report.csv", "report.xlsx"])
def test_money_and_per_cent_text_become_numbers(tmp_path: Path, name: str) -> None:
    batch = read(write(tmp_path / name, SELLER), domain=ADS)
    assert batch.refused == batch.differences == ()
    assert batch.format == "amazon-console"
    assert figures(batch, "search_term") == [
        {
            "day": date(2026, 3, 1),
            "impressions": 1200,
            "clicks": 10,
            "cost": 6.1,
            "sales": 1234.56,
            "orders": 2,
            "units": 3,
        }
    ]


def test_keywords_are_the_sums_of_all_their_terms(tmp_path: Path) -> None:
    other = SELLER | {"Customer Search Term": "knife", "Clicks": "5", "Spend": "$1.00"}
    batch = read(write(tmp_path / "report.csv", SELLER, other), domain=ADS)
    (keyword,) = figures(batch, "keyword")
    assert (keyword["clicks"], keyword["cost"], keyword["sales"]) == (15, 7.1, 2 * 1234.56)


def test_european_money_and_the_currency_in_the_header_are_read(tmp_path: Path) -> None:
    vendor = {
        name.replace("7 Day", "14 Day").replace("Sales ", "Sales (€)"): value
        for name, value in SELLER.items()
    }
    vendor |= {"Currency": "EUR", "Spend": "6,10 €", "14 Day Total Sales (€)": "1.234,56 €"}
    batch = read(write(tmp_path / "report.csv", vendor), domain=ADS)
    (row,) = figures(batch, "search_term")
    assert (row["cost"], row["sales_14d"], row["orders_14d"]) == (6.1, 1234.56, 2)
    assert "sales" not in row
    assert [d.column for d in batch.differences] == []


def test_headers_may_differ_in_case_and_spaces(tmp_path: Path) -> None:
    loud = {f" {name.upper()} ": value for name, value in SELLER.items()}
    assert read(write(tmp_path / "report.csv", loud), domain=ADS).observations.num_rows == 2


def test_a_bad_cell_is_told_with_its_line_and_header(tmp_path: Path) -> None:
    rows = [SELLER, SELLER | {"Spend": "a lot"}, SELLER | {"End Date": "2026-03-02"}]
    batch = read(write(tmp_path / "report.csv", *rows), domain=ADS)
    assert [(r.line, r.column, r.value, r.rule) for r in batch.refused] == [
        (3, "Spend", "a lot", "a finite amount, not negative"),
        (4, "End Date", "2026-03-02", "the same as the start: one day per row"),
    ]
    assert batch.refused_rows == 2


def test_a_line_with_a_comma_too_many_is_refused_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "report.csv", SELLER, SELLER)
    head, first, second = path.read_text("utf-8-sig").splitlines()
    path.write_text("\n".join([head, first.replace("Kitchen", "Kitchen, garden"), second]))
    batch = read(path, domain=ADS)
    assert {r.line for r in batch.refused} == {2}
    assert (batch.rows, batch.refused_rows) == (2, 1)


def test_names_become_the_ids_that_are_known(tmp_path: Path) -> None:
    store = MetricStore(":memory:")
    path = write_v3(tmp_path / "2026-03-04" / f"spTargeting_{PROFILE}.json.gz", [keyword_row()])
    store.load("t", ADS, read(path, domain=ADS))
    report = write(tmp_path / "2026-03-05" / "report.csv", SELLER)
    batch = read(report, domain=ADS, known=lambda: store.known("t", ADS))
    ids = batch.entities.column("id").to_pylist()
    assert f"search_term:{KEYWORD_ROW['keywordId']}/best chef knife" in ids
    assert not any("name/" in entity for entity in ids)
    # the reporting interface's own figures win over sums of the console's
    assert figures(batch, "keyword") == []
    store.load("t", ADS, batch)
    assert store.series("t", ADS, f"keyword:{KEYWORD_ROW['keywordId']}").metric("cost")[0, 0] == 6.1
    portfolio = store.entity("t", ADS, "portfolio:863237656699770")
    assert portfolio.name == "Kitchen"
    store.close()


def test_names_that_nothing_knows_make_ids_of_their_own(tmp_path: Path) -> None:
    batch = read(write(tmp_path / "report.csv", SELLER), domain=ADS)
    ids = batch.entities.column("id").to_pylist()
    assert "campaign:name/console-USD/Knives" in ids
    assert "keyword:name/console-USD/Knives/Chef/chef knife/BROAD" in ids
    assert batch.notes == ("campaigns not known by id yet: 1",)


def test_a_profile_that_is_not_clear_is_asked_for(tmp_path: Path) -> None:
    known = Known(profiles={"1": ("USD", "US"), "2": ("USD", "CA")})
    with pytest.raises(InvalidInputError, match="Give --profile"):
        read(write(tmp_path / "report.csv", SELLER), domain=ADS, known=lambda: known)
    told = read(tmp_path / "report.csv", domain=ADS, known=lambda: known, profile="2")
    assert set(told.entities.column("owner").to_pylist()) == {"profile:2"}


def test_an_export_without_a_row_says_nothing_of_anybody(tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.write_text(",".join(SELLER) + "\n", encoding="utf-8")
    two = {"1": ("EUR", "DE"), "2": ("USD", "US")}
    batch = read(file, domain=ADS, known=lambda: Known(profiles=two))
    assert (batch.observations.num_rows, batch.refused, batch.entities.num_rows) == (0, (), 0)


def test_a_workbook_that_unpacks_too_far_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (30 << 20))
    with pytest.raises(InvalidInputError, match="times its size"):
        read(path, domain=ADS)
