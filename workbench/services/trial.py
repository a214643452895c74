"""An experiment inside a detection run: who decides for whom, what both said, and whether it may go on.

Where none runs, the champion decides for everybody and nothing else happens. A treatment that cannot score never
fails a run: it is taken out of the very run that shows its fault, and the experiment ends with the reason.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

from core.contracts import Bools
from core.errors import HeadwaterError
from core.evaluate import experiment
from data import experiment_store
from data.experiment_store import COMPLETED, FAILED
from data.model_records import Experiment
from data.routing import Rung
from models import rollout
from models.serve import Served
from workbench.context import Context
from workbench.services import labelled, scorer, targets
from workbench.services import scene as scenes
from workbench.services.findings import Sighting, sightings_of
from workbench.services.scene import Judged, Scene
from workbench.services.targets import Observed, Tally

SHADOW, CANARY = "shadow", "canary"
RUNGS = ((SHADOW, 0.0), *((CANARY, share) for share in rollout.LADDER))
"""The ladder: both judge and the champion alone alerts, then the treatment alerts for ever more units."""
ACTOR = "headwater"
"""In whose name an experiment ends by itself."""
VOLUME, SPARE_ALERTS = 2.0, 5
"""Alerts of the treatment that are allowed for one of the champion, and how many more never matter."""
LATENCY, SPARE_SECONDS = 2.0, 1.0
FAULTS = 0.01
"""Share of runs that may fail, and of scores that may be missing."""
UNDECIDED = "inconclusive: need more data"
ENDS = {
    "deploy": "the treatment is better.",
    "reject": "the treatment is worse.",
    "inconclusive: small effect": "the planned information is in, and no effect showed.",
    UNDECIDED: "the planned days are over before the planned information came in.",
}
"""Why an experiment ends with a verdict."""


def _nothing(session: Any) -> None:
    """What there is to write down where no experiment runs."""


@dataclass(frozen=True, eq=False)
class Arm:
    """A model that judged the scene, and the entities (n_entity,) for which its word counts."""

    served: Served
    ensemble: Any
    judged: Judged
    decides: Bools


@dataclass(frozen=True, eq=False)
class Trial:
    """The arms of a run, the champion first; `save(session)` writes down what the run saw of the experiment."""

    arms: tuple[Arm, ...]
    notes: tuple[str, ...] = ()
    save: Callable[[Any], None] = _nothing

    @cached_property
    def judged(self) -> Judged:
        """What counts: for every entity the p-values of the model that decides for it."""
        champion, *others = self.arms
        others = [arm for arm in others if arm.decides.any()]
        if not others:
            return champion.judged
        p_values = champion.judged.p_values
        for arm in others:
            p_values = np.where(arm.decides[:, None], arm.judged.p_values, p_values)
        return dataclasses.replace(champion.judged, p_values=p_values)

    def sightings(self, scene: Scene, chosen: Bools, since: int) -> list[Sighting]:
        """The episodes of the chosen entities from column `since` on, each by the cut of the model that decides."""
        found = [
            seen
            for arm in self.arms
            for seen in sightings_of(scene, arm.judged, chosen & arm.decides, since)
        ]
        return sorted(found, key=lambda seen: seen.row)

    def each(
        self, sightings: Sequence[Sighting], say: Callable[[Arm, list[int]], Sequence[Any]]
    ) -> list[Any]:
        """What each arm says of its own sightings, named by their places, in the order of all."""
        said: dict[int, Any] = {}
        for arm in self.arms:
            mine = [place for place, seen in enumerate(sightings) if arm.decides[seen.row]]
            said |= dict(zip(mine, say(arm, mine), strict=True)) if mine else {}
        return [said[place] for place in range(len(sightings))]


def route(
    context: Context,
    tenant: str,
    scene: Scene,
    served: Served,
    ensemble: Any,
    judged: Judged,
    *,
    seconds: float,
    run_id: int,
    live: bool,
) -> Trial:
    """Let the experiment that runs in the scene's domain take part in a run of the champion.

    seconds : what the champion took to judge
    live    : whether the run looks at now, with the champion; any other is no part of an experiment
    """
    everyone = np.ones(len(scene.panel.entities), dtype=bool)
    champion = Arm(served, ensemble, judged, everyone)
    row = running(context, tenant, scene.domain.name) if live else None
    if row is None:
        return Trial((champion,))
    part = _Part(context, tenant, scene, row, champion, seconds, run_id)
    if row.control != served.version.id:
        why = f"{served.version.id} scores now, not {row.control} with which it was planned"
        return part.ended(f"Rolled back: {why}.", {})
    return part.taken()


def running(context: Context, tenant: str, domain: str) -> Experiment | None:
    """The experiment that runs in a domain, if any."""
    return context.records.read(
        tenant, lambda session: experiment_store.running(session, tenant=tenant, domain=domain)
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """A running experiment and the run that it takes part in."""

    context: Context
    tenant: str
    scene: Scene
    row: Experiment
    champion: Arm
    seconds: float
    run_id: int

    def taken(self) -> Trial:
        """Judge by the treatment too, look, and let it decide for its units; or end the experiment and say why."""
        treated = self._treated()
        try:
            version = self.context.registry.store.get(self.tenant, self.row.treatment)
            served = Served(version, self.context.serve.load(version))
            ensemble = scorer.resumed(self.context, self.tenant, served)
            began = time.perf_counter()
            judged = scenes.judge(self.scene, ensemble)
        except HeadwaterError as error:
            return self._alone(self._look({"error": error.message}))
        took = time.perf_counter() - began
        treatment = Arm(served, ensemble, judged, treated)
        observed = Observed.of(self.scene, self.champion.judged, judged, self._units, treated)
        look = self._look(self._compared(observed, took, treatment))
        since, newest = (date.fromisoformat(look[name]) for name in ("since", "day"))
        # days that are judged no more, or in part, stay as they were last seen
        again = max(since, observed.whole)
        self.context.metrics.routing.observe(
            self.tenant,
            rung(self.row),
            since=again,
            exposures=observed.exposures(again),
            alarms=observed.alarms(again),
        )
        look |= self._measured(since, newest)
        checks = guardrails([*on_rung(self.row), look], self.row)
        if broken(checks):
            return self.ended(f"Rolled back: {broken(checks)}.", self._with(look, checks))
        changes = self._with(look, checks) | self._decided(look)
        ended = "reason" in changes
        champion = dataclasses.replace(self.champion, decides=~treated)
        self._log(treated, treatment)
        return Trial(
            (champion, treatment),
            (f"Experiment {self.row.id} ended: {changes['reason']}",) if ended else (),
            self._move("end" if ended else "look", changes),
        )

    def ended(self, reason: str, changes: Mapping[str, Any]) -> Trial:
        """The champion for everybody, and the experiment's end with the run."""
        self._log(np.zeros_like(self.champion.decides))
        note = f"Experiment {self.row.id} ended. {reason}"
        ending = {**changes, "state": FAILED, "reason": reason}
        return Trial((self.champion,), (note,), self._move("roll back", ending))

    def _alone(self, look: dict[str, Any]) -> Trial:
        """The champion for everybody in a run that the treatment could not score; the end, where it is one too many."""
        checks = guardrails([*on_rung(self.row), look], self.row)
        if broken(checks):
            return self.ended(f"Rolled back: {broken(checks)}.", self._with(look, checks))
        self._log(np.zeros_like(self.champion.decides))
        note = f"Experiment {self.row.id}: the champion decided for everybody, {look['error']}"
        return Trial((self.champion,), (note,), self._move("look", self._with(look, checks)))

    @cached_property
    def _units(self) -> list[str]:
        """The unit of each entity."""
        scene = self.scene
        return targets.units_of(
            scene.graph, scene.panel.entities, self.row.unit, scene.domain.levels
        )

    def _treated(self) -> Bools:
        """(n_entity,) for which the treatment decides on this rung."""
        if self.row.stage == SHADOW:
            return np.zeros(len(self._units), dtype=bool)
        names = sorted(set(self._units) - {""})
        arms = dict(zip(names, rollout.arm(self.row.salt, names, self.row.share), strict=True))
        return np.array([bool(arms.get(unit, False)) for unit in self._units])

    def _look(self, seen: Mapping[str, Any]) -> dict[str, Any]:
        """What the run saw, and where and when; days count from the newest at the rung's first look."""
        newest = targets.first_day(self.scene).isoformat()
        before = on_rung(self.row)
        return {
            "at": self.context.clock().isoformat(),
            "run": self.run_id,
            "stage": self.row.stage,
            "share": self.row.share,
            "since": before[0]["since"] if before else newest,
            "day": newest,
            **seen,
        }

    def _compared(self, observed: Observed, took: float, treatment: Arm) -> dict[str, Any]:
        """The run's own figures: speed, alerts of both models on the same entities, scores that are missing."""
        affected = observed.units >= 0 if self.row.stage == SHADOW else observed.treated
        arms = (self.champion, treatment)
        alerts = [len(sightings_of(self.scene, arm.judged, affected)) for arm in arms]
        judged = observed.measured & np.isfinite(observed.control_p) & affected[:, None]
        missing = judged & ~np.isfinite(observed.treatment_p)
        return {
            "seconds": [round(self.seconds, 4), round(took, 4)],
            "alerts": alerts,
            "missing": float(missing.sum() / max(judged.sum(), 1)),
        }

    def _with(self, look: Mapping[str, Any], checks: Mapping[str, Any]) -> dict[str, Any]:
        return {"looks": [*self.row.looks, look], "guardrails": checks}

    def _decided(self, look: Mapping[str, Any]) -> dict[str, Any]:
        """The verdict, where this look is the one that gives it, and the end, where it is one."""
        word = look.get("word", "")
        overdue = look["days"] >= self.row.days
        if not word or self.row.verdict or (word == UNDECIDED and not overdue):
            return {}
        if word == "deploy" and self.row.stage == SHADOW:
            return {"verdict": word}
        return {"verdict": word, "state": COMPLETED, "reason": ENDS[word]}

    def _log(self, treated: Bools, treatment: Arm | None = None) -> None:
        """Write down who decided for whom in this run."""
        control = self.champion.served.version.id
        has_unit = np.array([bool(unit) for unit in self._units])
        other = treatment.served.version.id if treatment else control
        columns = {
            "entity": np.array(self.scene.panel.entities, dtype=object),
            "unit": np.array(self._units, dtype=object),
            "arm": np.where(treated, "treatment", "control").astype(object),
            "version": np.where(treated, other, control).astype(object),
        }
        self.context.metrics.routing.decide(
            self.tenant,
            rung(self.row),
            run=self.run_id,
            at=self.context.clock(),
            decisions={name: column[has_unit] for name, column in columns.items()},
        )

    def _measured(self, since: date, newest: date) -> dict[str, Any]:
        """What the rung shows of the target metric so far, and how even its split is."""
        days = (newest - since).days + 1
        units = self.context.metrics.routing.units(self.tenant, rung(self.row))
        found = measure(self.row, tally(self.context, self.tenant, self.row, days), days)
        if self.row.stage == CANARY:
            treated = int(np.asarray(units["treated"], dtype=bool).sum())
            control = len(units["treated"]) - treated
            p = experiment.split_p_value(control, treated, self.row.share)
            found |= {"split": [control, treated], "split_p": p}
        return found

    def _move(self, verb: str, changes: Mapping[str, Any]) -> Callable[[Any], None]:
        """To be called inside the run's transaction: the experiment's next state, unless somebody ended it meanwhile."""

        def write(session: Any) -> None:
            now = experiment_store.get(session, tenant=self.tenant, number=int(self.row.id))
            if now.version == self.row.version:
                experiment_store.move(
                    session,
                    tenant=self.tenant,
                    number=int(self.row.id),
                    verb=verb,
                    changes=changes,
                    actor=ACTOR,
                    now=self.context.clock(),
                )

        return write


