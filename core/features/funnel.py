"""The advertising funnel: what each entity's day should have brought, and how far off it was.

impressions → clicks → spend and orders → sales. Each link is judged given the one before it, as a count
with its exposure, never as a ratio of small numbers: clicks given impressions, orders given clicks times
the share of orders that has arrived by now. So one broken link shows in one channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.cases import Graph
from core.contracts import Bools, Floats, Panel
from core.errors import NotEnoughDataError
from core.features.cycle import weekday
from core.features.maturity import Maturity
from core.features.noise import learn_noise
from core.features.season import delayed, season, trailing

CAP = 15.0
"""Standard deviations beyond which one residual is as odd as another."""
FLAGGED = 4.0
"""A past day this many standard deviations off does not teach what is normal …"""
NEW_NORMAL = 14
"""… unless as many days before it were off as well: what lasts becomes normal."""
SURPRISE = 5.0
"""A thin day speaks nevertheless when its count is this many times what would make it thick."""


@dataclass(frozen=True)
class Link:
    """One channel: `numerator` given `exposure`, as a rate.

    counted : the numerator is a count (else money, judged on the log scale)
    least   : expected count (or exposure of money) below which a day says too little
    promo   : sign of the deviation that an announced promotion explains
    """

    name: str
    numerator: str
    exposure: str
    counted: bool
    least: float
    promo: int


LINKS = (
    Link("impressions", "impressions", "", True, 5.0, +1),
    Link("ctr", "clicks", "impressions", True, 1.0, +1),
    Link("cpc", "cost", "clicks", False, 3.0, +1),
    Link("cvr", "orders", "clicks", True, 1.0, +1),
    Link("aov", "sales", "orders", False, 2.0, -1),
)
CHANNELS = tuple(link.name for link in LINKS)
FUNNEL = tuple(link.numerator for link in LINKS)


@dataclass(frozen=True, eq=False)
class Baseline:
    """What was to be expected of every entity and day, from the days well before it.

    rates    : per channel (n_entity, n_time), expected impressions, then expected rates; NaN = too early
    extra    : per channel, same shape, 1 / events behind the rate
    scale    : per channel, same shape, how much more (or less) unrest this entity shows than its like
    noise    : per channel (n_level, 2), coefficients (a, b) of `learn_noise`
    level    : (n_entity,) index into the levels of `noise`
    settled  : share of each funnel metric that has arrived, (n_entity, n_time), by name; absent = all
    expected_days : days for which the calendar announces a promotion
    gap      : days before each day that did not teach its expectation
    """

    rates: tuple[Floats, ...]
    extra: tuple[Floats, ...]
    scale: tuple[Floats, ...]
    noise: tuple[Floats, ...]
    level: NDArray[np.intp]
    settled: dict[str, Floats]
    expected_days: Bools
    gap: int


def fit_baseline(
    panel: Panel,
    *,
    graph: Graph | None = None,
    maturity: Maturity | None = None,
    as_of: np.datetime64 | None = None,
    expected_days: Bools | None = None,
    excluded: Bools | None = None,
    gap: int | None = None,
    memory: float = 28.0,
) -> Baseline:
    """Learn what is normal from each entity's own past, its parents and its account.

    panel         : the `FUNNEL` metrics of all levels; NaN = not delivered
    graph         : gives parents (sparse entities lean on them) and accounts (weekday and trend)
    as_of         : day of the download, by default the morning after the panel's last day
    expected_days : (n_entity, n_time) announced promotions, which neither teach nor alarm
    excluded      : (n_entity, n_time) days known to be bad (faulty files, labelled incidents)
    gap           : the expectation of a day comes from days more than `gap` before it, so that a change
                    stays visible that long instead of becoming normal; 14, less on short histories
    memory        : time constant of forgetting, days

    Raises NotEnoughDataError below 8 days. Cost: linear in the panel.
    """
    n_entity, n_time = len(panel.entities), len(panel.periods)
    gap = min(14, n_time // 5) if gap is None else gap
    least_days = max(min(7, n_time - gap - 1), min(14, n_time // 5))
    if n_time < 8:
        raise NotEnoughDataError.of(
            "detect",
            "days of figures",
            "at least 8, better 60",
            n_time,
            "Import more history: reports reach back 95 days.",
        )
    nothing = np.zeros((n_entity, n_time), dtype=bool)
    expected_days = nothing if expected_days is None else expected_days
    blind = expected_days if excluded is None else expected_days | excluded
    lineage = _lineage(panel, graph)
    settled = _settled(panel, maturity, as_of, lineage)

    delivered = np.isfinite(panel.metric(FUNNEL[0])) & ~blind
    enough = delayed(np.cumsum(delivered, axis=1).astype(np.float64), gap + 1) >= least_days

    rates, extras, scales, noises = [], [], [], []
    for link in LINKS:
        count, exposure = _given(panel, link, settled)
        seen = np.isfinite(count) & np.isfinite(exposure) & (exposure > 0) & ~blind
        weight = seen
        if not link.exposure:
            steady, ahead = _steady(count, seen, lineage, panel, memory, gap)
        # once to find the days that are off, once more without them
        for _ in range(2):
            teaches = seen & weight
            y = np.where(teaches, count, 0.0)
            x = np.where(teaches, exposure if link.exposure else steady, 0.0)
            rate, extra = _rate(y, x, link, lineage, memory, gap)
            if not link.exposure:
                rate = rate * steady * ahead
            rate = np.where(enough, rate, np.nan)
            volume, square = _deviation(link, count, exposure, rate)
            usable = seen & np.isfinite(square) & (volume >= link.least)
            # the newest days, which may hold an incident, do not tell how much unrest is normal
            past = np.s_[:, : n_time - gap]
            noise = learn_noise(
                volume[past],
                square[past],
                extra[past],
                usable[past],
                lineage.level,
                float(link.counted),
            )
            a, b = _columns(noise[lineage.level])
            # in place of the residual itself, which costs five times as much
            unrest = square / (a * (1.0 + extra * volume) + b * volume)
            weight = _teaching(unrest > FLAGGED**2)
        rates.append(rate)
        extras.append(extra)
        noises.append(noise)
        scales.append(_scale(unrest, usable, memory, gap))
    return Baseline(
        tuple(rates),
        tuple(extras),
        tuple(scales),
        tuple(noises),
        lineage.level,
        settled,
        expected_days,
        gap,
    )


def residuals(panel: Panel, baseline: Baseline) -> Panel:
    """How many standard deviations each channel of each day is off, (n_entity, n_time, 5), within ±15.

    About standard normal on normal days; + is more than expected. NaN: not delivered, too early, too
    thin to say anything, or off in the direction that an announced promotion explains.
    """
    columns = []
    for index, link in enumerate(LINKS):
        count, exposure = _given(panel, link, baseline.settled)
        rate, extra = baseline.rates[index], baseline.extra[index]
        noise = baseline.noise[index][baseline.level]
        z = _standardised(link, count, exposure, rate, extra, noise) / baseline.scale[index]
        volume = exposure * rate if link.counted else exposure
        with np.errstate(invalid="ignore"):
            loud = (volume >= link.least) | (link.counted & (count >= SURPRISE * link.least))
            silent = ~loud | (baseline.expected_days & (z * link.promo > 0))
        columns.append(np.where(silent, np.nan, np.clip(z, -CAP, CAP)))
    return panel.with_values(np.stack(columns, axis=-1), CHANNELS)


def expected(panel: Panel, baseline: Baseline) -> tuple[Panel, Floats]:
    """Expected impressions, clicks, cost, orders and sales as they should stand in the panel by now
    (sales still on their way are left out), and the standard deviation of observed − expected.

    Both (n_entity, n_time, 5), in the panel's units; relative variances add up along the funnel. Where an
    announced promotion explains the deviation, the observed value is the expected one.
    """
    middle: dict[str, Floats] = {}
    variance: dict[str, Floats] = {}
    values, spreads = [], []
    ones = np.ones(panel.values.shape[:2])
    for index, link in enumerate(LINKS):
        settled = baseline.settled.get(link.numerator, ones)
        exposure = middle.get(link.exposure, ones)
        middle[link.numerator] = exposure * baseline.rates[index]
        now = middle[link.numerator] * settled
        # conversions given clicks, whatever the delay of the link before
        volume = now if link.counted else exposure * baseline.settled.get(link.exposure, ones)
        a, b = _columns(baseline.noise[index][baseline.level])
        relative = a / np.maximum(volume, 1e-9) + b + a * baseline.extra[index]
        variance[link.numerator] = (
            variance.get(link.exposure, 0.0) + relative * baseline.scale[index] ** 2
        )
        values.append(now)
        spreads.append(now * np.sqrt(variance[link.numerator]))
    middles = np.stack(values, axis=-1)
    observed = panel.select(metrics=FUNNEL).values
    with np.errstate(invalid="ignore"):
        announced = baseline.expected_days[:, :, None] & (observed > middles)
    return panel.with_values(np.where(announced, observed, middles), FUNNEL), np.stack(
        spreads, axis=-1
    )


# ── The parts ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Lineage:
    """parent (n_entity,) row or −1; ranks: rows by depth, parents first; level, account: index; accounts: ids."""

    parent: NDArray[np.intp]
    ranks: tuple[NDArray[np.intp], ...]
    level: NDArray[np.intp]
    account: NDArray[np.intp]
    accounts: tuple[str, ...]


def _lineage(panel: Panel, graph: Graph | None) -> _Lineage:
    row_of = panel.row_of
    levels = [entity.partition(":")[0] for entity in panel.entities]
    if graph is None:
        parent = np.full(len(panel.entities), -1, dtype=np.intp)
    else:
        net = graph.net
        parent = np.array(
            [
                next((row_of[up] for up in net.pred.get(entity, ()) if up in row_of), -1)
                for entity in panel.entities
            ],
            dtype=np.intp,
        )
        levels = [
            str(net.nodes.get(entity, {}).get("level", level))
            for entity, level in zip(panel.entities, levels, strict=True)
        ]
    depth = np.zeros(len(parent), dtype=np.intp)
    root = np.arange(len(parent))
    above = parent
    while (above >= 0).any():
        depth += above >= 0
        root = np.where(above >= 0, above, root)
        above = np.where(above >= 0, parent[above], -1)
    ranks = tuple(np.flatnonzero(depth == step) for step in range(int(depth.max()) + 1))
    if graph is None:
        root = np.zeros_like(root)
    roots, account = np.unique(root, return_inverse=True)
    _, level = np.unique(np.array(levels), return_inverse=True)
    return _Lineage(
        parent,
        ranks,
        level.astype(np.intp),
        account.astype(np.intp),
        tuple(panel.entities[row] for row in roots),
    )


def _settled(
    panel: Panel, maturity: Maturity | None, as_of: np.datetime64 | None, lineage: _Lineage
) -> dict[str, Floats]:
    if maturity is None or not maturity.metrics:
        return {}
    as_of = panel.periods.labels[-1] + np.timedelta64(1, "D") if as_of is None else as_of
    groups = [lineage.accounts[index] for index in lineage.account]
    return {
        metric: maturity.shares(panel, metric, as_of, groups)
        for metric in FUNNEL
        if metric in maturity.metrics
    }


def _given(panel: Panel, link: Link, settled: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Observed numerator, and the exposure of which `rate` times as much should be there by now."""
    count = panel.metric(link.numerator)
    if not link.exposure:
        return count, np.ones_like(count)
    exposure = panel.metric(link.exposure)
    if link.numerator in settled:
        exposure = exposure * settled[link.numerator]
    if link.exposure in settled:
        exposure = exposure / settled[link.exposure]
    return count, exposure


