"""Where the target says that it speaks gRPC, and whether it does there (9.1-a)."""

from __future__ import annotations

from conformance.harness import channel
from conformance.harness.errors import NotOffered
from conformance.harness.partner import Partner
from conformance.harness.records import Request
from conformance.harness.registry import scenario
from conformance.harness.target import Unanswered
from conformance.harness.target_grpc import GrpcTransport
from conformance.harness.world import World


@scenario()
def test_grpc_place(world: World) -> None:
    """A node asks the target where it speaks gRPC, and calls there (9.1-a)."""
    if not world.profile.target.grpc:
        raise NotOffered("profile: [target] names no grpc, where the data plane is reached over it")
    partner = world.partner()
    told = world.call("asked", partner, "nodeQuery", {"node_id": world.profile.target.node_id})
    world.fact("silent", _silent(world, partner, str(told.data.get("grpc_address", ""))))


def _silent(world: World, partner: Partner, address: str) -> str:
    """Say why nothing of gRPC answers at an address; empty where something does, a refusal as well."""
    if not address:
        return "no address is announced"
    request = Request("POST", channel.METHODS["chanInvoke"], (), {"x-source-node-id": partner.node_id}, b"")
    try:
        with GrpcTransport(address, world.stage.wardrobe) as transport:
            transport.send(request, world.profile.timings.answer_seconds)
    except (Unanswered, ValueError) as failure:
        return str(failure)
    return ""
