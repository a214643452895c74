"""Scoring the catalogue on a labelled event log, with chance and the rarity of the sequence beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import catalog
from core.contracts import OnStep
from core.errors import HeadwaterError, InvalidInputError, UnknownNameError
from core.evaluate import event_log
from data.event_log import read_event_log, read_truth
from workbench.services.evaluate import ALL, unfit

DEFAULT = "pca"
"""The best of the catalogue's row detectors on simulated logs; cheap as well."""


def evaluate_event_log(
    path: Path,
    *,
    algorithms: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    zone: str = "UTC",
    budget: float = event_log.BUDGET,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Score detectors of rows on the log in a folder with `truth/`.

    Returns {"results": one per algorithm, "skipped": [{algorithm, reason}], "failed": [{algorithm, error}], "peers":
    [...], "feature_seconds", "refused": rows of the log that could not be used}. An algorithm that fails stops no other.
    """
    if not 0.0 < budget < 1.0:
        rule = "a share of the traces, between 0 and 1"
        raise InvalidInputError.of("evaluate eventlog", "the budget", rule, budget)
    names = _names(algorithms)
    told = on_step or (lambda *_: None)
    told("reading", 0.0, {})
    log = read_event_log(path, mapping=mapping, zone=zone)
    trial = event_log.prepare(log.table, read_truth(path, log))
    head = {"suite": path.resolve().name, "events": len(trial.test.table), "budget": budget}
    reasons = {name: unfit(name, {}, "table") for name in names}
    fit = [name for name in names if not reasons[name]]
    if not fit:
        told_why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        rule = "one that judges rows without a past"
        raise InvalidInputError.of("evaluate eventlog", "the algorithm", rule, told_why)
    results, failed = [], []
    for number, name in enumerate(fit):
        told(name, 0.1 + 0.9 * number / len(fit), {})
        try:
            results.append({**head, **event_log.judge(trial, name, budget=budget)})
        except HeadwaterError as error:
            if len(fit) == 1:
                raise
            failed.append({"algorithm": name, "error": error.message})
    return {
        "results": results,
        "skipped": [{"algorithm": name, "reason": why} for name, why in reasons.items() if why],
        "failed": failed,
        "peers": [{**head, **peer} for peer in event_log.peers(trial, budget)],
        "feature_seconds": trial.seconds,
        "refused": log.refused_rows,
    }


def _names(algorithms: Sequence[str]) -> list[str]:
    detectors = [name for name, _ in catalog.entries("detector")]
    for name in algorithms:
        if name not in (*detectors, ALL):
            rule = f"{ALL} or one of {', '.join(detectors)}"
            raise UnknownNameError.of("evaluate eventlog", "the algorithm", rule, name)
    return detectors if ALL in algorithms else list(dict.fromkeys(algorithms)) or [DEFAULT]
