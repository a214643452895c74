"""Experiments: planned with what they can find, started unless hopeless, climbed rung by rung, stopped, told in words."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from core.contracts import DAY
from core.domains import DOMAINS, local_day
from core.errors import ConflictError, InvalidInputError
from data import experiment_store
from data.experiment_store import COMPLETED, FAILED, PLANNING, RUNNING
from data.label_store import Episode
from data.model_records import Experiment
from models.serve import Served
from workbench.context import Context
from workbench.services import labelled, scorer, targets, trial
from workbench.services import scene as scenes
from workbench.services.scene import Scene
from workbench.services.targets import (
    LEAST_UNITS,
    METRICS,
    Metric,
    Observed,
    Outlook,
    Tally,
    outlook,
)
from workbench.services.trial import RUNGS, SHADOW

__all__ = ["METRICS", "Outlook", "outlook"]
LABELLED_DAYS = 90
"""Days of labels that a plan for the precision learns from."""
DISAGREEMENTS = 50


@dataclass(frozen=True)
class ExperimentView:
    """An experiment as people see it. Effects and shares of `looks` are shares; times `scale` they are in `unit_label`.

    rung, ladder : where it stands among the rungs, −1 before it starts
    following    : the rung that it may climb to next, or "finish"; "" where it may not, for the reason in `waits_for`
    said         : what it shows, in words
    """

    id: int
    name: str
    domain: str
    state: str
    control: str
    treatment: str
    metric: str
    metric_label: str
    unit_label: str
    scale: float
    better: int
    design: str
    mde: float
    alpha: float
    power: float
    units: int
    days: int
    unit: str
    stage: str
    share: float
    rung: int
    ladder: tuple[str, ...]
    decided_on: str
    following: str
    waits_for: str
    verdict: str
    said: str
    reason: str
    plan: dict[str, Any]
    looks: list[dict[str, Any]]
    guardrails: dict[str, Any]
    created_at: datetime
    created_by: str
    started_at: datetime | None
    ended_at: datetime | None
    version: int


# ── Before ───────────────────────────────────────────────────────────────────────────────────────


def baseline(
    context: Context,
    tenant: str,
    *,
    domain: str,
    treatment: str,
    metric: str,
    unit: str = "",
) -> Tally:
    """What the newest window, or the newest labels, say of a target metric by unit: what a plan is made from.

    Raises NotFoundError without a champion or for a version that does not exist, the PersistenceError of one
    that cannot be trusted, and InvalidInputError where nothing that learned today's metrics scores yet.
    """
    targets.metric(metric)
    scene = scenes.look(context, tenant, domain=domain)
    control = _control(context, tenant, scene)
    return _baseline(context, tenant, scene, control, treatment, metric, unit)


def _control(context: Context, tenant: str, scene: Scene) -> Served:
    """What scores now, and will in the runs of an experiment."""
    served = scorer.standing(context, tenant, scene)
    if not scorer.knows(served, scene):
        raise InvalidInputError.of(
            "experiments",
            f"the control, {served.version.id},",
            "a version that learned what is measured now",
            scenes.deaf(scene.residual, served.algorithm),
            f"The next run fits one: headwater detect --domain {scene.domain.name}",
        )
    return served


def _baseline(
    context: Context,
    tenant: str,
    scene: Scene,
    champion: Served,
    treatment: str,
    metric: str,
    unit: str,
) -> Tally:
    chosen, domain = targets.metric(metric), scene.domain.name
    unit = unit or scene.domain.defaults["unit"]
    units = targets.units_of(scene.graph, scene.panel.entities, unit, scene.domain.levels)
    said = labelled.episodes(context, tenant, domain)
    version = context.registry.store.get(tenant, treatment)
    _check_pair(champion, treatment, version.domain, domain)
    if chosen.name == "precision":
        return _labelled_so_far(scene, units, said)
    judged = [
        scenes.judge(scene, scorer.resumed(context, tenant, served))
        for served in (champion, Served(version, context.serve.load(version)))
    ]
    nobody = np.zeros(len(units), dtype=bool)
    seen = Observed.of(scene, *judged, units, nobody)
    first: date = seen.days[0].item()
    if chosen.name == "agreement":
        alarms = seen.alarms(first)
        rows = [
            dict(zip(alarms, values, strict=True)) for values in zip(*alarms.values(), strict=True)
        ]
        for row in rows:
            row["day"] = row["day"].item()
        return targets.label_tally(chosen.name, rows, said, len(seen.days))
    exposures = seen.exposures(first)
    names, place = np.unique(exposures["unit"].astype(str), return_inverse=True)
    sums = [
        np.bincount(place, exposures[name], minlength=len(names))
        for name in ("rows", "control_alerts", "treatment_alerts")
    ]
    return Tally(np.zeros(len(names), dtype=bool), *sums, len(seen.days))


def _labelled_so_far(scene: Scene, units: Sequence[str], said: Sequence[Episode]) -> Tally:
    """The champion's labelled alerts of the last days, each an alarm of both."""
    unit_of = dict(zip(scene.panel.entities, units, strict=True))
    newest = targets.first_day(scene)
    kept = [
        episode
        for episode in said
        if unit_of.get(episode.entity)
        and (newest - local_day(episode.last_seen)).days < LABELLED_DAYS
    ]
    alarms = [
        {
            "entity": episode.entity,
            "unit": unit_of[episode.entity],
            "day": local_day(episode.last_seen),
            "treated": False,
            "control_alarm": True,
            "treatment_alarm": True,
        }
        for episode in kept
    ]
    first = min((local_day(episode.onset) for episode in kept), default=newest)
    window = int(scene.domain.window * scene.domain.step / DAY)
    days = min(max((newest - first).days + 1, window), LABELLED_DAYS)
    return targets.label_tally("precision", alarms, kept, days)


