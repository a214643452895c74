"""Before a training starts: whether the data allow it, each check with its cure, and what it will take."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import numpy as np

from core import catalog, devices
from core.contracts import DAY, Bools, Detector, Forecaster, Panel, Params
from core.domains import DOMAINS
from core.ensembles.calibrated import (
    VALIDATION,
    CalibratedEnsemble,
    CalibratedEnsembleParams,
)
from core.errors import HeadwaterError, InvalidInputError, NotEnoughDataError, install
from core.evaluate import leakage
from core.evaluate.leakage import Finding
from core.evaluate.splits import Split
from core.parts import settings
from data import job_store
from data.model_records import Job
from models.ports import VersionRow
from models.train import CONTEXT, HELD_OUT, split_of
from workbench.context import Context
from workbench.services.scene import deaf, heard
from workbench.services.training_jobs import (
    Learnable,
    as_ensemble,
    champion_of,
    everything,
    material,
)

OK, WARNING, REFUSED = "ok", "warning", "refused"
OBSERVED = 0.5
"""Share of cells below which a window is thin."""
MARKED = 0.2
"""Share of cells that may be left out as known anomalies before too little is left to be called normal."""
FREE_BYTES = 1 << 30
MICROSECONDS: Mapping[str, float] = {
    "adaptive-conformal": 4.1,
    "arima": 990,
    "arima-lstm": 8300,
    "copod": 0.71,
    "dbscan": 7.4,
    "deep-svdd": 38,
    "dense-autoencoder": 46,
    "ecod": 0.71,
    "elliptic-envelope": 130,
    "ets": 330,
    "ewma": 0.23,
    "extended-isolation-forest": 8.5,
    "gru": 6600,
    "half-space-trees": 2.8,
    "hbos": 0.42,
    "headwater": 8,
    "isolation-forest": 19,
    "kmeans-windows": 3.4,
    "knn": 1.6,
    "lesinn": 1.8,
    "lightgbm": 2700,
    "lof": 10,
    "lstm": 880,
    "lstm-autoencoder": 410,
    "matrix-profile": 3,
    "one-class-svm": 17,
    "pca": 0.57,
    "prophet": 7400,
    "prophet-xgboost": 9500,
    "robust-z": 0.3,
    "seasonal-esd": 70,
    "seasonal-naive": 1.6,
    "seasonal-naive-residual": 1.7,
    "spectral-residual": 18,
    "stl-residual": 70,
    "tcn": 7600,
    "theta": 60,
    "vae": 76,
    "vector-autoregression": 0.85,
    "xgboost": 3800,
}
"""CPU time of a fit with default parameters on 200 entities × 45 days of 5 metrics, in µs per entity-day, or per
window of what draws windows; measured with one thread."""
USUAL = 20.0
ROWS = ("epochs", "trees", "rounds", "models")
"""Parameters that the time of a fit grows with."""
BASE_BYTES, TORCH_BYTES, COPIES = 300 << 20, 400 << 20, 8
"""What a worker holds before it has data, what torch adds, and how many copies of the panel a fit holds at most."""


@dataclass(frozen=True)
class Check:
    """One thing looked at before the start; `cure` says what to do where it is not ok."""

    name: str
    status: str
    message: str
    cure: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a training will take, and from what that is concluded."""

    seconds: float
    bytes: int
    how: str


