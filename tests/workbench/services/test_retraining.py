"""Retraining is proposed, limited by cool-down and budget, started once, and offered only if it wins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.drift.performance import Performance
from core.errors import ConflictError, InvalidInputError, NotEnoughDataError, NotFoundError
from models.ports import CHAMPION
from tests.conftest import MORNING, TENANT
from workbench.context import Context
from workbench.services import compare, jobs, retraining, training
from workbench.services.drift_report import CellReport, DriftReport, Part, WholeReport
from workbench.services.retraining import Policy

START, END = date(2026, 1, 12), date(2026, 3, 8)


@pytest.fixture
def ctx(detected: Path, open_home: Callable[..., Context]) -> Context:
    return open_home(detected)


def at(ctx: Context, monkeypatch: pytest.MonkeyPatch, **later: float) -> None:
    """Move the context's clock."""
    monkeypatch.setitem(ctx.__dict__, "clock", lambda: MORNING + timedelta(**later))


def propose(ctx: Context, trigger: str = "drift") -> retraining.ProposalView:
    return retraining.propose(
        ctx,
        TENANT,
        domain="ads",
        reason="spend moved",
        trigger=trigger,
        start=START,
        end=END,
        actor="ana",
    )


def report(*, state: str = "calm", advice: str = "unknown", whole: bool = False) -> DriftReport:
    """A report of one cell, a level, and a performance."""
    cell: Any = CellReport(
        "campaign", "cpc", state, 40, -1.2, (-1.0, -1.2, -1.4), 0.6, 1.2, 2.0, 1e-6, 1e-4, 0.7, 0.4
    )
    last = (END - timedelta(days=6), END)
    part = Part(
        "metrics",
        (START, END - timedelta(days=21)),
        ((END - timedelta(days=20), END - timedelta(days=14)), last, last),
        (),
        (cell,),
        (WholeReport("campaign", 11, -0.4, 1e-5, 1e-4, whole),),
        3.0,
        1.0,
    )
    drop = 0.2 if advice in ("retrain", "fall back") else None
    said: Any = Performance(None, None, drop, None, (0, 0), (0, 0), 40, advice)  # type: ignore[arg-type]
    return DriftReport("ads", "v1", MORNING, "ana", END, 1.0, part, None, "too short", said, id=3)


# ── What is proposed ─────────────────────────────────────────────────────────────────────────────


def test_a_calm_report_proposes_nothing(ctx: Context) -> None:
    assert retraining.follow(ctx, TENANT, report(), actor="ana") is None
    assert retraining.proposals(ctx, TENANT) == []


@pytest.mark.parametrize(
    ("asks", "trigger", "reason"),
    [
        ({"state": "drift"}, "drift", "1 figure moved, most Cost per click (Campaign) by −1.2 sd"),
        ({"whole": True}, "drift", "small shifts together at Campaign"),
        ({"advice": "retrain"}, "performance", "the AUC on labels fell by 0.20"),
    ],
)
def test_what_moved_is_the_reason(
    ctx: Context, asks: dict[str, Any], trigger: str, reason: str
) -> None:
    proposal = retraining.follow(ctx, TENANT, report(**asks), actor="ana")
    assert proposal is not None
    assert (proposal.trigger, proposal.reason, proposal.state) == (trigger, reason, "open")
    assert (proposal.end, proposal.check_id) == (END, 3)
    assert proposal.start == END - timedelta(days=55)


