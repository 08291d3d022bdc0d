"""Who is taken for whom: somebody who wants a partner locked out (9.2-a-5)."""

from __future__ import annotations

from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.steps import Tamper
from conformance.harness.target import HttpTransport, Transport
from conformance.harness.tls import Guise
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref

MORE = 3  # failures beyond those that lock out


@scenario()
def test_lockout_by_stranger(world: World) -> None:
    """Somebody forges requests in a partner's name until it is locked out; the partner goes on (9.2-a-5)."""
    contracts.needs_signed(world, "contractQuery")
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    world.waits_out_lockouts = False
    world.call("before", partner, "contractQuery", ref(partner))
    tried = []
    for count in range(world.profile.timings.lockout_threshold + MORE):
        tried.append(f"forged-{count + 1}")
        world.call(
            tried[-1],
            partner,
            "contractQuery",
            ref(partner),
            breaks="the registered key signs",
            tamper=Tamper(key=stranger.key),
            transport=_channel_of(world, stranger),
        )
    world.fact("tried", tried)
    world.call("during", partner, "contractQuery", ref(partner))


def _channel_of(world: World, node: Partner) -> Transport | None:
    """Return what carries requests under this node's certificate, whoever they claim to be from; None without TLS."""
    wardrobe = world.stage.wardrobe
    if wardrobe is None:
        return None
    return HttpTransport(world.profile.target.url, Guise(wardrobe, shown=node.node_id))
