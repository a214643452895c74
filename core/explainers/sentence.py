"""An attribution said in one plain sentence, with numbers and units."""

from __future__ import annotations

import numpy as np

from core.contracts import Attribution, Domain, Floats, Panel

BAND = 1.2816
"""Standard deviations on either side that hold 80 % of normal days."""
USUAL = 2.0
"""Standard deviations within which a metric is called as usual."""
LASTING = 0.1
"""Share of its metric's weight from which a day counts as part of the change."""
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "CAD": "CA$", "MXN": "MX$"}


def sentence(
    attribution: Attribution,
    observed: Panel,
    expected: Panel,
    spread: Floats,
    domain: Domain,
    currency: str = "",
) -> str:
    """What changed most, from what to what, when, and how much of the score that is.

    observed, expected : panels that hold the entity and the days, with the metrics that the channels of
    the attribution are or are ratios of; spread : standard deviations shaped like `expected`

    The band of a ratio is that of its numerator beyond its denominator, at the expected volume.
    """
    weight = attribution.shares.sum(axis=0)
    if weight.max(initial=0.0) <= 0:
        return "No single metric stands out."
    top = int(weight.argmax())
    within = attribution.shares[:, top] / weight[top]
    day = int(within.argmax())
    told = _Day(attribution, observed, expected, spread, domain, day)
    name = attribution.metrics[top]
    first = int(np.argmax(within >= LASTING))
    since = f" (since {_date(attribution.days[first])})" if first < day else ""
    score = attribution.score - attribution.base
    part = (
        f"this makes up {min(weight[top] / max(score, weight[top]), 1.0):.0%} of the score".replace(
            "%", " %"
        )
    )

    pieces = [f"{_change(told, name, currency, since)}; {part}"]
    others = [
        f"{told.label(other)} ({weight[index] / max(score, weight[index]):.0%})".replace("%", " %")
        for index, other in enumerate(attribution.metrics)
        if index != top and weight[index] >= 0.15 * score
    ]
    if others:
        pieces.append(f"with {_list(others)}")
    usual = [
        told.label(other)
        for index, other in enumerate(attribution.metrics)
        if weight[index] < 0.15 * score and told.usual(other)
    ]
    if usual:
        pieces.append(f"{_list(usual)} as usual")
    text = "; ".join(pieces) + "."
    wasted = told.spend_without_revenue()
    if wasted:
        text += f" {_amount(wasted, 'money', currency)} of spend without sales."
    return text[0].upper() + text[1:]


class _Day:
    """Observed, expected and spread of one entity's day, by the name of a metric or a ratio."""

    def __init__(
        self,
        attribution: Attribution,
        observed: Panel,
        expected: Panel,
        spread: Floats,
        domain: Domain,
        day: int,
    ) -> None:
        self.domain = domain
        self.label_of_day = attribution.days[day]
        row = expected.row_of[attribution.entity]
        column = int(np.searchsorted(expected.periods.labels, self.label_of_day))
        here = observed.select(metrics=expected.metrics).values[observed.row_of[attribution.entity]]
        seen = int(np.searchsorted(observed.periods.labels, self.label_of_day))
        self.observed = dict(zip(expected.metrics, here[seen], strict=True))
        self.expected = dict(zip(expected.metrics, expected.values[row, column], strict=True))
        self.spread = dict(zip(expected.metrics, spread[row, column], strict=True))
        self.ratios = {ratio.name: ratio for ratio in domain.ratios}

    def label(self, name: str) -> str:
        label = self.ratios[name].label if name in self.ratios else self.domain.metric(name).label
        return label if label.isupper() else label[0].lower() + label[1:]

    def unit(self, name: str) -> str:
        return self.ratios[name].unit if name in self.ratios else self.domain.metric(name).unit

    def numbers(self, name: str) -> tuple[float, float, float]:
        """Observed, expected, standard deviation."""
        ratio = self.ratios.get(name)
        if ratio is None:
            return self.observed[name], self.expected[name], self.spread[name]
        seen, usual = ratio.of(
            np.array([self.observed[ratio.numerator], self.expected[ratio.numerator]]),
            np.array([self.observed[ratio.denominator], self.expected[ratio.denominator]]),
        ).tolist()
        above, below = (
            np.divide(self.spread[of], self.expected[of]) ** 2 if self.expected[of] else np.nan
            for of in (ratio.numerator, ratio.denominator)
        )
        return seen, usual, usual * float(np.sqrt(max(above - below, 0.0)))

    def usual(self, name: str) -> bool:
        seen, usual, deviation = self.numbers(name)
        return bool(abs(seen - usual) <= USUAL * deviation)

    def spend_without_revenue(self) -> float:
        """The day's spend where it brought nothing although something was due, else 0."""
        spend, revenue = self.domain.spend, self.domain.revenue
        if not {spend, revenue} <= set(self.observed) or self.observed[revenue] != 0:
            return 0.0
        due = self.expected[revenue] > BAND * self.spread[revenue]
        return float(self.observed[spend]) if due and self.observed[spend] > 0 else 0.0


def _change(told: _Day, name: str, currency: str, since: str) -> str:
    seen, usual, deviation = told.numbers(name)
    label, unit, when = told.label(name), told.unit(name), _date(told.label_of_day)
    if not np.isfinite(seen):
        return f"{label} can not be told on {when}{since}"
    if not np.isfinite(usual) or usual <= 0:
        return f"{label} stood at {_amount(seen, unit, currency)} on {when}{since}, with nothing to expect yet"
    ratio = seen / usual
    if ratio >= 3:
        against = f"{ratio:.1f} times the expected"
    else:
        against = f"{abs(ratio - 1):.0%} {'above' if ratio >= 1 else 'below'} the expected".replace(
            "%", " %"
        )
    low, high = max(usual - BAND * deviation, 0.0), usual + BAND * deviation
    band = f"{_amount(low, unit, currency)}–{_amount(high, unit, currency)}"
    verb = "rose" if ratio >= 1 else "fell"
    return (
        f"{label} {verb} to {_amount(seen, unit, currency)} on {when}{since}, {against} "
        f"{_amount(usual, unit, currency)} (80 % band {band})"
    )


def _amount(value: float, unit: str, currency: str) -> str:
    if unit == "money":
        symbol = SYMBOLS.get(currency, f"{currency} " if currency else "")
        return f"{symbol}{value:,.0f}" if abs(value) >= 1000 else f"{symbol}{value:,.2f}"
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit == "count":
        return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"
    return f"{value:.2f}"


def _date(day: np.datetime64) -> str:
    date = day.astype("datetime64[s]").item()
    return f"{date.day} {date:%b}"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
