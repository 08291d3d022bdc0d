"""Requests whose framing two readers could read differently, written by hand on a socket (9.2-g, 9.2-e-5).

Each is a signed request that is right in everything but its framing, so what refuses it refuses that. The twins are
written by the same hand.
"""

from __future__ import annotations

from collections.abc import Mapping

from conformance.harness.raw import Bend, RawTransport, needs_sockets, spelled
from conformance.harness.records import FRAMED, Request
from conformance.harness.registry import scenario
from conformance.harness.steps import Tamper
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref

LEFTOVER_BYTES = 2 * 1024 * 1024
LEFTOVER_SECONDS = 1.0
NO_CHUNKS = b"0\r\n\r\n"
_CHUNKED = b"Transfer-Encoding: chunked"
TWINS: Mapping[str, Bend] = {
    "plain": Bend(),
    "length": Bend(lines=(b"Content-Length: 0",), after=b""),
    "chunks": Bend(lines=(_CHUNKED,), after=NO_CHUNKS),
    "field": Bend(lines=(b"X-Note: one two",)),
}
# what is tried, and its twin
WRONG: Mapping[str, tuple[str, Bend]] = {
    "two lengths": ("length", Bend(lines=(b"Content-Length: 5", b"Content-Length: 0"), after=b"")),
    "two lengths, the other way": ("length", Bend(lines=(b"Content-Length: 0", b"Content-Length: 5"), after=b"")),
    "length beside chunks": ("chunks", Bend(lines=(b"Content-Length: 5", _CHUNKED), after=NO_CHUNKS)),
    "length with a sign": ("length", Bend(lines=(b"Content-Length: +0",), after=b"")),
    "length in hexadecimal": ("length", Bend(lines=(b"Content-Length: 0x0",), after=b"")),
    "length with an underscore": ("length", Bend(lines=(b"Content-Length: 0_0",), after=b"")),
    "folded length": ("length", Bend(lines=(b"Content-Length: 5", b" 0"), after=b"")),
    "folded length, the other way": ("length", Bend(lines=(b"Content-Length: 0", b" 5"), after=b"")),
    "no host": ("plain", Bend(hosts=())),
    "two hosts": ("plain", Bend(hosts=(b"one.invalid", b"two.invalid"))),
    "space before the colon": ("field", Bend(lines=(b"X-Note : one two",))),
    "NUL in a value": ("field", Bend(lines=(b"X-Note: one\0two",))),
    "bare CR in a value": ("field", Bend(lines=(b"X-Note: one\rtwo",))),
    "chunk size with a sign": ("chunks", Bend(lines=(_CHUNKED,), after=b"+0\r\n\r\n")),
    "chunk size in hexadecimal": ("chunks", Bend(lines=(_CHUNKED,), after=b"0x0\r\n\r\n")),
}
# what no reader can make sense of: it is refused, whatever else, and crashes nothing
SENSELESS: Mapping[str, Bend] = {
    "chunk without its end": Bend(lines=(_CHUNKED,), after=b"5\r\nhelloXX0\r\n\r\n"),
    "chunk size of letters": Bend(lines=(_CHUNKED,), after=b"size\r\nhello\r\n0\r\n\r\n"),
    "no colon": Bend(lines=(b"X-Note",)),
    "unknown coding": Bend(lines=(b"Transfer-Encoding: x-nothing",), after=b""),
}


@scenario()
def test_framing(world: World) -> None:
    """A partner's signed query is sent again and again, each time framed wrongly in another way (9.2-g)."""
    needs_sockets(world.stage.transport)
    contracts.needs_signed(world, "contractQuery")
    partner = world.signed_partner()
    url, wardrobe = world.profile.target.url, world.stage.wardrobe
    for name, bend in TWINS.items():
        world.call(f"twin:{name}", partner, "contractQuery", ref(partner), transport=RawTransport(url, wardrobe, bend))
    seen = {}
    tried = {**{name: bend for name, (_, bend) in WRONG.items()}, **SENSELESS}
    for name, bend in tried.items():
        over = RawTransport(url, wardrobe, bend)
        world.call(name, partner, "contractQuery", ref(partner), breaks=FRAMED, transport=over)
        seen[name] = over.seen
    world.fact("seen", seen)
    world.fact("twins", {name: f"twin:{twin}" for name, (twin, _) in WRONG.items()})
    world.call("after", partner, "contractQuery", ref(partner))


@scenario()
def test_leftover_of_refused_request(world: World) -> None:
    """A request is refused whose long body holds whole requests: none of them is answered (9.2-g)."""
    needs_sockets(world.stage.transport)
    world.offered("contractApply")
    partner = world.partner()
    method, path, query, _ = world.stage.binding.spell_request(
        "nodeQuery", {"node_id": world.profile.target.node_id}, {}
    )
    url = world.profile.target.url
    asked = Request(method, path, tuple((name, str(value)) for name, value in query.items()), {}, b"")
    over = RawTransport(url, world.stage.wardrobe)
    world.call("twin", partner, "nodeQuery", {"node_id": world.profile.target.node_id}, transport=over)
    one = spelled(asked, url.partition("//")[2].partition("/")[0], Bend())
    body = one * (LEFTOVER_BYTES // len(one))
    seen = {}
    for step, tamper in {"refused": Tamper(unsigned=True), "nowhere": Tamper(path="/nowhere", unsigned=True)}.items():
        over = RawTransport(url, world.stage.wardrobe, quiet=LEFTOVER_SECONDS)
        world.call(step, partner, "contractApply", breaks=FRAMED, raw=body, tamper=tamper, transport=over)
        seen[step] = over.seen
    world.fact("seen", seen)
    world.call("after", partner, "nodeQuery", {"node_id": world.profile.target.node_id})
