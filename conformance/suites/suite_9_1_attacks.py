"""Signatures that are almost right, and the window for timestamps measured (9.1-b, 9.2-f-3, 9.2-g).

After each request that must be refused a right one follows, the positive twin; it also keeps a target that locks out
after some failures in a row from doing so.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from conformance.harness import bent, signing
from conformance.harness.errors import NotOffered
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.signing import AuthType
from conformance.harness.steps import Tamper, Told
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref

FINEST_MS = 1000  # how closely the window is measured
SOON_MS = 2000  # clocks and networks may differ by that much


def _suites(world: World, *wanted: AuthType) -> list[AuthType]:
    """Return those of the suites that the target takes."""
    contracts.needs_signed(world, "contractQuery")
    found = [name for name in wanted if name in world.profile.capabilities.auth_types]
    if not found:
        raise NotOffered(f"profile: capabilities.auth_types lists none of {', '.join(wanted)}")
    return found


def _tried(world: World, partner: Partner, name: str, tamper: Tamper, breaks: str) -> str:
    """Ask for the partner's contract with a bent request, then with a right one; return the step's name."""
    world.call(name, partner, "contractQuery", ref(partner), breaks=breaks, tamper=tamper)
    world.call(f"{name}:twin", partner, "contractQuery", ref(partner))
    return name


@scenario()
def test_signature_scalars(world: World) -> None:
    """Signatures on a curve whose r or s is zero, the order or above (9.1-b)."""
    tried: list[str] = []
    for suite in _suites(world, AuthType.SM3_SM2, AuthType.SHA256_ECDSA):
        partner = world.signed_partner(suite.lower(), auth_type=suite)
        for name, bend in bent.scalars(suite).items():
            step = f"{suite}:{name}"
            tried.append(_tried(world, partner, step, Tamper(bent=bend), "r and s lie between 1 and n-1"))
    world.fact("tried", tried)


@scenario()
def test_signature_encodings(world: World) -> None:
    """Right signatures in DER, with leading zeros, cut off or with something after them (9.1-b)."""
    tried: list[str] = []
    for suite in _suites(world, *AuthType):
        partner = world.signed_partner(suite.lower(), auth_type=suite)
        for name, bend in bent.encodings(suite).items():
            step = f"{suite}:{name}"
            tried.append(_tried(world, partner, step, Tamper(bent=bend), "the signature has the form of its suite"))
    world.fact("tried", tried)


@scenario()
def test_signature_negated(world: World) -> None:
    """SM2 signatures with n-s in the place of s (9.1-b)."""
    (suite,) = _suites(world, AuthType.SM3_SM2)
    partner = world.signed_partner(auth_type=suite)
    _tried(world, partner, "negated", Tamper(bent=bent.negated(suite)), "s is the signer's")


@scenario()
def test_signature_malleated(world: World) -> None:
    """A request is sent again with the other signature that ECDSA has for it (9.2-g)."""
    (suite,) = _suites(world, AuthType.SHA256_ECDSA)
    partner = world.signed_partner(auth_type=suite)
    first = world.call("first", partner, "contractQuery", ref(partner))
    header = world.stage.binding.spell_headers({signing.SIGNATURE: ""})
    name = next(iter(header))
    sent = first.exchange.request
    other = signing.bend(sent.headers[name], bent.negated(suite))
    again = replace(sent, headers={**sent.headers, name: other})
    world.send("again", "contractQuery", again, partner.node_id, "the nonce is new")
    world.call("fresh", partner, "contractQuery", ref(partner))


@scenario()
def test_signature_user_id(world: World) -> None:
    """SM2 signatures over another user id than the agreed one, over none, and without the signer's digest (9.1-b)."""
    (suite,) = _suites(world, AuthType.SM3_SM2)
    keys = bent.rogues(suite)
    partner = world.signed_partner(auth_type=suite, key=keys.pop(bent.SOUND))
    agreed = "the signature binds the agreed user id"
    world.fact("tried", [_tried(world, partner, name, Tamper(key=key), agreed) for name, key in keys.items()])


@scenario()
def test_signature_weak_hash(world: World) -> None:
    """RSA and ECDSA signatures over SHA-1, under the name of a suite with SHA-256 (9.2-f-3)."""
    tried = []
    for suite in _suites(world, AuthType.SHA256_ECDSA, AuthType.SHA256_RSA):
        keys = bent.rogues(suite)
        partner = world.signed_partner(suite.lower(), auth_type=suite, key=keys.pop(bent.SOUND))
        for name, key in keys.items():
            step = f"{suite}:{name}"
            tried.append(_tried(world, partner, step, Tamper(key=key), "the hash is that of the suite"))
    world.fact("tried", tried)


@scenario()
def test_replay_window(world: World) -> None:
    """The window for timestamps is found by halving, before and after the target's time (9.1-b)."""
    contracts.needs_signed(world, "contractQuery")
    partner = world.signed_partner()
    world.fact("finest", FINEST_MS + SOON_MS)
    for side, sign in (("past", -1), ("future", 1)):

        def asked(name: str, offset: int) -> Told:
            stamp = Tamper(offset_ms=offset)
            return world.call(name, partner, "contractQuery", ref(partner), tamper=stamp, breaks="it is timely")

        world.fact(side, _edge(world, side, sign, asked))
        world.call(f"{side}:twin", partner, "contractQuery", ref(partner))


def _edge(world: World, side: str, sign: int, asked: Callable[[str, int], Told]) -> list[int]:
    """Return the longest offset found to be taken and the shortest found to be refused, in milliseconds."""
    taken, refused = 0, 2 * world.profile.timings.clock_skew_seconds * 1000
    if asked(f"{side}:{refused}", sign * refused).accepted:
        return [refused, refused]
    while refused - taken > FINEST_MS:
        middle = (taken + refused) // 2
        if asked(f"{side}:{middle}:{secrets.token_hex(2)}", sign * middle).accepted:
            taken = middle
        else:
            refused = middle
    return [taken, refused]
