"""Which word of a domain's cause vocabulary fits the shift that a node shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.domain import CauseType, Domain

# Spread, in log units, of how strongly a cause of one type hits (relative to its signature), of a channel that a
# cause leaves alone, and of one that an unnamed cause moves, as it does every third.
STRENGTH, STILL, ANY, MOVES = 0.4, 0.12, 1.0, 1 / 3
# Log odds that a setting gives: seen to change as the type says; seen to stay; seen to change the other way.
CHANGED, STAYED, OPPOSITE = 6.0, -2.0, -6.0
NAMELESS = -4.0  # log odds of a cause outside the vocabulary
DEEPEST = math.log(0.02)

Settings = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Shift:
    """Estimated relative change of one channel (−0.6 = 60 % less) and its standard deviation."""

    channel: str
    change: float
    sd: float

    @property
    def log(self) -> float:
        return max(math.log(max(1.0 + self.change, 1e-9)), DEEPEST)

    @property
    def log_sd(self) -> float:
        return self.sd / max(1.0 + self.change, 0.2)


@dataclass(frozen=True)
class Verdict:
    """The best word, and what speaks for it: log odds of the shifts and of the settings, against any change at all."""

    type: str
    shifts: float
    settings: float


def judge(
    domain: Domain, level: str, shifts: Sequence[Shift], settings: Settings | None
) -> Verdict:
    """The cause type of a root at `level` that shows `shifts`; "unknown" where none fits better.

    settings : what was set at the node (before, after); None where nobody knows
    """
    unknown = sum(_unnamed(shift) for shift in shifts)
    verdicts = [Verdict("unknown", NAMELESS, 0.0)]
    for cause in domain.causes:
        if cause.name != "unknown" and level in cause.levels:
            fit = sum(_fit(cause, shift) for shift in shifts)
            verdicts.append(Verdict(cause.name, fit - unknown, _settings(cause, settings)))
    return max(verdicts, key=lambda verdict: verdict.shifts + verdict.settings)


def _unnamed(shift: Shift) -> float:
    moved = _log_normal(shift.log, 0.0, shift.log_sd**2 + ANY**2)
    still = _log_normal(shift.log, 0.0, shift.log_sd**2 + STILL**2)
    return float(np.logaddexp(math.log(MOVES) + moved, math.log(1.0 - MOVES) + still))


def _fit(cause: CauseType, shift: Shift) -> float:
    usual = max(cause.signature.get(shift.channel, 0.0), DEEPEST)
    return _log_normal(shift.log, usual, shift.log_sd**2 + (STRENGTH * usual) ** 2 + STILL**2)


def _settings(cause: CauseType, settings: Settings | None) -> float:
    if settings is None:
        return 0.0
    odds = 0.0
    for name, sign in cause.settings.items():
        before, after = settings.get(name, (0.0, 0.0))
        moved = np.sign(after - before)
        odds += CHANGED if moved == sign else STAYED if moved == 0 else OPPOSITE
    return odds


def _log_normal(value: float, mean: float, variance: float) -> float:
    return -0.5 * ((value - mean) ** 2 / variance + math.log(variance))


def told(
    domain: Domain, cause: str, shifts: Sequence[Shift], settings: Settings | None, since: str
) -> list[str]:
    """The shifts and settings in words, what the cause is known by first: "Impressions −61 % (±4) since 9 Mar"."""
    signature = domain.cause(cause).signature
    ordered = sorted(shifts, key=lambda shift: shift.channel not in signature)
    labels = {metric.name: metric.label for metric in domain.metrics}
    labels |= {ratio.name: ratio.label for ratio in domain.ratios}
    said = [
        f"{labels.get(shift.channel, shift.channel)} {percent(shift.change)} (±{100 * shift.sd:.0f}) since {since}"
        for shift in ordered
    ]
    said += [
        f"{name.replace('_', ' ').capitalize()} set from {before:g} to {after:g}"
        for name, (before, after) in (settings or {}).items()
        if before != after
    ]
    return said


def percent(change: float) -> str:
    """A relative change with a real minus sign: −61 %, +120 %."""
    return f"{'−' if change < 0 else '+'}{abs(100 * change):.0f} %"


def day(label: np.datetime64) -> str:
    """9 Mar."""
    date = label.astype("datetime64[D]").item()
    return f"{date.day} {date:%b}"
