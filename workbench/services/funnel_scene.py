"""The scene of advertising: days, a funnel from impressions to sales, and money that is spent or lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np

from core.contracts import Floats
from core.domains.ads import ADS
from core.errors import NotEnoughDataError
from core.features.calendar import announced_days
from core.features.consistency import inconsistent_days
from core.features.funnel import Baseline, expected, fit_baseline, residuals
from core.features.maturity import fit_maturity
from core.severity import spend_at_risk
from workbench.context import Context
from workbench.services import labelled
from workbench.services.scene import Rows, Scene


@dataclass(frozen=True, eq=False)
class FunnelScene(Scene):
    """A scene of money: what is expected comes from a baseline of the funnel."""

    baseline: Baseline

    def settled(self, metric: str) -> Floats:
        """(n_entity, n_time) share of a metric's final number that has arrived."""
        whole = np.ones(self.panel.values.shape[:2])
        return self.baseline.settled.get(metric, whole)

    def at_stake(self, rows: Rows, first: Rows, last: Rows) -> tuple[Floats, Floats]:
        """Money per day that goes elsewhere than it should, and that over what the account spends in its currency."""
        risk = spend_at_risk(self.observed, self.reference, self.domain)
        daily = self._daily_spend
        money, exposed = [], []
        for row, start, end in zip(rows, first, last, strict=True):
            money.append(risk[row, start : end + 1].mean())
            exposed.append(money[-1] / daily.get(self._currency(self.panel.entities[row]), np.nan))
        return np.array(money), np.array(exposed)

    def lost(self, row: int, first: int, last: int) -> float | None:
        """Revenue missing against the expectation over the episode, as known by now; None where nothing is known."""
        days, revenue = slice(first, last + 1), self.domain.revenue
        missing = (
            self.reference.metric(revenue)[row, days] - self.observed.metric(revenue)[row, days]
        )
        return float(np.nansum(missing)) if np.isfinite(missing).any() else None

    def conditions(self, entity: str) -> Mapping[str, float]:
        """The whole account over the newest week against the one before."""
        return self._market.get(next(iter(self.above(entity)), entity), {})

    def _currency(self, entity: str) -> str:
        return str(self.graph.net.nodes[entity].get("currency") or "")

    @cached_property
    def _daily_spend(self) -> dict[str, float]:
        """Usual spend a day of the whole account, by currency."""
        top = self.domain.levels[0]
        usual = np.nanmean(
            self.reference.metric(self.domain.spend)[:, -self.domain.window :], axis=1
        )
        spend: dict[str, float] = {}
        for row, entity in enumerate(self.panel.entities):
            if self.graph.level(entity) == top and usual[row] > 0:
                currency = self._currency(entity)
                spend[currency] = spend.get(currency, 0.0) + float(usual[row])
        return spend

    @cached_property
    def _market(self) -> dict[str, dict[str, float]]:
        """The whole account over the newest week against the one before, by account: relative changes."""
        top = self.domain.levels[0]
        conditions: dict[str, dict[str, float]] = {}
        for row, entity in enumerate(self.panel.entities):
            if self.graph.level(entity) != top:
                continue
            sums = {
                name: (
                    np.nansum(self.panel.metric(name)[row, -7:]),
                    np.nansum(self.panel.metric(name)[row, -14:-7]),
                )
                for name in self.observed.metrics
            }
            shown = {
                f"{name}_change": now / before - 1.0
                for name, (now, before) in sums.items()
                if before > 0
            }
            for ratio in self.domain.ratios:
                if (
                    ratio.numerator in sums
                    and ratio.denominator in sums
                    and sums[ratio.denominator][0] > 0
                ):
                    shown[ratio.name] = sums[ratio.numerator][0] / sums[ratio.denominator][0]
            conditions[entity] = {name: round(float(value), 6) for name, value in shown.items()}
        return conditions


SCENE = FunnelScene


def build(context: Context, tenant: str, *, as_of: datetime | None, days: int) -> FunnelScene:
    """Read the account as known at `as_of` and fit what was to be expected of it."""
    panel = context.metrics.panel(tenant, ADS, days=days, as_of=as_of)
    if not len(panel.entities):
        raise NotEnoughDataError.of(
            "detection",
            "reports of Amazon ads",
            "imported first",
            0,
            "Run: headwater import PATH. Running systems are watched with --domain services.",
        )
    # an account younger than the days asked for begins with days that never were
    known = np.isfinite(panel.values).any(axis=(0, 2))
    lived = slice(int(np.argmax(known)), None)
    panel = panel.select(times=lived)
    settings = context.metrics.settings(tenant, ADS, days=days, as_of=as_of).select(times=lived)
    graph = context.metrics.graph(tenant, ADS, at=None if as_of is None else as_of.date())
    # a report cut short is a fault of the data, neither an anomaly nor a lesson
    short = inconsistent_days(panel, graph)
    panel = panel.with_values(np.where(short[:, :, None], np.nan, panel.values))
    # a calendar is announced ahead of its days, whenever somebody got round to importing it
    events = [
        (event.scope, np.datetime64(event.first), np.datetime64(event.last))
        for event in context.metrics.calendar(tenant, ADS)
    ]
    maturity = fit_maturity(context.metrics.maturity(tenant, ADS, as_of=as_of))
    baseline = fit_baseline(
        panel,
        graph=graph,
        maturity=maturity,
        as_of=_downloaded(context, tenant, as_of),
        expected_days=announced_days(panel, graph, events),
        excluded=labelled.known_odd(context, tenant, ADS.name, panel, until=as_of),
    )
    reference, spread = expected(panel, baseline)
    return FunnelScene(
        domain=ADS,
        panel=panel,
        graph=graph,
        settings=settings,
        baseline=baseline,
        residual=residuals(panel, baseline),
        reference=reference,
        spread=spread,
    )


def newest(context: Context, tenant: str) -> datetime | None:
    """When the newest download was made."""
    return context.metrics.newest(tenant, ADS)


def _downloaded(context: Context, tenant: str, as_of: datetime | None) -> np.datetime64 | None:
    """Day of the newest download that was known: from it on nothing more has settled."""
    moments = [moment for moment in (newest(context, tenant), as_of) if moment is not None]
    return np.datetime64(min(moments).date()) if moments else None
