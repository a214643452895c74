"""Prometheus' own text: OpenMetrics or the text format with timestamps, asked the questions that a Prometheus is asked.

Rates and quantiles are computed as Prometheus computes them ("Query functions",
prometheus.io/docs/prometheus/latest/querying/functions): the rise over a window, resets allowed for and drawn out to
the window's ends, and linear interpolation within a bucket. Names and labels are read by `prometheus_client`; its
reader of whole texts drops samples of a histogram that has several times.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_fd_to_metric_families

from core.contracts import Floats
from core.errors import InvalidInputError
from data.ingest.answers import Answer, Span, gathered
from data.ingest.batch import Refusal, Samples
from data.ingest.promql import Kind, Labels, Plan, Question, questions
from data.ingest.quarantine import LISTED
from data.ingest.source import Source

SUFFIXES = (".prom", ".om", ".openmetrics")
LARGEST = 256 << 20
"""Bytes of a text: reading it takes some times as much memory."""
LOOKBACK = 300_000
"""Milliseconds for which a sample stands until the next one, as in Prometheus."""
SCRAPES = 4
"""Samples that a window of rates holds."""
TOO_FAR = 1.1
"""Steps that a window's first or last sample may lie from its end and still be drawn out to it."""
KNOWN = ("counter", "gauge", "histogram", "summary")
HEAD = r"[A-Za-z_:][\w:]*(?:\{(?:[^\"}]|\"(?:\\.|[^\"\\])*\")*\})?"
SAMPLE = re.compile(rf"({HEAD})[ \t]+([^\s#]+)(?:[ \t]+([^\s#]+))?[ \t]*(?:#.*)?$")
"""Name with labels, value, time, and an exemplar, which is left aside."""
TOLD = re.compile(r"#\s*(TYPE|HELP)\s+(\S+)\s*(.*?)\s*$")
SAMPLE_RULE = "a sample: name{labels}, a number, and its time"
TIME_RULE = "at a time from 1990 to a day from now: OpenMetrics counts seconds and ends in # EOF, else milliseconds count"
EARLIEST = 1000 * datetime(1990, 1, 1, tzinfo=UTC).timestamp()
DAY = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class Series:
    """One series: times in milliseconds since 1970, ascending, each once, and values."""

    labels: Labels
    times: NDArray[np.int64]
    values: Floats


def recognise(source: Source) -> bool:
    """Whether a file is such a text, by its suffix or its first line."""
    first = source.head.decode("utf-8-sig", errors="replace").partition("\n")[0]
    told = TOLD.match(first) or SAMPLE.match(first)
    suffix = source.path.suffix.lower()
    return suffix in SUFFIXES or (suffix == ".txt" and told is not None)


def read(source: Source, plan: Plan | None = None) -> Samples:
    """Every family of the text, at the plan's steps; refused where it is too large or no such text."""
    plan = plan or Plan()
    if source.size > LARGEST:
        rule = f"at most {LARGEST >> 20} MB"
        hint = "Load it with `promtool tsdb create-blocks-from openmetrics`, and fetch that Prometheus."
        got = f"{source.size >> 20} MB"
        raise InvalidInputError.of(source.name, "the text", rule, got, hint)
    text = _parsed(source)
    found = text.series()
    batch = replace(
        source.samples("openmetrics"),
        report="openmetrics",
        refused=tuple(text.refused),
        refused_rows=text.many_refused,
    )
    if not found:
        return replace(batch, notes=("the text holds no sample",))
    span, window = _span(found, plan)
    labels = [series.labels for series in found]
    asked = questions(labels, {k: v for k, v in text.kinds.items() if v.type in KNOWN}, plan)
    by_name: dict[str, list[Series]] = {}
    for series in found:
        by_name.setdefault(series.labels["__name__"], []).append(series)
    answers = ((question, answer(question, by_name, span, window)) for question in asked)
    moment = f"{batch.as_of:%-d %b %Y %H:%M} UTC"
    notes = [f"{text.samples:,} samples at {plan.step_seconds} s, counters as rates per second"]
    if text.timeless:
        notes.append(f"{text.timeless:,} of them tell no time: taken for {moment}")
    named = replace(batch, notes=tuple(notes))
    return gathered(named, answers, labels, plan, source.path.stem)


