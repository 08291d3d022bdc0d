"""What the target sends over gRPC, and over what it sends to whom (9.1-a, 9.1-c).

The suite plays partners that announce an address for gRPC and partners that announce none.
"""

from __future__ import annotations

from conformance.harness.channel import BETWEEN_NODES
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import sessions, work


@scenario()
def test_channel_outbound_grpc(world: World) -> None:
    """The target sends over gRPC to a partner that answers nonsense, breaks off, hangs and is full at first (9.1-c)."""
    partner = work.played(world, **sessions.grpc_place(world))
    line = sessions.opened(world, partner, sessions.agreed(world, partner), transport=sessions.GRPC)
    to = partner.node_id
    line.push("first", "out", b"message 0", to).at("")
    sessions.awaits(world, partner, "out", 1)
    partner.answers("chanInvoke", sessions.faltering(sessions.nonsense_over_grpc()))
    line.push("push-1", "out", b"message 1", to)
    sessions.awaits(world, partner, "out", 2)
    trouble = sessions.faltering(sessions.troubles_over_grpc())
    for operation in sorted(BETWEEN_NODES):
        partner.answers(operation, trouble)
    for number in (2, 3):
        line.push(f"push-{number}", "out", f"message {number}".encode(), to)
    line.push("push-other", "other", b"of another topic", to)
    sessions.awaits(world, partner, "out", 4)
    sessions.awaits(world, partner, "other", 1)


@scenario()
def test_channel_agreed(world: World) -> None:
    """A job asks for gRPC among three: one announces it as the target does, one speaks HTTP only (9.1-a)."""
    place = sessions.grpc_place(world)
    partner, other = work.played(world, **place), work.played(world, "other")
    world.call("asked", partner, "nodeQuery", {"node_id": world.profile.target.node_id})
    flow = sessions.agreed(world, partner)
    line = sessions.opened(world, partner, flow, arbiter=(other.node_id,), transport=sessions.GRPC)
    for name, party in (("grpc", partner), ("http", other)):
        world.fact(f"{name}:party", party.node_id)
        line.push(f"push-{name}", "agreed", f"for {name}".encode(), party.node_id).at("")
        sessions.awaits(world, party, "agreed", 1)
