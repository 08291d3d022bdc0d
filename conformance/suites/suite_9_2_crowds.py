"""Many connections on which nothing whole ever comes, and what others get meanwhile (9.2-a-5).

Two hundred connections at most, for seconds: idle, dripping byte by byte, stopped half way through a head, or through
the first message of a handshake where the target speaks TLS.
"""

from __future__ import annotations

import statistics

from conformance.harness import raw
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.target import HttpTransport
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref

CROWD = 200
CALM_CALLS = 7
CROWDED_CALLS = 5
PATIENCE_MS = 1000.0  # whoever is answered within that, or within ten times as long as without a crowd, is answered
SLOWER = 10.0
EACH = 3  # connections of which the end is waited for


def _asked(world: World, step: str, partner: Partner) -> float | None:
    """Ask over a connection of its own; return how long it took in milliseconds, None where no answer came."""
    over = HttpTransport(world.profile.target.url, world.stage.wardrobe)
    told = world.call(step, partner, "contractQuery", ref(partner), transport=over)
    return told.exchange.elapsed_ms if told.accepted else None


@scenario(exclusive=True)
def test_crowd_of_connections(world: World) -> None:
    """While a crowd stands a partner asks over new connections; each slow call is made once more (9.2-a-5)."""
    raw.needs_sockets(world.stage.transport)
    contracts.needs_signed(world, "contractQuery")
    partner = world.signed_partner()
    calm = [_asked(world, f"calm:{number}", partner) for number in range(CALM_CALLS)]
    world.fact("calm", calm)
    answered = [each for each in calm if each is not None]
    limit = max(PATIENCE_MS, SLOWER * statistics.median(answered)) if answered else PATIENCE_MS
    world.fact("limit_ms", limit)
    crowded: list[float | None] = []
    with raw.crowd(world.profile.target.url, CROWD) as standing:
        world.fact("standing", standing.standing())
        for number in range(CROWDED_CALLS):
            took = _asked(world, f"crowded:{number}", partner)
            if took is None or took > limit:
                took = _asked(world, f"crowded:{number}:again", partner)
            crowded.append(took)
            if took is None or took > limit:
                break
    world.fact("crowded", crowded)
    within = world.profile.timings.recovery_seconds
    world.fact("after", world.eventually(lambda: _asked(world, "after", partner), within=within) is not None)


@scenario()
def test_silent_connections(world: World) -> None:
    """A few connections of each kind stand until the target ends them, or longer than it lets them (9.2-a-5)."""
    raw.needs_sockets(world.stage.transport)
    contracts.needs_signed(world, "contractQuery")
    partner = world.signed_partner()
    with raw.crowd(world.profile.target.url, EACH * len(raw.KINDS)) as standing:
        world.fact("began", standing.standing())
        world.eventually(
            lambda: not any(standing.standing().values()) or None, within=world.profile.timings.silence_seconds
        )
        world.fact("stand", standing.standing())
    world.call("after", partner, "contractQuery", ref(partner))