def plan(
    context: Context,
    tenant: str,
    *,
    actor: str,
    domain: str = "ads",
    treatment: str,
    metric: str,
    mde: float,
    days: int = 14,
    alpha: float = 0.05,
    power: float = 0.8,
    unit: str = "",
    name: str = "",
    begin: bool = False,
) -> ExperimentView:
    """Write down an experiment of the champion against a version; it routes nothing before it is started.

    mde   : the smallest effect worth finding, above 0, in the metric's shown unit, in the direction that is better
    days  : how long it runs, unless the answer is clear before
    unit  : the level that arms are drawn by, or "entity"; the domain's own when absent
    begin : start it too, or leave nothing behind

    Raises what `baseline` and `outlook` raise, with `begin` also what `start` raises.
    """
    chosen = targets.metric(metric)
    if not (np.isfinite(mde) and mde > 0 and days >= 1):
        rule = "above 0, over at least a day"
        raise InvalidInputError.of("experiments", "the smallest effect", rule, (mde, days))
    if domain not in DOMAINS:
        rule = f"one of {', '.join(DOMAINS)}"
        raise InvalidInputError.of("experiments", "the domain", rule, domain)
    unit = unit or DOMAINS[domain].defaults["unit"]
    scene = scenes.look(context, tenant, domain=domain)
    control = _control(context, tenant, scene)
    seen = _baseline(context, tenant, scene, control, treatment, metric, unit)
    effect = chosen.better * mde / chosen.scale
    found = outlook(seen, metric, effect=effect, days=days, alpha=alpha, power=power)
    fields = {
        "domain": domain,
        "name": name or f"{treatment[-8:]} for {chosen.label.lower()}",
        "control": control.version.id,
        "treatment": treatment,
        "metric": metric,
        "alpha": alpha,
        "power": power,
        "effect": effect,
        "units": found.units,
        "days": days,
        "unit": unit,
        "salt": secrets.token_hex(16),
        "plan": dataclasses.asdict(found) | {"hopeless": found.hopeless},
    }
    now = context.clock()

    def write(session: Any) -> Experiment:
        row = experiment_store.add(session, tenant=tenant, fields=fields, actor=actor, now=now)
        return _begin(session, row, actor, now, None) if begin else row

    return view(context.records.write(tenant, write))


def discard(
    context: Context, tenant: str, number: int, *, actor: str, seen: int | None = None
) -> int:
    """Throw a plan away that was never started; its number. Raises ConflictError for what was."""
    context.records.write(
        tenant,
        lambda session: experiment_store.discard(
            session, tenant=tenant, number=number, actor=actor, now=context.clock(), seen=seen
        ),
    )
    return number


# ── Its life ─────────────────────────────────────────────────────────────────────────────────────