def preflight(
    ctx: Context,
    tenant: str,
    *,
    domain: str,
    algorithm: str,
    params: Mapping[str, Any],
    start: date | None,
    end: date | None,
    part: bool = False,
    learnable: Learnable | None = None,
) -> list[Check]:
    """Every check, the refusals first; nothing is started by it.

    learnable : `everything` that can be learned from, where it is at hand

    Raises UnknownNameError for an algorithm that there is none of.
    """
    kind = catalog.get(algorithm)
    if not issubclass(kind, Detector | Forecaster):
        said = f"{algorithm} is a {kind.kind}: it scores no days by itself."
        return [Check("kind", REFUSED, said, "Train a detector, a forecaster or an ensemble.")]
    missing = catalog.absent(kind)
    if missing:
        cure = install(kind.tags.extra)
        return [
            Check(
                "installed",
                REFUSED,
                f"{algorithm} needs {', '.join(missing)}, which is not there.",
                cure,
            )
        ]
    try:
        kind.Params.of(params)
        panel, odd = material(learnable or everything(ctx, tenant, domain), start, end)
    except HeadwaterError as error:
        cure = error.hint or "Choose other parameters or days."
        return [Check("input", REFUSED, error.message, cure)]
    checks = [*_days(panel, start, end), *_amount(panel, algorithm, params)]
    checks += _balance(odd, _period(panel))
    checks += [*_leaks(panel, odd, domain), *_room(ctx)]
    if part:
        checks += _part(algorithm, champion_of(ctx, tenant, domain), panel)
    order = (REFUSED, WARNING, OK)
    return sorted(checks, key=lambda check: order.index(check.status))


def _days(panel: Panel, start: date | None, end: date | None) -> Iterator[Check]:
    """A word where fewer days can be learned from than were asked for."""
    first, last = (panel.periods.labels[at].astype("datetime64[D]").item() for at in (0, -1))
    if (start or first) < first or (end or last) > last:
        asked = f"{start or first} to {end or last} was asked for"
        said = f"{asked}, but only {first} to {last} can be learned from."
        cure = "The first days of an import teach what is usual; import more history for a longer window."
        yield Check("days", WARNING, said, cure)


def _period(panel: Panel) -> str:
    """What a period is called."""
    return "day" if panel.periods.step >= DAY else "period"


def _amount(panel: Panel, algorithm: str, params: Mapping[str, Any]) -> Iterator[Check]:
    entities, periods = panel.values.shape[:2]
    word = _period(panel)
    name, chosen = as_ensemble(algorithm, params)
    ensemble = catalog.make(name, **chosen)
    try:
        split = split_of(panel, ensemble, HELD_OUT)
    except NotEnoughDataError as error:
        cure = error.hint or "Import more history, or take a longer window."
        yield Check("rows", REFUSED, error.message, cure)
        return
    learned = split.train.stop - split.train.start
    judged = split.test.stop - split.test.start
    said = f"{entities:,} entities × {periods} {word}s: {learned} to learn from, {judged} to be judged by."
    yield Check("rows", OK, said)
    if isinstance(ensemble, CalibratedEnsemble):
        # the latest of the learned periods calibrate the parts and do not teach them
        yield from _parts(ensemble, learned - max(2, round(VALIDATION * learned)), word)
    seen = np.isfinite(panel.values).any(axis=2).mean()
    if seen < OBSERVED:
        cure = "Take a window in which more entities were there, or import what is missing."
        yield Check(
            "observed", WARNING, f"Only {seen:.0%} of the entity-{word}s were observed.", cure
        )
    else:
        yield Check("observed", OK, f"{seen:.0%} of the entity-{word}s were observed.")


def _parts(ensemble: CalibratedEnsemble, periods: int, word: str) -> Iterator[Check]:
    """Parts that will be left out for want of periods."""
    names = settings(ensemble.name, "parts", ensemble.params.parts)
    needed = {name: catalog.get(name).tags.min_times for name in names}
    short = {name: least for name, least in needed.items() if periods < least}
    for name, least in short.items():
        said = f"{name} needs {least} {word}s to learn from and would have {periods}."
        if len(short) == len(needed):
            yield Check("parts", REFUSED, said, "Take a longer window, or import more history.")
        else:
            cure = "Take a longer window; without it the other parts vote."
            yield Check("parts", WARNING, f"{said} It would be left out.", cure)


