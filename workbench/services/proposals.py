"""Components that somebody missed in the graph while labelling; an accepted one is a node of it from then on.

The graph itself comes from imports, which know nothing of them. So the accepted ones are laid over whatever graph is
read: no import can lose them, and none is there twice once an import names it.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.cases import Graph
from core.domains import DOMAINS
from core.errors import UnknownNameError
from data import proposal_store
from data.proposal_store import DECISIONS
from data.records import NodeProposal
from workbench.context import Context

KIND = "proposed"
"""What an edge is that people proposed."""


@dataclass(frozen=True)
class Proposals:
    """What waits for a decision, and what became a node; both oldest first."""

    waiting: list[NodeProposal]
    accepted: list[NodeProposal]


def listing(ctx: Context, tenant: str, *, domain: str = "") -> Proposals:
    """The proposals as they stand, of a domain where one is given."""
    about = {"tenant": tenant, "domain": domain}
    return ctx.records.read(
        tenant,
        lambda session: Proposals(
            proposal_store.waiting(session, **about), proposal_store.accepted(session, **about)
        ),
    )


def decide(ctx: Context, tenant: str, proposal_id: int, *, state: str, actor: str) -> NodeProposal:
    """Accept a proposal, which makes it a node at once, or dismiss it, which takes the node away again."""
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


def revision(ctx: Context, tenant: str) -> str:
    """Another text whenever a graph changes by a decision."""
    return ctx.records.read(tenant, lambda session: proposal_store.revision(session, tenant=tenant))


def laid_over(ctx: Context, tenant: str, domain: str, graph: Graph) -> Graph:
    """The graph with the accepted components that it lacks: each a cause of what it was missed at."""
    added = ctx.records.read(
        tenant, lambda session: proposal_store.accepted(session, tenant=tenant, domain=domain)
    )
    if not added:
        return graph
    net = graph.net.copy()
    named = {graph.name(node): node for node in net}
    for row in added:
        if row.name in net or row.name in named:
            continue
        level = row.level or DOMAINS[domain].defaults.get("unit", "")
        net.add_node(row.name, level=level, name=row.name, parent="", kind=KIND)
        missed_at = row.parent if row.parent in net else named.get(row.parent)
        if missed_at:
            net.add_edge(row.name, missed_at, kind=KIND)
    return Graph(net)
