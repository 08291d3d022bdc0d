"""Changes of a node's particulars, the target's own and its partners' (8.1.3)."""

from __future__ import annotations

from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref


@scenario(exclusive=True)
def test_node_update(world: World) -> None:
    """The operator renames the target; a signed partner hears of it, a pending and a former one do not (8.1.3)."""
    target = {"node_id": world.profile.target.node_id}
    signed, gone = world.signed_partner("signed"), world.signed_partner("gone")
    pending = contracts.applied(world, "pending")
    world.call("leave", gone, "contractTerminate", ref(gone))
    gone.open_contract = False
    old = str(world.own("before", "ownNodeQuery", target).at("/name"))
    try:
        _rename(world, (signed, gone, pending))
    finally:
        world.own("restore", "ownNodeUpdate", {"name": old})
    world.own("restored", "ownNodeQuery", target)


def _rename(world: World, partners: tuple[Partner, Partner, Partner]) -> None:
    signed, gone, pending = partners
    target = {"node_id": world.profile.target.node_id}
    name = world.fact("name", f"更名节点 {world.id('renamed')}")
    world.fact("contract", signed.contract_id)
    world.own("update", "ownNodeUpdate", {"name": name})
    world.own("after", "ownNodeQuery", target)
    world.call("asked", signed, "nodeQuery", target)
    world.awaited("told", signed, "nodeSync", {"name": name})
    world.awaited("told-pending", pending, "nodeSync", {}, within=contracts.QUIET_SECONDS)
    world.awaited("told-gone", gone, "nodeSync", {}, within=contracts.QUIET_SECONDS)
    renumbered = {"name": name, "node_id": world.id("new-id")}
    world.own("update-id", "ownNodeUpdate", renumbered, breaks="the node id is not changed")


@scenario()
def test_node_sync(world: World) -> None:
    """A partner tells its new particulars, under its own contract and under another's (8.1.3-b)."""
    partner, other = world.signed_partner(), world.signed_partner("other")
    name, address = world.id("moved"), f"{partner.particulars['address']}/moved"
    world.fact("moved", {"name": name, "address": address})
    world.call("sync", partner, "nodeSync", contracts.sync(partner, name=name, address=address))
    world.own("known", "ownNodeQuery", {"node_id": partner.node_id})
    world.call("sync-back", partner, "nodeSync", contracts.sync(partner))
    world.own("other-before", "ownNodeQuery", {"node_id": other.node_id})
    foreign = contracts.sync(partner, contract_id=other.contract_id, name=world.id("foreign"))
    world.call("sync-foreign", partner, "nodeSync", foreign, breaks="the contract is the sender's")
    world.own("other-after", "ownNodeQuery", {"node_id": other.node_id})


@scenario()
def test_node_sync_unsigned(world: World) -> None:
    """Nodes with a pending, a rejected and a withdrawn application act as if they had signed (8.1.3-b)."""
    signed = world.signed_partner("signed")
    world.call("signed:sync", signed, "nodeSync", contracts.sync(signed))
    pending, rejected, cancelled = (contracts.applied(world, name) for name in ("pending", "rejected", "cancelled"))
    contracts.decided(world, rejected, "reject", "REJECTED")
    world.call("cancel", cancelled, "contractCancel", ref(cancelled))
    for name, partner in (("pending", pending), ("rejected", rejected), ("cancelled", cancelled)):
        body = contracts.sync(partner, name=world.id("renamed"))
        world.call(f"{name}:sync", partner, "nodeSync", body, breaks="there is a contract in force")
