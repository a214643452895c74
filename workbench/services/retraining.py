"""Retraining that drift or the calendar asks for: proposed, limited, tested on frozen days, and never promoted by itself."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from core.domains import DOMAINS
from core.errors import ConflictError, HeadwaterError, InvalidInputError, NotFoundError
from data import drift_store, preference_store
from data.drift_store import ACCEPTED, DISMISSED, EXPIRED, OPEN
from data.model_records import Job, RetrainProposal
from models import train as models
from models.ports import CHAMPION
from workbench.context import Context
from workbench.requests import LEAST_COOL_DOWN
from workbench.services import compare, jobs, training
from workbench.services.drift_report import CellReport, DriftReport, ProposalView
from workbench.services.models import Move, promote, rollback
from workbench.services.training_jobs import everything

log = logging.getLogger(__name__)

PREFERENCE = "retraining"
MONTH = timedelta(days=30)
LASTS = timedelta(days=30)
"""A proposal that nobody decided in so long is out of date."""
LEAST_WINDOW = timedelta(days=8 * 7)
"""Days to learn from that a proposal asks for at least, however young the new state of things is."""
RULE = "robust-z"
"""The detector that needs nothing learned but middle and spread: what to fall back on where no version is left."""
DRIFT, PERFORMANCE, SCHEDULE, PERSON = "drift", "performance", "schedule", "person"
SUBJECT = {"metrics": "figure", "scores": "score"}


@dataclass(frozen=True)
class Policy:
    """What a tenant allows: days between two retrainings, how many in 30 days, weekly ones, and whether they start alone.

    version : of the preference, for compare-and-swap; 0 where nobody chose
    """

    automatic: bool = False
    weekly: bool = False
    cool_down_days: int = LEAST_COOL_DOWN
    budget: int = 4
    version: int = 0


def policy(ctx: Context, tenant: str) -> Policy:
    """The tenant's choice, or the careful defaults."""
    row = ctx.records.read(
        tenant, lambda session: preference_store.get(session, tenant=tenant, name=PREFERENCE)
    )
    return Policy() if row is None else Policy(**row.value, version=row.version)


def set_policy(ctx: Context, tenant: str, wanted: Policy, *, actor: str) -> Policy:
    """Choose; ConflictError if somebody else did since `wanted.version`."""
    if wanted.cool_down_days < LEAST_COOL_DOWN:
        rule = f"at least {LEAST_COOL_DOWN} days"
        raise InvalidInputError.of("retraining", "the cool-down", rule, wanted.cool_down_days)
    if not 1 <= wanted.budget <= 10:
        raise InvalidInputError.of("retraining", "the budget", "1 to 10 in 30 days", wanted.budget)
    value = {name: field for name, field in asdict(wanted).items() if name != "version"}
    now = ctx.clock()
    ctx.records.write(
        tenant,
        lambda session: preference_store.put(
            session,
            tenant=tenant,
            name=PREFERENCE,
            value=value,
            seen=wanted.version,
            actor=actor,
            now=now,
        ),
    )
    return policy(ctx, tenant)


def not_yet(ctx: Context, tenant: str, *, domain: str = "ads") -> str:
    """Why no retraining may start now, in words: the cool-down or the budget; "" where it may."""
    rules, now = policy(ctx, tenant), ctx.clock()
    since = now - timedelta(days=rules.cool_down_days)
    recent, month = ctx.records.read(
        tenant,
        lambda session: tuple(
            drift_store.retrained_since(session, tenant=tenant, domain=domain, since=moment)
            for moment in (since, now - MONTH)
        ),
    )
    if recent:
        return f"A retraining began less than {rules.cool_down_days} days ago (cool-down)."
    if month >= rules.budget:
        return f"{month} retrainings began in the last 30 days, which is the budget."
    return ""


# ── Proposals ────────────────────────────────────────────────────────────────────────────────────


def follow(ctx: Context, tenant: str, report: DriftReport, *, actor: str) -> ProposalView | None:
    """Propose what a report asks for, unless it asks for nothing, one is open, or one was just decided.

    Where the tenant allows it, and cool-down and budget do, the training starts at once.
    """
    if not report.moved:
        return None
    asks = report.performance.advice in ("retrain", "fall back")
    last = ctx.records.read(
        tenant,
        lambda session: drift_store.last_decided(session, tenant=tenant, domain=report.domain),
    )
    cool = timedelta(days=policy(ctx, tenant).cool_down_days)
    if last is not None and last.decided_at is not None and ctx.clock() - last.decided_at < cool:
        log.info("Drift of %s for tenant %s: no proposal, one was decided", report.domain, tenant)
        return None
    start, end = window_of(report)
    return propose(
        ctx,
        tenant,
        domain=report.domain,
        reason=why(report),
        trigger=PERFORMANCE if asks else DRIFT,
        start=start,
        end=end,
        check_id=report.id,
        actor=actor,
    )