def answer(
    question: Question, series: Mapping[str, list[Series]], span: Span, window: int
) -> Answer:
    """What a Prometheus that holds the series would answer; window in milliseconds."""
    steps = 1000 * np.arange(span.first, span.last + 1, span.step)
    chosen = [
        one
        for one in series.get(question.series, ())
        if all(matcher.holds(one.labels) for matcher in question.matchers)
    ]
    grouped: dict[tuple[str, ...], list[Floats]] = {}
    for one in chosen:
        curve = _rate(one, steps, window) if question.counts else _level(one, steps)
        key = tuple(one.labels.get(label, "") for label in question.by)
        grouped.setdefault(key, []).append(curve)
    how = "sum" if question.quantile is not None else question.together
    joined = {key: _joined(np.array(curves), how) for key, curves in grouped.items()}
    if question.quantile is not None:
        joined = _quantiles(question, joined)
    told: Answer = []
    for key, curve in joined.items():
        kept = np.isfinite(curve)
        labels = {label: value for label, value in zip(question.by, key, strict=True) if value}
        told.append((labels, (steps[kept] // 1000, question.factor * curve[kept])))
    return told


# ── Arithmetic ───────────────────────────────────────────────────────────────────────────────────


def _level(series: Series, steps: NDArray[np.int64]) -> Floats:
    """(n_step,) the last sample of the five minutes before each step, NaN where there is none."""
    last = np.searchsorted(series.times, steps, side="right") - 1
    there = (last >= 0) & (steps - series.times[last] < LOOKBACK)
    return np.where(there, series.values[last], np.nan)


def _rate(series: Series, steps: NDArray[np.int64], window: int) -> Floats:
    """(n_step,) rise per second over the window up to each step, NaN where it holds fewer than two samples."""
    times, values = series.times, series.values
    first = np.searchsorted(times, steps - window, side="right")
    last = np.searchsorted(times, steps, side="right") - 1
    many = last - first
    there = many >= 1
    first, last = np.where(there, first, 0), np.where(there, last, min(1, len(times) - 1))
    rises = np.diff(values)
    # one that fell began again at zero
    risen = np.concatenate([[0.0], np.cumsum(np.where(rises < 0, values[1:], rises))])
    increase = risen[last] - risen[first]
    sampled = (times[last] - times[first]).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = sampled / many
        to_start = (times[first] - (steps - window)).astype(np.float64)
        to_end = (steps - times[last]).astype(np.float64)
        to_start = np.where(to_start < TOO_FAR * between, to_start, between / 2)
        to_end = np.where(to_end < TOO_FAR * between, to_end, between / 2)
        # a counter cannot have been below zero
        to_zero = np.where(increase > 0, sampled * values[first] / increase, np.inf)
        to_start = np.minimum(to_start, np.where(values[first] >= 0, to_zero, np.inf))
        rate = increase * (sampled + to_start + to_end) / sampled / (window / 1000)
    return np.where(there, rate, np.nan)


def _joined(curves: Floats, how: str) -> Floats:
    """(n_series, n_step) to (n_step,): sum, mean or max of what is there, NaN where nothing is."""
    there = np.isfinite(curves)
    if how == "max":
        joined = np.where(there, curves, -np.inf).max(axis=0)
    else:
        joined = np.where(there, curves, 0.0).sum(axis=0)
    many = there.sum(axis=0)
    joined = joined / np.maximum(many, 1) if how == "mean" else joined
    return np.where(many > 0, joined, np.nan)


def _quantiles(
    question: Question, buckets: Mapping[tuple[str, ...], Floats]
) -> dict[tuple[str, ...], Floats]:
    """The quantile of each histogram: buckets by bound, apart from their `le`."""
    place = question.by.index("le")
    histograms: dict[tuple[str, ...], dict[float, Floats]] = {}
    for key, curve in buckets.items():
        apart = (*key[:place], "", *key[place + 1 :])
        histograms.setdefault(apart, {})[float(key[place] or "nan")] = curve
    found = {}
    for key, bounded in histograms.items():
        bounds = np.array(sorted(bound for bound in bounded if not np.isnan(bound)))
        if len(bounds) >= 2 and np.isposinf(bounds[-1]):
            counts = np.array([bounded[bound] for bound in bounds])
            found[key] = _quantile(float(question.quantile or 0.0), bounds, counts)
    return found


def _quantile(quantile: float, bounds: Floats, counts: Floats) -> Floats:
    """(n_step,) by linear interpolation; bounds (n_bucket,) ascending to infinity, counts (n_bucket, n_step) cumulative."""
    # a bound that was not scraped holds no more than the one below it
    counts = np.maximum.accumulate(np.nan_to_num(counts), axis=0)
    rank = quantile * counts[-1]
    bucket = np.minimum((counts < rank).sum(axis=0), len(bounds) - 1)
    columns = np.arange(counts.shape[1])
    below = np.where(bucket > 0, counts[bucket - 1, columns], 0.0)
    start = np.where(bucket > 0, bounds[bucket - 1], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (rank - below) / (counts[bucket, columns] - below)
        inside = start + (bounds[bucket] - start) * share
    lowest = (bucket == 0) & (bounds[0] <= 0)
    found = np.where(bucket == len(bounds) - 1, bounds[-2], np.where(lowest, bounds[0], inside))
    return np.where(counts[-1] > 0, found, np.nan)


# ── Text ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class _Text:
    """What a text holds: kinds by family, labels and curve by what stands before the value, and what was refused."""

    kinds: dict[str, Kind]
    labels: dict[str, Labels]
    curves: dict[str, dict[int, float]]
    refused: list[Refusal]
    many_refused: int = 0
    samples: int = 0
    timeless: int = 0

    def series(self) -> list[Series]:
        """Those with a number."""
        found = []
        for head, curve in self.curves.items():
            times = np.array(sorted(curve), dtype=np.int64)
            values = np.array([curve[at] for at in times.tolist()])
            kept = ~np.isnan(values)
            if kept.any():
                found.append(Series(self.labels[head], times[kept], values[kept]))
        return found

    def take(self, line: str, unit: float, now: float, latest: float) -> str:
        """Keep a line's sample; the rule that it breaks, "" where none. `unit` is that of its time in milliseconds."""
        told = SAMPLE.match(line)
        try:
            head, value, at = told.groups() if told else ("", "", "")
            if head not in self.labels:
                (family,) = text_fd_to_metric_families(io.StringIO(f"{head} 0"))
                self.labels[head] = {"__name__": family.name, **family.samples[0].labels}
            number, moment = float(value), now if at is None else unit * float(at)
        except ValueError:
            return SAMPLE_RULE
        if not EARLIEST <= moment <= latest:
            return TIME_RULE
        self.samples += 1
        self.timeless += at is None
        self.curves.setdefault(head, {})[round(moment)] = number
        return ""


def _parsed(source: Source) -> _Text:
    """Every sample of the text; a line that holds none, or one of an impossible time, is refused."""
    text = _Text({}, {}, {}, [])
    now = 1000 * source.as_of.replace(tzinfo=UTC).timestamp()
    latest = 1000 * (datetime.now(UTC) + DAY).timestamp()
    # only OpenMetrics ends so; it counts seconds, the older format milliseconds
    unit = 1000.0 if _ends(source) else 1.0
    with source.path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if line.startswith("#") or not line.strip():
                if told := TOLD.match(line):
                    _describe(text.kinds, *told.groups())
            elif rule := text.take(line, unit, now, latest):
                text.many_refused += 1
                text.refused.append(Refusal(source.name, number, "line", line.strip()[:200], rule))
                del text.refused[LISTED:]
    return text


def _describe(kinds: dict[str, Kind], word: str, name: str, told: str) -> None:
    known = kinds.get(name, Kind())
    if word == "HELP":
        kinds[name] = replace(known, help=told)
    elif told in KNOWN:
        kinds[name] = replace(known, type=told)


def _ends(source: Source) -> bool:
    with source.path.open("rb") as raw:
        raw.seek(max(0, source.size - 64))
        return raw.read().rstrip().endswith(b"# EOF")


def _span(series: list[Series], plan: Plan) -> tuple[Span, int]:
    """The steps that the samples cover, and the window of rates (milliseconds) that holds four of them."""
    first = min(int(one.times[0]) for one in series)
    last = max(int(one.times[-1]) for one in series)
    step = plan.step_seconds
    apart = [float(np.median(np.diff(one.times))) for one in series if len(one.times) > 1]
    scrape = float(np.median(apart)) if apart else 1000.0 * step
    window = 1000 * plan.window_seconds or max(round(SCRAPES * scrape), 1000 * step)
    begun, ended = -(-first // (1000 * step)) * step, -(-last // (1000 * step)) * step
    return Span(begun, ended, step), window
