"""The metrics store: as-of history, idempotent import, exact undo, zero against missing, roll-up."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.domain import Metric
from core.domains.ads import ADS
from core.errors import ConflictError, NotFoundError, StoreError, UnknownNameError
from core.features.maturity import fit_maturity
from data import duck
from data.ingest import read, read_many
from data.ingest.batch import Batch
from data.metrics import MetricStore
from tests.data.report_files import PROFILE, campaign_row, campaigns_batch, keyword_row, write_v3

FIRST = date(2026, 3, 1)
ASKED = datetime(2026, 3, 4, 12, tzinfo=UTC).replace(tzinfo=None)


@pytest.fixture
def store() -> Iterator[MetricStore]:
    """An empty store in memory."""
    opened = MetricStore(":memory:")
    yield opened
    opened.close()


def day(offset: int) -> date:
    return FIRST + timedelta(days=offset)


def cost(store: MetricStore, entity: str, **asked: object) -> list[float]:
    panel = store.panel("t", ADS, entities=[entity], metrics=["cost"], **asked)  # type: ignore[arg-type]
    return panel.values[0, :, 0].tolist()


def costs(*values: float, as_of: datetime = ASKED, name: str = "a") -> Batch:
    return campaigns_batch([(name, day(i), {"cost": v}) for i, v in enumerate(values)], as_of)


def test_the_same_bytes_are_loaded_once(store: MetricStore) -> None:
    batch = costs(1.0, 2.0)
    assert store.load("t", ADS, batch).sentence == "batch 1: 2 new rows"
    again = store.load("t", ADS, batch)
    assert (again.already, again.new) == (True, 0)
    assert again.sentence == "already loaded as batch 1, 0 new rows"
    assert len(store.batches("t")) == 1


def test_another_tenant_sees_nothing_and_numbers_its_own_batches(store: MetricStore) -> None:
    store.load("t", ADS, costs(1.0))
    assert store.panel("other", ADS).entities == ()
    assert store.load("other", ADS, costs(5.0)).batch == 1
    assert cost(store, "campaign:a") == [1.0]


def test_of_rows_with_one_key_the_last_of_the_file_counts_and_the_rest_are_told(
    store: MetricStore,
) -> None:
    batch = campaigns_batch(
        [("a", day(0), {"cost": 1.0}), ("a", day(0), {"cost": 3.0}), ("a", day(1), {"cost": 2.0})],
        ASKED,
    )
    loaded = store.load("t", ADS, batch)
    assert (loaded.new, loaded.duplicates) == (2, 1)
    assert cost(store, "campaign:a") == [3.0, 2.0]


def test_a_later_download_wins_in_whatever_order_they_are_loaded(store: MetricStore) -> None:
    store.load("t", ADS, costs(9.0, as_of=ASKED + timedelta(days=2)))
    store.load("t", ADS, costs(1.0, as_of=ASKED))
    assert cost(store, "campaign:a") == [9.0]
    assert cost(store, "campaign:a", as_of=ASKED + timedelta(days=1)) == [1.0]
    assert cost(store, "campaign:a", as_of=ASKED.date()) == [1.0]
    assert store.panel("t", ADS, as_of=ASKED - timedelta(days=1)).entities == ()


def test_a_column_that_a_newer_file_lacks_keeps_its_older_value(store: MetricStore) -> None:
    store.load("t", ADS, campaigns_batch([("a", FIRST, {"cost": 1.0, "clicks": 4.0})], ASKED))
    store.load("t", ADS, costs(2.0, as_of=ASKED + timedelta(days=1)))
    panel = store.panel("t", ADS, entities=["campaign:a"], metrics=["cost", "clicks"])
    assert panel.values[0, 0].tolist() == [2.0, 4.0]


def test_undo_restores_what_was_known_and_lets_the_file_in_again(store: MetricStore) -> None:
    store.load("t", ADS, costs(1.0))
    before = store.version("t")
    second = costs(2.0, 3.0, as_of=ASKED + timedelta(days=1))
    store.load("t", ADS, second)
    assert store.undo("t", 2) == 2
    assert cost(store, "campaign:a") == [1.0]
    undone, loaded = store.batches("t")
    assert (undone.state, loaded.state) == ("undone", "loaded")
    assert undone.as_of == (ASKED + timedelta(days=1)).replace(tzinfo=UTC)
    assert store.version("t") != before
    assert store.load("t", ADS, second).batch == 3
    assert cost(store, "campaign:a") == [2.0, 3.0]
    with pytest.raises(ConflictError, match="batch 2 must be still loaded"):
        store.undo("t", 2)
    with pytest.raises(NotFoundError):
        store.undo("t", 99)


def test_an_undone_batch_takes_its_entities_and_edges_along(store: MetricStore) -> None:
    store.load("t", ADS, costs(1.0))
    store.load(
        "t", ADS, campaigns_batch([("b", FIRST, {"cost": 1.0})], ASKED, portfolios={"b": "p"})
    )
    assert set(store.graph("t", ADS).net.edges) == {
        ("profile:1", "campaign:a"),
        ("profile:1", "portfolio:p"),
        ("portfolio:p", "campaign:b"),
    }
    store.undo("t", 2)
    assert set(store.graph("t", ADS).net.nodes) == {"profile:1", "campaign:a"}


def test_no_row_is_zero_when_delivered_and_missing_when_not(store: MetricStore) -> None:
    cells = [("a", day(i), {"cost": 1.0, "impressions": 9.0}) for i in (0, 1, 2, 4)]
    cells += [("b", day(1), {"cost": 5.0, "impressions": 9.0})]
    store.load("t", ADS, campaigns_batch([c for c in cells if c[1] < day(3)], ASKED))
    late = ASKED + timedelta(days=3)
    store.load("t", ADS, campaigns_batch([c for c in cells if c[1] >= day(3)], late))
    # before its first row an entity is unknown, afterwards it is zero, day 3 was never delivered
    np.testing.assert_equal(cost(store, "campaign:b"), [np.nan, 5.0, 0.0, np.nan, 0.0])
    states = {cell.day: cell.state for cell in store.coverage("t", ADS)}
    assert states[day(3)] == "missing"
    assert states[day(4)] == "delivered"


def test_a_declared_span_makes_empty_days_delivered(store: MetricStore) -> None:
    batch = campaigns_batch([("a", day(0), {"cost": 1.0})], ASKED, span=(day(0), day(2)))
    store.load("t", ADS, batch)
    assert cost(store, "campaign:a") == [1.0, 0.0, 0.0]


def test_upper_levels_are_sums_and_nothing_is_counted_twice(
    store: MetricStore, tmp_path: Path
) -> None:
    folder = tmp_path / "2026-03-04"
    keywords = [
        keyword_row(
            keywordId=60000000000000001 + i, adGroupId=50000000000000001 + i % 2, cost=i + 1.0
        )
        for i in range(4)
    ]
    ads = [
        {**keyword_row(cost=5.0), "adId": 7 * 10**16 + i, "advertisedAsin": "B00ASIN001"}
        | {"adGroupId": 50000000000000001 + i}
        for i in range(2)
    ]
    for row in ads:
        del row["keywordId"]
    write_v3(folder / f"spTargeting_{PROFILE}.json.gz", keywords)
    write_v3(folder / f"spAdvertisedProduct_{PROFILE}.json.gz", ads)
    write_v3(folder / f"spCampaigns_{PROFILE}.json.gz", [campaign_row(cost=10.0)])
    for batch in read_many([tmp_path], domain=ADS):
        assert batch.refused == ()
        store.load("t", ADS, batch)
    panel = store.panel("t", ADS, metrics=["cost"])
    found = dict(zip(panel.entities, panel.values[:, 0, 0].tolist(), strict=True))
    assert found["ad_group:50000000000000001"] == 1.0 + 3.0
    assert found["ad_group:50000000000000002"] == 2.0 + 4.0
    assert found[f"asin:{PROFILE}/B00ASIN001"] == 10.0
    assert found["portfolio:863237656699770"] == found[f"profile:{PROFILE}"] == 10.0
    parents = store.graph("t", ADS).parents(f"ad:{7 * 10**16}")
    assert set(parents) == {"ad_group:50000000000000001", f"asin:{PROFILE}/B00ASIN001"}


def test_a_moved_campaign_counts_for_each_portfolio_in_its_time(store: MetricStore) -> None:
    early = datetime(2026, 3, 3, 12, tzinfo=UTC).replace(tzinfo=None)
    cells = [("a", day(i), {"cost": 1.0 + i}) for i in range(4)]
    store.load("t", ADS, campaigns_batch(cells[:2], early, portfolios={"a": "old"}))
    store.load("t", ADS, campaigns_batch(cells, early + timedelta(days=2), portfolios={"a": "new"}))
    # the newer statement counts from the last full day before its download, 4 March
    np.testing.assert_equal(cost(store, "portfolio:old"), [1.0, 2.0, 3.0, np.nan])
    np.testing.assert_equal(cost(store, "portfolio:new"), [np.nan, np.nan, np.nan, 4.0])
    assert cost(store, "profile:1") == [1.0, 2.0, 3.0, 4.0]
    assert store.graph("t", ADS).parents("campaign:a") == ("portfolio:new",)
    assert store.graph("t", ADS, at=day(2)).parents("campaign:a") == ("portfolio:old",)


def test_a_torn_file_is_partial_and_makes_no_zeros(store: MetricStore, tmp_path: Path) -> None:
    days = [day(i) for i in range(6)]
    keywords = [
        keyword_row(date=str(d), keywordId=60000000000000001 + i, impressions=100)
        for d in days
        for i in range(4)
        if not (d == days[-1] and i > 1)  # half of the last day's rows are missing
    ]
    campaigns = [campaign_row(date=str(d), impressions=400) for d in days]
    for name, rows in (("spTargeting", keywords), ("spCampaigns", campaigns)):
        path = write_v3(tmp_path / "2026-03-07" / f"{name}_{PROFILE}.json.gz", rows)
        store.load("t", ADS, read(path, domain=ADS))
    states = {(c.report, c.day): c.state for c in store.coverage("t", ADS)}
    assert states["spTargeting", days[-1]] == "partial"
    assert {state for key, state in states.items() if key != ("spTargeting", days[-1])} == {
        "delivered"
    }
    panel = store.panel("t", ADS, metrics=["impressions"])
    last = dict(zip(panel.entities, panel.values[:, -1, 0].tolist(), strict=True))
    assert last["keyword:60000000000000001"] == 100
    assert np.isnan(last["keyword:60000000000000004"])
    assert np.isnan(last["ad_group:50315262697531497"])
    assert last["campaign:40315262697531497"] == last[f"profile:{PROFILE}"] == 400


def test_everything_stopping_at_once_is_news_not_a_torn_file(
    store: MetricStore, tmp_path: Path
) -> None:
    days = [day(i) for i in range(6)]
    stopped = (days[4], days[5])
    keywords = [keyword_row(date=str(d), keywordId=60000000000000001 + i)
                for d in days for i in range(4) if d not in stopped or i == 0]  # fmt: skip
    campaigns = [campaign_row(date=str(d), impressions=200 if d in stopped else 800) for d in days]
    for name, rows in (("spTargeting", keywords), ("spCampaigns", campaigns)):
        path = write_v3(tmp_path / "2026-03-07" / f"{name}_{PROFILE}.json.gz", rows)
        store.load("t", ADS, read(path, domain=ADS))
    assert {c.state for c in store.coverage("t", ADS)} == {"delivered"}
    quiet = store.series("t", ADS, "keyword:60000000000000004").metric("impressions")[0]
    assert quiet.tolist() == [200, 200, 200, 200, 0, 0]


def test_settings_follow_the_reports(store: MetricStore, tmp_path: Path) -> None:
    rows = [
        keyword_row(date="2026-03-01", keywordBid=0.5),
        keyword_row(date="2026-03-02", keywordBid=0.9, adKeywordStatus="PAUSED"),
    ]
    path = write_v3(tmp_path / f"spTargeting_{PROFILE}.json", rows)
    store.load("t", ADS, read(path, domain=ADS, as_of=ASKED))
    panel = store.settings("t", ADS)
    assert panel.entities == ("keyword:60315262697531497",)
    assert panel.metric("bid").tolist() == [[0.5, 0.9]]
    assert panel.metric("status").tolist() == [[1.0, 0.0]]


def test_maturity_is_the_development_of_the_same_cells(store: MetricStore) -> None:
    # Three days seen at ages 1, 2, 3; orders develop 6 → 8 → 10 per day.
    known = {1: 6.0, 2: 8.0, 3: 10.0}
    for morning in range(1, 4):
        cells = [
            ("a", day(d), {"orders": known[morning - d]}) for d in range(3) if morning - d in known
        ]
        moment = datetime(2026, 3, 1 + morning, 12, tzinfo=UTC).replace(tzinfo=None)
        store.load("t", ADS, campaigns_batch(cells, moment))
    links = store.maturity("t", ADS)
    # two days were seen at ages 1 and 2, one at 2 and 3 (day 0), none at 0
    assert links["age_days"].tolist() == [1, 2]
    assert links["reported"].tolist() == [12.0, 8.0]
    assert links["next_reported"].tolist() == [16.0, 10.0]
    assert set(links["profile"]) == {"profile:1"}
    assert set(links["metric"]) == {"orders"}
    assert fit_maturity(links).share("orders", 1) == pytest.approx(0.6)


def test_an_empty_store_answers_with_nothing(store: MetricStore) -> None:
    assert store.panel("t", ADS).values.shape == (0, 0, 8)
    assert store.settings("t", ADS).entities == ()
    assert store.coverage("t", ADS) == store.calendar("t", ADS) == store.batches("t") == []
    assert {len(column) for column in store.maturity("t", ADS).values()} == {0}
    assert len(store.graph("t", ADS).net) == 0
    assert store.newest("t", ADS) is None
    assert store.holdings() == []


def test_holdings_name_who_has_figures(store: MetricStore) -> None:
    cells = [("a", day(1), {"clicks": 3.0})]
    number = store.load("t", ADS, campaigns_batch(cells, ASKED)).batch
    store.load("other", ADS, campaigns_batch(cells, ASKED))
    assert store.holdings() == [("other", "ads"), ("t", "ads")]
    store.undo("t", number)
    assert store.holdings() == [("other", "ads")]


def test_a_metric_declared_later_gets_its_column(tmp_path: Path) -> None:
    path = tmp_path / "metrics.duckdb"
    narrow = MetricStore(path)
    narrow.load("t", ADS, costs(1.0))
    narrow.close()
    wider = dataclasses.replace(ADS, metrics=(*ADS.metrics, Metric("views", "Views")))
    store = MetricStore(path)
    batch = campaigns_batch([("a", day(1), {"views": 7.0})], ASKED)
    with pytest.raises(UnknownNameError, match="declared by the domain ads"):
        store.load("t", ADS, batch)
    store.load("t", wider, batch)
    views = store.panel("t", wider, entities=["campaign:a"], metrics=["views"]).values[0, :, 0]
    np.testing.assert_equal(views.tolist(), [np.nan, 7.0])
    store.close()


def test_rows_lie_sorted_after_many_loads(
    store: MetricStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.batches.UNSORTED_ROWS", 3)
    for morning in range(4):
        for name in ("b", "a"):
            store.load("t", ADS, costs(1.0, 2.0, as_of=ASKED + timedelta(days=morning), name=name))
    keys = store._duck.run(
        lambda cursor: cursor.execute("SELECT tenant, entity, day FROM observation_ads").fetchall()
    )
    in_order = store._duck.run(lambda c: c.execute("SELECT sorted FROM layout").fetchall())[0][0]
    assert in_order >= 8
    assert keys[:in_order] == sorted(keys[:in_order])
    assert cost(store, "campaign:a") == [1.0, 2.0]


def test_a_snapshot_is_whole_and_readable(store: MetricStore, tmp_path: Path) -> None:
    store.load("t", ADS, costs(1.0, 2.0))
    folder = store.snapshot(tmp_path / "snapshots" / "one")
    assert pq.read_table(folder / "observation_ads.parquet").num_rows == 2
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_a_second_process_is_told_who_holds_the_file(tmp_path: Path) -> None:
    store = MetricStore(tmp_path / "metrics.duckdb")
    code = (
        f"from data.metrics import MetricStore; MetricStore({str(tmp_path / 'metrics.duckdb')!r})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    store.close()
    assert (
        "StoreError: metrics: the file must be free: only one process may hold it" in found.stderr
    )


def test_an_invalidated_database_is_reopened(tmp_path: Path) -> None:
    store = MetricStore(tmp_path / "metrics.duckdb")
    store.load("t", ADS, costs(1.0))
    calls = []

    def once_fatal(cursor: duck.Cursor) -> int:
        calls.append(cursor)
        if len(calls) == 1:
            raise duckdb.FatalException("database has been invalidated")
        return len(cursor.execute("SELECT * FROM batch").fetchall())

    assert store._duck.run(once_fatal) == 1
    store.check()
    store.close()


def test_an_import_that_could_fill_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MetricStore(tmp_path / "metrics.duckdb")
    monkeypatch.setattr(duck, "MIN_FREE_BYTES", 1 << 60)
    with pytest.raises(StoreError, match="free disk space"):
        store.load("t", ADS, costs(1.0))
    assert store.batches("t") == []
    store.close()


def test_threads_may_read_while_another_loads(store: MetricStore) -> None:
    store.load("t", ADS, costs(1.0))
    failures: list[BaseException] = []

    def reading() -> None:
        try:
            for _ in range(10):
                assert cost(store, "campaign:a")[0] >= 1.0
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=reading) for _ in range(3)]
    for thread in threads:
        thread.start()
    for morning in range(5):
        store.load("t", ADS, costs(2.0 + morning, as_of=ASKED + timedelta(days=1 + morning)))
    for thread in threads:
        thread.join()
    assert failures == []
    assert cost(store, "campaign:a") == [6.0]


KILLED = """
import sys
from pathlib import Path
from core.domains.ads import ADS
from data.ingest import read_many
from data.metrics import MetricStore
store = MetricStore(sys.argv[1])
print("open", flush=True)
for batch in read_many([Path(sys.argv[2])], domain=ADS):
    print(store.load("t", ADS, batch).batch, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [0, 2])