def window_of(report: DriftReport) -> tuple[date, date]:
    """First and last day that a retraining after this report should learn from: the windows, or a little more, of
    what was compared.
    """
    spans, reference = report.metrics.windows, report.metrics.reference
    end = spans[-1][1]
    return max(min(spans[0][0], end - LEAST_WINDOW + timedelta(days=1)), reference[0]), end


def why(report: DriftReport) -> str:
    """What moved, in a sentence."""
    told = []
    for part in report.parts:
        if part.drifted:
            worst = part.drifted[0]
            many, by = len(part.drifted), f"{worst.lean or 0.0:+.1f}".replace("-", "−")
            noun = SUBJECT[part.name] + ("s" if many > 1 else "")
            told.append(f"{many} {noun} moved, most {label(report.domain, worst)} by {by} sd")
        elif part.moved:
            levels = [
                DOMAINS[report.domain].level_labels.get(whole.level, "all levels")
                for whole in part.wholes
                if whole.drifts
            ]
            told.append(f"small shifts together at {', '.join(levels)}")
    drop = report.performance.drop
    if report.performance.advice in ("retrain", "fall back") and drop is not None:
        told.append(f"the AUC on labels fell by {drop:.2f}")
    return "; ".join(told)


def label(domain: str, cell: CellReport) -> str:
    """A cell as people say it: `Cost per click (Campaign)`."""
    which = DOMAINS[domain]
    names = {one.name: one.label for one in (*which.metrics, *which.ratios)}
    metric = names.get(cell.metric, cell.metric.replace("_", " "))
    return f"{metric} ({which.level_labels.get(cell.level, cell.level)})"


def propose(
    ctx: Context,
    tenant: str,
    *,
    domain: str,
    reason: str,
    trigger: str,
    start: date,
    end: date,
    check_id: int | None = None,
    actor: str,
) -> ProposalView:
    """Open a proposal, or give the one that is open; it starts at once where the tenant allows that."""
    now = ctx.clock()
    row = ctx.records.write(
        tenant,
        lambda session: drift_store.propose(
            session,
            tenant=tenant,
            domain=domain,
            reason=reason,
            trigger=trigger,
            start=start,
            end=end,
            check_id=check_id,
            actor=actor,
            now=now,
        ),
    )
    if policy(ctx, tenant).automatic and not not_yet(ctx, tenant, domain=domain):
        accept(ctx, tenant, int(row.id), actor=actor)
    return get(ctx, tenant, int(row.id))


def proposals(ctx: Context, tenant: str, *, domain: str = "ads") -> list[ProposalView]:
    """Proposals, newest first, each with what came of it."""
    rows = ctx.records.read(
        tenant, lambda session: drift_store.proposals(session, tenant=tenant, domain=domain)
    )
    return [_told(ctx, tenant, row) for row in rows]


def get(ctx: Context, tenant: str, proposal: int) -> ProposalView:
    """One proposal; NotFoundError for a number that the tenant has not."""
    return _told(ctx, tenant, _row(ctx, tenant, proposal))


def accept(ctx: Context, tenant: str, proposal: int, *, actor: str) -> Job:
    """Start the training that a proposal asks for: the champion's algorithm and parameters on its days.

    Raises ConflictError where it is decided already or cool-down or budget forbid it, and what a training
    refuses. The same proposal accepted twice is one job.
    """
    row = _row(ctx, tenant, proposal)
    if row.state != OPEN:
        raise ConflictError.of("retraining", f"proposal {proposal}", "open", row.state)
    if reason := not_yet(ctx, tenant, domain=row.domain):
        hint = "Wait, or raise the budget; a training from the Train page is always possible."
        raise ConflictError.of(
            "retraining", "the moment", "outside cool-down and budget", reason, hint
        )
    served = ctx.registry.store.served(tenant, row.domain, CHAMPION)
    name, params = ("ensemble", {}) if served is None else (served[1].name, served[1].params)
    job = training.start(
        ctx,
        tenant,
        domain=row.domain,
        algorithm=name,
        params=params,
        start=row.start,
        end=row.end,
        proposal=proposal,
        actor=actor,
        idem_key=f"proposal-{row.domain}-{proposal}",
    )
    _decide(ctx, tenant, proposal, state=ACCEPTED, actor=actor, job_id=job.id)
    return job


def dismiss(ctx: Context, tenant: str, proposal: int, *, actor: str, reason: str = "") -> None:
    """Say no; nothing is proposed again before the cool-down is over."""
    _decide(ctx, tenant, proposal, state=DISMISSED, actor=actor, reason=reason)


def schedule(ctx: Context, tenant: str, *, domain: str = "ads", actor: str) -> ProposalView | None:
    """The weekly proposal, where the tenant wants one: all days there are."""
    if not policy(ctx, tenant).weekly or not_yet(ctx, tenant, domain=domain):
        return None
    start, end = training.window(ctx, tenant, domain=domain)
    return propose(
        ctx,
        tenant,
        domain=domain,
        reason="Weekly retraining on all days there are",
        trigger=SCHEDULE,
        start=start,
        end=end,
        actor=actor,
    )