def _part(algorithm: str, champion: CalibratedEnsemble | None, panel: Panel) -> Iterator[Check]:
    """Whether the champion has such a part, and whether it can be learned on what is measured now."""
    parts = () if champion is None else tuple(champion.scorer.members)
    if champion is None or algorithm not in parts:
        said = f"{algorithm} does not vote in the champion; its parts are {', '.join(parts) or 'none'}."
        yield Check("part", REFUSED, said, "Train it as a model of its own.")
        return
    yield Check("part", OK, f"{algorithm} votes in the champion and is learned anew there.")
    cure = "Train a whole model to judge by all that is measured now."
    try:
        heard(panel, champion)
    except InvalidInputError as error:
        yield Check("metrics", REFUSED, error.message, cure)
        return
    if said := deaf(panel, champion):
        yield Check("metrics", WARNING, f"A part learns what the champion learned. {said}", cure)


def _balance(odd: Bools, word: str) -> Iterator[Check]:
    share = float(odd.mean())
    said = f"{int(odd.sum()):,} entity-{word}s ({share:.2%}) are in incidents and teach nothing."
    if share > MARKED:
        cure = "Take a calmer window, or label the alerts that are normal after all."
        yield Check("class balance", WARNING, said, cure)
    elif not odd.any():
        cure = "Label alerts on Triage: precision and recall are told from labels alone."
        said = "Nothing in this window is labelled or open: only the alarm rate can be measured."
        yield Check("class balance", WARNING, said, cure)
    else:
        yield Check("class balance", OK, said)


def _leaks(panel: Panel, odd: Bools, domain: str) -> Iterator[Check]:
    """What the model would know that it must not."""
    try:
        split = split_of(panel, catalog.make(CalibratedEnsemble.name), HELD_OUT)
    except NotEnoughDataError:
        return  # refused for its amount already
    days = panel.periods.labels
    learned, judged = days[split.train], days[split.test]
    declared = tuple(metric.name for metric in DOMAINS[domain].metrics)
    # monitoring measures as things happen; where nothing is made of other metrics, nothing can know what comes
    measured = declared if panel.periods.step >= DAY else panel.metrics
    questions: Mapping[str, tuple[Callable[[], list[Finding]], str]] = {
        "entities": (
            lambda: leakage.entity_overlap(*_cells(panel, split)),
            f"No entity-{_period(panel)} is learned from and judged by.",
        ),
        "time order": (
            lambda: leakage.time_overlap(learned, judged, CONTEXT * panel.periods.step),
            f"{CONTEXT} {_period(panel)}s lie between what is learned ({_shown(learned[-1], panel)}) and what is "
            f"judged ({_shown(judged[0], panel)}).",
        ),
        "labels": (
            lambda: leakage.label_in_features(panel, odd) if odd.any() else [],
            "No metric is a label under another name.",
        ),
        "future": (
            lambda: (
                leakage.future_features(panel, measured) if {*panel.metrics} - {*measured} else []
            ),
            f"No metric knows {_period(panel)}s to come.",
        ),
    }
    for name, (question, fine) in questions.items():
        findings = question()
        if not findings:
            yield Check(f"leakage: {name}", OK, fine)
        for finding in findings:
            yield Check(f"leakage: {name}", REFUSED, finding.message, finding.cure)


def _cells(panel: Panel, split: Split) -> tuple[Iterator[str], Iterator[str]]:
    """Entities with the periods that lie on both sides; the same entity may stand on both, in periods apart."""
    labels = panel.periods.labels
    both = np.intersect1d(labels[split.train], labels[split.test])

    def of(side: slice) -> Iterator[str]:
        shared = [_shown(label, panel) for label in labels[side][np.isin(labels[side], both)]]
        return (f"{entity} on {period}" for entity in panel.entities for period in shared)

    return of(split.train), of(split.test)


def _shown(label: np.datetime64, panel: Panel) -> str:
    """A period as it is told: its day, or its minute where periods are shorter."""
    unit = "D" if panel.periods.step >= DAY else "m"
    return str(label.astype(f"datetime64[{unit}]")).replace("T", " ")


