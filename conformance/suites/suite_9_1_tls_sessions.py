"""Sessions of TLS that are taken up by others, without a certificate, after its time or its revocation (9.2-a)."""

from __future__ import annotations

from contextlib import ExitStack, closing

from conformance.harness.errors import NotOffered, Undrivable
from conformance.harness.partner import Partner
from conformance.harness.records import SHOWN_COUNTS
from conformance.harness.registry import scenario
from conformance.harness.target import Transport
from conformance.harness.tls import BRIEF_SECONDS, Flaw, Guise
from conformance.harness.tls_sessions import Kind, OpenTransport, SessionTransport
from conformance.harness.world import World
from conformance.suites.contracts import ref


def _over(world: World, guise: Guise, partner: Partner, kind: Kind) -> SessionTransport:
    return SessionTransport(world.profile.target.url, guise, partner.node_id, kind)


def _again(world: World, bare: Guise, partner: Partner, kind: Kind, first: SessionTransport) -> SessionTransport:
    """Return what takes up a session and has no certificate to show if more is asked for."""
    return SessionTransport(world.profile.target.url, bare, partner.node_id, kind, first.kept)


@scenario()
def test_tls_sessions(world: World) -> None:
    """Sessions are begun and taken up by another node, and where no certificate was shown (9.2-a)."""
    wardrobe = world.stage.wardrobe
    if world.profile.tls is None or wardrobe is None:
        raise NotOffered("profile: there is no [tls]")
    own, bare = Guise(wardrobe), Guise(wardrobe, Flaw.BARE)
    partner, other = world.signed_partner(), world.signed_partner("other")
    kinds = [kind for kind in Kind if _over(world, own, partner, kind).spoken()]
    world.fact("kinds", [kind.value for kind in kinds])
    taken = {}
    for kind in kinds:
        first = _over(world, own, partner, kind)
        world.call(f"{kind}:begun", partner, "contractQuery", ref(partner), transport=first)
        again = _again(world, bare, other, kind, first)
        world.call(f"{kind}:other", other, "contractQuery", ref(other), breaks=SHOWN_COUNTS, transport=again)
        nobody = _over(world, bare, partner, kind)
        world.call(f"{kind}:bare", partner, "contractQuery", ref(partner), breaks=SHOWN_COUNTS, transport=nobody)
        later = _again(world, bare, partner, kind, nobody)
        world.call(f"{kind}:bare-again", partner, "contractQuery", ref(partner), breaks=SHOWN_COUNTS, transport=later)
        taken[kind.value] = {"of a holder": again.resumed, "of nobody": later.resumed}
    world.fact("taken", taken)


@scenario()
def test_tls_sessions_late(world: World) -> None:
    """Sessions are begun under a certificate that ends soon, and taken up when its time is over (9.2-a)."""
    wardrobe = world.stage.wardrobe
    if world.profile.tls is None or wardrobe is None:
        raise NotOffered("profile: there is no [tls]")
    if not wardrobe.issues:
        raise NotOffered("profile: [tls] has no issuer, so no certificate can be made that ends soon")
    brief, bare = Guise(wardrobe, Flaw.BRIEF), Guise(wardrobe, Flaw.BARE)
    partner = world.signed_partner()
    kinds = [kind for kind in Kind if _over(world, Guise(wardrobe), partner, kind).spoken()]
    world.fact("kinds", [kind.value for kind in kinds])
    begun = {kind: _over(world, brief, partner, kind) for kind in kinds}
    for kind, first in begun.items():
        world.call(f"{kind}:begun", partner, "contractQuery", ref(partner), breaks=SHOWN_COUNTS, transport=first)
    world.elapse(BRIEF_SECONDS + 1)
    for kind, first in begun.items():
        late = _again(world, bare, partner, kind, first)
        world.call(f"{kind}:late", partner, "contractQuery", ref(partner), breaks=SHOWN_COUNTS, transport=late)


@scenario()
def test_tls_revoked_meanwhile(world: World) -> None:
    """A certificate is revoked while its node has a connection open and sessions kept; the node goes on (9.2-a)."""
    wardrobe = world.stage.wardrobe
    if world.profile.tls is None or wardrobe is None:
        raise NotOffered("profile: there is no [tls]")
    if not wardrobe.issues:
        raise NotOffered("profile: [tls] has no issuer, so no certificate can be made that may be revoked")
    if world.stage.revoke is None:
        raise Undrivable("profile: [operator_hooks] names no revoke command, called with the file of a certificate")
    own, bare = Guise(wardrobe), Guise(wardrobe, Flaw.BARE)
    partner, other = world.partner("revoked"), world.partner("other")
    kinds = [kind for kind in Kind if _over(world, own, partner, kind).spoken()]
    world.fact("kinds", [kind.value for kind in kinds])
    begun = {kind: _over(world, own, partner, kind) for kind in kinds}
    with ExitStack() as stack:
        line, others, anew = (
            stack.enter_context(closing(OpenTransport(world.profile.target.url, own, node.node_id)))
            for node in (partner, other, partner)
        )
        _known(world, "open:before", partner, line)
        _known(world, "other:before", other, others)
        for kind, first in begun.items():
            _known(world, f"{kind}:begun", partner, first)
        world.stage.revoke(wardrobe.files(partner.node_id)[0])
        if others.kept:  # the target need not keep connections, but whom it keeps it for goes on
            _known(world, "other:after", other, others)
            _known(world, "open:after", partner, line, SHOWN_COUNTS)
        _known(world, "anew", partner, anew, SHOWN_COUNTS)
        for kind, first in begun.items():
            _known(world, f"{kind}:after", partner, _again(world, bare, partner, kind, first), SHOWN_COUNTS)


def _known(world: World, step: str, partner: Partner, over: Transport, breaks: str = "") -> None:
    """Ask the target who it is; that operation asks for nothing but a certificate."""
    node = {"node_id": world.profile.target.node_id}
    world.call(step, partner, "nodeQuery", node, breaks=breaks, transport=over)
