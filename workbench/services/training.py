"""Training: what can be trained and how, whether it may and how long it takes; started as a job."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from core import catalog
from core import devices as hardware
from core.contracts import Algorithm, Bools, Detector, Forecaster, OnStep, Panel, Params
from core.devices import Device
from core.domains import DOMAINS
from core.ensembles.calibrated import CalibratedEnsemble
from core.errors import DeviceError, InvalidInputError, UnknownNameError
from core.parts import settings
from data.model_records import Job
from models.ports import CHAMPION, VersionRow
from models.train import publish, train
from workbench.context import Context
from workbench.services import jobs
from workbench.services.preflight import (
    REFUSED,
    Check,
    Estimate,
    estimate,
    preflight,
    uses_torch,
)
from workbench.services.training_jobs import Learnable, champion_parts, everything

__all__ = [
    "Check",
    "Device",
    "Estimate",
    "Form",
    "Learnable",
    "devices",
    "domains",
    "estimate",
    "everything",
    "fit_champion",
    "forms",
    "preflight",
    "preset",
    "start",
    "window",
]

TRAIN = "train"
SCALE: Mapping[str, Mapping[str, float]] = {
    "quick": {"epochs": 0.25, "windows": 0.25, "trees": 0.4, "rounds": 0.4, "models": 0.4},
    "standard": {},
    "full": {"epochs": 3.0, "windows": 4.0, "trees": 3.0, "rounds": 2.0, "models": 2.0},
}
"""Presets: what a parameter of that name is of its default; the others stay as they are."""


@dataclass(frozen=True)
class Form:
    """What one algorithm of the catalogue asks for.

    install : the command that installs what it lacks, "" where nothing is missing
    is_part : whether it votes in the champion, so that it alone can be learned anew there
    """

    name: str
    kind: str
    summary: str
    source: str
    installed: bool
    install: str
    params: type[Params]
    presets: Mapping[str, Mapping[str, Any]]
    is_part: bool


# ── What can be trained ──────────────────────────────────────────────────────────────────────────


def domains(ctx: Context, tenant: str) -> tuple[str, ...]:
    """Domains that the tenant has data of."""
    return tuple(domain for owner, domain in ctx.holdings() if owner == tenant)


def window(
    ctx: Context, tenant: str, *, domain: str, learnable: Learnable | None = None
) -> tuple[date, date]:
    """First and last day that can be learned from."""
    panel, _ = learnable or everything(ctx, tenant, domain)
    first, last = (panel.periods.labels[at].astype("datetime64[D]") for at in (0, -1))
    return first.item(), last.item()


def forms(ctx: Context, tenant: str, *, domain: str) -> list[Form]:
    """Every algorithm that can score a domain, ensembles first."""
    parts = champion_parts(ctx, tenant, domain)
    found = []
    for row in catalog.describe():
        algorithm = catalog.get(row["name"])
        if not issubclass(algorithm, Detector | Forecaster):
            continue
        found.append(
            Form(
                name=row["name"],
                kind=row["kind"],
                summary=(inspect.getdoc(algorithm) or "").partition("\n")[0],
                source=row["source"],
                installed=row["installed"],
                install="" if row["installed"] else row["install"],
                params=algorithm.Params,
                presets={name: preset(algorithm, name) for name in SCALE},
                is_part=row["name"] in parts,
            )
        )
    return sorted(found, key=lambda form: form.kind != "ensemble")


def preset(algorithm: type[Algorithm], name: str) -> dict[str, Any]:
    """Parameters of a preset, those alone that differ from the defaults; of an ensemble, those of its parts."""
    if name not in SCALE:
        raise UnknownNameError.of("training", "the preset", f"one of {', '.join(SCALE)}", name)
    if issubclass(algorithm, CalibratedEnsemble):
        chosen = [
            f"{part}.{field}={value}"
            for part in settings(algorithm.name, "parts", algorithm.Params().parts)  # type: ignore[attr-defined]
            for field, value in preset(catalog.get(part), name).items()
        ]
        return {"settings": ", ".join(chosen)} if chosen else {}
    found = {}
    for spec in dataclasses.fields(algorithm.Params):
        scale = SCALE[name].get(spec.name)
        if scale is not None:
            low = spec.metadata["low"] or 1
            high = spec.metadata["high"] or math.inf
            found[spec.name] = int(min(max(round(spec.default * scale), low), high))
    return found


def devices() -> tuple[Device, ...]:
    """What nets can learn on, the CPU first."""
    return hardware.devices()


# ── Starting ─────────────────────────────────────────────────────────────────────────────────────


def start(
    ctx: Context,
    tenant: str,
    *,
    domain: str,
    algorithm: str,
    params: Mapping[str, Any] | None = None,
    start: date | None = None,
    end: date | None = None,
    device: str = hardware.AUTO,
    part: bool = False,
    proposal: int | None = None,
    parent: str = "",
    actor: str,
    idem_key: str = "",
    learnable: Learnable | None = None,
) -> Job:
    """Hand in a training on the days from `start` to `end`, both included, or on all.

    part      : learn this detector anew inside the champion instead of a model of its own
    parent    : the job that this one is a clone of
    learnable : `everything` that can be learned from, where it is at hand

    Raises InvalidInputError with the cure for what the pre-flight refuses, UnknownNameError for a domain,
    algorithm or parameter that there is none of.
    """
    if domain not in DOMAINS:
        raise UnknownNameError.of("training", "the domain", f"one of {', '.join(DOMAINS)}", domain)
    kind = catalog.get(algorithm)
    chosen = kind.Params.of(params or {})
    known = [one.id for one in devices()] if device not in (hardware.AUTO, hardware.CPU) else []
    if known and device not in known:
        rule = f"one of {', '.join((hardware.AUTO, *known))}"
        hint = "Take one of these, or make the GPU visible to the server."
        raise DeviceError.of("training", "the device", rule, device, hint)
    checks = preflight(
        ctx,
        tenant,
        domain=domain,
        algorithm=algorithm,
        params=params or {},
        start=start,
        end=end,
        part=part,
        learnable=learnable,
    )
    for check in checks:
        if check.status == REFUSED:
            raise InvalidInputError(check.message, hint=check.cure)
    return jobs.submit(
        ctx,
        tenant,
        kind=TRAIN,
        domain=domain,
        payload={
            "algorithm": algorithm,
            "params": {
                name: value
                for name, value in dataclasses.asdict(chosen).items()
                if name in (params or {})
            },
            "from": None if start is None else start.isoformat(),
            "to": None if end is None else end.isoformat(),
            "part": part,
            "proposal": proposal,
        },
        actor=actor,
        idem_key=idem_key,
        device=device if uses_torch(algorithm, chosen) else hardware.CPU,
        parent=parent,
    )


# ── At once ──────────────────────────────────────────────────────────────────────────────────────


def fit_champion(
    ctx: Context,
    tenant: str,
    panel: Panel,
    *,
    domain: str,
    detector: str = "ensemble",
    params: Mapping[str, Any] | None = None,
    labels: Bools | None = None,
    actor: str,
    reason: str = "first model of this data",
    on_step: OnStep | None = None,
) -> VersionRow:
    """Fit in this process, publish and promote: what a first detection does.

    labels : (n_entity, n_time) cells that are known anomalies, which teach nothing

    Raises ConflictError when somebody promoted another version while this one was being fitted; the fitted
    version stays published.
    """
    store = ctx.registry.store
    before = store.alias(tenant, domain, CHAMPION)
    # who waits for a first look wants all days learned; a job measures
    trained = train(
        panel, name=detector, params=params, labels=labels, on_step=on_step, held_out=0.0
    )
    version = publish(
        ctx.registry,
        tenant,
        domain,
        trained,
        panel,
        parent=before.version_id if before else "",
        actor=actor,
    )
    ctx.registry.promote(
        tenant,
        domain,
        version.id,
        actor=actor,
        reason=reason,
        seen=before.version if before else 0,
    )
    return store.get(tenant, version.id)
