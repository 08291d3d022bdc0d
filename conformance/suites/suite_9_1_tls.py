"""The secure channel of a target that declares one: offers, certificates, callers and callees (9.1-b, 9.2-a, 9.2-g)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from conformance.harness import tls_probe
from conformance.harness.channel_calls import Message, Over
from conformance.harness.errors import NotOffered, Prerequisite
from conformance.harness.profile_model import TlsMode
from conformance.harness.records import SHOWN_COUNTS
from conformance.harness.registry import scenario
from conformance.harness.target import HttpTransport, query_string
from conformance.harness.target_grpc import GrpcTransport
from conformance.harness.tls import Flaw, Guise, Wardrobe
from conformance.harness.tls_hello import TLCP, TLS_1_2, TLS_1_3, Offer
from conformance.harness.world import World
from conformance.suites import contracts, sessions, work
from conformance.suites.contracts import QUIET_SECONDS, ref

_NATIONAL = Offer(TLS_1_3, (0x00C6,), (0x0029,), (0x0708,))
_NEWEST = Offer(TLS_1_3, (0x1301, 0x1302, 0x1303))
_STRONG = Offer(TLS_1_2, (0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9))
# ECDHE and ECC with SM4 in GCM and in CBC; whether a target speaks TLCP beside TLS is noted and not judged
NATIONAL_TLCP = Offer(TLCP, (0xE051, 0xE053, 0xE011, 0xE013))
_OF_OLD = (0xC009, 0xC00A, 0xC013, 0xC014, 0x0033, 0x0039, 0x002F, 0x0035, 0x000A)  # with AES-CBC and 3DES
OLD: Mapping[str, Offer] = {
    "SSL 3.0": Offer(0x0300, _OF_OLD),
    "TLS 1.0": Offer(0x0301, _OF_OLD),
    "TLS 1.1": Offer(0x0302, _OF_OLD),
}
WEAK: Mapping[str, Offer] = {
    "3DES": Offer(TLS_1_2, (0xC008, 0xC012, 0x0016, 0x000A)),
    "RC4": Offer(TLS_1_2, (0xC007, 0xC011, 0x0005, 0x0004)),
    "no encryption": Offer(TLS_1_2, (0xC006, 0xC010, 0x003B, 0x0002, 0x0001)),
    "export": Offer(TLS_1_2, (0x0003, 0x0006, 0x0008, 0x0014)),
    "CBC with SHA-1": Offer(TLS_1_2, (0xC009, 0xC00A, 0xC013, 0xC014, 0x0033, 0x0039)),
    "key exchange of RSA": Offer(TLS_1_2, (0x009C, 0x009D, 0x003C, 0x003D, 0x002F, 0x0035)),
    "anonymous": Offer(TLS_1_2, (0x00A6, 0x00A7, 0x006C, 0x006D, 0xC018, 0xC019)),
}
INTERNATIONAL: Mapping[str, Offer] = {"TLS 1.2 beside mode gm": _STRONG, "TLS 1.3 with AES beside mode gm": _NEWEST}


def _secured(world: World) -> Wardrobe:
    """Return the certificates of the run, or end the scenario where the target declares no secure channel."""
    if world.profile.tls is None or world.stage.wardrobe is None:
        raise NotOffered("profile: there is no [tls]")
    return world.stage.wardrobe


def _issuing(world: World) -> Wardrobe:
    wardrobe = _secured(world)
    if not wardrobe.issues:
        raise NotOffered("profile: [tls] has no issuer, so no certificates can be made that must not be taken")
    return wardrobe


def _revoked(wardrobe: Wardrobe) -> str:
    if not wardrobe.revoked:
        raise NotOffered("profile: [tls] names no revoked certificate of a node with its key")
    return wardrobe.revoked


@scenario()
def test_tls_offers(world: World) -> None:
    """The target is offered old versions of TLS, weak suites, what it must take, and TLCP (9.2-g)."""
    _secured(world)
    national = world.profile.tls is not None and world.profile.tls.mode is TlsMode.GM
    url = world.profile.target.url
    world.fact("sound", tls_probe.offers(url, {"newest": _NATIONAL if national else _NEWEST, "1.2": _STRONG}.items()))
    world.fact("tlcp", tls_probe.offer(url, NATIONAL_TLCP))
    world.fact("old", tls_probe.offers(url, OLD.items()))
    world.fact("weak", tls_probe.offers(url, {**WEAK, **(INTERNATIONAL if national else {})}.items()))


@scenario()
def test_tls_certificate(world: World) -> None:
    """The target shows its certificate (9.2-a, 9.2-a-3)."""
    wardrobe = _secured(world)
    world.fact("certificate", tls_probe.certificate(world.profile.target.url, wardrobe, world.id("caller")))


@scenario()
def test_tls_plain(world: World) -> None:
    """Somebody speaks HTTP without TLS to the port of TLS (9.2-g)."""
    wardrobe = _secured(world)
    world.fact("twin", tls_probe.certificate(world.profile.target.url, wardrobe, world.id("caller"))["shown"])
    node = {"node_id": world.profile.target.node_id}
    _, path, query, _ = world.stage.binding.spell_request("nodeQuery", node, {})
    asked = query_string(tuple((name, str(value)) for name, value in query.items()))
    world.fact("plain", tls_probe.plain(world.profile.target.url, f"{path}?{asked}"))


@scenario()
def test_tls_renegotiation(world: World) -> None:
    """Within a connection of TLS 1.2 another handshake is asked for (9.2-g)."""
    wardrobe = _secured(world)
    seen = tls_probe.renegotiation(world.profile.target.url, wardrobe, world.id("caller"))
    if not seen["offered"]:
        raise NotOffered(f"the target does not speak TLS 1.2, and TLS 1.3 has no renegotiation: {seen['why']}")
    world.fact("renegotiation", seen)


@scenario()
def test_tls_callers(world: World) -> None:
    """Nodes call without a certificate, and with ones that must not be taken (9.2-a)."""
    wardrobe = _issuing(world)
    _asked(world, "sound", Guise(wardrobe))
    for flaw in (Flaw.BARE, Flaw.EXPIRED, Flaw.FOREIGN):
        _asked(world, flaw.value, Guise(wardrobe, flaw), breaks=SHOWN_COUNTS)
    partner, other = world.signed_partner(), world.partner("other")
    world.call("own", partner, "contractQuery", ref(partner))
    guise = HttpTransport(world.profile.target.url, Guise(wardrobe, shown=other.node_id))
    world.call("other", partner, "contractQuery", ref(partner), breaks=SHOWN_COUNTS, transport=guise)


@scenario()
def test_tls_grpc_callers(world: World) -> None:
    """Nodes send messages over gRPC without a certificate, and with ones that must not be taken (9.2-a)."""
    wardrobe = _issuing(world)
    if not world.profile.target.grpc:
        raise NotOffered("profile: [target] names no grpc")
    partner, line = sessions.usual(world)
    other = world.partner("other")
    guises = {"own": Guise(wardrobe), "other": Guise(wardrobe, shown=other.node_id)}
    guises |= {flaw.value: Guise(wardrobe, flaw) for flaw in (Flaw.BARE, Flaw.EXPIRED, Flaw.FOREIGN)}
    for step, guise in guises.items():
        with GrpcTransport(world.profile.target.grpc, guise) as transport:
            message = Message(f"shown-{step}", b"a message", 0)
            breaks = "" if step == "own" else SHOWN_COUNTS
            replace(line, grpc=transport).invoke(step, partner, message, over=Over.GRPC, breaks=breaks)


@scenario()
def test_tls_caller_revoked(world: World) -> None:
    """A node calls with a certificate that was revoked (9.2-a)."""
    wardrobe = _secured(world)
    _revoked(wardrobe)
    _asked(world, "sound", Guise(wardrobe))
    _asked(world, "revoked", Guise(wardrobe, Flaw.REVOKED), breaks=SHOWN_COUNTS)


def _asked(world: World, step: str, guise: Guise, breaks: str = "") -> None:
    """Ask the target who it is, in a certificate; that operation asks for nothing else."""
    node = {"node_id": world.profile.target.node_id}
    transport = HttpTransport(world.profile.target.url, guise)
    world.call(step, world.partner(step), "nodeQuery", node, breaks=breaks, transport=transport)


@scenario()
def test_tls_called(world: World) -> None:
    """The target's operator applies to nodes whose certificate must not be taken, and to one without TLS (9.2-a)."""
    wardrobe = _issuing(world)
    _visited(world, "sound", wardrobe)
    for flaw in (Flaw.EXPIRED, Flaw.FOREIGN, Flaw.ELSEWHERE):
        _visited(world, flaw.value, wardrobe, flaw)
    _visited(world, "other", wardrobe, shown=world.id("another"))
    _visited(world, "plain", None)


