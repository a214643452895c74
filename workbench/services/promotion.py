"""What a version must reach before it scores a domain: minimums that a tenant sets, and how each was measured.

A figure below its minimum stops a promotion unless somebody overrides it in writing. A figure that cannot be had yet
stops nothing and says how many labels are missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from core.errors import (
    InvalidInputError,
    NotEnoughDataError,
    PermissionDeniedError,
    PersistenceError,
    UnknownNameError,
)
from data import preference_store
from models.ports import CHAMPION
from workbench.context import Context
from workbench.services import compare as comparing
from workbench.services.comparison import SEVERE

PREFERENCE = "promotion"
COST_RATIO = 10.0
"""A missed anomaly costs as much as so many false alarms, where nobody said otherwise."""
MARGIN = 0.1
"""A share is measured once its 95 % interval is no wider than this to either side."""

Report = Mapping[str, Any]
"""A comparison as `compare.report` and `compare.newest` tell it."""


@dataclass(frozen=True)
class Measured:
    """A figure, None where it cannot be had; the labels that are missing for it, and how it was measured."""

    value: float | None
    labels: int
    how: str


@dataclass(frozen=True)
class Minimum:
    """One line of the checklist: at least `preset`, or at most where `most`; `unit` is share, ms or bytes."""

    name: str
    label: str
    preset: float
    most: bool
    unit: str
    measure: Callable[[Report], Measured]


@dataclass(frozen=True)
class Requirement:
    """A minimum beside what was measured; `passed` is None where nothing could be."""

    name: str
    label: str
    minimum: float
    most: bool
    unit: str
    measured: float | None
    passed: bool | None
    labels: int
    how: str


def _anomaly_f1(report: Report) -> Measured:
    figure = next((one for one in report["figures"] if one["name"] == "f1"), None)
    judged = report["labels"]["real"] + report["labels"]["normal"]
    how = f"F1 over the entity-{report['unit']}s of {_days(report)} that people judged: {judged:,}"
    missing = max(labels_for(0.88) - judged, 0)
    if figure is None or figure["challenger"]["value"] is None or missing:
        return Measured(None, max(missing, 1), how)
    return Measured(figure["challenger"]["value"], 0, how)


def _counted(report: Report, *, field: str, share: float, told: str) -> Measured:
    hits, of = report[field]["hits"], report[field]["of"]
    how = f"{told} of {_days(report)}: {of:,}"
    missing = max(labels_for(share) - of, 0)
    return Measured(None, missing, how) if missing else Measured(hits / of, 0, how)


def _epc_auc(report: Report) -> Measured:
    return Measured(None, 0, f"Area under the ROC curve of scans; {report['domain']} has none")


def _latency(report: Report) -> Measured:
    taken = report["running"]["challenger"]
    return Measured(
        taken["milliseconds_p95"],
        0,
        f"95th percentile of {taken['repeats']} scorings of the newest window on this machine, "
        f"per 1,000 entity-{report['unit']}s",
    )


def _memory(report: Report) -> Measured:
    held = float(report["running"]["challenger"]["bytes"])
    return Measured(held, 0, "Arrays and tensors that the loaded model holds")


def _errors(report: Report) -> Measured:
    failed, runs = report["errors"]["hits"], report["errors"]["of"]
    how = f"{failed:.0f} of {runs:,} detection runs of the last 30 days failed"
    return Measured(failed / runs if runs else None, 0, how)


def _severe_kept(report: Report) -> Measured:
    """A model that falls silent must not pass because nobody has labels yet."""
    lost = sum(
        change["kind"] == "vanish" and change["before"] in SEVERE for change in report["changed"]
    )
    standing = report["open_severe"]
    how = f"{standing - lost} of {standing} open alerts that are high or critical would stay"
    return Measured((standing - lost) / standing if standing else None, 0, how)


def _days(report: Report) -> str:
    return f"{report['first']} to {report['last']}"


MINIMUMS = (
    Minimum(
        "failure_f1",
        "Failure F1",
        0.85,
        False,
        "share",
        partial(_counted, field="incidents", share=0.85, told="F1 over the judged incidents"),
    ),
    Minimum("anomaly_f1", "Anomaly F1", 0.88, False, "share", _anomaly_f1),
    Minimum(
        "cause_accuracy",
        "Cause accuracy",
        0.90,
        False,
        "share",
        partial(
            _counted,
            field="causes",
            share=0.90,
            told="First candidate right, of the confirmed causes",
        ),
    ),
    Minimum("epc_auc", "EPC AUC", 0.85, False, "share", _epc_auc),
    Minimum("latency", "Latency", 500.0, True, "ms", _latency),
    Minimum("memory", "Memory", 512e6, True, "bytes", _memory),
    Minimum("error_rate", "Error rate", 0.01, True, "share", _errors),
    Minimum("severe_kept", "Severe alerts kept", 0.8, False, "share", _severe_kept),
)
"""With the specification's presets; those of latency, memory and severe alerts are ours."""


def labels_for(share: float) -> int:
    """Labels until a share near this one is known to ± `MARGIN` at 95 %: 1.96² p (1 − p) / MARGIN²."""
    spread = max(share * (1.0 - share), 0.05)
    return math.ceil(1.96**2 * spread / MARGIN**2)


