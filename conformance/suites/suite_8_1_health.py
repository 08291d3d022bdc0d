"""Health of nodes, and whether an application can still be withdrawn (8.1.2-d)."""

from __future__ import annotations

from conformance.harness.partner import raw, saying
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref


@scenario()
def test_node_health(world: World) -> None:
    """A partner asks after the target's health, with a pending application and with an accepted one (8.1.2-d)."""
    partner = contracts.applied(world, "partner")
    world.call("before", partner, "contractQuery", ref(partner))
    world.call("health", partner, "nodeHealth", {})
    world.call("health-pending", partner, "nodeHealth", ref(partner))
    world.call("after", partner, "contractQuery", ref(partner))
    contracts.decided(world, partner, "approve")
    world.call("health-approved", partner, "nodeHealth", ref(partner))


@scenario()
def test_partner_health(world: World) -> None:
    """The operator asks after a partner that is up, down, and talking nonsense (8.1.2-d)."""
    partner = world.signed_partner()
    world.own("up", "ownPartnerHealth", ref(partner))
    world.awaited("arrives", partner, "nodeHealth", {})
    world.answers(partner, "nodeHealth", saying({"status": "DOWN"}))
    world.own("down", "ownPartnerHealth", ref(partner))
    world.answers(partner, "nodeHealth", raw(200, contracts.HTML))
    world.own("broken", "ownPartnerHealth", ref(partner), breaks="the partner answers with an envelope")
