"""Components that somebody missed in the graph while labelling, and what became of the proposal."""

from __future__ import annotations

from core.errors import UnknownNameError
from data import proposal_store
from data.proposal_store import DECISIONS
from data.records import NodeProposal
from workbench.context import Context


def waiting(ctx: Context, tenant: str, *, domain: str = "") -> list[NodeProposal]:
    """The proposals that nobody decided, oldest first."""
    return ctx.records.read(
        tenant, lambda session: proposal_store.waiting(session, tenant=tenant, domain=domain)
    )


def decide(ctx: Context, tenant: str, proposal_id: int, *, state: str, actor: str) -> NodeProposal:
    """Accept or dismiss a proposal; the graph itself changes with the next import that names the component."""
    if state not in DECISIONS:
        rule = f"one of {', '.join(DECISIONS)}"
        raise UnknownNameError.of("graph", "the decision", rule, state)
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: proposal_store.decide(
            session, tenant=tenant, proposal_id=proposal_id, state=state, actor=actor, now=now
        ),
    )