def test_a_kill_in_the_middle_leaves_whole_batches_and_the_rerun_heals(
    tmp_path: Path, acknowledged: int
) -> None:
    for morning in range(4):
        rows = [
            keyword_row(date=str(day(d)), keywordId=60000000000000001 + k)
            for d in range(20)
            for k in range(50)
        ]
        rows[0]["cost"] = float(morning)
        write_v3(
            tmp_path / "reports" / f"2026-04-0{morning + 1}" / f"spTargeting_{PROFILE}.json.gz",
            rows,
        )
    path = tmp_path / "metrics.duckdb"
    arguments = [sys.executable, "-c", KILLED, str(path), str(tmp_path / "reports")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(1 + acknowledged):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
    store = MetricStore(path)
    told = store.batches("t")
    assert len(told) >= acknowledged
    stored = store._duck.run(
        lambda cursor: (
            dict(
                cursor.execute("SELECT batch, count(*) FROM observation_ads GROUP BY 1").fetchall()
            )
            if told
            else {}
        )
    )
    assert stored == {batch.id: 1000 for batch in told}
    for batch in read_many([tmp_path / "reports"], domain=ADS):
        store.load("t", ADS, batch)
    assert len(store.batches("t")) == 4
    assert store.panel("t", ADS, levels=["keyword"], metrics=["cost"]).values.shape == (50, 20, 1)
    store.close()


CELLS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(0, 3),
        st.sampled_from([None, 0.0, 1.0, 2.5]),
        st.sampled_from([None, 3.0, 7.0]),
    ),
    min_size=1,
    max_size=5,
)
BATCHES = st.lists(st.tuples(CELLS, st.integers(0, 3)), min_size=1, max_size=4)
STEPS = st.lists(
    st.tuples(st.sampled_from(["load", "undo"]), st.integers(0, 3)), min_size=1, max_size=8
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=BATCHES, steps=STEPS)
def test_any_history_of_loads_and_undos_equals_the_oracle(
    batches: list[tuple[list[tuple[str, int, float | None, float | None]], int]],
    steps: list[tuple[str, int]],
) -> None:
    made = [
        campaigns_batch(
            [(name, day(d), {"cost": spent, "clicks": clicks}) for name, d, spent, clicks in cells],
            ASKED + timedelta(days=late),
        )
        for cells, late in batches
    ]
    store = MetricStore(":memory:")
    in_force: dict[str, tuple[int, int]] = {}
    for verb, pick in steps:
        which = pick % len(made)
        batch = made[which]
        if verb == "load":
            loaded = store.load("t", ADS, batch)
            assert loaded.already == (batch.sha256 in in_force)
            in_force.setdefault(batch.sha256, (loaded.batch, which))
        elif batch.sha256 in in_force:
            store.undo("t", in_force.pop(batch.sha256)[0])
    for horizon in range(4):
        known = _oracle(batches, list(in_force.values()), horizon)
        panel = store.panel(
            "t", ADS, levels=["campaign"], metrics=["cost", "clicks"], until=day(3), days=4,
            as_of=ASKED + timedelta(days=horizon),
        )  # fmt: skip
        # a panel begins with the first day that was ever delivered
        shown = panel.periods.labels.astype("datetime64[D]").tolist()
        for (name, offset, metric), value in known.items():
            place = shown.index(day(offset))
            assert panel.metric(metric)[panel.row_of[f"campaign:{name}"], place] == value
        rows = {(name, offset) for name, offset, _ in known}
        for entity, row in panel.row_of.items():
            for place, when in enumerate(shown):
                if (entity.partition(":")[2], (when - FIRST).days) not in rows:
                    assert np.nan_to_num(panel.values[row, place]).tolist() == [0.0, 0.0]
    store.close()


