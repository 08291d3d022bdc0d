"""Headers that leave open what is meant: sent twice, or spelled with underscores, as no library sends them (9.1-b).

After each request that must be refused a right one follows, by the same way; it is the positive twin, and keeps a
target that locks out after some failures in a row from doing so.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from conformance.harness import signing
from conformance.harness.errors import NotOffered, Undrivable
from conformance.harness.partner import Partner
from conformance.harness.raw_http import RawTransport
from conformance.harness.records import Request
from conformance.harness.registry import scenario
from conformance.harness.steps import Tamper
from conformance.harness.target import HttpTransport
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref

ONCE = "a header that decides who asks for what stands once"
HYPHENS = "headers are spelled with hyphens"


def _needs_socket(world: World) -> None:
    """End the scenario where the target is not reached over a network: then nothing folds headers."""
    if not isinstance(world.stage.transport, HttpTransport):
        raise NotOffered("profile: [target] names no address of a socket")


@scenario()
def test_headers_doubled(world: World) -> None:
    """Each covered header, and the signature, is sent twice with two values, the right one first and last (9.1-b)."""
    _needs_socket(world)
    contracts.needs_signed(world, "contractQuery")
    partner, other = world.signed_partner(), world.signed_partner("other")
    now = world.now_ms()
    others = {
        signing.NONCE: secrets.token_urlsafe(24),
        signing.TIMESTAMP: str(now + 1),
        signing.SOURCE: other.node_id,
        signing.TARGET: other.node_id,
        signing.DIGEST: signing.content_digest(partner.key.alg, b"other"),
        signing.SIGNATURE: signing.sign(partner.key, "GET", "/other", (), {}),
    }
    tried = []
    for name, value in others.items():
        spelled = world.stage.binding.headers.get(name, name).title()
        for order, backwards in (("last", False), ("first", True)):
            step = f"{name}:other-{order}"
            tried.append(step)
            _asked(world, step, partner, Tamper(after={spelled: value}), breaks=ONCE, backwards=backwards)
            _asked(world, f"{step}:right", partner, Tamper(), backwards=backwards)
    world.fact("tried", tried)


@scenario()
def test_headers_underscored(world: World) -> None:
    """A covered header is right only in the spelling with underscores: alone, and beside the other (9.1-b)."""
    _needs_socket(world)
    contracts.needs_signed(world, "contractQuery")
    partner, other = world.signed_partner(), world.signed_partner("other")
    tried = []
    for name in (signing.NONCE, signing.SOURCE, signing.TARGET):
        for how, order, backwards in (("alone", "last", False), ("beside", "last", False), ("beside", "first", True)):
            step = f"{name}:{how}-{order}"
            tried.append(step)
            bend = _underscored(world, partner, other, name, alone=how == "alone")
            _asked(world, step, partner, bend, breaks=HYPHENS, backwards=backwards)
            _asked(world, f"{step}:right", partner, Tamper(), backwards=backwards)
    world.fact("tried", tried)


def _underscored(world: World, partner: Partner, other: Partner, name: str, *, alone: bool) -> Tamper:
    """Spell a covered header with underscores: alone, or beside a wrong one that is spelled with hyphens."""
    nonce = secrets.token_urlsafe(24)
    right = {signing.NONCE: nonce, signing.SOURCE: partner.node_id, signing.TARGET: world.profile.target.node_id}
    wrong = {signing.NONCE: secrets.token_urlsafe(24)}.get(name, other.node_id)
    spelled = {world.stage.binding.headers.get(name, name).replace("-", "_"): right[name]}
    if alone:
        return Tamper(nonce=nonce, leave_out=(name,), after=spelled)
    return Tamper(nonce=nonce, after={name: wrong, **spelled})


@scenario()
def test_authorization_doubled(world: World) -> None:
    """The operator's token is shown beside another one, before it and after it (9.2-b-4)."""
    _needs_socket(world)
    if world.profile.operator is None:
        raise Undrivable("the profile has no [operator] token")
    right = f"Bearer {world.profile.operator.reveal()}"
    both = {"authorization": right, "Authorization": f"Bearer {secrets.token_urlsafe(24)}"}
    _own(world, "right", {"authorization": right})
    for order, backwards in (("last", False), ("first", True)):
        _own(world, f"other-{order}", both, breaks=ONCE, backwards=backwards)


def _asked(
    world: World, step: str, partner: Partner, bend: Tamper, *, breaks: str = "", backwards: bool = False
) -> None:
    """Ask for the partner's contract over a connection of its own."""
    way = RawTransport(world.profile.target.url, world.stage.wardrobe, backwards=backwards)
    world.call(step, partner, "contractQuery", ref(partner), breaks=breaks, tamper=bend, transport=way)


def _own(world: World, step: str, headers: Mapping[str, str], *, breaks: str = "", backwards: bool = False) -> None:
    """Have the target's operator ask who the target is."""
    world.offered("ownNodeQuery")
    way = RawTransport(world.profile.target.url, world.stage.wardrobe, backwards=backwards)
    method, path, query, _ = world.stage.binding.spell_request(
        "ownNodeQuery", {"node_id": world.profile.target.node_id}, {}
    )
    pairs = tuple((name, str(value)) for name, value in query.items())
    world.send(step, "ownNodeQuery", Request(method, world.prefix + path, pairs, headers), "", breaks, way)
