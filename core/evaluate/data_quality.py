"""Is what was measured good enough to learn from: figures of the series in, a verdict per question out.

Each question gives a `Check` with its figure, its rule, what was found where, and what to do about it. A fence is
Tukey's (Exploratory Data Analysis, 1977, ch. 2): 1.5 interquartile ranges beyond a quartile, 3 for what is far out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats
from core.quantities import amount

State = Literal["pass", "warn", "fail", "untested"]
STATES: tuple[State, ...] = ("fail", "warn", "pass", "untested")
"""The worst first."""
COMPLETE = 0.95
"""Share of the expected metrics' time that must be there."""
REGULAR, TOLERANCE = 0.98, 5.0
"""Share of the steps between samples that must keep within so many seconds of the usual one."""
MISSING, LONG = 0.05, 10
"""Share of the samples that may be missing between others; usual steps from which on a hole is told of by itself."""
OUTLYING = 0.05
"""Share of samples that may lie beyond the inner fences."""
LONE, TOO_LONE = 0.005, 0.02
"""Share of a metric's samples that may be far out alone, with calm ones before and after: an incident lasts."""
ABSURD, TOO_ABSURD = 30.0, 0.001
"""How many times a quartile a lone sample is to be no measurement but an error; share of a metric's that may be so."""
UNEVEN = 3.0
"""Labels of the most common cause over those of the rarest from which on they are out of balance."""
REPEATED = 0.01
"""Share of an import's rows that may say again what another row of it says."""
FEW = 50
"""Samples below which a group is not judged by itself."""
NAMED = 12
"""Findings that a check tells of."""


@dataclass(frozen=True)
class Finding:
    """Where something was found, and what."""

    where: str
    message: str


@dataclass(frozen=True)
class Check:
    """One question: its state, its figure (a share, a ratio or seconds; None where there is none), and its rule.

    message : what was found, in a sentence; cure: what to do, "" where all is well
    """

    name: str
    title: str
    state: State
    figure: float | None
    rule: str
    message: str
    cure: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class Series:
    """A row per series, (n_series,) each. Moments are seconds since 1970, UTC.

    usual   : its median step in seconds, NaN below two samples
    uneven  : steps that are more than TOLERANCE seconds from the usual one
    missing : samples that its holes would have held
    beyond  : samples outside the inner fences; lone: far out, while those before and after are not
    absurd  : lone ones many times as large as a quartile, or below zero where both quartiles are above it
    worst, worst_at : the lone sample that is farthest out, NaN without one
    """

    entity: NDArray[np.object_]
    metric: NDArray[np.object_]
    samples: NDArray[np.int64]
    first: Floats
    last: Floats
    usual: Floats
    uneven: NDArray[np.int64]
    missing: NDArray[np.int64]
    beyond: NDArray[np.int64]
    lone: NDArray[np.int64]
    absurd: NDArray[np.int64]
    worst: Floats
    worst_at: Floats

    @property
    def steps(self) -> NDArray[np.int64]:
        """(n_series,) steps between samples."""
        return np.maximum(self.samples - 1, 0)


@dataclass(frozen=True)
class Hole:
    """A stretch without samples, from the last one before to the first one after, and the series it is in."""

    start: float
    end: float
    series: int
    missing: int
    example: str


def worst(checks: Iterable[Check]) -> State:
    """The state of all together: the worst; what could not be looked at weighs nothing beside what could."""
    states = {check.state for check in checks}
    return next((state for state in STATES if state in states), "untested")


def untested(name: str, title: str, rule: str, why: str, cure: str = "") -> Check:
    """A question that cannot be asked of this data, and why."""
    return Check(name, title, "untested", None, rule, why, cure)


# ── Is everything there ──────────────────────────────────────────────────────────────────────────


