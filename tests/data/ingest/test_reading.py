"""Which file is read by whom, in which order, and what else is read: profiles, calendars, tables."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.domains.ads import ADS
from core.errors import InvalidInputError
from data.ingest import plan, read, read_many
from data.metrics import CalendarEvent, MetricStore
from tests.data.report_files import PROFILE, campaign_row, keyword_row, write_v3

FIXTURES = Path(__file__).parents[3].parent / "shared" / "data" / "ads" / "amazon_ads_fixtures"
PROFILES = [
    {
        "profileId": int(PROFILE),
        "countryCode": "US",
        "currencyCode": "USD",
        "timezone": "America/Los_Angeles",
        "accountInfo": {"id": "ENTITY1", "type": "seller", "name": "Demo"},
    },
    {"profileId": 7, "timezone": "Mars/Olympus", "currencyCode": "EUR"},
]
CALENDAR = """scope_level,scope_id,from,to,kind,name
portfolio,863237656699770,2026-03-01,2026-03-03,promotion,Spring
,,2026-03-10,2026-03-10,promotion,Everything
galaxy,1,2026-03-01,2026-03-02,promotion,Nowhere
campaign,1,2026-03-05,2026-03-02,promotion,Backwards
"""


def world(folder: Path) -> Path:
    """A folder as a user would have it."""
    (folder / "truth").mkdir(parents=True)
    (folder / "truth" / "incidents.json").write_text("[]")
    (folder / "profiles.json").write_text(json.dumps(PROFILES))
    (folder / "calendar.csv").write_text(CALENDAR)
    name = f"spCampaigns_{PROFILE}.json.gz"
    write_v3(folder / "2026-03-04" / name, [campaign_row(cost=4.0)])
    write_v3(folder / "2026-03-03" / name, [campaign_row(cost=3.0)])
    write_v3(folder / "history" / "2026-03-02" / name, [campaign_row(cost=2.0)])
    write_v3(folder / "2026-03-04" / f"spTargeting_{PROFILE}.json.gz", [keyword_row()])
    (folder / "notes.json").write_text('{"a": 1}')
    return folder


def test_a_folder_is_read_oldest_download_first_and_its_answers_left_aside(tmp_path: Path) -> None:
    planned = plan([world(tmp_path / "world")])
    names = [str(path.relative_to(root)) for path, root in planned.files]
    assert names == [
        "profiles.json",
        f"history/2026-03-02/spCampaigns_{PROFILE}.json.gz",
        f"2026-03-03/spCampaigns_{PROFILE}.json.gz",
        f"2026-03-04/spCampaigns_{PROFILE}.json.gz",
        f"2026-03-04/spTargeting_{PROFILE}.json.gz",
        "notes.json",
        "calendar.csv",
    ]
    assert planned.notes == ("world/truth/ was left aside: it is not a report",)


def test_a_world_is_loaded_whole_and_a_second_time_not_even_read(tmp_path: Path) -> None:
    store = MetricStore(":memory:")
    folder = world(tmp_path / "world")
    refused = []
    for batch in read_many([folder], domain=ADS, known=lambda: store.known("t", ADS)):
        refused += [(r.file, r.line, r.column) for r in batch.refused]
        store.load("t", ADS, batch)
    assert refused == [
        ("profiles.json", 2, "timezone"),
        ("notes.json", 0, "the report"),
        ("calendar.csv", 4, "scope_level"),
        ("calendar.csv", 5, "to"),
    ]
    campaign = "campaign:40315262697531497"
    panel = store.panel("t", ADS, entities=[campaign], metrics=["cost"])
    assert panel.values[0, :, 0].tolist() == [4.0]
    assert panel.zones == ("America/Los_Angeles",)
    known = store.panel("t", ADS, entities=[campaign], metrics=["cost"], as_of=date(2026, 3, 3))
    assert known.values[0, :, 0].tolist() == [3.0]
    assert store.calendar("t", ADS) == [
        CalendarEvent(
            "portfolio:863237656699770", date(2026, 3, 1), date(2026, 3, 3), "promotion", "Spring"
        ),
        CalendarEvent("", date(2026, 3, 10), date(2026, 3, 10), "promotion", "Everything"),
    ]
    states = {batch.source: batch.state for batch in store.batches("t")}
    assert states.pop("notes.json") == "refused"
    assert set(states.values()) == {"loaded"}
    again = list(read_many([folder], domain=ADS, loaded=store.digests("t")))
    assert sorted(b.format for b in again) == ["loaded"] * 6 + ["unknown"]
    assert store.load("t", ADS, again[1]).sentence == "already loaded as batch 2, 0 new rows"
    store.close()


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="the path must be an existing file or folder"):
        plan([tmp_path / "nowhere"])


def test_an_unknown_table_asks_for_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInputError, match="Give --mapping"):
        read(path, domain=ADS)
    (told,) = read_many([path], domain=ADS)
    assert told.refused[0].rule.endswith(
        "with a mapping (Give --mapping for any other CSV or Parquet)"
    )


WIDE = {
    "entity": "id",
    "level": "campaign",
    "time": "when",
    "metrics": {"spent": "cost", "n": "clicks"},
}


def test_a_wide_table_is_read_by_its_mapping(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("id;when;spent;n;owner\nc1;2026-03-01;1,50;3;p9\nc1;2026-03-02;x;3;p9\n")
    mapping = WIDE | {"owner": {"column": "owner"}}
    batch = read(path, domain=ADS, mapping=mapping)
    assert [(r.line, r.column, r.value) for r in batch.refused] == [(3, "spent", "x")]
    assert batch.entities.column("id").to_pylist() == ["campaign:c1", "profile:p9"]
    assert batch.observations.to_pylist() == [
        {"entity": 0, "day": date(2026, 3, 1), "row": 2, "cost": 1.5, "clicks": 3.0}
    ]


def test_a_long_parquet_with_levels_and_parents_is_read(tmp_path: Path) -> None:
    rows = [
        ("k1", "keyword", "g1", "clicks", 5.0),
        ("k1", "keyword", "g1", "cost", 2.0),
        ("k1", "keyword", "g1", "cost", 2.5),
        ("c1", "campaign", None, "cost", 9.0),
        ("c1", "planet", None, "cost", 9.0),
        ("c1", "campaign", None, "beauty", 9.0),
    ]
    names = ("id", "level", "group", "metric", "value")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table(columns | {"day": [date(2026, 3, 1)] * len(rows)})
    pq.write_table(table, tmp_path / "long.parquet")
    batch = read(
        tmp_path / "long.parquet",
        domain=ADS,
        mapping={
            "entity": "id",
            "level": {"column": "level"},
            "time": "day",
            "metric": "metric",
            "value": "value",
            "parent": {"column": "group", "level": "ad_group"},
        },
        profile="3",
    )
    assert [(r.line, r.column, r.value) for r in batch.refused] == [
        (5, "level", "planet"),
        (6, "metric", "beauty"),
    ]
    ids = batch.entities.column("id").to_pylist()
    assert {(ids[e["child"]], ids[e["parent"]]) for e in batch.edges.to_pylist()} >= {
        ("keyword:k1", "ad_group:g1")
    }
    found = {
        ids[row["entity"]]: (row["clicks"], row["cost"]) for row in batch.observations.to_pylist()
    }
    assert found == {"keyword:k1": (5.0, 2.5), "campaign:c1": (None, 9.0)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"time": "nope"}, "a mapped column must be one of the file's"),
        ({"metrics": {"spent": "beauty"}}, "a mapped metric must be one of"),
        ({"level": "planet"}, "the level must be one of"),
        ({"parent": "owner"}, "the mapping's parent must be"),
        (
            {"parent": {"column": "owner"}},
            r"the mapping's parent must be {'column': …, 'level': …}",
        ),
        ({"owner": {"value": "p1"}}, r"the mapping's owner must be {'column': …}"),
        ({"metrics": ["spent"]}, "the mapping's metrics must be {column: metric, …}"),
        ({"metrics": {"spent": None}}, "the mapping's metrics must be {column: metric, …}"),
        ({"time": ["when"]}, "the mapping's time must be the name of a column"),
        ({"curency": "EUR"}, "the mapping must be made of entity, time, .*'curency'"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("id,when,spent,n,owner\nc1,2026-03-01,1.5,3,p9\n")
    with pytest.raises(InvalidInputError, match=words):
        read(path, domain=ADS, mapping=WIDE | change)


def test_the_public_fixture_tables_are_read_by_a_mapping() -> None:
    path = FIXTURES / "targeting_keyword_report_data.csv"
    if not path.exists():
        pytest.skip("the shared ads fixtures are not beside the repository")
    mapping = {
        "entity": "keyword_id",
        "level": "keyword",
        "time": "date",
        "metrics": {"impressions": "impressions", "clicks": "clicks", "cost": "cost"},
        "parent": {"column": "ad_group_id", "level": "ad_group"},
    }
    batch = read(path, domain=ADS, mapping=mapping, profile="66")
    assert batch.refused == ()
    assert batch.rows == 10
    assert batch.observations.to_pylist()[0] | {"entity": 0} == {
        "entity": 0,
        "day": date(2022, 7, 12),
        "row": 2,
        "impressions": 239619.0,
        "clicks": 861.0,
        "cost": 1723.1,
    }