# ── A rung: where it stands, what it shows, what would end it ────────────────────────────────────


def rung(row: Experiment) -> Rung:
    """Where an experiment stands on its ladder."""
    return Rung(int(row.id), row.stage, row.share)


def on_rung(row: Experiment) -> list[dict[str, Any]]:
    """The looks of the rung that an experiment stands on, oldest first."""
    return [look for look in row.looks if (look["stage"], look["share"]) == (row.stage, row.share)]


def decisive(row: Experiment) -> bool:
    """Whether the target metric is decided on the rung that an experiment stands on."""
    paired = targets.metric(row.metric).design == "paired"
    return (row.stage, row.share) == (RUNGS[0] if paired else RUNGS[-1])


def tally(context: Context, tenant: str, row: Experiment, days: int) -> Tally:
    """Sums by unit of what the rung has seen."""
    log = context.metrics.routing
    if row.metric == "alert-rate":
        return targets.rate_tally(log.units(tenant, rung(row)), days)
    found = labelled.episodes(context, tenant, row.domain)
    return targets.label_tally(row.metric, log.alarms(tenant, rung(row)), found, days)


def measure(row: Experiment, counted: Tally, days: int) -> dict[str, Any]:
    """One look at the target metric, as it is kept: shares, intervals that hold over all looks, the word."""
    chosen = targets.metric(row.metric)
    paired = row.stage == SHADOW or row.metric == "agreement"
    known = {"days": days, "rows": float(counted.rows.sum()), "units": len(counted.rows)}
    if row.stage == SHADOW and chosen.design == "arms":
        return known
    found = targets.measured(counted, "paired" if paired else "arms", row.alpha)
    if found is None:
        return known
    needed, planned = (
        experiment.planned_error(effect, row.alpha, row.power)
        for effect in (row.effect, _least(row))
    )
    look = experiment.look(found.difference, planned, row.alpha)
    enough = days >= row.days and 0 < float(found.difference.error) <= needed
    bounded = np.isfinite([look.low, look.high]).all()
    return known | {
        "control": found.control,
        "treatment": found.treatment,
        "value": float(look.value),
        "low": float(look.low) if bounded else None,
        "high": float(look.high) if bounded else None,
        "fraction": float(look.fraction),
        "p": float(found.difference.p),
        "d": [None if np.isnan(value) else value for value in found.d],
        "word": experiment.recommend(look, better=chosen.better, enough=enough)
        if decisive(row)
        else "",
    }