@scenario()
def test_tls_called_revoked(world: World) -> None:
    """The target's operator applies to a node whose certificate was revoked (9.2-a)."""
    wardrobe = _issuing(world)
    node_id = _revoked(wardrobe)
    _visited(world, "sound", wardrobe)
    _visited(world, "revoked", wardrobe, Flaw.REVOKED, node_id=node_id)


@scenario()
def test_tls_grpc_called(world: World) -> None:
    """The target sends over gRPC to nodes whose certificate must not be taken, and to one without TLS (9.2-a)."""
    guises: dict[str, Guise | None] = {
        flaw.value: Guise(_issuing(world), flaw, world.id(flaw.value))
        for flaw in (Flaw.EXPIRED, Flaw.FOREIGN, Flaw.ELSEWHERE)
    }
    _sent_to(world, {**guises, "other": Guise(_issuing(world), shown=world.id("another")), "plain": None})


@scenario()
def test_tls_grpc_called_revoked(world: World) -> None:
    """The target sends over gRPC to a node whose certificate was revoked (9.2-a)."""
    wardrobe = _issuing(world)
    node_id = _revoked(wardrobe)
    _sent_to(world, {"revoked": Guise(wardrobe, Flaw.REVOKED, node_id)}, revoked=node_id)


@scenario()
def test_tls_own_offer(world: World) -> None:
    """The target's operator applies to a node that hears only what the target offers (9.2-g)."""
    _secured(world)
    partner = world.partner("ear")
    with tls_probe.ear(world.profile.partner.host) as (address, heard):
        partner.particulars["address"] = address
        told = contracts.own_apply(world, "ear:apply", partner, breaks="the partner ends the handshake")
        if told.reading is None:
            raise Prerequisite(f"the target's operator could not apply: {told.exchange.failure}")
        world.fact("own-offer", heard())


