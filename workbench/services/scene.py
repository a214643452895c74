"""One look at a whole domain: what every entity did, what was to be expected of it, and how odd that is.

Detection and the pages both start here, so an alert and its chart never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from core.cases import Alarm, Case, Graph
from core.contracts import Floats, Panel
from core.domain import Domain
from core.domains import DOMAINS
from core.errors import NotEnoughDataError
from core.features.calendar import announced_days
from core.features.consistency import inconsistent_days
from core.features.funnel import FUNNEL, Baseline, expected, fit_baseline, residuals
from core.features.maturity import fit_maturity
from workbench.context import Context
from workbench.services import labelled

DAYS = 120
ALPHA = 0.01
FALSE_RATE = 0.05


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything read and derived before any model has its say; arrays are (n_entity, n_time, …).

    panel     : raw metrics of every level
    settings  : what was set, by entity and day; NaN = not reported
    residual  : standardised deviations by channel
    reference : expected `FUNNEL` metrics as they should stand by now
    spread    : standard deviation of observed − expected
    """

    domain: Domain
    panel: Panel
    graph: Graph
    settings: Panel
    baseline: Baseline
    residual: Panel
    reference: Panel
    spread: Floats

    @cached_property
    def observed(self) -> Panel:
        """The `FUNNEL` metrics of the panel."""
        return self.panel.select(metrics=FUNNEL)

    @cached_property
    def changes(self) -> Mapping[str, Mapping[str, tuple[float, float]]]:
        """What was set before and at the end of the window, by entity."""
        return changes(self.settings, self.domain.window)

    def settled(self, metric: str) -> Floats:
        """(n_entity, n_time) share of a metric's final number that has arrived."""
        whole = np.ones(self.panel.values.shape[:2])
        return self.baseline.settled.get(metric, whole)


def look(
    context: Context,
    tenant: str,
    *,
    domain: str = "ads",
    as_of: datetime | None = None,
    days: int = DAYS,
) -> Scene:
    """Read a domain as known at `as_of` (now when absent); NotEnoughDataError when nothing was imported."""
    which = DOMAINS[domain]
    panel = context.metrics.panel(tenant, which, days=days, as_of=as_of)
    if not len(panel.entities):
        raise NotEnoughDataError.of(
            "scene", "data", "imported first", 0, "Run: headwater import PATH"
        )
    # an account younger than the days asked for begins with days that never were
    known = np.isfinite(panel.values).any(axis=(0, 2))
    lived = slice(int(np.argmax(known)), None)
    panel = panel.select(times=lived)
    settings = context.metrics.settings(tenant, which, days=days, as_of=as_of).select(times=lived)
    graph = context.metrics.graph(tenant, which, at=None if as_of is None else as_of.date())
    # a report cut short is a fault of the data, neither an anomaly nor a lesson
    short = inconsistent_days(panel, graph)
    panel = panel.with_values(np.where(short[:, :, None], np.nan, panel.values))
    # a calendar is announced ahead of its days, whenever somebody got round to importing it
    events = [
        (event.scope, np.datetime64(event.first), np.datetime64(event.last))
        for event in context.metrics.calendar(tenant, which)
    ]
    maturity = fit_maturity(context.metrics.maturity(tenant, which, as_of=as_of))
    baseline = fit_baseline(
        panel,
        graph=graph,
        maturity=maturity,
        as_of=_downloaded(context, tenant, which, as_of),
        expected_days=announced_days(panel, graph, events),
        excluded=labelled.known_odd(context, tenant, domain, panel, until=as_of),
    )
    reference, spread = expected(panel, baseline)
    return Scene(
        domain=which,
        panel=panel,
        graph=graph,
        settings=settings,
        baseline=baseline,
        residual=residuals(panel, baseline),
        reference=reference,
        spread=spread,
    )


def _downloaded(
    context: Context, tenant: str, domain: Domain, as_of: datetime | None
) -> np.datetime64 | None:
    """Day of the newest download that was known: from it on nothing more has settled."""
    newest = context.metrics.newest(tenant, domain)
    moments = [moment for moment in (newest, as_of) if moment is not None]
    return np.datetime64(min(moments).date()) if moments else None


def changes(settings: Panel, window: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Settings before and at the end of the last `window` days, {entity: {setting: (before, after)}}.

    Entities whose settings nobody reported are absent: unknown is not unchanged.
    """
    before = _last_known(settings.values[:, : max(settings.values.shape[1] - window, 1)])
    after = _last_known(settings.values)
    known = np.isfinite(before) & np.isfinite(after)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for row, column in np.argwhere(known):
        pair = (float(before[row, column]), float(after[row, column]))
        found.setdefault(settings.entities[row], {})[settings.metrics[column]] = pair
    return found


def _last_known(values: Floats) -> Floats:
    """(n_entity, n_metric) newest finite value; NaN where there is none."""
    known = np.isfinite(values)
    newest = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    picked = np.take_along_axis(values, newest[:, None, :], axis=1)[:, 0]
    return np.where(known.any(axis=1), picked, np.nan)


@dataclass(frozen=True, eq=False)
class Judged:
    """What a model says of a scene: calibrated p-values (n_entity, n_time), and those of each part.

    alpha : the p-value up to which a day is anomalous, at most `ALPHA`; 0 = no day is
    lowest, days : the lowest p-value, and how many entity-days were judged
    """

    p_values: Floats
    parts: Mapping[str, Floats]
    alpha: float
    lowest: float = 1.0
    days: int = 0

    @property
    def silence(self) -> str:
        """Why nothing was found, in words; "" where something was, or nothing looks odd."""
        if self.alpha > 0 or self.lowest > ALPHA:
            return ""
        return (
            f"The oddest of {self.days:,} entity-days has a p-value of {self.lowest:.2g}. Among so many that is "
            f"chance: one alone would have to reach {FALSE_RATE / self.days:.1g}. A detector whose scores are "
            "bounded seldom does; several voting together, as in the default, do."
        )


def judge(scene: Scene, ensemble: Any, *, rate: float = FALSE_RATE, last: int = 0) -> Judged:
    """Score every entity and day of the newest window with an ensemble, or of the `last` days where those are more.

    Thousands of entity-days are judged at once, so the cut is set such that at most `rate` of those below
    it are expected to be normal: Benjamini and Hochberg (JRSS B 1995), theorem 1.
    """
    window = scene.domain.window
    p_values, parts = ensemble.judge(scene.residual, last=max(window, last))
    seen = np.isfinite(scene.residual.values[:, -window:]).any(axis=2)
    judged = p_values[:, -window:][seen]
    lowest = float(judged.min(initial=1.0))
    return Judged(p_values, parts, min(_cut(judged, rate), ALPHA), lowest, len(judged))


def _cut(p_values: Floats, rate: float) -> float:
    """The largest p-value that passes the step-up test; 0 when none does."""
    ascending = np.sort(p_values)
    passing = ascending <= rate * np.arange(1, len(ascending) + 1) / max(len(ascending), 1)
    return float(ascending[passing].max(initial=0.0))


def case(scene: Scene, judged: Judged, alarm: Alarm) -> Case:
    """What the localizers look at."""
    # the localizers scan once per set of arrays, so these must stay the very same objects
    return Case(
        graph=scene.graph,
        alarm=alarm,
        panel=scene.observed,
        reference=scene.reference,
        spread=scene.spread,
        p_values=judged.p_values,
        alpha=judged.alpha,
        settings=scene.changes,
    )