def completeness(
    names: Sequence[str],
    shares: Floats,
    due: Floats | None = None,
    thing: str = "expected metric",
) -> Check:
    """How much of what is expected is there; shares (n_name, n_period), NaN where nothing is expected yet.

    due : (n_period,) how much each period weighs; all alike where it is None

    A metric that is missing altogether is told of even where all together are complete enough.
    """
    name, title = "completeness", f"Are the {thing}s there?"
    rule = f"at least {COMPLETE:.0%} of every {thing}'s time"
    if not len(names) or not np.isfinite(shares).any():
        return untested(name, title, rule, "Nothing is expected.", "Say what is expected.")
    own = _means(shares, np.ones(shares.shape[1]) if due is None else due)
    figure = float(own.mean())
    lacking = [(names[row], float(own[row])) for row in np.argsort(own, kind="stable")]
    lacking = [(which, share) for which, share in lacking if share < COMPLETE]
    gone = [which for which, share in lacking if share == 0]
    state: State = "fail" if figure < COMPLETE else "warn" if gone else "pass"
    found = (
        f"{len(names) - len(gone)} of {len(names)} {thing}s are there, {figure:.1%} of their time."
    )
    return Check(
        name,
        title,
        state,
        figure,
        rule,
        found,
        ""
        if state == "pass"
        else "Let what is missing be measured and imported (its exporter, its scrape job, its export), fill the "
        "stretches that are missing, or take off the list of what is expected what you do not have.",
        _named(
            Finding(which, "was never measured" if share == 0 else f"there {share:.1%} of the time")
            for which, share in lacking
        ),
    )


# ── Is time kept ─────────────────────────────────────────────────────────────────────────────────


def intervals(series: Series) -> Check:
    """Whether samples follow each other at their usual step."""
    name, title = "intervals", "Do samples come at a steady step?"
    rule = f"more than {REGULAR:.0%} of steps within ± {TOLERANCE:g} s of the usual one"
    steps = int(series.steps.sum())
    if not steps:
        return untested(name, title, rule, "No series has two samples.")
    figure = 1.0 - float(series.uneven.sum()) / steps
    by_metric = _uneven(series.metric, series.uneven, series.steps)
    # an entity is told of for what its metrics do not explain
    rest = ~np.isin(series.metric.astype(str), list(by_metric))
    by_entity = _uneven(series.entity[rest], series.uneven[rest], series.steps[rest])
    found = [Finding(which, said) for which, said in (by_metric | by_entity).items()]
    state: State = "fail" if figure <= REGULAR else "warn" if found else "pass"
    usual = float(np.nanmedian(series.usual))
    return Check(
        name,
        title,
        state,
        figure,
        rule,
        f"{figure:.2%} of {steps:,} steps are within ± {TOLERANCE:g} s; the usual one is {usual:g} s.",
        ""
        if state == "pass"
        else "Measure at a fixed step: one scrape interval for what is named, time stamps of the scrape and not "
        "of the arrival, no sampling that skips under load.",
        _named(found),
    )


def _uneven(
    group: NDArray[np.object_], uneven: NDArray[np.int64], steps: NDArray[np.int64]
) -> dict[str, str]:
    return {
        which: f"{1 - share:.1%} of {many:,} steps are even"
        for which, share, many in _shares(group, uneven, steps)
        if share >= 1 - REGULAR
    }


def gaps(series: Series, holes: Sequence[Hole], tell: Callable[[float], str]) -> Check:
    """How much is missing between samples, and what stopped or began while the rest of its entity was measured.

    holes : the largest; tell: a moment in words
    """
    name, title = "gaps", "Are there holes in time?"
    rule = f"at most {MISSING:.0%} of samples missing, no hole of {LONG} steps or more"
    if not len(series.entity):
        return untested(name, title, rule, "Nothing was measured.")
    late, early = _beside_their_entity(series)
    cut = np.where(late >= LONG, late, 0) + np.where(early >= LONG, early, 0)
    missing = int(series.missing.sum() + cut.sum())
    figure = missing / (missing + int(series.samples.sum()))
    found = [
        Finding(
            hole.example if hole.series == 1 else f"{hole.series:,} series, as {hole.example}",
            f"nothing from {tell(hole.start)} to {tell(hole.end)}: {hole.missing:,} samples",
        )
        for hole in holes
        if hole.missing >= LONG * hole.series
    ]
    for row in np.flatnonzero(cut)[np.argsort(-cut[np.flatnonzero(cut)], kind="stable")]:
        ended = early[row] >= LONG
        said = (
            f"ends at {tell(series.last[row])}" if ended else f"begins at {tell(series.first[row])}"
        )
        found.append(Finding(_which(series, row), f"{said}, other metrics of it do not"))
    state: State = "fail" if figure > MISSING else "warn" if found else "pass"
    return Check(
        name,
        title,
        state,
        figure,
        rule,
        f"{figure:.2%} of the samples that the series should hold are missing ({missing:,}).",
        ""
        if state == "pass"
        else "Fetch or import those stretches again: a Prometheus still has what it scraped. If nothing was recorded, "
        "look at the exporter and the scrape job of what is named, and learn from the time outside.",
        _named(found),
    )


