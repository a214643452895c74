"""The domains, by name, and the days that their alerts begin on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from core.contracts import DAY
from core.domains.ads import ADS
from core.domains.services import SERVICES

DOMAINS = {domain.name: domain for domain in (ADS, SERVICES)}
HALF_DAY = timedelta(hours=12)
"""A local midnight lies at most this far from the UTC midnight of its date, so that date is the nearest one."""


def local_day(onset: datetime, domain: str = "") -> date:
    """The day whose local midnight an onset is; of a domain of shorter periods the day (UTC) that it lies in."""
    return (onset + _half_day(domain)).date()


def onsets_of(day: date, domain: str = "") -> tuple[datetime, datetime]:
    """From when until before when (UTC) the onsets lie whose `local_day` it is."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC) - _half_day(domain)
    return begin, begin + timedelta(days=1)


def _half_day(domain: str) -> timedelta:
    return HALF_DAY if domain not in DOMAINS or DOMAINS[domain].step >= DAY else timedelta(0)