def test_a_dismissed_proposal_keeps_quiet_for_the_cool_down(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = report(state="drift")
    first = retraining.follow(ctx, TENANT, moved, actor="ana")
    assert first is not None
    retraining.dismiss(ctx, TENANT, first.id, actor="ben", reason="a sale")
    at(ctx, monkeypatch, days=6)
    assert retraining.follow(ctx, TENANT, moved, actor="ana") is None
    at(ctx, monkeypatch, days=8)
    again = retraining.follow(ctx, TENANT, moved, actor="ana")
    assert again is not None and again.id != first.id


# ── What is started ──────────────────────────────────────────────────────────────────────────────


def test_accepting_starts_the_champions_training_on_the_proposed_days_once(ctx: Context) -> None:
    proposal = propose(ctx)
    job = retraining.accept(ctx, TENANT, proposal.id, actor="ben")
    served = ctx.registry.store.served(TENANT, "ads", CHAMPION)
    assert served is not None
    assert job.payload["algorithm"] == served[1].name
    assert (job.payload["from"], job.payload["to"]) == (START.isoformat(), END.isoformat())
    assert (job.payload["proposal"], job.created_by) == (proposal.id, "ben")
    with pytest.raises(ConflictError, match="accepted"):
        retraining.accept(ctx, TENANT, proposal.id, actor="cy")
    assert len(jobs.listing(ctx, TENANT, domain="ads")) == 1
    told = retraining.get(ctx, TENANT, proposal.id)
    assert (told.state, told.job_id, told.outcome) == ("accepted", job.id, "training queued")


def test_cool_down_and_budget_hold_back_what_comes_after(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    retraining.accept(ctx, TENANT, propose(ctx).id, actor="ben")
    second = propose(ctx)
    with pytest.raises(ConflictError, match="less than 7 days ago"):
        retraining.accept(ctx, TENANT, second.id, actor="ben")
    assert retraining.get(ctx, TENANT, second.id).state == "open"
    at(ctx, monkeypatch, days=8)
    retraining.accept(ctx, TENANT, second.id, actor="ben")
    at(ctx, monkeypatch, days=16)
    retraining.set_policy(ctx, TENANT, Policy(budget=2), actor="ana")
    assert "the budget" in retraining.not_yet(ctx, TENANT)
    at(ctx, monkeypatch, days=40)
    assert retraining.not_yet(ctx, TENANT) == ""


def test_nothing_starts_by_itself_unless_the_tenant_allows_it(ctx: Context) -> None:
    assert propose(ctx).state == "open"
    assert jobs.listing(ctx, TENANT, domain="ads") == []
    retraining.dismiss(ctx, TENANT, 1, actor="ana")
    retraining.set_policy(ctx, TENANT, Policy(automatic=True), actor="ana")
    assert propose(ctx).state == "accepted"
    assert propose(ctx).state == "open"  # within the cool-down


def test_weekly_retraining_is_proposed_where_it_is_wanted(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert retraining.schedule(ctx, TENANT, actor="scheduler") is None
    retraining.set_policy(ctx, TENANT, Policy(weekly=True), actor="ana")
    proposal = retraining.schedule(ctx, TENANT, actor="scheduler")
    assert proposal is not None and proposal.trigger == "schedule"
    assert (proposal.start, proposal.end) == training.window(ctx, TENANT, domain="ads")
    retraining.accept(ctx, TENANT, proposal.id, actor="ana")
    at(ctx, monkeypatch, days=3)
    assert retraining.schedule(ctx, TENANT, actor="scheduler") is None


def test_a_policy_is_chosen_by_compare_and_swap_within_limits(ctx: Context) -> None:
    assert retraining.policy(ctx, TENANT) == Policy()
    kept = retraining.set_policy(ctx, TENANT, Policy(weekly=True, budget=2), actor="ana")
    assert kept == Policy(weekly=True, budget=2, version=1)
    with pytest.raises(ConflictError):
        retraining.set_policy(ctx, TENANT, Policy(version=0), actor="ben")
    with pytest.raises(InvalidInputError, match="at least 7 days"):
        retraining.set_policy(ctx, TENANT, Policy(cool_down_days=2, version=1), actor="ben")
    with pytest.raises(InvalidInputError, match="budget"):
        retraining.set_policy(ctx, TENANT, Policy(budget=0, version=1), actor="ben")


# ── What came of it ──────────────────────────────────────────────────────────────────────────────


def test_a_training_begun_on_the_train_page_settles_its_proposal(ctx: Context) -> None:
    proposal = propose(ctx)
    job = training.start(
        ctx,
        TENANT,
        domain="ads",
        algorithm="robust-z",
        start=START,
        end=END,
        proposal=proposal.id,
        actor="ben",
    )
    (told,) = retraining.settle(ctx, TENANT, actor="scheduler")
    assert (told.state, told.job_id, told.decided_by) == ("accepted", job.id, "ben")


def test_a_proposal_that_nobody_decided_expires(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose(ctx)
    at(ctx, monkeypatch, days=31)
    (told,) = retraining.settle(ctx, TENANT, actor="scheduler")
    assert told.state == "expired"


@pytest.fixture
def trained(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> int:
    """An accepted proposal whose training is done."""
    proposal = propose(ctx)
    retraining.accept(ctx, TENANT, proposal.id, actor="ben")
    get = jobs.get

    def done(context: Context, tenant: str, job: str) -> Any:
        view = get(context, tenant, job)
        return SimpleNamespace(**{**vars(view), "state": "succeeded", "result_ref": "new-version"})

    monkeypatch.setattr(jobs, "get", done)
    return proposal.id


@pytest.mark.parametrize(("word", "offered"), [("deploy", True), ("inconclusive", False)])
def test_a_challenger_is_offered_only_if_it_wins_the_backtest(
    ctx: Context, trained: int, monkeypatch: pytest.MonkeyPatch, word: str, offered: bool
) -> None:
    asked: list[Any] = []

    def compared(*_: Any, **named: Any) -> Any:
        asked.append(named["challenger"])
        verdict, champion = SimpleNamespace(word=word), SimpleNamespace(id="old")
        return SimpleNamespace(verdict=verdict, champion=champion, sentence="Because.", id=9)

    monkeypatch.setattr(compare, "compare", compared)
    (told,) = retraining.settle(ctx, TENANT, actor="scheduler")
    assert told.offered is offered and asked == ["new-version"]
    assert told.outcome == (
        "challenger new-version won the backtest" if offered else "not offered: inconclusive"
    )
    retraining.settle(ctx, TENANT, actor="scheduler")
    assert len(asked) == 1  # frozen: it is not asked until it wins


def test_a_backtest_without_days_of_its_own_is_tried_again(
    ctx: Context, trained: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise NotEnoughDataError.of("compare", "days", "at least 7", 2)

    monkeypatch.setattr(compare, "compare", refused)
    (told,) = retraining.settle(ctx, TENANT, actor="scheduler")
    assert told.offered is None and "not possible yet: compare: days" in told.outcome


def test_a_training_that_failed_offers_nothing(ctx: Context) -> None:
    proposal = propose(ctx)
    job = retraining.accept(ctx, TENANT, proposal.id, actor="ben")
    jobs.cancel(ctx, TENANT, job.id, actor="ben")
    (told,) = retraining.settle(ctx, TENANT, actor="scheduler")
    assert (told.offered, told.outcome) == (False, "not offered: the training cancelled")


# ── In an emergency ──────────────────────────────────────────────────────────────────────────────


def test_without_a_version_before_a_rule_scores(ctx: Context) -> None:
    assert retraining.last_good(ctx, TENANT) == ""
    before = ctx.registry.store.served(TENANT, "ads", CHAMPION)
    move = retraining.fall_back(ctx, TENANT, reason="emergency", actor="ana")
    served = ctx.registry.store.served(TENANT, "ads", CHAMPION)
    assert served is not None and before is not None
    assert (served[1].id, move.previous) == (move.champion, before[1].id)
    assert served[1].params["parts"] == "robust-z=1"
    scorer: Any = ctx.serve.champion(TENANT, "ads").algorithm
    assert np.isfinite(scorer.p_values(retraining.everything(ctx, TENANT, "ads")[0])).all()


def test_with_one_the_last_good_scores_again(ctx: Context) -> None:
    first = ctx.registry.store.served(TENANT, "ads", CHAMPION)
    retraining.fall_back(ctx, TENANT, reason="emergency", actor="ana")
    assert first is not None and retraining.last_good(ctx, TENANT) == first[1].id
    move = retraining.fall_back(ctx, TENANT, reason="worse still", actor="ana")
    assert (move.verb, move.champion) == ("rollback", first[1].id)


def test_another_tenants_proposal_is_not_found(ctx: Context) -> None:
    proposal = propose(ctx)
    for act in (retraining.accept, retraining.dismiss):
        with pytest.raises(NotFoundError):
            act(ctx, "other", proposal.id, actor="eve")