def _steady(
    count: Floats, seen: Bools, lineage: _Lineage, panel: Panel, memory: float, gap: int
) -> tuple[Floats, Floats]:
    """Weekday factor of every entity's days, and the growth between what taught and the day itself."""
    weekdays = weekday(panel.periods.labels)
    factor, growth = season(
        np.where(seen, count, 0.0), seen, lineage.account, weekdays, memory, gap + 1
    )
    # mean age of what an exponential memory has seen so far, plus the gap
    day = np.arange(count.shape[1], dtype=np.float64)
    age = trailing(day * 0 + 1, memory, gap + 1)
    lag = day - trailing(day, memory, gap + 1) / np.maximum(age, 1.0)
    ahead = np.exp(np.clip(growth * lag, -0.3, 0.3))
    return factor[lineage.account], ahead[lineage.account]


def _rate(
    y: Floats, x: Floats, link: Link, lineage: _Lineage, memory: float, gap: int
) -> tuple[Floats, Floats]:
    """Fading ratio of sums, pulled to the parent's where there is little, and 1 / events behind it."""
    y, x = trailing(y, memory, gap + 1), trailing(x, memory, gap + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = y / x
        if not link.exposure:
            # a level has no rate in common with its parent; the learned noise holds its own error
            return rate, np.zeros_like(rate)
        strength = _strength(rate[:, -1], y[:, -1] if link.counted else x[:, -1], lineage.parent)
        events = y if link.counted else x
        for rows in lineage.ranks[1:]:
            above = rate[lineage.parent[rows]]
            lean = strength if not link.counted else strength / above
            pulled = (y[rows] + lean * above) / (x[rows] + lean)
            rate[rows] = np.where(np.isfinite(above) & (above > 0), pulled, rate[rows])
        return rate, 1.0 / (events + np.where(lineage.parent >= 0, strength, 0.0)[:, None] + 1.0)


def _strength(rate: Floats, events: Floats, parent: NDArray[np.intp]) -> float:
    """How many events a parent's rate is worth: 1 / relative variance between siblings (moments)."""
    child = (parent >= 0) & (events >= 20) & np.isfinite(rate)
    ratio = rate[child] / rate[parent[child]]
    ratio, sampling = ratio[np.isfinite(ratio)], 1.0 / events[child][np.isfinite(ratio)]
    if len(ratio) < 10:
        return 10.0
    between = np.minimum((ratio - 1.0) ** 2, 4.0) - sampling
    return 1.0 / float(np.clip(between.mean(), 0.01, 2.0))


def _deviation(link: Link, count: Floats, exposure: Floats, rate: Floats) -> tuple[Floats, Floats]:
    """Volume that the spread grows with, and squared deviation per volume (see `learn_noise`)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if link.counted:
            volume = exposure * rate
            return volume, (count - volume) ** 2 / volume
        # a·x + b·x² of a log ratio: variance a/x + b
        return exposure, exposure * np.log(count / exposure / rate) ** 2


def _standardised(
    link: Link, count: Floats, exposure: Floats, rate: Floats, extra: Floats, noise: Floats
) -> Floats:
    """Deviation on the scale where its variance is 1.

    Counts: the variance-stabilising arc-hyperbolic sine for variance a·μ + c·μ² (Anscombe 1948, section
    4, with 3/8 added), c = b + a · extra, which keeps the long right tail of small counts and total losses in proportion.
    Money per event: log ratio over sqrt(a / events + c), its tail, heavy where a few unlike events make
    the mean, brought in as that of Student's t with events + 2 degrees of freedom (Wallace 1959).
    """
    a, b = _columns(noise)
    c = np.maximum(b + a * extra, 1e-6)
    with np.errstate(divide="ignore", invalid="ignore"):
        if link.counted:
            shift = 0.375 * a
            root = np.sqrt(c / a)
            observed = np.arcsinh(root * np.sqrt(count + shift))
            middle = np.arcsinh(root * np.sqrt(exposure * rate + shift))
            return np.asarray(2.0 / np.sqrt(c) * (observed - middle))
        deviation = np.log(count / exposure / rate) / np.sqrt(a / exposure + c)
        freedom = exposure + 2.0
        tamed = np.sign(deviation) * np.sqrt(freedom * np.log1p(deviation**2 / freedom))
        return np.where(np.isfinite(deviation), tamed, np.nan)


def _teaching(off: Bools) -> Bools:
    """Days that were not off, or that end a run of more than `NEW_NORMAL` such days."""
    so_far = np.cumsum(off, axis=1)
    before_run = np.maximum.accumulate(np.where(off, 0, so_far), axis=1)
    return ~off | (so_far - before_run > NEW_NORMAL)


def _columns(noise: Floats) -> tuple[Floats, Floats]:
    """(n_entity, 2) → a and b, (n_entity, 1) each."""
    return noise[:, :1], noise[:, 1:]


def _scale(unrest: Floats, usable: Bools, memory: float, gap: int) -> Floats:
    """An entity's own unrest: fading root mean square of past deviations, cut at 3, shrunk to 1 by 28 days."""
    square = np.where(usable, np.minimum(unrest, 9.0), 0.0)
    days = trailing(usable.astype(np.float64), 2.0 * memory, gap + 1)
    return np.sqrt((trailing(square, 2.0 * memory, gap + 1) + 28.0) / (days + 28.0))
