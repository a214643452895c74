"""Which word of a domain's cause vocabulary fits the shift that a node shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.contracts import Floats
from core.domain import CauseType, Domain

# Spread, in log units, of how strongly a cause of one type hits (relative to its signature), of a channel that a
# cause leaves alone, and of one that an unnamed cause moves, as it does every third.
STRENGTH, STILL, ANY, MOVES = 0.4, 0.12, 1.0, 1 / 3
# Log odds that a setting gives: seen to change as the type says; seen to stay; seen to change the other way.
CHANGED, STAYED, OPPOSITE = 6.0, -2.0, -6.0
NAMELESS = -4.0  # log odds of a cause outside the vocabulary
DEEPEST = math.log(0.02)
UNKNOWN = "unknown"

Settings = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Shift:
    """Estimated relative change of one channel (−0.6 = 60 % less) and its standard deviation."""

    channel: str
    change: float
    sd: float


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
    channels = [shift.channel for shift in shifts]
    change, sd = np.array([(shift.change, shift.sd) for shift in shifts]).reshape(-1, 2).T[:, None]
    words, odds = fits(domain, level, channels, change, sd)
    causes = {cause.name: cause for cause in domain.causes}
    verdicts = [
        Verdict(word, fit, _settings(causes[word], settings) if word != UNKNOWN else 0.0)
        for word, fit in zip(words, odds[0].tolist(), strict=True)
    ]
    return max(verdicts, key=lambda verdict: verdict.shifts + verdict.settings)


def fits(
    domain: Domain, level: str, channels: Sequence[str], change: Floats, sd: Floats
) -> tuple[tuple[str, ...], Floats]:
    """The words for a cause at a level, `UNKNOWN` first, and (n, n_word) log odds of each against any change at all.

    change, sd : (n, n_channel) relative changes and their standard deviations
    """
    log = np.maximum(np.log(np.maximum(1.0 + change, 1e-9)), DEEPEST)
    variance = (sd / np.maximum(1.0 + change, 0.2)) ** 2
    unnamed = np.logaddexp(
        math.log(MOVES) + _log_normal(log, variance + ANY**2),
        math.log(1.0 - MOVES) + _log_normal(log, variance + STILL**2),
    ).sum(axis=1)
    causes = [one for one in domain.causes if one.name != UNKNOWN and level in one.levels]
    usual = np.array([[one.signature.get(name, 0.0) for name in channels] for one in causes])
    usual = np.maximum(usual.reshape(len(causes), len(channels)), DEEPEST)
    spread = variance[:, None] + (STRENGTH * usual) ** 2 + STILL**2
    named = _log_normal(log[:, None] - usual, spread).sum(axis=2) - unnamed[:, None]
    nameless = np.full((len(change), 1), NAMELESS)
    return (UNKNOWN, *(one.name for one in causes)), np.concatenate([nameless, named], axis=1)


def _log_normal(off: Floats, variance: Floats) -> Floats:
    return np.asarray(-0.5 * (off**2 / variance + np.log(variance)))


def _settings(cause: CauseType, settings: Settings | None) -> float:
    if settings is None:
        return 0.0
    odds = 0.0
    for name, sign in cause.settings.items():
        before, after = settings.get(name, (0.0, 0.0))
        moved = np.sign(after - before)
        odds += CHANGED if moved == sign else STAYED if moved == 0 else OPPOSITE
    return odds


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
