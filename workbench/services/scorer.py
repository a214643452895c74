"""Which fitted model scores a domain, fitted first if nobody has; and what its streaming parts learned since."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from core import artifact, catalog
from core.contracts import DAY, Detector, OnStep, Panel, State, StreamingDetector
from core.ensembles.calibrated import CalibratedEnsemble
from core.errors import NotFoundError, PersistenceError
from data import run_store
from models import train as training
from models.ports import VersionRow
from models.serve import Served
from workbench.context import Context
from workbench.services import labelled
from workbench.services.scene import Scene, heard, learned
from workbench.services.training import fit_champion

SPOKEN = {
    "lstm": "lstm-autoencoder",
    "streaming": "half-space-trees",
    "isolation_forest": "isolation-forest",
}
"""The specification's words for detectors of the catalogue."""
CURE = "Restore the registry from a backup, or run with another detector: --detector vote-50-30-20"
LEAST_TRAINING = 12
"""Days with an expectation that must be left to learn from when the newest window is kept apart."""


def serve(
    context: Context,
    tenant: str,
    scene: Scene,
    *,
    domain: str,
    detector: str,
    actor: str,
    on_step: OnStep | None = None,
) -> Served:
    """The champion, or the newest sound version of the named detector; fitted now when there is none.

    A champion that learned other metrics than the scene holds is stood in for by a version of these, and says so.
    A detector that is no ensemble votes alone, under the same calibration. Raises UnknownNameError for a
    name that the catalogue lacks, MissingExtraError, NotEnoughDataError, and the PersistenceError of a champion
    that nothing can stand in for.
    """
    wanted = _wanted(scene, detector)
    history = training_part(scene.lessons, scene.domain.window)
    first = None
    if is_champions(scene, detector):
        try:
            served = standing(context, tenant, scene)
            if knows(served, scene):
                return served
            first, notice = served.version, ""
        except PersistenceError as broken:
            raise type(broken)(broken.message, hint=CURE, **broken.context) from broken
        except NotFoundError:
            fit_champion(
                context,
                tenant,
                history,
                labels=labelled.mask(context, tenant, domain, history),
                domain=domain,
                detector=wanted.ensemble,
                params=wanted.params,
                actor=actor,
                on_step=on_step,
            )
            return context.serve.champion(tenant, domain)
    else:
        found, notice = _sound(context, tenant, scene, wanted)
        if found is not None:
            return found
    odd = labelled.mask(context, tenant, domain, history)
    trained = training.train(
        history,
        name=wanted.ensemble,
        params=wanted.params,
        labels=odd,
        on_step=on_step,
        held_out=0.0,
    )
    version = training.publish(context.registry, tenant, domain, trained, history, actor=actor)
    notice = notice if first is None else _instead(first, version)
    return Served(version, context.serve.load(version), notice)


def standing(context: Context, tenant: str, scene: Scene) -> Served:
    """The version that scores a scene as things stand; nothing is fitted.

    The champion; where it learned other metrics than the scene holds, the version of these that runs have fitted to
    stand in for it; before the first such run the champion, to be heard by the metrics that it learned.
    Raises NotFoundError without a champion, PersistenceError where none can be trusted.
    """
    domain = scene.domain.name
    champion = context.serve.champion(tenant, domain)
    if knows(champion, scene):
        return champion
    wanted = _wanted(scene, scene.domain.defaults["detector"])
    found, _ = _sound(context, tenant, scene, wanted)
    if found is None:
        return champion
    return dataclasses.replace(found, notice=_instead(champion.version, found.version))


def knows(served: Served, scene: Scene) -> bool:
    """Whether a version learned the very metrics that the scene holds."""
    return learned(served.algorithm) == scene.residual.metrics


@dataclass(frozen=True)
class _Wanted:
    """An ensemble of the catalogue, and its parameters that are not the defaults."""

    ensemble: str
    params: Mapping[str, str]


def _wanted(scene: Scene, detector: str) -> _Wanted:
    name = SPOKEN.get(detector, detector)
    ensemble = name if issubclass(catalog.get(name), CalibratedEnsemble) else ""
    params = {} if ensemble else {"parts": f"{name}=1"}
    if "settings" in scene.domain.defaults and is_champions(scene, detector):
        params["settings"] = scene.domain.defaults["settings"]
    return _Wanted(ensemble or CalibratedEnsemble.name, params)


def _sound(
    context: Context, tenant: str, scene: Scene, wanted: _Wanted
) -> tuple[Served | None, str]:
    """The newest version of what is wanted that loads and knows the scene, and a word on the last that was refused."""
    params = dataclasses.asdict(catalog.get(wanted.ensemble).Params.of(wanted.params))
    notice = ""
    for version in context.registry.store.versions(tenant, scene.domain.name, wanted.ensemble):
        if version.params == params:
            try:
                served = Served(version, context.serve.load(version), notice)
                if knows(served, scene):
                    return served, notice
            except PersistenceError as broken:
                notice = f"Version {version.id} was refused: {broken.message}"
    return None, notice