def _least(row: Experiment) -> float:
    """The smallest effect that the planned days show, no larger than the one that is looked for.

    Its information is what all the days bring, so it is not in before they are over, however many units there are: one
    day's weather hits all units at once. Before that only a clear answer ends the experiment.
    """
    known = row.plan.get("detectable")
    shown = abs(known) if known is not None and np.isfinite(known) else np.inf
    return float(min(shown, abs(row.effect)))


def guardrails(looks: Sequence[Mapping[str, Any]], row: Experiment) -> dict[str, dict[str, Any]]:
    """Every guardrail of a rung at its newest look: measured, limit, ok, and what it says in words."""
    latest = looks[-1]
    failed = sum("error" in look for look in looks)
    checks: dict[str, dict[str, Any]] = {
        "errors": _check(
            failed / len(looks),
            FAULTS,
            failed <= FAULTS * len(looks),
            f"the treatment failed to score in {failed:,} of {len(looks):,} runs"
            + (f" ({latest['error']})" if "error" in latest else ""),
        )
    }
    timed = np.array([look["seconds"] for look in looks if "seconds" in look])
    if len(timed):
        slow = np.percentile(timed, 99, axis=0)
        checks["latency"] = _check(
            float(slow[1]),
            max(LATENCY * float(slow[0]), float(slow[0]) + SPARE_SECONDS),
            slow[1] <= max(LATENCY * slow[0], slow[0] + SPARE_SECONDS),
            f"99 % of runs took it up to {slow[1]:.2f} s, the champion {slow[0]:.2f} s",
        )
    if "alerts" in latest:
        control, treatment = latest["alerts"]
        limit = max(VOLUME * control, control + SPARE_ALERTS)
        checks["alert volume"] = _check(
            treatment,
            limit,
            treatment <= limit,
            f"{treatment} alerts where the champion raises {control}",
        )
        checks["missing scores"] = _check(
            latest["missing"],
            FAULTS,
            latest["missing"] <= FAULTS,
            f"{100 * latest['missing']:.1f} % of the entity-days that the champion scores have none",
        )
    if "split_p" in latest:
        control, treatment = latest["split"]
        checks["split"] = _check(
            latest["split_p"],
            experiment.SRM,
            latest["split_p"] >= experiment.SRM,
            f"{treatment:,} of {control + treatment:,} units are treated, {100 * row.share:.0f} % were meant "
            f"(p {latest['split_p']:.2g})",
        )
    return checks


def broken(checks: Mapping[str, Mapping[str, Any]]) -> str:
    """What the broken guardrails say; "" where all hold."""
    return "; ".join(check["said"] for check in checks.values() if not check["ok"])


def _check(measured: float, limit: float, ok: Any, said: str) -> dict[str, Any]:
    return {"measured": float(measured), "limit": float(limit), "ok": bool(ok), "said": said}