# ── What came of it ──────────────────────────────────────────────────────────────────────────────


def settle(ctx: Context, tenant: str, *, domain: str = "ads", actor: str) -> list[ProposalView]:
    """Link proposals to trainings begun for them, let old ones expire, and backtest what was trained.

    A challenger is offered only if it beats the champion on days that neither of them learned from.
    """
    started = {
        job.payload.get("proposal"): job
        for job in jobs.listing(ctx, tenant, domain=domain)
        if job.payload.get("proposal") is not None
    }
    for view in proposals(ctx, tenant, domain=domain):
        if view.state == OPEN and view.id in started:
            job = started[view.id]
            _decide(ctx, tenant, view.id, state=ACCEPTED, actor=job.created_by, job_id=job.id)
        elif view.state == OPEN and ctx.clock() - view.created_at > LASTS:
            _decide(ctx, tenant, view.id, state=EXPIRED, actor=actor)
        elif view.state == ACCEPTED and view.offered is None:
            _backtest(ctx, tenant, view, actor)
    return proposals(ctx, tenant, domain=domain)


def _backtest(ctx: Context, tenant: str, view: ProposalView, actor: str) -> None:
    job = jobs.get(ctx, tenant, view.job_id)
    if job.state in ("failed", "cancelled"):
        told: dict[str, Any] = {"offered": False, "verdict": f"the training {job.state}"}
    elif job.state != "succeeded":
        return
    else:
        try:
            found = compare.compare(
                ctx, tenant, domain=view.domain, challenger=job.result_ref, actor=actor
            )
        except HeadwaterError as error:  # too few days yet: it is asked again tomorrow
            told = {"offered": None, "challenger": job.result_ref, "verdict": error.message}
        else:
            told = {
                "offered": found.verdict.word == "deploy",
                "challenger": job.result_ref,
                "champion": found.champion.id,
                "verdict": found.verdict.word,
                "sentence": found.sentence,
                "comparison": found.id,
            }
    now = ctx.clock()
    ctx.records.write(
        tenant,
        lambda session: drift_store.keep_backtest(
            session, tenant=tenant, proposal_id=view.id, backtest=told, actor=actor, now=now
        ),
    )


def _told(ctx: Context, tenant: str, row: RetrainProposal) -> ProposalView:
    offered = row.backtest.get("offered")
    return ProposalView(
        id=int(row.id),
        domain=row.domain,
        trigger=row.trigger,
        reason=row.reason,
        start=row.start,
        end=row.end,
        state=row.state,
        created_at=row.created_at,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        job_id=row.job_id,
        check_id=None if row.check_id is None else int(row.check_id),
        offered=offered,
        outcome=_outcome(ctx, tenant, row),
        backtest=dict(row.backtest),
    )


def _outcome(ctx: Context, tenant: str, row: RetrainProposal) -> str:
    if row.state != ACCEPTED:
        return row.state
    offered: bool | None = row.backtest.get("offered")
    if offered:
        return f"challenger {row.backtest['challenger']} won the backtest"
    if offered is False:
        return f"not offered: {row.backtest['verdict']}"
    if row.backtest:
        return f"backtest not possible yet: {row.backtest['verdict']}"
    try:
        return f"training {jobs.get(ctx, tenant, row.job_id).state}"
    except NotFoundError:
        return "training"


# ── In an emergency ──────────────────────────────────────────────────────────────────────────────


def last_good(ctx: Context, tenant: str, *, domain: str = "ads") -> str:
    """The version that scored before the champion, "" where there was none."""
    found = ctx.registry.store.predecessors(tenant, domain, CHAMPION)
    return found[0] if found else ""


def fall_back(ctx: Context, tenant: str, *, domain: str = "ads", reason: str, actor: str) -> Move:
    """Let the last good version score at once; where there is none, a rule learned now from middle and spread."""
    if last_good(ctx, tenant, domain=domain):
        return rollback(ctx, tenant, domain=domain, reason=reason, actor=actor)
    panel, odd = everything(ctx, tenant, domain)
    fitted = models.train(
        panel, name="ensemble", params={"parts": f"{RULE}=1"}, labels=odd, held_out=0.0
    )
    version = models.publish(ctx.registry, tenant, domain, fitted, panel, actor=actor)
    return promote(ctx, tenant, version.id, reason=reason, actor=actor, override=True)


def _row(ctx: Context, tenant: str, proposal: int) -> RetrainProposal:
    return ctx.records.read(
        tenant,
        lambda session: drift_store.get_proposal(session, tenant=tenant, proposal_id=proposal),
    )


def _decide(ctx: Context, tenant: str, proposal: int, **decision: Any) -> None:
    now: datetime = ctx.clock()
    ctx.records.write(
        tenant,
        lambda session: drift_store.decide(
            session, tenant=tenant, proposal_id=proposal, now=now, **decision
        ),
    )
