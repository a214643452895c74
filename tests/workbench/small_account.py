"""A small account with one broken campaign, behind a real records store and a metrics store made of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import numpy as np
from scipy import stats
from streamlit import config as streamlit_config

from core.cases import Graph
from core.contracts import Floats, Panel
from core.errors import NotEnoughDataError, NotFoundError
from core.features.funnel import CHANNELS
from data import alert_store, incident_store, run_store
from data.batches import BatchInfo
from data.coverage import Coverage
from data.metrics import MetricStore
from data.record_store import Records
from data.records import NewAlert, NewIncident
from tests.core.ads_world import account
from workbench import context as contexts
from workbench.context import Context
from workbench.services import scene as scenes
from workbench.settings import Settings

TENANT = "local"
NOW = datetime(2026, 3, 17, 6, 2, tzinfo=UTC)
BROKEN = "campaign:0.1.2"
ONSET = 71


@dataclass
class Arrays:
    """What the pages ask of a metrics store, answered from arrays; `data=None` is an empty store."""

    data: tuple[Panel, Graph] | None
    undone: list[int] = field(default_factory=list)
    samples: Any = field(default_factory=lambda: MetricStore(":memory:").samples)

    def version(self, tenant: str) -> str:
        return f"{tenant}:{self.data is not None}:{len(self.undone)}"

    def holdings(self) -> list[tuple[str, str]]:
        return [(TENANT, "ads")] if self.data else []

    def panel(self, tenant: str, domain: Any, **_: Any) -> Panel:
        if self.data is None:
            raise NotEnoughDataError.of("panel", "days", "at least one", 0)
        return self.data[0]

    def graph(self, tenant: str, domain: Any, **_: Any) -> Graph:
        assert self.data is not None
        return self.data[1]

    def settings(self, tenant: str, domain: Any, **_: Any) -> Panel:
        assert self.data is not None
        panel, _graph = self.data
        values = np.full((len(panel.entities), len(panel.periods), 3), np.nan)
        row = panel.row_of[BROKEN]
        values[row, :, 0] = 80.0
        values[row, ONSET:, 0] = 20.0
        values[row, :, 2] = 1.0
        return panel.with_values(values, ("budget", "bid", "status"))

    def maturity(self, tenant: str, domain: Any, **_: Any) -> dict[str, Any]:
        shares = {"orders": (0.6, 0.8, 0.9, 0.96), "sales": (0.6, 0.8, 0.9, 0.96)}
        rows = [
            ("profile:0", metric, age + 1, 1000.0 * share, 1000.0 * following)
            for metric, curve in shares.items()
            for age, (share, following) in enumerate(zip(curve, (*curve[1:], 1.0), strict=True))
        ]
        names = ("profile", "metric", "age_days", "reported", "next_reported")
        return {
            name: np.array(column)
            for name, column in zip(names, zip(*rows, strict=True), strict=True)
        }

    def newest(self, tenant: str, domain: Any) -> datetime | None:
        return NOW if self.data else None

    def calendar(self, tenant: str, domain: Any) -> list[Any]:
        return []

    def coverage(self, tenant: str, domain: Any) -> list[Coverage]:
        if self.data is None:
            return []
        days = self.data[0].periods.labels.astype("datetime64[D]").astype(date)[-14:]
        rows = []
        for report, level in (("spCampaigns", "campaign"), ("spTargeting", "keyword")):
            for place, day in enumerate(days):
                state = "missing" if place == 5 and level == "keyword" else "delivered"
                state = "partial" if place == 9 else state
                rows.append(Coverage(report, "profile:0", day, state, 40, NOW, 1))
        return rows

    def batches(self, tenant: str) -> list[BatchInfo]:
        if self.data is None:
            return []
        about = ("ads", "0" * 64, "spCampaigns_0.json.gz", "amazon-v3", "spCampaigns", NOW, NOW)
        return [BatchInfo(1, *about, 560, 560, 0, 2, (), (), "loaded")]


class Tail:
    """An ensemble of two: how far out the oddest channel is, today and over three days; nothing streams."""

    scorer = SimpleNamespace(members={})
    state = MappingProxyType({"metrics": "\n".join(CHANNELS)})

    def judge(self, panel: Panel, *, last: int) -> tuple[Floats, dict[str, Floats]]:
        today = np.nan_to_num(np.abs(panel.values)).max(axis=2)
        three = (today + np.roll(today, 1, axis=1) + np.roll(today, 2, axis=1)) / 3
        parts = {
            "isolation-forest": np.minimum(2 * stats.norm.sf(today) * 5, 1.0),
            "half-space-trees": np.minimum(2 * stats.norm.sf(three * 1.2) * 5, 1.0),
        }
        for values in parts.values():
            values[:, :-last] = 1.0
        return np.sqrt(np.prod(list(parts.values()), axis=0)), parts


@contextmanager
def opened(home: Path, *, data: bool = True) -> Iterator[Context]:
    """A context over a temporary home, made the process's own for as long as it is open."""
    broken = account(shape=(1, 2, 4, 2, 4), faults={BROKEN: {"impressions": 0.35}}, onset=ONSET)
    served = SimpleNamespace(
        version=SimpleNamespace(digest="d" * 64, id="ensemble-1"), algorithm=Tail()
    )

    def champion(tenant: str, domain: str) -> Any:
        if not data:
            raise NotFoundError.of("serve", "a champion", "promoted", None)
        return served

    with ExitStack() as stack:
        records = stack.enter_context(Records(f"sqlite:///{home / 'records.db'}"))
        context = Context(
            settings=Settings(home=home, tenant=TENANT, user="ana"),
            metrics=cast(Any, Arrays(broken if data else None)),
            records=records,
            registry=cast(Any, None),
            serve=cast(Any, SimpleNamespace(champion=champion, notice=lambda *_: "")),
            scorer=cast(Any, None),
            clock=lambda: NOW,
            actor="ana",
            _opened=ExitStack(),
        )
        # a test has no start script beside which Streamlit would find the settings that ship
        streamlit_config.set_option("server.address", "127.0.0.1")
        stack.callback(streamlit_config.set_option, "server.address", None)
        contexts._shared.append(context)
        stack.callback(contexts._shared.remove, context)
        yield context