def _sent_to(world: World, guises: Mapping[str, Guise | None], **node_ids: str) -> None:
    """Have the target's component send to nodes in these guises, and to a sound one, and look what came over gRPC."""
    if not world.profile.target.grpc:
        raise NotOffered("profile: [target] names no grpc")
    sound = Guise(_issuing(world), shown=world.id("sound"))
    with ExitStack() as stack:
        parties = {}
        for name, guise in {"sound": sound, **guises}.items():
            place = tls_probe.grpc_impostor(world.stage.receiver, guise, world.profile.partner.host)
            own = {"node_id": node_ids.get(name, ""), "grpc_address": stack.enter_context(place)}
            parties[name] = work.played(world, name, **own)
            world.fact(f"{name}:party", parties[name].node_id)
        flow, others = sessions.agreed(world, parties["sound"]), tuple(parties[name].node_id for name in guises)
        line = sessions.opened(world, parties["sound"], flow, arbiter=others, transport=sessions.GRPC)
        for name in (*guises, "sound"):
            line.push(f"push-{name}", "shown", b"a message", parties[name].node_id).at("")
        sessions.awaits(world, parties["sound"], "shown", 1)
        world.eventually(lambda: None, within=QUIET_SECONDS)


def _visited(
    world: World, name: str, wardrobe: Wardrobe | None, flaw: Flaw = Flaw.NONE, *, shown: str = "", node_id: str = ""
) -> None:
    """Have the target's operator apply to a node that shows a certificate, and look whether the application came."""
    partner = world.partner(name)
    if node_id:
        partner.node_id = partner.particulars["node_id"] = node_id
        world.stage.receiver.add(partner)
    host = world.profile.partner.host
    with tls_probe.impostor(world.stage.receiver, wardrobe, host, shown or partner.node_id, flaw) as address:
        partner.particulars["address"] = address
        sound = name == "sound"
        told = contracts.own_apply(world, f"{name}:apply", partner, breaks="" if sound else SHOWN_COUNTS)
        if sound:
            contracts.required(told)
        world.awaited(f"{name}:came", partner, "contractApply", {}, within=0.0 if sound else QUIET_SECONDS)
