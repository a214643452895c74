"""The checklist of a promotion: what it measures, what a tenant may change, what it stops and what not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import (
    ChecksumMismatchError,
    ConflictError,
    InvalidInputError,
    PermissionDeniedError,
    UnknownNameError,
)
from data import comparison_store, label_store, run_store
from data.records import NewLabel
from models.footprint import footprint
from tests.workbench.two_models import TENANT, challenge
from workbench.context import Context
from workbench.services import compare, incidents, models, promotion

OpenHome = Callable[..., Context]


@pytest.fixture
def ctx(detected: Path, open_home: OpenHome) -> Context:
    return open_home(detected)


def report(**changes: Any) -> dict[str, Any]:
    """A kept comparison, as short as the checklist needs it."""
    return {
        "domain": "ads",
        "first": "2026-03-01",
        "last": "2026-03-14",
        "unit": "day",
        "labels": {"real": 0, "normal": 0},
        "figures": [],
        "incidents": {"hits": 0, "of": 0},
        "causes": {"hits": 0, "of": 0},
        "running": {"challenger": {"milliseconds_p95": 12.0, "repeats": 9, "bytes": 3_000_000}},
        "errors": {"hits": 0, "of": 24},
        "open_severe": 0,
        "changed": [],
        **changes,
    }


def checked(ctx: Context, told: dict[str, Any]) -> dict[str, promotion.Requirement]:
    return {row.name: row for row in promotion.checklist(ctx, TENANT, told)}


def test_the_presets_are_those_of_the_specification(ctx: Context) -> None:
    assert promotion.minimums(ctx, TENANT, "ads") == {
        "failure_f1": 0.85,
        "anomaly_f1": 0.88,
        "cause_accuracy": 0.90,
        "epc_auc": 0.85,
        "latency": 500.0,
        "memory": 512e6,
        "error_rate": 0.01,
        "severe_kept": 0.8,
    }
    assert promotion.cost_ratio(ctx, TENANT, "ads") == 10.0


def test_what_no_label_measures_says_how_many_are_missing(ctx: Context) -> None:
    rows = checked(ctx, report())
    missing = {name: row.labels for name, row in rows.items() if row.passed is None}
    # 1.96² p (1 − p) / 0.1²
    assert missing == {"failure_f1": 49, "anomaly_f1": 41, "cause_accuracy": 35, "epc_auc": 0} | {
        "severe_kept": 0
    }
    assert all(rows[name].passed for name in ("latency", "memory", "error_rate"))
    assert rows["error_rate"].how == "0 of 24 detection runs of the last 30 days failed"


def test_measured_figures_pass_or_fail_by_their_bound(ctx: Context) -> None:
    figure = {"name": "f1", "challenger": {"value": 0.9}}
    rows = checked(
        ctx,
        report(
            labels={"real": 30, "normal": 20},
            figures=[figure],
            incidents={"hits": 41.0, "of": 50},
            causes={"hits": 36, "of": 40},
            errors={"hits": 1, "of": 24},
        ),
    )
    assert {name: row.passed for name, row in rows.items()} == {
        "failure_f1": False,
        "anomaly_f1": True,
        "cause_accuracy": True,
        "epc_auc": None,
        "latency": True,
        "memory": True,
        "error_rate": False,
        "severe_kept": None,
    }
    assert rows["failure_f1"].measured == pytest.approx(0.82)
    assert promotion.told(rows["failure_f1"]) == "Failure F1 0.82, at least 0.85"
    assert promotion.told(rows["error_rate"]) == "Error rate 0.04167, at most 0.01"


def test_a_model_that_falls_silent_on_severe_alerts_is_stopped(ctx: Context) -> None:
    lost = [
        {"kind": "vanish", "before": "critical"},
        {"kind": "vanish", "before": "low"},
        {"kind": "severity", "before": "high"},
    ]
    rows = checked(ctx, report(open_severe=4, changed=lost))
    assert rows["severe_kept"].passed is False
    assert promotion.told(rows["severe_kept"]) == "Severe alerts kept 0.75, at least 0.8"
    assert rows["severe_kept"].how == "3 of 4 open alerts that are high or critical would stay"
    assert checked(ctx, report(open_severe=5, changed=lost))["severe_kept"].passed is True


def test_a_tenant_changes_some_bounds_and_keeps_the_others(ctx: Context) -> None:
    promotion.choose(ctx, TENANT, "ads", actor="ana", minimums={"latency": 20.0})
    promotion.choose(ctx, TENANT, "ads", actor="ben", cost_ratio=50.0)
    promotion.choose(ctx, TENANT, "ads", actor="ben", minimums={"failure_f1": 0.7})
    chosen = promotion.minimums(ctx, TENANT, "ads")
    assert (chosen["latency"], chosen["failure_f1"], chosen["anomaly_f1"]) == (20.0, 0.7, 0.88)
    assert promotion.cost_ratio(ctx, TENANT, "ads") == 50.0
    assert promotion.minimums(ctx, "elsewhere", "ads")["latency"] == 500.0


@pytest.mark.parametrize(
    ("change", "error", "rule"),
    [
        ({"minimums": {"speed": 1.0}}, UnknownNameError, "the minimum must be one of failure_f1"),
        ({"minimums": {"anomaly_f1": 1.5}}, InvalidInputError, "anomaly_f1 must be in"),
        ({"minimums": {"latency": -1.0}}, InvalidInputError, "latency must be in"),
        ({"cost_ratio": 0.0}, InvalidInputError, "the cost ratio must be in"),
    ],
)
def test_a_bound_that_makes_no_sense_is_refused(
    ctx: Context, change: dict[str, Any], error: type[Exception], rule: str
) -> None:
    with pytest.raises(error, match=rule):
        promotion.choose(ctx, TENANT, "ads", actor="ana", **change)
    assert promotion.minimums(ctx, TENANT, "ads")["anomaly_f1"] == 0.88


# ── The gate ─────────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_measured_stops_nothing_and_the_audit_names_the_comparison(
    ctx: Context,
) -> None:
    version = challenge(ctx)
    models.promote(ctx, TENANT, version.id, reason="quieter", actor="ana")
    assert ctx.serve.champion(TENANT, "ads").version.id == version.id
    assert models.history(ctx, TENANT, "ads")[0].reason == "quieter [comparison 1]"


def test_a_missed_minimum_stops_a_promotion_unless_it_is_overridden_in_writing(
    ctx: Context,
) -> None:
    version = challenge(ctx)
    promotion.choose(ctx, TENANT, "ads", actor="ana", minimums={"memory": 10.0})
    before = ctx.serve.champion(TENANT, "ads").version.id
    with pytest.raises(PermissionDeniedError, match=r"Memory .*, at most 10") as refused:
        models.promote(ctx, TENANT, version.id, reason="quieter", actor="ana")
    assert "--override" in refused.value.hint
    assert ctx.serve.champion(TENANT, "ads").version.id == before
    models.promote(ctx, TENANT, version.id, reason="we know", actor="ana", override=True)
    reason = models.history(ctx, TENANT, "ads")[0].reason
    assert reason.startswith("we know [comparison 1; override: Memory ")


def test_the_same_pair_is_compared_once_until_data_or_labels_change(ctx: Context) -> None:
    version = challenge(ctx)
    view = compare.compare(ctx, TENANT, actor="ana")
    assert promotion.gate(ctx, TENANT, version.id, actor="ana") == f" [comparison {view.id}]"
    (incident, *_) = incidents.page(ctx, TENANT).incidents
    verdict = NewLabel(incident_id=incident.id, entity="", disposition="real")
    ctx.records.write(
        TENANT,
        lambda session: label_store.add(
            session, tenant=TENANT, label=verdict, actor="ana", now=ctx.clock()
        ),
    )
    again = promotion.gate(ctx, TENANT, version.id, actor="ana")
    assert again == f" [comparison {(view.id or 0) + 1}]"
    kept = ctx.records.read(
        TENANT,
        lambda session: comparison_store.newest(
            session,
            tenant=TENANT,
            domain="ads",
            champion=view.champion.id,
            challenger=version.id,
            data_version=compare.holds_for(ctx, TENANT, "ads"),
            since=ctx.clock(),
        ),
    )
    assert kept is not None and kept.report["labels"]["real"] > 0


def test_a_champion_that_cannot_be_trusted_does_not_hold_back_its_successor(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = challenge(ctx)
    champion = ctx.serve.champion(TENANT, "ads").version.id
    load = type(ctx.serve).load

    def damaged(serve: Any, row: Any) -> Any:
        if row.id == champion:
            raise ChecksumMismatchError.of("registry", "bytes", "as signed", "others")
        return load(serve, row)

    monkeypatch.setattr(type(ctx.serve), "load", damaged)
    said = promotion.gate(ctx, TENANT, version.id, actor="ana")
    assert said == " [not compared: registry: bytes must be as signed. Got 'others'.]"


def test_the_champion_itself_has_nothing_to_pass(ctx: Context) -> None:
    champion = ctx.serve.champion(TENANT, "ads").version.id
    assert promotion.gate(ctx, TENANT, champion, actor="ana") == ""


def test_two_who_choose_at_once_do_not_overwrite_each_other(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = promotion._chosen(ctx, TENANT)
    promotion.choose(ctx, TENANT, "ads", actor="ana", cost_ratio=5.0)
    monkeypatch.setattr(promotion, "_chosen", lambda *_: seen)
    with pytest.raises(ConflictError, match="still at version 0"):
        promotion.choose(ctx, TENANT, "ads", actor="ben", cost_ratio=7.0)


def test_failed_runs_of_the_last_30_days_are_counted(ctx: Context) -> None:
    def fail(session: Any) -> None:
        about: dict[str, Any] = {"tenant": TENANT, "now": ctx.clock()}
        run = run_store.start(
            session, **about, domain="ads", detector="ensemble", at=ctx.clock(), actor="ana"
        )
        run_store.fail(session, **about, run_id=run.id, error="no")

    ctx.records.write(TENANT, fail)
    version = challenge(ctx)
    with pytest.raises(PermissionDeniedError, match=r"Error rate 0\.5, at most 0\.01"):
        promotion.gate(ctx, TENANT, version.id, actor="ana")


def test_the_memory_of_a_model_is_that_of_its_arrays(ctx: Context) -> None:
    served = ctx.serve.champion(TENANT, "ads")
    state = sum(getattr(value, "nbytes", 0) for value in served.algorithm.state.values())
    assert state < footprint(served.algorithm) < 5 * state