def detect(context: Context) -> None:
    """Raise the alerts that the account deserves, and the incident behind them."""
    scene = scenes.look(context, TENANT)
    judged = scenes.judge(scene, Tail())
    odd = (judged.p_values[:, -2:] < 1e-4).any(axis=1)
    found = [_alert(scene, judged, int(row)) for row in np.flatnonzero(odd)]
    records = context.records
    run = records.write(
        TENANT,
        lambda session: (
            run_store.start(
                session,
                tenant=TENANT,
                domain="ads",
                detector="ensemble",
                at=NOW,
                actor="ana",
                now=NOW,
            ).id
        ),
    )
    upserted = records.write(
        TENANT,
        lambda session: alert_store.upsert(
            session, tenant=TENANT, found=found, now=NOW, actor="ana"
        ),
    )
    records.write(TENANT, lambda session: _incident(session, found, upserted.ids))
    records.write(
        TENANT,
        lambda session: run_store.finish(
            session,
            tenant=TENANT,
            run_id=run,
            now=NOW,
            entities_checked=len(scene.panel.entities),
            anomalies=len(found),
            seconds={},
        ),
    )


def _alert(scene: scenes.Scene, judged: scenes.Judged, row: int) -> NewAlert:
    entity = scene.panel.entities[row]
    shares = np.nan_to_num(np.abs(scene.residual.values[row, -14:]))
    last_day = scene.panel.periods.labels[-1].astype("datetime64[D]").astype(date)
    onset = datetime(2026, 3, 13, tzinfo=UTC)
    severity = {"campaign": "critical", "ad_group": "high", "portfolio": "medium"}
    level = scene.graph.level(entity)
    return NewAlert(
        domain="ads",
        entity=entity,
        entity_name=f"Brand {entity.rpartition(':')[2]}",
        level=level,
        onset=onset,
        last_seen=onset + timedelta(days=3),
        day=last_day,
        score=float(shares.sum()),
        p_value=float(judged.p_values[row, -1]),
        threshold=judged.alpha,
        severity=severity.get(level, "low"),
        detector="ensemble",
        parts={
            "isolation-forest": {"score": 4.2, "p_value": 0.0002, "weight": 0.2},
            "half-space-trees": {"score": 3.1, "p_value": 0.004, "weight": 0.3},
            "lstm-autoencoder": {"left_out": "not warm: 9 of 14 days seen"},
        },
        explanation={
            "days": [str(day) for day in range(14)],
            "metrics": list(CHANNELS),
            "shares": shares.tolist(),
            "score": float(shares.sum()),
            "base": 0.0,
            "gap": 0.0,
            "parts": {
                name: {"shares": (shares * factor).tolist()}
                for name, factor in (("isolation-forest", 0.5), ("half-space-trees", 0.8))
            },
        },
        sentence="Impressions fell to 35 % of what was expected: 1,240 instead of 3,540 a day since 13 Mar.",
        root_causes=_causes(scene, entity),
        spend_at_risk=184.2,
        currency="USD",
        market_conditions={"account impressions": "−4 %"},
        settings={"budget": {"before": 80.0, "after": 20.0}},
        model_version="ensemble-1",
    )


