"""Nodes find each other: the target as it is asked, and the target as it asks (8.1.1)."""

from __future__ import annotations

from conformance.harness.partner import raw, saying
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import contracts


@scenario()
def test_node_discovery(world: World) -> None:
    """A stranger asks the target who it is, its operator asks for itself, a partner and nobody (8.1.1-a, 8.1.1-b)."""
    stranger, target = world.partner("stranger"), {"node_id": world.profile.target.node_id}
    world.call("asked", stranger, "nodeQuery", target)
    another = {"node_id": world.id("another-node")}
    world.call("asked-for-another", stranger, "nodeQuery", another, breaks="the node asked for is the one that answers")
    world.own("own", "ownNodeQuery", target)
    partner = world.signed_partner()
    world.fact("partner", dict(partner.particulars))
    world.own("known", "ownNodeQuery", {"node_id": partner.node_id})
    world.own("unknown", "ownNodeQuery", {"node_id": world.id("nobody")}, breaks="there is a node with this id")


@scenario()
def test_partner_discovery(world: World) -> None:
    """The operator asks for the node at an address: it answers, it is another node, it answers nonsense (8.1.1-b)."""
    partner = world.partner()
    world.fact("partner", dict(partner.particulars))
    asked = {"address": partner.particulars["address"], "node_id": partner.node_id}
    world.own("ask", "ownPartnerQuery", asked)
    contracts.required(world.awaited("arrives", partner, "nodeQuery", {"node_id": partner.node_id}))
    world.answers(partner, "nodeQuery", saying({**partner.particulars, "node_id": world.id("another")}))
    world.own("ask-impostor", "ownPartnerQuery", asked, breaks="the node at the address is the one asked for")
    world.answers(partner, "nodeQuery", raw(200, contracts.HTML))
    world.own("ask-broken", "ownPartnerQuery", asked, breaks="the node at the address answers with an envelope")
