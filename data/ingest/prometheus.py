"""A Prometheus over its HTTP API: what it holds, and the samples of a span of time as a batch.

API: prometheus.io/docs/prometheus/latest/querying/api (v1: metadata, series, targets, query, query_range).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import httpx2
import numpy as np

from core.errors import InvalidInputError, PermissionDeniedError, StoreError
from data.columns import canonical
from data.ingest.answers import Answer, Span, gathered
from data.ingest.batch import Samples
from data.ingest.promql import (
    Kind,
    Labels,
    Plan,
    Question,
    questions,
)

log = logging.getLogger(__name__)

MOST_POINTS = 11_000
"""Points that a Prometheus answers with in one series of one query; more is refused there."""
MOST_CELLS = 4_000_000
"""Samples that one batch may bring; a longer span is fetched in several."""
AT_ONCE = 4
PATIENCE = 30.0
SETTLING = 30
"""Seconds until a scrape is surely in."""
USUAL_SCRAPE = 60
WHO = "Prometheus"


@dataclass(frozen=True, eq=False)
class Fetched:
    """A span as a batch, and the questions that were not understood: metric → what Prometheus said."""

    batch: Samples
    failed: Mapping[str, str]


class Prometheus:
    """An open connection; `with` closes it. Errors name the address, the rule, what came and the cure."""

    def __init__(self, url: str, plan: Plan) -> None:
        self.url = checked_url(url)
        self.plan = plan
        self._client = httpx2.Client(timeout=PATIENCE, headers=_token(plan))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def version(self) -> str:
        """What answers there; the cheapest question that tells a Prometheus from anything else."""
        return str(self._ask("status/buildinfo", {}).get("version", ""))

    def scrape_seconds(self) -> int:
        """The longest scrape interval of its targets; a minute where it does not tell."""
        try:
            active = self._ask("targets", {"state": "active"})["activeTargets"]
        except (InvalidInputError, KeyError):  # long-term stores have no targets
            return USUAL_SCRAPE
        told = [seconds(target.get("scrapeInterval", "")) for target in active]
        return max(told, default=0) or USUAL_SCRAPE

    def kinds(self) -> dict[str, Kind]:
        """Metric family → type and help."""
        return {
            name: Kind(told[0].get("type", "unknown"), told[0].get("help", ""))
            for name, told in self._ask("metadata", {}).items()
            if told
        }

    def series(self, span: Span) -> list[Labels]:
        """The label sets of every series that has samples in the span."""
        own = f",{self.plan.matching}" if self.plan.matching else ""
        # the suffixes of histograms and summaries go along with their family
        included = f"({self.plan.include})(_bucket|_count|_sum|_total)?"
        included = ".+" if self.plan.include == ".+" else included.replace("\\", "\\\\")
        match = f'{{__name__=~"{included}"{own}}}'
        asked = {"match[]": match, "start": span.first, "end": span.last}
        found: list[Labels] = self._ask("series", asked)
        return found

    def check(self, query: str) -> None:
        """Refuse a query that Prometheus does not understand."""
        self._ask("query", {"query": query})

    def values(self, query: str, span: Span) -> Answer:
        """What it answers."""
        asked = {"query": query, "start": span.first, "end": span.last, "step": span.step}
        found = []
        for series in self._ask("query_range", asked)["result"]:
            told = np.array(series["values"], dtype=object)
            values = told[:, 1].astype(np.float64)
            kept = np.isfinite(values)
            found.append((series["metric"], (told[kept, 0].astype(np.int64), values[kept])))
        return found

    def _ask(self, path: str, asked: Mapping[str, Any]) -> Any:
        method = "POST" if path in ("query", "query_range", "series") else "GET"
        place = {"data" if method == "POST" else "params": {k: str(v) for k, v in asked.items()}}
        try:
            answer = self._client.request(method, f"{self.url}/api/v1/{path}", **place)  # type: ignore[arg-type]
        except httpx2.HTTPError as error:
            raise StoreError.of(
                WHO,
                "the source",
                "reachable",
                self.url,
                f"{type(error).__name__}: {error}. Look whether it runs, and the address and port.",
            ) from error
        return self._data(answer, asked)

    def _data(self, answer: httpx2.Response, asked: Mapping[str, Any]) -> Any:
        if answer.status_code in (401, 403):
            cure = "Name the variable that holds a bearer token: --token-env NAME."
            raise PermissionDeniedError.of(
                WHO, self.url, "open to this process", f"{answer.status_code}", cure
            )
        try:
            told = answer.json()
            status = told["status"]
        except (ValueError, KeyError, TypeError):
            raise StoreError.of(
                WHO,
                self.url,
                "a Prometheus: its answer is JSON with a status",
                f"{answer.status_code} {answer.text[:80]!r}",
                "Give the address without /api/v1, and with its path prefix where it has one.",
            ) from None
        if status == "success":
            return told["data"]
        error = InvalidInputError if answer.status_code in (400, 404, 422) else StoreError
        said = f"{told.get('errorType', 'error')}: {told.get('error', '')}"
        raise error.of(WHO, "the query", "one that it can answer", asked.get("query", asked), said)


def checked_url(url: str) -> str:
    """The address without a trailing slash; one that is no HTTP address, or holds a password, is refused."""
    try:
        parsed = httpx2.URL(url.strip())
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidInputError.of(WHO, "the address", "http://host:port or https://…", url)
    if parsed.userinfo:
        cure = "Put a token into an environment variable and name it: --token-env NAME."
        shown = str(parsed.copy_with(username=None, password=None))
        raise InvalidInputError.of(WHO, "the address", "without a password in it", shown, cure)
    return str(parsed).rstrip("/").removesuffix("/api/v1")


def _token(plan: Plan) -> dict[str, str]:
    if not plan.token_env:
        return {}
    token = os.environ.get(plan.token_env, "")
    if not token:
        raise PermissionDeniedError.of(
            WHO, "the token", f"in the environment variable {plan.token_env}", "nothing"
        )
    return {"Authorization": f"Bearer {token}"}


def seconds(text: str) -> int:
    """A duration as Prometheus writes it, "1m30s"; 0 where it is none."""
    sizes = {"h": 3600, "m": 60, "s": 1}
    total, number = 0, ""
    for sign in text.replace("ms", "x"):
        if sign.isdigit():
            number += sign
        elif number:
            total += int(number) * sizes.get(sign, 0)
            number = ""
    return total


# ── Spans ────────────────────────────────────────────────────────────────────────────────────────


def next_span(
    plan: Plan, *, until: int | None, now: datetime, scrape: int, series: int = 0
) -> Span | None:
    """What to fetch next: from the step after `until` (else as far back as the plan says), None when nothing is due.

    No more points than a Prometheus answers with, and no more cells than a batch holds.
    """
    step = plan.step_seconds
    newest = int(now.astimezone(UTC).timestamp()) - max(SETTLING, scrape)
    last = newest // step * step
    begun = int(now.astimezone(UTC).timestamp() - plan.since_hours * 3600)
    first = begun // step * step if until is None else until + step
    if first > last:
        return None
    points = min(MOST_POINTS, max(MOST_CELLS // max(series, 1), 1))
    return Span(first, min(last, first + (points - 1) * step), step)


def digest(source: int, url: str, plan: Plan, span: Span) -> str:
    """What a fetch is known by: the same source, plan and span are the same batch."""
    told = {"source": source, "url": url, "plan": vars(plan), "span": vars(span)}
    return hashlib.sha256(canonical(told).encode()).hexdigest()


def fetch(
    prometheus: Prometheus,
    span: Span,
    *,
    name: str,
    sha256: str,
    series: Sequence[Labels],
    kinds: Mapping[str, Kind],
    window: int,
) -> Fetched:
    """Every family of `series` over the span, in the names and units that the store keeps.

    A question that Prometheus does not understand is told and leaves the others; any other error raises.
    """
    plan = prometheus.plan
    asked = questions(series, kinds, plan)
    answers: list[tuple[Question, Answer]] = []
    failed: dict[str, str] = {}

    def answer(question: Question) -> Answer | InvalidInputError:
        try:
            return prometheus.values(question.query(plan.matching, window), span)
        except InvalidInputError as error:
            return error

    with _pool() as pool:
        for question, told in zip(asked, pool.map(answer, asked), strict=True):
            if isinstance(told, InvalidInputError):
                failed[question.metric] = told.hint or told.message
            else:
                answers.append((question, told))
    source = Samples(
        f"{name}, {_moment(span.first):%F %H:%M} – {_moment(span.last):%F %H:%M}",
        sha256,
        0,
        "prometheus",
        _moment(span.last),
        name,
        notes=tuple(f"{metric}: {said}" for metric, said in failed.items()),
    )
    return Fetched(gathered(source, answers, series, plan, name), failed)


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
