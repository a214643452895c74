"""What people said of the days of a panel: which are real anomalies, which are normal, which nobody judged.

A day that belongs to an incident is no example of a normal day: it teaches neither the expectation nor a model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from core.contracts import DAY, Bools, Panel
from core.domains import local_day
from data import label_store
from data.label_store import Episode
from workbench.context import Context

REAL = ("real", "true positive", "duplicate")
NORMAL = ("expected", "false alarm", "false positive", "normal")
FAULTY = ("data error", "data_error")
"""Dispositions, in small letters: a true anomaly; a day like others after all; figures that are wrong themselves."""


@dataclass(frozen=True, eq=False)
class Said:
    """Cells of a panel, each (n_entity, n_time): judged real, judged normal, and alarmed but judged by nobody."""

    real: Bools
    normal: Bools
    doubtful: Bools


def episodes(
    ctx: Context, tenant: str, domain: str, *, until: datetime | None = None
) -> list[Episode]:
    """Every alert with what was said of it."""
    return ctx.records.read(
        tenant,
        lambda session: label_store.episodes(session, tenant=tenant, domain=domain, until=until),
    )


def mask(ctx: Context, tenant: str, domain: str, panel: Panel) -> Bools:
    """(n_entity, n_time) cells that must not teach a model what is normal.

    Those of alerts labelled real or a data error, alone or by their incident, and of alerts that are still open.
    """
    return cells(
        panel,
        (
            episode
            for episode in episodes(ctx, tenant, domain)
            if judged(episode) in (REAL, FAULTY) or (episode.active and not judged(episode))
        ),
    )


def known_odd(
    ctx: Context, tenant: str, domain: str, panel: Panel, *, until: datetime | None = None
) -> Bools:
    """(n_entity, n_time) cells that must not teach the expectation: labelled real or a data error by `until`.

    An open alert alone is not enough here: a lasting change would then never become the new normal.
    """
    found = episodes(ctx, tenant, domain, until=until)
    return cells(panel, (episode for episode in found if judged(episode) in (REAL, FAULTY)))


def said(panel: Panel, found: Iterable[Episode]) -> Said:
    """The verdicts on a panel's cells; where they differ, real counts before normal and any before none."""
    kinds: dict[tuple[str, ...], list[Episode]] = {}
    for episode in found:
        kinds.setdefault(judged(episode), []).append(episode)
    real = cells(panel, kinds.get(REAL, ()))
    normal = cells(panel, kinds.get(NORMAL, ())) & ~real
    doubtful = cells(panel, [*kinds.get((), ()), *kinds.get(FAULTY, ())]) & ~real & ~normal
    return Said(real, normal, doubtful)


def judged(episode: Episode) -> tuple[str, ...]:
    """REAL, NORMAL or FAULTY as the verdict has it; () where there is none, or an unsure one."""
    word = episode.disposition.strip().lower()
    return next((kind for kind in (REAL, NORMAL, FAULTY) if word in kind), ())


def cells(panel: Panel, found: Iterable[Episode]) -> Bools:
    """(n_entity, n_time) the periods of each episode in its entity's row; what the panel lacks is left out."""
    daily = panel.periods.step >= DAY
    labels = panel.periods.labels.astype("datetime64[D]" if daily else "datetime64[s]")
    held = np.zeros(panel.values.shape[:2], dtype=bool)
    for episode in found:
        row = panel.row_of.get(episode.entity)
        if row is not None:
            first, last = (
                np.datetime64(local_day(moment) if daily else naive(moment))
                for moment in (episode.onset, episode.last_seen)
            )
            held[row, np.searchsorted(labels, first) : np.searchsorted(labels, last, "right")] = (
                True
            )
    return held


def naive(moment: datetime) -> datetime:
    """A moment in UTC without its zone, as period labels are."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