def _incident(session: Any, found: list[NewAlert], ids: tuple[int, ...]) -> None:
    incident = NewIncident(
        title=f"Budget cut on campaign Brand 0.1.2: {len(found)} alerts, −65 % impressions since 13 Mar",
        domain="ads",
        severity="critical",
        onset=datetime(2026, 3, 13, tzinfo=UTC),
        root_entity=BROKEN,
        root_name="Brand 0.1.2",
        root_level="campaign",
        cause_type="budget_cut",
        confidence=0.86,
        method="tree-scan",
        spend_at_risk=920.4,
        money_impact=1310.0,
        currency="USD",
    )
    made = incident_store.upsert(session, tenant=TENANT, found=[incident], now=NOW, actor="ana")
    incident_store.attach(
        session, tenant=TENANT, incident_id=made.ids[0], alert_ids=list(ids), now=NOW, actor="ana"
    )


def _causes(scene: scenes.Scene, entity: str) -> list[dict[str, Any]]:
    """The broken campaign first, then what lies above it, for whatever lies below it."""
    line = [BROKEN]
    if entity != BROKEN:
        if entity not in scene.graph.descendants(BROKEN, 3):
            return []
        above = scene.graph.ancestors(entity, 3)
        line = [
            BROKEN,
            *sorted(
                (n for n in above if n in scene.graph.descendants(BROKEN, 3)),
                key=lambda n: -above[n],
            ),
            entity,
        ]
    roots = [BROKEN, *scene.graph.ancestors(BROKEN, 2)]
    return [
        {
            "node": root,
            "name": f"Brand {root.rpartition(':')[2]}",
            "level": scene.graph.level(root),
            "type": "budget_cut" if place == 0 else "unknown",
            "onset": "2026-03-13T00:00:00+00:00",
            "onset_day": "2026-03-13",
            "path": [*reversed(roots[1 : place + 1]), *line],
            "hops": len(line) - 1 + place,
            "terms": {"likelihood": 84.2 - 30 * place, "words": 6.0 - place, "penalty": -3.0},
            "score": 87.2 - 31 * place,
            "confidence": (0.86, 0.1, 0.03)[place],
            "evidence": ["Impressions −65 % (±3) since 13 Mar", "Budget 80.00 → 20.00"][
                : 2 - place
            ],
            "method": "tree-scan",
        }
        for place, root in enumerate(roots)
    ]
