"""A detection run: look at a domain, score it, explain what is odd, find where it started, save it all at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from core import catalog
from core.cases import Cause
from core.contracts import Attribution, Detector, OnStep
from core.domains import DOMAINS
from core.errors import CancelledError, UnknownNameError
from core.rootcause.grouping import Found
from core.severity import SEVERITIES
from data import alert_store, outbreaks, run_store
from data.records import Alert, Incident, NewAlert, NewIncident
from models.serve import Served
from workbench.context import Context
from workbench.services import scene as scenes
from workbench.services import scorer
from workbench.services import trial as trials
from workbench.services.causes import wording
from workbench.services.findings import (
    chosen_entities,
    explained,
    located,
    new_alerts,
    new_incident,
    stakes_of,
)
from workbench.services.foretelling import Foretold, foretell
from workbench.services.scene import Scene
from workbench.services.trial import Trial
from workbench.services.turns import turn


@dataclass(frozen=True, eq=False)
class DetectionReport:
    """What a run saw and saved; `seconds` by stage, `notes` say what was left out and why."""

    run_id: int
    model_version: str
    total_entities_checked: int
    anomalies_detected: int
    severity_counts: dict[str, int]
    alerts: list[Alert]
    incidents: list[Incident]
    created: int
    seconds: dict[str, float]
    execution_time_ms: float
    notes: list[str] = field(default_factory=list)


def detect(
    context: Context,
    tenant: str,
    *,
    actor: str,
    domain: str = "ads",
    level: str | None = None,
    profile: str | None = None,
    detector: str = "",
    at: datetime | None = None,
    explain: bool = True,
    cause: bool = True,
    on_step: OnStep | None = None,
) -> DetectionReport:
    """Run detection as known at `at` (now when absent) and save alerts and incidents in one transaction.

    detector : the domain's own when absent. A first run fits the model. A re-run doubles nothing. One run of a tenant at a time; a second one waits.
    Raises UnknownNameError for a domain, level, profile or detector that does not exist, NotEnoughDataError
    when there is too little to learn from, CancelledError when `on_step` answers False: no alert is kept then.
    """
    if domain not in DOMAINS:
        raise UnknownNameError.of("detect", "the domain", f"one of {', '.join(DOMAINS)}", domain)
    known = DOMAINS[domain].levels
    if level is not None and level not in known:
        raise UnknownNameError.of("detect", "the level", f"one of {', '.join(known)}", level)
    detector = detector or DOMAINS[domain].defaults["detector"]
    name = scorer.SPOKEN.get(detector, detector)
    if name not in {entry.name for entry in catalog.ENTRIES} or not issubclass(
        catalog.get(name), Detector
    ):
        judges = [known for known, kind in catalog.entries() if issubclass(kind, Detector)]
        raise UnknownNameError.of("detect", "the detector", f"one of {', '.join(judges)}", detector)
    with turn(tenant):
        run_id = _begin(context, tenant, domain, detector, at, actor)
        try:
            about = (level, profile, detector, explain, cause)
            return _Run(context, tenant, domain, actor, at, on_step, *about).go(run_id)
        except BaseException as error:
            _fail(context, tenant, run_id, error)
            raise


@dataclass(frozen=True, eq=False)
class _Told:
    """What one look has to tell, without the figures that it was told from.

    chosen, entities : how many could raise an alert, and how many there are
    incidents        : what was found, each with the places of its alerts
    streams          : what streaming parts learned, to be saved
    save             : writes down what an experiment saw
    """

    chosen: int
    entities: int
    alerts: Sequence[NewAlert]
    incidents: Sequence[tuple[NewIncident, Sequence[int]]]
    notes: list[str]
    streams: Sequence[Any]
    save: Callable[[Any], None]


@dataclass
class _Run:
    context: Context
    tenant: str
    domain: str
    actor: str
    at: datetime | None
    on_step: OnStep | None
    level: str | None
    profile: str | None
    detector: str
    explain: bool
    cause: bool
    seconds: dict[str, float] = field(default_factory=dict)
    served: Served | None = None
    """Who judges: chosen, or fitted, by the newest look."""

    def go(self, run_id: int) -> DetectionReport:
        started = self._mark = time.perf_counter()
        self._tell("detect", 0.0)
        # asked before anything is read: what comes in meanwhile is left to the next run
        seen, batch = self._seen(self.detector)
        looks = scenes.each(
            self.context,
            self.tenant,
            lambda scene: self._look(run_id, scene, seen),
            domain=self.domain,
            as_of=self.at,
            seen=seen,
        )
        with self._stage("save", 0.9):
            rows, incidents, created = self._save(run_id, looks, batch)
        counts = Counter(alert.severity for alert in rows)
        newest = looks[0]
        return DetectionReport(
            run_id=run_id,
            model_version=self._version,
            total_entities_checked=newest.chosen,
            anomalies_detected=len(rows),
            severity_counts={name: counts.get(name, 0) for name in SEVERITIES},
            alerts=rows,
            incidents=incidents,
            created=created,
            seconds=self.seconds,
            execution_time_ms=1000 * (time.perf_counter() - started),
            notes=newest.notes,
        )

    def _look(self, run_id: int, scene: Scene, seen: datetime | None) -> _Told:
        """What one look has to tell; the newest comes first, and alone takes part in what goes on now."""
        self._spent("detect", self._mark)
        newest = self.served is None
        chosen = chosen_entities(scene, self.level, self.profile)
        with self._stage("train", 0.1):
            served = self.served = self.served or scorer.serve(
                self.context,
                self.tenant,
                scene,
                domain=self.domain,
                detector=self.detector,
                actor=self.actor,
                on_step=self.on_step,
            )
        with self._stage("detect", 0.6):
            ensemble = scorer.resumed(self.context, self.tenant, served)
            began = time.perf_counter()
            judged = scenes.judge(scene, ensemble)
            live = newest and not self._in_the_past and scorer.is_champions(scene, self.detector)
            trial = trials.route(
                self.context,
                self.tenant,
                scene,
                served,
                ensemble,
                judged,
                seconds=time.perf_counter() - began,
                run_id=run_id,
                live=live,
            )
            sightings = trial.sightings(scene, chosen, scene.told_from(seen))
            stakes = stakes_of(scene, trial.judged, sightings)
            ahead = Foretold()
            if newest:
                about = (scene, chosen, sightings, served.version.id)
                ahead = foretell(self.context, self.tenant, *about)
        groups: list[Found] = []
        causes: Sequence[Sequence[Cause]] = []
        told: Sequence[Attribution] = []
        refused = ""
        if self.cause:
            with self._stage("cause", 0.7):
                words, refused = wording(self.context, self.tenant, scene, until=self.at)
                groups, causes = located(scene, trial.judged, sightings, stakes, wording=words)
        if self.explain:
            with self._stage("explain", 0.8):
                told = trial.each(
                    sightings,
                    lambda arm, mine: explained(
                        scene, arm.judged, arm.ensemble, [sightings[place] for place in mine]
                    ),
                )
        with self._stage("save", 0.9):
            found = trial.each(
                sightings,
                lambda arm, mine: new_alerts(
                    scene,
                    arm.judged,
                    [sightings[place] for place in mine],
                    stakes.of(mine),
                    [told[place] for place in mine] if told else (),
                    [causes[place] for place in mine] if causes else (),
                    arm.ensemble,
                    arm.served.version.id,
                ),
            )
            notes = [f"{name} was left out: {why}" for name, why in ensemble.left_out.items()]
            notes += filter(
                None,
                (
                    served.notice,
                    scorer.shortness(scene.lessons, scene.domain.window),
                    judged.deaf,
                    judged.silence,
                    refused,
                ),
            )
            notes += (*scene.unseen(seen), *trial.notes, *ahead.notes)
            self._mark = time.perf_counter()
            return _Told(
                chosen=int(chosen.sum()),
                entities=len(scene.panel.entities),
                alerts=[*found, *ahead.alerts],
                incidents=[
                    (new_incident(scene, item, sightings, found), item.places) for item in groups
                ],
                notes=notes,
                streams=self._learned(trial, scene) if newest else (),
                save=trial.save,
            )

    def _learned(self, trial: Trial, scene: Scene) -> list[Any]:
        """What the streaming parts learned; as known in the past, they would learn days they must not know yet."""
        return [
            stream
            for arm in (() if self._in_the_past else trial.arms)
            for stream in scorer.advance(
                self.context, self.tenant, arm.served, scene.residual, scene.domain.window
            )
        ]

    @contextmanager
    def _stage(self, name: str, share: float) -> Iterator[None]:
        self._tell(name, share)
        began = time.perf_counter()
        yield
        self._spent(name, began)

    def _tell(self, name: str, share: float) -> None:
        if self.on_step is not None and self.on_step(name, share, {}) is False:
            raise CancelledError.of("detect", "the run", "allowed to go on", f"a stop at {name}")

    def _spent(self, name: str, began: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    @property
    def _version(self) -> str:
        return "" if self.served is None else self.served.version.id

    @cached_property
    def _newest(self) -> datetime | None:
        return scenes.newest(self.context, self.tenant, domain=self.domain)

    @cached_property
    def _in_the_past(self) -> bool:
        """Whether newer figures are known than those the run may see; what they say then stands."""
        newest = self._newest
        return self.at is not None and newest is not None and self.at < newest

    def _seen(self, detector: str) -> tuple[datetime | None, int]:
        """Until when this detector saw everything that is here by now, and the newest import that this includes.

        What came in since for times seen already is to be seen again; a look into the past has nothing to catch up on.
                noticed=stored.ids,
        """
        if self._in_the_past:
            return self.at, 0
        until, known = self.context.records.read(
            self.tenant,
            lambda session: run_store.seen(
                session, tenant=self.tenant, domain=self.domain, detector=detector
            ),
        )
        samples = self.context.metrics.samples
        newest, late = samples.arrived(self.tenant, DOMAINS[self.domain], after=known)
        return until and min(until, late or until), newest

    def _kept(self) -> Collection[str]:
        """What a live alert keeps: what the run was not asked for, and everything when it looks at the past."""
        if self._in_the_past:
            return alert_store.EVERYTHING
        told = () if self.explain else ("explanation", "sentence")
        return told if self.cause else (*told, "root_causes")

    def _save(
        self, run_id: int, looks: Sequence[_Told], batch: int
    ) -> tuple[list[Alert], list[Incident], int]:
        """Everything in one transaction, oldest look first, so that the newest has the last word."""
        now = self.context.clock()
        who = {"tenant": self.tenant, "now": now, "actor": self.actor}
        newest, keep = looks[0], self._kept()
        whole = self.level is None and self.profile is None and not self._in_the_past
        seen = self._newest if whole else None

        def write(session: Any) -> tuple[list[Alert], list[Incident], int]:
            alerts: dict[int, Alert] = {}
            incidents: dict[int, Incident] = {}
            created = 0
            for look in reversed(looks):
                stored = alert_store.upsert(session, found=look.alerts, keep=keep, **who)
                kept = outbreaks.gather(
                    session,
                    found=[incident for incident, _ in look.incidents],
                    holding=[
                        [stored.ids[place] for place in places] for _, places in look.incidents
                    ],
                    anew=not self._in_the_past,
                    **who,
                )
                # a row found twice is one row
                alerts |= {int(row.id): row for row in stored.rows}
                incidents |= {int(row.id): row for row in kept.rows}
                created += stored.created
            for stream in newest.streams:
                run_store.save_stream(session, tenant=self.tenant, now=now, **stream)
            run_store.finish(
                session,
                tenant=self.tenant,
                run_id=run_id,
                now=now,
                entities_checked=newest.entities,
                anomalies=sum(len(look.alerts) for look in looks),
                seconds=self.seconds,
                model_version=self._version,
                notes=newest.notes,
                seen_until=seen,
                seen_batch=0 if seen is None else batch,
            )
            newest.save(session)
            return list(alerts.values()), list(incidents.values()), created

        return self.context.records.write(self.tenant, write)


# ── The run's own record ─────────────────────────────────────────────────────────────────────────


def _begin(
    context: Context, tenant: str, domain: str, detector: str, at: datetime | None, actor: str
) -> int:
    now = context.clock()

    def write(session: Any) -> int:
        run_store.heal(session, tenant=tenant, now=now)
        run = run_store.start(
            session,
            tenant=tenant,
            domain=domain,
            detector=detector,
            at=at or now,
            as_of=at,
            actor=actor,
            now=now,
        )
        return int(run.id)

    return context.records.write(tenant, write)


def _fail(context: Context, tenant: str, run_id: int, error: BaseException) -> None:
    said = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
    now = context.clock()
    context.records.write(
        tenant,
        lambda session: run_store.fail(
            session, tenant=tenant, run_id=run_id, now=now, error=said[:2000]
        ),
    )