def start(
    context: Context, tenant: str, number: int, *, actor: str, seen: int | None = None
) -> ExperimentView:
    """Let a planned experiment run, in shadow first. Raises InvalidInputError, naming the needed n, for a hopeless one."""
    row = _get(context, tenant, number)
    if row.state == RUNNING:
        raise ConflictError.of("experiments", f"experiment {number}", "not running yet", RUNNING)
    champion = context.serve.champion(tenant, row.domain).version.id
    if row.state == PLANNING and champion != row.control:
        # one that stands in for the champion may have been planned with
        scene = scenes.look(context, tenant, domain=row.domain)
        champion = scorer.standing(context, tenant, scene).version.id
    if row.state == PLANNING and champion != row.control:
        rule = f"the champion that it was planned with, {row.control}"
        raise ConflictError.of(
            "experiments", f"the control of {number}", rule, champion, "Plan a new one."
        )
    now = context.clock()
    return view(
        context.records.write(tenant, lambda session: _begin(session, row, actor, now, seen))
    )


def _begin(
    session: Any, row: Experiment, actor: str, now: datetime, seen: int | None
) -> Experiment:
    if row.state == PLANNING and row.plan["hopeless"]:
        raise InvalidInputError.of(
            "experiments",
            f"units for experiment {row.id}",
            f"at least {row.units:,} to find its effect in {row.days} days with chance {row.power:.0%}",
            row.plan["available"],
            cure(row),
        )
    stage, share = RUNGS[0]
    return experiment_store.move(
        session,
        tenant=row.tenant,
        number=int(row.id),
        verb="start",
        changes={"state": RUNNING, "stage": stage, "share": share, "started_at": now},
        actor=actor,
        now=now,
        seen=seen,
    )


def advance(
    context: Context, tenant: str, number: int, *, actor: str, seen: int | None = None
) -> ExperimentView:
    """Climb to the next rung; from the last one, finish. Raises ConflictError, saying what it waits for."""
    row = _get(context, tenant, number)
    following, waits_for = _following(row)
    if waits_for:
        rule = "ready for the next rung"
        raise ConflictError.of("experiments", f"experiment {number}", rule, row.state, waits_for)
    if following == "finish":
        changes = {"state": COMPLETED, "reason": "the ladder was climbed without a fault."}
    else:
        stage, share = RUNGS[_rung(row) + 1]
        changes = {"stage": stage, "share": share, "guardrails": {}}
    return _move(context, tenant, number, "advance", changes, actor, seen or row.version)


def stop(
    context: Context, tenant: str, number: int, *, actor: str, reason: str, seen: int | None = None
) -> ExperimentView:
    """End an experiment; from the next run on the champion decides for everybody again."""
    if not reason.strip():
        raise InvalidInputError.of("experiments", "the reason", "given", reason)
    changes = {"state": FAILED, "reason": f"Stopped by {actor}: {reason.strip()}"}
    return _move(context, tenant, number, "stop", changes, actor, seen)


# ── What there is to see ─────────────────────────────────────────────────────────────────────────


def listing(context: Context, tenant: str, *, domain: str = "") -> list[ExperimentView]:
    """Every experiment, newest first, each with its newest look alone."""
    rows = context.records.read(
        tenant, lambda session: experiment_store.listing(session, tenant=tenant, domain=domain)
    )
    return [dataclasses.replace(seen, looks=seen.looks[-1:]) for seen in map(view, rows)]


def get(context: Context, tenant: str, number: int) -> ExperimentView:
    """One experiment with every look."""
    return view(_get(context, tenant, number))


def decisions(
    context: Context, tenant: str, number: int, *, entity: str = "", limit: int = 100
) -> dict[str, Any]:
    """What was routed: each arm's size now, and decisions newest first, of one entity or of all."""
    _get(context, tenant, number)
    log = context.metrics.routing
    return {
        "arms": log.arms(tenant, number),
        "decisions": log.decisions(tenant, number, entity=entity, limit=limit),
    }


def disagreements(
    context: Context, tenant: str, number: int, *, limit: int = DISAGREEMENTS
) -> list[dict[str, Any]]:
    """Entity-days of the rung on which one model raised an alarm and the other did not, the clearest first.

    These are the ones to label: on the rows where both say the same, no label can tell the models apart.
    """
    row = _get(context, tenant, number)
    found = [
        alarm
        for alarm in context.metrics.routing.alarms(tenant, trial.rung(row))
        if alarm["control_alarm"] != alarm["treatment_alarm"]
    ]
    apart = sorted(
        found, key=lambda alarm: -abs(np.log(alarm["control_p"]) - np.log(alarm["treatment_p"]))
    )
    return apart[:limit]


