"""Rows scored by versions in use: whatever waits for the same version is scored together, by one thread.

Nobody waits for a batch to fill: while one is scored, the next gathers. A batch asks the records which version
its alias means, so a promotion counts for every row that is not being scored yet. What a row's score is never
depends on what was scored with it (`form_of` makes sure); rows of two tenants or two versions never meet.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import weakref
from collections import Counter, OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from core.contracts import Algorithm, Detector, Floats, Panel, Periods, StreamingDetector
from core.ensembles.calibrated import CalibratedEnsemble
from core.errors import BusyError, HeadwaterError, InvalidInputError, StoreError, differences
from models.ports import CHAMPION, VersionRow
from models.serve import Serve, Served
from models.train import CONTEXT

BATCH = 1_000
"""Rows scored at once at most; no request is cut in two."""
WAITING = 10_000
"""Rows that may wait for one tenant: what a machine with two cores scores in a second."""
LOADERS = 2
"""Threads that load versions which nobody has used yet, so that those in use go on meanwhile."""
EPOCH = np.datetime64("2026-01-01", "s")
"""Rows have no date: a version that hears one is refused."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What is to be scored: the newest of an entity's periods, with those before it where the version wants them.

    values : (n_row, n_period, n_feature) float64, oldest period first, NaN = missing
    """

    entities: tuple[str, ...]
    features: tuple[str, ...]
    values: Floats


@dataclass(frozen=True, eq=False)
class Scored:
    """What a version says of rows.

    scores   : (n_row,) higher = more anomalous
    p_values : (n_row,) calibrated, None where the version is not
    """

    served: Served
    scores: Floats
    p_values: Floats | None


class Key(NamedTuple):
    """Whose rows, of which domain, for which version ("" = the champion)."""

    tenant: str
    domain: str
    version: str


@dataclass(frozen=True)
class Form:
    """What a version asks of rows: its features in order, how many periods of them, and how long one is."""

    features: tuple[str, ...]
    periods: int
    step: np.timedelta64


@dataclass(frozen=True, eq=False)
class _Request:
    rows: Rows
    due: float
    answer: Future[Scored]


class RowScorer:
    """The queue in front of the models in use, and the thread that empties it; safe from any thread."""

    def __init__(self, serve: Serve, *, waiting: int = WAITING, batch: int = BATCH) -> None:
        self.serve = serve
        self.waiting = waiting
        self.batch = batch
        self._queues: OrderedDict[Key, deque[_Request]] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._wake = threading.Condition()
        self._closed = False
        self._loaders = ThreadPoolExecutor(LOADERS, "score-load")
        self._thread = threading.Thread(target=self._run, name="score", daemon=True)
        self._forms: weakref.WeakKeyDictionary[Algorithm, Form] = weakref.WeakKeyDictionary()

    def submit(self, key: Key, rows: Rows, seconds: float) -> Future[Scored]:
        """The scores of rows, within so many seconds or not at all.

        Raises BusyError where too many of the tenant's rows wait already. The future raises BusyError where the
        rows waited too long, InvalidInputError where they do not fit the version, NotFoundError or
        PersistenceError where there is none that can be trusted.
        """
        request = _Request(rows, time.monotonic() + seconds, Future())
        count = len(rows.entities)
        with self._wake:
            if self._closed:
                raise StoreError.of("score", "the server", "running", "one that is shutting down")
            held = self._held[key.tenant] + count
            if held > self.waiting:
                rule = f"at most {self.waiting:,}, then one has to wait"
                raise BusyError.of("score", "the rows of a tenant that wait", rule, held)
            if self._thread.ident is None:
                self._thread.start()
            self._held[key.tenant] = held
            self._queues.setdefault(key, deque()).append(request)
            self._wake.notify()
        return request.answer

    def close(self) -> None:
        """Score what is being scored, refuse what waits, and end; safe to call twice."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()
        self._loaders.shutdown()

    # ── The thread ───────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queues or self._closed)
                if self._closed:
                    break
                key, requests = self._next()
            served = self._at_hand(key)
            if served is not None:
                self._answer(key, requests, served)
            else:
                self._loaders.submit(self._answer, key, requests)
        refusal = StoreError.of("score", "the server", "running", "one that is shutting down")
        for waiting in self._queues.values():
            for request in waiting:
                if request.answer.set_running_or_notify_cancel():
                    request.answer.set_exception(refusal)

    def _next(self) -> tuple[Key, list[_Request]]:
        """As many requests as fit a batch, of the key whose turn it is; what is left of it goes to the end of the line."""
        key, queue = self._queues.popitem(last=False)
        taken: list[_Request] = []
        count = 0
        while queue and (not taken or count + len(queue[0].rows.entities) <= self.batch):
            taken.append(queue.popleft())
            count += len(taken[-1].rows.entities)
        if queue:
            self._queues[key] = queue
        return key, taken

    def _at_hand(self, key: Key) -> Served | None:
        """The version meant, where scoring with it can start at once; any other is a loader's business, its errors too."""
        with suppress(HeadwaterError):
            version = self._version(key)
            algorithm = self.serve.held(version)
            if algorithm is not None and algorithm in self._forms:
                return Served(version, algorithm)
        return None

    def _version(self, key: Key) -> VersionRow:
        store = self.serve.registry.store
        if not key.version:
            found = store.served(key.tenant, key.domain, CHAMPION)
            return found[1] if found else self.serve.champion(key.tenant, key.domain).version
        version = store.get(key.tenant, key.version)
        if version.domain != key.domain:
            thing = f"the domain of version {version.id}"
            raise InvalidInputError.of("score", thing, version.domain, key.domain)
        return version

    def _loaded(self, key: Key) -> Served:
        if not key.version:
            return self.serve.champion(key.tenant, key.domain)
        version = self._version(key)
        return Served(version, self.serve.load(version))

    def _answer(self, key: Key, requests: list[_Request], served: Served | None = None) -> None:
        try:
            wanted = [one for one in requests if one.answer.set_running_or_notify_cancel()]
            try:
                served = served or self._loaded(key)
                form = self._form(served)
            except BaseException as error:  # noqa: BLE001 - carried to all who wait for this batch
                for request in wanted:
                    request.answer.set_exception(error)
                return
            fitting = [one for one in wanted if _fits(one, served.version, form)]
            if fitting:
                _judge(fitting, served, form)
        finally:
            with self._wake:
                self._held[key.tenant] -= sum(len(one.rows.entities) for one in requests)
                if not self._held[key.tenant]:
                    del self._held[key.tenant]

    def _form(self, served: Served) -> Form:
        detector, version = served.algorithm, served.version
        if not isinstance(detector, Detector):
            rule = "a detector or an ensemble of them"
            raise InvalidInputError.of("score", f"version {version.id}", rule, version.kind)
        if detector not in self._forms:
            probe = self.serve.registry.probes(version.tenant, version.id)
            self._forms[detector] = form_of(detector, probe)
        return self._forms[detector]