def _oracle(
    batches: list[tuple[list[tuple[str, int, float | None, float | None]], int]],
    in_force: list[tuple[int, int]],
    horizon: int,
) -> dict[tuple[str, int, str], float]:
    """Cell → value as known: by download time, then batch number; of a file's repeats the last."""
    known: dict[tuple[str, int, str], float] = {}
    for _, which in sorted(in_force, key=lambda found: (batches[found[1]][1], found[0])):
        cells, late = batches[which]
        if late > horizon:
            continue
        last = {(name, offset): figures for name, offset, *figures in cells}
        for (name, offset), figures in last.items():
            for metric, value in zip(("cost", "clicks"), figures, strict=True):
                if value is not None:
                    known[name, offset, metric] = value
    return known


def test_closing_waits_for_a_call_under_way_and_refuses_later_ones(tmp_path: Path) -> None:
    store = duck.Duck(tmp_path / "metrics.duckdb")
    begun, go_on = threading.Event(), threading.Event()

    def slow(cursor: duck.Cursor) -> int:
        begun.set()
        go_on.wait(10)
        return int(duck.one(cursor, "SELECT 42"))

    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(store.run, slow)
        begun.wait(10)
        closing = pool.submit(store.close)
        go_on.set()
        assert answer.result(10) == 42
        closing.result(10)
    with pytest.raises(StoreError, match="stopping"):
        store.run(lambda cursor: cursor.execute("SELECT 1"))