def _instead(champion: VersionRow, version: VersionRow) -> str:
    return (
        f"Champion {champion.id} learned other metrics than are measured now; {version.id}, which learned these, "
        f"scores in its place until one is promoted: headwater models promote {version.id} --reason TEXT"
    )


def is_champions(scene: Scene, detector: str) -> bool:
    """Whether a run with this detector is scored by the domain's champion."""
    return SPOKEN.get(detector, detector) == scene.domain.defaults["detector"]


def training_part(residual: Panel, window: int) -> Panel:
    """The days with something to learn from, without the newest window where history allows.

    What is to be judged must not teach what is normal; a history too short for that learns from all of it.
    """
    known = np.flatnonzero(np.isfinite(residual.values).any(axis=(0, 2)))
    first, length = int(known[0]) if len(known) else 0, len(residual.periods)
    apart = length - first - window >= LEAST_TRAINING
    return residual.select(times=slice(first, length - window if apart else length))


def shortness(residual: Panel, window: int) -> str:
    """What a short history means for what is found, in words; "" where it is long enough."""
    history = training_part(residual, window)
    if history.periods.labels[-1] < residual.periods.labels[-1]:
        return ""
    step, many = history.periods.step, len(history.periods)
    if step >= DAY:
        told, needed, newest = f"{many} days", str(window + LEAST_TRAINING), "two weeks"
    else:
        hours = float(step / np.timedelta64(1, "h"))
        told, needed = f"{many * hours:.1f} hours", f"{(window + LEAST_TRAINING) * hours:.1f}"
        newest = f"{window * hours:.0f} hours"
    return (
        f"Only {told} could be judged against what came before them, {needed} are needed to keep the newest "
        f"{newest} out of what is learned as normal: import more history."
    )


# ── Streaming parts ──────────────────────────────────────────────────────────────────────────────


def resumed(context: Context, tenant: str, served: Served) -> CalibratedEnsemble:
    """The served ensemble with its streaming parts as they were left by the last run."""
    ensemble: CalibratedEnsemble = served.algorithm  # type: ignore[assignment]
    running = {
        name: kept[0]
        for name in _streaming(ensemble)
        if (kept := _load(context, tenant, served.version, name)) is not None
    }
    return _with_parts(ensemble, running)


def advance(
    context: Context, tenant: str, served: Served, residual: Panel, window: int
) -> list[Any]:
    """What each streaming part has learned once the days that left the window are learned, to be saved.

    Every day is learned once: a run learns the days after those that the kept state ends with.
    """
    ensemble: CalibratedEnsemble = served.algorithm  # type: ignore[assignment]
    residual = heard(residual, ensemble)
    days = residual.periods.labels.astype("datetime64[D]")
    last = max(len(days) - window, 0)
    kept_rows = []
    for name, part in _streaming(ensemble).items():
        kept = _load(context, tenant, served.version, name)
        state, until = kept if kept else (None, days[last - 1].item() if last else None)
        running = part.begin(residual.entities, state)
        first = int(np.searchsorted(days, np.datetime64(until), side="right")) if until else 0
        for time in range(first, last):
            running, _ = part.update(running, residual.values[:, time])
        newest = days[max(first, last) - 1].item() if last else until
        kept_rows.append(
            {
                "domain": served.version.domain,
                "detector": name,
                "model_version": served.version.id,
                "state": _to_bytes(running),
                "until": max(filter(None, (until, newest)), default=None),
            }
        )
    return kept_rows


def _streaming(ensemble: CalibratedEnsemble) -> dict[str, Any]:
    members = ensemble.scorer.members
    return {name: part for name, part in members.items() if isinstance(part, StreamingDetector)}


def _with_parts(ensemble: CalibratedEnsemble, running: dict[str, State]) -> CalibratedEnsemble:
    if not running:
        return ensemble
    votes = ensemble.scorer
    members: dict[str, Detector] = dict(votes.members)
    for name, kept in running.items():
        part = members[name]
        known = {role: value for role, value in kept.items() if role in part.state}
        members[name] = type(part)(part.params, state={**part.state, **known})
    again = type(ensemble)(ensemble.params, state=ensemble.state)
    again.__dict__["scorer"] = dataclasses.replace(votes, members=members)
    return again


def _load(
    context: Context, tenant: str, version: VersionRow, name: str
) -> tuple[State, date | None] | None:
    row = context.records.read(
        tenant,
        lambda session: run_store.load_stream(
            session,
            tenant=tenant,
            domain=version.domain,
            detector=name,
            model_version=version.id,
        ),
    )
    return None if row is None else (_from_bytes(row.state), row.until)


def _to_bytes(running: State) -> bytes:
    """One file of `core.artifact`'s pack after the other, behind a JSON line of their names and lengths."""
    files = artifact.pack(running)
    head = json.dumps({name: len(data) for name, data in files.items()})
    return b"\n".join([head.encode(), b"".join(files.values())])


def _from_bytes(data: bytes) -> State:
    head, _, body = data.partition(b"\n")
    files, start = {}, 0
    for name, length in json.loads(head).items():
        files[name] = body[start : start + length]
        start += length
    return artifact.unpack(files)