def _fits(request: _Request, version: VersionRow, form: Form) -> bool:
    """Whether a request can still be scored by this version; if not, it is told why."""
    try:
        _check(request, version, form)
    except HeadwaterError as error:
        request.answer.set_exception(error)
        return False
    return True


def _check(request: _Request, version: VersionRow, form: Form) -> None:
    rows = request.rows
    late = time.monotonic() - request.due
    if late > 0:
        raise BusyError.of("score", "the rows", "scored in time", f"a wait {late:.3f} s too long")
    if rows.features != form.features:
        wrong = "; ".join(differences(form.features, rows.features))
        rule = f"those of version {version.id}, in that order: {', '.join(form.features)}"
        raise InvalidInputError.of("score", "the features", rule, wrong)
    past = rows.values.shape[1] - 1
    if past != form.periods - 1:
        rule = f"{form.periods - 1}, as version {version.id} judges by {form.periods} in all"
        raise InvalidInputError.of("score", "the past periods of a row", rule, past)


def _judge(requests: list[_Request], served: Served, form: Form) -> None:
    """Score requests together; where that fails, each by itself, so that none fails for another's rows."""
    rows = [request.rows for request in requests]
    entities = tuple(entity for one in rows for entity in one.entities)
    values = np.concatenate([one.values for one in rows])
    labels = EPOCH + np.arange(form.periods) * form.step
    panel = Panel(values, entities, form.features, Periods(labels, form.step))
    try:
        scores, p_values = judged(cast(Detector, served.algorithm), panel)
    except Exception as error:  # noqa: BLE001 - carried to whose rows they are
        if len(requests) == 1:
            requests[0].answer.set_exception(error)
            return
        for request in requests:
            _judge([request], served, form)
        return
    end = 0
    for request in requests:
        own = slice(end, end := end + len(request.rows.entities))
        p = None if p_values is None else p_values[own]
        request.answer.set_result(Scored(served, scores[own], p))


# ── What a version says of rows ──────────────────────────────────────────────────────────────────


def judged(detector: Detector, panel: Panel) -> tuple[Floats, Floats | None]:
    """Scores of the newest period, (n_entity,), and p-values where the detector holds a calibration of its own.

    Nothing is learned from what is scored: a streaming detector, or part, judges as it was published.
    """
    detector = _frozen(detector)
    if not isinstance(detector, CalibratedEnsemble):
        return detector.score_last(panel), None
    p_values = detector.judge(panel, last=1)[0][:, -1]
    return np.asarray(-np.log10(p_values) + 0.0), p_values


def form_of(detector: Detector, probe: Panel) -> Form:
    """What rows must have for the detector to judge each alone as it judges it among others and after its past.

    Tried on its own probe rows: one period where the newest says all, else as many as a score may look back on,
    each row by itself and at another date. Raises InvalidInputError for a detector that also hears the date, the
    other rows, or older periods: what it says of a row would hang on who else asks.
    """
    whole, _ = judged(detector, dataclasses.replace(probe, padded=None))
    tolerance = detector.tags.tolerance
    for periods in (1, CONTEXT + 1):
        alone = [
            judged(detector, _alone(probe, row, periods))[0] for row in range(len(probe.entities))
        ]
        if np.allclose(np.concatenate(alone), whole, rtol=tolerance, atol=tolerance):
            return Form(probe.metrics, periods, probe.periods.step)
    raise InvalidInputError.of(
        "score",
        "the version",
        f"one that judges an entity by its last {CONTEXT + 1} periods alone",
        f"{detector.name}, which also hears other entities, dates or older periods",
        "Score it in a run: headwater detect",
    )


def _alone(probe: Panel, row: int, periods: int) -> Panel:
    """One entity's newest periods, at a date that is no other row's."""
    step = probe.periods.step
    labels = EPOCH + (row + np.arange(periods)) * step
    values = probe.values[row : row + 1, -periods:]
    return Panel(values, probe.entities[row : row + 1], probe.metrics, Periods(labels, step))


def _frozen(detector: Detector) -> Detector:
    if isinstance(detector, StreamingDetector):
        return detector.frozen()
    if not isinstance(detector, CalibratedEnsemble):
        return detector
    votes = detector.scorer
    members = {name: _frozen(member) for name, member in votes.members.items()}
    still = type(detector)(detector.params, state=detector.state)
    still.__dict__["scorer"] = dataclasses.replace(votes, members=members)
    return still