def checklist(ctx: Context, tenant: str, report: Report) -> list[Requirement]:
    """Every minimum that the tenant chose beside what was measured of the challenger."""
    chosen = minimums(ctx, tenant, report["domain"])
    found = []
    for minimum in MINIMUMS:
        bound = chosen[minimum.name]
        measured = minimum.measure(report)
        value = measured.value
        passed = None if value is None else (value <= bound if minimum.most else value >= bound)
        found.append(
            Requirement(
                minimum.name,
                minimum.label,
                bound,
                minimum.most,
                minimum.unit,
                value,
                passed,
                measured.labels,
                measured.how,
            )
        )
    return found


# ── What a tenant chose ──────────────────────────────────────────────────────────────────────────


def minimums(ctx: Context, tenant: str, domain: str) -> dict[str, float]:
    """The bound of every minimum: the tenant's, else the preset."""
    own = _chosen(ctx, tenant)[0].get(domain, {}).get("minimums", {})
    return {minimum.name: float(own.get(minimum.name, minimum.preset)) for minimum in MINIMUMS}


def cost_ratio(ctx: Context, tenant: str, domain: str) -> float:
    """How many false alarms a missed anomaly is worth."""
    return float(_chosen(ctx, tenant)[0].get(domain, {}).get("cost_ratio", COST_RATIO))


def choose(
    ctx: Context,
    tenant: str,
    domain: str,
    *,
    actor: str,
    minimums: Mapping[str, float] | None = None,
    cost_ratio: float | None = None,
) -> None:
    """Change minimums or the cost ratio of a domain; what is not named stays.

    Raises UnknownNameError for a minimum that is none, InvalidInputError for a bound that makes no sense,
    ConflictError when somebody else chose meanwhile.
    """
    known = {minimum.name: minimum for minimum in MINIMUMS}
    for name, bound in (minimums or {}).items():
        if name not in known:
            rule = f"one of {', '.join(known)}"
            raise UnknownNameError.of("promotion", "the minimum", rule, name)
        highest = 1.0 if known[name].unit == "share" else 1e15
        if not 0 <= bound <= highest:
            raise InvalidInputError.of("promotion", name, f"in [0, {highest:g}]", bound)
    if cost_ratio is not None and not 0 < cost_ratio <= 1e6:
        raise InvalidInputError.of("promotion", "the cost ratio", "in (0, 1000000]", cost_ratio)
    value, seen = _chosen(ctx, tenant)
    own = dict(value.get(domain, {}))
    if minimums:
        own["minimums"] = {**own.get("minimums", {}), **minimums}
    if cost_ratio is not None:
        own["cost_ratio"] = cost_ratio
    now = ctx.clock()
    ctx.records.write(
        tenant,
        lambda session: preference_store.put(
            session,
            tenant=tenant,
            name=PREFERENCE,
            value={**value, domain: own},
            seen=seen,
            actor=actor,
            now=now,
        ),
    )


def _chosen(ctx: Context, tenant: str) -> tuple[dict[str, Any], int]:
    row = ctx.records.read(
        tenant, lambda session: preference_store.get(session, tenant=tenant, name=PREFERENCE)
    )
    return (dict(row.value), row.version) if row else ({}, 0)


# ── The gate of a promotion ──────────────────────────────────────────────────────────────────────


def gate(ctx: Context, tenant: str, version: str, *, actor: str, override: bool = False) -> str:
    """Let a version pass, or refuse it; the answer is what the audit is to add to the reason.

    Compares it with the champion, unless that was done within the hour on the same data. Raises PermissionDeniedError
    that names every figure below its minimum; with `override` they are named in the answer instead. Without a
    champion, or data to compare on, or where the champion itself cannot be trusted any more, there is nothing to pass.
    """
    row = ctx.registry.store.get(tenant, version)
    champion = ctx.registry.store.alias(tenant, row.domain, CHAMPION)
    if champion is None or champion.version_id == version:
        return ""
    try:
        ctx.serve.load(ctx.registry.store.get(tenant, champion.version_id))
    except PersistenceError as broken:
        return f" [not compared: {broken.message}]"
    try:
        number, requirements = _requirements(
            ctx, tenant, row.domain, champion.version_id, version, actor
        )
    except NotEnoughDataError as missing:
        return f" [not compared: {missing.message}]"
    short = [told(requirement) for requirement in requirements if requirement.passed is False]
    if short and not override:
        raise PermissionDeniedError.of(
            "promote",
            f"version {version[-8:]}",
            "at or above every minimum",
            "; ".join(short),
            "Promote it nevertheless by an override (--override), with the reason why.",
        )
    said = f"comparison {number}"
    return f" [{said}; override: {'; '.join(short)}]" if short else f" [{said}]"


def told(requirement: Requirement) -> str:
    """One line of the checklist in words, as the audit keeps it."""
    sign = "at most" if requirement.most else "at least"
    return f"{requirement.label} {requirement.measured:.4g}, {sign} {requirement.minimum:.4g}"


def _requirements(
    ctx: Context, tenant: str, domain: str, champion: str, challenger: str, actor: str
) -> tuple[int, list[Requirement]]:
    """The checklist of a pair, from the comparison that still holds or a new one."""
    asked = {"domain": domain, "champion": champion, "challenger": challenger}
    report = comparing.newest(ctx, tenant, **asked, actor=actor)
    return report["id"], checklist(ctx, tenant, report)
