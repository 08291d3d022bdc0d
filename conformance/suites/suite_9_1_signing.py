"""Signed requests as the target takes them: altered, incomplete, replayed, late, misdirected (9.1-b, 9.2-g).

After each request that must be refused a right one follows, the positive twin; it also keeps a target that locks out
after some failures in a row from doing so.
"""

from __future__ import annotations

import json

from conformance.harness import signing
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.steps import Tamper
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref

UNCOVERED = {
    "method": "@method",
    "path": "@path",
    "query": "@query",
    "digest": signing.DIGEST,
    "token-set": signing.TOKENS,
    "nonce": signing.NONCE,
    "source": signing.SOURCE,
    "target": signing.TARGET,
    "timestamp": signing.TIMESTAMP,
}


def _tried(world: World, partner: Partner, name: str, tamper: Tamper, breaks: str) -> None:
    """Ask for the partner's contract with a bent request, then with a right one."""
    world.call(name, partner, "contractQuery", ref(partner), breaks=breaks, tamper=tamper)
    world.call(f"{name}:twin", partner, "contractQuery", ref(partner))


@scenario()
def test_request_uncovered(world: World) -> None:
    """Requests whose signature leaves out one component after the other (9.1-b)."""
    partner = world.signed_partner()
    contracts.needs_signed(world, "contractQuery")
    for name, component in UNCOVERED.items():
        _tried(world, partner, name, Tamper(uncovered=component), f"the signature covers {component}")


@scenario()
def test_request_altered(world: World) -> None:
    """Requests that were changed on the way, in one component after the other (9.1-b, 9.2-g)."""
    partner, other = world.signed_partner(), world.signed_partner("other")
    contracts.needs_signed(world, "contractQuery")
    changed = "the request is as it was signed"
    query = (("contract_id", partner.contract_id),)
    bent = {
        "method": Tamper(signed_method="PUT"),
        "path": Tamper(signed_path="/elsewhere"),
        "nonce": Tamper(after={signing.NONCE: world.id("nonce-put-in-later")}),
        "timestamp": Tamper(after={signing.TIMESTAMP: str(world.now_ms() + 1000)}),
        "token-set": Tamper(after={signing.TOKENS: "dataset/3/token-put-in-later"}),
    }
    for name, tamper in bent.items():
        _tried(world, partner, name, tamper, changed)
    world.call("query", partner, "contractQuery", ref(other), breaks=changed, tamper=Tamper(query=query))
    world.call("query:twin", partner, "contractQuery", ref(partner))
    source = Tamper(source=other.node_id, after={signing.SOURCE: partner.node_id})
    _tried(world, partner, "source", source, changed)
    _altered_body(world, partner)


def _altered_body(world: World, partner: Partner) -> None:
    sent = contracts.sync(partner)
    later = json.dumps(contracts.sync(partner, name=world.fact("name", world.id("put-in-later")))).encode()
    contracts.required(world.call("body:twin", partner, "nodeSync", sent))
    world.call("body", partner, "nodeSync", sent, breaks="the body is as it was signed", tamper=Tamper(body=later))
    world.call("digest:twin", partner, "nodeSync", sent)
    both = Tamper(body=later, after={signing.DIGEST: signing.content_digest(partner.key.alg, later)})
    world.call("digest", partner, "nodeSync", sent, breaks="the digest is as it was signed", tamper=both)
    world.own("known", "ownNodeQuery", {"node_id": partner.node_id})


@scenario()
def test_request_unsigned(world: World) -> None:
    """Requests without a signature, with another's, with a mislabelled or malformed one (9.1-b)."""
    partner = world.signed_partner()
    contracts.needs_signed(world, "contractQuery")
    thief = contracts.other_key(world, world.id("thief"))
    others = [alg for alg in signing.ALGS.values() if alg != partner.key.alg]
    _tried(world, partner, "unsigned", Tamper(unsigned=True), "the request is signed")
    _tried(world, partner, "wrong-key", Tamper(key=thief), "the registered key signs")
    malformed = Tamper(after={signing.SIGNATURE: "c2lnbmF0dXJl"})
    _tried(world, partner, "malformed", malformed, "the signature is a byte sequence with its algorithm")
    _tried(world, partner, "relabelled", Tamper(label=others[0]), "the algorithm is that of the registered key")
    for name in (signing.SOURCE, signing.TARGET, signing.NONCE, signing.TIMESTAMP, signing.DIGEST):
        _tried(world, partner, f"without-{name}", Tamper(before={name: ""}), f"{name} is sent")


