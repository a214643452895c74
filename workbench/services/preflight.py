"""Before a training starts: whether the data allow it, each check with its cure, and what it will take."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from core import catalog
from core.contracts import Bools, Panel
from core.domains import DOMAINS
from core.ensembles.calibrated import CalibratedEnsemble, CalibratedEnsembleParams
from core.errors import HeadwaterError, NotEnoughDataError, install
from core.evaluate import leakage
from core.evaluate.leakage import Finding
from core.evaluate.splits import Split
from core.parts import settings
from data import job_store
from models.train import CONTEXT, HELD_OUT, split_of
from workbench.context import Context
from workbench.services.training_jobs import material

OK, WARNING, REFUSED = "ok", "warning", "refused"
OBSERVED = 0.5
"""Share of cells below which a window is thin."""
MARKED = 0.2
"""Share of cells that may be left out as known anomalies before too little is left to be called normal."""
FREE_BYTES = 1 << 30
MICROSECONDS: Mapping[str, float] = {}
"""Measured seconds of a fit with default parameters, in µs per cell of 5 metrics on one core."""
USUAL = 20.0
ROWS = ("epochs", "windows", "trees", "rounds", "models")
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
) -> list[Check]:
    """Every check, the refusals first; nothing is started by it. Raises UnknownNameError for an algorithm there is
    none of."""
    kind = catalog.get(algorithm)
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
        panel, odd = material(ctx, tenant, domain=domain, start=start, end=end)
    except HeadwaterError as error:
        return [Check("input", REFUSED, error.message, error.hint)]
    checks = [*_amount(panel, algorithm, params, part), *_balance(odd)]
    checks += _leaks(panel, odd, domain)
    checks += _room(ctx)
    order = (REFUSED, WARNING, OK)
    return sorted(checks, key=lambda check: order.index(check.status))


def _amount(panel: Panel, algorithm: str, params: Mapping[str, Any], part: bool) -> Iterator[Check]:
    entities, days = panel.values.shape[:2]
    try:
        split = split_of(panel, catalog.make(algorithm, **params), HELD_OUT)
    except NotEnoughDataError as error:
        cure = error.hint or "Import more history, or take a longer window."
        yield Check("rows", REFUSED, error.message, cure)
        return
    learned = split.train.stop - split.train.start
    judged = split.test.stop - split.test.start
    said = (
        f"{entities:,} entities × {days} days: {learned} to learn from, {judged} to be judged by."
    )
    yield Check("rows", OK, said)
    if algorithm == CalibratedEnsemble.name or part:
        yield from _parts(algorithm, params, learned)
    seen = np.isfinite(panel.values).any(axis=2).mean()
    if seen < OBSERVED:
        cure = "Take a window in which more entities were there, or import what is missing."
        yield Check("observed", WARNING, f"Only {seen:.0%} of the entity-days were observed.", cure)
    else:
        yield Check("observed", OK, f"{seen:.0%} of the entity-days were observed.")


def _parts(algorithm: str, params: Mapping[str, Any], days: int) -> Iterator[Check]:
    """Parts that will be left out for want of days."""
    chosen = catalog.get(algorithm).Params.of(params)
    if not isinstance(chosen, CalibratedEnsembleParams):
        return
    for name in settings(algorithm, "parts", chosen.parts):
        least = catalog.get(name).tags.min_times
        if days < least:
            cure = "Take a longer window; without it the other parts vote."
            yield Check("parts", WARNING, f"{name} needs {least} days and would be left out.", cure)


def _balance(odd: Bools) -> Iterator[Check]:
    share = float(odd.mean())
    said = f"{int(odd.sum()):,} entity-days ({share:.2%}) are in incidents and teach nothing."
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
    measured = tuple(metric.name for metric in DOMAINS[domain].metrics)
    questions: Mapping[str, tuple[Callable[[], list[Finding]], str]] = {
        "entities": (
            lambda: leakage.entity_overlap(*_cells(panel, split)),
            "No entity-day is learned from and judged by.",
        ),
        "time order": (
            lambda: leakage.time_overlap(learned, judged, CONTEXT * panel.periods.step),
            f"{CONTEXT} days lie between what is learned ({learned[-1]:.10}) and what is judged ({judged[0]:.10}).",
        ),
        "labels": (
            lambda: leakage.label_in_features(panel, odd) if odd.any() else [],
            "No metric is a label under another name.",
        ),
        "future": (
            lambda: leakage.future_features(panel, measured),
            "No metric knows days to come.",
        ),
    }
    for name, (question, fine) in questions.items():
        findings = question()
        if not findings:
            yield Check(f"leakage: {name}", OK, fine)
        for finding in findings:
            yield Check(f"leakage: {name}", REFUSED, finding.message, finding.cure)


def _cells(panel: Panel, split: Split) -> tuple[Iterator[str], Iterator[str]]:
    """Entity-days on either side, of days that lie on both; the same entity may stand on both, on days apart."""
    days = panel.periods.labels.astype("datetime64[D]")
    both = np.intersect1d(days[split.train], days[split.test])

    def of(side: slice) -> Iterator[str]:
        shared = days[side][np.isin(days[side], both)].astype(str)
        return (f"{entity} on {day}" for entity in panel.entities for day in shared)

    return of(split.train), of(split.test)


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
    device: str = "auto",
) -> Estimate:
    """Seconds and bytes, from the last training of the same algorithm here, else from measured speeds."""
    panel, _ = material(ctx, tenant, domain=domain, start=start, end=end)
    learned = panel.values[..., 0].size * (1 - HELD_OUT)
    size = _work(algorithm, params) * learned
    held = BASE_BYTES + COPIES * panel.values.nbytes + TORCH_BYTES
    for job in ctx.records.read(
        tenant,
        lambda session: job_store.listing(
            session, tenant=tenant, states=("succeeded",), domain=domain
        ),
    ):
        version = ctx.registry.store.get(tenant, job.result_ref)
        spent = version.metrics.get("fit_seconds")
        asked = job.payload
        if asked.get("algorithm") == algorithm and spent and job.device == device:
            cells = version.metrics.get("rows_learned") or learned
            per = spent / (_work(algorithm, asked["params"]) * cells)
            return Estimate(per * size, held, f"from the training of {job.created_at:%d %b}")
    return Estimate(size / 1e6, held, "from speeds measured on one core")


def _work(algorithm: str, params: Mapping[str, Any]) -> float:
    """µs per cell: the measured speed, times how much more or less than by default is asked for."""
    kind = catalog.get(algorithm)
    chosen = kind.Params.of(params)
    if isinstance(chosen, CalibratedEnsembleParams):
        own = settings(algorithm, "settings", chosen.settings)
        total = 0.0
        for part in settings(algorithm, "parts", chosen.parts):
            prefix = f"{part}."
            total += _work(
                part,
                {key.removeprefix(prefix): own[key] for key in own if key.startswith(prefix)},
            )
        return total
    default = kind.Params()
    scale = 1.0
    for name in ROWS:
        if hasattr(default, name):
            scale *= getattr(chosen, name) / getattr(default, name)
    return MICROSECONDS.get(algorithm, USUAL) * scale
