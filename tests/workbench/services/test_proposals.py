"""Components that people missed: accepted they are nodes at once, whatever is imported, and can be taken away again."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest

from core.cases import Graph
from core.errors import ConflictError, NotFoundError, UnknownNameError
from data import incident_store, label_store
from data.records import NewLabel, NodeProposal
from tests.findings import NOW, new_incident
from workbench.context import Context
from workbench.services import evidence, proposals, snapshots

TENANT = "acme"
MISSED = "card gateway"


def imported(**names: str) -> Graph:
    """What an import left: a cart that calls a database, and more nodes by id → name."""
    net = nx.DiGraph([("service:db", "service:cart")])
    for node in net:
        net.nodes[node].update(level="service", name=node.partition(":")[2])
    for node, name in names.items():
        net.add_node(node, level="service", name=name)
    return Graph(net)


@pytest.fixture
def proposed(ctx: Context) -> int:
    """A label that missed a component at the cart; the proposal's number."""

    def write(session: Any) -> int:
        found = new_incident(domain="services", root_entity="service:cart", root_level="service")
        who: dict[str, Any] = {"tenant": TENANT, "now": NOW}
        number = incident_store.upsert(session, found=[found], actor="detection", **who).ids[0]
        row = NodeProposal(
            tenant=TENANT, domain="services", name=MISSED, parent="service:cart", at=NOW
        )
        label = NewLabel(
            incident_id=number,
            entity="service:cart",
            disposition="real",
            cause="external_dependency",
            component=MISSED,
        )
        label_store.add(session, label=label, actor="ana", proposal=row, **who)
        return int(row.id)

    return ctx.records.write(TENANT, write)


def over(ctx: Context, graph: Graph) -> Graph:
    return proposals.laid_over(ctx, TENANT, "services", graph)


def decide(ctx: Context, number: int, state: str) -> NodeProposal:
    return proposals.decide(ctx, TENANT, number, state=state, actor="ben")


def test_an_accepted_component_is_a_cause_of_what_it_was_missed_at(
    ctx: Context, proposed: int
) -> None:
    assert MISSED not in over(ctx, imported()).net
    before = proposals.revision(ctx, TENANT)
    decide(ctx, proposed, "accepted")
    assert proposals.revision(ctx, TENANT) != before
    graph = over(ctx, imported())
    assert (graph.level(MISSED), graph.name(MISSED)) == ("service", MISSED)
    assert graph.children(MISSED) == ("service:cart",)
    # what the store holds is nobody's to change
    assert MISSED not in imported().net
    assert proposals.listing(ctx, TENANT, domain="services").accepted[0].decided_by == "ben"
    assert MISSED in snapshots.graph(ctx, TENANT, "services").net


def test_it_is_offered_wherever_it_lies(ctx: Context, proposed: int) -> None:
    decide(ctx, proposed, "accepted")
    far = over(ctx, imported(**{"service:far": "far"}))
    offered = dict(evidence._components(far, ["service:far"]))
    assert list(offered) == ["service:far", MISSED]
    assert offered[MISSED] == f"{MISSED} (service)"


@pytest.mark.parametrize("known", [{MISSED: "x"}, {"service:gateway": MISSED}])
def test_an_import_that_names_it_takes_its_place(
    ctx: Context, proposed: int, known: dict[str, str]
) -> None:
    decide(ctx, proposed, "accepted")
    graph = over(ctx, imported(**known))
    assert len(graph.net) == 3 and not any(dict(graph.net.nodes(data="kind")).values())


def test_it_can_be_taken_away_again_and_only_once(ctx: Context, proposed: int) -> None:
    decide(ctx, proposed, "accepted")
    decide(ctx, proposed, "dismissed")
    assert MISSED not in over(ctx, imported()).net
    with pytest.raises(ConflictError, match="ben made it dismissed"):
        decide(ctx, proposed, "accepted")
    with pytest.raises(UnknownNameError, match="accepted, dismissed"):
        decide(ctx, proposed, "maybe")
    with pytest.raises(NotFoundError):
        decide(ctx, 99, "accepted")


def test_a_decision_is_undone_like_any_other(ctx: Context, proposed: int) -> None:
    decide(ctx, proposed, "accepted")
    ctx.records.write(
        TENANT, lambda session: label_store.undo(session, tenant=TENANT, actor="ben", now=NOW)
    )
    assert MISSED not in over(ctx, imported()).net
    assert [row.id for row in proposals.listing(ctx, TENANT).waiting] == [proposed]