@scenario()
def test_request_csrf(world: World) -> None:
    """A changing request without the header that a form of another site cannot set (9.1-b)."""
    partner = world.signed_partner()
    world.call("sync", partner, "nodeSync", contracts.sync(partner))
    bare = Tamper(leave_out=(signing.CSRF,))
    body = contracts.sync(partner, name=world.fact("name", world.id("forged")))
    world.call("sync-forged", partner, "nodeSync", body, breaks=f"{signing.CSRF} is sent", tamper=bare)
    world.own("known", "ownNodeQuery", {"node_id": partner.node_id})


@scenario()
def test_request_query_order(world: World) -> None:
    """A request whose query is not in order and needs escapes is signed over its canonical form (9.1-b)."""
    partner = world.signed_partner()
    asked = {"page_size": 20, "page_num": 1, **ref(partner)}
    world.call("ordered", partner, "projectList", dict(sorted(asked.items())))
    world.call("unordered", partner, "projectList", asked)


@scenario()
def test_request_replayed(world: World) -> None:
    """A request is sent twice, a nonce is used again by its owner and by somebody else (9.2-g)."""
    partner, other = world.signed_partner(), world.signed_partner("other")
    nonce = Tamper(nonce=world.id("nonce-used-twice")[:64])
    world.call("first", partner, "contractQuery", ref(partner), tamper=nonce)
    world.call("again", partner, "contractQuery", ref(partner), breaks="the nonce is new", tamper=nonce)
    world.call("other", other, "contractQuery", ref(other), tamper=nonce)
    spent = Tamper(nonce=world.id("nonce-spent")[:64])
    nothing = {"contract_id": world.id("contract-unknown")}
    world.call("refused", partner, "contractQuery", nothing, breaks="there is such a contract", tamper=spent)
    world.call("refused-again", partner, "contractQuery", ref(partner), breaks="the nonce is new", tamper=spent)
    world.call("fresh", partner, "contractQuery", ref(partner))


@scenario()
def test_request_time(world: World) -> None:
    """Requests just inside and well outside the window, before and after the target's time (9.2-g)."""
    partner = world.signed_partner()
    window = world.profile.timings.clock_skew_seconds * 1000
    margin = min(10_000, window // 3)
    inside, outside = window - margin, window + margin
    for name, sign in (("behind", -1), ("ahead", 1)):
        world.call(f"{name}-inside", partner, "contractQuery", ref(partner), tamper=Tamper(offset_ms=sign * inside))
        world.call(
            f"{name}-outside",
            partner,
            "contractQuery",
            ref(partner),
            breaks="the timestamp is inside the window",
            tamper=Tamper(offset_ms=sign * outside),
        )


@scenario()
def test_request_target(world: World) -> None:
    """A request that was signed for another node arrives here (9.2-g)."""
    partner = world.signed_partner()
    world.call("here", partner, "contractQuery", ref(partner))
    astray = Tamper(target=world.id("another-target"))
    world.call("astray", partner, "contractQuery", ref(partner), breaks="the request is for this node", tamper=astray)


@scenario()
def test_request_stranger(world: World) -> None:
    """A node that the target has never heard of sends a signed request (9.2-a)."""
    partner, stranger = world.signed_partner(), world.partner("stranger")
    world.call("known", partner, "nodeHealth", {})
    world.call("stranger", stranger, "nodeHealth", {}, breaks="the sender is known by a contract")
    stranger.contract_id = partner.contract_id
    world.call("stranger-query", stranger, "contractQuery", ref(partner), breaks="the sender is known by a contract")
