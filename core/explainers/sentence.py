"""An attribution said in one plain sentence, with numbers and units."""

from __future__ import annotations

import numpy as np

from core.contracts import DAY, Attribution, Floats, Panel
from core.domain import Domain
from core.quantities import amount

BAND = 1.2816
"""Standard deviations on either side that hold 80 % of normal days."""
USUAL = 2.0
"""Standard deviations within which a metric is called as usual."""
NOTABLE = 0.15
"""Share of the score from which a metric is worth a mention."""
MOST_USUAL = 4
"""Metrics that are said to be as usual."""


def sentence(
    attribution: Attribution,
    observed: Panel,
    expected: Panel,
    spread: Floats,
    domain: Domain,
    currency: str = "",
) -> str:
    """What changed most, from what to what, when, and how much of the score that is.

    observed, expected : panels over the same days that hold the entity, with the metrics that the
    channels of the attribution are or are ratios of; spread : standard deviations shaped like `expected`

    The band of a ratio is that of its numerator beyond its denominator, at the expected volume.
    """
    weight = attribution.shares.sum(axis=0)
    if weight.max(initial=0.0) <= 0:
        return "No single metric stands out."
    top = int(weight.argmax())
    day = int(attribution.shares[:, top].argmax())
    told = _Window(attribution, observed, expected, spread, domain, day)
    share = weight / max(attribution.score - attribution.base, weight[top])
    names = attribution.metrics

    pieces = [
        _change(told, names[top], currency),
        f"this makes up {_percent(share[top])} of the score",
    ]
    others = [
        f"{told.label(name)} ({_percent(part)})"
        for name, part in zip(names, share, strict=True)
        if name != names[top] and part >= NOTABLE
    ]
    if others:
        pieces.append(f"with {_list(others)}")
    usual = [
        told.label(name)
        for name, part in zip(names, share, strict=True)
        if part < NOTABLE and told.usual(name)
    ]
    if usual:
        pieces.append(f"{_list(usual[:MOST_USUAL])} as usual")
    text = "; ".join(pieces) + "."
    wasted = told.spend_without_revenue()
    if wasted:
        text += f" {amount(wasted, 'money', currency)} of spend without sales."
    return text[0].upper() + text[1:]


class _Window:
    """Observed, expected and spread of one entity on the days of an attribution, and the day to speak of."""

    def __init__(
        self,
        attribution: Attribution,
        observed: Panel,
        expected: Panel,
        spread: Floats,
        domain: Domain,
        day: int,
    ) -> None:
        self.days, self.day, self.domain = attribution.days, day, domain
        self.step = observed.periods.step
        self.ratios = {ratio.name: ratio for ratio in domain.ratios}
        self.observed = self._cut(observed, observed.values, attribution.entity)
        self.expected = self._cut(expected, expected.values, attribution.entity)
        self.spread = self._cut(expected, spread, attribution.entity)

    def _cut(self, panel: Panel, values: Floats, entity: str) -> dict[str, Floats]:
        """Metric → (n_day,), NaN before the panel's first day."""
        column = np.searchsorted(panel.periods.labels, self.days)
        inside = (self.days >= panel.periods.labels[0])[:, None]
        cut = np.where(inside, values[panel.row_of[entity], column], np.nan)
        return dict(zip(panel.metrics, cut.T, strict=True))

    def label(self, name: str) -> str:
        label = self.ratios[name].label if name in self.ratios else self.domain.metric(name).label
        return label if label[:2].isupper() else label[0].lower() + label[1:]

    def unit(self, name: str) -> str:
        return self.ratios[name].unit if name in self.ratios else self.domain.metric(name).unit

    def numbers(self, name: str) -> tuple[Floats, Floats, Floats]:
        """Observed, expected, standard deviation, (n_day,) each."""
        ratio = self.ratios.get(name)
        if ratio is None:
            return self.observed[name], self.expected[name], self.spread[name]
        above, below = ratio.numerator, ratio.denominator
        usual = ratio.of(self.expected[above], self.expected[below])
        with np.errstate(divide="ignore", invalid="ignore"):
            both = (self.spread[above] / self.expected[above]) ** 2
            shared = (self.spread[below] / self.expected[below]) ** 2
        deviation = usual * np.sqrt(np.maximum(both - shared, 0.0))
        return ratio.of(self.observed[above], self.observed[below]), usual, deviation

    def usual(self, name: str) -> bool:
        seen, usual, deviation = (values[self.day] for values in self.numbers(name))
        return bool(abs(seen - usual) <= USUAL * deviation)

    def since(self, name: str) -> str:
        """The first day of the run outside the band that ends on the day, unless it is that day."""
        seen, usual, deviation = self.numbers(name)
        with np.errstate(invalid="ignore"):
            side = np.sign(seen - usual) * (np.abs(seen - usual) > BAND * deviation)
        first = self.day
        while first > 0 and side[first - 1] == side[self.day] != 0:
            first -= 1
        return f" (since {self.when(first)})" if first < self.day else ""

    def when(self, place: int) -> str:
        """ "9 Mar", or "14:05" where periods are shorter than a day."""
        moment = self.days[place].astype("datetime64[s]").item()
        return f"{moment:%H:%M}" if self.step < DAY else f"{moment.day} {moment:%b}"

    def spend_without_revenue(self) -> float:
        """The day's spend where it brought nothing although something was due, else 0."""
        spend, revenue = self.domain.spend, self.domain.revenue
        if not {spend, revenue} <= self.observed.keys() or self.observed[revenue][self.day] != 0:
            return 0.0
        due = self.expected[revenue][self.day] > BAND * self.spread[revenue][self.day]
        return float(self.observed[spend][self.day]) if due else 0.0


def _change(told: _Window, name: str, currency: str) -> str:
    seen, usual, deviation = (float(values[told.day]) for values in told.numbers(name))
    label, unit = told.label(name), told.unit(name)
    when = f"{'at' if told.step < DAY else 'on'} {told.when(told.day)}{told.since(name)}"
    if not np.isfinite(seen):
        return f"{label} can not be told {when}"
    if not np.isfinite(usual) or usual <= 0:
        return f"{label} stood at {amount(seen, unit, currency)} {when}, with nothing to expect yet"
    ratio = seen / usual
    if ratio >= 3:
        against = f"{ratio:.1f} times the expected"
    else:
        against = f"{_percent(abs(ratio - 1))} {'above' if ratio >= 1 else 'below'} the expected"
    low, high = max(usual - BAND * deviation, 0.0), usual + BAND * deviation
    band = f"{amount(low, unit, currency)}–{amount(high, unit, currency)}"
    verb = "rose" if ratio >= 1 else "fell"
    return (
        f"{label} {verb} to {amount(seen, unit, currency)} {when}, {against} "
        f"{amount(usual, unit, currency)} (80 % band {band})"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
