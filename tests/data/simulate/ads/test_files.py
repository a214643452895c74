from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from datetime import date
from pathlib import Path

import openpyxl
import pytest

from core.errors import InvalidInputError
from data.simulate.ads import simulate_ads
from data.simulate.ads.console import headers

GOLDEN = Path(__file__).with_name("golden_xs_seed7.json")
SCHEMAS = Path(__file__).parents[5] / "shared" / "data" / "ads" / "schemas"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ads") / "world"
    simulate_ads(folder, size="XS", seed=7)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of what each file says: unpacked, since packing differs between zlib builds."""
    unpacked = {
        name: gzip.decompress(content) if name.endswith(".gz") else content
        for name, content in contents(folder).items()
        if not name.endswith(".xlsx")
    }
    return {name: hashlib.sha256(content).hexdigest() for name, content in unpacked.items()}


def rows(folder: Path, pattern: str) -> list[dict]:
    return [
        row
        for path in sorted(folder.glob(pattern))
        for row in json.loads(gzip.decompress(path.read_bytes()))
    ]


def test_files_are_the_golden_ones(out: Path) -> None:
    assert digests(out) == json.loads(GOLDEN.read_text())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    out: Path, tmp_path: Path
) -> None:
    simulate_ads(tmp_path / "again", size="XS", seed=7)
    simulate_ads(tmp_path / "other", size="XS", seed=8)
    assert contents(tmp_path / "again") == contents(out)
    assert set(digests(tmp_path / "other").values()).isdisjoint(digests(out).values())


def test_worlds_differ_in_regime_but_not_in_their_entities(out: Path, tmp_path: Path) -> None:
    simulate_ads(tmp_path / "b", size="XS", seed=7, world="B")
    assert (tmp_path / "b" / "profiles.json").read_bytes() == (out / "profiles.json").read_bytes()
    name = "2026-03-15/spCampaigns_*.json.gz"
    assert rows(tmp_path / "b", name) != rows(out, name)


def test_the_summary_counts_what_lies_in_the_folder(tmp_path: Path) -> None:
    steps: list[tuple[str, float]] = []
    summary = simulate_ads(
        tmp_path / "w", size="XS", seed=9, on_step=lambda step, share: steps.append((step, share))
    )
    assert summary["files"] == len(contents(tmp_path / "w"))
    assert (summary["profiles"], summary["keywords"], summary["days"]) == (1, 120, 42)
    assert summary["incidents"] == 3
    shares = [share for _, share in steps]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_downloads_are_one_history_and_fourteen_mornings_of_fourteen_days(out: Path) -> None:
    (history,) = (out / "history").iterdir()
    mornings = sorted(p.name for p in out.iterdir() if p.name[:2] == "20")
    assert history.name == "2026-03-01"
    assert (mornings[0], mornings[-1], len(mornings)) == ("2026-03-02", "2026-03-15", 14)
    days = {row["date"] for row in rows(out, "2026-03-15/spCampaigns_*")}
    assert (min(days), max(days), len(days)) == ("2026-03-01", "2026-03-14", 14)
    for path in history.iterdir():
        first, last = (date.fromisoformat(d) for d in path.name[:-8].split("_")[-2:])
        assert (last - first).days < 31
    profile = json.loads((out / "profiles.json").read_text())[0]["profileId"]
    assert all(f"_{profile}" in p.name for p in out.rglob("sp*.json.gz"))


def test_one_download_is_faulty_as_the_decoys_say(out: Path) -> None:
    decoy = next(
        d for d in json.loads((out / "truth/decoys.json").read_text()) if d["decoy"] == "D05"
    )
    kind, report = decoy["name"].split("_")
    counts = {
        p.name: len(rows(out, f"{p.name}/{report}_*")) for p in out.iterdir() if p.name[:2] == "20"
    }
    usual = max(set(counts.values()), key=list(counts.values()).count)
    odd = {day: n for day, n in counts.items() if n != usual}
    assert len(odd) == 1
    expected = {"missing": 0, "partial": usual // 2, "duplicate": usual + usual - usual // 2}
    assert list(odd.values()) == [expected[kind]]


def test_calendar_and_effects_are_tables_with_the_agreed_columns(out: Path) -> None:
    calendar = list(csv.DictReader(io.StringIO((out / "calendar.csv").read_text())))
    assert list(calendar[0]) == ["scope_level", "scope_id", "from", "to", "kind", "name"]
    effects = list(csv.DictReader(io.StringIO((out / "truth/effects.csv").read_text())))
    columns = ["incident_id", "level", "entity_id", "metric", "sign", "lag_hours", "ratio"]
    assert list(effects[0]) == columns
    incidents = {i["incident_id"] for i in json.loads((out / "truth/incidents.json").read_text())}
    assert {e["incident_id"] for e in effects} == incidents


@pytest.mark.skipif(not SCHEMAS.exists(), reason="the shared Amazon headers are not here")
def test_console_headers_are_amazons_with_their_spaces() -> None:
    known = json.loads((SCHEMAS / "console_and_bulk_headers.json").read_text())
    assert headers("seller", "$") == known["console_sp_search_term_seller_csv_xlsx"]
    assert headers("vendor", "€")[16] == "14 Day Total Sales (€)"


def test_console_csv_has_money_and_percent_as_text_and_agrees_with_the_xlsx(out: Path) -> None:
    text = (out / "console/sp_search_term_seller.csv").read_text(encoding="utf-8-sig")
    from_csv = list(csv.DictReader(io.StringIO(text)))
    book = openpyxl.load_workbook(out / "console/sp_search_term_seller.xlsx", read_only=True)
    head, *body = book.worksheets[0].iter_rows(values_only=True)
    book.close()
    from_xlsx = [dict(zip(head, row, strict=True)) for row in body]
    assert len(from_csv) == len(from_xlsx) > 100
    spend = sum(float(r["Spend"].replace("$", "").replace(",", "")) for r in from_csv)
    assert spend == pytest.approx(sum(r["Spend"] for r in from_xlsx))
    clicked = next(r for r in from_csv if int(r["Clicks"]))
    assert clicked["Click-Thru Rate (CTR)"].endswith("%")
    assert any(int(r["Clicks"]) == 0 for r in from_csv)


@pytest.mark.parametrize(
    ("argument", "value", "told"),
    [("size", "XXL", "size must be one of XS, S, M"), ("world", "Z", "world must be one of A, B")],
)
def test_unknown_choices_are_refused_by_name(
    tmp_path: Path, argument: str, value: str, told: str
) -> None:
    with pytest.raises(InvalidInputError, match=told):
        simulate_ads(tmp_path / "w", **{argument: value})
    assert not (tmp_path / "w").exists()


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InvalidInputError, match="new or empty"):
        simulate_ads(tmp_path, size="XS")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