def _beside_their_entity(series: Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Usual steps by which each series begins later, and ends earlier, than the earliest and latest of its entity."""
    _, place = np.unique(series.entity.astype(str), return_inverse=True)
    begins, ends = np.full(place.max() + 1, np.inf), np.full(place.max() + 1, -np.inf)
    np.minimum.at(begins, place, series.first)
    np.maximum.at(ends, place, series.last)
    with np.errstate(invalid="ignore"):
        late = (series.first - begins[place]) / series.usual
        early = (ends[place] - series.last) / series.usual
    return np.nan_to_num(late).astype(np.int64), np.nan_to_num(early).astype(np.int64)


# ── Are the values sane ──────────────────────────────────────────────────────────────────────────


def outliers(series: Series, tell: Callable[[float], str]) -> Check:
    """How many samples lie outside the fences of their series, and which do so alone: those are no incidents."""
    name, title = "outliers", "Are values within reason?"
    rule = (
        f"at most {OUTLYING:.0%} of samples beyond 1.5 interquartile ranges, "
        f"at most {LONE:.1%} of a metric's far out alone, none absurd"
    )
    many = int(series.samples.sum())
    if not many:
        return untested(name, title, rule, "Nothing was measured.")
    figure = float(series.beyond.sum()) / many
    spikes = dict[str, str]()
    broken = False
    for part, most, too_many, word in (
        (series.absurd, 0.0, TOO_ABSURD, "absurd spikes"),
        (series.lone, LONE, TOO_LONE, "spikes"),
    ):
        for which, share, here in _shares(series.metric, part, series.samples):
            if share > most:
                row = _worst(series, which)
                broken |= share > too_many
                spikes.setdefault(
                    which,
                    f"{share:.2%} of {here:,} samples are {word}, as {amount(series.worst[row], '')} of "
                    f"{series.entity[row]} at {tell(series.worst_at[row])}",
                )
    found = [Finding(which, said) for which, said in spikes.items()]
    found += [
        Finding(which, f"{share:.1%} of {here:,} samples lie beyond the fences")
        for which, share, here in _shares(series.metric, series.beyond, series.samples)
        if share > 2 * OUTLYING
    ]
    state: State = "fail" if broken else "warn" if found or figure > OUTLYING else "pass"
    return Check(
        name,
        title,
        state,
        figure,
        rule,
        f"{figure:.2%} of {many:,} samples lie beyond the fences; "
        f"{int(series.lone.sum()):,} are far out alone.",
        ""
        if state == "pass"
        else "Look at what is named: a counter reset read as a rate, a unit that changed, a sentinel such as -1 or "
        "1e9. Correct the query or the export and import again; what is real is an incident: label it.",
        _named(found),
    )


def _worst(series: Series, metric: str) -> int:
    """The series of a metric with the lone sample that is the largest."""
    rows = np.flatnonzero((series.metric == metric) & (series.lone > 0))
    return int(rows[np.argmax(np.abs(series.worst[rows]))])


# ── Do the labels balance ────────────────────────────────────────────────────────────────────────


def balance(counts: Mapping[str, int]) -> Check:
    """Whether the causes that people named are in balance; counts by cause."""
    name, title = "labels", "Are the labels in balance?"
    rule = f"the most common cause less than {UNEVEN:g} times the rarest"
    if not counts:
        return untested(
            name, title, rule, "Nothing is labelled yet.", "Label incidents on the Label page."
        )
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    (most, many), (least, few) = ordered[0], ordered[-1]
    if len(ordered) == 1:
        return Check(
            name,
            title,
            "warn",
            None,
            rule,
            f"Every one of {many:,} labels says {most}: there is nothing to tell apart.",
            "Label incidents of other causes too; the diverse slice of the queue looks for them.",
        )
    figure = many / few
    return Check(
        name,
        title,
        "warn" if figure >= UNEVEN else "pass",
        figure,
        rule,
        f"{sum(counts.values()):,} labels: {most} {many:,} to {least} {few:,}, {figure:.1f} to 1.",
        ""
        if figure < UNEVEN
        else f"Label more of {least}: the diverse slice of the queue looks for them. Until then read macro-F1, "
        "never accuracy alone.",
        _named(Finding(cause, f"labels: {count:,}") for cause, count in ordered)
        if figure >= UNEVEN
        else (),
    )


# ── Is anything said twice ───────────────────────────────────────────────────────────────────────


def duplicates(
    imports: Sequence[tuple[str, int, int]], corrected: int = 0, samples: int = 0
) -> Check:
    """Rows that name a series and time again within one import: (its name, rows, repeated rows).

    corrected : samples that a later import told otherwise, of `samples`; the newest word counts
    """
    name, title = "duplicates", "Is anything told twice?"
    rule = f"at most {REPEATED:.0%} of an import's rows, and none is better"
    rows = sum(many for _, many, _ in imports)
    if not rows:
        return untested(name, title, rule, "Nothing was imported.")
    doubled = sorted(
        ((which, again / many, again) for which, many, again in imports if again and many),
        key=lambda told: -told[1],
    )
    figure = sum(again for _, _, again in imports) / rows
    found = [
        Finding(which, f"{again:,} rows ({share:.1%}) repeat a series and time of the same file")
        for which, share, again in doubled
    ]
    if corrected:
        found.append(
            Finding(
                "later imports",
                f"told {corrected:,} samples ({corrected / max(samples, 1):.1%}) otherwise; the newest counts",
            )
        )
    broken = any(share > REPEATED for _, share, _ in doubled)
    state: State = "fail" if broken else "warn" if doubled else "pass"
    return Check(
        name,
        title,
        state,
        figure,
        rule,
        f"{sum(again for _, _, again in imports):,} of {rows:,} imported rows were repeats; the last of each counts.",
        ""
        if state == "pass"
        else "Find out why the export says things twice: two exporters under one name, overlapping exports glued "
        "together, a join that multiplies. Make node and metric tell them apart, then import again.",
        _named(found),
    )


# ── Inside ───────────────────────────────────────────────────────────────────────────────────────


def _means(shares: Floats, due: Floats) -> Floats:
    """(n,) weighted means over what is told of each row, 0 where nothing is."""
    told = np.isfinite(shares)
    weight = np.where(told, due, 0.0)
    means: Floats = (np.where(told, shares, 0.0) * weight).sum(axis=1)
    means /= np.maximum(weight.sum(axis=1), 1e-9)
    return means


def _shares(
    group: NDArray[np.object_], part: NDArray[np.int64], whole: NDArray[np.int64]
) -> list[tuple[str, float, int]]:
    """(name, part of whole, whole) by group, the largest share first; groups of a few are left out."""
    names, place = np.unique(group.astype(str), return_inverse=True)
    parts, wholes = (np.bincount(place, counted, len(names)) for counted in (part, whole))
    rows = [row for row in range(len(names)) if wholes[row] >= FEW and parts[row]]
    told = [(str(names[row]), float(parts[row] / wholes[row]), int(wholes[row])) for row in rows]
    return sorted(told, key=lambda one: (-one[1], one[0]))


def _which(series: Series, row: int) -> str:
    return f"{series.metric[row]} of {series.entity[row]}"


def _named(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """The first of them, and how many more there are."""
    every = tuple(found)
    if len(every) <= NAMED:
        return every
    rest = len(every) - NAMED + 1
    return (*every[: NAMED - 1], Finding("and more", f"{rest:,} of the same kind"))