def view(row: Experiment) -> ExperimentView:
    """A row as people see it."""
    chosen = targets.metric(row.metric)
    following, waits_for = _following(row)
    return ExperimentView(
        id=int(row.id),
        name=row.name,
        domain=row.domain,
        state=row.state,
        control=row.control,
        treatment=row.treatment,
        metric=row.metric,
        metric_label=chosen.label,
        unit_label=chosen.unit,
        scale=chosen.scale,
        better=chosen.better,
        design=chosen.design,
        mde=abs(row.effect) * chosen.scale,
        alpha=row.alpha,
        power=row.power,
        units=row.units,
        days=row.days,
        unit=row.unit,
        stage=row.stage,
        share=row.share,
        rung=-1 if row.state == PLANNING else _rung(row),
        ladder=tuple(_rung_label(*each) for each in RUNGS),
        decided_on=_rung_label(*(RUNGS[0] if chosen.design == "paired" else RUNGS[-1])),
        following="" if waits_for else following,
        waits_for=waits_for,
        verdict=row.verdict,
        said=_said(row, chosen),
        reason=row.reason,
        plan=row.plan,
        looks=list(row.looks),
        guardrails=row.guardrails,
        created_at=row.created_at,
        created_by=row.created_by,
        started_at=row.started_at,
        ended_at=row.ended_at,
        version=row.version,
    )


def cure(row: Experiment | ExperimentView) -> str:
    """What would give a hopeless experiment a chance."""
    return remedy(row.plan, targets.metric(row.metric))


def remedy(planned: Mapping[str, Any], chosen: Metric) -> str:
    """What would let the units that there are show an effect: more days, or a larger effect."""
    if planned["available"] < LEAST_UNITS:
        return f"An experiment takes at least {LEAST_UNITS} units: choose a lower level as unit."
    ways = []
    if planned["enough_days"]:
        ways.append(f"let it run {planned['enough_days']} days")
    if planned["detectable"] is not None and np.isfinite(planned["detectable"]):
        ways.append(
            f"look for {abs(planned['detectable']) * chosen.scale:.3g} {chosen.unit} or more"
        )
    if not ways:
        return "No number of days would do: choose a lower level as unit, or another metric."
    return f"With {planned['available']:,} units: {', or '.join(ways)}."


def _get(context: Context, tenant: str, number: int) -> Experiment:
    return context.records.read(
        tenant, lambda session: experiment_store.get(session, tenant=tenant, number=number)
    )


def _move(
    context: Context,
    tenant: str,
    number: int,
    verb: str,
    changes: Mapping[str, Any],
    actor: str,
    seen: int | None,
) -> ExperimentView:
    row = context.records.write(
        tenant,
        lambda session: experiment_store.move(
            session,
            tenant=tenant,
            number=number,
            verb=verb,
            changes=changes,
            actor=actor,
            now=context.clock(),
            seen=seen,
        ),
    )
    return view(row)


def _check_pair(champion: Served, treatment: str, its_domain: str, domain: str) -> None:
    if treatment == champion.version.id or its_domain != domain:
        rule = f"another version of {domain} than the champion"
        raise InvalidInputError.of("experiments", "the treatment", rule, treatment)


def _rung(row: Experiment) -> int:
    return RUNGS.index((row.stage, row.share))


def _rung_label(stage: str, share: float) -> str:
    return "Shadow" if stage == SHADOW else f"Canary {100 * share:.0f} %"


def _following(row: Experiment) -> tuple[str, str]:
    """The next rung, and what an experiment waits for before it may climb; "" where nothing holds it."""
    if row.state != RUNNING:
        return "", "It is not running."
    last = _rung(row) == len(RUNGS) - 1
    following = "finish" if last else _rung_label(*RUNGS[_rung(row) + 1])
    if not trial.on_rung(row):
        return following, "No detection run has looked at this rung yet."
    if trial.decisive(row) and row.verdict != "deploy":
        return following, "The target metric is decided on this rung, and it has not been yet."
    return following, ""


def _said(row: Experiment, chosen: Metric) -> str:
    """What an experiment shows so far or has shown, as a sentence."""
    looks = [look for look in row.looks if "value" in look]
    decided = [look for look in looks if look["word"] and look["word"] == row.verdict]
    if row.state == PLANNING or not looks:
        return ""
    look = decided[0] if decided else looks[-1]
    word = row.verdict or look["word"]
    if look["low"] is None:
        return f"{word.capitalize()}." if word else ""
    value, low, high = (_signed(look[name] * chosen.scale) for name in ("value", "low", "high"))
    shown = f"{value} {chosen.unit} ({low} to {high})"
    if look["d"][0] is not None:
        d, low, high = map(_signed, look["d"])
        shown += f", Cohen's d {d} ({low} to {high})"
    return f"{word.capitalize()}. {shown}." if word else f"{shown}."


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