def _room(ctx: Context) -> Iterator[Check]:
    free = shutil.disk_usage(ctx.settings.home).free
    if free < FREE_BYTES:
        said = f"Only {free / 1e9:.1f} GB are free where Headwater keeps its models."
        yield Check("disk", REFUSED, said, "Free some space, or move HEADWATER_HOME.")
    else:
        yield Check("disk", OK, f"{free / 1e9:,.0f} GB are free.")


# ── What it will take ────────────────────────────────────────────────────────────────────────────


def estimate(
    ctx: Context,
    tenant: str,
    *,
    domain: str,
    algorithm: str,
    params: Mapping[str, Any],
    start: date | None,
    end: date | None,
    device: str = devices.AUTO,
    learnable: Learnable | None = None,
) -> Estimate:
    """Seconds and bytes: from the last training of this algorithm on such a device, else from measured speeds."""
    panel, _ = material(learnable or everything(ctx, tenant, domain), start, end)
    cells = panel.values[..., 0].size * (1 - HELD_OUT)
    held = BASE_BYTES + COPIES * panel.values.nbytes
    chosen = catalog.get(algorithm).Params.of(params)
    nets = uses_torch(algorithm, chosen)
    held += TORCH_BYTES if nets else 0
    seconds = _seconds(algorithm, chosen, cells)
    on_gpu = nets and device != devices.CPU and len(devices.devices()) > 1
    for job, version in _earlier(ctx, tenant, domain, algorithm):
        learned, spent = (version.metrics.get(name) for name in ("rows_learned", "fit_seconds"))
        if learned and spent and job.device.startswith("cuda") == on_gpu:
            asked = catalog.get(algorithm).Params.of(job.payload["params"])
            pace = spent / _seconds(algorithm, asked, learned)
            how = f"from the training of {job.created_at:%d %b %H:%M}"
            return Estimate(seconds * pace, held, how)
    where = "one core; a GPU is quicker" if on_gpu else "one core"
    return Estimate(seconds, held, f"from speeds measured on {where}")


def uses_torch(algorithm: str, params: Params) -> bool:
    """Whether a GPU is of any use to it."""
    kind = catalog.get(algorithm)
    if isinstance(params, CalibratedEnsembleParams):
        parts = settings(algorithm, "parts", params.parts)
        return any("torch" in catalog.get(part).tags.modules for part in parts)
    return "torch" in kind.tags.modules


def _earlier(
    ctx: Context, tenant: str, domain: str, algorithm: str
) -> Iterator[tuple[Job, VersionRow]]:
    """Trainings of the algorithm that made a version in one go, newest first.

    Of one that was resumed the version knows only how long its last go took.
    """
    done = partial(job_store.listing, tenant=tenant, states=("succeeded",), domain=domain)
    for job in ctx.records.read(tenant, done):
        once = job.fence == 1 and not job.payload.get("part")
        if once and job.payload.get("algorithm") == algorithm:
            yield job, ctx.registry.store.get(tenant, job.result_ref)


def _seconds(algorithm: str, params: Params, cells: float) -> float:
    """Seconds of a fit on one core, by the speeds measured with default parameters."""
    kind = catalog.get(algorithm)
    if isinstance(params, CalibratedEnsembleParams):
        own = settings(algorithm, "settings", params.settings)
        return sum(
            _seconds(part, catalog.get(part).Params.of(_under(own, part)), cells)
            for part in settings(algorithm, "parts", params.parts)
        )
    scale = 1.0
    for name in ROWS:
        if hasattr(params, name):
            scale *= getattr(params, name) / getattr(kind.Params(), name)
    rows = min(cells, getattr(params, "windows", cells))
    return MICROSECONDS.get(algorithm, USUAL) * scale * rows / 1e6


def _under(own: Mapping[str, str], part: str) -> dict[str, str]:
    prefix = f"{part}."
    return {key.removeprefix(prefix): value for key, value in own.items() if key.startswith(prefix)}
